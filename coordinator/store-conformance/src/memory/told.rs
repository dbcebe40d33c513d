//! What a watcher knows after following every event.

use std::collections::BTreeMap;

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
