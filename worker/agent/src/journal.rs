//! What one attempt reports while it runs: observations and log text.

use std::collections::VecDeque;
use std::fmt::Write;
use std::time::Duration;

use swath_model::limits;
use swath_model::message::{Held, Report};
use swath_model::outcome::Observation;

use crate::outbox::observation_bytes;

/// Time between two reports of an attempt.
const INTERVAL: Duration = Duration::from_secs(1);

/// This many observations are reported without waiting for the interval.
const FULL: usize = 32;

/// The most bytes of observations in a report; a single one has far fewer.
const OBSERVATION_BYTES: usize = 512 << 10;

/// The most observations kept while the coordinator is away.
const OBSERVATIONS_KEPT: usize = 50_000;

/// The most log text per report; the rest is left out, and the report says so.
const LOG_PER_REPORT: usize = 32 << 10;

/// The most log text per attempt.
const LOG_PER_ATTEMPT: usize = 4 << 20;

/// The tail of stderr that a fault may quote.
const TAIL_BYTES: usize = 64 << 10;

/// Collects what an attempt reports until it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    held: Held,
    observations: VecDeque<Observation>,
    log: String,
    log_dropped: u64,
    log_total: usize,
    sequence: u64,
    /// The report that was sent and not acknowledged yet. A repeated one must
    /// be equal, or a chunk that arrived twice under one number could differ.
    frozen: Option<Report>,
    sent_at: Option<Duration>,
    tail: String,
}

impl Journal {
    pub(crate) fn new(held: Held) -> Self {
        Self {
            held,
            observations: VecDeque::new(),
            log: String::new(),
            log_dropped: 0,
            log_total: 0,
            sequence: 0,
            frozen: None,
            sent_at: None,
            tail: String::new(),
        }
    }

    /// Adds the observation of an epoch.
    pub(crate) fn observe(&mut self, observation: Observation) {
        if self.observations.len() < OBSERVATIONS_KEPT {
            self.observations.push_back(observation);
        }
    }

    /// Adds text for the log, and how many bytes after it were left out
    /// already.
    pub(crate) fn write(&mut self, text: &str, dropped: u64) {
        // Postgres cannot store text with a NUL.
        let text = text.replace('\0', "\u{fffd}");
        self.tail.push_str(&text);
        if self.tail.len() > 2 * TAIL_BYTES {
            self.tail = last(&self.tail, TAIL_BYTES).to_owned();
        }
        let room = LOG_PER_REPORT
            .saturating_sub(self.log.len())
            .min(LOG_PER_ATTEMPT.saturating_sub(self.log_total));
        let kept = if self.log_dropped == 0 {
            first(&text, room)
        } else {
            ""
        };
        self.log.push_str(kept);
        self.log_total += kept.len();
        self.log_dropped += (text.len() - kept.len()) as u64 + dropped;
    }

    /// The end of what the attempt wrote.
    pub(crate) fn tail(&self) -> &str {
        last(&self.tail, TAIL_BYTES)
    }

    /// Whether there is something to report.
    pub(crate) fn is_empty(&self) -> bool {
        self.frozen.is_none() && !self.has_new()
    }

    fn has_new(&self) -> bool {
        self.has_lines() || !self.log.is_empty()
    }

    /// Whether there is at least one whole line.
    fn has_lines(&self) -> bool {
        !self.observations.is_empty()
            || self.log_dropped > 0
            || self.log.contains('\n')
            || self.log.len() >= LOG_PER_REPORT
    }

    /// The report to send now, if one is due. Call [`Journal::reported`] when it
    /// has arrived; until then the same one is due again.
    pub(crate) fn due(&mut self, now: Duration) -> Option<&Report> {
        if self.frozen.is_none() {
            let rested = self.sent_at.is_none_or(|sent| sent + INTERVAL <= now);
            if !self.has_lines() || !(rested || self.observations.len() >= FULL) {
                return None;
            }
            self.sent_at = Some(now);
            self.frozen = Some(self.next_report(false));
        }
        self.frozen.as_ref()
    }

    /// The report has arrived.
    pub(crate) fn reported(&mut self) {
        self.frozen = None;
    }

