//! The job spec: what a cell resolves to, and its canonical form.
//!
//! A spec comes in as a tree (from TOML or JSON), is checked key by key against
//! [`keys::KEYS`], gets its defaults, is checked as a whole, and is written in
//! canonical form: two ways to write one computation give the same bytes, and
//! so the same digest.

mod augmentation;
mod canonical;
mod check;
pub mod keys;
mod model;
mod optimization;
mod size;
mod stored;
mod test_set;
mod training;

use std::sync::LazyLock;

use blake3::Hasher;
use serde::Deserialize;
use serde_json::{Map, Value};

pub use self::augmentation::*;
pub use self::canonical::{canonical, number_text};
pub use self::check::{overpooled, oversized};
pub use self::model::*;
pub use self::optimization::*;
pub use self::size::{check_size, too_deep, too_long, values, weight};
pub use self::stored::{Unreadable, read_stored};
pub use self::test_set::{TEST_SETS_MAX, TestSet, test_sets, unlike};
pub use self::training::*;
use crate::id::{CellDigest, JobDigest, Replicate};
use crate::program::Command;
use crate::seed::Seeds;

/// Raised when the built-in trainer computes something else for the same spec;
/// every job then gets a new name.
pub const RECIPE_VERSION: u32 = 1;

/// What is wrong with a spec, and at which key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}`: {message}")]
pub struct SpecError {
    /// The dotted path.
    pub key: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl SpecError {
    /// An error at `key`.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            message: message.into(),
        }
    }
}

/// Who runs a job.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// The built-in training core.
    Training(Box<TrainingSpec>),
    /// A program of the user's.
    Command(Box<Command>),
    /// Nothing: such a job measures the queue itself.
    Null,
}

/// A checked spec. Its tree has every default filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct JobSpec {
    work: Work,
    tree: Value,
    seed: u64,
}

impl JobSpec {
    /// Checks `tree` and fills in defaults; `seed` may be absent (0).
    ///
    /// # Errors
    ///
    /// Every error of the tree, not just the first.
    pub fn from_value(tree: &Value) -> Result<Self, Vec<SpecError>> {
        check_size(tree).map_err(|error| vec![error])?;
        let errors = keys::check(tree);
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut tree = tree.clone();
        integral_but_params(&mut tree);
        drop_denied_probes(&mut tree);
        let seed = tree.get("seed").and_then(Value::as_u64).unwrap_or(0);
        let work = if let Some(trainer) = tree.get("trainer") {
            let work = other_work(trainer)?;
            if let Some(Value::Object(trainer)) = tree.get_mut("trainer") {
                trainer.remove("goal");
            }
            work
        } else {
            name_optimizer(&mut tree);
            drop_denied_nesterov(&mut tree);
            Work::Training(Box::new(training(&tree)?))
        };
        if let Work::Training(spec) = &work {
            tree = serde_json::to_value(spec).map_err(|error| {
                vec![SpecError::new(
                    "",
                    format!("cannot be written as JSON: {error}"),
                )]
            })?;
            integral(&mut tree);
        }
        if let Some(entries) = tree.as_object_mut() {
            entries.remove("seed");
        }
        Ok(Self { work, tree, seed })
    }

    /// Reads a spec from JSON text.
    ///
    /// # Errors
    ///
    /// As [`JobSpec::from_value`], and where the text is not JSON.
    pub fn from_json(text: &str) -> Result<Self, Vec<SpecError>> {
        let tree: Value = serde_json::from_str(text)
            .map_err(|error| vec![SpecError::new("", format!("not JSON: {error}"))])?;
        Self::from_value(&tree)
    }

    /// Who runs the job.
    pub fn work(&self) -> &Work {
        &self.work
    }

    /// The spec of the built-in trainer, seed included, if this is for it.
    pub fn training(&self) -> Option<&TrainingSpec> {
        match &self.work {
            Work::Training(spec) => Some(spec),
            Work::Command(_) | Work::Null => None,
        }
    }

    /// The job's seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The same spec under another seed.
    #[must_use]
    pub fn with_seed(&self, seed: u64) -> Self {
        let mut spec = self.clone();
        spec.seed = seed;
        if let Work::Training(training) = &mut spec.work {
            training.seed = seed;
        }
        spec
    }

    /// How the replicates of its cell get their seeds.
    pub fn seeds(&self) -> Seeds {
        Seeds::of(&self.tree)
    }

    /// The same spec under the seed of this replicate.
    #[must_use]
    pub fn replicate(&self, replicate: Replicate) -> Self {
        self.with_seed(self.seeds().seed(self.cell_digest(), replicate))
    }

    /// The resolved tree without its seed: a cell.
    pub fn cell_tree(&self) -> &Value {
        &self.tree
    }

    /// The value at a dotted path of the resolved tree.
    pub fn get(&self, path: &str) -> Option<&Value> {
        lookup(&self.tree, path)
    }

    /// The canonical text of the cell: no seed.
    pub fn cell_text(&self) -> String {
        canonical(&self.tree)
    }

    /// The canonical text of the job, seed included: what goes over the wire.
    pub fn job_text(&self) -> String {
        let mut tree = self.tree.clone();
        if let Some(entries) = tree.as_object_mut() {
            entries.insert("seed".to_owned(), self.seed.into());
        }
        canonical(&tree)
    }

