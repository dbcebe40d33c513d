//! Cells with all of their jobs.

use std::collections::{BTreeSet, HashMap};

use sqlx::{SqliteConnection, query, query_scalar};
use swath_model::judge::{self, LastFault};
use swath_model::outcome::{Fault, Outcome};
use swath_store::columns;
use swath_store::{CellKey, JobKey, Names, StoredCell, StoredJob, SweepKey, Tail};

use crate::error::{Failure, Result};
use crate::rows::{self, JobRow};

/// How many cells are read, and names looked up, at once.
const CHUNK: usize = 4096;

/// The next cells with a job that is not final: looked for in the sweeps that
/// count such jobs.
pub(crate) async fn open_cells(
    conn: &mut SqliteConnection,
    after: CellKey,
    limit: u32,
) -> Result<Vec<StoredCell>> {
    let keys = query_scalar!(
        r#"SELECT DISTINCT sweep_cell.cell FROM sweep_cell INDEXED BY sweep_cell_by_cell
           JOIN sweep_counts ON sweep_counts.sweep = sweep_cell.sweep
                AND queued + leased + suspect > 0
           WHERE sweep_cell.cell > ?1 AND EXISTS (
               SELECT 1 FROM job WHERE job.cell = sweep_cell.cell AND job.ended_at IS NULL)
           ORDER BY sweep_cell.cell LIMIT ?2"#,
        after.0,
        limit
    )
    .fetch_all(&mut *conn)
    .await?;
    with_keys(conn, &keys).await
}

/// Those of the named cells that exist.
pub(crate) async fn load(conn: &mut SqliteConnection, names: &Names) -> Result<Vec<StoredCell>> {
    let mut keys = BTreeSet::new();
    for jobs in names.jobs.chunks(CHUNK) {
        let asked = rows::hex_array(jobs);
        let found = query_scalar!(
            "SELECT job.cell FROM json_each(?1) AS asked
             CROSS JOIN job ON job.digest = unhex(asked.value)",
            asked
        );
        keys.extend(found.fetch_all(&mut *conn).await?);
    }
    for cells in names.cells.chunks(CHUNK) {
        let asked = rows::hex_array(cells);
        let found = query_scalar!(
            r#"SELECT cell.id AS "id!" FROM json_each(?1) AS asked
               CROSS JOIN cell ON cell.digest = unhex(asked.value)"#,
            asked
        );
        keys.extend(found.fetch_all(&mut *conn).await?);
    }
    for sweep in &names.sweeps {
        let found = query_scalar!("SELECT cell FROM sweep_cell WHERE sweep = ?1", sweep.0);
        keys.extend(found.fetch_all(&mut *conn).await?);
    }
    with_keys(conn, &Vec::from_iter(keys)).await
}

/// The last cells of a sweep.
pub(crate) async fn tail(conn: &mut SqliteConnection, sweep: SweepKey, limit: u32) -> Result<Tail> {
    let found = query!(
        "SELECT position, cell FROM sweep_cell WHERE sweep = ?1 ORDER BY position DESC LIMIT ?2",
        sweep.0,
        limit
    );
    let found = found.fetch_all(&mut *conn).await?;
    let before = found.last().map_or(0, |row| row.position as u64);
    let keys: BTreeSet<i64> = found.iter().map(|row| row.cell).collect();
    Ok(Tail {
        before,
        cells: with_keys(conn, &Vec::from_iter(keys)).await?,
    })
}

/// The canonical specs of these cells, in order.
pub(crate) async fn specs(conn: &mut SqliteConnection, cells: &[CellKey]) -> Result<Vec<String>> {
    let mut specs = Vec::with_capacity(cells.len());
    for cells in cells.chunks(CHUNK) {
        let asked: Vec<i64> = cells.iter().map(|cell| cell.0).collect();
        let asked = rows::json(&asked);
        let found = query_scalar!(
            "SELECT cell.spec FROM json_each(?1) AS asked
             CROSS JOIN cell ON cell.id = asked.value ORDER BY asked.key + 0",
            asked
        )
        .fetch_all(&mut *conn)
        .await?;
        if found.len() != cells.len() {
            return Err(Failure::Damaged("it lacks cells that have jobs".to_owned()));
        }
        specs.extend(found);
    }
    Ok(specs)
}

/// The cells with these keys, which are in rising order.
async fn with_keys(conn: &mut SqliteConnection, keys: &[i64]) -> Result<Vec<StoredCell>> {
    let mut cells = Vec::with_capacity(keys.len());
    for keys in keys.chunks(CHUNK) {
        cells.append(&mut page(conn, &rows::json(keys)).await?);
    }
    Ok(cells)
}

