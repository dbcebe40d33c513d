//! Reports a training's epochs, and keeps its checkpoints and history.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use swath_model::id::WeightsDigest;
use swath_model::outcome::Observation;
use swath_model::protocol::TrainerEvent;

use super::attempt::Kept;
use crate::checkpoint::{Folder, Identity, WEIGHTS};
use crate::cli::Checkpoints;
use crate::failure::{Failure, guarded};
use crate::history::History;
use crate::model::{Layout, Weights};
use crate::train::{Due, Keeper, State};
use crate::{files, output, process, tensor_file};

/// Pause after a checkpoint that could not be written.
const AFTER_FAILURE: Duration = Duration::from_secs(10);

/// When checkpoints are due.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// Time between two checkpoints; none: none by time.
    pub(super) every: Option<Duration>,
    /// Steps between two checkpoints; none: none by steps.
    pub(super) steps: Option<NonZeroU64>,
    /// Steps after which the training stops.
    pub(super) stop_after: Option<u64>,
}

impl Checkpoints {
    /// The pace of a training that may have to stop after a number of steps.
    pub(super) fn pace(self, stop_after: Option<u64>) -> Pace {
        Pace {
            every: (self.every > 0).then(|| Duration::from_secs(self.every)),
            steps: self.steps,
            stop_after,
        }
    }

    /// What is kept of a training with a directory for its result.
    pub(super) fn kept(self) -> Kept {
        if self.keep { Kept::All } else { Kept::Result }
    }
}

/// What a training writes to its directory.
pub(super) struct Desk {
    pub(super) folder: Folder,
    pub(super) identity: Identity,
    /// None where only checkpoints are kept, and only until the end.
    pub(super) history: Option<History>,
}

/// Keeps the records of a training that runs by itself.
pub(super) struct Clerk {
    pub(super) desk: Option<Desk>,
    /// Classes of the model.
    pub(super) classes: i64,
    /// Whether the training began with weights from a file.
    pub(super) given_weights: bool,
    pub(super) pace: Pace,
    /// The step of the newest checkpoint; 0 without one.
    pub(super) newest: u64,
    /// How many epochs the newest checkpoint includes.
    pub(super) newest_epochs: u64,
    /// Whether something that takes long or may fail comes after the last step.
    pub(super) more_to_measure: bool,
    /// When the newest checkpoint was written or read.
    pub(super) since: Instant,
    /// A failed checkpoint is not tried again before this time.
    pub(super) not_before: Option<Instant>,
    /// The finished epochs.
    pub(super) epochs: Vec<Observation>,
}

impl Clerk {
    /// Whether the training is to stop, and why.
    fn stop(&self, step: u64) -> Option<&'static str> {
        if process::stop_requested() {
            Some("SIGTERM")
        } else if self.pace.stop_after.is_some_and(|at| step >= at) {
            Some("--stop-after")
        } else {
            None
        }
    }

    /// Whether a checkpoint is due after `step` steps.
    fn wants(&self, step: u64) -> bool {
        let now = Instant::now();
        let by_steps = |steps: NonZeroU64| step - self.newest >= steps.get();
        let by_time = |every| now - self.since >= every;
        step > self.newest
            && self.not_before.is_none_or(|until| until <= now)
            && (self.pace.steps.is_some_and(by_steps) || self.pace.every.is_some_and(by_time))
    }

    fn write(&mut self, state: &State) -> Result<(), Failure> {
        let Some(desk) = &self.desk else {
            return Ok(());
        };
        let step = state.progress.step;
        let written = guarded(|| {
            let (classes, given) = (self.classes, self.given_weights);
            desk.folder.write(&desk.identity, classes, given, state)
        });
        self.since = Instant::now();
        match written {
            Ok(()) => {
                self.newest = step;
                self.newest_epochs = state.progress.epoch();
                self.not_before = None;
                output::json_line(&TrainerEvent::Checkpoint {
                    epoch: state.progress.epoch() as u32,
                    step,
                })
            }
            Err(failure) => {
                self.not_before = Some(self.since + AFTER_FAILURE);
                let kept = match self.newest {
                    0 => "there is none yet".to_owned(),
                    newest => format!("that of step {newest} stays"),
                };
                output::message(&format!(
                    "warning: no checkpoint of step {step}: {failure}; {kept}"
                ));
                Ok(())
            }
        }
    }

    /// Writes the weights of a finished training if they are to be kept;
    /// returns their digest in any case.
    ///
    /// # Errors
    ///
    /// [`Failure::Crashed`] where they cannot be written,
    /// [`Failure::OutOfMemory`] where the host has no room for a copy of them.
    pub(super) fn keep_weights(
        &self,
        weights: &Weights,
        layout: &Layout,
    ) -> Result<WeightsDigest, Failure> {
        let bytes = tensor_file::encode(&weights.named(layout))?;
        if let Some(desk) = &self.desk
            && desk.history.is_some()
        {
            files::write_atomically(&desk.folder.path().join(WEIGHTS), &bytes)?;
        }
        Ok(WeightsDigest::from_bytes(*blake3::hash(&bytes).as_bytes()))
    }

    /// Says that the measurements after the last step were cut off.
    pub(super) fn say_stopped_measuring(&self) {
        let step = self.epochs.last().map_or(0, |epoch| epoch.step);
        self.say_stopped(step, ", in the measurements at the end");
    }

    /// Reports the stop; `further` says what was under way after `step`.
    fn say_stopped(&self, step: u64, further: &str) {
        let why = self.stop(step).unwrap_or("SIGTERM");
        let kept = match (&self.desk, self.newest) {
            (None, _) => "without --out there is no checkpoint".to_owned(),
            (Some(_), 0) => "there is no checkpoint, so it will start from step 0".to_owned(),
            (Some(desk), newest) => format!(
                "the checkpoint of step {newest} lies in {}; `--resume` goes on from it",
                desk.folder.path().display()
            ),
        };
        output::message(&format!(
            "stopped by {why} after step {step}{further}; {kept}"
        ));
    }
}

impl Keeper for Clerk {
    fn due(&mut self, step: u64) -> Due {
        if self.stop(step).is_some() {
            Due::Stop
        } else if self.desk.is_some() && self.wants(step) {
            Due::Checkpoint
        } else {
            Due::Step
        }
    }

    fn due_at_end(&mut self) -> bool {
        self.desk.is_some() && self.more_to_measure
    }

    fn checkpoint(&mut self, state: &State, due: Due) -> Result<(), Failure> {
        let step = state.progress.step;
        if (step, state.progress.epoch()) > (self.newest, self.newest_epochs) {
            self.write(state)?;
        }
        if due == Due::Stop {
            self.say_stopped(step, "");
        }
        Ok(())
    }

    fn epoch(&mut self, measured: &Observation) -> Result<(), Failure> {
        self.epochs.push(measured.clone());
        output::json_line(&TrainerEvent::Epoch(measured.clone()))?;
        if let Some(history) = self.desk.as_mut().and_then(|desk| desk.history.as_mut()) {
            history.add(&self.epochs);
        }
        Ok(())
    }
}
