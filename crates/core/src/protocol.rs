//! The trainer protocol: JSON lines that a trainer writes to its stdout.
//!
//! A worker starts `trainer serve` once per slot and writes one job spec per
//! line to its stdin. For each spec the trainer writes `started`, one `epoch`
//! per epoch, and `finished` or `failed`; then it waits for the next line. A
//! program of the user's speaks the same lines for its one spec.

use serde::{Deserialize, Serialize};

use crate::outcome::{Fault, Observation, Provenance};

/// Exit codes of `trainer train`.
pub mod exit {
    /// The training finished.
    pub const FINISHED: u8 = 0;
    /// The loss left the finite numbers.
    pub const DIVERGED: u8 = 10;
    /// The spec cannot be trained.
    pub const INVALID: u8 = 11;
    /// Memory ran out.
    pub const OUT_OF_MEMORY: u8 = 12;
    /// Stopped by SIGTERM after a checkpoint.
    pub const STOPPED: u8 = 75;
}

/// One line of a trainer. Readers ignore fields and events that they do not
/// know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum TrainerEvent {
    /// `trainer serve` has loaded its library and waits for a spec.
    Ready {
        /// What it runs on.
        #[serde(default)]
        provenance: Provenance,
    },
    /// A training begins.
    Started {
        /// What it runs on.
        #[serde(default)]
        provenance: Provenance,
        /// Optimizer steps that it will take; 0 when unknown.
        #[serde(default)]
        total_steps: u64,
        /// Epochs that it will take; 0 when unknown.
        #[serde(default)]
        total_epochs: u32,
    },
    /// An epoch ended.
    Epoch(Observation),
    /// A checkpoint was written.
    Checkpoint {
        /// Finished epochs.
        #[serde(default)]
        epoch: u32,
        /// Finished optimizer steps.
        #[serde(default)]
        step: u64,
    },
    /// The training ended with a measurement.
    Finished {
        /// Test error of the last epoch in percent; a program may report
        /// another metric instead.
        #[serde(default)]
        test_error: Option<f64>,
        /// Test loss of the last epoch.
        #[serde(default)]
        test_loss: Option<f64>,
        /// Least test error of all epochs.
        #[serde(default)]
        best_test_error: Option<f64>,
        /// Seconds of training, evaluation included.
        #[serde(default)]
        train_seconds: Option<f64>,
    },
    /// The training ended without one.
    Failed {
        /// The kind.
        fault: Fault,
        /// What happened and what to do, for people.
        #[serde(default)]
        message: String,
    },
}
