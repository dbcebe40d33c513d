//! Probes: jobs that measure what the steps of a training cost, in time and in
//! memory, without training.
//!
//! A probe is a job like any other: it is named by what it computes, kept and
//! retried, and running out of memory is a fault as in any job. Its spec is
//! that of a training without what does not affect the cost of a step (learning
//! rates, budgets, initial weights), so one probe serves all cells of the same
//! cost. The spec says `probe = true` and has a budget of [`STEPS`] steps,
//! which the probe takes on made-up images of the data set's shape where the
//! data set's name determines it.

use serde_json::{Value, json};

use crate::id::{JobDigest, Replicate};
use crate::metrics::Metrics;
use crate::schedule::Timeline;
use crate::spec::{JobSpec, TrainingSpec, Work, canonical};

/// Steps that a probe times.
pub const STEPS: u32 = 20;

/// Whether a resolved spec is that of a probe.
pub fn is_probe(spec: &Value) -> bool {
    spec.get("probe") == Some(&Value::Bool(true))
}

impl JobSpec {
    /// Whether the job measures steps instead of training.
    pub fn is_probe(&self) -> bool {
        is_probe(self.cell_tree())
    }
}

/// Keys that do not affect the cost of a step, or hardly.
const COSTLESS: [&str; 8] = [
    "epochs",
    "steps",
    "schedule",
    "warmup",
    "init",
    "loss",
    "extra_test_sets",
    "probe",
];

/// What a cell's spec says about the cost of its steps: the model, the data,
/// the batch and the precision, but not the learning rate or the length of the
/// training.
fn essence(spec: &Value) -> Value {
    let mut spec = spec.clone();
    let Some(tree) = spec.as_object_mut() else {
        return spec;
    };
    for key in COSTLESS {
        tree.remove(key);
    }
    if let Some(optimizer) = tree.get_mut("optimizer").and_then(Value::as_object_mut) {
        optimizer.retain(|key, _| ["name", "momentum", "nesterov"].contains(&key.as_str()));
        // Only its presence decides what is kept and computed.
        if let Some(momentum) = optimizer.get_mut("momentum") {
            let some = momentum.as_f64().is_some_and(|value| value > 0.0);
            *momentum = json!(if some { 0.9 } else { 0.0 });
        }
        optimizer.insert("lr".to_owned(), json!(0.001));
    }
    if let Some(name) = tree.get_mut("dataset").and_then(|it| it.get_mut("name"))
        && matches!(name.as_str(), Some("fashion_mnist" | "kmnist"))
    {
        // It has as many images of the same shape.
        *name = json!("mnist");
    }
    spec
}

/// The part of a cell's spec that determines its cost per step, as a text.
/// Cells with the same text cost the same per epoch and per step.
pub fn workload(spec: &Value) -> String {
    canonical(&essence(spec))
}

/// Names what trainings of the same cost have in common. A probe has a key of
/// its own, because it does not take as long as a training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkloadKey(pub [u8; 16]);

impl WorkloadKey {
    /// The key of a [`workload`].
    pub fn of(workload: &str) -> Self {
        let mut key = [0; 16];
        let hash = blake3::derive_key("swath workload v1", workload.as_bytes());
        key.copy_from_slice(&hash[..16]);
        Self(key)
    }

    /// The key of a cell with this canonical text.
    pub fn of_cell(cell_text: &str) -> Self {
        match serde_json::from_str(cell_text) {
            Ok(spec) if !is_probe(&spec) => Self::of(&workload(&spec)),
            _ => Self::of(cell_text),
        }
    }
}

/// One probe of a cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// The batch size whose steps it measures; 0 for a program.
    pub batch_size: u32,
    /// The spec that it computes.
    pub spec: JobSpec,
}

impl Probe {
    /// Its job: the first replicate's.
    pub fn job(&self) -> JobDigest {
        self.spec.replicate(Replicate(1)).job_digest()
    }
}

/// The probes of a cell, one for each of its batch sizes. There is none for a
/// program that does not say `trainer.probe`, because the program would train
/// instead.
pub fn probes(spec: &JobSpec) -> Vec<Probe> {
    let sizes = match spec.work() {
        Work::Training(training) => batch_sizes(training),
        Work::Command(_) if spec.get("trainer.probe") == Some(&Value::Bool(true)) => vec![0],
        Work::Command(_) | Work::Null => Vec::new(),
    };
    let probes = sizes.into_iter().filter_map(|batch_size| {
        let mut tree = essence(spec.cell_tree());
        let entries = tree.as_object_mut()?;
        entries.remove("batch_schedule");
        if batch_size > 0 {
            entries.insert("batch_size".to_owned(), json!(batch_size));
        }
        entries.insert("steps".to_owned(), json!(STEPS));
        entries.insert("probe".to_owned(), json!(true));
        let spec = JobSpec::from_value(&tree).ok()?;
        Some(Probe { batch_size, spec })
    });
    probes.collect()
}

