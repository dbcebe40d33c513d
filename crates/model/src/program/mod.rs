//! Programs of users': how one is called, what it gets, and where its numbers
//! are read.

mod argv;
mod read;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::argv::{Facts, GIVEN, MissingName, argv, names};
pub use self::read::{Pattern, Read};
use crate::id::InputDigest;
use crate::metrics::{self, Goal, MetricError};
use crate::protocol;
use crate::seed::Seeds;
use crate::spec::SpecError;

/// A program of a user's, as the spec of a cell names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Program and arguments; never empty.
    pub argv: Vec<String>,
    /// How it gets the parameters. Absent: `argv` is taken as it is, and the
    /// spec comes on stdin.
    pub arguments: Option<Arguments>,
    /// The metric whose value the cell shows.
    pub metric: String,
    /// Which values of it are better, where the spec says so. It does not
    /// change what is computed, so the canonical tree does not have it.
    pub goal: Option<Goal>,
    /// Where its numbers are; absent: in lines of the trainer protocol.
    pub read: Option<Read>,
    /// Variables of its environment.
    pub environment: BTreeMap<String, String>,
    /// How its replicates get their seeds.
    pub seeds: Seeds,
    /// The files that it is made of, and the digest of each.
    pub inputs: BTreeMap<String, InputDigest>,
}

/// How a program gets the parameters of its job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// Where the command names them: `{lr}`.
    Template,
    /// `--batch-size 64` after the command.
    Flags,
    /// `--batch_size 64` after the command.
    UnderscoreFlags,
    /// `batch_size=64` after the command, in the grammar of Hydra's overrides.
    Overrides,
    /// In the spec, on stdin and in the file that `SWATH_SPEC` names.
    None,
}

impl Arguments {
    /// Their names in files.
    pub const NAMES: [&str; 5] = ["template", "flags", "underscore_flags", "overrides", "none"];

    fn from_name(name: &str) -> Option<Self> {
        let all = [
            Self::Template,
            Self::Flags,
            Self::UnderscoreFlags,
            Self::Overrides,
            Self::None,
        ];
        let named = Self::NAMES.iter().position(|known| *known == name);
        named.map(|place| all[place])
    }
}

impl Command {
    /// Reads the table `trainer` of a spec that names a program.
    ///
    /// # Errors
    ///
    /// What is wrong at which key.
    pub fn from_value(trainer: &Value) -> Result<Self, Vec<SpecError>> {
        let mut errors = Vec::new();
        let mut wrong = |key: &str, message: String| {
            errors.push(SpecError::new(format!("trainer.{key}"), message));
        };
        let texts = |items: &Vec<Value>| {
            let texts = items.iter().filter_map(Value::as_str);
            texts.map(str::to_owned).collect::<Vec<String>>()
        };
        let text = |name: &str| trainer.get(name).and_then(Value::as_str);
        let argv = trainer.get("command").and_then(Value::as_array).map(texts);
        let argv = argv.unwrap_or_default();
        if argv.first().is_none_or(|program| program.trim().is_empty()) {
            let message = "must name a program and its arguments, like [\"python3\", \"train.py\"]";
            wrong("command", message.to_owned());
        }
        let metric = text("metric").unwrap_or(metrics::TEST_ERROR);
        if !metrics::is_name(metric) {
            wrong("metric", format!("`{metric}`: {}", MetricError::Name));
        } else if let Some(why) = protocol::why_reserved(metric) {
            wrong("metric", why);
        }
        let read = trainer
            .get("read")
            .map(|read| Read::from_value(read, metric));
        let read = read.transpose().unwrap_or_else(|message| {
            wrong("read", message);
            None
        });
        let environment = environment(trainer).unwrap_or_else(|message| {
            wrong("environment", message);
            BTreeMap::new()
        });
        let seeds = trainer.get("seeds").map(Seeds::from_value).transpose();
        let seeds = seeds.unwrap_or_else(|message| {
            wrong("seeds", message.to_owned());
            None
        });
        let inputs = inputs(trainer).unwrap_or_else(|message| {
            wrong("inputs", message);
            BTreeMap::new()
        });
        let command = Self {
            argv,
            arguments: text("arguments").and_then(Arguments::from_name),
            metric: metric.to_owned(),
            goal: text("goal").and_then(Goal::from_name),
            read,
            environment,
            seeds: seeds.unwrap_or_default(),
            inputs,
        };
        if errors.is_empty() {
            Ok(command)
        } else {
            Err(errors)
        }
    }

    /// Whether it gets the spec on its stdin.
    pub fn takes_stdin(&self) -> bool {
        matches!(self.arguments, None | Some(Arguments::None))
    }
}

