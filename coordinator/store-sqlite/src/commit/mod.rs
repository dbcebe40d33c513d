//! Writing [`Changes`]: rows that the engine decided, in the order of their
//! fields, each list by a statement that takes thousands at once. Nothing is
//! looked at before it is written: one writer knows what is there, and the
//! constraints and triggers of the schema are its witness.

mod attempts;
mod imports;
mod jobs;
mod logs;
mod pack;
mod sweeps;
mod workers;

use swath_store::Changes;

use crate::error::{Failure, Result};
use crate::writer::Tx;

/// Writes everything, within a transaction of the caller's.
pub(crate) async fn write(tx: &mut Tx, changes: &Changes) -> Result<()> {
    sweeps::insert(tx, &changes.new_sweeps).await?;
    sweeps::update(tx, &changes.sweeps).await?;
    sweeps::insert_cells(tx, &changes.cells).await?;
    sweeps::insert_sweep_cells(tx, &changes.sweep_cells).await?;
    sweeps::grow(tx, &changes.grown).await?;
    workers::write(tx, &changes.workers).await?;
    jobs::insert(tx, &changes.new_jobs).await?;
    attempts::insert(tx, &changes.attempts).await?;
    attempts::insert_outcomes(tx, &changes.outcomes).await?;
    attempts::end(tx, &changes.ends).await?;
    jobs::update(tx, &changes.jobs).await?;
    attempts::keep_late(tx, &changes.late).await?;
    logs::insert_observations(tx, &changes.observations).await?;
    logs::append(tx, &changes.logs).await?;
    workers::remember_requests(tx, &changes.requests).await?;
    sweeps::write_replications(tx, &changes.replications).await?;
    sweeps::insert_decisions(tx, &changes.decisions).await?;
    imports::forget(tx, &changes.forgotten).await?;
    imports::insert(tx, &changes.imports).await
}

/// Holds a statement to the number of rows that it was given.
fn all_written(what: &str, written: u64, wanted: usize) -> Result<()> {
    if written == wanted as u64 {
        return Ok(());
    }
    Err(Failure::Damaged(format!(
        "{what}: {written} of {wanted} rows are there"
    )))
}
