//! A deterministic simulation of Swath: the engine over rows in memory, the
//! workers' agents, a virtual clock, a faulty network, faulty machines, and one
//! seeded source of chance.
//!
//! The deciding code is that of production: [`swath_engine`] with its ledger,
//! its task (turned by hand) and its warmth, and [`swath_agent`]. Only the parts
//! that do IO are simulated here: the network, the disk of a spool, trainers,
//! and the store, whose rows are in memory and refuse what a schema refuses.
//!
//! A run has two parts. In the first, everything goes wrong that can: messages
//! are lost, repeated and overtake each other; workers crash, freeze, are told
//! to end and come back; trainers fail in every way; commits fail, or succeed
//! while the reply is lost; hosts lack what jobs need; the coordinator crashes, freezes, or is overtaken by
//! another one while it is frozen; its clock jumps; an operator cancels, pauses
//! and retries. After every commit the invariants of ledger, rows and history
//! are checked. In the second part nothing goes wrong any more, and every job
//! must become final in bounded time. The same seed gives the same run, down to
//! the last message.

mod cells;
mod chance;
mod chaos;
mod coordinator;
mod desk;
mod disk;
mod history;
mod machine;
mod network;
mod sim;
mod trainer;

pub use self::sim::{Failure, Report, run, run_forgetful};

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
    /// Share of machines, but for the first, whose host lacks something of some jobs.
    pub lacking: f64,
    /// Share of commits that fail, or whose reply is lost.
    pub refused: f64,
    /// Share of writes to a spool that fail.
    pub unwritten: f64,
    /// Weight of a worker's process dying.
    pub crash: u32,
    /// Weight of a worker's process freezing for a while.
    pub freeze: u32,
    /// Weight of a worker being told to end.
    pub signal: u32,
    /// Weight of the coordinator dying, and starting again after a while.
    pub outage: u32,
    /// Weight of the coordinator freezing for a while.
    pub stall: u32,
    /// Weight of another coordinator taking over from a frozen one.
    pub takeover: u32,
    /// Weight of the store being away for a while.
    pub away: u32,
    /// Weight of the coordinator's clock jumping ahead.
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
            lacking: 0.4,
            refused: 0.02,
            unwritten: 0.05,
            crash: 4,
            freeze: 4,
            signal: 2,
            outage: 1,
            stall: 1,
            takeover: 1,
            away: 1,
            jump: 1,
            operator: 4,
        }
    }

    /// Everything goes wrong, and the store and the leader most often.
    pub const fn unreliable() -> Self {
        Self {
            refused: 0.3,
            away: 8,
            outage: 6,
            takeover: 6,
            ..Self::all()
        }
    }

    /// Only what the workers do not cause: the coordinator and its store are
    /// away or freeze, or their clock jumps.
    pub const fn absences() -> Self {
        Self {
            refused: 0.02,
            outage: 3,
            stall: 2,
            takeover: 2,
            away: 2,
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
            lacking: 0.0,
            refused: 0.0,
            unwritten: 0.0,
            crash: 0,
            freeze: 0,
            signal: 0,
            outage: 0,
            stall: 0,
            takeover: 0,
            away: 0,
            jump: 0,
            operator: 0,
        }
    }
}
