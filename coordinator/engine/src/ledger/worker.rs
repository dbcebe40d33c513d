//! What workers report while they run: hello, heartbeats, observations,
//! releases, goodbye.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use swath_model::cause::CordonCause;
use swath_model::event::{What, WorkerNow};
use swath_model::id::{Attempt, JobDigest, Owner, SessionId, SweepDigest, WorkerName};
use swath_model::job::{Applied, Event, StateName};
use swath_model::message::{
    Exchange, Held, Hello, Release, Report, Verdict, Welcome, WorkerChange,
};
use swath_model::needs::{Lack, Room, closest};
use swath_model::offer::Free;
use swath_model::placement::Placement;
use swath_model::time::Timestamp;
use swath_model::view::{WorkerAbout, WorkerState};
use swath_store::{
    AttemptEnd, End, JobKey, LogRow, ObservationRow, StoreError, WorkerKey, WorkerRow,
};

use super::hot::{Loc, Need};
use super::reserve::Walk;
use super::{Ledger, Result};

/// After this many heartbeats in a row that do not mention a lease, it is taken
/// back.
const MISSED_MAX: u32 = 2;

/// How long a host that lacks something of a kind of jobs gets none of them; each
/// time it is found again, the pause doubles, so many times at most.
const LACK_PAUSE: Duration = Duration::from_mins(1);
const LACK_DOUBLED_MAX: u32 = 6;

/// A worker.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) name: WorkerName,
    pub(super) state: WorkerState,
    /// Why it is cordoned, if it is.
    pub(super) cordoned: Option<CordonCause>,
    pub(super) session: SessionId,
    pub(super) seen_at: Timestamp,
    pub(super) about: WorkerAbout,
    /// The different jobs that it has failed in a row.
    pub(super) failed: Vec<JobDigest>,
    /// What the last requests of this session were granted.
    pub(super) requests: VecDeque<(u64, Vec<(JobDigest, Attempt)>)>,
    /// The kinds of needs that it meets, as far as its offer says.
    pub(super) needs: Vec<Need>,
    /// Those of which its host turned out to lack something.
    pub(super) lacks: BTreeMap<Need, Lacking>,
    /// Whether it is gone: it said goodbye, or has been silent for longer than a
    /// lease lasts.
    pub(super) silent: bool,
    /// Whether it is gone for good, and is left out of lists.
    pub(super) forgotten: bool,
    /// The state in the last event about it.
    pub(super) told: Option<WorkerNow>,
}

/// What a worker's host turned out to lack of a kind of needs.
#[derive(Debug)]
pub(super) struct Lacking {
    pub(super) lack: Lack,
    /// When it is to be tried again: somebody may have brought it meanwhile.
    until: Timestamp,
    /// How often that was found in a row.
    times: u32,
}

impl Worker {
    /// Whether it meets these needs, as far as its offer says.
    pub(super) fn meets(&self, need: Need) -> bool {
        // They are in the order in which they came.
        self.needs.binary_search(&need).is_ok()
    }

    /// Whether it may get jobs of this kind now.
    pub(super) fn may_run(&self, need: Need, now: Timestamp) -> bool {
        self.meets(need) && !self.lacks_now(need, now)
    }

    fn lacks_now(&self, need: Need, now: Timestamp) -> bool {
        self.lacks.get(&need).is_some_and(|it| now < it.until)
    }

    /// The kinds of needs of which its host lacks something now.
    pub(super) fn lacking(&self, now: Timestamp) -> impl Iterator<Item = Need> {
        let lacks = self.lacks.iter().filter(move |(_, it)| now < it.until);
        lacks.map(|(need, _)| *need)
    }

    /// Notes what its host lacks.
    fn lacks(&mut self, need: Need, lack: Lack, now: Timestamp) {
        let times = self.lacks.get(&need).map_or(0, |it| it.times);
        let pause = LACK_PAUSE.saturating_mul(1 << times.min(LACK_DOUBLED_MAX));
        let lacking = Lacking {
            lack,
            until: now + pause,
            times: times + 1,
        };
        self.lacks.insert(need, lacking);
    }

    pub(super) fn row(&self, key: WorkerKey) -> WorkerRow {
        WorkerRow {
            key,
            name: self.name.clone(),
            state: self.state,
            cordoned: self.cordoned.clone(),
            session: self.session,
            seen_at: self.seen_at,
            about: self.about.clone(),
            failed: self.failed.clone(),
            silent: self.silent,
            forgotten: self.forgotten,
        }
    }
}

