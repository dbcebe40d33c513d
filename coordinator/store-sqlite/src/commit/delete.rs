//! Deletions. The triggers let go what no sweep holds, and nothing else.

use sqlx::query;
use swath_store::{Deletion, JobKey};

use super::{all_written, inputs};
use crate::error::Result;
use crate::rows;
use crate::writer::Tx;

/// How many jobs one statement deletes.
const CHUNK: usize = 4096;

pub(super) async fn write(tx: &mut Tx, deleted: &Deletion) -> Result<()> {
    for sweep in &deleted.replications {
        query!("DELETE FROM decision WHERE sweep = ?1", sweep.0)
            .execute(&mut tx.conn)
            .await?;
        query!("DELETE FROM replication WHERE sweep = ?1", sweep.0)
            .execute(&mut tx.conn)
            .await?;
    }
    for dropped in &deleted.sweep_cells {
        let left = dropped.left as i64;
        let sweep = dropped.sweep.0;
        let gone = query!(
            "DELETE FROM sweep_cell WHERE sweep = ?1 AND position >= ?2",
            sweep,
            left
        );
        let gone = gone.execute(&mut tx.conn).await?.rows_affected();
        all_written("cells of a sweep", gone, dropped.cells.len())?;
        query!(
            "UPDATE sweep_counts SET cells = ?2 WHERE sweep = ?1",
            sweep,
            left
        )
        .execute(&mut tx.conn)
        .await?;
    }
    for (name, cell) in &deleted.imports {
        query!(
            "DELETE FROM import WHERE sweep = ?1 AND cell = ?2",
            name,
            cell.0
        )
        .execute(&mut tx.conn)
        .await?;
    }
    for jobs in deleted.jobs.chunks(CHUNK) {
        delete_jobs(tx, jobs).await?;
    }
    for cell in &deleted.cells {
        query!("DELETE FROM cell WHERE id = ?1", cell.0)
            .execute(&mut tx.conn)
            .await?;
    }
    for sweep in &deleted.sweeps {
        query!("DELETE FROM sweep_counts WHERE sweep = ?1", sweep.0)
            .execute(&mut tx.conn)
            .await?;
        query!("DELETE FROM sweep_input WHERE sweep = ?1", sweep.0)
            .execute(&mut tx.conn)
            .await?;
        let gone = query!("DELETE FROM sweep WHERE id = ?1", sweep.0);
        let gone = gone.execute(&mut tx.conn).await?.rows_affected();
        all_written("sweeps", gone, 1)?;
    }
    inputs::delete(tx, &deleted.inputs).await
}

/// Deletes jobs with everything about them.
async fn delete_jobs(tx: &mut Tx, jobs: &[JobKey]) -> Result<()> {
    let keys: Vec<i64> = jobs.iter().map(|job| job.0).collect();
    let keys = rows::json(&keys);
    query!(
        "DELETE FROM grant_request
         WHERE json_array_length(grants) > 0 AND NOT EXISTS (
             SELECT 1 FROM json_each(grants) AS line
             WHERE line.value ->> 0 NOT IN (SELECT value FROM json_each(?1)))",
        keys
    )
    .execute(&mut tx.conn)
    .await?;
    query!(
        "UPDATE grant_request SET grants = (
             SELECT json_group_array(json(line.value) ORDER BY line.key)
             FROM json_each(grants) AS line
             WHERE line.value ->> 0 NOT IN (SELECT value FROM json_each(?1)))
         WHERE EXISTS (
             SELECT 1 FROM json_each(grants) AS line
             WHERE line.value ->> 0 IN (SELECT value FROM json_each(?1)))",
        keys
    )
    .execute(&mut tx.conn)
    .await?;
    query!(
        "DELETE FROM observation WHERE job IN (SELECT value FROM json_each(?1))",
        keys
    )
    .execute(&mut tx.conn)
    .await?;
    query!(
        "DELETE FROM log_chunk WHERE job IN (SELECT value FROM json_each(?1))",
        keys
    )
    .execute(&mut tx.conn)
    .await?;
    query!(
        "DELETE FROM late_outcome WHERE job IN (SELECT value FROM json_each(?1))",
        keys
    )
    .execute(&mut tx.conn)
    .await?;
    query!(
        "DELETE FROM outcome WHERE job IN (SELECT value FROM json_each(?1))",
        keys
    )
    .execute(&mut tx.conn)
    .await?;
    query!(
        "DELETE FROM attempt WHERE job IN (SELECT value FROM json_each(?1))",
        keys
    )
    .execute(&mut tx.conn)
    .await?;
    let gone = query!(
        "DELETE FROM job WHERE id IN (SELECT value FROM json_each(?1))",
        keys
    );
    let gone = gone.execute(&mut tx.conn).await?.rows_affected();
    all_written("jobs", gone, jobs.len())
}
