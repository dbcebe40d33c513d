//! What a watcher knows after following every event.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use swath_model::event::{Event, SweepNow, What, WorkerNow};
use swath_model::id::{JobDigest, SweepDigest, WorkerName};
use swath_model::job::StateName;

/// The state of everything according to the events.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    pub(super) sweeps: BTreeMap<SweepDigest, SweepNow>,
    pub(super) workers: BTreeMap<WorkerName, WorkerNow>,
    pub(super) jobs: BTreeMap<JobDigest, StateName>,
}

impl Told {
    pub(super) fn add(&mut self, event: &Event) {
        match (&event.what, event.sweep, &event.worker) {
            (What::SweepChanged { now, .. }, Some(sweep), _) => {
                self.sweeps.insert(sweep, now.clone());
            }
            (What::WorkerChanged { now, .. }, _, Some(worker)) => {
                self.workers.insert(worker.clone(), now.clone());
            }
            _ => {}
        }
        if let (Some(state), Some(job)) = (event.what.job_state(), event.job) {
            self.jobs.insert(job, state);
        }
    }
}

/// All events up to one of them. Copies share what they have in common: every
/// commit works on a copy of the tables.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    all: Arc<Mutex<Vec<Event>>>,
    count: usize,
}

impl Log {
    /// Adds an event. Those that another copy added after the last one of this
    /// copy are gone: that copy was thrown away.
    pub(super) fn push(&mut self, event: Event) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.truncate(self.count);
        all.push(event);
        self.count = all.len();
    }

    pub(super) fn last(&self) -> Option<Event> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all[..self.count].last().cloned()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The events after this number, in order.
    pub(super) fn after(&self, seq: u64) -> Vec<Event> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let first = all[..self.count].partition_point(|event| event.seq <= seq);
        all[first..self.count].to_vec()
    }
}
