//! What one attempt reports while it runs: observations and log text.

use std::collections::VecDeque;
use std::time::Duration;

use swath_model::limits;
use swath_model::message::{Held, Report};
use swath_model::outcome::Observation;

use crate::clip::{Clip, Piece};
use crate::open_line::OpenLine;
use crate::outbox::observation_bytes;
use crate::tail::{Stream, Tail};
use crate::thinned::Thinned;

/// Time between two reports of an attempt.
const INTERVAL: Duration = Duration::from_secs(1);

/// This many observations are reported without waiting for the interval.
const FULL: usize = 32;

/// The most bytes of observations in a report; a single one has far fewer.
const OBSERVATION_BYTES: usize = 512 << 10;

/// The most observations kept while the coordinator is away.
const OBSERVATIONS_KEPT: usize = 50_000;

/// The log text that an attempt may send as fast as it is written.
const LOG_QUICK_BYTES: u64 = 4 << 20;

/// Time between two pieces of log text after that, so that a program that never
/// stops to talk costs little, and its log still goes on.
const LOG_SLOW_INTERVAL: Duration = Duration::from_secs(10);

/// Collects what an attempt reports until it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    held: Held,
    /// Those of too many that wait to be sent are left out.
    observations: Thinned<Observation>,
    /// Rows of files that were left out because there were too many.
    lost: u64,
    log: Clip,
    /// What was taken from the log to be sent; each piece is a chunk of its own,
    /// so that bytes between them can be counted.
    pieces: VecDeque<Piece>,
    /// Bytes of log text in all reports so far.
    sent_bytes: u64,
    /// Bytes of the log up to there, with those that were left out.
    log_end: u64,
    log_at: Option<Duration>,
    /// The line of stderr, and that of stdout, whose end has not come.
    stderr: OpenLine,
    stdout: OpenLine,
    /// The report that was sent and not acknowledged yet. A repeated one must
    /// be equal, or a chunk that arrived twice under one number could differ.
    frozen: Option<Report>,
    sent_at: Option<Duration>,
    tail: Tail,
}

impl Journal {
    pub(crate) fn new(held: Held) -> Self {
        Self {
            held,
            observations: Thinned::new(OBSERVATIONS_KEPT, limits::LAST_EPOCHS_MAX),
            lost: 0,
            log: Clip::default(),
            pieces: VecDeque::new(),
            sent_bytes: 0,
            log_end: 0,
            log_at: None,
            stderr: OpenLine::default(),
            stdout: OpenLine::default(),
            frozen: None,
            sent_at: None,
            tail: Tail::default(),
        }
    }

    /// Adds the observation of an epoch, in which the job's metric had this value.
    pub(crate) fn observe(&mut self, observation: Observation, value: Option<f64>) {
        self.observations.push(observation, value);
    }

    /// Whether the job's metric had a value in an epoch.
    pub(crate) fn has_values(&self) -> bool {
        self.observations.has_values()
    }

    /// Notes that so many rows of the program's files were left out.
    pub(crate) fn left_out(&mut self, rows: u64) {
        self.lost += rows;
    }

    /// Adds whole lines of a stream to the log.
    pub(crate) fn lines(&mut self, stream: Stream, text: &str) {
        // Postgres cannot store text with a NUL.
        let text = text.replace('\0', "\u{fffd}");
        self.tail.push(stream, &text);
        self.log.push(&text);
    }

    /// Adds a line of stdout from whose middle so many bytes are left out.
    pub(crate) fn long_line(&mut self, head: &str, dropped: u64, tail: &str) {
        self.lines(Stream::Stdout, head);
        let mark = format!("[... {dropped} bytes left out ...]");
        self.tail.push(Stream::Stdout, &mark);
        self.log.skip(dropped);
        self.lines(Stream::Stdout, tail);
    }

    /// Adds whole lines of the worker's own to the log. No fault quotes them.
    pub(crate) fn note(&mut self, text: &str) {
        self.log.push(&text.replace('\0', "\u{fffd}"));
    }

