//! What workers report: hello, heartbeats, observations, releases.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{End, Ledger, LedgerError, LogRow, WorkerRow};
use swath_model::id::{Owner, SessionId, WorkerName};
use swath_model::job::{Applied, Event, StateName};
use swath_model::message::{Held, Hello, Release, Report, Verdict, Welcome, WorkerChange};
use swath_model::time::Timestamp;
use swath_model::view::{LogChunk, WorkerState};
use swath_store::kept_text;

/// How many heartbeats in a row must not mention an attempt until its lease is
/// taken back.
const MISSED_MAX: u32 = 2;

impl Ledger {
    /// A worker starts or reconnects and gets its next session.
    ///
    /// # Errors
    ///
    /// [`LedgerError::NameTaken`] if another worker of this name is alive and
    /// the name is not to be taken from it.
    pub fn hello(&mut self, now: Timestamp, hello: Hello) -> Result<Welcome, LedgerError> {
        if let Some(row) = self.workers.get(&hello.worker)
            && !row.silent
            && !hello.takes_name
            && row.about.state_id.is_some()
            && row.about.state_id != hello.about.state_id
        {
            let worker = hello.worker;
            return Err(LedgerError::NameTaken { worker });
        }
        self.sessions = self.sessions.next();
        let session = self.sessions;
        let row = self
            .workers
            .entry(hello.worker.clone())
            .or_insert_with(|| WorkerRow {
                state: WorkerState::Active,
                cordoned: None,
                session,
                seen_at: now,
                silent: false,
                forgotten: false,
                about: hello.about.clone(),
                row: Vec::new(),
                lacks: BTreeMap::new(),
            });
        row.lacks.clear();
        row.session = session;
        row.seen_at = now;
        row.silent = false;
        row.forgotten = false;
        row.about = hello.about;
        if row.state == WorkerState::Draining {
            row.state = WorkerState::Active;
        }
        let owner = Owner {
            worker: hello.worker,
            session,
        };
        let claims = hello.held.iter();
        let verdicts = claims.map(|held| self.claim(*held, &owner, now)).collect();
        Ok(Welcome {
            session,
            verdicts,
            requeued: self.lose_older(&owner.worker, session, now),
        })
    }

    fn claim(&mut self, held: Held, owner: &Owner, now: Timestamp) -> Verdict {
        let claim = Event::Claim {
            attempt: held.attempt,
            owner: owner.clone(),
        };
        self.confirm(held, &claim, false, now)
    }

    /// Takes back what sessions of `worker` before `newer` hold. Returns how
    /// many jobs are queued again by that.
    fn lose_older(&mut self, worker: &WorkerName, newer: SessionId, now: Timestamp) -> u64 {
        let mut requeued = 0;
        for index in 0..self.jobs.len() {
            let lease = self.jobs[index].job.lease();
            if lease.is_none_or(|lease| lease.owner.worker != *worker) {
                continue;
            }
            let lost = self.apply(index, &Event::SessionLost { newer }, now);
            let queued = self.jobs[index].job.state_name() == StateName::Queued;
            requeued += u64::from(lost == Ok(Applied::Changed) && queued);
        }
        requeued
    }

    /// Applies a heartbeat or a claim to the job that it names.
    fn confirm(
        &mut self,
        held: Held,
        event: &Event<'_>,
        draining: bool,
        now: Timestamp,
    ) -> Verdict {
        let Some(&index) = self.job_index.get(&held.job) else {
            return Verdict::Fenced;
        };
        if self.apply(index, event, now).is_err() {
            return Verdict::Fenced;
        }
        if let Some(attempt) = self.jobs[index].attempts.last_mut() {
            attempt.missed = 0;
        }
        self.verdict(index, draining)
    }

    fn verdict(&self, index: usize, draining: bool) -> Verdict {
        if draining || self.jobs[index].job.stopping() {
            Verdict::Stop
        } else {
            Verdict::Keep
        }
    }

    /// Extends the leases of the attempts that the worker mentions, and takes
    /// back those that it did not mention twice in a row.
    ///
    /// # Errors
    ///
    /// [`LedgerError::StaleSession`] unless the session is the newest.
    pub fn heartbeat(
        &mut self,
        now: Timestamp,
        owner: &Owner,
        held: &[Held],
    ) -> Result<Vec<Verdict>, LedgerError> {
        let draining = self.heard(owner, now)? == WorkerState::Draining;
        let verdicts = held
            .iter()
            .map(|held| {
                let heartbeat = Event::Heartbeat {
                    attempt: held.attempt,
                    owner: owner.clone(),
                };
                self.confirm(*held, &heartbeat, draining, now)
            })
            .collect();
        self.take_back_missed(now, owner, &held.iter().copied().collect());
        Ok(verdicts)
    }

    fn take_back_missed(&mut self, now: Timestamp, owner: &Owner, mentioned: &BTreeSet<Held>) {
        for index in 0..self.jobs.len() {
            let row = &mut self.jobs[index];
            let attempt = row.job.attempt;
            let held = Held {
                job: row.digest,
                attempt,
            };
            let own = row.job.lease().is_some_and(|lease| lease.owner == *owner);
            let fresh = now.since(row.job.granted_at) < self.policy.heartbeat();
            if !own || fresh || mentioned.contains(&held) {
                continue;
            }
            if let Some(attempt) = row.attempts.last_mut() {
                attempt.missed += 1;
                if attempt.missed < MISSED_MAX {
                    continue;
                }
            }
            let uncounted = self.jobs[index].job.is_unheard_of(&self.policy);
            let back = Event::TakeBack { attempt, uncounted };
            // The job has a lease, so taking it back is not refused.
            let _applied = self.apply(index, &back, now);
        }
    }

