//! The tensors of a model.
//!
//! All parameters are in one flat tensor, so that an optimizer step is a few
//! operations however many layers there are; each parameter is a view of it.
//! They are ordered by group: first the weights of all convolutions and linear
//! layers, then their biases, then the batch normalizations, each in the order
//! of the layout. So the parameters that decay are always at its front.
//! Convolution weights are channels last, like the images, because libtorch's
//! fast convolutions need both in this form.

use std::path::Path;

use swath_model::spec::{Precision, TrainingSpec, WeightDecayOn};
use swath_model::suggest::nearest;
use tch::{Device, Kind, Tensor, no_grad};

use super::layout::{Group, Layout, Parameter};
use crate::failure::Failure;
use crate::precision::low_kind;
use crate::tensor_file::{self, TensorFile};

/// Where each parameter is in the flat tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segments {
    /// The parameters (by their index in the layout) in the order of the flat
    /// tensor.
    order: Vec<usize>,
    /// How many elements each has, in that order.
    counts: Vec<i64>,
    /// The group of each, in that order.
    groups: Vec<Group>,
}

impl Segments {
    pub(super) fn new(layout: &Layout) -> Self {
        let parameters = &layout.parameters;
        let mut order: Vec<usize> = (0..parameters.len()).collect();
        // The sort is stable, so within a group the order of the layout stays.
        order.sort_by_key(|index| parameters[*index].role.group());
        let in_order = || order.iter().map(|index| &parameters[*index]);
        Self {
            counts: in_order().map(Parameter::count).collect(),
            groups: in_order().map(|parameter| parameter.role.group()).collect(),
            order,
        }
    }

    /// Elements of each parameter, in the order of the flat tensor.
    pub(crate) fn counts(&self) -> &[i64] {
        &self.counts
    }

    /// How many parameters at the front belong to `which`.
    pub(crate) fn parameters(&self, which: WeightDecayOn) -> usize {
        let last = match which {
            WeightDecayOn::All => Group::Norm,
            WeightDecayOn::AllButBn => Group::Bias,
            WeightDecayOn::Weights => Group::Weight,
        };
        self.groups.partition_point(|group| *group <= last)
    }

    /// How many elements at the front belong to `which`.
    pub(crate) fn elements(&self, which: WeightDecayOn) -> i64 {
        self.counts[..self.parameters(which)].iter().sum()
    }
}

