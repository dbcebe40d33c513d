//! One slot: its child, and the attempt that the child runs.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use swath_model::device::Device;
use swath_model::message::{Held, Report};
use swath_model::metrics::{MetricError, Metrics, TEST_ERROR};
use swath_model::needs::Lack;
use swath_model::outcome::{Fault, Measurement, Observation, Outcome, Provenance};
use swath_model::placement::Placement;
use swath_model::program::{Command, Launch, Pattern, Read};
use swath_model::protocol::{EPOCH, FINISHED, RESERVED, TIMES, TrainerEvent};
use swath_model::text::duration;

use super::epochs::Numbering;
use super::event::{ChildId, End};
use super::journal::Journal;
use super::pace::Sort;
use super::rows::Reader;
use crate::classify::failed;
use crate::line::not_finite;
use crate::tail::Tail;

/// The exit code of a program whose libraries cannot be loaded.
const UNLINKED: i32 = 127;

/// Epochs whose times the watchdog remembers.
const EPOCHS_REMEMBERED: usize = 31;

/// An epoch may take this many times the median before it counts as a hang.
const EPOCH_FACTOR: f64 = 20.0;

/// Before the time of an epoch is known, the first one may take this many times
/// the hang timeout: it may include a download, or be an epoch of a large model
/// on a CPU.
const FIRST_FACTOR: u32 = 12;

/// The most warnings in the log of one attempt.
const WARNINGS_MAX: usize = 100;

/// The longest text of a program's that a message quotes, in bytes.
const QUOTED_BYTES: usize = 100;

/// A slot: one share of a device.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) device: Device,
    /// The slot whose child has this one's device too, as long as that child is
    /// there.
    pub(crate) lent_to: Option<usize>,
    pub(crate) child: Option<Child>,
    pub(crate) running: Option<Running>,
    /// Whether its child does not end although it was killed.
    pub(crate) stuck: bool,
}

/// The process of a slot.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) id: ChildId,
    /// Whether the child is a warm trainer that takes one spec after another;
    /// otherwise it is a program for one spec.
    pub(crate) serves: bool,
    /// Whether it was told to end.
    pub(crate) ending: bool,
    pub(crate) provenance: Provenance,
}

impl Child {
    /// Whether it is a trainer that ended so before it had said that it is ready. It
    /// is the dynamic linker that ends it so, when a library is not there.
    pub(crate) fn never_started(&self, end: &End) -> bool {
        self.serves && self.provenance == Provenance::default() && *end == End::Exit(UNLINKED)
    }
}

/// What is known of a program that runs.
#[derive(Debug)]
pub(crate) struct About {
    /// The metric that it measures.
    pub(crate) metric: String,
    /// Its command as the sweep names it, for the provenance, if it does not say what it is.
    pub(crate) name: String,
    /// The patterns of its lines that have numbers.
    pub(crate) patterns: Vec<Pattern>,
    /// What it wrote in its own way; none if it speaks the trainer protocol.
    pub(crate) reader: Option<Reader>,
    /// Whether the metric of single epochs is needed.
    pub(crate) wants_epochs: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) silence: Option<Duration>,
}

impl About {
    pub(crate) fn new(command: &Command, launch: &Launch) -> Self {
        Self {
            metric: command.metric.clone(),
            name: command.argv.join(" "),
            patterns: match &command.read {
                Some(Read::Stdout(patterns)) => patterns.clone(),
                _ => Vec::new(),
            },
            reader: command.read.as_ref().map(|_| Reader::new(&command.metric)),
            wants_epochs: launch.wants_epochs,
            timeout: launch.timeout(),
            silence: launch.silence(),
        }
    }
}

/// The attempt that a child runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) held: Held,
    /// Where it runs.
    pub(crate) placement: Placement,
    /// What is known of the program; none for the built-in trainer.
    pub(crate) runs: Option<About>,
    pub(crate) started: Duration,
    pub(crate) sign: Duration,
    pub(crate) epoch_at: Option<Duration>,
    pub(crate) epochs: Vec<f64>,
    /// Steps that an earlier attempt took. Their epochs are reported again at
    /// once and say nothing about how long an epoch takes.
    pub(crate) resumed_at: u64,
    pub(crate) provenance: Provenance,
    pub(crate) journal: Journal,
    /// The numbers of the epochs that its program tells.
    pub(crate) numbering: Numbering,
    /// What its log has been warned of.
    warned: BTreeSet<String>,
    /// What a program said about its end; it counts once the program exits.
    pub(crate) said: Option<Outcome>,
    /// Whether a line of its program was one of the trainer protocol.
    pub(crate) has_spoken: bool,
    /// Why the newest line of a program that looked like an event was none.
    pub(crate) doubt: Option<String>,
    /// The beginning of an object that a program prints over several lines.
    pub(crate) object: String,
    /// What the program says that this host lacks.
    pub(crate) lack: Option<Lack>,
    /// Whether it was told to stop; it is released once it has.
    pub(crate) stopping: bool,
    /// Which version of its code its program was started from, if that is known.
    pub(crate) version: Option<String>,
    /// Whether it waits for files that travel with the sweep.
    pub(crate) waits: bool,
}

