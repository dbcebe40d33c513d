//! One optimizer step.

use swath_core::spec::TrainingSpec;
use tch::{Kind, Tensor, no_grad};

use crate::augment::Batch;
use crate::failure::Failure;
use crate::model::{Model, Noise, Pass, Weights};
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
    pub(crate) fn new(spec: &'a TrainingSpec, model: &'a Model, weights: &'a Weights) -> Self {
        Self {
            spec,
            model,
            weights,
            optimizer: Optimizer::new(&spec.optimizer, weights),
        }
    }

    /// All that a step takes over from the steps before it, besides the
    /// weights and their buffers: tensors by name, on the device. They change
    /// with later steps.
    pub(crate) fn state(&self) -> Vec<(String, Tensor)> {
        self.optimizer.state()
    }

    /// Goes on from a [`Stepper::state`], bit for bit. Tensors of other names
    /// are passed over.
    ///
    /// # Errors
    ///
    /// [`Failure::Invalid`] where a tensor is missing or is of another shape
    /// or kind.
    pub(crate) fn restore(&mut self, state: &[(String, Tensor)]) -> Result<(), Failure> {
        for (name, mut own) in self.state() {
            let Some((_, saved)) = state.iter().find(|(saved, _)| *saved == name) else {
                return Err(Failure::invalid(format!("there is no tensor `{name}`")));
            };
            if saved.size() != own.size() || saved.kind() != own.kind() {
                return Err(Failure::invalid(format!(
                    "`{name}` is {:?} of {:?}, this training's is {:?} of {:?}",
                    saved.kind(),
                    saved.size(),
                    own.kind(),
                    own.size()
                )));
            }
            no_grad(|| own.copy_(saved));
        }
        Ok(())
    }

    /// The factor on the loss, with dynamic loss scaling only. Waits for the
    /// device.
    #[allow(
        dead_code,
        clippy::allow_attributes,
        reason = "for the measurements of an epoch"
    )]
    #[expect(clippy::unused_self, reason = "no precision scales its loss yet")]
    pub(crate) fn loss_scale(&self) -> Option<f64> {
        None
    }

    /// Steps that left the weights as they were, because a scaled gradient
    /// overflowed; with dynamic loss scaling only. Waits for the device.
    #[allow(
        dead_code,
        clippy::allow_attributes,
        reason = "for the measurements of an epoch"
    )]
    #[expect(clippy::unused_self, reason = "no precision scales its loss yet")]
    pub(crate) fn skipped_steps(&self) -> Option<u64> {
        None
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
        let mut gradient = self.weights.flattened(&gradients(&loss, self.weights));
        self.optimizer.step(self.weights.flat(), &mut gradient, lr);
        computed
    }
}

/// The gradient of `loss` by each parameter.
pub(crate) fn gradients(loss: &Tensor, weights: &Weights) -> Vec<Tensor> {
    Tensor::run_backward(&[loss], weights.parameters(), false, false)
}

#[cfg(test)]
mod tests;