    /// Adds stderr text, and how many bytes after it were left out already.
    pub(crate) fn stderr(&mut self, text: &str, dropped: u64) {
        let mut rest = text;
        while let Some((line, after)) = rest.split_once('\n') {
            let line = match self.stderr.push(line) {
                Some(long) => long,
                None => self.stderr.end(),
            };
            self.lines(Stream::Stderr, &(line + "\n"));
            rest = after;
        }
        if let Some(long) = self.stderr.push(rest) {
            self.lines(Stream::Stderr, &long);
        }
        if dropped > 0 {
            self.flush();
            self.log.skip(dropped);
        }
    }

    /// Notes how far the line of stdout is whose end has not come.
    pub(crate) fn stdout(&mut self, line: &str) {
        self.stdout.set(line);
    }

    /// Ends the lines that are open.
    fn flush(&mut self) {
        let (told, ended) = (!self.stderr.is_new(), self.stderr.end());
        if !told && !ended.is_empty() {
            self.lines(Stream::Stderr, &ended);
        }
    }

    /// The end of what the attempt wrote.
    pub(crate) fn tail(&self) -> Tail {
        let mut tail = self.tail.clone();
        tail.push(Stream::Stderr, self.stderr.state());
        tail
    }

    /// Whether there is something to report.
    pub(crate) fn is_empty(&self) -> bool {
        self.frozen.is_none() && !self.has_new()
    }

    fn has_new(&self) -> bool {
        let open = self.stderr.is_new() || self.stdout.is_new();
        let log = !self.pieces.is_empty() || !self.log.is_empty();
        !self.observations.is_empty() || log || open
    }

    /// The report to send now, if one is due. Call [`Journal::reported`] when it
    /// has arrived; until then the same one is due again.
    pub(crate) fn due(&mut self, now: Duration) -> Option<&Report> {
        if self.frozen.is_none() {
            let rested = self.sent_at.is_none_or(|sent| sent + INTERVAL <= now);
            if !rested && self.observations.len() < FULL && self.pieces.is_empty() {
                return None;
            }
            if self.pieces.is_empty() && self.log_is_due(now) {
                self.log_at = Some(now);
                self.pieces.extend(self.log.take());
            }
            if self.observations.is_empty() && self.pieces.is_empty() {
                return None;
            }
            self.sent_at = Some(now);
            self.frozen = Some(self.next_report());
        }
        self.frozen.as_ref()
    }

    /// Whether log text is to be sent now. The state of an open line is text
    /// when it is old enough.
    fn log_is_due(&mut self, now: Duration) -> bool {
        let slow = self.sent_bytes >= LOG_QUICK_BYTES;
        let rest = if slow { LOG_SLOW_INTERVAL } else { INTERVAL };
        if self.log_at.is_some_and(|at| at + rest > now) {
            return false;
        }
        for line in [&mut self.stderr, &mut self.stdout] {
            if let Some(state) = line.due(now) {
                let state = state.replace('\0', "\u{fffd}") + "\n";
                self.log.push(&state);
            }
        }
        !self.log.is_empty()
    }

    /// The report has arrived.
    pub(crate) fn reported(&mut self) {
        self.frozen = None;
    }

    fn next_report(&mut self) -> Report {
        let mut bytes = 0;
        let next = || {
            self.observations.pop_if(|seen| {
                bytes += observation_bytes(seen);
                bytes <= OBSERVATION_BYTES
            })
        };
        let observations = std::iter::from_fn(next)
            .take(limits::OBSERVATIONS_MAX)
            .collect();
        let (log_sequence, log) = match self.pieces.pop_front() {
            Some(Piece { skipped, text }) => {
                self.sent_bytes += text.len() as u64;
                self.log_end += skipped + text.len() as u64;
                (self.log_end, text)
            }
            None => (0, String::new()),
        };
        Report {
            held: self.held,
            observations,
            log_sequence,
            log,
        }
    }

    /// The next report of an attempt that has ended.
    fn last_report(&mut self) -> Report {
        if self.pieces.is_empty() {
            self.pieces.extend(self.log.take());
        }
        self.next_report()
    }

