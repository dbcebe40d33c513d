//! Which job is next: by urgency and order of submission, by the end of a
//! backoff, by the end of a lease, or by worker. Every lookup takes time in the
//! logarithm of the number of jobs.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use swath_model::judge::Urgency;
use swath_model::time::Timestamp;
use swath_store::{JobKey, WorkerKey};

use super::hot::{Filed, Loc, Need};

/// A job that may be granted, in the order of grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Waiting {
    pub(super) urgency: Reverse<Urgency>,
    pub(super) job: JobKey,
    pub(super) at: Loc,
}

/// A job, with the time when something is due for it.
pub(super) type Timed = (Timestamp, JobKey, Loc);

/// Every open job, by what may happen to it next.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Jobs to grant, by what they need.
    queues: Vec<Queue>,
    /// The first job of each queue, in the order of grants.
    firsts: BTreeSet<(Waiting, Need)>,
    /// Jobs to grant later.
    backoffs: BTreeSet<Timed>,
    /// Leases, by the end of the lease or of its grace.
    deadlines: BTreeSet<Timed>,
    leases: BTreeMap<WorkerKey, Leases>,
    /// How often the urgency of leased jobs may have changed.
    wished: u64,
}

/// Jobs to grant that need the same.
#[derive(Debug)]
struct Queue {
    jobs: BTreeSet<Waiting>,
    /// Whether a free slot may not be enough for one.
    is_large: bool,
}

/// What a worker holds.
#[derive(Debug, Default)]
struct Leases {
    jobs: BTreeSet<(JobKey, Loc)>,
    /// How many slots these have.
    slots: u64,
    /// How often something of this, or of what the worker offers, has changed.
    changes: u64,
}

const LAST: Loc = Loc {
    cell: u32::MAX,
    place: u32::MAX,
};

impl Index {
    /// Makes room for one more kind of need; `is_large` says whether a free slot
    /// may not be enough for it.
    pub(super) fn add_need(&mut self, is_large: bool) {
        let jobs = BTreeSet::new();
        self.queues.push(Queue { jobs, is_large });
    }

    pub(super) fn file(&mut self, filed: Filed, need: Need, job: JobKey, at: Loc) {
        match filed {
            Filed::Nowhere => {}
            Filed::Queue(urgency) => {
                let urgency = Reverse(urgency);
                self.queued(need, |jobs| {
                    jobs.insert(Waiting { urgency, job, at });
                });
            }
            Filed::Backoff(until) => {
                self.backoffs.insert((until, job, at));
            }
            Filed::Lease(until, worker, slots) => {
                self.deadlines.insert((until, job, at));
                let leases = self.leases.entry(worker).or_default();
                leases.jobs.insert((job, at));
                leases.slots += u64::from(slots);
                leases.changes += 1;
            }
        }
    }

    pub(super) fn unfile(&mut self, filed: Filed, need: Need, job: JobKey, at: Loc) {
        match filed {
            Filed::Nowhere => {}
            Filed::Queue(urgency) => {
                let urgency = Reverse(urgency);
                self.queued(need, |jobs| {
                    jobs.remove(&Waiting { urgency, job, at });
                });
            }
            Filed::Backoff(until) => {
                self.backoffs.remove(&(until, job, at));
            }
            Filed::Lease(until, worker, slots) => {
                self.deadlines.remove(&(until, job, at));
                if let Some(leases) = self.leases.get_mut(&worker) {
                    leases.jobs.remove(&(job, at));
                    leases.slots -= u64::from(slots);
                    leases.changes += 1;
                }
            }
        }
    }

    /// Files a lease under another deadline.
    pub(super) fn prolong(&mut self, from: Timestamp, until: Timestamp, job: JobKey, at: Loc) {
        self.deadlines.remove(&(from, job, at));
        self.deadlines.insert((until, job, at));
    }

    /// Changes a queue, and notes its first job.
    fn queued(&mut self, need: Need, change: impl FnOnce(&mut BTreeSet<Waiting>)) {
        let jobs = &mut self.queues[need.0 as usize].jobs;
        let before = jobs.first().copied();
        change(jobs);
        let first = jobs.first().copied();
        if first != before {
            if let Some(before) = before {
                self.firsts.remove(&(before, need));
            }
            self.firsts.extend(first.map(|first| (first, need)));
        }
    }