    /// Readers of logs get whole lines: an incomplete line waits for its end,
    /// as long as there is room and the attempt goes on.
    fn next_report(&mut self, last: bool) -> Report {
        let mut bytes = 0;
        let fits = |seen: &&Observation| {
            bytes += observation_bytes(seen);
            bytes <= OBSERVATION_BYTES
        };
        let seen = self.observations.iter().take(limits::OBSERVATIONS_MAX);
        let count = seen.take_while(fits).count();
        let observations = self.observations.drain(..count).collect();
        let mut log = std::mem::take(&mut self.log);
        if !last && self.log_dropped == 0 && log.len() < LOG_PER_REPORT {
            self.log = log.split_off(log.rfind('\n').map_or(0, |at| at + 1));
        }
        let dropped = std::mem::take(&mut self.log_dropped);
        if dropped > 0 {
            if !log.is_empty() && !log.ends_with('\n') {
                log.push('\n');
            }
            // Writing to a string does not fail.
            let _written = writeln!(log, "[... {dropped} bytes left out ...]");
        }
        let log_sequence = if log.is_empty() {
            0
        } else {
            self.sequence += 1;
            self.sequence
        };
        Report {
            held: self.held,
            observations,
            log_sequence,
            log,
        }
    }

    /// Everything that has not arrived yet, in order.
    pub(crate) fn close(mut self) -> Vec<Report> {
        let mut reports: Vec<_> = self.frozen.take().into_iter().collect();
        while self.has_new() {
            reports.push(self.next_report(true));
        }
        reports
    }
}

/// The first `bytes` bytes of `text`, cut between characters.
pub(crate) fn first(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// The last `bytes` bytes of `text`, cut between characters.
pub(crate) fn last(text: &str, bytes: usize) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(bytes))..]
}

#[cfg(test)]
mod tests {
    use swath_model::id::{Attempt, JobDigest};

    use super::*;

    fn journal() -> Journal {
        Journal::new(Held {
            job: JobDigest::from_bytes([1; 32]),
            attempt: Attempt(1),
        })
    }

    fn epoch(epoch: u32) -> Observation {
        Observation {
            epoch,
            ..Observation::default()
        }
    }

    #[test]
    fn reports_come_once_a_second_and_repeat_until_they_arrive() {
        let mut journal = journal();
        assert!(journal.due(Duration::ZERO).is_none());
        journal.observe(epoch(1));
        let sent = journal.due(Duration::ZERO).cloned().unwrap();
        journal.observe(epoch(2));
        assert_eq!(journal.due(Duration::from_secs(5)), Some(&sent));
        journal.reported();
        journal.write("x\n", 0);
        let later = journal.due(Duration::from_secs(1)).cloned().unwrap();
        assert_eq!(later.observations, [epoch(2)]);
        assert_eq!((later.log_sequence, later.log.as_str()), (1, "x\n"));
        journal.reported();
        journal.observe(epoch(3));
        assert!(journal.due(Duration::from_millis(1_900)).is_none());
        for number in 4..40 {
            journal.observe(epoch(number));
        }
        assert!(journal.due(Duration::from_millis(1_900)).is_some());
    }

    #[test]
    fn a_flood_is_cut_and_says_so() {
        let mut journal = journal();
        journal.write(&"a".repeat(40 << 10), 7);
        journal.write("b", 0);
        let report = journal.due(Duration::ZERO).unwrap();
        assert!(report.log.len() < limits::LOG_CHUNK_BYTES);
        assert!(report.log.ends_with("a\n[... 8200 bytes left out ...]\n"));
        assert!(journal.tail().ends_with("ab"));
    }

    #[test]
    fn closing_keeps_what_was_sent_before_what_was_not() {
        let mut journal = journal();
        journal.observe(epoch(1));
        journal.due(Duration::ZERO);
        for number in 2..=600 {
            journal.observe(epoch(number));
        }
        let reports = journal.close();
        let epochs: Vec<_> = reports
            .iter()
            .flat_map(|report| report.observations.iter().map(|seen| seen.epoch))
            .collect();
        assert_eq!(epochs, (1..=600).collect::<Vec<_>>());
        assert!(reports.len() == 3);
    }
}
