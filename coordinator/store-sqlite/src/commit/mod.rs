//! Writing [`Changes`]: rows that the engine decided, in the order of the
//! fields, each list by a statement that takes thousands of rows at once.
//! Nothing is read before it is written: the single writer knows what exists,
//! and the constraints and triggers of the schema check it.

mod attempts;
mod copied;
mod credentials;
mod delete;
mod events;
mod imports;
mod inputs;
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
    // Every list is named, so that a new one cannot be forgotten here.
    let Changes {
        new_sweeps,
        sweeps,
        labels,
        renamed,
        inputs,
        pieces,
        shipped,
        cells,
        needs,
        sweep_cells,
        grown,
        workers,
        new_jobs,
        attempts,
        dropped,
        outcomes,
        ends,
        lost,
        jobs,
        late,
        observations,
        logs,
        requests,
        replications,
        decisions,
        forgotten,
        imports,
        credentials,
        deleted,
        events,
        copied,
    } = changes;
    sweeps::insert(tx, new_sweeps).await?;
    sweeps::update(tx, sweeps).await?;
    sweeps::relabel(tx, labels).await?;
    inputs::insert(tx, inputs).await?;
    inputs::insert_pieces(tx, pieces).await?;
    inputs::ship(tx, shipped).await?;
    sweeps::insert_cells(tx, cells).await?;
    sweeps::change_needs(tx, needs).await?;
    sweeps::insert_sweep_cells(tx, sweep_cells).await?;
    sweeps::grow(tx, grown).await?;
    workers::write(tx, workers).await?;
    jobs::insert(tx, new_jobs).await?;
    attempts::insert(tx, attempts).await?;
    attempts::drop_outcomes(tx, dropped).await?;
    attempts::insert_outcomes(tx, outcomes).await?;
    attempts::end(tx, ends).await?;
    attempts::lose(tx, lost).await?;
    jobs::update(tx, jobs).await?;
    attempts::keep_late(tx, late).await?;
    logs::insert_observations(tx, observations).await?;
    logs::append(tx, logs).await?;
    workers::remember_requests(tx, requests).await?;
    sweeps::write_replications(tx, replications).await?;
    sweeps::insert_decisions(tx, decisions).await?;
    imports::rename(tx, renamed).await?;
    imports::forget(tx, forgotten).await?;
    imports::insert(tx, imports).await?;
    credentials::write(tx, credentials).await?;
    delete::write(tx, deleted).await?;
    events::write(tx, events).await?;
    match copied {
        None => Ok(()),
        Some(copied) => copied::write(tx, copied).await,
    }
}

/// Checks that a statement wrote as many rows as it was given.
fn all_written(what: &str, written: u64, wanted: usize) -> Result<()> {
    if written == wanted as u64 {
        return Ok(());
    }
    Err(Failure::Damaged(format!(
        "{what}: {written} of {wanted} rows are there"
    )))
}