impl Running {
    pub(crate) fn new(held: Held, runs: Option<About>, now: Duration) -> Self {
        Self {
            held,
            placement: Placement::default(),
            runs,
            started: now,
            sign: now,
            epoch_at: None,
            epochs: Vec::new(),
            resumed_at: 0,
            provenance: Provenance::default(),
            journal: Journal::new(held),
            numbering: Numbering::default(),
            warned: BTreeSet::new(),
            said: None,
            has_spoken: false,
            doubt: None,
            object: String::new(),
            lack: None,
            stopping: false,
            version: None,
            waits: false,
        }
    }

    pub(crate) fn sort(&self) -> Sort {
        Sort::for_slot(self.runs.is_some())
    }

    /// The metric that the attempt measures.
    pub(crate) fn metric(&self) -> &str {
        self.runs.as_ref().map_or(TEST_ERROR, |it| &it.metric)
    }

    /// Why the attempt is to be ended, if it is: it has been silent, or has run,
    /// for longer than it may.
    pub(crate) fn overdue(&self, timeout: Duration, now: Duration) -> Option<String> {
        if self.stopping || self.waits {
            return None;
        }
        let limits = self.runs.as_ref();
        let most = limits.and_then(|it| it.timeout);
        if let Some(most) = most.filter(|most| now.saturating_sub(self.started) > *most) {
            let most = duration(most.as_secs_f64());
            return Some(format!("took longer than its `timeout`, {most}"));
        }
        let own = limits.and_then(|it| it.silence);
        let patience = own.unwrap_or_else(|| self.patience(timeout));
        (now.saturating_sub(self.sign) > patience).then(|| {
            let seconds = patience.as_secs_f64().round();
            format!("hangs: no line for {seconds} s")
        })
    }

    /// Notes that an epoch ended after `step` steps, if that is known; the
    /// watchdog learns from it.
    pub(crate) fn epoch(&mut self, now: Duration, step: u64) {
        if step <= self.resumed_at && self.resumed_at > 0 {
            return;
        }
        if let Some(last) = self.epoch_at.replace(now) {
            if self.epochs.len() == EPOCHS_REMEMBERED {
                self.epochs.remove(0);
            }
            self.epochs.push(now.saturating_sub(last).as_secs_f64());
        } else {
            self.epochs
                .push(now.saturating_sub(self.started).as_secs_f64());
        }
    }

    /// How long the attempt may be silent.
    pub(crate) fn patience(&self, timeout: Duration) -> Duration {
        let mut epochs = self.epochs.clone();
        epochs.sort_by(f64::total_cmp);
        match epochs.get(epochs.len() / 2) {
            Some(median) => timeout.max(Duration::from_secs_f64(median * EPOCH_FACTOR)),
            None => timeout * FIRST_FACTOR,
        }
    }

    /// What to record about the machine and the program; `device` is the model of
    /// its device, or of all of them.
    pub(crate) fn provenance(&self, child: &Provenance, device: &str, threads: u32) -> Provenance {
        let blank = self.provenance == Provenance::default();
        let mut provenance = if blank { child } else { &self.provenance }.clone();
        if provenance.device.is_empty() {
            device.clone_into(&mut provenance.device);
        }
        if provenance.trainer.is_empty() {
            let name = self.runs.as_ref().map_or("trainer serve", |it| &it.name);
            name.clone_into(&mut provenance.trainer);
            if let Some(version) = &self.version {
                provenance.trainer.push_str(", ");
                provenance.trainer.push_str(version);
            }
        }
        if provenance.threads == 0 {
            provenance.threads = threads;
        }
        provenance
    }

    /// The outcome that a `finished` line tells, or why it tells none.
    pub(crate) fn measured(
        &mut self,
        event: TrainerEvent,
        fields: &Value,
        now: Duration,
    ) -> Result<Outcome, String> {
        let TrainerEvent::Finished(finished) = event else {
            return Err("not a `finished` line".to_owned());
        };
        let name = &*self.metric().to_owned();
        let found = field(fields, name);
        if let Some(printed) = found.and_then(not_finite) {
            let message = format!("its metric `{name}` is {printed}");
            let fault = Fault::Diverged;
            return Ok(Outcome::Failed { fault, message });
        }
        let mut values = Metrics::new();
        let own = found.and_then(Value::as_f64);
        // Before all others, so that it finds room.
        if own.is_none_or(|value| values.insert(name, value).is_err()) {
            return Err(match found {
                None => format!("its `finished` line has no `{name}`"),
                Some(found) => {
                    let found = found.to_string();
                    let found = super::first(&found, QUOTED_BYTES);
                    format!("`{name}` of its `finished` line is {found}, not a finite number")
                }
            });
        }
        let taken = now.saturating_sub(self.started).as_secs_f64();
        let mut values = values.with(finished.values.iter());
        self.read_others(&mut values, fields, &FINISHED);
        Ok(Outcome::Measured(Measurement {
            train_seconds: finished.train_seconds.unwrap_or(taken),
            // The field that was looked at counts, whatever `metrics` says.
            values: values.with([(name, own)]),
            weights: finished.weights,
        }))
    }

