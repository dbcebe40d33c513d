//! What must hold for one job with its attempts.

use std::borrow::Cow;
use std::collections::HashMap;

use swath_model::id::{Attempt, SessionId, WorkerName};
use swath_model::job::{Job, State};
use swath_model::outcome::Fault;
use swath_model::policy::Policy;
use swath_model::seed::Seeds;
use swath_model::spec;
use swath_model::time::Timestamp;

use crate::changes::{
    AttemptEnd, Changes, DroppedOutcome, End, JobRow, NewAttempt, NewJob, OutcomeRow,
};
use crate::cold::StoredCell;
use crate::key::WorkerKey;
use crate::walk::take;

/// A job with its attempts.
pub(super) struct Facts<'a> {
    pub(super) new: &'a NewJob,
    pub(super) job: Cow<'a, Job>,
    /// The job's row; none if the job is as it was created.
    row: Option<&'a JobRow>,
    attempts: &'a [NewAttempt],
    dropped: &'a [DroppedOutcome],
    outcomes: &'a [OutcomeRow],
    ends: &'a [AttemptEnd],
}

impl<'a> Facts<'a> {
    /// The jobs of a page.
    pub(super) fn gather(rows: &'a Changes) -> Vec<Self> {
        let (mut attempts, mut outcomes) = (&rows.attempts[..], &rows.outcomes[..]);
        let (mut ends, mut jobs) = (&rows.ends[..], &rows.jobs[..]);
        let mut dropped = &rows.dropped[..];
        let gather = |new: &'a NewJob| {
            let row = take(&mut jobs, |row| row.key == new.key).first();
            Self {
                new,
                job: row.map_or_else(
                    || Cow::Owned(Job::new(new.since)),
                    |row| Cow::Borrowed(&row.job),
                ),
                row,
                attempts: take(&mut attempts, |row| row.job == new.key),
                dropped: take(&mut dropped, |row| row.job == new.key),
                outcomes: take(&mut outcomes, |row| row.job == new.key),
                ends: take(&mut ends, |row| row.job == new.key),
            }
        };
        rows.new_jobs.iter().map(gather).collect()
    }

    /// Why the job failed, if it did.
    pub(super) fn fault(&self) -> Option<Fault> {
        match self.job.state {
            State::Failed(fault) => Some(fault),
            _ => None,
        }
    }

    pub(super) fn ended_at(&self) -> Option<Timestamp> {
        self.row.and_then(|row| row.ended_at)
    }

    fn end_of(&self, attempt: Attempt) -> Option<&End> {
        let mut ends = self.ends.iter();
        ends.find(|it| it.attempt == attempt).map(|it| &it.end)
    }

    /// Names every invariant that does not hold.
    pub(super) fn check(
        &self,
        policy: &Policy,
        workers: &HashMap<WorkerKey, (WorkerName, SessionId)>,
    ) -> Vec<&'static str> {
        let holds = [
            (self.attempts_follow(), "I2: its attempts have gaps"),
            (
                self.attempts_have_workers(workers),
                "I3: an attempt of a worker or session that never was",
            ),
            (
                self.newest_is_open_or_ended(),
                "I1: it goes on with an attempt that has ended",
            ),
            (
                self.is_leased_rightly(workers),
                "I3: it is leased by a session that is not the newest of its worker",
            ),
            (
                self.is_measured_once(),
                "I4: a measurement without its state, or the reverse",
            ),
            (
                self.ends_agree(),
                "I4: an attempt that ended otherwise than its outcome says",
            ),
            (
                self.dropped_rightly(),
                "I4: an outcome was thrown away that the job never had, or still counts",
            ),
            (
                self.ended_at().is_some() == self.job.state_name().is_final(),
                "I4: the time of an end without the end, or the reverse",
            ),
            (self.failed_rightly(), "I9: it failed without that fault"),
            (
                self.remembers_rightly(),
                "it remembers a fault that nobody told",
            ),
        ];
        let alone = self.job.check(policy).err();
        let broken = holds.iter().filter(|(holds, _)| !holds);
        alone
            .into_iter()
            .chain(broken.map(|(_, what)| *what))
            .collect()
    }

    fn attempts_follow(&self) -> bool {
        let numbers = self.attempts.iter().map(|it| it.attempt.0);
        numbers.eq(1..=self.job.attempt.0)
    }

    fn attempts_have_workers(&self, workers: &HashMap<WorkerKey, (WorkerName, SessionId)>) -> bool {
        self.attempts.iter().all(|it| {
            let worker = workers.get(&it.worker);
            worker.is_some_and(|(_, newest)| it.session <= *newest && it.session.0 > 0)
        })
    }

    fn newest_is_open_or_ended(&self) -> bool {
        let newest = self.attempts.last();
        let ended = newest.is_none_or(|it| self.end_of(it.attempt).is_some());
        !ended || (self.job.closed && self.job.lease().is_none())
    }

    fn is_leased_rightly(&self, workers: &HashMap<WorkerKey, (WorkerName, SessionId)>) -> bool {
        let worker = self.row.and_then(|row| row.worker);
        let worker = worker.and_then(|key| workers.get(&key));
        let named = match (&self.job.owner, worker) {
            (Some(owner), Some((name, newest))) => {
                owner.worker == *name && owner.session <= *newest
            }
            (None, None) => true,
            _ => false,
        };
        let newest = self
            .job
            .lease()
            .is_none_or(|lease| worker.is_some_and(|(_, newest)| lease.owner.session == *newest));
        named && newest
    }

    /// Whether a succeeded job has exactly one outcome, from its newest
    /// attempt, and other jobs have none.
    fn is_measured_once(&self) -> bool {
        let succeeded = self.job.state == State::Succeeded;
        let mut measured = self.outcomes.iter();
        match (measured.next(), measured.next()) {
            (Some(one), None) => {
                succeeded && one.attempt == self.job.attempt && one.measurement.is_finite()
            }
            (None, _) => !succeeded,
            (Some(_), Some(_)) => false,
        }
    }

    fn ends_agree(&self) -> bool {
        let granted = |it: &AttemptEnd| self.attempts.iter().any(|of| of.attempt == it.attempt);
        let measured = |attempt| matches!(self.end_of(attempt), Some(End::Measured { .. }));
        let ends = self.ends.iter().all(|it| {
            let outcome = self.outcomes.iter().any(|of| of.attempt == it.attempt);
            let counts = measured(it.attempt) && !self.is_dropped(it.attempt);
            granted(it) && outcome == counts
        });
        ends && self.outcomes.iter().all(|it| measured(it.attempt))
    }

    fn is_dropped(&self, attempt: Attempt) -> bool {
        self.dropped.iter().any(|it| it.attempt == attempt)
    }

    /// Whether only results were thrown away, and the job went on after that.
    fn dropped_rightly(&self) -> bool {
        let is_result = |it: &DroppedOutcome| match self.end_of(it.attempt) {
            Some(End::Measured { .. }) => true,
            Some(End::Failed { fault, .. }) => *fault == Fault::Diverged,
            Some(End::Released) | None => false,
        };
        let ended_with_it = matches!(self.job.state, State::Succeeded | State::Failed(_))
            && self.is_dropped(self.job.attempt);
        self.dropped.iter().all(is_result) && !ended_with_it
    }

    fn failed_rightly(&self) -> bool {
        let Some(fault) = self.fault() else {
            return true;
        };
        match self.end_of(self.job.attempt) {
            Some(End::Failed { fault: told, .. }) => *told == fault,
            // It ran out of attempts when the last one was lost or given back.
            _ => fault == Fault::Lost,
        }
    }

    fn remembers_rightly(&self) -> bool {
        let faulted = self.row.and_then(|row| row.faulted);
        faulted.is_none_or(|it| matches!(self.end_of(it), Some(End::Failed { .. })))
    }

    /// Checks I6: the job is named by what it computes, and its seed follows
    /// from its cell.
    pub(super) fn check_name(
        &self,
        cell: Option<&StoredCell>,
        spec: Option<&str>,
    ) -> Vec<&'static str> {
        let (Some(cell), Some(spec)) = (cell, spec) else {
            return vec!["its cell is not there"];
        };
        let mut broken = Vec::new();
        if spec::job_digest(spec, self.new.seed) != self.new.digest {
            broken.push("I6: its digest is not that of its spec and seed");
        }
        if Seeds::in_text(spec).seed(cell.digest, self.new.replicate) != self.new.seed {
            broken.push("I6: its seed is not that of its cell and replicate");
        }
        let place = (self.new.replicate.0 as usize).checked_sub(1);
        let there = place.and_then(|place| cell.jobs.get(place));
        if there.is_none_or(|there| there.key != self.new.key) {
            broken.push("its cell lacks a replicate before it");
        }
        broken
    }
}
