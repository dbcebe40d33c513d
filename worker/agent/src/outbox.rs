//! Outcomes on their way to the coordinator: first they go to the disk, then
//! the reports of their attempts are sent, then they are.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use swath_model::limits;
use swath_model::message::{Ack, Finish, Held, Report, Verdict};
use swath_model::metrics::Metrics;
use swath_model::outcome::{Fault, Observation, Outcome};

use super::event::Entry;

/// Time between two tries to write what could not be written.
const SPOOL_RETRY: Duration = Duration::from_secs(5);

/// The most bytes of outcomes, or of reports, in one call.
const CALL_BYTES: usize = limits::DISPATCH_MESSAGE_BYTES / 4;

/// The most outcomes in one call.
const CALL_OUTCOMES: usize = 512;

/// The longest text of a provenance, in bytes.
const PROVENANCE_BYTES: usize = 1 << 10;

/// How many acknowledged outcomes a hello names, so that a store that lost them
/// can ask for them again.
const RECENT_MAX: usize = 1024;

/// Outcomes that the coordinator has not acknowledged, and the newest ones that
/// it has.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    entries: BTreeMap<Held, Item>,
    /// To be written, in order.
    unwritten: Vec<Held>,
    /// Whether something is being written.
    writing: bool,
    /// Could not be written; they are offered all the same, and writing is
    /// tried again.
    failed: BTreeSet<Held>,
    retry_at: Option<Duration>,
    /// Outcomes with reports that must arrive first.
    reporting: VecDeque<Held>,
    /// Outcomes that may be offered.
    ready: VecDeque<Held>,
    recent: VecDeque<Entry>,
}

#[derive(Debug)]
struct Item {
    entry: Entry,
    /// Whether it has entered `reporting` or `ready`; when it is written again
    /// after a failure, it must not enter twice.
    queued: bool,
}

impl Outbox {
    /// The outbox at the start, with what the spool contained.
    pub(crate) fn restored(open: Vec<Entry>, recent: Vec<Entry>) -> Self {
        let mut outbox = Self::default();
        for entry in open {
            let held = entry.finish.held;
            outbox.insert(entry);
            outbox.written(held);
        }
        outbox.recent = recent.into();
        outbox.trim();
        outbox
    }

    /// Adds the outcome of an attempt that ended.
    pub(crate) fn push(&mut self, entry: Entry) {
        self.unwritten.push(entry.finish.held);
        self.insert(entry);
    }

    fn insert(&mut self, mut entry: Entry) {
        shorten(&mut entry.finish);
        let item = Item {
            entry,
            queued: false,
        };
        self.entries.insert(item.entry.finish.held, item);
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn contains(&self, held: &Held) -> bool {
        self.entries.contains_key(held)
    }

    pub(crate) fn held(&self) -> impl Iterator<Item = Held> + '_ {
        self.entries.keys().copied()
    }

