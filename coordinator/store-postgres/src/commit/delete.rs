//! Deletions. The triggers let go what no sweep holds, and nothing else.

use sqlx::query;
use swath_store::{CellKey, Deletion, JobKey};

use super::{CHUNK, all_written, inputs};
use crate::error::Result;
use crate::session::Session;
use crate::text;

pub(super) async fn write(session: &mut Session, deleted: &Deletion) -> Result<()> {
    for sweep in &deleted.replications {
        query!("DELETE FROM decision WHERE sweep = $1", sweep.0)
            .execute(&mut *session)
            .await?;
        query!("DELETE FROM replication WHERE sweep = $1", sweep.0)
            .execute(&mut *session)
            .await?;
    }
    for dropped in &deleted.sweep_cells {
        let (sweep, left) = (dropped.sweep.0, dropped.left as i64);
        let gone = query!(
            "DELETE FROM sweep_cell WHERE sweep = $1 AND position >= $2",
            sweep,
            left
        );
        let gone = gone.execute(&mut *session).await?.rows_affected();
        all_written(gone, dropped.cells.len(), "cells of a sweep")?;
        query!(
            "UPDATE sweep_counts SET cells = $2 WHERE sweep = $1",
            sweep,
            left
        )
        .execute(&mut *session)
        .await?;
    }
    for (name, cell) in &deleted.imports {
        query!(
            "DELETE FROM import WHERE sweep = $1 AND cell = $2",
            &*text::kept(name),
            cell.0
        )
        .execute(&mut *session)
        .await?;
    }
    for jobs in deleted.jobs.chunks(CHUNK) {
        delete_jobs(session, jobs).await?;
    }
    delete_cells(session, &deleted.cells).await?;
    for sweep in &deleted.sweeps {
        query!("DELETE FROM sweep_counts WHERE sweep = $1", sweep.0)
            .execute(&mut *session)
            .await?;
        query!("DELETE FROM sweep_input WHERE sweep = $1", sweep.0)
            .execute(&mut *session)
            .await?;
        let gone = query!("DELETE FROM sweep WHERE id = $1", sweep.0);
        let gone = gone.execute(&mut *session).await?.rows_affected();
        all_written(gone, 1, "sweeps")?;
    }
    inputs::delete(session, &deleted.inputs).await
}

async fn delete_cells(session: &mut Session, cells: &[CellKey]) -> Result<()> {
    if cells.is_empty() {
        return Ok(());
    }
    let keys: Vec<i64> = cells.iter().map(|cell| cell.0).collect();
    let gone = query!("DELETE FROM cell WHERE id = ANY($1::bigint[])", &keys);
    let gone = gone.execute(&mut *session).await?.rows_affected();
    all_written(gone, cells.len(), "cells")
}

/// Deletes jobs with everything about them.
async fn delete_jobs(session: &mut Session, jobs: &[JobKey]) -> Result<()> {
    let keys: Vec<i64> = jobs.iter().map(|job| job.0).collect();
    query!(
        "DELETE FROM grant_request
         WHERE json_array_length(grants::json) > 0 AND NOT EXISTS (
             SELECT 1 FROM json_array_elements(grants::json) AS line
             WHERE (line ->> 0)::bigint <> ALL($1::bigint[]))",
        &keys
    )
    .execute(&mut *session)
    .await?;
    query!(
        "UPDATE grant_request SET grants = (
             SELECT json_agg(line ORDER BY place)::text
             FROM json_array_elements(grants::json) WITH ORDINALITY AS each (line, place)
             WHERE (line ->> 0)::bigint <> ALL($1::bigint[]))
         WHERE EXISTS (
             SELECT 1 FROM json_array_elements(grants::json) AS line
             WHERE (line ->> 0)::bigint = ANY($1::bigint[]))",
        &keys
    )
    .execute(&mut *session)
    .await?;
    query!(
        "DELETE FROM observation WHERE job = ANY($1::bigint[])",
        &keys
    )
    .execute(&mut *session)
    .await?;
    query!("DELETE FROM log_chunk WHERE job = ANY($1::bigint[])", &keys)
        .execute(&mut *session)
        .await?;
    query!(
        "DELETE FROM late_outcome WHERE job = ANY($1::bigint[])",
        &keys
    )
    .execute(&mut *session)
    .await?;
    query!("DELETE FROM outcome WHERE job = ANY($1::bigint[])", &keys)
        .execute(&mut *session)
        .await?;
    query!("DELETE FROM attempt WHERE job = ANY($1::bigint[])", &keys)
        .execute(&mut *session)
        .await?;
    let gone = query!("DELETE FROM job WHERE id = ANY($1::bigint[])", &keys);
    let gone = gone.execute(&mut *session).await?.rows_affected();
    all_written(gone, jobs.len(), "jobs")
}