    /// Everything that has not arrived yet, in order.
    pub(crate) fn close(mut self) -> Vec<Report> {
        self.flush();
        if self.stdout.is_new() {
            let line = self.stdout.end();
            self.lines(Stream::Stdout, &line);
        }
        let mut reports: Vec<_> = self.frozen.take().into_iter().collect();
        while !self.observations.is_empty() {
            reports.push(self.last_report());
        }
        let lost = self.lost + self.observations.left_out();
        if lost > 0 {
            let text = format!(
                "warning: {lost} epochs are left out, evenly: they came faster than they could \
                 be sent; the best and the last ones are there\n"
            );
            self.note(&text);
        }
        while self.has_new() {
            reports.push(self.last_report());
        }
        reports
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use swath_model::id::{Attempt, JobDigest};

    use super::*;
    use crate::clip::KEPT_BYTES;

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
        journal.observe(epoch(1), None);
        let sent = journal.due(Duration::ZERO).cloned().unwrap();
        journal.observe(epoch(2), None);
        assert_eq!(journal.due(Duration::from_secs(5)), Some(&sent));
        journal.reported();
        journal.lines(Stream::Stdout, "x\n");
        let later = journal.due(Duration::from_secs(1)).cloned().unwrap();
        assert_eq!(later.observations, [epoch(2)]);
        assert_eq!((later.log_sequence, later.log.as_str()), (2, "x\n"));
        journal.reported();
        journal.observe(epoch(3), None);
        assert!(journal.due(Duration::from_millis(1_900)).is_none());
        for number in 4..40 {
            journal.observe(epoch(number), None);
        }
        assert!(journal.due(Duration::from_millis(1_900)).is_some());
    }

    #[test]
    fn a_flood_is_cut_in_its_middle_and_says_so() {
        let mut journal = journal();
        journal.stderr(&"a".repeat(40 << 10), 7);
        journal.stderr("b\n", 0);
        let report = journal.due(Duration::ZERO).unwrap();
        let kept = KEPT_BYTES as u64;
        assert_eq!(report.log_sequence, kept);
        assert_eq!(report.log, "a".repeat(KEPT_BYTES));
        journal.reported();
        // Its end follows at once.
        let report = journal.due(Duration::ZERO).unwrap();
        let all = (40 << 10) + 7 + 2;
        assert_eq!((report.log_sequence, report.log.as_str()), (all, "b\n"));
        assert!(journal.tail().text().ends_with("ab\n"));
    }

    /// The text of all reports of this many seconds, and when each came.
    fn told(
        journal: &mut Journal,
        seconds: u64,
        mut each: impl FnMut(&mut Journal),
    ) -> Vec<(u64, String)> {
        let mut told = Vec::new();
        for second in 0..seconds {
            each(journal);
            let mut all = String::new();
            while let Some(report) = journal.due(Duration::from_secs(second)) {
                all.push_str(&report.log);
                journal.reported();
            }
            if !all.is_empty() {
                told.push((second, all));
            }
        }
        told
    }

