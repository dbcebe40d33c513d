//! A sweep's cells with their results.
//!
//! A large sweep has a hundred thousand jobs, and passing a row costs more than
//! passing its content. So the jobs of a hundred cells come as one row of
//! columns, and are assembled on other threads while the server gathers the
//! next ones.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::TryStreamExt;
use sqlx::query;
use swath_model::id::{Replicate, SweepDigest};
use swath_model::import::{Imported, fill};
use swath_model::job::StateName;
use swath_model::outcome::Provenance;
use swath_model::view::{CellResults, Epochs, ReplicateResult};
use swath_store::columns::{self, LastValues};

use crate::error::{Failure, Result, unknown};
use crate::rows;
use crate::session::Session;
use crate::text;

/// Cells per row. With their jobs that is some hundred kilobytes, so that the
/// server is a row or two ahead.
const PACKED: i64 = 128;

/// A sweep's cells with the results of their replicates, in canonical order.
pub(crate) async fn results(
    session: &mut Session,
    digest: SweepDigest,
    epochs: Option<Epochs>,
) -> Result<Vec<CellResults>> {
    let bytes = &digest.as_bytes()[..];
    let sweep = query!(
        r#"SELECT id, name, cells, failed + diverged AS "failed!"
           FROM sweep JOIN sweep_counts ON sweep_counts.sweep = sweep.id WHERE digest = $1"#,
        bytes
    )
    .fetch_optional(&mut *session)
    .await?
    .ok_or_else(|| unknown(digest))?;
    let mut beside = Beside {
        provenances: provenances(session).await?,
        of_failures: HashMap::new(),
        last_values: None,
    };
    // Looking for them takes as long as looking at every cell.
    if sweep.failed > 0 {
        beside.of_failures = provenances_of_failures(session, sweep.id).await?;
    }
    if let Some(epochs) = epochs {
        beside.last_values = Some(last_values(session, sweep.id, epochs).await?);
    }
    let beside = Arc::new(beside);
    let mut cells = cells(session, sweep.id, sweep.cells, beside).await?;
    let mut imports = imports(session, &sweep.name).await?;
    if !imports.is_empty() {
        for cell in &mut cells {
            if let Some(numbers) = imports.remove(&cell.cell.as_bytes()[..]) {
                fill(&mut cell.replicates, numbers);
            }
        }
    }
    Ok(cells)
}

/// Some cells with their jobs, in columns and in order. Columns that only
/// succeeded jobs have are absent for the others.
struct Columns {
    cells: Vec<i64>,
    /// The digests of the cells, 32 bytes each.
    cell_digests: Vec<u8>,
    axes: Vec<String>,
    /// The position of each job's cell.
    positions: Vec<i64>,
    ids: Vec<i64>,
    replicates: Vec<i64>,
    seeds: Vec<i64>,
    states: Vec<String>,
    /// The digests of the jobs, 32 bytes each.
    digests: Vec<u8>,
    faults: Vec<Option<String>>,
    test_errors: Vec<Option<f64>>,
    test_losses: Vec<Option<f64>>,
    best: Vec<Option<f64>>,
    seconds: Vec<Option<f64>>,
    provenances: Vec<Option<i64>>,
    metrics: Vec<Option<String>>,
    weights: Vec<Option<Vec<u8>>>,
}