impl Ledger {
    /// A worker starts or reconnects, and gets its next session.
    ///
    /// # Errors
    ///
    /// [`StoreError::NameTaken`] while another worker of this name is alive,
    /// unless the name is to be taken from it.
    pub fn hello(&mut self, now: Timestamp, hello: Hello) -> Result<Welcome> {
        self.check_name(now, &hello)?;
        self.sessions = self.sessions.next();
        let session = self.sessions;
        let key = self.greet(now, &hello, session);
        let owner = Owner {
            worker: hello.worker,
            session,
        };
        let mut verdicts = Vec::with_capacity(hello.held.len());
        for held in hello.held {
            let claim = Event::Claim {
                attempt: held.attempt,
                owner: owner.clone(),
            };
            verdicts.push(self.confirm(held, &claim, false, now));
        }
        Ok(Welcome {
            session,
            verdicts,
            requeued: self.lose_older(key, session, now),
        })
    }

    /// Refuses a worker that would push another one out. Whether that one is
    /// alive is for the sweeper to say: it counts no silence while the
    /// coordinator was away itself.
    fn check_name(&self, now: Timestamp, hello: &Hello) -> Result<()> {
        let key = self.worker_keys.get(&hello.worker);
        let Some(known) = key.and_then(|key| self.workers.get(key)) else {
            return Ok(());
        };
        let id = known.about.state_id;
        let is_other = id.is_some() && id != hello.about.state_id;
        if !is_other || known.silent || hello.takes_name {
            return Ok(());
        }
        Err(StoreError::NameTaken {
            worker: hello.worker.clone(),
            host: known.about.host.clone(),
            pid: known.about.pid,
            silent_s: now.since(known.seen_at).as_secs(),
            free_after_s: self.policy.ttl().as_secs(),
        })
    }

    fn greet(&mut self, now: Timestamp, hello: &Hello, session: SessionId) -> WorkerKey {
        let needs = self.met_by(&hello.about.offer);
        let last = self.workers.last_key_value().map(|(key, _)| *key);
        let next = last.unwrap_or_default().next();
        let key = *self.worker_keys.entry(hello.worker.clone()).or_insert(next);
        let worker = self.workers.entry(key).or_insert_with(|| Worker {
            name: hello.worker.clone(),
            state: WorkerState::Active,
            cordoned: None,
            session,
            seen_at: now,
            about: WorkerAbout::default(),
            failed: Vec::new(),
            requests: VecDeque::new(),
            needs: Vec::new(),
            lacks: BTreeMap::new(),
            silent: false,
            forgotten: false,
            told: None,
        });
        worker.silent = false;
        worker.forgotten = false;
        worker.session = session;
        worker.seen_at = now;
        worker.about = hello.about.clone();
        worker.requests.clear();
        worker.needs = needs;
        worker.lacks.clear();
        if worker.state == WorkerState::Draining {
            worker.state = WorkerState::Active;
        }
        self.index.offered_anew(key);
        self.changed_workers.insert(key);
        self.tell_of_worker(key, What::WorkerJoined, now);
        key
    }

    /// Takes back what sessions of a worker before `newer` hold; returns how
    /// many jobs wait again because of it.
    fn lose_older(&mut self, worker: WorkerKey, newer: SessionId, now: Timestamp) -> u64 {
        let mut requeued = 0;
        for at in self.index.leases_of(worker) {
            let lost = self.apply(at, &Event::SessionLost { newer }, now);
            let queued = self.entry(at).state_name() == StateName::Queued;
            requeued += u64::from(lost == Ok(Applied::Changed) && queued);
        }
        requeued
    }

    /// Notes that the coordinator heard from the newest session of a worker.
    pub(super) fn heard(&mut self, owner: &Owner, now: Timestamp) -> Result<WorkerKey> {
        let key = self.newest(owner)?;
        if let Some(worker) = self.workers.get_mut(&key) {
            worker.seen_at = now;
            worker.silent = false;
        }
        self.changed_workers.insert(key);
        Ok(key)
    }

    /// The state of a worker, if the session is its newest.
    pub fn worker_state(&self, owner: &Owner) -> Option<WorkerState> {
        let key = self.newest(owner).ok()?;
        Some(self.workers[&key].state)
    }

    /// Whether a worker that asks for jobs could be granted one now.
    pub fn has_job_for(&mut self, asking: &Exchange, now: Timestamp) -> bool {
        let Ok(key) = self.newest(&asking.owner) else {
            return false;
        };
        if self.workers[&key].state != WorkerState::Active {
            return false;
        }
        self.file_rested(now);
        let mut walk = Walk::new(self, key, &asking.free);
        walk.next(self, now).is_some()
    }