    /// Whether a line has a value of the attempt's metric, finite or not.
    pub(crate) fn has_metric(&self, fields: &Value) -> bool {
        let found = field(fields, self.metric());
        found.is_some_and(|found| found.is_number() || not_finite(found).is_some())
    }

    /// Everything that the attempt has not reported yet, once it has ended.
    pub(crate) fn close(mut self) -> Vec<Report> {
        let reader = self.runs.as_ref().and_then(|it| it.reader.as_ref());
        let read = reader.map_or_else(String::new, Reader::remarks);
        self.journal.note(&(self.numbering.remarks() + &read));
        self.journal.close()
    }

    /// Takes in the observation of an epoch. Of a program's, the log says what
    /// could not be recorded.
    pub(crate) fn observed(&mut self, mut seen: Observation, fields: &Value, now: Duration) {
        self.epoch(now, seen.step);
        if self.runs.is_some() {
            // Before all others, so that it finds room.
            let own = self.metric().to_owned();
            let value = field(fields, &own).and_then(Value::as_f64);
            let first = Metrics::new().with([(own, value)]);
            seen.values = first.with(seen.values.iter());
            self.read_others(&mut seen.values, fields, &EPOCH);
        }
        let value = seen.values.get(self.metric());
        self.journal.observe(seen, value);
    }

    /// Reads what a line has under `metrics`, and the numbers beside it that have
    /// not found room. The log tells, once per name, which metrics may not be
    /// recorded, there and among `known`, and which numbers are not finite; and
    /// once how many are too many.
    fn read_others(&mut self, values: &mut Metrics, fields: &Value, known: &[&str]) {
        for (name, value) in fields.as_object().into_iter().flatten() {
            let known = known.contains(&name.as_str()) && !value.is_number();
            if known || not_finite(value).is_some() {
                self.left_out(name, MetricError::NotFinite);
            }
        }
        let mut refused: Vec<(String, MetricError)> = Vec::new();
        for (name, value) in fields.as_object().into_iter().flatten() {
            let is_metric = !RESERVED.contains(&&**name) && !TIMES.contains(&&**name);
            if let Some(value) = value.as_f64().filter(|_| is_metric)
                && values.get(name).is_none()
                && let Err(error) = values.insert(name, value)
            {
                refused.push((name.clone(), error));
            }
        }
        if let Some(metrics) = fields.get("metrics") {
            values.read(metrics, |name, error| {
                refused.push((name.to_owned(), error));
            });
        }
        let many = |(_, error): &(String, MetricError)| *error == MetricError::TooMany;
        let (many, refused): (Vec<_>, Vec<_>) = refused.into_iter().partition(many);
        for (name, error) in refused {
            self.left_out(&name, error);
        }
        if let Some((name, error)) = many.first() {
            let (name, more) = (super::first(name, QUOTED_BYTES), many.len() - 1);
            let all = match more {
                0 => format!("metric `{name}` is left out"),
                more => format!("metric `{name}` and {more} more are left out"),
            };
            self.warn(&all, &error.to_string());
        }
    }

    pub(crate) fn left_out(&mut self, metric: &str, error: MetricError) {
        let name = super::first(metric, QUOTED_BYTES);
        self.warn(&format!("metric `{name}` is left out"), &error.to_string());
    }

    /// Warns in the attempt's log, once of each thing.
    pub(crate) fn warn(&mut self, what: &str, why: &str) {
        if self.warned.len() < WARNINGS_MAX && self.warned.insert(what.to_owned()) {
            self.journal.note(&format!("warning: {what}: {why}\n"));
        }
    }
}

/// The field of a line that a metric has, beside the others or under `metrics`.
fn field<'a>(fields: &'a Value, metric: &str) -> Option<&'a Value> {
    let others = fields.get("metrics");
    fields.get(metric).or_else(|| others?.get(metric))
}

/// The outcome of an attempt whose child wrote something that it must not.
pub(crate) fn broken(how: &str, tail: &Tail) -> Outcome {
    failed(Fault::Crashed, &format!("broke the protocol: {how}"), tail)
}

#[cfg(test)]
mod tests {
    use swath_model::id::{Attempt, JobDigest};

    use super::*;

    #[test]
    fn epochs_that_are_told_again_teach_no_impatience() {
        let second = Duration::from_secs(1);
        let held = Held {
            job: JobDigest::from_bytes([0; 32]),
            attempt: Attempt(2),
        };
        let mut running = Running::new(held, None, second);
        running.resumed_at = 250;
        running.epoch(second, 100);
        running.epoch(second, 200);
        assert_eq!(running.patience(second), second * FIRST_FACTOR);
        running.epoch(11 * second, 300);
        assert_eq!(running.patience(second), second * 200);
        // A program need not count steps.
        let mut running = Running::new(held, None, second);
        running.epoch(11 * second, 0);
        assert_eq!(running.patience(second), second * 200);
    }
}
