//! What programs of users' write and how they end. They speak the lines of the
//! trainer protocol between lines of all kinds, so nothing that they write
//! costs their training: what is not understood is a line of the log.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use swath_model::metrics::{BEST_TEST_ERROR, Metrics, TEST_ERROR};
use swath_model::needs::Lack;
use swath_model::outcome::{Fault, Measurement, Outcome, Provenance};
use swath_model::program::Pattern;
use swath_model::protocol::TrainerEvent;

use super::Agent;
use super::event::{ChildId, End, Line};
use super::slot::Running;
use crate::classify::{Who, ending, failed, told, unexplained};
use crate::epochs::is_epoch;
use crate::line::{Found, find};
use crate::open_line::newest_state;
use crate::rows::{Odd, Row, Told};
use crate::tail::{Stream, Tail};
use crate::thinned::Thinned;

/// How much of the end of a line that was too long is kept for the log.
const LONG_BYTES: usize = 8 << 10;

/// The longest object that is read when it is printed over several lines.
const OBJECT_BYTES: usize = 64 << 10;

/// How much of a line a message quotes.
const QUOTED_BYTES: usize = 200;

/// What is told of a program that has measured, but not ended well.
const ENDED_BADLY: &str = "the program did not end well after its `finished` line, which counts";

impl Agent {
    /// A line of the program on this slot.
    pub(super) fn program_line(&mut self, index: usize, line: Line) {
        let now = self.now;
        let Some(running) = self.slots[index].running.as_mut() else {
            return;
        };
        running.sign = now;
        running.journal.stdout("");
        match line {
            Line::Text(text) => {
                if let Some(rest) = running.take(find(&text), &text, now) {
                    let log = newest_state(&rest).to_owned() + "\n";
                    running.journal.lines(Stream::Stdout, &log);
                }
            }
            // Its text comes when it ends.
            Line::TooLong => {}
            Line::Long {
                head,
                dropped,
                tail,
            } => {
                let rest = running.take(find(&tail), &tail, now).unwrap_or_default();
                let end = super::last(&rest, LONG_BYTES);
                let dropped = dropped + (rest.len() - end.len()) as u64;
                let end = format!("{end}\n");
                running.journal.long_line(&head, dropped, &end);
            }
        }
    }

    /// How far a line of stdout is whose end has not come.
    pub(super) fn partial(&mut self, child: ChildId, text: &str) {
        let now = self.now;
        let slot = self.slot_of(child).map(|index| &mut self.slots[index]);
        let running = slot.and_then(|slot| slot.running.as_mut());
        if let Some(running) = running.filter(|running| running.runs.is_some()) {
            running.sign = now;
            running.journal.stdout(text);
        }
    }
}

impl Running {
    /// Takes in what a line holds; returns its text beside the events, if there
    /// is any.
    fn take(&mut self, found: Found, line: &str, now: Duration) -> Option<String> {
        self.look_for_numbers(line, now);
        let mut text = String::new();
        let mut from = 0;
        for event in found.events {
            for name in &event.left_out {
                self.warn(
                    &format!("`{name}` of a line `{}` is left out", event.name),
                    "it cannot be read",
                );
            }
            if self.hears(event.event, &event.fields, event.epoch, now) {
                text.push_str(&line[from..event.at.start]);
                from = event.at.end;
            }
        }
        text.push_str(&line[from..]);
        if let Some(doubt) = found.doubt {
            let line = super::first(newest_state(line).trim(), QUOTED_BYTES);
            self.doubt = Some(format!("{doubt}: {line}"));
        }
        if let Some(object) = self.gather(line) {
            for event in find(&object).events {
                self.hears(event.event, &event.fields, event.epoch, now);
            }
        }
        let shown = from == 0 || says_something(&text);
        shown.then_some(text)
    }

    /// The object that ends with this line, if it was printed over several lines
    /// with its brackets on lines of their own.
    fn gather(&mut self, line: &str) -> Option<String> {
        let line = line.trim_end();
        if line == "{" {
            self.object.clear();
        } else if self.object.is_empty() || self.object.len() > OBJECT_BYTES {
            self.object.clear();
            return None;
        }
        self.object.push_str(line);
        self.object.push('\n');
        (line == "}").then(|| std::mem::take(&mut self.object))
    }

