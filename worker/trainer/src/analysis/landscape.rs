//! The loss of a model as a function of its parameters.

use std::cell::Cell;
use std::time::{Duration, Instant};

use tch::{Device, Kind, Tensor, no_grad};

use crate::dataset::{Images, Normalizer};
use crate::failure::Failure;
use crate::model::{Model, Pass, Weights};
use crate::{output, process, step};

/// Images per batch; only the activations of one batch are held at a time.
const BATCH: i64 = 500;

/// Mean cross-entropy over a set of images around a point of the parameters.
///
/// It is a function of the parameters alone: the images are unaugmented, the
/// labels are hard, and BN normalizes by the running statistics of the weights,
/// which stay fixed. With the statistics of each batch it would depend on how
/// the images are cut into batches.
pub(crate) struct Landscape<'a> {
    model: &'a Model,
    weights: &'a Weights,
    images: Images,
    normalizer: &'a Normalizer,
    /// The parameters at the origin, one after the other, as doubles.
    origin: Tensor,
    /// When the progress of an evaluation was last printed.
    told: Cell<Instant>,
}

/// Longer evaluations print their progress.
const PATIENCE: Duration = Duration::from_secs(2);

impl<'a> Landscape<'a> {
    /// The landscape around `weights`, whose parameters it will move.
    pub(crate) fn new(
        model: &'a Model,
        weights: &'a Weights,
        images: Images,
        normalizer: &'a Normalizer,
    ) -> Self {
        Self {
            model,
            weights,
            images,
            normalizer,
            origin: weights.flat().to_kind(Kind::Double),
            told: Cell::new(Instant::now()),
        }
    }

    /// How many parameters it has.
    pub(super) fn parameters(&self) -> usize {
        self.origin.numel()
    }

    /// The device that holds it.
    pub(super) fn device(&self) -> Device {
        self.origin.device()
    }

    /// The parameters at the origin: doubles, on the device.
    pub(super) fn origin(&self) -> &Tensor {
        &self.origin
    }

    /// Loss, and gradient (f32, on the device), at the origin moved by
    /// `offset` (doubles); the sum is rounded to f32 once.
    ///
    /// # Errors
    ///
    /// [`Failure::Stopped`] within a batch of SIGTERM.
    pub(super) fn at(&self, offset: &Tensor) -> Result<(f64, Tensor), Failure> {
        let point = &self.origin + offset;
        no_grad(|| self.weights.flat().shallow_clone().copy_(&point));
        drop(point);
        let device = self.device();
        let mut loss = Tensor::zeros([], (Kind::Double, device));
        let mut gradient = Tensor::zeros([self.origin.size()[0]], (Kind::Float, device));
        let total = self.images.count();
        for start in (0..total).step_by(BATCH as usize) {
            if process::stop_requested() {
                return Err(Failure::Stopped);
            }
            if self.told.get().elapsed() > PATIENCE {
                output::message(&format!("evaluating: image {start} of {total}"));
                self.told.set(Instant::now());
            }
            let count = BATCH.min(total - start);
            let share = count as f64 / total as f64;
            let pixels = self.images.pixels.narrow(0, start, count);
            let labels = self.images.labels.narrow(0, start, count);
            let images = self.normalizer.images(&pixels);
            let logits = self.model.forward(self.weights, &images, Pass::Evaluation);
            let mean = logits.cross_entropy_for_logits(&labels);
            let parts = step::gradients(&mean, self.weights);
            no_grad(|| {
                gradient += self.weights.flattened(&parts) * share;
                loss += mean.to_kind(Kind::Double) * share;
            });
        }
        Ok((loss.double_value(&[]), gradient))
    }
}

/// The numbers of a flat tensor, on the host.
pub(super) fn host(tensor: &Tensor) -> Result<Vec<f64>, Failure> {
    let doubles = tensor.to_device(Device::Cpu).to_kind(Kind::Double);
    Ok(Vec::<f64>::try_from(&doubles)?)
}