    /// Notes that a worker offers something else.
    pub(super) fn offered_anew(&mut self, worker: WorkerKey) {
        self.leases.entry(worker).or_default().changes += 1;
    }

    /// Notes that jobs may have another urgency.
    pub(super) const fn wished_anew(&mut self) {
        self.wished += 1;
    }

    /// How often something has changed of what a worker offers or holds, and of
    /// the urgency of that. While this number is the same, all of it is.
    pub(super) fn changes_of(&self, worker: WorkerKey) -> u64 {
        let leases = self.leases.get(&worker);
        self.wished + leases.map_or(0, |leases| leases.changes)
    }

    /// Whether a job with this need waits to be granted.
    pub(super) fn waits(&self, need: Need) -> bool {
        !self.queues[need.0 as usize].jobs.is_empty()
    }

    /// Of each queue the first job, if it comes after `last`, in the order of
    /// grants.
    pub(super) fn firsts_after(
        &self,
        last: Option<Waiting>,
    ) -> impl Iterator<Item = (Waiting, Need)> {
        let last = last.map(|last| (last, Need(u32::MAX)));
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        self.firsts.range((from, Bound::Unbounded)).copied()
    }

    /// The same, of the jobs for which a free slot may not be enough.
    pub(super) fn first_large(&self) -> impl Iterator<Item = (Waiting, Need)> {
        let is_large = |(_, need): &(Waiting, Need)| self.queues[need.0 as usize].is_large;
        self.firsts_after(None).filter(is_large)
    }

    /// The jobs whose backoff is over at `now`.
    pub(super) fn rested(&self, now: Timestamp) -> Vec<Loc> {
        let over = self.backoffs.range(..=(now, JobKey(i64::MAX), LAST));
        over.map(|(_, _, at)| *at).collect()
    }

    /// When the first backoff ends after `now`.
    pub(super) fn next_rested(&self, now: Timestamp) -> Option<Timestamp> {
        let after = (
            Bound::Excluded((now, JobKey(i64::MAX), LAST)),
            Bound::Unbounded,
        );
        self.backoffs.range(after).next().map(|(until, ..)| *until)
    }

    /// The leases that are over at `now`, or whose grace is over.
    pub(super) fn over(&self, now: Timestamp) -> Vec<Loc> {
        let over = self.deadlines.range(..=(now, JobKey(i64::MAX), LAST));
        over.map(|(_, _, at)| *at).collect()
    }

    /// Every lease.
    pub(super) fn all_leases(&self) -> Vec<Loc> {
        self.deadlines.iter().map(|(_, _, at)| *at).collect()
    }

    /// The leases of a worker, in order of submission.
    pub(super) fn leases_of(&self, worker: WorkerKey) -> Vec<Loc> {
        let leases = self.leases.get(&worker);
        let jobs = leases.into_iter().flat_map(|leases| &leases.jobs);
        jobs.map(|(_, at)| *at).collect()
    }

    /// How many leases a worker has, and how many of its slots these have.
    pub(super) fn count_leases(&self, worker: WorkerKey) -> (u64, u64) {
        let leases = self.leases.get(&worker);
        leases.map_or((0, 0), |it| (it.jobs.len() as u64, it.slots))
    }

    /// How many jobs are granted before this one, if every need can be met.
    pub(super) fn waiting_before(&self, own: Waiting) -> u64 {
        let queues = self.queues.iter().map(|queue| &queue.jobs);
        let before = queues.map(|jobs| jobs.range(..own).count());
        before.sum::<usize>() as u64
    }

    /// The jobs that wait for the end of their backoff.
    pub(super) fn backing_off(&self) -> impl Iterator<Item = Loc> {
        self.backoffs.iter().map(|(_, _, at)| *at)
    }

    /// How many entries there are in total; for checks.
    pub(super) fn len(&self) -> usize {
        let queued: usize = self.queues.iter().map(|queue| queue.jobs.len()).sum();
        queued + self.backoffs.len() + self.deadlines.len()
    }
}
