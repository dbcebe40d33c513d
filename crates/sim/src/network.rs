//! What workers and the coordinator tell each other, and when it arrives.

use swath_core::id::Owner;
use swath_core::ledger::LedgerError;
use swath_core::message::{Exchange, Exchanged, Held, Hello, Report, Verdict, Welcome};

use crate::Faults;
use crate::chance::Chance;

/// A call of a worker.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) worker: usize,
    /// Which life of its process: replies to a dead one reach nobody.
    pub(crate) life: u32,
    /// Which call of that life.
    pub(crate) call: u64,
    pub(crate) body: Call,
}

#[derive(Clone, Debug)]
pub(crate) enum Call {
    Hello(Hello),
    Exchange(Exchange),
    Heartbeat(Owner, Vec<Held>),
    Observe(Owner, Vec<Report>),
    Release(Owner, Vec<Held>),
}

/// The answer to a call.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) worker: usize,
    pub(crate) life: u32,
    pub(crate) call: u64,
    pub(crate) body: Result<Answer, LedgerError>,
}

#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Welcome(Hello, Welcome),
    Exchanged(Exchange, Exchanged),
    Verdicts(Owner, Vec<Held>, Vec<Verdict>),
    Released,
}

/// The delays after which a message arrives: none when it is lost, several
/// when it is repeated.
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