/// The cells with the keys in a JSON array. Each is one row, with its holders
/// and jobs as JSON: passing a row from SQLite's thread to another costs more
/// than finding it.
async fn page(conn: &mut SqliteConnection, keys: &str) -> Result<Vec<StoredCell>> {
    let found = query!(
        r#"SELECT cell.id AS "id!", cell.digest, cell.program, cell.needs,
                  (SELECT json_group_array(json_array(sweep_cell.sweep, sweep_cell.replicates))
                   FROM sweep_cell WHERE sweep_cell.cell = cell.id) AS "holders!: String",
                  (SELECT json_group_array(json_array(
                       job.id, job.replicate, hex(job.digest), job.state, job.not_before,
                       job.deadline, job.stop, job.fault, job.attempt, worker.name, job.session,
                       job.granted_at, job.grants, job.charged, job.failed_on, job.closed,
                       job.unmentioned, job.faulted, job.ended_at,
                             job.device))
                   FROM job LEFT JOIN worker ON worker.id = job.worker
                   WHERE job.cell = cell.id) AS "jobs!: String"
           FROM json_each(?1) AS asked
           CROSS JOIN cell ON cell.id = asked.value ORDER BY cell.id"#,
        keys
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut cells = Vec::with_capacity(found.len());
    let mut granted = HashMap::new();
    for row in found {
        let mut holders: Vec<(i64, u32)> = serde_json::from_str(&row.holders)?;
        holders.sort_unstable();
        let holders = holders.into_iter();
        let mut jobs: Vec<JobRow> = serde_json::from_str(&row.jobs)?;
        jobs.sort_unstable_by_key(|job| job.replicate);
        for (place, job) in jobs.iter().enumerate() {
            if job.attempt > 0 {
                granted.insert(job.id, (cells.len(), place));
            }
        }
        cells.push(StoredCell {
            key: CellKey(row.id),
            digest: rows::cell_digest(&row.digest)?,
            needs: columns::needs(row.program, row.needs.as_deref())?,
            holders: holders
                .map(|(sweep, count)| (SweepKey(sweep), count))
                .collect(),
            jobs: jobs.iter().map(job).collect::<Result<_>>()?,
        });
    }
    if !granted.is_empty() {
        outcomes(conn, keys, &granted, &mut cells).await?;
    }
    remember(&mut cells)?;
    Ok(cells)
}

/// A job without its outcomes.
fn job(row: &JobRow) -> Result<StoredJob> {
    Ok(StoredJob {
        key: JobKey(row.id),
        digest: row.digest,
        job: row.job()?,
        placement: row.placement.clone(),
        unmentioned: row.unmentioned,
        // The fault is filled in from the outcomes.
        fault: row.faulted.map(|attempt| (attempt, NOTHING)),
        ended_at: row.ended_at,
        outcomes: Vec::new(),
    })
}

/// Placeholder for a fault until it is read.
const NOTHING: LastFault = LastFault {
    fault: Fault::Lost,
    headline: String::new(),
};

/// Reads the outcomes of jobs that were ever granted; `granted` has the index of
/// each job's cell, and that of the job within it.
async fn outcomes(
    conn: &mut SqliteConnection,
    keys: &str,
    granted: &HashMap<i64, (usize, usize)>,
    cells: &mut [StoredCell],
) -> Result<()> {
    let found = query!(
        r#"SELECT attempt.job AS "job!", attempt.attempt AS "attempt!",
                  worker.name AS worker, attempt.ended AS "ended!", attempt.message,
                  attempt.forgotten_at,
                  outcome.bits AS "bits?", outcome.metrics, outcome.weights
           FROM json_each(?1) AS asked
           CROSS JOIN job ON job.cell = asked.value AND job.attempt > 0
           CROSS JOIN attempt ON attempt.job = job.id
               AND attempt.ended IS NOT NULL AND attempt.ended <> 'released'
           CROSS JOIN worker ON worker.id = attempt.worker
           LEFT JOIN outcome
               ON outcome.job = attempt.job AND outcome.attempt = attempt.attempt
           ORDER BY attempt.job, attempt.attempt"#,
        keys
    )
    .fetch_all(conn)
    .await?;
    for row in found {
        let Some((cell, job)) = granted.get(&row.job) else {
            continue;
        };
        let outcome = match (row.ended.as_str(), &row.bits) {
            _ if row.forgotten_at.is_some() => None,
            ("measured", Some(bits)) => {
                let weights = rows::weights(row.weights.as_deref());
                let others = row.metrics.as_deref();
                let measured = rows::measurement(bits, others, weights)?;
                Some(Outcome::Measured(measured))
            }
            ("measured", None) => {
                let attempt = row.attempt;
                let message = format!("attempt {attempt} of job {} has no numbers", row.job);
                return Err(Failure::Damaged(message));
            }
            (fault, _) => Some(Outcome::Failed {
                fault: rows::fault(fault)?,
                message: row.message,
            }),
        };
        let worker = rows::worker_name(&row.worker)?;
        let outcomes = &mut cells[*cell].jobs[*job].outcomes;
        outcomes.push((rows::attempt(row.attempt), worker, outcome));
    }
    Ok(())
}

/// Fills in the faults that jobs remember.
fn remember(cells: &mut [StoredCell]) -> Result<()> {
    for job in cells.iter_mut().flat_map(|cell| &mut cell.jobs) {
        let Some((attempt, remembered)) = &mut job.fault else {
            continue;
        };
        let mut told = job.outcomes.iter().filter(|(of, ..)| of == attempt);
        let Some((.., Some(Outcome::Failed { fault, message }))) = told.next() else {
            let message = format!("job {} remembers a fault that nobody told", job.key);
            return Err(Failure::Damaged(message));
        };
        remembered.fault = *fault;
        judge::headline(message).clone_into(&mut remembered.headline);
    }
    Ok(())
}
