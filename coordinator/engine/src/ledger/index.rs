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
    /// The needs of those that may not fit into a free slot, as far as jobs wait.
    large: BTreeSet<Need>,
    /// Jobs to grant later.
    backoffs: BTreeSet<Timed>,
    /// Leases, by the end of the lease or of its grace.
    deadlines: BTreeSet<Timed>,
    leases: BTreeMap<WorkerKey, Leases>,
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
                let queue = &mut self.queues[need.0 as usize];
                queue.jobs.insert(Waiting {
                    urgency: Reverse(urgency),
                    job,
                    at,
                });
                if queue.is_large {
                    self.large.insert(need);
                }
            }
            Filed::Backoff(until) => {
                self.backoffs.insert((until, job, at));
            }
            Filed::Lease(until, worker, slots) => {
                self.deadlines.insert((until, job, at));
                let leases = self.leases.entry(worker).or_default();
                leases.jobs.insert((job, at));
                leases.slots += u64::from(slots);
            }
        }
    }

    pub(super) fn unfile(&mut self, filed: Filed, need: Need, job: JobKey, at: Loc) {
        match filed {
            Filed::Nowhere => {}
            Filed::Queue(urgency) => {
                let queue = &mut self.queues[need.0 as usize];
                queue.jobs.remove(&Waiting {
                    urgency: Reverse(urgency),
                    job,
                    at,
                });
                if queue.is_large && queue.jobs.is_empty() {
                    self.large.remove(&need);
                }
            }
            Filed::Backoff(until) => {
                self.backoffs.remove(&(until, job, at));
            }
            Filed::Lease(until, worker, slots) => {
                self.deadlines.remove(&(until, job, at));
                if let Some(leases) = self.leases.get_mut(&worker) {
                    leases.jobs.remove(&(job, at));
                    leases.slots -= u64::from(slots);
                    if leases.jobs.is_empty() {
                        self.leases.remove(&worker);
                    }
                }
            }
        }
    }

    /// Whether a job with this need waits to be granted.
    pub(super) fn waits(&self, need: Need) -> bool {
        !self.queues[need.0 as usize].jobs.is_empty()
    }

    /// Whether a job waits for which a free slot may not be enough.
    pub(super) fn large_wait(&self) -> bool {
        !self.large.is_empty()
    }

    /// Of the jobs for which a free slot may not be enough, the first of each
    /// kind, in the order of grants.
    pub(super) fn first_large(&self) -> Vec<Waiting> {
        let queues = self.large.iter().map(|need| &self.queues[need.0 as usize]);
        let firsts = queues.filter_map(|queue| queue.jobs.first().copied());
        let mut firsts: Vec<Waiting> = firsts.collect();
        firsts.sort_unstable();
        firsts
    }

    /// The next job after `last` for a worker that meets these needs.
    pub(super) fn next(&self, needs: &[Need], last: Option<Waiting>) -> Option<Waiting> {
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        let queues = needs.iter().map(|need| &self.queues[need.0 as usize]);
        let heads = queues.filter_map(|queue| queue.jobs.range((from, Bound::Unbounded)).next());
        heads.min().copied()
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
