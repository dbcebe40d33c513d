//! How far a training is, and the interface to whoever keeps its reports.

use serde::{Deserialize, Serialize};
use swath_model::outcome::Observation;
use tch::{Device, Kind, Tensor};

use crate::failure::Failure;
use crate::step::Computed;

/// Everything except tensors that the rest of a training depends on. It holds
/// no state of a data loader, because order and augmentation derive from (seed,
/// epoch, position).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Finished optimizer steps.
    pub(crate) step: u64,
    /// Sums of the epoch under way.
    pub(crate) totals: Totals,
    /// The finished epochs that were measured.
    pub(crate) history: Vec<Observation>,
    /// Seconds of training so far.
    pub(crate) seconds: f64,
    /// Seconds of the steps of the epoch under way, which are part of
    /// `seconds`.
    pub(crate) epoch_seconds: f64,
}

impl Progress {
    /// Finished epochs.
    pub(crate) fn epoch(&self) -> u64 {
        self.history.len() as u64
    }
}

/// Sums over the images of an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Totals {
    /// Sum of the losses.
    pub(crate) loss: f64,
    /// Wrongly classified images; a fraction where targets are mixed.
    pub(crate) wrong: f64,
    /// The number of images that these sums are over.
    pub(crate) images: i64,
}

/// The state of a training between two steps.
pub(crate) struct State {
    /// How far the training is.
    pub(crate) progress: Progress,
    /// Weights, buffers and the state of the optimizer, by name. The next step
    /// changes them.
    pub(crate) tensors: Vec<(String, Tensor)>,
}

/// What to do between two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Take the next step.
    Step,
    /// Write a checkpoint, then take the next step.
    Checkpoint,
    /// Write a checkpoint, then stop.
    Stop,
}

/// Keeps what a training reports.
pub(crate) trait Keeper {
    /// What to do after `step` finished steps. Called twice at the end of an
    /// epoch: before its measurement and after it.
    fn due(&mut self, step: u64) -> Due;

    /// Whether a checkpoint of the finished training, with all its epochs, is
    /// due before its result is made.
    fn due_at_end(&mut self) -> bool;

    /// Keeps a checkpoint. If one cannot be written, that is no reason to end a
    /// training.
    ///
    /// # Errors
    ///
    /// Where the training cannot go on.
    fn checkpoint(&mut self, state: &State, due: Due) -> Result<(), Failure>;

    /// Takes the measurement of an epoch: the next after those that the keeper
    /// has.
    ///
    /// # Errors
    ///
    /// Where the training cannot go on.
    fn epoch(&mut self, measured: &Observation) -> Result<(), Failure>;
}

/// [`Totals`] that are still being added to, on the device.
pub(super) struct Sums {
    loss: Tensor,
    wrong: Tensor,
    images: i64,
}

impl Sums {
    /// Continues from `totals`.
    pub(super) fn new(totals: &Totals, device: Device) -> Self {
        let scalar = |value: f64| Tensor::full([], value, (Kind::Double, device));
        Self {
            loss: scalar(totals.loss),
            wrong: scalar(totals.wrong),
            images: totals.images,
        }
    }

    pub(super) fn add(&mut self, computed: &Computed) {
        self.images += computed.images;
        self.loss += &computed.loss;
        self.wrong += &computed.wrong;
    }

    /// Checks that every loss of the `steps` so far was finite: one that was
    /// not stays in the sum. Waits for the device.
    ///
    /// # Errors
    ///
    /// [`Failure::Diverged`] where one was not.
    pub(super) fn check(&self, steps: u64) -> Result<(), Failure> {
        if self.loss.double_value(&[]).is_finite() {
            Ok(())
        } else {
            Err(Failure::Diverged(format!(
                "the training loss was not finite any more at or shortly before step {steps}"
            )))
        }
    }

    /// The sums after `steps` steps. Waits for the device.
    ///
    /// # Errors
    ///
    /// As [`Sums::check`].
    pub(super) fn read(&self, steps: u64) -> Result<Totals, Failure> {
        self.check(steps)?;
        Ok(Totals {
            loss: self.loss.double_value(&[]),
            wrong: self.wrong.double_value(&[]),
            images: self.images,
        })
    }
}
