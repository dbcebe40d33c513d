//! The proofs that attempts were granted to this worker. A coordinator that others
//! reach over a network gives one with each grant, and wants it with everything that
//! is said of the attempt.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use swath_model::message::Held;
use swath_proto::{convert, v1};

/// So many attempts that are over keep theirs: a coordinator may ask for an outcome
/// once more.
const OVER_MAX: usize = 1 << 16;

/// The leases of a worker. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Leases(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    leases: HashMap<Held, Vec<u8>>,
    /// What nothing more needs to be said of, the oldest first.
    over: VecDeque<Held>,
}

impl Leases {
    /// Keeps the lease of an attempt; an empty one is none.
    pub fn keep(&self, held: Held, lease: Vec<u8>) {
        if !lease.is_empty() {
            self.lock().leases.insert(held, lease);
        }
    }

    /// The lease of an attempt; empty where there is none.
    pub fn of(&self, held: Held) -> Vec<u8> {
        self.lock().leases.get(&held).cloned().unwrap_or_default()
    }

    /// Nothing more needs to be said of these attempts.
    pub fn over(&self, attempts: impl IntoIterator<Item = Held>) {
        let mut known = self.lock();
        let known = &mut *known;
        let with_lease = |held: &Held| known.leases.contains_key(held);
        known.over.extend(attempts.into_iter().filter(with_lease));
        let excess = known.over.len().saturating_sub(OVER_MAX);
        for held in known.over.drain(..excess) {
            known.leases.remove(&held);
        }
    }

    /// An attempt with its lease, encoded.
    pub(crate) fn message(&self, held: Held) -> v1::Held {
        let mut message = convert::held_message(held);
        message.lease = self.of(held);
        message
    }

    /// Adds the leases of these attempts to their encodings, which are in the same
    /// order.
    pub(crate) fn add_to<'a>(
        &self,
        messages: impl IntoIterator<Item = &'a mut v1::Held>,
        attempts: &[Held],
    ) {
        for (message, held) in messages.into_iter().zip(attempts) {
            message.lease = self.of(*held);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use swath_model::id::{Attempt, JobDigest};

    use super::*;

    fn held(number: u32) -> Held {
        Held {
            job: JobDigest::from_bytes([1; 32]),
            attempt: Attempt(number),
        }
    }

    #[test]
    fn the_oldest_that_are_over_go_and_no_others() {
        let leases = Leases::default();
        let count = OVER_MAX as u32 + 2;
        for number in 0..count {
            leases.keep(held(number), vec![number as u8]);
        }
        leases.over((1..count).map(held));
        assert_eq!(leases.of(held(0)), [0], "it is not over");
        assert!(leases.of(held(1)).is_empty(), "the oldest that is over");
        assert_eq!(leases.of(held(2)), [2]);
        leases.keep(held(9), Vec::new());
        assert_eq!(leases.of(held(9)), [9], "none is no other one");
    }
}
