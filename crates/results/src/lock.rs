//! A lock file: everything that a sweep's table is drawn from, with the name of
//! every job behind it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use swath_model::id::{Attempt, CellDigest, JobDigest};
use swath_model::message::Sources;
use swath_model::spec::RECIPE_VERSION;
use swath_model::view::{CellResults, ReplicateResult, SCHEMA_VERSION, SweepRecord};

use crate::summary::Quantity;
use crate::table::{Definition, Results, TableError};

/// The version of lock files.
pub const LOCK_VERSION: u32 = 1;

/// A sweep as it stood, complete in itself: the same file gives the same table
/// without a coordinator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lock {
    /// The schema version of the documents in it.
    pub schema_version: u32,
    /// The version of the lock file's own form.
    pub lock_version: u32,
    /// The version of the program that wrote it.
    pub swath: String,
    /// Tells what the built-in trainer computed for a spec; see
    /// `spec::RECIPE_VERSION`.
    pub recipe_version: u32,
    /// The sweep.
    pub sweep: SweepRecord,
    /// What it was submitted as.
    pub sources: Sources,
    /// Its cells in canonical order.
    pub cells: Vec<LockedCell>,
}

/// A cell with its jobs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LockedCell {
    /// Its place in canonical order.
    pub index: u64,
    /// The cell's digest.
    pub cell: CellDigest,
    /// Its axes in written order.
    pub axes: Vec<(String, Value)>,
    /// Its replicates in order.
    pub replicates: Vec<LockedReplicate>,
}

/// A replicate: its job, seed, attempt and value, and what it ran on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LockedReplicate {
    /// The attempt whose outcome counts, or the newest; absent when there was
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<Attempt>,
    /// The value of this replicate that the table shows.
    pub value: Option<f64>,
    /// The result in full.
    #[serde(flatten)]
    pub result: ReplicateResult,
}

/// Why a lock file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The text is not JSON, or not that of a lock file.
    #[error("it is not a lock file: {0}")]
    NotALock(String),
    /// It was written by another version.
    #[error("it has version {0}, and this program reads version {LOCK_VERSION}")]
    Version(u64),
    /// Its table cannot be drawn.
    #[error(transparent)]
    Table(#[from] TableError),
}

impl Lock {
    /// Makes a lock file of the results of a sweep. `attempts` is the newest
    /// attempt of each job that had one.
    ///
    /// # Errors
    ///
    /// When the sweep's definition cannot be read.
    pub fn new(
        swath: &str,
        sweep: SweepRecord,
        sources: Sources,
        cells: Vec<CellResults>,
        attempts: &BTreeMap<JobDigest, Attempt>,
    ) -> Result<Self, LockError> {
        let measured = Definition::read(&sweep.definition)?.quantity();
        let cells = cells.into_iter().map(|cell| LockedCell {
            index: cell.index,
            cell: cell.cell,
            axes: cell.axes,
            replicates: cell
                .replicates
                .into_iter()
                .map(|result| locked(result, &measured, attempts))
                .collect(),
        });
        Ok(Self {
            schema_version: SCHEMA_VERSION,
            lock_version: LOCK_VERSION,
            swath: swath.to_owned(),
            recipe_version: RECIPE_VERSION,
            sweep,
            sources,
            cells: cells.collect(),
        })
    }

    /// Reads a lock file.
    ///
    /// # Errors
    ///
    /// When it is not a lock file, or one of another version.
    pub fn parse(text: &str) -> Result<Self, LockError> {
        let wrong = |error: serde_json::Error| LockError::NotALock(error.to_string());
        let value: Value = serde_json::from_str(text).map_err(wrong)?;
        match value.get("lock_version").and_then(Value::as_u64) {
            Some(version) if version == u64::from(LOCK_VERSION) => {}
            Some(version) => return Err(LockError::Version(version)),
            None => return Err(LockError::NotALock("it has no `lock_version`".to_owned())),
        }
        serde_json::from_str(text).map_err(wrong)
    }

    /// The results that the table is drawn from.
    ///
    /// # Errors
    ///
    /// When the definition cannot be read, or a number is not finite.
    pub fn results(self) -> Result<Results, LockError> {
        let cells = self.cells.into_iter().map(|cell| CellResults {
            index: cell.index,
            cell: cell.cell,
            axes: cell.axes,
            replicates: cell.replicates.into_iter().map(|it| it.result).collect(),
        });
        Ok(Results::new(&self.sweep, cells.collect())?)
    }
}

fn locked(
    result: ReplicateResult,
    measured: &Quantity,
    attempts: &BTreeMap<JobDigest, Attempt>,
) -> LockedReplicate {
    LockedReplicate {
        attempt: match result.imported {
            Some(_) => None,
            None => attempts.get(&result.job).copied(),
        },
        // A number that is not finite is reported when the table is drawn.
        value: measured.of(&result).unwrap_or_default(),
        result,
    }
}