    pub(crate) fn recent(&self) -> impl Iterator<Item = Held> + '_ {
        self.recent.iter().rev().map(|entry| entry.finish.held)
    }

    /// Whether the disk can be written; no new job should begin if its outcome
    /// could be lost.
    pub(crate) fn disk_is_well(&self) -> bool {
        self.retry_at.is_none()
    }

    /// Whether everything unacknowledged is on the disk.
    pub(crate) fn is_safe(&self) -> bool {
        self.unwritten.is_empty() && !self.writing && self.failed.is_empty()
    }

    /// What to write now. If there is nothing to write and the disk has failed,
    /// it is an empty list, to check the disk.
    pub(crate) fn take_unwritten(&mut self, now: Duration) -> Option<Vec<Entry>> {
        if self.writing {
            return None;
        }
        let retry = self.retry_at.is_some_and(|at| at <= now);
        // Also if something else was written meanwhile: the disk works.
        if retry || self.disk_is_well() {
            self.unwritten.extend(std::mem::take(&mut self.failed));
        }
        let held: Vec<_> = std::mem::take(&mut self.unwritten);
        let entries: Vec<_> = held
            .iter()
            .filter_map(|held| Some(self.entries.get(held)?.entry.clone()))
            .collect();
        if entries.is_empty() && !retry {
            return None;
        }
        self.writing = true;
        Some(entries)
    }

    /// Notes that outcomes are on the disk.
    pub(crate) fn spooled(&mut self, held: &[Held]) {
        self.writing = false;
        self.retry_at = None;
        for held in held {
            self.written(*held);
        }
    }

    /// Notes that outcomes could not be written. They are offered all the same:
    /// once the coordinator has them, the disk does not matter.
    pub(crate) fn spool_failed(&mut self, held: &[Held], now: Duration) {
        self.writing = false;
        self.retry_at = Some(now + SPOOL_RETRY);
        for held in held {
            if self.entries.contains_key(held) {
                self.written(*held);
                self.failed.insert(*held);
            }
        }
    }

    /// Notes that nothing is on the disk any more.
    pub(crate) fn lost(&mut self, now: Duration) {
        self.retry_at = Some(now + SPOOL_RETRY);
        let entries = self.entries.keys().copied();
        let written = entries.filter(|held| !self.unwritten.contains(held));
        self.failed = written.collect();
    }

    fn written(&mut self, held: Held) {
        let item = self.entries.get_mut(&held).filter(|item| !item.queued);
        let Some(item) = item else { return };
        item.queued = true;
        if item.entry.reports.is_empty() {
            self.ready.push_back(held);
        } else {
            self.reporting.push_back(held);
        }
    }

    /// Reports of ended attempts to send now, one per attempt.
    pub(crate) fn reports(&self, mut room: usize) -> Vec<Report> {
        let mut reports = Vec::new();
        for held in &self.reporting {
            let item = self.entries.get(held);
            let report = item.and_then(|item| item.entry.reports.first());
            let Some(report) = report else { continue };
            let bytes = report_bytes(report);
            if bytes > room && !reports.is_empty() {
                break;
            }
            room = room.saturating_sub(bytes);
            reports.push(report.clone());
        }
        reports
    }

    /// Notes that a report of an ended attempt has arrived.
    pub(crate) fn reported(&mut self, report: &Report) {
        let held = report.held;
        let Some(Item { entry, queued }) = self.entries.get_mut(&held) else {
            return;
        };
        if entry.reports.first() != Some(report) {
            return;
        }
        entry.reports.remove(0);
        if entry.reports.is_empty() && *queued {
            self.reporting.retain(|waiting| *waiting != held);
            self.ready.push_back(held);
        }
    }

    /// Outcomes to offer now.
    pub(crate) fn offer(&mut self) -> Vec<Held> {
        let mut offered = Vec::new();
        let mut bytes = 0;
        while let Some(held) = self.ready.front() {
            let Some(item) = self.entries.get(held) else {
                self.ready.pop_front();
                continue;
            };
            bytes += finish_bytes(&item.entry.finish);
            if offered.len() == CALL_OUTCOMES || (bytes > CALL_BYTES && !offered.is_empty()) {
                break;
            }
            offered.extend(self.ready.pop_front());
        }
        offered
    }

    /// Whether there are outcomes to offer.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(crate) fn finishes(&self, held: &[Held]) -> Vec<Finish> {
        held.iter()
            .filter_map(|held| self.entries.get(held))
            .map(|item| item.entry.finish.clone())
            .collect()
    }

    /// Takes back outcomes that were offered in a session that is over.
    pub(crate) fn take_back(&mut self, held: Vec<Held>) {
        for held in held.into_iter().rev() {
            if self.entries.contains_key(&held) {
                self.ready.push_front(held);
            }
        }
    }

    /// Notes the coordinator's answer to an outcome; true if the outcome is
    /// done with.
    pub(crate) fn acknowledged(&mut self, held: Held, ack: Ack) -> bool {
        let Some(Item { mut entry, .. }) = self.entries.remove(&held) else {
            return false;
        };
        self.failed.remove(&held);
        let measured = matches!(entry.finish.outcome, Outcome::Measured(_));
        if ack == Ack::Refused && measured {
            // The attempt is still open, and the only other way for it to end
            // is a fault.
            entry.finish.outcome = Outcome::Failed {
                fault: Fault::Crashed,
                message: "the coordinator refused the measurement: it is not finite".to_owned(),
            };
            self.push(entry);
            return false;
        }
        entry.reports.clear();
        self.recent.push_back(entry);
        self.trim();
        true
    }

    fn trim(&mut self) {
        let excess = self.recent.len().saturating_sub(RECENT_MAX);
        self.recent.drain(..excess);
    }

    /// The coordinator holds the lease of an attempt whose outcome it had
    /// acknowledged, so its store has lost the outcome. True if the outcome is
    /// offered again.
    pub(crate) fn revive(&mut self, held: Held, verdict: Verdict) -> bool {
        if verdict == Verdict::Fenced {
            return false;
        }
        let found = self
            .recent
            .iter()
            .position(|entry| entry.finish.held == held);
        let Some(entry) = found.and_then(|index| self.recent.remove(index)) else {
            return false;
        };
        self.push(entry);
        true
    }

    /// When to look again.
    pub(crate) fn wakes(&self) -> Option<Duration> {
        self.retry_at.filter(|_| !self.writing)
    }
}

/// At least the size of an observation on the wire, where a report has each
/// name once.
pub(crate) fn observation_bytes(seen: &Observation) -> usize {
    32 + values_bytes(&seen.values)
}

fn values_bytes(values: &Metrics) -> usize {
    values.iter().map(|(name, _)| 16 + name.len()).sum()
}

/// The approximate size of a report on the wire.
pub(crate) fn report_bytes(report: &Report) -> usize {
    let observations = report.observations.iter().map(observation_bytes);
    128 + report.log.len() + observations.sum::<usize>()
}

fn finish_bytes(finish: &Finish) -> usize {
    let message = match &finish.outcome {
        Outcome::Measured(measured) => values_bytes(&measured.values),
        Outcome::Failed { message, .. } => message.len(),
    };
    let of = &finish.provenance;
    let texts = [
        &of.device,
        &of.driver,
        &of.libtorch,
        &of.trainer,
        &of.determinism,
    ];
    256 + message + texts.into_iter().map(String::len).sum::<usize>()
}

/// Shortens what a program wrote to what the coordinator accepts: an outcome
/// that it refuses to read would be sent for ever, and would hold up those sent
/// with it.
fn shorten(finish: &mut Finish) {
    let cut = |text: &mut String, bytes| text.truncate(text.floor_char_boundary(bytes));
    if let Outcome::Failed { message, .. } = &mut finish.outcome {
        cut(message, limits::MESSAGE_BYTES);
    }
    let of = &mut finish.provenance;
    for text in [
        &mut of.device,
        &mut of.driver,
        &mut of.libtorch,
        &mut of.trainer,
        &mut of.determinism,
    ] {
        cut(text, PROVENANCE_BYTES);
    }
}

/// The most bytes of reports in one call.
pub(crate) const REPORT_BYTES: usize = CALL_BYTES;
