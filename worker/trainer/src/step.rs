//! One optimizer step.

use swath_core::spec::TrainingSpec;
use tch::{Kind, Tensor, no_grad};

use crate::augment::Batch;
use crate::failure::Failure;
use crate::model::{Model, Noise, Pass, Weights, flattened};
use crate::optim::Optimizer;

/// What turns a batch into an update of the weights.
pub(crate) struct Stepper<'a> {
    spec: &'a TrainingSpec,
    model: &'a Model,
    weights: &'a Weights,
    optimizer: Optimizer,
}

/// What a step computed on the way, on the device.
pub(crate) struct Computed {
    /// Sum of the loss over the images.
    pub(crate) loss: Tensor,
    /// Wrongly classified images; a fraction where targets are mixed.
    pub(crate) wrong: Tensor,
    /// Images.
    pub(crate) images: i64,
}

impl<'a> Stepper<'a> {
    /// A stepper with a fresh optimizer.
    ///
    /// # Errors
    ///
    /// [`Failure::Invalid`] where this trainer does not know the optimizer.
    pub(crate) fn new(
        spec: &'a TrainingSpec,
        model: &'a Model,
        weights: &'a Weights,
    ) -> Result<Self, Failure> {
        Ok(Self {
            spec,
            model,
            weights,
            optimizer: Optimizer::new(&spec.optimizer, weights.flat())?,
        })
    }

    /// Updates the weights by `batch` at the rate `lr`. Nothing waits for the
    /// device.
    pub(crate) fn step(&mut self, step: u64, batch: &Batch, lr: f64) -> Computed {
        let noise = Noise {
            seed: self.spec.seed,
            step,
            chunk: 0,
        };
        let forward = |images| {
            self.model
                .forward(self.weights, images, Pass::Training(noise))
        };
        let logits: Vec<Tensor> = batch.views.iter().map(forward).collect();
        let loss = batch.target.loss(&logits, &self.spec.loss);
        let images = batch.count();
        let computed = no_grad(|| Computed {
            loss: loss.to_kind(Kind::Double) * images,
            wrong: batch.target.wrong(&logits),
            images,
        });
        let mut gradient = gradient(&loss, self.weights);
        self.optimizer.step(self.weights.flat(), &mut gradient, lr);
        computed
    }
}

/// The gradient of `loss` by all parameters, in the order of
/// [`Weights::flat`].
fn gradient(loss: &Tensor, weights: &Weights) -> Tensor {
    let parts = gradients(loss, weights);
    let flat: Vec<Tensor> = parts.iter().map(flattened).collect();
    Tensor::cat(&flat, 0)
}

/// The gradient of `loss` by each parameter.
pub(crate) fn gradients(loss: &Tensor, weights: &Weights) -> Vec<Tensor> {
    Tensor::run_backward(&[loss], weights.parameters(), false, false)
}