/// The `cells` of a sweep. The order of the lines is that of the columns.
async fn cells(
    session: &mut Session,
    sweep: i64,
    count: i64,
    beside: Arc<Beside>,
) -> Result<Vec<CellResults>> {
    let mut rows = sqlx::query_as!(
        Columns,
        r#"SELECT cells.positions AS "cells!", cells.digests AS "cell_digests!",
                  cells.axes AS "axes!", jobs.positions AS "positions!", ids AS "ids!",
                  replicates AS "replicates!", seeds AS "seeds!", states AS "states!",
                  jobs.digests AS "digests!", faults AS "faults!: Vec<Option<String>>",
                  test_errors AS "test_errors!: Vec<Option<f64>>",
                  test_losses AS "test_losses!: Vec<Option<f64>>",
                  best AS "best!: Vec<Option<f64>>", seconds AS "seconds!: Vec<Option<f64>>",
                  provenances AS "provenances!: Vec<Option<i64>>",
                  metrics AS "metrics!: Vec<Option<String>>",
                  weights AS "weights!: Vec<Option<Vec<u8>>>"
           FROM generate_series(0, $2::bigint - 1, $3::bigint) AS part (first)
           CROSS JOIN LATERAL (
               SELECT coalesce(array_agg(position), '{}') AS positions,
                      coalesce(string_agg(digest, ''), '') AS digests,
                      coalesce(array_agg(axes), '{}') AS axes
               FROM (
                   SELECT position, digest, axes
                   FROM sweep_cell JOIN cell ON cell.id = sweep_cell.cell
                   WHERE sweep = $1 AND position >= first AND position < first + $3
                   ORDER BY position) AS line) AS cells
           CROSS JOIN LATERAL (
               SELECT coalesce(array_agg(position), '{}') AS positions,
                      coalesce(array_agg(id), '{}') AS ids,
                      coalesce(array_agg(replicate), '{}') AS replicates,
                      coalesce(array_agg(seed), '{}') AS seeds,
                      coalesce(array_agg(state), '{}') AS states,
                      coalesce(string_agg(digest, ''), '') AS digests,
                      coalesce(array_agg(fault), '{}') AS faults,
                      coalesce(array_agg(test_error), '{}') AS test_errors,
                      coalesce(array_agg(test_loss), '{}') AS test_losses,
                      coalesce(array_agg(best_test_error), '{}') AS best,
                      coalesce(array_agg(train_seconds), '{}') AS seconds,
                      coalesce(array_agg(provenance), '{}') AS provenances,
                      coalesce(array_agg(metrics), '{}') AS metrics,
                      coalesce(array_agg(weights), '{}') AS weights
               FROM (
                   SELECT sweep_cell.position, job.id, job.replicate, job.seed, job.state,
                          job.digest, job.fault, outcome.test_error, outcome.test_loss,
                          outcome.best_test_error, outcome.train_seconds, outcome.provenance,
                          outcome.metrics, outcome.weights
                   FROM sweep_cell
                   JOIN job ON job.cell = sweep_cell.cell
                       AND job.replicate <= sweep_cell.replicates
                   LEFT JOIN outcome ON outcome.job = job.id
                   WHERE sweep_cell.sweep = $1 AND sweep_cell.position >= first
                     AND sweep_cell.position < first + $3
                   ORDER BY sweep_cell.position) AS line) AS jobs"#,
        sweep,
        count,
        PACKED
    )
    .fetch(session);
    let mut reading = Vec::new();
    while let Some(columns) = rows.try_next().await? {
        let beside = Arc::clone(&beside);
        let putting = tokio::task::spawn_blocking(move || columns.put_together(&beside));
        reading.push(putting);
    }
    let mut cells = Vec::with_capacity(count as usize);
    for some in reading {
        let some = some
            .await
            .map_err(|error| Failure::Damaged(format!("results cannot be read: {error}")))?;
        cells.append(&mut some?);
    }
    // They most likely are in order, but the server was not asked for it.
    cells.sort_by_key(|cell| cell.index);
    Ok(cells)
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

/// One of many digests that follow one another.
fn digest(all: &[u8], at: usize) -> Result<&[u8]> {
    let digest = all.get(at * 32..(at + 1) * 32);
    digest.ok_or_else(|| Failure::Damaged("a digest is missing".to_owned()))
}

impl Columns {
    fn put_together(self, beside: &Beside) -> Result<Vec<CellResults>> {
        let mut at = 0;
        let mut found = Vec::with_capacity(self.cells.len());
        for (place, position) in self.cells.iter().enumerate() {
            let mut replicates = Vec::new();
            while self.positions.get(at) == Some(position) {
                replicates.push(self.replicate(at, beside)?);
                at += 1;
            }
            replicates.sort_by_key(|result| result.replicate);
            found.push(CellResults {
                index: *position as u64,
                cell: rows::cell_digest(digest(&self.cell_digests, place)?)?,
                axes: serde_json::from_str(&self.axes[place])?,
                replicates,
            });
        }
        Ok(found)
    }

    /// The job at this index.
    fn replicate(&self, at: usize, beside: &Beside) -> Result<ReplicateResult> {
        let damaged = || Failure::Damaged("a result lacks columns".to_owned());
        let state = rows::state_name(&self.states[at])?;
        let id = self.ids[at];
        let mut result = ReplicateResult {
            replicate: Replicate(self.replicates[at] as u32),
            job: rows::job_digest(digest(&self.digests, at)?)?,
            seed: self.seeds[at] as u64,
            state,
            fault: None,
            measurement: None,
            last_values: Vec::new(),
            provenance: None,
            imported: None,
        };
        match state {
            StateName::Succeeded => {
                let provenance = self.provenances[at].ok_or_else(damaged)?;
                result.provenance = beside.provenances.get(&provenance).cloned();
                result.last_values = beside.last_values(id);
                result.measurement = Some(columns::measurement(
                    self.seconds[at].ok_or_else(damaged)?,
                    [self.test_errors[at], self.test_losses[at], self.best[at]],
                    self.metrics[at].as_deref(),
                    rows::weights(self.weights[at].as_deref()),
                )?);
            }
            StateName::Failed => {
                result.fault = rows::fault(self.faults[at].as_deref())?;
                let provenance = beside.of_failures.get(&id);
                let provenance = provenance.and_then(|id| beside.provenances.get(id));
                result.provenance = provenance.cloned();
            }
            _ => {}
        }
        Ok(result)
    }
}

async fn provenances(session: &mut Session) -> Result<BTreeMap<i64, Arc<Provenance>>> {
    let rows = query!(
        "SELECT id, device, driver, libtorch, trainer, threads, determinism FROM provenance"
    )
    .fetch_all(session)
    .await?;
    let provenances = rows.into_iter().map(|row| {
        let provenance = Provenance {
            device: text::told(row.device),
            driver: text::told(row.driver),
            libtorch: text::told(row.libtorch),
            trainer: text::told(row.trainer),
            threads: row.threads as u32,
            determinism: text::told(row.determinism),
        };
        (row.id, Arc::new(provenance))
    });
    Ok(provenances.collect())
}

/// What the newest attempts of failed jobs ran on, by job.
async fn provenances_of_failures(session: &mut Session, sweep: i64) -> Result<HashMap<i64, i64>> {
    let rows = query!(
        r#"SELECT job.id, attempt.provenance AS "provenance!"
           FROM sweep_cell
           JOIN job ON job.cell = sweep_cell.cell
           JOIN attempt ON attempt.job = job.id AND attempt.attempt = job.attempt
           WHERE sweep_cell.sweep = $1 AND job.fault IS NOT NULL
             AND attempt.provenance IS NOT NULL"#,
        sweep
    )
    .fetch_all(session)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.id, row.provenance))
        .collect())
}

