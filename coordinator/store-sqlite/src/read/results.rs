//! A sweep's cells with their results.
//!
//! A large sweep has a hundred thousand jobs, and passing a row from SQLite's
//! thread to another costs more than finding it. So a few hundred cells come as
//! one text, one line each, and are parsed on other threads while SQLite packs
//! the next ones. Numbers are passed as bits, because SQLite rounds them when
//! it writes them as text.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::TryStreamExt;
use sqlx::{SqliteConnection, query, query_scalar};
use swath_model::id::{JobDigest, Replicate, SweepDigest, WeightsDigest, unhex};
use swath_model::import::fill;
use swath_model::job::StateName;
use swath_model::outcome::Provenance;
use swath_model::view::{CellResults, Epochs, ReplicateResult};
use swath_store::columns::LastValues;

use super::{imports, unknown};
use crate::error::{Failure, Result};
use crate::rows;

/// Cells per text; that is some hundred kilobytes.
const PACKED: usize = 512;

/// A sweep's cells with the results of their replicates, in canonical order.
pub(crate) async fn results(
    conn: &mut SqliteConnection,
    digest: SweepDigest,
    epochs: Option<Epochs>,
) -> Result<Vec<CellResults>> {
    let bytes = &digest.as_bytes()[..];
    let sweep = query!(
        r#"SELECT id AS "id!", name, cells
           FROM sweep JOIN sweep_counts ON sweep_counts.sweep = sweep.id WHERE digest = ?1"#,
        bytes
    )
    .fetch_optional(&mut *conn)
    .await?
    .ok_or_else(|| unknown(digest))?;
    let mut beside = Beside {
        provenances: provenances(conn).await?,
        of_failures: provenances_of_failures(conn, sweep.id).await?,
        last_values: None,
    };
    if let Some(epochs) = epochs {
        beside.last_values = Some(last_values(conn, sweep.id, epochs).await?);
    }
    let beside = Arc::new(beside);
    let mut reading = Vec::new();
    for first in (0..sweep.cells).step_by(PACKED) {
        let packed = pack(conn, sweep.id, first).await?;
        let beside = Arc::clone(&beside);
        reading.push(tokio::task::spawn_blocking(move || {
            packed.lines().map(|line| cell(line, &beside)).collect()
        }));
    }
    let mut cells = Vec::with_capacity(sweep.cells as usize);
    for some in reading {
        let some: Result<Vec<CellResults>> = some
            .await
            .map_err(|error| Failure::Damaged(format!("results cannot be read: {error}")))?;
        cells.append(&mut some?);
    }
    // SQLite chooses the order within a text.
    cells.sort_unstable_by_key(|cell| cell.index);
    let mut imports = imports::of_sweep(conn, &sweep.name).await?;
    if !imports.is_empty() {
        for cell in &mut cells {
            if let Some(numbers) = imports.remove(&cell.cell) {
                fill(&mut cell.replicates, numbers);
            }
        }
    }
    Ok(cells)
}

/// Some cells of a sweep from position `first` on, one per line: position,
/// digest, replicates, axes.
async fn pack(conn: &mut SqliteConnection, sweep: i64, first: i64) -> Result<String> {
    let end = first + PACKED as i64;
    let packed = query_scalar!(
        r#"SELECT group_concat(line, char(10)) AS "packed?: String" FROM (
               SELECT concat_ws(char(31), sweep_cell.position, hex(cell.digest),
                          coalesce(group_concat(concat_ws('/', job.id, job.replicate, job.seed,
                              job.state, hex(job.digest), job.fault, outcome.provenance,
                              hex(outcome.bits), hex(outcome.weights), outcome.metrics),
                              char(9)) FILTER (WHERE job.id IS NOT NULL), '-'),
                          sweep_cell.axes) AS line
               FROM sweep_cell
               CROSS JOIN cell ON cell.id = sweep_cell.cell
               LEFT JOIN job ON job.cell = sweep_cell.cell
                   AND job.replicate <= sweep_cell.replicates
               LEFT JOIN outcome ON outcome.job = job.id
               WHERE sweep_cell.sweep = ?1
                 AND sweep_cell.position >= ?2 AND sweep_cell.position < ?3
               GROUP BY sweep_cell.position)"#,
        sweep,
        first,
        end
    )
    .fetch_one(conn)
    .await?;
    Ok(packed.unwrap_or_default())
}

/// What only few jobs need, or what many share.
struct Beside {
    provenances: BTreeMap<i64, Arc<Provenance>>,
    /// Provenances of failed jobs, by job.
    of_failures: HashMap<i64, i64>,
    /// Usually nobody asks for them.
    last_values: Option<LastValues>,
}

impl Beside {
    fn last_values(&self, job: i64) -> Vec<f64> {
        let values = self.last_values.as_ref();
        values.map_or_else(Vec::new, |values| values.of(job))
    }
}