    /// What comes closest to a need of a sweep's waiting jobs that no active worker
    /// can meet; none where there is no active worker.
    pub fn lacking(&self, sweep: SweepDigest) -> Option<Lack> {
        let sweep = self.sweep(*self.sweep_keys.get(&sweep)?);
        if sweep.counts.queued == 0 {
            return None;
        }
        let open = sweep.cells.iter().map(|place| self.cell(*place));
        let needs: BTreeSet<Need> = open.filter(|it| it.open > 0).map(|it| it.need).collect();
        needs.into_iter().find_map(|need| self.lack_of(need))
    }

    /// What comes closest to a kind of needs that no active worker can meet: by
    /// its offer, or as it has turned out.
    pub(super) fn lack_of(&self, need: Need) -> Option<Lack> {
        let active = |worker: &&Worker| worker.state == WorkerState::Active && !worker.silent;
        let lack = |worker: &Worker| {
            let offered = self.needs_of(need).lacking(&worker.about.offer);
            offered.or_else(|| Some(worker.lacks.get(&need)?.lack.clone()))
        };
        let mut workers = self.workers.values().filter(active).map(lack).peekable();
        workers.peek()?;
        closest(workers)
    }

    /// The live sweeps with waiting jobs that no active worker can run, each with
    /// what comes closest.
    pub fn waiting_in_vain(&self) -> BTreeMap<SweepDigest, Lack> {
        let kinds = (0..self.kinds.len() as u32).map(Need);
        let kinds = kinds.filter(|need| self.index.waits(*need));
        let lacks: BTreeMap<Need, Lack> = kinds
            .filter_map(|need| Some((need, self.lack_of(need)?)))
            .collect();
        // Mostly there are none, and a sweep may have many cells.
        if lacks.is_empty() {
            return BTreeMap::new();
        }
        let waiting = self.sweeps.values();
        let waiting = waiting.filter(|it| it.live && it.paused.is_none() && it.counts.queued > 0);
        let vain = waiting.filter_map(|sweep| {
            let mut open = sweep.cells.iter().map(|place| self.cell(*place));
            let lack = open.find_map(|it| lacks.get(&it.need).filter(|_| it.open > 0))?;
            Some((sweep.digest, lack.clone()))
        });
        vain.collect()
    }

    /// How many slots the attempts of each worker have.
    pub fn slots_held(&self) -> BTreeMap<WorkerName, u64> {
        let held = self.workers.iter().map(|(key, worker)| {
            let (_, slots) = self.index.count_leases(*key);
            (worker.name.clone(), slots)
        });
        held.collect()
    }

    /// What the hosts of workers turned out to lack of waiting jobs.
    pub fn lacks(&self) -> BTreeMap<WorkerName, Vec<Lack>> {
        let lacks = self.workers.values().map(|worker| {
            let waiting = worker
                .lacks
                .iter()
                .filter(|(need, _)| self.index.waits(**need));
            let lacks: BTreeSet<&Lack> = waiting.map(|(_, it)| &it.lack).collect();
            (worker.name.clone(), lacks.into_iter().cloned().collect())
        });
        lacks
            .filter(|(_, lacks): &(_, Vec<Lack>)| !lacks.is_empty())
            .collect()
    }

    /// What a worker has left for more jobs.
    pub(super) fn room(&self, worker: WorkerKey, free: &[Free]) -> Room {
        let row = &self.workers[&worker];
        let mut room = Room::new(&row.about.offer, free);
        let is_large = |need: &Need| self.needs_of(*need).may_not_fit();
        // Most jobs say nothing of what they take.
        if row.needs.iter().any(is_large) {
            for at in self.index.leases_of(worker) {
                let lived = self.entry(at).lived();
                let placement = lived.and_then(|lived| lived.placement.as_ref());
                let needs = self.needs_of(self.cell(at.cell).need);
                room.hold(needs, placement.unwrap_or(&Placement::default()));
            }
        }
        room
    }

    fn is_draining(&self, worker: WorkerKey) -> bool {
        self.workers[&worker].state == WorkerState::Draining
    }

    /// Applies a heartbeat or a claim to the job that it names. A job that is
    /// not held is final or does not exist.
    fn confirm(
        &mut self,
        held: Held,
        event: &Event<'_>,
        draining: bool,
        now: Timestamp,
    ) -> Verdict {
        let Some(at) = self.find_job(held.job) else {
            return Verdict::Fenced;
        };
        if self.apply(at, event, now).is_err() {
            return Verdict::Fenced;
        }
        self.set_unmentioned(at, 0);
        self.verdict(at, draining)
    }

