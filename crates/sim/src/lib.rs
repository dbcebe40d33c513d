//! A deterministic simulation of the lease protocol: the ledger, a virtual
//! clock, faulty workers on a faulty network, and one seeded source of chance.
//!
//! A run has two parts. In the first, everything goes wrong that a seed can
//! think of: messages are lost, repeated and overtake each other, workers
//! crash, freeze and come back, the coordinator is away and starts again, its
//! clock jumps, an operator cancels, pauses and retries. After every step the
//! ledger's invariants and the history's are checked. In the second part
//! nothing goes wrong any more, and every job must become final in bounded
//! time. The same seed gives the same run, to the last message.

mod chance;
mod chaos;
mod coordinator;
mod history;
mod network;
mod sim;
mod worker;

pub use self::sim::{Failure, Report, run};

/// What may go wrong, as shares of messages and weights of mishaps.
#[derive(Clone, Debug)]
pub struct Faults {
    /// Share of messages that never arrive.
    pub lost: f64,
    /// Share of messages that arrive twice.
    pub duplicated: f64,
    /// Share of messages that are overtaken by minutes of others.
    pub slow: f64,
    /// Share of attempts that end with a fault.
    pub failing: f64,
    /// Weight of a worker's process dying.
    pub crash: u32,
    /// Weight of a worker's process freezing for a while.
    pub freeze: u32,
    /// Weight of the coordinator being away for a while.
    pub outage: u32,
    /// Weight of the store's clock jumping ahead.
    pub jump: u32,
    /// Weight of an operator doing something.
    pub operator: u32,
}

impl Faults {
    /// Everything goes wrong.
    pub const fn all() -> Self {
        Self {
            lost: 0.1,
            duplicated: 0.1,
            slow: 0.05,
            failing: 0.15,
            crash: 4,
            freeze: 4,
            outage: 1,
            jump: 1,
            operator: 3,
        }
    }

    /// Only what is not the workers' doing: outages and jumps of the clock.
    pub const fn absences() -> Self {
        Self {
            outage: 3,
            jump: 2,
            ..Self::none()
        }
    }

    /// Nothing goes wrong.
    pub const fn none() -> Self {
        Self {
            lost: 0.0,
            duplicated: 0.0,
            slow: 0.0,
            failing: 0.0,
            crash: 0,
            freeze: 0,
            outage: 0,
            jump: 0,
            operator: 0,
        }
    }
}
