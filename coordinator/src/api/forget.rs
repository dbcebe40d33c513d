//! What forgetting results takes away.

use serde::{Deserialize, Serialize};
use swath_model::id::SweepDigest;
use swath_model::time::Timestamp;

/// What forgetting the results of jobs would take away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgetting {
    /// The version of the document.
    pub schema_version: u32,
    /// When it was read: what is recorded after that is not in it.
    pub at: Timestamp,
    /// How many results would go: numbers and divergences.
    pub results: u64,
    /// The sweeps that are meant as a whole; none where jobs are meant.
    pub meant: Vec<SweepDigest>,
    /// The sweeps that have the jobs, oldest first.
    pub sweeps: Vec<Losing>,
    /// What is meant too, and stays as it is.
    pub spared: Spared,
}

/// What a sweep would lose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Losing {
    /// The sweep's name, with its version where another sweep has the same.
    pub sweep: String,
    /// Whose it is; may be empty.
    pub owner: String,
    /// How many results it would lose.
    pub results: u64,
    /// Of how many cells these are.
    pub cells: u64,
    /// How many of these cells would have no result left.
    pub emptied: u64,
}

/// Jobs that have no result to forget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spared {
    /// Those that failed otherwise than by divergence.
    pub failed: u64,
    /// Those that were cancelled.
    pub cancelled: u64,
    /// Those that have not ended.
    pub open: u64,
}