    /// Takes in an event, and what the program calls its epoch; false if it is none,
    /// and only looks like one.
    fn hears(
        &mut self,
        event: TrainerEvent,
        fields: &Value,
        epoch: Option<f64>,
        now: Duration,
    ) -> bool {
        match event {
            TrainerEvent::Ready { provenance } => self.provenance = provenance,
            TrainerEvent::Started {
                provenance, step, ..
            } => {
                if provenance != Provenance::default() {
                    self.provenance = provenance;
                }
                self.resumed_at = step;
            }
            TrainerEvent::Epoch(mut seen) => {
                // Maybe a logger wrote it.
                if !is_epoch(epoch) && !self.has_metric(fields) {
                    let how = "its `epoch` line has neither the number of an epoch nor its metric";
                    self.doubt = Some(how.to_owned());
                    return false;
                }
                seen.epoch = self.numbering.number(epoch);
                self.observed(seen, fields, now);
            }
            TrainerEvent::Checkpoint { .. } => {}
            TrainerEvent::Finished(_) => match self.measured(event, fields, now) {
                Ok(outcome) => self.said = Some(outcome),
                // Maybe a logger wrote it, and the measurement is still to come.
                Err(how) => {
                    self.doubt = Some(how);
                    return false;
                }
            },
            TrainerEvent::Failed {
                lacks: Some(what), ..
            } if !self.has_measured() => self.lack = Some(Lack::Data { what }),
            TrainerEvent::Failed { fault, message, .. } => {
                if self.has_measured() {
                    self.warn(ENDED_BADLY, super::first(&message, LONG_BYTES));
                } else {
                    self.said = Some(told(fault, &message));
                }
            }
        }
        self.has_spoken = true;
        true
    }

    /// Takes in the numbers that the program's patterns find in a line.
    fn look_for_numbers(&mut self, line: &str, now: Duration) {
        let Some(about) = &self.runs else {
            return;
        };
        // Of a line that is written anew after each carriage return, the last state.
        let line = plain(line);
        let found = about.patterns.iter().flat_map(|it| it.find(&line));
        let found: BTreeMap<&str, &str> = found.collect();
        if found.is_empty() {
            return;
        }
        let mut row = Row::default();
        for (name, text) in found {
            row.add_text(name, text);
        }
        let taken = now.saturating_sub(self.started).as_secs_f64();
        self.read(row, Some(taken), now);
    }

    /// Takes in a row. The log tells what is left out because it is no number: of
    /// lines, all that a pattern has a name for; of files, which have columns of
    /// text, what has been a number before.
    fn read(&mut self, row: Row, seconds: Option<f64>, now: Duration) {
        let about = self.runs.as_ref();
        let reader = about.and_then(|it| it.reader.as_ref());
        let of_line = seconds.is_some();
        let is_number = |name: &str| {
            of_line || name == self.metric() || reader.is_some_and(|it| it.knows(name))
        };
        let odd = row.odd.iter().filter(|(name, _)| is_number(name));
        let texts = odd.filter_map(|(name, odd)| match odd {
            Odd::Text(text) => Some((name.clone(), text.clone())),
            Odd::Blank | Odd::Null => None,
        });
        for (name, text) in texts.collect::<Vec<_>>() {
            let name = super::first(&name, QUOTED_BYTES);
            self.warn(
                &format!("metric `{name}` is left out"),
                &format!("it is no number: `{text}`"),
            );
        }
        let reader = self.runs.as_mut().and_then(|it| it.reader.as_mut());
        if let Some(mut seen) = reader.and_then(|reader| reader.take(row)) {
            seen.seconds = seconds;
            self.epoch(now, seen.step);
            let value = seen.values.get(self.metric());
            self.journal.observe(seen, value);
        }
    }

    /// Takes in what the program wrote to files.
    pub(crate) fn wrote(&mut self, rows: Result<Thinned<Row>, String>, now: Duration) {
        match rows {
            Ok(mut rows) => {
                while let Some(row) = rows.pop_if(|_| true) {
                    self.read(row, None, now);
                }
                self.journal.left_out(rows.left_out());
            }
            Err(why) => self.doubt = Some(why),
        }
    }

    /// The measurement of a program that writes its numbers its own way and has
    /// ended well, or why there is none.
    fn measured_by_reading(&mut self, now: Duration) -> Option<Outcome> {
        let about = self.runs.as_mut()?;
        let reader = about.reader.as_mut()?;
        let ended = reader.close();
        let (name, own) = (about.metric.clone(), reader.metric());
        let others: Vec<(String, f64)> = reader
            .values()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        if let Some(seen) = ended {
            let value = seen.values.get(&name);
            self.journal.observe(seen, value);
        }
        let own = match own {
            Told::Number(own) => own,
            Told::Text(text) => {
                let how = format!("`{name}` is no number: `{text}`");
                return Some(failed(Fault::Crashed, &how, &self.journal.tail()));
            }
            Told::Nothing { has_blanks } => return Some(self.without_metric(has_blanks)),
        };
        if !own.is_finite() {
            let message = format!("its metric `{name}` is {own}");
            let fault = Fault::Diverged;
            return Some(Outcome::Failed { fault, message });
        }
        let mut values = Metrics::new();
        // Before all others, so that it finds room.
        for (name, value) in std::iter::once((name, own)).chain(others) {
            if let Err(error) = values.insert(&name, value) {
                self.left_out(&name, error);
            }
        }
        Some(Outcome::Measured(Measurement {
            train_seconds: now.saturating_sub(self.started).as_secs_f64(),
            values,
            weights: None,
        }))
    }

