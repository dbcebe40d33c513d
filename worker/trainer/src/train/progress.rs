//! How far a training is, and who wants to know.

use serde::{Deserialize, Serialize};
use swath_model::outcome::Observation;
use tch::{Device, Kind, Tensor};

use crate::failure::Failure;
use crate::step::Computed;

/// All that the rest of a training depends on besides tensors. There is no
/// state of a loader in it: order and augmentation derive from (seed, epoch,
/// position).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Finished optimizer steps.
    pub(crate) step: u64,
    /// Sums of the epoch under way.
    pub(crate) totals: Totals,
    /// The finished epochs, those that were measured.
    pub(crate) history: Vec<Observation>,
    /// Seconds of training so far.
    pub(crate) seconds: f64,
    /// Of these, seconds of the steps of the epoch under way.
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
    /// How many images these are of.
    pub(crate) images: i64,
}

/// A training between two steps.
pub(crate) struct State {
    /// How far it is.
    pub(crate) progress: Progress,
    /// Weights, buffers and what the optimizer remembers, by name; they change
    /// with the next step.
    pub(crate) tensors: Vec<(String, Tensor)>,
}

/// What is to be done between two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// The next step.
    Step,
    /// A checkpoint, then the next step.
    Checkpoint,
    /// A checkpoint, then no more.
    Stop,
}

/// Who keeps what a training reports.
pub(crate) trait Keeper {
    /// What is to be done after `step` finished steps. Asked twice at the end
    /// of an epoch: before its measurement and after it.
    fn due(&mut self, step: u64) -> Due;

    /// Whether a checkpoint of the finished training, with all its epochs, is
    /// due before its result is made.
    fn due_at_end(&mut self) -> bool;

    /// Keeps a checkpoint. One that cannot be written is no reason to end a
    /// training.
    ///
    /// # Errors
    ///
    /// Where the training cannot go on.
    fn checkpoint(&mut self, state: &State, due: Due) -> Result<(), Failure>;

    /// An epoch was measured: the next after those that it knows of.
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
    /// Goes on from `totals`.
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

    /// Whether every loss of the `steps` so far was finite: one that was not
    /// stays in the sum. Waits for the device.
    ///
    /// # Errors
    ///
    /// [`Failure::Diverged`] where one was not.
    pub(super) fn check(&self, steps: u64) -> Result<(), Failure> {
        if self.loss.double_value(&[]).is_finite() {
            Ok(())
        } else {
            Err(Failure::Diverged(format!(
                "the training loss left the finite numbers at or shortly before step {steps}"
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
