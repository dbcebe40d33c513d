//! What attempts report: observations while they run, an outcome at the end.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::WeightsDigest;
use crate::metrics::{Metrics, lenient};

/// The metrics of one epoch of one attempt. Errors are percentages. A value
/// that was not measured, or is not finite, is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Finished epochs, counted from 1.
    pub epoch: u32,
    /// Finished optimizer steps.
    #[serde(default)]
    pub step: u64,
    /// Mean training loss of the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_loss: Option<f64>,
    /// Training error of the epoch in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_error: Option<f64>,
    /// Mean test loss after the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_loss: Option<f64>,
    /// Test error after the epoch in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_error: Option<f64>,
    /// Learning rate of the epoch's last step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lr: Option<f64>,
    /// Seconds since the training began, evaluation included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Training images per second in this epoch, evaluation excluded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images_per_second: Option<f64>,
    /// Euclidean distance of all parameters from where they started.
    #[serde(
        default,
        deserialize_with = "lenient",
        skip_serializing_if = "Option::is_none"
    )]
    pub distance: Option<f64>,
    /// Factor on the loss before the backward pass, where the precision has
    /// one.
    #[serde(
        default,
        deserialize_with = "lenient",
        skip_serializing_if = "Option::is_none"
    )]
    pub loss_scale: Option<f64>,
    /// How many steps so far were skipped because a gradient was not finite.
    #[serde(
        default,
        deserialize_with = "lenient",
        skip_serializing_if = "Option::is_none"
    )]
    pub skipped_steps: Option<u64>,
}

/// What a finished training measured. Errors are percentages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Test error at the last epoch, or the metric that the spec names.
    pub test_error: f64,
    /// Test loss at the last epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_loss: Option<f64>,
    /// Least test error of all epochs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best_test_error: Option<f64>,
    /// Seconds of training, evaluation included.
    pub train_seconds: f64,
    /// All other numbers, by name.
    #[serde(default, skip_serializing_if = "Metrics::is_empty")]
    pub metrics: Metrics,
    /// The digest of the final weights; a program may have no weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<WeightsDigest>,
}

impl Measurement {
    /// Whether every number is finite, so that it may be recorded.
    pub fn is_finite(&self) -> bool {
        let optional = [self.test_loss, self.best_test_error];
        self.test_error.is_finite()
            && self.train_seconds.is_finite()
            && optional.iter().flatten().all(|value| value.is_finite())
    }
}

/// Why an attempt has no measurement; each fault has its own retry rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Its worker vanished, or its trainer was killed from outside.
    Lost,
    /// Its trainer died or broke the protocol.
    Crashed,
    /// Its trainer ran out of memory.
    OutOfMemory,
    /// Its loss became infinite or not a number.
    Diverged,
    /// Its spec cannot be trained: data are missing, or options contradict each
    /// other.
    Invalid,
    /// It took longer than allowed.
    TimedOut,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 6] = [
        Self::Lost,
        Self::Crashed,
        Self::OutOfMemory,
        Self::Diverged,
        Self::Invalid,
        Self::TimedOut,
    ];

    /// Its name in the store, on the wire and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Crashed => "crashed",
            Self::OutOfMemory => "out_of_memory",
            Self::Diverged => "diverged",
            Self::Invalid => "invalid",
            Self::TimedOut => "timed_out",
        }
    }

    /// The fault of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.name() == name)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::OutOfMemory => "out of memory",
            Self::TimedOut => "timed out",
            other => other.name(),
        })
    }
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It ended with a measurement.
    Measured(Measurement),
    /// It ended with a fault.
    Failed {
        /// Which fault.
        fault: Fault,
        /// What happened, for people; may contain the tail of the trainer's
        /// stderr.
        message: String,
    },
}

impl Outcome {
    /// The fault, if the outcome is one.
    pub fn fault(&self) -> Option<Fault> {
        match self {
            Self::Measured(_) => None,
            Self::Failed { fault, .. } => Some(*fault),
        }
    }
}

/// What an attempt ran on; a median that mixes these says so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// Device model, as `Intel Xeon … (cpu)` or `NVIDIA H100`.
    #[serde(default)]
    pub device: String,
    /// Driver version; empty on the CPU.
    #[serde(default)]
    pub driver: String,
    /// libtorch version.
    #[serde(default)]
    pub libtorch: String,
    /// Trainer version.
    #[serde(default)]
    pub trainer: String,
    /// Threads of the trainer.
    #[serde(default)]
    pub threads: u32,
    /// `bitwise` when the same spec and seed give the same bytes, else
    /// `none`.
    #[serde(default)]
    pub determinism: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_names_read_back() {
        for fault in Fault::ALL {
            assert_eq!(Fault::from_name(fault.name()), Some(fault));
            let json = serde_json::to_value(fault).unwrap();
            assert_eq!(json, fault.name());
        }
    }
}