    fn set_unmentioned(&mut self, at: Loc, heartbeats: u32) {
        let lived = self.entry_mut(at).lived_mut();
        if lived.unmentioned != heartbeats {
            lived.unmentioned = heartbeats;
            self.changed(at);
        }
    }

    fn verdict(&self, at: Loc, draining: bool) -> Verdict {
        if draining || self.entry(at).stopping() {
            Verdict::Stop
        } else {
            Verdict::Keep
        }
    }

    /// Extends the leases of the attempts that the worker mentions, and takes
    /// back those that it has failed to mention twice in a row. `unheard` says
    /// whether the worker could not know yet of a grant of an earlier batch.
    ///
    /// # Errors
    ///
    /// [`StoreError::StaleSession`] unless the session is the newest.
    pub fn heartbeat(
        &mut self,
        now: Timestamp,
        owner: &Owner,
        held: &[Held],
        unheard: impl Fn(JobKey, Attempt) -> bool,
    ) -> Result<Vec<Verdict>> {
        let key = self.heard(owner, now)?;
        let draining = self.is_draining(key);
        let mut verdicts = Vec::with_capacity(held.len());
        for held in held {
            let heartbeat = Event::Heartbeat {
                attempt: held.attempt,
                owner: owner.clone(),
            };
            verdicts.push(self.confirm(*held, &heartbeat, draining, now));
        }
        self.take_back_missed(now, key, owner, &held.iter().copied().collect(), unheard);
        Ok(verdicts)
    }

    fn take_back_missed(
        &mut self,
        now: Timestamp,
        worker: WorkerKey,
        owner: &Owner,
        mentioned: &BTreeSet<Held>,
        unheard: impl Fn(JobKey, Attempt) -> bool,
    ) {
        for at in self.index.leases_of(worker) {
            let entry = self.entry(at);
            let Some(lived) = entry.lived() else {
                continue;
            };
            let attempt = lived.job.attempt;
            let held = Held {
                job: entry.digest,
                attempt,
            };
            let own = lived.job.lease().is_some_and(|lease| lease.owner == *owner);
            // A heartbeat under way cannot name what was granted since it was
            // sent; if the coordinator stood still, several such heartbeats
            // arrive at once.
            let fresh = now.since(lived.job.granted_at) < self.policy.heartbeat();
            if !own || fresh || mentioned.contains(&held) {
                continue;
            }
            // Nor can one that came while the grant was not answered, however
            // long the store took for that.
            let (key, mut granted) = (entry.key, self.changes.attempts.iter());
            let just = granted.any(|it| (it.job, it.attempt) == (key, attempt));
            if just || unheard(key, attempt) {
                continue;
            }
            let uncounted = lived.job.is_unheard_of(&self.policy);
            let missed = lived.unmentioned + 1;
            self.set_unmentioned(at, missed);
            if missed >= MISSED_MAX {
                // It has a lease, so taking it back is not refused.
                let back = Event::TakeBack { attempt, uncounted };
                let _applied = self.apply(at, &back, now);
            }
        }
    }

    /// Stores observations and log text of attempts that count.
    ///
    /// # Errors
    ///
    /// [`StoreError::StaleSession`] unless the session is the newest.
    pub fn observe(
        &mut self,
        now: Timestamp,
        owner: &Owner,
        reports: Vec<Report>,
    ) -> Result<Vec<Verdict>> {
        let key = self.heard(owner, now)?;
        let draining = self.is_draining(key);
        let mut verdicts = Vec::with_capacity(reports.len());
        for report in reports {
            verdicts.push(self.store_report(report, owner, draining, now));
        }
        Ok(verdicts)
    }

    fn store_report(
        &mut self,
        report: Report,
        owner: &Owner,
        draining: bool,
        now: Timestamp,
    ) -> Verdict {
        let Held { job, attempt } = report.held;
        let Some(at) = self.find_job(job) else {
            return Verdict::Fenced;
        };
        let entry = self.entry(at);
        let counts = entry
            .lived()
            .is_some_and(|lived| lived.job.holds(attempt, owner));
        if !counts {
            return Verdict::Fenced;
        }
        let job = entry.key;
        if let Some(newest) = report.observations.last() {
            self.tell_of_job(at, What::JobObserved(newest.clone()), now);
        }
        let rows = report
            .observations
            .into_iter()
            .map(|observation| ObservationRow {
                job,
                attempt,
                observation,
            });
        self.changes.observations.extend(rows);
        if report.log_sequence > 0 {
            self.changes.logs.push(LogRow {
                job,
                attempt,
                sequence: report.log_sequence,
                text: report.log,
            });
        }
        self.verdict(at, draining)
    }

