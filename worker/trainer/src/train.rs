//! One training, from initial weights to a measurement.

use std::time::Instant;

use swath_core::metrics::Metrics;
use swath_core::outcome::{Measurement, Observation};
use swath_core::schedule::{Rates, Timeline};
use swath_core::spec::{TrainingSpec, oversized};
use tch::{Device, Kind, Tensor};

use crate::augment::{Draws, Epoch};
use crate::dataset::Dataset;
use crate::evaluate::{self, Score};
use crate::failure::Failure;
use crate::model::{Model, Weights};
use crate::process;
use crate::step::{Computed, Stepper};

/// Steps between two looks at the loss on an accelerator, where each look
/// waits for the device. On the CPU every step is looked at.
const LOOK_EVERY: u64 = 32;

/// A training under way.
pub(crate) struct Training<'a> {
    spec: &'a TrainingSpec,
    dataset: &'a Dataset,
    model: &'a Model,
    weights: &'a Weights,
    rates: Rates,
    stepper: Stepper<'a>,
    device: Device,
    begun: Instant,
}

/// Sums over the images of an epoch, on the device.
struct Sums {
    loss: Tensor,
    wrong: Tensor,
    images: i64,
}

impl<'a> Training<'a> {
    /// Prepares a training of `weights`, which it changes in place.
    ///
    /// # Errors
    ///
    /// [`Failure::Invalid`] where the spec does not fit the data set.
    pub(crate) fn new(
        spec: &'a TrainingSpec,
        dataset: &'a Dataset,
        model: &'a Model,
        weights: &'a Weights,
        device: Device,
    ) -> Result<Self, Failure> {
        let rates = rates(spec, dataset.facts.train_images)?;
        let [height, width] = [dataset.facts.height, dataset.facts.width].map(|side| side as u64);
        if let Some(error) = oversized(&spec.augmentation, height, width) {
            return Err(Failure::Invalid(error.to_string()));
        }
        Ok(Self {
            spec,
            dataset,
            model,
            weights,
            rates,
            stepper: Stepper::new(spec, model, weights),
            device,
            begun: Instant::now(),
        })
    }

    /// Its epochs and steps.
    pub(crate) fn timeline(&self) -> &Timeline {
        self.rates.timeline()
    }

    /// Trains to the end of the budget; `report` hears of every epoch.
    ///
    /// # Errors
    ///
    /// [`Failure::Diverged`] as soon as a loss is not finite,
    /// [`Failure::Stopped`] within a step of SIGTERM, and what `report` gives.
    pub(crate) fn run(
        mut self,
        mut report: impl FnMut(Observation) -> Result<(), Failure>,
    ) -> Result<Measurement, Failure> {
        self.begun = Instant::now();
        let mut best = f64::INFINITY;
        let mut last = None;
        for epoch in 0..self.timeline().total_epochs() {
            let (observation, score) = self.epoch(epoch)?;
            best = best.min(score.error);
            last = Some(score);
            report(observation)?;
        }
        let last = last.ok_or_else(|| Failure::invalid("the budget has no step"))?;
        Ok(Measurement {
            test_error: last.error,
            test_loss: Some(last.loss),
            best_test_error: Some(best),
            train_seconds: self.begun.elapsed().as_secs_f64(),
            metrics: Metrics::new(),
        })
    }

    fn epoch(&mut self, epoch: u64) -> Result<(Observation, Score), Failure> {
        let begun = Instant::now();
        let set = &self.dataset.train;
        let size = [self.dataset.facts.height, self.dataset.facts.width];
        let timeline = self.rates.timeline();
        let batch_size = timeline.batch_size(epoch) as i64;
        let images = set.count() as usize;
        let draws = Draws::new(self.spec, epoch, images, size, batch_size as usize);
        let choices = Epoch::new(&draws, &self.spec.augmentation, self.device);
        let first = timeline.first_step(epoch);
        let last = timeline.first_step(epoch + 1).min(timeline.total_steps());
        let mut sums = Sums::new(self.device);
        for step in first..last {
            if process::stop_requested() {
                return Err(Failure::Stopped);
            }
            let start = (step - first) as i64 * batch_size;
            let count = batch_size.min(set.count() - start);
            let batch = choices.batch(set, &self.dataset.normalizer, start, count);
            let computed = self.stepper.step(step, &batch, self.rates.at(step));
            sums.add(&computed);
            // On an accelerator each look waits for the device.
            if self.device == Device::Cpu || step % LOOK_EVERY == LOOK_EVERY - 1 {
                sums.check(step)?;
            }
        }
        let (train_loss, train_error) = sums.read(last)?;
        let train_seconds = begun.elapsed().as_secs_f64();
        let score = self.score(epoch)?;
        let observation = Observation {
            epoch: (epoch + 1) as u32,
            step: last,
            train_loss: Some(train_loss),
            train_error: Some(train_error),
            test_loss: Some(score.loss),
            test_error: Some(score.error),
            lr: Some(self.rates.at(last - 1)),
            seconds: Some(self.begun.elapsed().as_secs_f64()),
            images_per_second: Some(sums.images as f64 / train_seconds),
            ..Observation::default()
        };
        Ok((observation, score))
    }

    fn score(&self, epoch: u64) -> Result<Score, Failure> {
        let set = &self.dataset.test;
        let normalizer = &self.dataset.normalizer;
        let score = evaluate::score(self.model, self.weights, set, normalizer)?;
        if score.loss.is_finite() {
            Ok(score)
        } else {
            Err(Failure::Diverged(format!(
                "the test loss left the finite numbers after epoch {}",
                epoch + 1
            )))
        }
    }
}

impl Sums {
    fn new(device: Device) -> Self {
        Self {
            loss: Tensor::zeros([], (Kind::Double, device)),
            wrong: Tensor::zeros([], (Kind::Double, device)),
            images: 0,
        }
    }

    fn add(&mut self, computed: &Computed) {
        self.images += computed.images;
        self.loss += &computed.loss;
        self.wrong += &computed.wrong;
    }

    /// Whether every loss so far was finite: one that was not stays in the sum.
    fn check(&self, step: u64) -> Result<(), Failure> {
        if self.loss.double_value(&[]).is_finite() {
            Ok(())
        } else {
            Err(Failure::Diverged(format!(
                "the training loss left the finite numbers at or shortly before step {}",
                step + 1
            )))
        }
    }

    /// Mean loss, and error in percent.
    fn read(&self, steps: u64) -> Result<(f64, f64), Failure> {
        self.check(steps.saturating_sub(1))?;
        let images = self.images as f64;
        let wrong = self.wrong.double_value(&[]);
        Ok((self.loss.double_value(&[]) / images, 100.0 * wrong / images))
    }
}

/// The learning rates of a spec on a training set.
///
/// # Errors
///
/// [`Failure::Invalid`] where an epoch would have no step.
pub(crate) fn rates(spec: &TrainingSpec, images: u64) -> Result<Rates, Failure> {
    let timeline =
        Timeline::new(spec, images).map_err(|error| Failure::invalid(error.to_string()))?;
    Ok(Rates::new(spec, timeline))
}
