//! Models: one file per architecture, composed of shared [`blocks`].

mod blocks;
mod densenet;
mod dropout;
mod init;
mod layout;
mod postact;
mod preact;
mod pyramidnet;
mod resnet;
mod resnet_preact;
mod resnext;
mod se_resnet_preact;
mod shake_shake;
mod sum;
mod vgg;
mod weights;
mod wrn;

use swath_model::spec::{Init, Model as Options, overpooled};
use tch::{Device, Tensor};

pub(crate) use self::layout::Layout;
pub(crate) use self::weights::{Segments, Weights};
use crate::data::Facts;
use crate::failure::Failure;
use crate::tensor_file::TensorFile;

/// What a pass through a network is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pass {
    /// BN uses the running statistics, and nothing is random.
    Evaluation,
    /// BN uses the statistics of the batch, which update the running ones.
    Training(Noise),
}

/// The origin of a training pass's random numbers; nothing else is carried from
/// pass to pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noise {
    /// The seed of the training.
    pub(crate) seed: u64,
    /// The optimizer step, from 0.
    pub(crate) step: u64,
    /// The pass within the step, from 0.
    pub(crate) chunk: u32,
}

impl Pass {
    /// Whether BN uses the statistics of the batch.
    pub(crate) fn is_training(self) -> bool {
        matches!(self, Self::Training(_))
    }
}

/// The computation of an architecture.
trait Architecture {
    /// Logits (images × classes) of a batch (images × C × H × W, normalized).
    fn forward(&self, weights: &Weights, images: &Tensor, pass: Pass) -> Tensor;
}

/// An architecture with its layout; it has no tensors.
pub(crate) struct Model {
    layout: Layout,
    architecture: Box<dyn Architecture>,
}

impl Model {
    /// The model of `options` for a data set.
    ///
    /// # Errors
    ///
    /// [`Failure::Invalid`] where the options do not fit the images, and for a
    /// model that is too large to count.
    pub(crate) fn new(options: &Options, facts: &Facts) -> Result<Self, Failure> {
        let mut layout = Layout::default();
        let architecture = declare(&mut layout, options, facts)?;
        layout.check()?;
        Ok(Self {
            layout,
            architecture,
        })
    }

    /// Its tensors, before any is allocated.
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The weights with which a training with this seed starts.
    ///
    /// # Errors
    ///
    /// [`Failure::OutOfMemory`] where they do not fit.
    pub(crate) fn initial(
        &self,
        init: &Init,
        seed: u64,
        device: Device,
    ) -> Result<Weights, Failure> {
        let weights = Weights::zeros(&self.layout, device)?;
        init::fill(&self.layout, &weights, init, seed);
        Ok(weights)
    }

    /// Weights from a safetensors file.
    ///
    /// # Errors
    ///
    /// [`Failure::Invalid`] with the file where it does not contain this model.
    pub(crate) fn load(&self, file: &TensorFile, device: Device) -> Result<Weights, Failure> {
        let weights = Weights::zeros(&self.layout, device)?;
        weights.read(&self.layout, file)?;
        Ok(weights)
    }

    /// Logits of a batch.
    pub(crate) fn forward(&self, weights: &Weights, images: &Tensor, pass: Pass) -> Tensor {
        self.architecture.forward(weights, images, pass)
    }
}

/// Declares the network of `options` for a data set.
///
/// # Errors
///
/// [`Failure::Invalid`] where the options do not fit the images.
fn declare(
    layout: &mut Layout,
    options: &Options,
    facts: &Facts,
) -> Result<Box<dyn Architecture>, Failure> {
    let classes = facts.classes;
    let image = blocks::Map {
        channels: facts.channels,
        height: facts.height,
        width: facts.width,
    };
    if let Some(error) = overpooled(options, image.height as u64, image.width as u64) {
        return Err(Failure::Invalid(error.to_string()));
    }
    let preact = |layout: &mut Layout, plan: &preact::Plan| {
        Box::new(preact::Network::declare(layout, plan, image, classes))
    };
    Ok(match options {
        Options::Resnet(options) => Box::new(resnet::declare(layout, options, image, classes)),
        Options::ResnetPreact(options) => preact(layout, &resnet_preact::plan(options)),
        Options::SeResnetPreact(options) => preact(layout, &se_resnet_preact::plan(options)),
        Options::Wrn(options) => preact(layout, &wrn::plan(options)),
        Options::Densenet(options) => {
            Box::new(densenet::Network::declare(layout, options, image, classes)?)
        }
        Options::Pyramidnet(options) => Box::new(pyramidnet::Network::declare(
            layout, options, image, classes,
        )),
        Options::Resnext(options) => Box::new(resnext::declare(layout, options, image, classes)),
        Options::ShakeShake(options) => Box::new(shake_shake::Network::declare(
            layout, options, image, classes,
        )),
        Options::Vgg(options) => Box::new(vgg::Network::declare(layout, options, image, classes)),
    })
}

#[cfg(test)]
mod tests;