fn table<'a>(trainer: &'a Value, name: &str) -> Result<Option<&'a Map<String, Value>>, String> {
    let Some(value) = trainer.get(name) else {
        return Ok(None);
    };
    let table = value
        .as_object()
        .ok_or("must be a table of names and texts");
    Ok(Some(table?))
}

fn environment(trainer: &Value) -> Result<BTreeMap<String, String>, String> {
    let entries = table(trainer, "environment")?.into_iter().flatten();
    entries
        .map(|(name, value)| {
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(format!("`{name}` is no name of a variable"));
            }
            if name.starts_with("SWATH_") {
                return Err(format!("`{name}` is set by Swath"));
            }
            let text = value.as_str().filter(|text| !text.contains('\0'));
            let text = text.ok_or_else(|| format!("`{name}` must be a text, in quotes"))?;
            Ok((name.clone(), text.to_owned()))
        })
        .collect()
}

fn inputs(trainer: &Value) -> Result<BTreeMap<String, InputDigest>, String> {
    let entries = table(trainer, "inputs")?.into_iter().flatten();
    entries
        .map(|(path, digest)| {
            let digest = digest.as_str().and_then(|text| text.parse().ok());
            let digest = digest.ok_or_else(|| format!("`{path}` has no digest"))?;
            Ok((path.clone(), digest))
        })
        .collect()
}

/// The digest of a file with this content.
pub fn input_digest(content: &[u8]) -> InputDigest {
    InputDigest::from_bytes(*blake3::hash(content).as_bytes())
}

/// The variable that names a job to its program.
pub const JOB_VARIABLE: &str = "SWATH_JOB";

/// The variables by which a program learns about its job. A command of Swath that
/// the program starts has options of its own, and must not take these for them.
pub const JOB_VARIABLES: [&str; 9] = [
    JOB_VARIABLE,
    "SWATH_ATTEMPT",
    "SWATH_SWEEP",
    "SWATH_REPLICATE",
    "SWATH_SEED",
    "SWATH_DEVICE",
    "SWATH_THREADS",
    "SWATH_OUT",
    "SWATH_SPEC",
];

/// The largest file that a program may be made of, in bytes, and so much are all
/// of them together.
pub const INPUTS_BYTES_MAX: u64 = 64 << 20;

/// The most files that a program may be made of.
pub const INPUTS_MAX: usize = 10_000;

/// A file is kept and read in pieces of so many bytes; only the last one of a
/// file is smaller.
pub const INPUT_PIECE_BYTES: usize = 1 << 20;

/// Whether a path names something below the directory from which it is seen.
pub fn is_below(path: &str) -> bool {
    let mut parts = Path::new(path).components();
    let plain = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    !path.is_empty() && !path.contains('\0') && parts.all(plain)
}

/// The files of a program that travel with its sweep: those that its spec names.
/// Each attempt gets a copy of them, and is started there.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Shipped {
    /// Where in the copy the directory of the program is; empty: it is the whole
    /// copy.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub directory: String,
    /// Whether all of the files may be executed, as some file systems have it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all_executable: bool,
    /// Otherwise those of them that may, [`EXECUTABLES_MAX`] at most: every cell
    /// and every grant has this.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub executable: BTreeSet<String>,
}

impl Shipped {
    /// Whether a file may be executed.
    pub fn is_executable(&self, path: &str) -> bool {
        self.all_executable || self.executable.contains(path)
    }
}

/// The most files that may be executed among others that may not.
pub const EXECUTABLES_MAX: usize = 256;

/// How a program is started besides what it computes: no part of the name of a
/// job.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Launch {
    /// The name of the sweep that wants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sweep: Option<String>,
    /// The directory in which it is started; absent: that of the worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// How its files travel with the sweep, if they do; it is not started in
    /// `directory` then, but in a copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipped: Option<Shipped>,
    /// Parameters that change nothing of what is computed, each as JSON.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub local: BTreeMap<String, String>,
    /// Whether its sweep compares what the metric was in single epochs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wants_epochs: bool,
    /// How long it may take, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// How long it may write nothing, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silence_ms: Option<u64>,
}

impl Launch {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// How long it is as JSON, in bytes.
    pub fn bytes(&self) -> usize {
        if self.is_empty() {
            return 0;
        }
        serde_json::to_string(self).map_or(0, |text| text.len())
    }

    /// How long the program may take.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout_ms.map(Duration::from_millis)
    }

    /// How long the program may write nothing.
    pub fn silence(&self) -> Option<Duration> {
        self.silence_ms.map(Duration::from_millis)
    }

    /// A parameter that changes nothing of what is computed.
    pub fn local(&self, name: &str) -> Option<Value> {
        let text = self.local.get(name)?;
        serde_json::from_str(text).ok()
    }
}

#[cfg(test)]
mod tests;