    /// Why an attempt has no measurement whose program has not told its metric.
    fn without_metric(&mut self, has_blanks: bool) -> Outcome {
        let (name, tail) = (self.metric(), self.journal.tail());
        let patterns = self.runs.as_ref().map_or(&[][..], |it| &it.patterns);
        if let Some(how) = on_stderr(patterns, name, &tail) {
            return failed(Fault::Crashed, &how, &Tail::default());
        }
        let none = if !patterns.is_empty() {
            format!("no line of its stdout matches the pattern of `{name}`")
        } else if has_blanks {
            format!("what it wrote has no number for `{name}`, only blanks")
        } else {
            format!("what it wrote has no `{name}`")
        };
        let how = self.doubt.take().unwrap_or(none);
        failed(Fault::Crashed, &how, &tail)
    }

    /// Whether it is the trainer, or a program that speaks its protocol.
    fn who(&self) -> Who {
        match &self.runs {
            None => Who::Trainer,
            Some(about) if about.reader.is_none() && self.has_spoken => Who::Speaker,
            Some(_) => Who::Stranger,
        }
    }

    /// Whether the program has told its measurement.
    pub(crate) fn has_measured(&self) -> bool {
        matches!(self.said, Some(Outcome::Measured(_)))
    }

    /// The outcome of an attempt whose child has ended, unless it ended because
    /// it was to stop.
    pub(crate) fn concluded(&mut self, end: &End, now: Duration) -> Option<Outcome> {
        if self.has_measured() && *end != End::Exit(0) {
            self.warn(ENDED_BADLY, &ending(self.who(), end).1);
        }
        // What it measured stays measured, however it ends.
        if let Some(said) = self.said.take() {
            return Some(self.with_epochs(said));
        }
        if self.stopping {
            return None;
        }
        if *end == End::Exit(0)
            && let Some(read) = self.measured_by_reading(now)
        {
            return Some(self.with_epochs(read));
        }
        let tail = self.journal.tail();
        let doubt = self.doubt.as_ref().filter(|_| *end == End::Exit(0));
        Some(match doubt {
            // It has the line that says the most.
            Some(doubt) => failed(Fault::Crashed, doubt, &Tail::default()),
            None => unexplained(self.who(), end, &tail),
        })
    }

    /// An outcome, or that it cannot count: the sweep compares what the metric was
    /// in epochs, and the program has told none.
    fn with_epochs(&self, outcome: Outcome) -> Outcome {
        let Outcome::Measured(measured) = &outcome else {
            return outcome;
        };
        let metric = self.metric();
        let wanted = self.runs.as_ref().is_some_and(|it| it.wants_epochs);
        let has_best = metric == TEST_ERROR && measured.values.get(BEST_TEST_ERROR).is_some();
        if !wanted || self.journal.has_values() || has_best {
            return outcome;
        }
        let told = measured.values.get(metric);
        let told = told.map_or_else(String::new, |value| format!(" ({value})"));
        let how = format!(
            "the sweep's `measure` takes `{metric}` of its epochs, and the program has told it only \
             at its end{told}; print it for every epoch, or write measure = \"last\""
        );
        // Another attempt would end the same way.
        failed(Fault::Invalid, &how, &Tail::default())
    }

    /// The outcome of an attempt that is ended because it has been silent.
    pub(crate) fn given_up(&mut self, how: &str) -> Outcome {
        if self.has_measured() {
            self.warn(ENDED_BADLY, how);
        }
        let tail = self.journal.tail();
        let said = self.said.take();
        said.unwrap_or_else(|| failed(Fault::TimedOut, how, &tail))
    }
}

/// What to do about a metric that was printed where nobody reads it, if a line of
/// stderr has it.
fn on_stderr(patterns: &[Pattern], metric: &str, tail: &Tail) -> Option<String> {
    let matches = |line: &&str| {
        let line = plain(line);
        let mut found = patterns.iter().flat_map(|it| it.find(&line));
        found.any(|(name, _)| name == metric)
    };
    let line = tail.lines_of(Stream::Stderr).rev().find(matches)?;
    let line = super::first(plain(line).trim(), QUOTED_BYTES).to_owned();
    Some(format!(
        "a line of its stderr matches the pattern of `{metric}`, but only stdout is read; give \
         tqdm `file=sys.stdout`, or add `2>&1` to the command in `sh -c`: {line}"
    ))
}

/// Whether there is more in a text than blanks, marks and the escape sequences
/// of terminals.
fn says_something(text: &str) -> bool {
    plain(text).chars().any(char::is_alphanumeric)
}

/// A line without the escape sequences of terminals, as those of colours.
fn plain(line: &str) -> Cow<'_, str> {
    if line.contains('\u{1b}') {
        anstream::adapter::strip_str(line).to_string().into()
    } else {
        line.into()
    }
}
