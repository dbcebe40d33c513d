//! What readers ask for, each on one state of the database: no reader waits for
//! the writer and the writer for no reader.

mod events;
mod find;
mod jobs;
mod results;
mod sweeps;

pub(crate) use self::events::{events, last_event};
pub(crate) use self::jobs::{alike, curves, job, jobs, known, last_failed, logs};
pub(crate) use self::results::results;
pub(crate) use self::sweeps::{replication, sources, sweep, sweeps, workers};
