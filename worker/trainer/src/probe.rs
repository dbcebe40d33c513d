//! A probe: what the steps of a training cost, measured without training.
//!
//! The steps are those of a training. If the name of the data set tells the
//! shape of its images, the images are made up. What the steps learn is thrown
//! away, so a loss that is not finite is no reason to stop.

use std::time::{Duration, Instant};

use swath_model::metrics::TEST_ERROR;
use swath_model::outcome::Measurement;
use swath_model::probe::Timing;
use swath_model::protocol::TrainerEvent;
use swath_model::schedule::Rates;
use swath_model::spec::TrainingSpec;
use swath_stats::Sample;
use tch::Device;

use crate::augment::{Draws, Epoch};
use crate::dataset::{Dataset, Images};
use crate::failure::Failure;
use crate::model::{Model, Weights};
use crate::peak::Peak;
use crate::step::Stepper;
use crate::train::rates;
use crate::{evaluate, output, process, provenance, session};

/// Steps before the first timed one. In these, memory is allocated and kernels
/// are chosen.
const WARM_UP: u64 = 3;

/// A probe that takes longer has measured enough with [`LEAST`] steps.
const LONG: Duration = Duration::from_mins(1);

/// The fewest steps that are timed.
const LEAST: usize = 3;

/// How many test images suffice to estimate the time of an evaluation.
const TEST_IMAGES: i64 = 1000;

/// Measures the steps of `spec`, as many as its budget has.
///
/// # Errors
///
/// [`Failure::Invalid`] where the spec does not fit the data set,
/// [`Failure::Stopped`] where SIGTERM comes.
pub(crate) fn run(
    session: &mut session::Session,
    spec: &TrainingSpec,
) -> Result<Measurement, Failure> {
    let begun = Instant::now();
    let device = session.device();
    let peak = Peak::begin(device);
    let dataset = session.like(&spec.dataset)?;
    let model = Model::new(&spec.model, &dataset.facts)?;
    let weights = model.initial(&spec.init, spec.seed, device)?.prepared(spec);
    let mut longer = spec.clone();
    longer.steps = spec.steps.map(|steps| steps + WARM_UP);
    let probe = Probe {
        rates: rates(&longer, dataset.facts.train_images)?,
        spec,
        dataset: &dataset,
        model: &model,
        weights: &weights,
        device,
    };
    output::json_line(&TrainerEvent::Started {
        provenance: provenance::of(device),
        total_steps: spec.steps.unwrap_or(0),
        total_epochs: 0,
        step: 0,
    })?;
    let step_seconds = probe.steps()?;
    let (evaluation_seconds, test_error) = probe.evaluation()?;
    let timing = Timing {
        step_seconds,
        evaluation_seconds,
        steps_per_epoch: Some(probe.rates.timeline().steps_in(0) as f64),
        train_images: Some(dataset.facts.train_images as f64),
        memory_bytes: peak
            .map(|peak| peak.bytes() as f64)
            .filter(|bytes| *bytes > 0.0),
    };
    Ok(Measurement {
        train_seconds: begun.elapsed().as_secs_f64(),
        weights: None,
        values: timing.metrics().with([(TEST_ERROR, test_error)]),
    })
}

struct Probe<'a> {
    spec: &'a TrainingSpec,
    dataset: &'a Dataset,
    model: &'a Model,
    weights: &'a Weights,
    rates: Rates,
    device: Device,
}

impl Probe<'_> {
    /// Seconds per step: the median, which a short disturbance on the machine
    /// does not change.
    fn steps(&self) -> Result<f64, Failure> {
        let begun = Instant::now();
        let timeline = self.rates.timeline();
        let mut stepper = Stepper::new(self.spec, self.model, self.weights);
        let mut seconds: Vec<f64> = Vec::new();
        let mut under_way: Option<(u64, Epoch)> = None;
        for step in 0..timeline.total_steps() {
            if process::stop_requested() {
                return Err(Failure::Stopped);
            }
            let epoch = timeline.epoch(step);
            let choices = match under_way.take() {
                Some((same, choices)) if same == epoch => choices,
                _ => self.choices(epoch),
            };
            let since = Instant::now();
            let set = &self.dataset.train;
            let batch_size = timeline.batch_size(epoch) as i64;
            let start = (step - timeline.first_step(epoch)) as i64 * batch_size;
            let count = batch_size.min(set.count() - start);
            let batch = choices.batch(set, &self.dataset.normalizer, start, count);
            let computed = stepper.step(step, &batch, self.rates.at(step));
            // This waits for an accelerator.
            let _loss = computed.loss.double_value(&[]);
            if step >= WARM_UP {
                seconds.push(since.elapsed().as_secs_f64());
            }
            under_way = Some((epoch, choices));
            if seconds.len() >= LEAST && begun.elapsed() >= LONG {
                break;
            }
        }
        let sample = Sample::new(seconds).ok();
        sample
            .and_then(|sample| sample.median())
            .ok_or_else(|| Failure::invalid("the budget has no step"))
    }

    fn choices(&self, epoch: u64) -> Epoch {
        let size = [self.dataset.facts.height, self.dataset.facts.width];
        let images = self.dataset.train.count() as usize;
        let batch_size = self.rates.timeline().batch_size(epoch) as usize;
        let draws = Draws::new(self.spec, epoch, images, size, batch_size);
        Epoch::new(&draws, &self.spec.augmentation, self.device)
    }

    /// Seconds of an evaluation of the whole test set, and the error in percent
    /// on the part of it that was evaluated.
    fn evaluation(&self) -> Result<(f64, f64), Failure> {
        let set = &self.dataset.test;
        let count = set.count().min(TEST_IMAGES);
        let some = Images {
            pixels: set.pixels.narrow(0, 0, count),
            labels: set.labels.narrow(0, 0, count),
        };
        let since = Instant::now();
        let normalizer = &self.dataset.normalizer;
        let score = evaluate::score(self.model, self.weights, &some, normalizer)?;
        let each = since.elapsed().as_secs_f64() / count.max(1) as f64;
        Ok((each * set.count() as f64, score.error))
    }
}
