//! What a worker cannot know yet: the grants of exchanges that are under way.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use swath_model::id::{Attempt, WorkerName};
use swath_store::{JobKey, NewAttempt};

/// So many grants are remembered. More come only while the store is quick.
const GRANTS: usize = 4096;

/// Batches that were answered, and exchanges that are under way.
#[derive(Debug, Default)]
pub(crate) struct UnderWay {
    /// The number of the last batch that was answered.
    answered: AtomicU64,
    /// By whom, and which batch was the last one before.
    exchanges: Mutex<Vec<(WorkerName, u64)>>,
    /// The newest grants, and their batches: they may be kept though the
    /// ledger was thrown away.
    grants: Mutex<VecDeque<(JobKey, Attempt, u64)>>,
}

/// An exchange, until its worker is answered or has gone away.
#[derive(Debug)]
pub(crate) struct Going {
    all: Arc<UnderWay>,
    worker: WorkerName,
    began: u64,
}

impl UnderWay {
    fn exchanges(&self) -> MutexGuard<'_, Vec<(WorkerName, u64)>> {
        self.exchanges
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn grants(&self) -> MutexGuard<'_, VecDeque<(JobKey, Attempt, u64)>> {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These are granted in the batch of this number, which is not answered yet.
    pub(crate) fn grant(&self, batch: u64, attempts: &[NewAttempt]) {
        let mut grants = self.grants();
        grants.extend(attempts.iter().map(|it| (it.job, it.attempt, batch)));
        let surplus = grants.len().saturating_sub(GRANTS);
        grants.drain(..surplus);
    }

    /// Whether this was granted after the batch `told`.
    pub(crate) fn is_unheard(&self, job: JobKey, attempt: Attempt, told: u64) -> bool {
        let grants = self.grants();
        let mut later = grants.iter().rev().take_while(|it| it.2 > told);
        later.any(|it| (it.0, it.1) == (job, attempt))
    }

    /// The batch of this number is answered from now on.
    pub(crate) fn answer(&self, batch: u64) {
        self.answered.store(batch, Ordering::Release);
    }

    /// An exchange of this worker begins.
    pub(crate) fn begin(self: &Arc<Self>, worker: &WorkerName) -> Going {
        let began = self.answered.load(Ordering::Acquire);
        self.exchanges().push((worker.clone(), began));
        Going {
            all: Arc::clone(self),
            worker: worker.clone(),
            began,
        }
    }

    /// The last batch whose grants this worker can know of.
    pub(crate) fn told(&self, worker: &WorkerName) -> u64 {
        let exchanges = self.exchanges();
        let own = exchanges.iter().filter(|(name, _)| name == worker);
        let first = own.map(|(_, began)| *began).min();
        let answered = self.answered.load(Ordering::Acquire);
        first.unwrap_or(answered)
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        let mut exchanges = self.all.exchanges();
        let own = |it: &(WorkerName, u64)| it.0 == self.worker && it.1 == self.began;
        if let Some(at) = exchanges.iter().position(own) {
            exchanges.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_knows_what_was_answered_before_its_exchanges_began() {
        let all = Arc::<UnderWay>::default();
        let worker: WorkerName = "w".parse().unwrap();
        let other: WorkerName = "other".parse().unwrap();
        all.answer(3);
        let first = all.begin(&worker);
        all.answer(5);
        let second = all.begin(&worker);
        all.answer(8);
        assert_eq!((all.told(&worker), all.told(&other)), (3, 8));
        drop(first);
        assert_eq!(all.told(&worker), 5);
        drop(second);
        assert_eq!(all.told(&worker), 8);
    }
}