/// Reads one packed cell.
fn cell(line: &str, beside: &Beside) -> Result<CellResults> {
    let damaged = || Failure::Damaged(format!("a cell reads `{line}`"));
    let mut words = line.splitn(4, '\u{1f}');
    let mut next = || words.next().ok_or_else(damaged);
    let index = next()?.parse().map_err(|_| damaged())?;
    let digest = next()?.parse().map_err(|_| damaged())?;
    let packed = next()?;
    let axes = serde_json::from_str(next()?)?;
    let mut replicates = Vec::new();
    if packed != "-" {
        replicates.reserve(packed.len() / 150);
        for packed in packed.split('\t') {
            replicates.push(replicate(packed, beside)?);
        }
    }
    replicates.sort_unstable_by_key(|result| result.replicate);
    Ok(CellResults {
        index,
        cell: digest,
        axes,
        replicates,
    })
}

/// Parses one packed replicate: key, replicate, seed, state and digest; then
/// the fault of a failed job, or provenance, bits, weights and metrics of a
/// succeeded one. Metrics, which come last, may contain the character between
/// these fields, but as JSON none that separates replicates or cells.
fn replicate(packed: &str, beside: &Beside) -> Result<ReplicateResult> {
    fn read<T: std::str::FromStr>(word: Option<&str>) -> Option<T> {
        word?.parse().ok()
    }
    let mut words = packed.splitn(9, '/');
    let mut head = || {
        Some((
            read::<i64>(words.next())?,
            read::<u32>(words.next())?,
            read::<u64>(words.next())?,
            StateName::from_name(words.next()?)?,
            read::<JobDigest>(words.next())?,
        ))
    };
    let damaged = || Failure::Damaged(format!("a result reads `{packed}`"));
    let (id, replicate, seed, state, job) = head().ok_or_else(damaged)?;
    let mut result = ReplicateResult {
        replicate: Replicate(replicate),
        job,
        seed,
        state,
        fault: None,
        measurement: None,
        last_values: beside.last_values(id),
        provenance: None,
        imported: None,
    };
    match state {
        StateName::Succeeded => {
            let provenance: Option<i64> = read(words.next());
            let bits = words.next().and_then(unhex);
            let (Some(provenance), Some(bits)) = (provenance, bits) else {
                return Err(damaged());
            };
            result.provenance = beside.provenances.get(&provenance).cloned();
            let weights = read::<WeightsDigest>(words.next());
            result.measurement = Some(rows::measurement(&bits, words.next(), weights)?);
        }
        StateName::Failed => {
            result.fault = words.next().map(rows::fault).transpose()?;
            let provenance = beside.of_failures.get(&id);
            let provenance = provenance.and_then(|id| beside.provenances.get(id));
            result.provenance = provenance.cloned();
        }
        _ => {}
    }
    Ok(result)
}

async fn provenances(conn: &mut SqliteConnection) -> Result<BTreeMap<i64, Arc<Provenance>>> {
    let rows = query!(
        "SELECT id, device, driver, libtorch, trainer, threads, determinism FROM provenance"
    )
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
        (row.id, Arc::new(provenance))
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
           FROM sweep_cell
           CROSS JOIN job INDEXED BY job_failed ON job.cell = sweep_cell.cell
           CROSS JOIN attempt ON attempt.job = job.id AND attempt.attempt = job.attempt
           WHERE sweep_cell.sweep = ?1 AND job.state = 'failed'
             AND attempt.provenance IS NOT NULL"#,
        sweep
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.id, row.provenance))
        .collect())
}

/// What a metric was in the last epochs of succeeded jobs.
async fn last_values(
    conn: &mut SqliteConnection,
    sweep: i64,
    epochs: Epochs,
) -> Result<LastValues> {
    let metric = epochs.metric.clone();
    let mut values = LastValues::new(epochs);
    let mut rows = query!(
        r#"SELECT seen.job AS "job!", seen.attempt, seen.epoch,
                  CASE ?2 WHEN 'train_loss' THEN seen.train_loss WHEN 'train_error' THEN seen.train_error
                      WHEN 'test_loss' THEN seen.test_loss WHEN 'test_error' THEN seen.test_error
                      WHEN 'lr' THEN seen.lr WHEN 'distance' THEN seen.distance
                      WHEN 'images_per_second' THEN seen.images_per_second
                      WHEN 'loss_scale' THEN seen.loss_scale
                      WHEN 'skipped_steps' THEN CAST(seen.skipped_steps AS REAL) END AS "column: f64",
                  seen.metrics
           FROM sweep_job
           CROSS JOIN job ON job.id = sweep_job.job AND job.state = 'succeeded'
           CROSS JOIN attempt ON attempt.job = job.id AND attempt.forgotten_at IS NULL
           CROSS JOIN observation AS seen
               ON seen.job = attempt.job AND seen.attempt = attempt.attempt
           WHERE sweep_job.sweep = ?1
           ORDER BY seen.job, seen.attempt, seen.epoch"#,
        sweep,
        metric
    )
    .fetch(conn);
    while let Some(row) = rows.try_next().await? {
        values.see(
            [row.job, row.attempt, row.epoch],
            row.column,
            row.metrics.as_deref(),
        )?;
    }
    drop(rows);
    Ok(values)
}
