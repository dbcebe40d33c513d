//! A sweep's cells with their results: tens of thousands of rows, so plain
//! columns in the order of the keys, and what repeats is read once.

use std::collections::HashMap;

use futures_util::TryStreamExt;
use sqlx::{SqliteConnection, query};
use swath_core::id::{Replicate, SweepDigest};
use swath_core::outcome::{Measurement, Provenance};
use swath_core::view::{CellResults, ReplicateResult};

use crate::error::Result;
use crate::rows;
use crate::sweep::unknown;

/// A sweep's cells with the results of their replicates, in canonical order.
pub(crate) async fn results(
    conn: &mut SqliteConnection,
    digest: SweepDigest,
    last_epochs: u32,
) -> Result<Vec<CellResults>> {
    let bytes = &digest.as_bytes()[..];
    let sweep = query!("SELECT id, replicates FROM sweep WHERE digest = ?1", bytes)
        .fetch_optional(&mut *conn)
        .await?
        .ok_or_else(|| unknown(digest))?;
    let provenances = provenances(conn).await?;
    let failures = provenances_of_failures(conn, sweep.id).await?;
    let mut errors = if last_epochs > 0 {
        test_errors(conn, sweep.id).await?
    } else {
        HashMap::new()
    };
    let mut cells = cells(conn, sweep.id, sweep.replicates).await?;
    let mut rows = query!(
        r#"SELECT sweep_cell.position, job.id, job.digest, job.replicate, job.seed, job.state,
                  job.fault, outcome.test_error AS "test_error?", outcome.test_loss,
                  outcome.best_test_error, outcome.train_seconds AS "train_seconds?",
                  outcome.provenance AS "provenance?"
           FROM sweep_cell
           CROSS JOIN job ON job.cell = sweep_cell.cell AND job.replicate <= ?2
           LEFT JOIN outcome ON outcome.job = job.id
           WHERE sweep_cell.sweep = ?1
           ORDER BY sweep_cell.position, job.replicate"#,
        sweep.id,
        sweep.replicates
    )
    .fetch(conn);
    while let Some(row) = rows.try_next().await? {
        let measurement = row.test_error.map(|test_error| Measurement {
            test_error,
            test_loss: row.test_loss,
            best_test_error: row.best_test_error,
            train_seconds: row.train_seconds.unwrap_or(0.0),
        });
        let ran_on = row.provenance.or_else(|| failures.get(&row.id).copied());
        let mut last_test_errors = errors.remove(&row.id).unwrap_or_default();
        let surplus = last_test_errors.len().saturating_sub(last_epochs as usize);
        last_test_errors.drain(..surplus);
        if let Some(cell) = cells.get_mut(row.position as usize) {
            cell.replicates.push(ReplicateResult {
                replicate: Replicate(row.replicate as u32),
                job: rows::job_digest(&row.digest)?,
                seed: row.seed as u64,
                state: rows::state_name(&row.state)?,
                fault: rows::fault(row.fault.as_deref())?,
                measurement,
                last_test_errors,
                provenance: ran_on.and_then(|id| provenances.get(&id).cloned()),
            });
        }
    }
    Ok(cells)
}

/// The cells without their replicates. Positions count from 0 without a gap.
async fn cells(
    conn: &mut SqliteConnection,
    sweep: i64,
    replicates: i64,
) -> Result<Vec<CellResults>> {
    let rows = query!(
        "SELECT sweep_cell.position, cell.digest, sweep_cell.axes
         FROM sweep_cell CROSS JOIN cell ON cell.id = sweep_cell.cell
         WHERE sweep_cell.sweep = ?1 ORDER BY sweep_cell.position",
        sweep
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(CellResults {
                index: row.position as u64,
                cell: rows::cell_digest(&row.digest)?,
                axes: serde_json::from_str(&row.axes)?,
                replicates: Vec::with_capacity(replicates as usize),
            })
        })
        .collect()
}

async fn provenances(conn: &mut SqliteConnection) -> Result<HashMap<i64, Provenance>> {
    let rows = query!("SELECT id, device, driver, libtorch, trainer, threads, determinism FROM provenance")
        .fetch_all(conn)
        .await?;
    let provenances = rows.into_iter().map(|row| {
        let provenance = Provenance {
            device: row.device,
            driver: row.driver,
            libtorch: row.libtorch,
            trainer: row.trainer,
            threads: row.threads as u32,
            determinism: row.determinism,
        };
        (row.id, provenance)
    });
    Ok(provenances.collect())
}

/// What the newest attempts of failed jobs ran on, by job.
async fn provenances_of_failures(
    conn: &mut SqliteConnection,
    sweep: i64,
) -> Result<HashMap<i64, i64>> {
    let rows = query!(
        r#"SELECT job.id, attempt.provenance AS "provenance!"
           FROM job INDEXED BY job_failed
           CROSS JOIN sweep_cell ON sweep_cell.cell = job.cell AND sweep_cell.sweep = ?1
           CROSS JOIN attempt ON attempt.job = job.id AND attempt.attempt = job.attempt
           WHERE job.state = 'failed' AND attempt.provenance IS NOT NULL"#,
        sweep
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.provenance)).collect())
}

/// The test errors of succeeded jobs by epoch, by job. Later attempts replace
/// what earlier ones saw of the same epoch.
async fn test_errors(conn: &mut SqliteConnection, sweep: i64) -> Result<HashMap<i64, Vec<f64>>> {
    // With max() alone, SQLite takes the other columns from the same row.
    let mut rows = query!(
        r#"SELECT seen.job AS "job!", seen.epoch, max(seen.attempt) AS "attempt!: i64",
                  seen.test_error AS "test_error!"
           FROM sweep_job
           CROSS JOIN job ON job.id = sweep_job.job AND job.state = 'succeeded'
           CROSS JOIN observation AS seen ON seen.job = job.id
           WHERE sweep_job.sweep = ?1 AND seen.test_error IS NOT NULL
           GROUP BY seen.job, seen.epoch
           ORDER BY seen.job, seen.epoch"#,
        sweep
    )
    .fetch(conn);
    let mut errors: HashMap<i64, Vec<f64>> = HashMap::new();
    while let Some(row) = rows.try_next().await? {
        errors.entry(row.job).or_default().push(row.test_error);
    }
    Ok(errors)
}
