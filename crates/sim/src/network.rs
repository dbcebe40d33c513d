//! What workers and the coordinator send each other, and when it arrives.

use swath_agent::{Call, CallError, CallId, Reply};

use crate::Faults;
use crate::chance::Chance;

/// The sender of a call, in one life of a worker's process. Replies to a dead
/// one reach nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) worker: usize,
    pub(crate) life: u32,
    pub(crate) call: CallId,
}

/// A call on its way.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) from: Address,
    pub(crate) call: Call,
}

/// The answer to a call.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) to: Address,
    pub(crate) result: Result<Reply, CallError>,
}

/// The delays after which a message arrives, in milliseconds: none when it is
/// lost, several when it is repeated.
pub(crate) fn arrivals(chance: &mut Chance, faults: &Faults) -> Vec<u64> {
    if chance.happens(faults.lost) {
        return Vec::new();
    }
    let copies = if chance.happens(faults.duplicated) {
        2
    } else {
        1
    };
    let delay = |chance: &mut Chance| {
        if chance.happens(faults.slow) {
            chance.within(1_000..200_000)
        } else {
            chance.within(1..400)
        }
    };
    (0..copies).map(|_| delay(chance)).collect()
}