/// What a metric was in the last epochs of succeeded jobs.
async fn last_values(session: &mut Session, sweep: i64, epochs: Epochs) -> Result<LastValues> {
    let metric = epochs.metric.clone();
    let mut values = LastValues::new(epochs);
    let mut rows = query!(
        r#"SELECT seen.job, seen.attempt, seen.epoch,
                  CASE $2::text WHEN 'train_loss' THEN seen.train_loss WHEN 'train_error' THEN seen.train_error
                      WHEN 'test_loss' THEN seen.test_loss WHEN 'test_error' THEN seen.test_error
                      WHEN 'lr' THEN seen.lr WHEN 'distance' THEN seen.distance
                      WHEN 'images_per_second' THEN seen.images_per_second
                      WHEN 'loss_scale' THEN seen.loss_scale
                      WHEN 'skipped_steps' THEN seen.skipped_steps::double precision END AS "column",
                  seen.metrics
           FROM sweep_job
           JOIN job ON job.id = sweep_job.job AND job.state = 'succeeded'
           JOIN attempt ON attempt.job = job.id AND attempt.forgotten_at IS NULL
           JOIN observation AS seen ON seen.job = attempt.job AND seen.attempt = attempt.attempt
           WHERE sweep_job.sweep = $1
           ORDER BY seen.job, seen.attempt, seen.epoch"#,
        sweep,
        metric
    )
    .fetch(session);
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

/// The imported numbers of sweeps with this name (as it is stored), by the
/// digest of their cell, for each cell ordered by source and place.
async fn imports(session: &mut Session, sweep: &str) -> Result<HashMap<Vec<u8>, Vec<Imported>>> {
    let rows = query!(
        "SELECT cell.digest, source, place, test_error, seconds, runs, replicate, seed, file, line
         FROM import JOIN cell ON cell.id = import.cell
         WHERE import.sweep = $1",
        sweep
    )
    .fetch_all(session)
    .await?;
    let mut numbers: HashMap<Vec<u8>, Vec<(i64, Imported)>> = HashMap::new();
    for row in rows {
        let number = Imported {
            test_error: row.test_error,
            seconds: row.seconds,
            runs: row.runs as u32,
            replicate: row.replicate.map(|it| Replicate(it as u32)),
            seed: row.seed.map(|seed| seed as u64),
            source: text::told(row.source),
            file: text::told(row.file),
            line: row.line as u32,
        };
        numbers
            .entry(row.digest)
            .or_default()
            .push((row.place, number));
    }
    // Sorted here and not by the server, which stores some texts in another
    // form.
    let in_order = numbers.into_iter().map(|(cell, mut of_cell)| {
        of_cell.sort_by(|(place, one), (other_place, other)| {
            (&one.source, place).cmp(&(&other.source, other_place))
        });
        (
            cell,
            of_cell.into_iter().map(|(_, number)| number).collect(),
        )
    });
    Ok(in_order.collect())
}