    /// The cell's digest.
    pub fn cell_digest(&self) -> CellDigest {
        cell_digest(&self.cell_text())
    }

    /// The job's digest.
    pub fn job_digest(&self) -> JobDigest {
        job_digest(&self.cell_text(), self.seed)
    }
}

/// The digest of a cell from its canonical text.
pub fn cell_digest(cell_text: &str) -> CellDigest {
    static CONTEXT: Context = Context::new(|| Hasher::new_derive_key("swath cell v1"));
    CellDigest::from_bytes(digest(&CONTEXT, cell_text, None))
}

/// The digest of a job from its cell's canonical text and its seed.
pub fn job_digest(cell_text: &str, seed: u64) -> JobDigest {
    static CONTEXT: Context = Context::new(|| Hasher::new_derive_key("swath job v1"));
    JobDigest::from_bytes(digest(&CONTEXT, cell_text, Some(seed)))
}

/// The canonical text of a cell's job, made from the cell's text by adding the
/// seed. None when the cell's text is not a JSON object.
pub fn job_text(cell_text: &str, cell: CellDigest, replicate: Replicate) -> Option<String> {
    let mut tree: Value = serde_json::from_str(cell_text).ok()?;
    let seed = Seeds::of(&tree).seed(cell, replicate);
    tree.as_object_mut()?.insert("seed".to_owned(), seed.into());
    Some(canonical(&tree))
}

/// A hasher that has its key: to derive it takes as long as a short text does.
type Context = LazyLock<Hasher>;

fn digest(context: &Hasher, cell_text: &str, seed: Option<u64>) -> [u8; 32] {
    let mut hasher = context.clone();
    hasher.update(&RECIPE_VERSION.to_le_bytes());
    if let Some(seed) = seed {
        hasher.update(&seed.to_le_bytes());
    }
    hasher.update(cell_text.as_bytes());
    *hasher.finalize().as_bytes()
}

/// The value at a dotted path.
pub fn lookup<'a>(tree: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.')
        .try_fold(tree, |value, name| value.get(name))
}

/// Sets the value at a dotted path, making tables on the way.
pub fn set(tree: &mut Value, path: &str, value: Value) {
    let mut here = tree;
    for name in path.split('.') {
        if !here.is_object() {
            *here = Value::Object(Map::new());
        }
        let Value::Object(entries) = here else { return };
        here = entries.entry(name).or_insert(Value::Null);
    }
    *here = value;
}

fn training(tree: &Value) -> Result<TrainingSpec, Vec<SpecError>> {
    check::required(tree)?;
    let mut spec: TrainingSpec = TrainingSpec::deserialize(tree)
        .map_err(|error| vec![SpecError::new("", error.to_string())])?;
    check::normalize(&mut spec);
    let errors = check::whole(&spec);
    if errors.is_empty() {
        Ok(spec)
    } else {
        Err(errors)
    }
}

/// An optimizer without a name is plain SGD.
fn name_optimizer(tree: &mut Value) {
    if let Some(Value::Object(optimizer)) = tree.get_mut("optimizer") {
        optimizer.entry("name").or_insert_with(|| "sgd".into());
    }
}

/// `nesterov = false` means nothing for an optimizer that has no such option.
fn drop_denied_nesterov(tree: &mut Value) {
    if let Some(Value::Object(optimizer)) = tree.get_mut("optimizer")
        && optimizer.get("name").and_then(Value::as_str) != Some("sgd")
        && optimizer
            .get("nesterov")
            .is_some_and(|value| keys::denies_nesterov("optimizer.nesterov", value))
    {
        optimizer.remove("nesterov");
    }
}

/// `probe = false` means the same as leaving it out.
fn drop_denied_probes(tree: &mut Value) {
    let denied = |table: &mut Map<String, Value>| {
        if table.get("probe") == Some(&Value::Bool(false)) {
            table.remove("probe");
        }
    };
    if let Some(tree) = tree.as_object_mut() {
        denied(tree);
        if let Some(Value::Object(trainer)) = tree.get_mut("trainer") {
            denied(trainer);
        }
    }
}

fn other_work(trainer: &Value) -> Result<Work, Vec<SpecError>> {
    let null = trainer.get("null") == Some(&Value::Bool(true));
    let named = trainer.get("command").is_some();
    if null && !named {
        return Ok(Work::Null);
    }
    let command = if null { &Value::Null } else { trainer };
    Command::from_value(command).map(|command| Work::Command(Box::new(command)))
}

/// Turns whole numbers into integers, but for the parameters of a program that
/// is told how it gets them: there, `1.0` stays what it is.
fn integral_but_params(tree: &mut Value) {
    let trainer = tree.get("trainer");
    let kept = trainer.is_some_and(|trainer| trainer.get("arguments").is_some());
    let params = if kept {
        tree.get_mut("params").map(Value::take)
    } else {
        None
    };
    integral(tree);
    if let (Some(params), Some(entries)) = (params, tree.as_object_mut()) {
        entries.insert("params".to_owned(), params);
    }
}

/// Turns whole numbers into integers, in whatever way they were written: the
/// typed spec can then read `4.0` where it wants an integer.
fn integral(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(float) = number.as_f64()
                && number.is_f64()
                && canonical::has_no_fraction(float)
            {
                *value = Value::from(float as i64);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(integral),
        Value::Object(entries) => entries.values_mut().for_each(integral),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests;
