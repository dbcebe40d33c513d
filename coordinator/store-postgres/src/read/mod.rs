//! What readers ask for, each on one state of the database: readers and the
//! writer never wait for each other.

mod credentials;
mod events;
mod find;
mod inputs;
mod jobs;
mod results;
mod sweeps;

pub(crate) use self::credentials::credentials;
pub(crate) use self::events::{events, last_event};
pub(crate) use self::inputs::{inputs, kept, piece, shipped};
pub(crate) use self::jobs::{alike, curves, job, jobs, known, last_failed, logs};
pub(crate) use self::results::results;
pub(crate) use self::sweeps::{replication, sources, sweep, sweeps, workers};
