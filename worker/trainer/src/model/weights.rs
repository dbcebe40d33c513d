//! The tensors of a model.
//!
//! All parameters lie in one flat tensor, so that an optimizer step is a few
//! operations however many layers there are; each parameter is a view of it.
//! Convolution weights lie channels last, as the images do: libtorch's fast
//! convolutions want both so.

use std::path::Path;

use swath_core::suggest::nearest;
use tch::{Device, Kind, Tensor, no_grad};

use super::layout::Layout;
use crate::failure::Failure;
use crate::tensor_file::{self, TensorFile};

/// The tensors of one model on one device.
pub(crate) struct Weights {
    flat: Tensor,
    parameters: Vec<Tensor>,
    buffers: Vec<Tensor>,
}

impl Weights {
    /// Parameters of zeros, buffers at their initial values.
    ///
    /// # Errors
    ///
    /// [`Failure::OutOfMemory`] where they do not fit.
    pub(crate) fn zeros(layout: &Layout, device: Device) -> Result<Self, Failure> {
        let options = (Kind::Float, device);
        let flat = Tensor::f_zeros([layout.parameter_count()], options)?;
        let mut offset = 0;
        let parameters = layout
            .parameters
            .iter()
            .map(|parameter| {
                let slice = flat.narrow(0, offset, parameter.count());
                offset += parameter.count();
                let view = unflattened(&slice, &parameter.shape);
                view.detach().set_requires_grad(true)
            })
            .collect();
        let buffers = layout
            .buffers
            .iter()
            .map(|buffer| Tensor::full([buffer.size], buffer.initial, options))
            .collect();
        Ok(Self {
            flat,
            parameters,
            buffers,
        })
    }

    /// All parameters, one after the other.
    pub(crate) fn flat(&self) -> &Tensor {
        &self.flat
    }

    /// All parameters, in the order of the layout.
    pub(crate) fn parameters(&self) -> &[Tensor] {
        &self.parameters
    }

    /// All buffers, in the order of the layout.
    pub(crate) fn buffers(&self) -> &[Tensor] {
        &self.buffers
    }

    /// The parameter of this index.
    pub(super) fn parameter(&self, index: usize) -> &Tensor {
        &self.parameters[index]
    }

    /// The buffer of this index.
    pub(super) fn buffer(&self, index: usize) -> &Tensor {
        &self.buffers[index]
    }

    /// Every tensor with its name.
    pub(crate) fn named(&self, layout: &Layout) -> Vec<(String, Tensor)> {
        let names = layout.tensors().map(|(name, _)| name.to_owned());
        let tensors = self.parameters.iter().chain(&self.buffers);
        names.zip(tensors.map(Tensor::shallow_clone)).collect()
    }

    /// Writes a safetensors file that PyTorch's `load_state_dict` takes.
    ///
    /// # Errors
    ///
    /// [`Failure::Crashed`] where it cannot be written.
    pub(crate) fn write(&self, layout: &Layout, path: &Path) -> Result<(), Failure> {
        tensor_file::write(path, &self.named(layout))
    }

    /// Fills every tensor from a safetensors file. PyTorch's counters of BN
    /// batches are passed over.
    ///
    /// # Errors
    ///
    /// [`Failure::Invalid`] with the file and the tensor that is missing,
    /// unknown, or of another shape.
    pub(super) fn read(&self, layout: &Layout, file: &TensorFile) -> Result<(), Failure> {
        let tensors = file.parse()?;
        let expected: Vec<(String, Tensor)> = self.named(layout);
        // In order, so that the same file gives the same message.
        let mut names = tensors.names();
        names.sort_unstable();
        for name in names {
            let known = expected.iter().any(|(expected, _)| expected == name);
            if !known && !name.ends_with(".num_batches_tracked") {
                let near = nearest(name, expected.iter().map(|(name, _)| name.as_str()));
                let hint = near.map_or(String::new(), |near| format!("; the nearest is `{near}`"));
                return Err(file.wrong(&format!("this model has no tensor `{name}`{hint}")));
            }
        }
        for (name, mut tensor) in expected {
            let read = file.tensor(&tensors, &name)?;
            if read.size() != tensor.size() || read.kind() != Kind::Float {
                let what = format!(
                    "`{name}` is {:?} of {:?}, this model's is Float of {:?}",
                    read.kind(),
                    read.size(),
                    tensor.size()
                );
                return Err(file.wrong(&what));
            }
            no_grad(|| tensor.copy_(&read));
        }
        Ok(())
    }
}

/// A parameter as a view of its slice of the flat tensor.
fn unflattened(slice: &Tensor, shape: &[i64]) -> Tensor {
    match *shape {
        [out, channels, height, width] => slice
            .view([out, height, width, channels])
            .permute([0, 3, 1, 2]),
        _ => slice.view(shape),
    }
}

/// A gradient in the order of its parameter's slice of the flat tensor; a
/// view where it lies so in memory already.
pub(crate) fn flattened(gradient: &Tensor) -> Tensor {
    if gradient.dim() == 4 {
        gradient.permute([0, 2, 3, 1]).reshape([-1])
    } else {
        gradient.reshape([-1])
    }
}
