//! One optimizer step.

use swath_model::spec::{Precision, TrainingSpec};
use tch::{Kind, Tensor, no_grad};

use crate::augment::Batch;
use crate::failure::Failure;
use crate::model::{Model, Noise, Pass, Weights};
use crate::optim::Optimizer;
use crate::precision::Scaler;

/// Turns a batch into an update of the weights.
pub(crate) struct Stepper<'a> {
    spec: &'a TrainingSpec,
    model: &'a Model,
    weights: &'a Weights,
    optimizer: Optimizer,
    scaler: Option<Scaler>,
    /// Whether to keep the gradient of the next step.
    keeps: bool,
    kept: Option<Tensor>,
}

/// What a step computed along the way, on the device.
pub(crate) struct Computed {
    /// Sum of the loss over the images.
    pub(crate) loss: Tensor,
    /// Wrongly classified images; a fraction where targets are mixed.
    pub(crate) wrong: Tensor,
    /// The number of images that `loss` and `wrong` are summed over.
    pub(crate) images: i64,
}

impl<'a> Stepper<'a> {
    /// A stepper with a fresh optimizer.
    pub(crate) fn new(spec: &'a TrainingSpec, model: &'a Model, weights: &'a Weights) -> Self {
        Self {
            spec,
            model,
            weights,
            optimizer: Optimizer::new(&spec.optimizer, weights, spec.precision),
            keeps: false,
            kept: None,
            scaler: (spec.precision == Precision::Fp16)
                .then(|| Scaler::new(weights.flat().device())),
        }
    }

    /// All that a step takes over from the steps before it, besides the weights
    /// and their buffers: tensors by name, on the device. Later steps change
    /// them.
    pub(crate) fn state(&self) -> Vec<(String, Tensor)> {
        let mut state = self.optimizer.state();
        state.extend(self.scaler.iter().flat_map(Scaler::state));
        state
    }

