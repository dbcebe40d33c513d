//! The events about the ledger's decisions, in the order in which things
//! happened. Sweeps and workers get one event per batch, with their state at
//! its end.

use swath_model::event::{Event, Failed, Requeued, SweepNow, What, WorkerNow};
use swath_model::job::{self, StateName};
use swath_model::judge::headline;
use swath_model::outcome::{Fault, Outcome};
use swath_model::time::Timestamp;
use swath_model::view::SweepState;
use swath_store::{SweepKey, WorkerKey};

use super::Ledger;
use super::hot::Loc;
use super::sweep::Sweep;
use super::worker::Worker;

/// The state of a job, and why it failed if it did.
pub(super) type Standing = (StateName, Option<Fault>);

impl Ledger {
    /// Adds an event about what became of a job, and notes whether its attempt
    /// is lost.
    pub(super) fn tell_job(
        &mut self,
        at: Loc,
        event: &job::Event<'_>,
        (before, after): (Standing, Standing),
        now: Timestamp,
    ) {
        self.note_lost(at, event, (before.0, after.0), now);
        if let Some(what) = became(event, before, after) {
            self.tell_of_job(at, what, now);
        }
    }

    /// Adds an event about a job and its newest attempt.
    pub(super) fn tell_of_job(&mut self, at: Loc, what: What, now: Timestamp) {
        let entry = self.entry(at);
        let job = entry.digest;
        let lived = entry.lived().filter(|lived| lived.job.attempt.0 > 0);
        let attempt = lived.map(|lived| lived.job.attempt);
        let worker = lived.and_then(|lived| lived.worker);
        let worker = worker.and_then(|key| Some(self.workers.get(&key)?.name.clone()));
        let event = self.event(now, what);
        self.changes.events.push(Event {
            job: Some(job),
            attempt,
            worker,
            ..event
        });
    }

    /// Notes the end of an attempt whose lease is over, which counts as long as
    /// the attempt does not come back.
    fn note_lost(
        &mut self,
        at: Loc,
        event: &job::Event<'_>,
        (before, after): (StateName, StateName),
        now: Timestamp,
    ) {
        use job::Event::{Claim, Heartbeat, SessionLost, TakeBack, Tick};
        let open = |state| matches!(state, StateName::Leased | StateName::Suspect);
        let lost = match event {
            Tick | SessionLost { .. } | TakeBack { .. } if open(before) && !open(after) => {
                Some(now)
            }
            Heartbeat { .. } | Claim { .. } if !open(before) && open(after) => None,
            _ => return,
        };
        let entry = self.entry(at);
        if let Some(lived) = entry.lived() {
            self.lost.insert((entry.key, lived.job.attempt), lost);
        }
    }

    pub(super) fn tell_of_sweep(&mut self, key: SweepKey, what: What, now: Timestamp) {
        let sweep = self.sweeps.get(&key).map(|sweep| sweep.digest);
        let event = self.event(now, what);
        self.changes.events.push(Event { sweep, ..event });
    }

    pub(super) fn tell_of_worker(&mut self, key: WorkerKey, what: What, now: Timestamp) {
        let worker = self.workers.get(&key).map(|worker| worker.name.clone());
        let event = self.event(now, what);
        self.changes.events.push(Event { worker, ..event });
    }

    /// Adds an event with the state of a sweep, unless an earlier event had it.
    pub(super) fn tell_how_sweep_is(&mut self, key: SweepKey, now: Timestamp) {
        let Some(sweep) = self.sweeps.get_mut(&key) else {
            return;
        };
        if sweep.label.staged {
            return;
        }
        let is = sweep.now();
        if sweep.told.as_ref() != Some(&is) {
            let was = sweep.told.replace(is.clone()).map(|was| was.state);
            self.tell_of_sweep(key, What::SweepChanged { was, now: is }, now);
        }
    }