    /// Returns attempts to the queue without charging them.
    ///
    /// # Errors
    ///
    /// [`StoreError::StaleSession`] unless the session is the newest.
    pub fn release(&mut self, now: Timestamp, owner: &Owner, releases: Vec<Release>) -> Result<()> {
        let key = self.heard(owner, now)?;
        for Release { held, lack } in releases {
            let Held { job, attempt } = held;
            let Some(at) = self.find_job(job) else {
                continue;
            };
            let release = Event::Release {
                attempt,
                owner: owner.clone(),
                uncounted: lack.is_some(),
            };
            if self.apply(at, &release, now).is_err() {
                continue;
            }
            self.changes.ends.push(AttemptEnd {
                job: self.entry(at).key,
                attempt,
                at: now,
                end: End::Released,
            });
            let need = self.cell(at.cell).need;
            if let (Some(lack), Some(worker)) = (lack, self.workers.get_mut(&key)) {
                worker.lacks(need, lack, now);
            }
        }
        Ok(())
    }

    /// Ends the session of a worker that leaves. What it still holds waits again;
    /// returns how many jobs that are.
    ///
    /// # Errors
    ///
    /// [`StoreError::StaleSession`] unless the session is the newest.
    pub fn goodbye(&mut self, now: Timestamp, owner: &Owner) -> Result<u64> {
        let key = self.heard(owner, now)?;
        self.tell_of_worker(key, What::WorkerLeft, now);
        if let Some(worker) = self.workers.get_mut(&key) {
            worker.silent = true;
        }
        Ok(self.end_session(key, now))
    }

    /// Ends the newest session of a worker, so that nothing that is still under
    /// way from it counts; returns how many jobs wait again because of it.
    fn end_session(&mut self, key: WorkerKey, now: Timestamp) -> u64 {
        self.sessions = self.sessions.next();
        let next = self.sessions;
        if let Some(worker) = self.workers.get_mut(&key) {
            worker.session = next;
            worker.requests.clear();
            worker.lacks.clear();
        }
        self.changed_workers.insert(key);
        self.lose_older(key, next, now)
    }

    /// Changes whether a worker gets jobs, or forgets it.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for an unknown or forgotten worker,
    /// [`StoreError::Conflict`] when one that is alive is to be forgotten.
    pub fn change_worker(
        &mut self,
        now: Timestamp,
        worker: &WorkerName,
        change: WorkerChange,
    ) -> Result<()> {
        let key = self.worker_keys.get(worker).copied();
        let key = key.filter(|key| !self.workers[key].forgotten);
        let key = key.ok_or_else(|| StoreError::NotFound(format!("worker `{worker}`")))?;
        if change == WorkerChange::Forget {
            return self.forget_worker(key, now);
        }
        let Some(worker) = self.workers.get_mut(&key) else {
            return Ok(());
        };
        (worker.state, worker.cordoned) = match change {
            WorkerChange::Activate => {
                worker.failed.clear();
                (WorkerState::Active, None)
            }
            WorkerChange::Cordon { cause } => (WorkerState::Cordoned, Some(cause)),
            WorkerChange::Drain | WorkerChange::Forget => (WorkerState::Draining, None),
        };
        self.changed_workers.insert(key);
        Ok(())
    }

    /// Forgets a worker that is gone: its jobs wait again, its name is free, and
    /// if it comes back all the same, it begins anew.
    fn forget_worker(&mut self, key: WorkerKey, now: Timestamp) -> Result<()> {
        let Some(worker) = self.workers.get_mut(&key) else {
            return Ok(());
        };
        if !worker.silent {
            let (name, seen_at) = (&worker.name, worker.seen_at);
            return Err(StoreError::Conflict(format!(
                "worker `{name}` is alive: it was heard of {} s ago; stop it first, and wait until \
                 it was silent for {} s",
                now.since(seen_at).as_secs(),
                self.policy.ttl().as_secs()
            )));
        }
        worker.forgotten = true;
        (worker.state, worker.cordoned) = (WorkerState::Active, None);
        worker.failed.clear();
        worker.about.state_id = None;
        self.end_session(key, now);
        self.tell_of_worker(key, What::WorkerForgotten, now);
        Ok(())
    }
}