    /// Continues from a [`Stepper::state`], bit for bit, provided that the
    /// weights are those of that moment too. Tensors with other names are
    /// ignored.
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
        no_grad(|| self.weights.refresh());
        Ok(())
    }

    /// The factor on the loss; `None` without dynamic loss scaling. Waits for
    /// the device.
    pub(crate) fn loss_scale(&self) -> Option<f64> {
        self.scaler.as_ref().map(Scaler::scale)
    }

    /// The number of steps that left the weights unchanged because a scaled
    /// gradient overflowed; `None` without dynamic loss scaling. Waits for the
    /// device.
    pub(crate) fn skipped_steps(&self) -> Option<u64> {
        self.scaler.as_ref().map(Scaler::skipped)
    }

    /// Makes the next step keep its gradient.
    pub(crate) fn keep_gradient(&mut self) {
        self.keeps = true;
    }

    /// The gradient that a step kept, in the order of [`Weights::flat`], before
    /// clipping and without weight decay.
    pub(crate) fn take_gradient(&mut self) -> Option<Tensor> {
        self.kept.take()
    }

    /// Updates the weights with `batch` at the rate `lr`: one micro-batch after
    /// the other, then one update along the mean gradient. Nothing waits for
    /// the device.
    pub(crate) fn step(&mut self, step: u64, batch: &Batch, lr: f64) -> Computed {
        let (mut gradient, computed) = self.gradient(step, batch);
        let keeps = std::mem::take(&mut self.keeps);
        let kept = |gradient: &Tensor| keeps.then(|| gradient.copy());
        no_grad(|| {
            match &mut self.scaler {
                None => {
                    self.kept = kept(&gradient);
                    update(
                        &mut self.optimizer,
                        self.weights,
                        &mut gradient,
                        lr,
                        self.spec,
                    );
                }
                Some(scaler) => {
                    let finite = scaler.unscale(&mut gradient);
                    scaler.note(&finite);
                    self.kept = kept(&gradient);
                    let changed = std::iter::once(self.weights.flat().shallow_clone())
                        .chain(self.optimizer.state().into_iter().map(|(_, tensor)| tensor));
                    only_if(&finite, changed.collect(), || {
                        update(
                            &mut self.optimizer,
                            self.weights,
                            &mut gradient,
                            lr,
                            self.spec,
                        );
                    });
                }
            }
            self.weights.refresh();
        });
        computed
    }

    /// The gradient of the mean loss of a batch, in the order of
    /// [`Weights::flat`], times the factor of loss scaling.
    fn gradient(&self, step: u64, batch: &Batch) -> (Tensor, Computed) {
        let parts = i64::from(self.spec.accumulation_steps.unwrap_or(1));
        if parts == 1 {
            return self.pass(step, 0, batch);
        }
        let count = batch.count();
        let size = (count + parts - 1) / parts;
        let mut sum: Option<(Tensor, Computed)> = None;
        for (index, start) in (0..count).step_by(size as usize).enumerate() {
            let part = batch.chunk(start, size.min(count - start));
            let (mut gradient, computed) = self.pass(step, index, &part);
            let share = part.count() as f64 / count as f64;
            let _ = gradient.g_mul_scalar_(share);
            match &mut sum {
                None => sum = Some((gradient, computed)),
                Some((gradients, all)) => {
                    let _ = gradients.g_add_(&gradient);
                    all.add(&computed);
                }
            }
        }
        sum.unwrap_or_else(|| self.pass(step, 0, batch))
    }

    /// [`Stepper::gradient`] of the micro-batch with this index alone.
    fn pass(&self, step: u64, index: usize, batch: &Batch) -> (Tensor, Computed) {
        let views = batch.views.iter().enumerate();
        let logits: Vec<Tensor> = views
            .map(|(view, images)| {
                let noise = Noise {
                    seed: self.spec.seed,
                    step,
                    chunk: (index * batch.views.len() + view) as u32,
                };
                self.model
                    .forward(self.weights, images, Pass::Training(noise))
            })
            .collect();
        let loss = batch.target.loss(&logits, &self.spec.loss);
        let images = batch.count();
        let computed = no_grad(|| Computed {
            loss: loss.to_kind(Kind::Double) * images,
            wrong: batch.target.wrong(&logits),
            images,
        });
        let scaled = match &self.scaler {
            Some(scaler) => scaler.scaled(&loss),
            None => loss,
        };
        let gradient = self.weights.flattened(&gradients(&scaled, self.weights));
        (gradient, computed)
    }
}

impl Computed {
    fn add(&mut self, other: &Self) {
        self.loss += &other.loss;
        self.wrong += &other.wrong;
        self.images += other.images;
    }
}

/// One update along a gradient. The gradient is clipped first if `spec` says
/// so.
fn update(
    optimizer: &mut Optimizer,
    weights: &Weights,
    gradient: &mut Tensor,
    lr: f64,
    spec: &TrainingSpec,
) {
    if let Some(limit) = spec.gradient_clip_norm {
        clip(gradient, limit);
    }
    optimizer.step(weights.flat(), gradient, lr);
}

/// Shortens `gradient` to the norm `limit` if it is longer (Pascanu, Mikolov &
/// Bengio 2013), as PyTorch does.
fn clip(gradient: &mut Tensor, limit: f64) {
    let factor = (gradient.norm() + 1e-6).reciprocal() * limit;
    let _ = gradient.g_mul_(&factor.clamp_max(1.0));
}

/// Makes `change`, and undoes it if `condition`, a scalar on the device, does
/// not hold. `changed` lists everything that it changes.
fn only_if(condition: &Tensor, changed: Vec<Tensor>, change: impl FnOnce()) {
    let before: Vec<Tensor> = changed.iter().map(Tensor::copy).collect();
    change();
    for (mut changed, before) in changed.into_iter().zip(before) {
        changed.copy_(&changed.where_self(condition, &before));
    }
}

/// The gradient of `loss` with respect to each parameter.
pub(crate) fn gradients(loss: &Tensor, weights: &Weights) -> Vec<Tensor> {
    Tensor::run_backward(&[loss], weights.parameters(), false, false)
}

#[cfg(test)]
mod tests;
