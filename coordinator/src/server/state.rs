//! What every handler shares: the engine, the store, the clock, and those who wait for
//! changes.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use swath_engine::Engine;
use swath_model::id::WorkerName;
use swath_model::policy::Policy;
use swath_model::time::Timestamp;
use swath_store::Store;
use tokio::sync::{Mutex as AsyncMutex, Semaphore};

use super::access::Access;
use super::clock::Clock;
use super::inputs::UPLOADS_AT_ONCE;
use super::keeping::Keeping;
use super::lines::Lines;
use crate::database::Database;

/// Shared by the handlers and the sweeper.
pub(crate) struct State {
    /// The engine, through which every write goes.
    pub(crate) engine: Engine,
    /// The store, for reads.
    pub(crate) store: Arc<dyn Store>,
    pub(crate) policy: Policy,
    /// Where its data is.
    pub(crate) database: Database,
    /// Whose turn it is to send files.
    pub(crate) uploads: Semaphore,
    /// Whose turn it is to have a sweep built.
    pub(crate) submits: AsyncMutex<()>,
    /// The lines on which workers can be asked for files.
    pub(crate) lines: Lines,
    /// What sweeps want to keep, as far as it was looked up.
    pub(crate) keeping: Keeping,
    /// Who may call.
    pub(crate) access: Access,
    clock: Clock,
    /// Workers that an operator drains; kept here so that every reply can say
    /// so without a read.
    draining: Mutex<BTreeSet<WorkerName>>,
}

impl State {
    pub(crate) fn new(engine: Engine, policy: Policy, database: Database, access: Access) -> Self {
        Self {
            store: Arc::clone(engine.store()),
            engine,
            policy,
            database,
            uploads: Semaphore::new(UPLOADS_AT_ONCE),
            submits: AsyncMutex::new(()),
            lines: Lines::default(),
            keeping: Keeping::default(),
            access,
            clock: Clock::new(Timestamp::default()),
            draining: Mutex::new(BTreeSet::new()),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Moves the clock forward to `least`, if it is behind.
    pub(crate) fn not_before(&self, least: Timestamp) {
        self.clock.not_before(least);
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