    /// Adds an event with the state of a worker, unless an earlier event had
    /// it.
    pub(super) fn tell_how_worker_is(&mut self, key: WorkerKey, now: Timestamp) {
        let leases = self.index.count_leases(key);
        let Some(worker) = self.workers.get_mut(&key) else {
            return;
        };
        let is = worker.now(leases);
        if worker.told.as_ref() != Some(&is) {
            let was = worker.told.replace(is.clone());
            self.tell_of_worker(key, What::WorkerChanged { was, now: is }, now);
        }
    }

    /// Marks everything that was loaded as already told by events.
    pub fn all_is_told(&mut self) {
        for sweep in self.sweeps.values_mut() {
            sweep.told = Some(sweep.now());
        }
        for (key, worker) in &mut self.workers {
            worker.told = Some(worker.now(self.index.count_leases(*key)));
        }
        self.changed_workers.clear();
    }

    fn event(&mut self, now: Timestamp, what: What) -> Event {
        self.last_event += 1;
        Event {
            seq: self.last_event,
            at: now,
            sweep: None,
            job: None,
            attempt: None,
            worker: None,
            what,
        }
    }
}

impl Sweep {
    /// The sweep's state for watchers.
    pub(super) fn now(&self) -> SweepNow {
        let end = self.last_end();
        let replication = self.replication.map(|it| it.view(end));
        let settled = replication.is_none_or(|it| it.settled.is_some());
        let finished_at = end.filter(|_| settled);
        let over = self.counts.done() == self.counts.total();
        SweepNow {
            state: SweepState::of(self.live, over && settled, self.paused.is_some()),
            paused: self.paused.clone(),
            priority: self.priority,
            counts: self.counts,
            finished_at,
            replication,
        }
    }
}

impl Worker {
    /// The worker's state for watchers, with the numbers of its leases and of
    /// their slots.
    fn now(&self, (held, slots_held): (u64, u64)) -> WorkerNow {
        WorkerNow {
            state: self.state,
            cordoned: self.cordoned.clone(),
            held,
            slots_held,
            failed_in_a_row: self.failed.len() as u32,
            silent: self.silent,
        }
    }
}

/// What an event did to a job; `None` for a mere confirmation, which watchers
/// do not see.
fn became(event: &job::Event<'_>, before: Standing, after: Standing) -> Option<What> {
    if matches!(event, job::Event::Grant { .. }) {
        return Some(What::JobGranted);
    }
    if before == after {
        return None;
    }
    let (state, fault) = after;
    Some(match state {
        StateName::Leased => What::JobRecovered,
        StateName::Suspect => What::JobSuspected,
        StateName::Cancelled => What::JobCancelled,
        StateName::Succeeded => What::JobMeasured {
            train_seconds: train_seconds(event),
        },
        StateName::Failed => What::JobFailed(failed(event, fault.unwrap_or(Fault::Lost))),
        StateName::Queued => What::JobQueued(requeued(event)),
    })
}

fn requeued(event: &job::Event<'_>) -> Requeued {
    match event {
        job::Event::Finish { outcome, .. } => {
            Requeued::Faulted(failed(event, outcome.fault().unwrap_or(Fault::Lost)))
        }
        job::Event::Release { .. } => Requeued::Released,
        job::Event::TakeBack { .. } => Requeued::NeverMentioned,
        job::Event::Want | job::Event::Retry => Requeued::Wanted,
        job::Event::Forget => Requeued::Forgotten,
        _ => Requeued::Lost,
    }
}

fn failed(event: &job::Event<'_>, fault: Fault) -> Failed {
    let message = match event {
        job::Event::Finish {
            outcome: Outcome::Failed { message, .. },
            ..
        } => headline(message),
        _ => "",
    };
    Failed {
        fault,
        headline: message.to_owned(),
    }
}

fn train_seconds(event: &job::Event<'_>) -> f64 {
    match event {
        job::Event::Finish {
            outcome: Outcome::Measured(measured),
            ..
        } => measured.train_seconds,
        _ => 0.0,
    }
}