    /// Stores observations and log text of attempts that count.
    ///
    /// # Errors
    ///
    /// [`LedgerError::StaleSession`] unless the session is the newest.
    pub fn observe(
        &mut self,
        now: Timestamp,
        owner: &Owner,
        reports: Vec<Report>,
    ) -> Result<Vec<Verdict>, LedgerError> {
        let draining = self.heard(owner, now)? == WorkerState::Draining;
        let store = |report| self.store_report(report, owner, draining);
        Ok(reports.into_iter().map(store).collect())
    }

    fn store_report(&mut self, report: Report, owner: &Owner, draining: bool) -> Verdict {
        let Held { job, attempt } = report.held;
        let Some(&index) = self.job_index.get(&job) else {
            return Verdict::Fenced;
        };
        let row = &mut self.jobs[index];
        if !row.job.holds(attempt, owner) {
            return Verdict::Fenced;
        }
        if let Some(open) = row.attempts.last_mut() {
            for observation in report.observations {
                let epoch = observation.epoch;
                open.observations.entry(epoch).or_insert(observation);
            }
        }
        let end = report.log_sequence;
        let stored = |log: &LogRow| log.chunk.attempt == attempt && log.end == end;
        if end > 0 && !row.logs.iter().any(stored) {
            let position = row.logs.len() as u64 + 1;
            let text = kept_text(&report.log).to_owned();
            row.logs.push(LogRow {
                end,
                chunk: LogChunk::ending(position, attempt, end, text),
                gone: false,
            });
            row.drop_old_log(attempt);
        }
        self.verdict(index, draining)
    }

    /// Gives attempts back to the queue, not charged.
    ///
    /// # Errors
    ///
    /// [`LedgerError::StaleSession`] unless the session is the newest.
    pub fn release(
        &mut self,
        now: Timestamp,
        owner: &Owner,
        releases: Vec<Release>,
    ) -> Result<(), LedgerError> {
        self.heard(owner, now)?;
        for Release { held, lack } in releases {
            let Some(&index) = self.job_index.get(&held.job) else {
                continue;
            };
            let release = Event::Release {
                uncounted: lack.is_some(),
                attempt: held.attempt,
                owner: owner.clone(),
            };
            if self.apply(index, &release, now).is_err() {
                continue;
            }
            if let Some(ended) = self.jobs[index].attempts.last_mut() {
                ended.end = Some((now, End::Released));
            }
            let needs = self.needs(index);
            if lack.is_some()
                && let Some(worker) = self.workers.get_mut(&owner.worker)
            {
                let times = worker.lacks.get(&needs).map_or(0, |(_, times)| *times);
                let pause = Duration::from_mins(1 << times.min(6));
                worker.lacks.insert(needs, (now + pause, times + 1));
            }
        }
        Ok(())
    }

    /// Ends the session of a worker that leaves; returns how many jobs are queued
    /// again by that.
    ///
    /// # Errors
    ///
    /// [`LedgerError::StaleSession`] unless the session is the newest.
    pub fn goodbye(&mut self, now: Timestamp, owner: &Owner) -> Result<u64, LedgerError> {
        self.heard(owner, now)?;
        let session = self.sessions.next();
        self.sessions = session;
        if let Some(row) = self.workers.get_mut(&owner.worker) {
            row.session = session;
            row.silent = true;
            row.lacks.clear();
        }
        Ok(self.lose_older(&owner.worker, session, now))
    }

    /// Changes whether a worker gets jobs, or forgets it.
    ///
    /// # Errors
    ///
    /// [`LedgerError::NotFound`] for an unknown or forgotten worker,
    /// [`LedgerError::Conflict`] when one that is alive is to be forgotten.
    pub fn change_worker(
        &mut self,
        now: Timestamp,
        worker: &WorkerName,
        change: WorkerChange,
    ) -> Result<(), LedgerError> {
        let row = self
            .workers
            .get_mut(worker)
            .filter(|row| !row.forgotten)
            .ok_or_else(|| LedgerError::NotFound(format!("worker `{worker}`")))?;
        if change == WorkerChange::Forget {
            if !row.silent {
                return Err(LedgerError::Conflict(format!("`{worker}` is alive")));
            }
            self.sessions = self.sessions.next();
            row.session = self.sessions;
            row.forgotten = true;
            (row.state, row.cordoned) = (WorkerState::Active, None);
            row.row.clear();
            row.about.state_id = None;
            row.lacks.clear();
            self.lose_older(worker, self.sessions, now);
            return Ok(());
        }
        (row.state, row.cordoned) = match change {
            WorkerChange::Activate => {
                row.row.clear();
                (WorkerState::Active, None)
            }
            WorkerChange::Cordon { cause } => (WorkerState::Cordoned, Some(cause)),
            WorkerChange::Drain | WorkerChange::Forget => (WorkerState::Draining, None),
        };
        Ok(())
    }
}