/// The tensors of one model on one device.
pub(crate) struct Weights {
    segments: Segments,
    flat: Tensor,
    /// Views of `flat`, in the order of the layout.
    kept: Vec<Tensor>,
    /// What layers compute with, and by which gradients are taken: the same,
    /// but views of `low` for the parameters in it.
    leaves: Vec<Tensor>,
    /// The front of `flat`, all but BN, in a number format of lower precision.
    low: Option<Tensor>,
    /// Images per chunk of BN statistics; none: the whole batch.
    statistics_chunk: Option<i64>,
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
        let segments = Segments::new(layout);
        let slices = flat.split_with_sizes(segments.counts(), 0);
        let mut parameters: Vec<(usize, Tensor)> = segments
            .order
            .iter()
            .zip(&slices)
            .map(|(index, slice)| {
                let view = unflattened(slice, &layout.parameters[*index].shape);
                (*index, view.detach().set_requires_grad(true))
            })
            .collect();
        parameters.sort_by_key(|(index, _)| *index);
        let parameters: Vec<Tensor> = parameters.into_iter().map(|(_, view)| view).collect();
        let buffers = layout
            .buffers
            .iter()
            .map(|buffer| Tensor::full([buffer.size], buffer.initial, options))
            .collect();
        Ok(Self {
            segments,
            flat,
            leaves: parameters.iter().map(Tensor::shallow_clone).collect(),
            kept: parameters,
            low: None,
            statistics_chunk: None,
            buffers,
        })
    }

    /// The same weights for passes according to `spec`: in its number format,
    /// with its chunks of BN statistics.
    pub(crate) fn prepared(mut self, spec: &TrainingSpec) -> Self {
        self.statistics_chunk = spec.ghost_batch_size.map(i64::from);
        let Some(kind) = low_kind(spec.precision) else {
            return self;
        };
        let count = self.segments.parameters(LOW);
        let low = self.front().to_kind(kind);
        let slices = low.split_with_sizes(&self.segments.counts[..count], 0);
        for (index, slice) in self.segments.order.iter().zip(&slices) {
            let view = unflattened(slice, &self.kept[*index].size());
            self.leaves[*index] = view.detach().set_requires_grad(true);
        }
        self.low = Some(low);
        if spec.precision == Precision::Fp16Pure {
            // In that format, the low-precision parameters are those that
            // count.
            self.front().copy_(&self.front().to_kind(kind));
        }
        self
    }

    /// Recomputes what layers compute with from [`Weights::flat`], after a
    /// change to it.
    pub(crate) fn refresh(&self) {
        if let Some(low) = &self.low {
            low.shallow_clone().copy_(&self.front());
        }
    }

    /// The part of the flat tensor that may have low precision.
    fn front(&self) -> Tensor {
        self.flat.narrow(0, 0, self.segments.elements(LOW))
    }

    /// The front of [`Weights::flat`] in a number format of lower precision,
    /// where there is one.
    pub(crate) fn low(&self) -> Option<&Tensor> {
        self.low.as_ref()
    }

    /// Images per chunk of BN statistics; none: the whole batch.
    pub(super) fn statistics_chunk(&self) -> Option<i64> {
        self.statistics_chunk
    }

    /// All parameters, one after the other, as [`Weights::segments`] says.
    pub(crate) fn flat(&self) -> &Tensor {
        &self.flat
    }

    /// Where each parameter lies in [`Weights::flat`].
    pub(crate) fn segments(&self) -> &Segments {
        &self.segments
    }

    /// The parts of a tensor like [`Weights::flat`] that belong to each
    /// parameter, in the order of the layout, as views of one dimension each.
    pub(crate) fn parts(&self, flat: &Tensor) -> Vec<Tensor> {
        let slices = flat.split_with_sizes(self.segments.counts(), 0);
        let mut parts: Vec<_> = self.segments.order.iter().zip(slices).collect();
        parts.sort_by_key(|(index, _)| **index);
        parts.into_iter().map(|(_, part)| part).collect()
    }

    /// Joins one tensor per parameter, in the order of the layout, into one
    /// tensor in the order of [`Weights::flat`], in f32.
    pub(crate) fn flattened(&self, tensors: &[Tensor]) -> Tensor {
        let order = self.segments.order.iter();
        let parts: Vec<Tensor> = order.map(|index| flattened(&tensors[*index])).collect();
        if self.low.is_none() {
            return Tensor::cat(&parts, 0);
        }
        // One conversion for all of low precision.
        let (low, norms) = parts.split_at(self.segments.parameters(LOW));
        Tensor::cat(
            &[
                Tensor::cat(low, 0).to_kind(Kind::Float),
                Tensor::cat(norms, 0),
            ],
            0,
        )
    }

    /// All parameters as layers compute with them, in the order of the layout;
    /// gradients are taken by these.
    pub(crate) fn parameters(&self) -> &[Tensor] {
        &self.leaves
    }

    /// All buffers, in the order of the layout.
    pub(crate) fn buffers(&self) -> &[Tensor] {
        &self.buffers
    }

    /// The parameter of this index as layers compute with it.
    pub(super) fn parameter(&self, index: usize) -> &Tensor {
        &self.leaves[index]
    }

    /// The buffer of this index.
    pub(super) fn buffer(&self, index: usize) -> &Tensor {
        &self.buffers[index]
    }

    /// Every tensor with its name, in f32.
    pub(crate) fn named(&self, layout: &Layout) -> Vec<(String, Tensor)> {
        let names = layout.tensors().map(|(name, _)| name.to_owned());
        let tensors = self.kept.iter().chain(&self.buffers);
        names.zip(tensors.map(Tensor::shallow_clone)).collect()
    }

    /// Writes a safetensors file that PyTorch's `load_state_dict` accepts.
    ///
    /// # Errors
    ///
    /// [`Failure::Crashed`] where it cannot be written.
    pub(crate) fn write(&self, layout: &Layout, path: &Path) -> Result<(), Failure> {
        tensor_file::write(path, &self.named(layout))
    }

    /// Fills every tensor from a safetensors file. PyTorch's counters of BN
    /// batches are skipped.
    ///
    /// # Errors
    ///
    /// [`Failure::Invalid`] with the file and the tensor that is missing,
    /// unknown, or of another shape.
    pub(super) fn read(&self, layout: &Layout, file: &TensorFile) -> Result<(), Failure> {
        let tensors = file.parse()?;
        let expected: Vec<(String, Tensor)> = self.named(layout);
        // In order, so that the same file always gives the same message.
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

/// The parameters that may have low precision.
const LOW: WeightDecayOn = WeightDecayOn::AllButBn;

/// A parameter as a view of its slice of the flat tensor.
fn unflattened(slice: &Tensor, shape: &[i64]) -> Tensor {
    match *shape {
        [out, channels, height, width] => slice
            .view([out, height, width, channels])
            .permute([0, 3, 1, 2]),
        _ => slice.view(shape),
    }
}

/// A gradient in the order of its parameter's slice of the flat tensor; a view
/// if it has this layout in memory already.
fn flattened(gradient: &Tensor) -> Tensor {
    if gradient.dim() == 4 {
        gradient.permute([0, 2, 3, 1]).reshape([-1])
    } else {
        gradient.reshape([-1])
    }
}
