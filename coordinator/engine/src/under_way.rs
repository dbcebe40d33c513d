//! What a worker cannot know yet: the grants of exchanges that it still waits
//! for.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use swath_model::id::{Attempt, Owner, WorkerName};
use swath_model::message::Exchange;
use swath_store::{JobKey, NewAttempt, Result, StoreError};

/// So many grants are remembered. More come only while the store is quick.
const GRANTS: usize = 4096;

/// Batches that were answered, and exchanges that were not.
#[derive(Debug, Default)]
pub(crate) struct UnderWay {
    /// The number of the last batch that was answered.
    answered: AtomicU64,
    exchanges: Mutex<Vec<Waits>>,
    /// The newest grants, and their batches: they may be kept though the
    /// ledger was thrown away.
    grants: Mutex<VecDeque<(JobKey, Attempt, u64)>>,
}

/// A worker waits for an answer.
#[derive(Clone, Debug)]
struct Waits {
    owner: Owner,
    request: u64,
    /// The last batch that was answered before.
    began: u64,
    /// Whether it is to ask again: the call came to nothing.
    failed: bool,
}

/// An exchange, until its worker is answered or has gone away.
#[derive(Debug)]
pub(crate) struct Going {
    all: Arc<UnderWay>,
    waits: Waits,
    answered: bool,
}

impl UnderWay {
    fn exchanges(&self) -> MutexGuard<'_, Vec<Waits>> {
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

    /// An exchange begins. One that repeats a request began with the first.
    pub(crate) fn begin(self: &Arc<Self>, exchange: &Exchange) -> Going {
        let (owner, request) = (&exchange.owner, exchange.request);
        let mut waits = Waits {
            owner: owner.clone(),
            request,
            began: self.answered.load(Ordering::Acquire),
            failed: false,
        };
        let mut exchanges = self.exchanges();
        exchanges.retain(|it| {
            let own = it.failed && it.owner.worker == owner.worker;
            let same_session = it.owner.session == owner.session;
            if own && same_session && it.request == request {
                waits.began = waits.began.min(it.began);
            }
            // Whoever goes on does not wait for what was before.
            !own || (same_session && it.request > request)
        });
        exchanges.push(waits.clone());
        drop(exchanges);
        Going {
            all: Arc::clone(self),
            waits,
            answered: false,
        }
    }

    /// The last batch whose grants this worker can know of.
    pub(crate) fn told(&self, worker: &WorkerName) -> u64 {
        let exchanges = self.exchanges();
        let own = exchanges.iter().filter(|it| it.owner.worker == *worker);
        let first = own.map(|it| it.began).min();
        let answered = self.answered.load(Ordering::Acquire);
        first.unwrap_or(answered)
    }
}

impl Going {
    /// Its worker is told what this came to. Nobody asks again in a session that
    /// is over or was never given.
    pub(crate) fn ends<T>(mut self, came_to: Result<T>) -> Result<T> {
        self.answered = matches!(came_to, Ok(_) | Err(StoreError::StaleSession { .. }));
        came_to
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        let mut exchanges = self.all.exchanges();
        let own = |it: &Waits| {
            let (one, other) = (it, &self.waits);
            !one.failed
                && (&one.owner, one.request, one.began)
                    == (&other.owner, other.request, other.began)
        };
        let Some(at) = exchanges.iter().position(own) else {
            return;
        };
        if self.answered {
            exchanges.swap_remove(at);
        } else {
            exchanges[at].failed = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use swath_model::id::SessionId;
    use swath_model::offer::Free;

    use super::*;

    fn asking(worker: &str, request: u64) -> Exchange {
        Exchange {
            owner: Owner {
                worker: worker.parse().unwrap(),
                session: SessionId(1),
            },
            request,
            finishes: Vec::new(),
            free: Free::cpu(1),
        }
    }

    fn told(all: &UnderWay, worker: &str) -> u64 {
        all.told(&worker.parse().unwrap())
    }

    #[test]
    fn a_worker_knows_what_was_answered_before_its_exchanges_began() {
        let all = Arc::<UnderWay>::default();
        all.answer(3);
        let first = all.begin(&asking("w", 1));
        all.answer(5);
        let second = all.begin(&asking("w", 2));
        all.answer(8);
        assert_eq!((told(&all, "w"), told(&all, "other")), (3, 8));
        let _ = first.ends(Ok(()));
        assert_eq!(told(&all, "w"), 5);
        let _ = second.ends(Ok(()));
        assert_eq!(told(&all, "w"), 8);
    }

    #[test]
    fn nobody_asks_again_in_a_session_that_is_over() {
        let all = Arc::<UnderWay>::default();
        all.answer(3);
        let stale = StoreError::StaleSession {
            worker: "w".parse().unwrap(),
            session: 1,
        };
        let _ = all.begin(&asking("w", 1)).ends(Err::<(), _>(stale));
        all.answer(5);
        assert_eq!(told(&all, "w"), 5);
    }

    #[test]
    fn a_request_that_came_to_nothing_is_waited_for_until_it_is_repeated() {
        let all = Arc::<UnderWay>::default();
        all.answer(3);
        let failed = || StoreError::Conflict("not now".to_owned());
        let _ = all.begin(&asking("w", 1)).ends(Err::<(), _>(failed()));
        all.answer(5);
        assert_eq!(told(&all, "w"), 3);
        drop(all.begin(&asking("w", 1)));
        all.answer(8);
        assert_eq!(told(&all, "w"), 3, "gone away, and again");
        let _ = all.begin(&asking("w", 1)).ends(Ok(()));
        assert_eq!(told(&all, "w"), 8);
        drop(all.begin(&asking("w", 2)));
        all.answer(9);
        let _ = all.begin(&asking("w", 3)).ends(Ok(()));
        assert_eq!(told(&all, "w"), 9, "it has moved on");
    }
}
