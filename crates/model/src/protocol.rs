//! The trainer protocol: JSON lines that a trainer writes to its stdout.
//!
//! A worker starts `trainer serve` once per slot and writes one job spec per
//! line to its stdin. For each spec the trainer writes `started`, one `epoch`
//! per epoch, and `finished` or `failed`; then it waits for the next line. A
//! program of the user's speaks the same lines for its one spec.

use serde::{Deserialize, Serialize};

use crate::id::WeightsDigest;
use crate::metrics::{Metrics, lenient};
use crate::outcome::{Fault, Measurement, Observation, Provenance};

/// Exit codes of `trainer train`.
pub mod exit {
    /// The training finished.
    pub const FINISHED: u8 = 0;
    /// The loss was not finite any more.
    pub const DIVERGED: u8 = 10;
    /// The spec cannot be trained.
    pub const INVALID: u8 = 11;
    /// Memory ran out.
    pub const OUT_OF_MEMORY: u8 = 12;
    /// Stopped by SIGTERM after a checkpoint.
    pub const STOPPED: u8 = 75;
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(value: &u64) -> bool {
    *value == 0
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
        /// Steps that were finished before, when it goes on from a checkpoint.
        /// Their epochs are reported again after this event.
        #[serde(default, skip_serializing_if = "is_zero")]
        step: u64,
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
    Finished(Box<Finished>),
    /// The training ended without one.
    Failed {
        /// The kind.
        fault: Fault,
        /// What happened and what to do, for people.
        #[serde(default)]
        message: String,
    },
}

/// What a training measured. Only the first four fields are as old as the
/// protocol. A program may leave out the others; one that is not a number
/// counts as absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    /// Test error of the last epoch in percent; a program may report
    /// another metric instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_error: Option<f64>,
    /// Test loss of the last epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_loss: Option<f64>,
    /// Least test error of all epochs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best_test_error: Option<f64>,
    /// Seconds of training, evaluation included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_seconds: Option<f64>,
    /// Median of the test errors of the last [`MEDIAN_EPOCHS`] epochs.
    #[serde(
        default,
        deserialize_with = "lenient",
        skip_serializing_if = "Option::is_none"
    )]
    pub median_test_error: Option<f64>,
    /// Mean training loss of the last epoch.
    #[serde(
        default,
        deserialize_with = "lenient",
        skip_serializing_if = "Option::is_none"
    )]
    pub train_loss: Option<f64>,
    /// Training error of the last epoch in percent.
    #[serde(
        default,
        deserialize_with = "lenient",
        skip_serializing_if = "Option::is_none"
    )]
    pub train_error: Option<f64>,
    /// Training images per second over the whole training, evaluation
    /// excluded.
    #[serde(
        default,
        deserialize_with = "lenient",
        skip_serializing_if = "Option::is_none"
    )]
    pub images_per_second: Option<f64>,
    /// Euclidean distance of all parameters from where they started.
    #[serde(
        default,
        deserialize_with = "lenient",
        skip_serializing_if = "Option::is_none"
    )]
    pub distance: Option<f64>,
    /// Everything else, by name.
    #[serde(default, skip_serializing_if = "Metrics::is_empty")]
    pub metrics: Metrics,
    /// The BLAKE3 digest of the safetensors file of the final weights.
    #[serde(
        default,
        deserialize_with = "lenient",
        skip_serializing_if = "Option::is_none"
    )]
    pub weights: Option<WeightsDigest>,
}

/// How many epochs `median_test_error` covers.
pub const MEDIAN_EPOCHS: usize = 5;

impl Finished {
    /// The metrics that have a field of their own.
    pub const FIELDS: [&str; 5] = [
        "median_test_error",
        "train_loss",
        "train_error",
        "images_per_second",
        "distance",
    ];

    fn fields(&mut self) -> [(&'static str, &mut Option<f64>); 5] {
        let [median, loss, error, speed, distance] = Self::FIELDS;
        [
            (median, &mut self.median_test_error),
            (loss, &mut self.train_loss),
            (error, &mut self.train_error),
            (speed, &mut self.images_per_second),
            (distance, &mut self.distance),
        ]
    }

    /// Every metric, including those with a field of their own.
    pub fn all_metrics(mut self) -> impl Iterator<Item = (String, f64)> {
        let metrics = std::mem::take(&mut self.metrics);
        let fields = self
            .fields()
            .map(|(name, value)| value.map(|value| (name.to_owned(), value)));
        metrics.into_iter().chain(fields.into_iter().flatten())
    }
}

impl From<Measurement> for Finished {
    fn from(measured: Measurement) -> Self {
        let mut finished = Self {
            test_error: Some(measured.test_error),
            test_loss: measured.test_loss,
            best_test_error: measured.best_test_error,
            train_seconds: Some(measured.train_seconds),
            metrics: measured.metrics,
            weights: measured.weights,
            ..Self::default()
        };
        let mut metrics = std::mem::take(&mut finished.metrics);
        for (name, value) in finished.fields() {
            *value = metrics.remove(name);
        }
        finished.metrics = metrics;
        finished
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_keeps_its_metrics_on_the_way() {
        let metrics = [
            ("distance", 1.5),
            ("train_loss", 0.25),
            ("goal.10.epoch", 3.0),
        ];
        let metrics = Metrics::collect(metrics, |name, _| panic!("{name}"));
        let event = TrainerEvent::Finished(Box::new(Finished::from(Measurement {
            test_error: 8.5,
            test_loss: None,
            best_test_error: Some(8.0),
            train_seconds: 3.0,
            metrics: metrics.clone(),
            weights: Some(WeightsDigest::from_bytes([0xab; 32])),
        })));
        let text = serde_json::to_string(&event).unwrap();
        let weights = "ab".repeat(32);
        assert_eq!(
            text,
            format!(
                r#"{{"event":"finished","test_error":8.5,"best_test_error":8.0,"train_seconds":3.0,"train_loss":0.25,"distance":1.5,"metrics":{{"goal.10.epoch":3.0}},"weights":"{weights}"}}"#
            )
        );
        let TrainerEvent::Finished(read) = serde_json::from_str(&text).unwrap() else {
            panic!("another event");
        };
        assert_eq!(read.weights, Some(WeightsDigest::from_bytes([0xab; 32])));
        let all = Metrics::collect(read.all_metrics(), |name, _| panic!("{name}"));
        assert_eq!(all, metrics);
    }

    #[test]
    fn fields_that_are_new_never_break_a_program() {
        let line = r#"{"event":"finished","test_error":1,"distance":"far","train_error":null,"metrics":["x"],"weights":"ab"}"#;
        let read: TrainerEvent = serde_json::from_str(line).unwrap();
        assert_eq!(
            read,
            TrainerEvent::Finished(Box::new(Finished {
                test_error: Some(1.0),
                ..Finished::default()
            }))
        );
        let line = r#"{"event":"epoch","epoch":1,"skipped_steps":-1,"loss_scale":[]}"#;
        assert!(matches!(
            serde_json::from_str(line).unwrap(),
            TrainerEvent::Epoch(seen) if seen.skipped_steps.is_none() && seen.loss_scale.is_none()
        ));
    }
}