/// The batch sizes of a training, each once, in order of use.
fn batch_sizes(spec: &TrainingSpec) -> Vec<u32> {
    let mut sizes = Vec::new();
    let changes = &spec.batch_schedule;
    // A change at epoch 0 replaces the spec's own size.
    if changes.first().is_none_or(|first| first.epoch > 0) {
        sizes.push(spec.batch_size);
    }
    for change in changes {
        if !sizes.contains(&change.batch_size) {
            sizes.push(change.batch_size);
        }
    }
    sizes
}

/// What a probe measured. It reports this in metrics whose names begin with
/// `probe.`; a program must report the first and may report the others.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Timing {
    /// Seconds of one optimizer step.
    pub step_seconds: f64,
    /// Seconds of one evaluation of the test set.
    pub evaluation_seconds: f64,
    /// Steps of one epoch.
    pub steps_per_epoch: Option<f64>,
    /// Images of the training set.
    pub train_images: Option<f64>,
    /// The most memory in use at once, in bytes: the device's memory, or on a
    /// CPU that of the process.
    pub memory_bytes: Option<f64>,
}

/// The metric of [`Timing::step_seconds`].
pub const STEP_SECONDS: &str = "probe.step_seconds";
/// The metric of [`Timing::evaluation_seconds`].
pub const EVALUATION_SECONDS: &str = "probe.evaluation_seconds";
/// The metric of [`Timing::steps_per_epoch`].
pub const STEPS_PER_EPOCH: &str = "probe.steps_per_epoch";
/// The metric of [`Timing::train_images`].
pub const TRAIN_IMAGES: &str = "probe.train_images";
/// The metric of [`Timing::memory_bytes`].
pub const MEMORY_BYTES: &str = "probe.memory_bytes";

impl Timing {
    /// Reads what a probe reported; none if it did not report a step time.
    pub fn of(metrics: &Metrics) -> Option<Self> {
        let get = |name| metrics.get(name).filter(|value| *value >= 0.0);
        Some(Self {
            step_seconds: get(STEP_SECONDS)?,
            evaluation_seconds: get(EVALUATION_SECONDS).unwrap_or(0.0),
            steps_per_epoch: get(STEPS_PER_EPOCH),
            train_images: get(TRAIN_IMAGES),
            memory_bytes: get(MEMORY_BYTES),
        })
    }

    /// The metrics that report it. Numbers that are not finite are left out.
    pub fn metrics(&self) -> Metrics {
        Metrics::from([
            (STEP_SECONDS, Some(self.step_seconds)),
            (EVALUATION_SECONDS, Some(self.evaluation_seconds)),
            (STEPS_PER_EPOCH, self.steps_per_epoch),
            (TRAIN_IMAGES, self.train_images),
            (MEMORY_BYTES, self.memory_bytes),
        ])
    }
}

/// Seconds that one job of this cell takes: its steps times what a step of
/// their batch size takes, plus an evaluation per epoch. None where a batch
/// size was not measured.
pub fn seconds<'a>(spec: &JobSpec, timing: impl Fn(u32) -> Option<&'a Timing>) -> Option<f64> {
    let Some(training) = spec.training() else {
        let timing = timing(0)?;
        let number = |key| spec.get(key).and_then(Value::as_f64);
        let epochs = number("epochs");
        let steps = match number("steps") {
            Some(steps) => steps,
            None => epochs? * timing.steps_per_epoch?,
        };
        let evaluations = epochs.unwrap_or(1.0);
        return Some(steps * timing.step_seconds + evaluations * timing.evaluation_seconds);
    };
    let images = match training.dataset.train_images() {
        Some(images) => u64::from(images),
        None => timing(training.batch_size)?.train_images? as u64,
    };
    let timeline = Timeline::new(training, images).ok()?;
    let (steps, epochs) = (timeline.total_steps(), timeline.total_epochs());
    let mut seconds = 0.0;
    for epoch in 0..epochs {
        let timing = timing(u32::try_from(timeline.batch_size(epoch)).ok()?)?;
        let first = timeline.first_step(epoch);
        let last = (first + timeline.steps_in(epoch)).min(steps);
        seconds += (last - first) as f64 * timing.step_seconds + timing.evaluation_seconds;
    }
    Some(seconds)
}

#[cfg(test)]
mod tests;
