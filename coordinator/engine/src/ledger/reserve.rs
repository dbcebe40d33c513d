//! Which job a worker is granted next, and for which jobs that do not fit yet
//! room is kept on it.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use swath_model::id::WorkerName;
use swath_model::job::State;
use swath_model::needs::{Candidate, Hold, Reservation, Room, Waits, reservations};
use swath_model::offer::Free;
use swath_model::placement::Placement;
use swath_model::time::Timestamp;
use swath_model::view::{Kept, WorkerState};
use swath_store::WorkerKey;

use super::Ledger;
use super::hot::{Life, Loc, Need};
use super::index::Waiting;
use super::worker::Worker;

/// The way through the waiting jobs for one worker, in the order of grants.
pub(super) struct Walk {
    worker: WorkerKey,
    pub(super) room: Room,
    needs: Vec<Need>,
    last: Option<Waiting>,
}

impl Walk {
    /// The beginning, with what the worker says is free.
    pub(super) fn new(ledger: &Ledger, worker: WorkerKey, free: &[Free], now: Timestamp) -> Self {
        Self {
            worker,
            room: ledger.room(worker, free),
            needs: ledger.workers[&worker].meets(now).collect(),
            last: None,
        }
    }

    /// The next job that fits, and where. Jobs that do not fit let those after
    /// them go first, into what is not kept for them.
    pub(super) fn next(&mut self, ledger: &Ledger, now: Timestamp) -> Option<(Loc, Placement)> {
        while self.room.is_open() {
            let next = ledger.index.next(&self.needs, self.last)?;
            let need = ledger.cell(next.at.cell).need;
            let needs = ledger.needs_of(need);
            if let Some(placement) = self.room.place(needs) {
                self.last = Some(next);
                return Some((next.at, placement));
            }
            // There will not be more room in this exchange.
            self.needs.retain(|other| *other != need);
            if needs.may_not_fit()
                && let Some(kept) = ledger.kept_here(self.worker, next, now)
            {
                self.room.keep(needs, &kept);
            }
        }
        None
    }
}

impl Ledger {
    /// The room that is kept on a worker for a job, if it is.
    fn kept_here(
        &self,
        worker: WorkerKey,
        job: Waiting,
        now: Timestamp,
    ) -> Option<Reservation<Waiting, &WorkerName>> {
        let row = &self.workers[&worker];
        let own = self.candidate(worker, row).reservation(&self.waits(job))?;
        if own.is_room() {
            // It has not asked for all that is free.
            return Some(own);
        }
        let kept = self.reservations(Some(job), now).pop();
        kept.filter(|kept| kept.job == job && *kept.worker == row.name)
    }

    /// For which jobs room is kept, in the order of grants, of those up to
    /// `last`.
    fn reservations(
        &self,
        last: Option<Waiting>,
        now: Timestamp,
    ) -> Vec<Reservation<Waiting, &WorkerName>> {
        let jobs = self.index.first_large().into_iter();
        let jobs: Vec<Waiting> = jobs
            .filter(|job| last.is_none_or(|last| *job <= last))
            .collect();
        let need = |job: Waiting| self.cell(job.at.cell).need;
        let active = |(_, worker): &(&WorkerKey, &Worker)| {
            worker.state == WorkerState::Active && !worker.silent
        };
        let workers = self.workers.iter().filter(active);
        let workers: Vec<_> = workers.map(|(key, it)| self.candidate(*key, it)).collect();
        let may = |job, name: &WorkerName| {
            let worker = self.worker_keys.get(name);
            let worker = worker.and_then(|key| self.workers.get(key));
            worker.is_some_and(|it| it.may_run(need(job), now))
        };
        let jobs = jobs.into_iter().map(|job| self.waits(job));
        reservations(jobs, &workers, may)
    }

    /// A job that waits, with what it needs and since when.
    fn waits(&self, job: Waiting) -> Waits<'_, Waiting> {
        let since = match &self.entry(job.at).life {
            Life::Fresh(since) => *since,
            Life::Lived(lived) => match lived.job.state {
                State::Queued { not_before } => not_before,
                _ => lived.job.granted_at,
            },
        };
        let needs = self.needs_of(self.cell(job.at.cell).need);
        Waits { job, needs, since }
    }

    fn candidate<'a>(
        &'a self,
        key: WorkerKey,
        worker: &'a Worker,
    ) -> Candidate<'a, Waiting, &'a WorkerName> {
        let leases = self.index.leases_of(key).into_iter();
        let held = leases.filter_map(|at| {
            let lived = self.entry(at).lived()?;
            Some(Hold {
                job: self.urgency(at).map(|urgency| Waiting {
                    urgency: Reverse(urgency),
                    job: self.entry(at).key,
                    at,
                }),
                needs: self.needs_of(self.cell(at.cell).need),
                placement: lived.placement.as_ref()?,
                since: lived.job.granted_at,
            })
        });
        Candidate {
            worker: &worker.name,
            offer: &worker.about.offer,
            held: held.collect(),
        }
    }

    /// Whether jobs wait for which room may be kept.
    pub fn may_keep_room(&self) -> bool {
        self.index.large_wait()
    }

    /// The room that is kept for jobs that do not fit yet, in the order of
    /// grants.
    pub fn kept(&mut self, now: Timestamp) -> Vec<Kept> {
        for at in self.index.rested(now) {
            self.refile(at, now);
        }
        let kept = self.reservations(None, now).into_iter();
        let kept = kept.map(|kept| Kept {
            job: self.entry(kept.job.at).digest,
            worker: kept.worker.clone(),
            devices: kept.placement,
            busy: {
                let busy: BTreeSet<_> = kept.busy.into_iter().map(|(device, _)| device).collect();
                busy.into_iter().collect()
            },
            cpus: kept.cpus,
        });
        kept.collect()
    }
}
