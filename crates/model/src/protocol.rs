//! The trainer protocol: JSON lines that a trainer writes to its stdout.
//!
//! A worker starts `trainer serve` once per slot and writes one job spec per
//! line to its stdin. For each spec the trainer writes `started`, one `epoch`
//! per epoch, and `finished` or `failed`; then it waits for the next line. A
//! program of the user's speaks the same lines for its one spec.

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use crate::id::WeightsDigest;
use crate::metrics::{BEST_TEST_ERROR, Metrics, TEST_ERROR, TEST_LOSS, TRAIN_ERROR, lenient};
use crate::outcome::{COLUMNS, Fault, Measurement, Observation, Provenance};

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
        /// What this host lacks, if that is why: then the job goes to another
        /// one, and nothing is charged.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lacks: Option<String>,
    },
}

/// The metrics of an `epoch` line besides `seconds`, in their order. They have
/// fields of their own there, and columns in the stores.
pub const EPOCH: [&str; 9] = [
    "train_loss",
    TRAIN_ERROR,
    TEST_LOSS,
    TEST_ERROR,
    "lr",
    "images_per_second",
    "distance",
    "loss_scale",
    "skipped_steps",
];

/// The metrics of a `finished` line besides `train_seconds`, in their order:
/// first [`COLUMNS`]. They have fields of their own there.
pub const FINISHED: [&str; 8] = [
    TEST_ERROR,
    TEST_LOSS,
    BEST_TEST_ERROR,
    "median_test_error",
    "train_loss",
    TRAIN_ERROR,
    "images_per_second",
    "distance",
];

/// Fields of a program's lines that are no metrics.
pub const RESERVED: [&str; 8] = [
    "event",
    "epoch",
    "step",
    "metrics",
    "provenance",
    "weights",
    "fault",
    "message",
];

/// Fields of a program's lines that are times. They have a place of their own.
pub const TIMES: [&str; 2] = ["seconds", "train_seconds"];

/// Why no program may be compared by a metric of this name, if so: its lines use
/// the name for something else.
pub fn why_reserved(name: &str) -> Option<String> {
    let what = match name {
        "event" => "says what a line is",
        "epoch" => "counts epochs",
        "step" => "counts steps",
        _ if RESERVED.contains(&name) => "is something else",
        _ => return None,
    };
    Some(format!(
        "`{name}` {what} in the lines of a program, so it cannot be its metric; name the number \
         that jobs are compared by otherwise"
    ))
}

/// How many epochs `median_test_error` covers.
pub const MEDIAN_EPOCHS: usize = 5;

/// A `finished` line. Every field of it that is a number is a metric, and those
/// under `metrics` are too; what is not a number counts as absent.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "Line")]
pub struct Finished {
    /// Seconds of training, evaluation included; a program may leave them out.
    pub train_seconds: Option<f64>,
    /// Everything else, by name.
    pub values: Metrics,
    /// The BLAKE3 digest of the safetensors file of the final weights.
    pub weights: Option<WeightsDigest>,
}

/// A [`Finished`] as it is read.
#[derive(Deserialize)]
struct Line {
    #[serde(default, deserialize_with = "lenient")]
    train_seconds: Option<f64>,
    #[serde(default, deserialize_with = "lenient")]
    metrics: Option<Metrics>,
    #[serde(default, deserialize_with = "lenient")]
    weights: Option<WeightsDigest>,
    #[serde(flatten)]
    values: Metrics,
}

impl From<Line> for Finished {
    fn from(line: Line) -> Self {
        let metrics = line.metrics.unwrap_or_default();
        Self {
            train_seconds: line.train_seconds,
            values: line.values.with(metrics.iter()),
            weights: line.weights,
        }
    }
}

impl Serialize for Finished {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (before, after) = FINISHED.split_at(COLUMNS.len());
        let mut map = serializer.serialize_map(None)?;
        self.values.write(&mut map, before)?;
        if let Some(seconds) = self.train_seconds {
            map.serialize_entry("train_seconds", &seconds)?;
        }
        self.values.write(&mut map, after)?;
        self.values.write_others(&mut map, &FINISHED)?;
        if let Some(weights) = &self.weights {
            map.serialize_entry("weights", weights)?;
        }
        map.end()
    }
}

