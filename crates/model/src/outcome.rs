//! What attempts report: observations while they run, an outcome at the end.

use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::WeightsDigest;
use crate::metrics::{BEST_TEST_ERROR, Key, Metrics, TEST_ERROR, TEST_LOSS, Told};
use crate::protocol::{EPOCH, Finished};

/// What an attempt measured in one epoch.
///
/// In JSON the metrics of [`EPOCH`] are fields of their own, and the others are
/// under `metrics`. When it is read, every other field that is a number is a
/// metric.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    /// Finished epochs, counted from 1.
    pub epoch: u32,
    /// Finished optimizer steps.
    pub step: u64,
    /// Seconds since the training began, evaluation included.
    pub seconds: Option<f64>,
    /// Everything else, by name.
    pub values: Metrics,
}

impl Serialize for Observation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (before, after) = EPOCH.split_at(5);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("epoch", &self.epoch)?;
        map.serialize_entry("step", &self.step)?;
        self.values.write(&mut map, before)?;
        if let Some(seconds) = self.seconds {
            map.serialize_entry("seconds", &seconds)?;
        }
        self.values.write(&mut map, after)?;
        self.values.write_others(&mut map, &EPOCH)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Observation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Observation;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("what was measured in an epoch")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Observation, A::Error> {
                let (mut epoch, mut seen) = (None, Observation::default());
                while let Some(Key(name)) = map.next_key()? {
                    match &*name {
                        "epoch" => epoch = Some(map.next_value()?),
                        "step" => seen.step = map.next_value()?,
                        "metrics" => seen.values.read(&map.next_value()?, |_, _| {}),
                        name => match (name, map.next_value()?) {
                            ("seconds", Told::Number(value)) => seen.seconds = Some(value),
                            (name, Told::Number(value)) => {
                                let _ = seen.values.insert(name, value);
                            }
                            (_, Told::Other(_)) => {}
                        },
                    }
                }
                seen.epoch = epoch.ok_or_else(|| A::Error::missing_field("epoch"))?;
                Ok(seen)
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// What a finished training measured.
///
/// In JSON the metrics of [`COLUMNS`] are fields of their own, and the others
/// are under `metrics`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Finished")]
pub struct Measurement {
    /// Seconds of training, evaluation included. Every training has them, also
    /// one whose program did not report any: estimates depend on them.
    pub train_seconds: f64,
    /// Everything else, by name.
    pub values: Metrics,
    /// The digest of the final weights; a program may have no weights.
    pub weights: Option<WeightsDigest>,
}

/// The metrics of a measurement that have a field of their own in JSON, and a
/// column in each store.
pub const COLUMNS: [&str; 3] = [TEST_ERROR, TEST_LOSS, BEST_TEST_ERROR];

impl Measurement {
    /// Whether it may be recorded: it has a number, and all are finite.
    pub fn is_finite(&self) -> bool {
        self.train_seconds.is_finite() && !self.values.is_empty()
    }
}

impl Serialize for Measurement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.values.write(&mut map, &COLUMNS)?;
        map.serialize_entry("train_seconds", &self.train_seconds)?;
        self.values.write_others(&mut map, &COLUMNS)?;
        if let Some(weights) = &self.weights {
            map.serialize_entry("weights", weights)?;
        }
        map.end()
    }
}

impl TryFrom<Finished> for Measurement {
    type Error = &'static str;

    fn try_from(finished: Finished) -> Result<Self, Self::Error> {
        Ok(Self {
            train_seconds: finished.train_seconds.ok_or("`train_seconds` is missing")?,
            values: finished.values,
            weights: finished.weights,
        })
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
