//! What every handler shares: the store, the clock, and who waits for what.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use swath_core::id::WorkerName;
use swath_core::policy::Policy;
use swath_core::time::Timestamp;
use swath_store::Store;
use tokio::sync::watch;

use super::clock::Clock;

/// Shared by the handlers and the sweeper.
pub(crate) struct State {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) policy: Policy,
    clock: Clock,
    /// Grows when jobs may have become grantable: waiting workers look again.
    work: watch::Sender<u64>,
    /// Grows with every change that a reader could see.
    revision: watch::Sender<u64>,
    /// Workers that an operator drains, so that every reply can say so without
    /// a read.
    draining: Mutex<BTreeSet<WorkerName>>,
}

impl State {
    pub(crate) fn new(store: Arc<dyn Store>, policy: Policy, newest: Timestamp) -> Self {
        Self {
            store,
            policy,
            clock: Clock::new(newest),
            work: watch::Sender::new(0),
            revision: watch::Sender::new(0),
            draining: Mutex::new(BTreeSet::new()),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Wakes the workers that wait for a job.
    pub(crate) fn work_arrived(&self) {
        self.work.send_modify(|count| *count += 1);
        self.changed();
    }

    /// Wakes the readers that watch.
    pub(crate) fn changed(&self) {
        self.revision.send_modify(|count| *count += 1);
    }

    pub(crate) fn work(&self) -> watch::Receiver<u64> {
        self.work.subscribe()
    }

    pub(crate) fn revision(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    pub(crate) fn is_draining(&self, worker: &WorkerName) -> bool {
        self.draining
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(worker)
    }

    pub(crate) fn set_draining(&self, worker: &WorkerName, draining: bool) {
        let mut set = self.draining.lock().unwrap_or_else(PoisonError::into_inner);
        if draining {
            set.insert(worker.clone());
        } else {
            set.remove(worker);
        }
    }
}