    #[test]
    fn a_log_goes_on_slowly_after_its_budget_and_keeps_its_end() {
        let mut journal = journal();
        let flood = |journal: &mut Journal| journal.lines(Stream::Stdout, &"x\n".repeat(20 << 10));
        let told = told(&mut journal, 1000, flood);
        let quick = told.iter().filter(|(second, _)| *second < 100).count();
        assert_eq!(quick, 100);
        let times: Vec<_> = told.iter().map(|(second, _)| *second).collect();
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] <= 10));
        assert!(times.len() < 230, "{}", times.len());
        journal.lines(Stream::Stdout, "ValueError: no luck\n");
        let reports = journal.close();
        let last = reports.last().unwrap();
        assert!(last.log.ends_with("x\nValueError: no luck\n"));
        let written = 1000 * (40 << 10) + 20;
        assert_eq!(last.log_sequence, written);
    }

    /// What happens to a journal.
    #[derive(Clone, Debug)]
    enum Step {
        Lines(usize),
        Stderr(usize, u64),
        LongLine(u64),
        /// Seconds pass, and a report may be due.
        Report(u64),
        Arrived,
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..40_000_usize).prop_map(Step::Lines),
            (0..40_000_usize, prop_oneof![Just(0), 1..9_000_000_u64])
                .prop_map(|(text, dropped)| Step::Stderr(text, dropped)),
            (1..9_000_000_u64).prop_map(Step::LongLine),
            (0..20_u64).prop_map(Step::Report),
            Just(Step::Arrived),
        ]
    }

    proptest! {
        #[test]
        fn every_byte_of_a_log_is_kept_or_counted(
            steps in proptest::collection::vec(any_step(), 0..40)
        ) {
            let (mut journal, mut now, mut written) = (journal(), Duration::ZERO, 0);
            let mut reports: Vec<Report> = Vec::new();
            for step in steps {
                match step {
                    Step::Lines(count) => {
                        journal.lines(Stream::Stdout, &"x\n".repeat(count));
                        written += 2 * count as u64;
                    }
                    Step::Stderr(count, dropped) => {
                        journal.stderr(&"y\n".repeat(count), dropped);
                        written += 2 * count as u64 + dropped;
                    }
                    Step::LongLine(dropped) => {
                        journal.long_line("[", dropped, "]\n");
                        written += dropped + 3;
                    }
                    Step::Report(seconds) => {
                        now += Duration::from_secs(seconds);
                        if let Some(due) = journal.due(now)
                            && reports.last() != Some(due)
                        {
                            reports.push(due.clone());
                        }
                    }
                    Step::Arrived => journal.reported(),
                }
            }
            let rest = journal.close();
            let repeated = rest.first().is_some_and(|first| reports.last() == Some(first));
            reports.extend(rest.into_iter().skip(usize::from(repeated)));
            let mut end = 0;
            for report in &reports {
                prop_assert!(report.log.len() <= limits::LOG_CHUNK_BYTES);
                // Pieces do not overlap, and none takes the number of another.
                prop_assert!(report.log_sequence > end);
                prop_assert!(report.log_sequence - end >= report.log.len() as u64);
                end = report.log_sequence;
            }
            prop_assert_eq!(end, written);
        }
    }

    #[test]
    fn a_line_without_an_end_is_told_soon() {
        let mut journal = journal();
        let mut percent = 0;
        let bar = |journal: &mut Journal| {
            percent += 1;
            journal.stderr(&format!("\r{percent}%|"), 0);
            journal.stderr("#", 0);
        };
        let states = told(&mut journal, 5, bar);
        let wanted = [(1, "2%|#\n"), (3, "4%|#\n")];
        let wanted = wanted.map(|(second, log)| (second, log.to_owned()));
        assert_eq!(states, wanted);
        // Lines of stdout do not run into it.
        journal.lines(Stream::Stdout, "epoch 1\n");
        journal.stdout("loss");
        journal.stderr("\rdone\r\n", 0);
        let rest = told(&mut journal, 6, |_| ());
        assert_eq!(rest[0].1, "epoch 1\ndone\n");
        assert_eq!(rest[1].1, "loss\n");
        journal.stderr("\r5%|", 0);
        journal.stdout("");
        assert!(journal.tail().text().ends_with("epoch 1\ndone\n5%|"));
        assert_eq!(journal.close()[0].log, "5%|");
    }

    #[test]
    fn too_many_epochs_are_thinned_evenly_and_keep_the_best_and_the_last() {
        let mut journal = journal();
        let total = 3 * OBSERVATIONS_KEPT as u32 + 2;
        for number in 1..=total {
            let value = if number == 77_776 { 1.0 } else { 2.0 };
            journal.observe(epoch(number), Some(value));
        }
        assert!(journal.has_values());
        let reports = journal.close();
        let seen = reports.iter().flat_map(|report| &report.observations);
        let epochs: Vec<u32> = seen.map(|seen| seen.epoch).collect();
        let last = limits::LAST_EPOCHS_MAX;
        assert!(epochs.len() <= OBSERVATIONS_KEPT && epochs.len() > OBSERVATIONS_KEPT / 2);
        assert_eq!(epochs[0], 1);
        assert!(epochs.contains(&77_776), "the best one");
        let (before, end) = epochs.split_at(epochs.len() - last);
        assert!(end.iter().rev().copied().eq((1..=total).rev().take(last)));
        let even = before.iter().filter(|epoch| **epoch != 77_776);
        let even: Vec<u32> = even.copied().collect();
        assert!(even.windows(2).all(|pair| pair[1] - pair[0] == 4));
        let log: String = reports.iter().map(|report| &*report.log).collect();
        let lost = total as usize - epochs.len();
        let wanted = format!("warning: {lost} epochs are left out, evenly: ");
        assert!(log.starts_with(&wanted), "{log}");
    }

    #[test]
    fn closing_keeps_what_was_sent_before_what_was_not() {
        let mut journal = journal();
        journal.observe(epoch(1), None);
        journal.due(Duration::ZERO);
        for number in 2..=600 {
            journal.observe(epoch(number), None);
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
