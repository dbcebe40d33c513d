//! What is measured of a training in addition to its loss and errors.
//!
//! What is computed from all epochs is a function of their observations alone,
//! so a training that continues from a checkpoint measures the same.

mod ending;
mod norms;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use swath_model::metrics::{BEST_TEST_ERROR, Metrics, TEST_ERROR, TEST_LOSS, TRAIN_ERROR};
use swath_model::outcome::{Measurement, Observation};
use swath_model::protocol::MEDIAN_EPOCHS;
use swath_stats::Sample;
use tch::{Kind, Tensor, no_grad};

pub(crate) use self::ending::{Ending, ExtraSet, extra_sets, more_to_measure, predicted};
pub(crate) use self::norms::Norms;
use crate::cli::Measures;
use crate::failure::Failure;
use crate::output;

const SPEED: &str = "images_per_second";

/// What to measure during a training.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    /// Test errors in percent, for each of which the first epoch at or below it
    /// is reported.
    pub(crate) goals: Vec<f64>,
    /// The file for the norms of all parameters.
    pub(crate) norms: Option<PathBuf>,
}

impl Measures {
    /// What to measure during a training with its files in `out`.
    pub(crate) fn asked(&self, out: Option<&Path>) -> Asked {
        let norms = out.filter(|_| self.norms);
        Asked {
            goals: self.goals.clone(),
            norms: norms.map(|out| out.join("norms.jsonl")),
        }
    }
}

/// The parameters from which a training started.
pub(crate) struct Start {
    flat: Tensor,
}

impl Start {
    /// A copy of all parameters, on their device.
    pub(crate) fn new(flat: &Tensor) -> Self {
        Self {
            flat: no_grad(|| flat.copy()),
        }
    }

    /// The copy.
    pub(crate) fn flat(&self) -> Tensor {
        self.flat.shallow_clone()
    }

    /// The Euclidean distance ‖w − w₀‖₂ of all parameters, including BN's
    /// scales and shifts. None if it is not finite. Waits for the device.
    pub(crate) fn distance(&self, flat: &Tensor) -> Option<f64> {
        let distance = no_grad(|| {
            let difference = flat - &self.flat;
            difference.to_kind(Kind::Double).norm().double_value(&[])
        });
        Some(distance).filter(|distance| distance.is_finite())
    }
}

/// Adds a metric; one that may not be recorded is left out, with a warning.
fn record(metrics: &mut Metrics, name: &str, value: f64) {
    if let Err(error) = metrics.insert(name, value) {
        output::message(&format!("warning: metric `{name}` is left out: {error}"));
    }
}

/// The measurement of a training with these epochs, where `batch_size` gives
/// the batch size in images of each epoch, from 0; it took `seconds`.
///
/// # Errors
///
/// [`Failure::Invalid`] where there was no epoch.
pub(crate) fn finished(
    history: &[Observation],
    batch_size: impl Fn(u64) -> u64,
    goals: &[f64],
    seconds: f64,
) -> Result<Measurement, Failure> {
    let errors = || {
        history
            .iter()
            .filter_map(|epoch| epoch.values.get(TEST_ERROR))
    };
    let (Some(last), Some(best)) = (history.last(), errors().reduce(f64::min)) else {
        return Err(Failure::invalid("the budget has no step"));
    };
    let of_last = [TEST_ERROR, TEST_LOSS, "train_loss", TRAIN_ERROR, "distance"];
    let of_last = of_last.map(|name| (name, last.values.get(name)));
    let of_all = [
        (BEST_TEST_ERROR, Some(best)),
        ("median_test_error", median_of_last(errors(), MEDIAN_EPOCHS)),
        (SPEED, speed(history, batch_size)),
    ];
    let mut values = Metrics::from(of_last).with(of_all);
    let mut add = |name: &str, value: Option<f64>| {
        if let Some(value) = value {
            record(&mut values, name, value);
        }
    };
    for goal in goals {
        if let Some(epoch) = first_at(history, *goal) {
            add(&format!("goal.{goal}.epoch"), Some(f64::from(epoch.epoch)));
            add(&format!("goal.{goal}.steps"), Some(epoch.step as f64));
            add(&format!("goal.{goal}.seconds"), epoch.seconds);
        }
    }
    Ok(Measurement {
        train_seconds: seconds,
        values,
        weights: None,
    })
}

/// The median of the last `count` errors, or of all if there are fewer.
fn median_of_last(errors: impl Iterator<Item = f64>, count: usize) -> Option<f64> {
    let errors: Vec<f64> = errors.collect();
    let from = errors.len().saturating_sub(count);
    Sample::new(errors[from..].iter().copied()).ok()?.median()
}

/// The first epoch with a test error at or below `goal`.
fn first_at(history: &[Observation], goal: f64) -> Option<&Observation> {
    let error = |epoch: &Observation| epoch.values.get(TEST_ERROR);
    let reaches = |epoch: &&Observation| error(epoch).is_some_and(|error| error <= goal);
    history.iter().find(reaches)
}

/// Training images per second over all epochs: the images divided by the sum of
/// the seconds that the epochs took to train them. A last batch that is not
/// full counts as full.
fn speed(history: &[Observation], batch_size: impl Fn(u64) -> u64) -> Option<f64> {
    let (mut images, mut seconds) = (0.0, 0.0);
    let mut before = 0;
    for epoch in history {
        let steps = epoch.step.saturating_sub(before);
        before = epoch.step;
        let number = u64::from(epoch.epoch).saturating_sub(1);
        let of_epoch = (steps * batch_size(number)) as f64;
        images += of_epoch;
        seconds += of_epoch / epoch.values.get(SPEED)?;
    }
    Some(images / seconds).filter(|speed| speed.is_finite())
}