impl From<Measurement> for Finished {
    fn from(measured: Measurement) -> Self {
        Self {
            train_seconds: Some(measured.train_seconds),
            values: measured.values,
            weights: measured.weights,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_measurement_keeps_its_metrics_on_the_way() {
        let measured = Measurement {
            train_seconds: 3.0,
            values: Metrics::from([
                ("test_error", 8.5),
                ("best_test_error", 8.0),
                ("distance", 1.5),
                ("train_loss", 0.25),
                ("goal.10.epoch", 3.0),
            ]),
            weights: Some(WeightsDigest::from_bytes([0xab; 32])),
        };
        let event = TrainerEvent::Finished(Box::new(Finished::from(measured.clone())));
        let text = serde_json::to_string(&event).unwrap();
        let weights = "ab".repeat(32);
        assert_eq!(
            text,
            format!(
                r#"{{"event":"finished","test_error":8.5,"best_test_error":8.0,"train_seconds":3.0,"train_loss":0.25,"distance":1.5,"metrics":{{"goal.10.epoch":3.0}},"weights":"{weights}"}}"#
            )
        );
        assert_eq!(serde_json::from_str::<TrainerEvent>(&text).unwrap(), event);
        assert_eq!(
            serde_json::to_string(&measured).unwrap(),
            format!(
                r#"{{"test_error":8.5,"best_test_error":8.0,"train_seconds":3.0,"metrics":{{"distance":1.5,"goal.10.epoch":3.0,"train_loss":0.25}},"weights":"{weights}"}}"#
            )
        );
        assert!(serde_json::from_str::<Measurement>(r#"{"test_error":8.5}"#).is_err());
    }

    #[test]
    fn an_epoch_keeps_its_order_and_its_counts() {
        let line = r#"{"event":"epoch","epoch":2,"step":4,"train_loss":0.5,"test_error":8.5,"lr":0.1,"seconds":3.5,"images_per_second":90.0,"skipped_steps":1,"metrics":{"val/acc":0.75}}"#;
        let event: TrainerEvent = serde_json::from_str(line).unwrap();
        assert_eq!(serde_json::to_string(&event).unwrap(), line);
        let flat = r#"{"event":"epoch","epoch":2,"val/acc":0.75,"note":"x","lr":null}"#;
        assert_eq!(
            serde_json::from_str::<TrainerEvent>(flat).unwrap(),
            TrainerEvent::Epoch(Observation {
                epoch: 2,
                values: Metrics::from([("val/acc", 0.75)]),
                ..Observation::default()
            })
        );
    }

    #[test]
    fn what_is_no_number_never_breaks_a_program() {
        let line = r#"{"event":"finished","test_error":1,"distance":"far","train_error":null,"metrics":["x"],"weights":"ab"}"#;
        let read: TrainerEvent = serde_json::from_str(line).unwrap();
        assert_eq!(
            read,
            TrainerEvent::Finished(Box::new(Finished {
                values: Metrics::from([("test_error", 1.0)]),
                ..Finished::default()
            }))
        );
        let line = r#"{"event":"epoch","epoch":1,"skipped_steps":-1,"loss_scale":[]}"#;
        assert!(matches!(
            serde_json::from_str(line).unwrap(),
            TrainerEvent::Epoch(seen) if seen.values.is_empty()
        ));
    }

    fn any_values() -> impl Strategy<Value = Metrics> {
        let known = crate::metrics::KNOWN.map(|known| known.name).to_vec();
        let fields = vec!["epoch", "step", "metrics", "event", "weights"];
        let name = prop_oneof![
            proptest::sample::select(known).prop_map(str::to_owned),
            proptest::sample::select(fields).prop_map(str::to_owned),
            "[!-~]{1,128}",
            "[a-z]é[\\PC]{0,9}z",
        ];
        let value = prop_oneof![any::<f64>(), any::<u32>().prop_map(f64::from)];
        proptest::collection::vec((name, value), 0..20)
            .prop_map(|pairs| pairs.into_iter().collect())
    }

    proptest! {
        #[test]
        fn json_gives_every_bit_back(
            values in any_values(),
            seconds in proptest::option::of(-1e300..1e300_f64),
            epoch in any::<u32>(),
            step in any::<u64>(),
        ) {
            let seen = Observation { epoch, step, seconds, values: values.clone() };
            let event = TrainerEvent::Epoch(seen.clone());
            let text = serde_json::to_string(&event).unwrap();
            prop_assert_eq!(serde_json::from_str::<TrainerEvent>(&text).unwrap(), event);
            let text = serde_json::to_string(&seen).unwrap();
            prop_assert_eq!(serde_json::from_str::<Observation>(&text).unwrap(), seen);

            let train_seconds = seconds.unwrap_or(1.0);
            let measured = Measurement { train_seconds, values, weights: None };
            let text = serde_json::to_string(&measured).unwrap();
            prop_assert_eq!(serde_json::from_str::<Measurement>(&text).unwrap(), measured.clone());
            let event = TrainerEvent::Finished(Box::new(measured.into()));
            let text = serde_json::to_string(&event).unwrap();
            prop_assert_eq!(serde_json::from_str::<TrainerEvent>(&text).unwrap(), event);
        }
    }
}
