//! Jobs, their attempts, curves and logs.

use std::collections::HashMap;

use futures_util::TryStreamExt;
use sqlx::{SqliteConnection, query, query_as, query_scalar};
use swath_model::id::{Attempt, CellDigest, JobDigest, Replicate, SessionId, SweepDigest};
use swath_model::message::{JobQuery, Known};
use swath_model::outcome::{Fault, Observation, Provenance};
use swath_model::probe::WorkloadKey;
use swath_model::spec::{Unreadable, read_stored};
use swath_model::time::Timestamp;
use swath_model::view::{Alike, AttemptView, CurvePoint, JobDetail, JobView, LogChunk};
use swath_store::columns::Seen;

use super::find;
use crate::error::Result;
use crate::rows;

struct Row {
    id: i64,
    digest: Vec<u8>,
    cell: Vec<u8>,
    spec: String,
    replicate: i64,
    seed: i64,
    sweeps: String,
    state: String,
    fault: Option<String>,
    stop: i64,
    attempt: i64,
    charged: i64,
    worker: Option<String>,
    granted_at: i64,
    not_before: Option<i64>,
    deadline: Option<i64>,
    ended_at: Option<i64>,
    device: Option<String>,
    message: Option<String>,
    bits: Option<Vec<u8>>,
    metrics: Option<String>,
    weights: Option<Vec<u8>>,
}

/// How many jobs one statement reads; so many at first where bytes are limited,
/// because a statement sorts all of its rows before it returns one.
const CHUNK: usize = 4096;
const FIRST: usize = 16;

/// The matching jobs, in order of submission.
pub(crate) async fn jobs(conn: &mut SqliteConnection, asked: JobQuery) -> Result<Vec<JobView>> {
    let ids = find::ids(conn, &asked).await?;
    with_ids(conn, &ids, asked.bytes).await
}

/// The jobs that failed last, the newest first.
pub(crate) async fn last_failed(
    conn: &mut SqliteConnection,
    sweep: Option<SweepDigest>,
    limit: u32,
) -> Result<Vec<JobView>> {
    let ids = find::last_failed(conn, sweep, limit).await?;
    with_ids(conn, &ids, None).await
}

/// The jobs with these keys, in this order, as far as they are no more than so
/// many bytes.
async fn with_ids(
    conn: &mut SqliteConnection,
    ids: &[i64],
    bytes: Option<usize>,
) -> Result<Vec<JobView>> {
    let mut found = Vec::new();
    let (mut left, mut read) = (bytes.unwrap_or(usize::MAX), 0);
    let mut rest = ids;
    let mut some = bytes.map_or(CHUNK, |_| FIRST);
    while !rest.is_empty() && left > 0 {
        let ids;
        (ids, rest) = rest.split_at(some.min(rest.len()));
        let asked = rows::json(ids);
        let mut stream = query_as!(
            Row,
            r#"SELECT job.id AS "id!", job.digest, cell.digest AS cell, cell.spec, job.replicate, job.seed,
                      (SELECT json_group_array(json_array(sweep.name, lower(hex(sweep.digest)))
                               ORDER BY sweep.id) FROM sweep_cell
                       JOIN sweep ON sweep.id = sweep_cell.sweep
                       WHERE sweep_cell.cell = job.cell
                         AND sweep_cell.replicates >= job.replicate)
                          AS "sweeps!: String",
                      job.state, job.fault, job.stop, job.attempt, job.charged,
                      worker.name AS "worker?", job.granted_at, job.not_before, job.deadline,
                      job.ended_at, job.device, faulted.message AS "message?",
                      outcome.bits AS "bits?", outcome.metrics, outcome.weights
               FROM json_each(?1) AS asked
               CROSS JOIN job ON job.id = asked.value
               CROSS JOIN cell ON cell.id = job.cell
               LEFT JOIN worker ON worker.id = job.worker
               LEFT JOIN attempt AS faulted
                   ON faulted.job = job.id AND faulted.attempt = job.faulted
               LEFT JOIN outcome ON outcome.job = job.id
               ORDER BY asked.key + 0"#,
            asked
        )
        .fetch(&mut *conn);
        let mut rows: Vec<Row> = Vec::new();
        while left > 0
            && let Some(row) = stream.try_next().await?
        {
            let message = row.message.as_ref().map_or(0, String::len);
            let bytes = row.spec.len() + message;
            (left, read) = (left.saturating_sub(bytes), read + bytes);
            rows.push(row);
        }
        drop(stream);
        let seen: Vec<i64> = rows.iter().map(|row| row.id).collect();
        let progress = progress(conn, &rows::json(&seen)).await?;
        found.append(&mut views(rows, &progress)?);
        // As many as will do, if they are like those before.
        let mean = (read / found.len().max(1)).max(1);
        some = (left / mean).clamp(FIRST, CHUNK);
    }
    Ok(found)
}

/// The newest observation of the newest attempt of jobs, by job; `asked` has
/// their keys.
async fn progress(conn: &mut SqliteConnection, asked: &str) -> Result<HashMap<i64, Observation>> {
    let rows = query_as!(
        Seen,
        r#"SELECT seen.job AS "job!", seen.attempt AS "attempt!", seen.epoch AS "epoch!",
                  seen.step AS "step!", seen.train_loss, seen.train_error, seen.test_loss,
                  seen.test_error, seen.lr, seen.seconds, seen.images_per_second, seen.distance,
                  seen.loss_scale, seen.skipped_steps, seen.metrics
           FROM json_each(?1) AS asked
           CROSS JOIN job ON job.id = asked.value
           CROSS JOIN observation AS seen
               ON seen.job = job.id AND seen.attempt = job.attempt AND seen.epoch = (
                   SELECT max(epoch) FROM observation
                   WHERE job = job.id AND attempt = job.attempt)"#,
        asked
    )
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| Ok((row.job, row.observation()?)))
        .collect()
}

/// A spec, or why it cannot be read: its job is told nevertheless, and those beside
/// it.
type Stored = std::result::Result<serde_json::Value, Unreadable>;

fn views(rows: Vec<Row>, progress: &HashMap<i64, Observation>) -> Result<Vec<JobView>> {
    // Replicates of a cell follow each other, so its spec is read once.
    let mut last: Option<(CellDigest, Stored)> = None;
    let mut views = Vec::with_capacity(rows.len());
    for row in rows {
        let cell = rows::cell_digest(&row.cell)?;
        let spec = match &last {
            Some((same, spec)) if *same == cell => spec.clone(),
            _ => {
                let spec = read_stored(&row.spec);
                last = Some((cell, spec.clone()));
                spec
            }
        };
        let progress = progress.get(&row.id).cloned();
        views.push(view(row, cell, spec, progress)?);
    }
    Ok(views)
}

fn view(
    row: Row,
    cell: CellDigest,
    spec: Stored,
    progress: Option<Observation>,
) -> Result<JobView> {
    let mut sweeps: Vec<String> = Vec::new();
    let holders: Vec<(String, SweepDigest)> = serde_json::from_str(&row.sweeps)?;
    for (name, _) in &holders {
        if !sweeps.contains(name) {
            sweeps.push(name.clone());
        }
    }
    let measurement = match &row.bits {
        Some(bits) => {
            let weights = rows::weights(row.weights.as_deref());
            Some(rows::measurement(bits, row.metrics.as_deref(), weights)?)
        }
        None => None,
    };
    Ok(JobView {
        digest: rows::job_digest(&row.digest)?,
        cell,
        replicate: Replicate(row.replicate as u32),
        seed: row.seed as u64,
        unreadable: spec.as_ref().err().copied(),
        spec: spec.unwrap_or_default(),
        sweeps,
        holders: holders.into_iter().map(|(_, digest)| digest).collect(),
        state: rows::state_name(&row.state)?,
        fault: row.fault.as_deref().map(rows::fault).transpose()?,
        stop: row.stop != 0,
        attempt: rows::attempt(row.attempt),
        charged: row.charged as u32,
        worker: row.worker.as_deref().map(rows::worker_name).transpose()?,
        devices: row.device.as_deref().map(rows::placement).transpose()?,
        granted_at: (row.attempt > 0).then_some(Timestamp::from_ms(row.granted_at)),
        not_before: row.not_before.map(Timestamp::from_ms),
        deadline: row.deadline.map(Timestamp::from_ms),
        ended_at: row.ended_at.map(Timestamp::from_ms),
        progress,
        measurement,
        message: row.message.unwrap_or_default(),
    })
}

/// One job with its attempts.
pub(crate) async fn job(
    conn: &mut SqliteConnection,
    digest: JobDigest,
) -> Result<Option<JobDetail>> {
    let asked = JobQuery {
        prefix: Some(digest.to_string()),
        ..JobQuery::default()
    };
    let Some(job) = jobs(&mut *conn, asked).await?.pop() else {
        return Ok(None);
    };
    let bytes = &digest.as_bytes()[..];
    let attempts = query!(
        r#"SELECT attempt.attempt, worker.name AS worker, attempt.session, attempt.granted_at,
                  attempt.ended_at, attempt.ended, attempt.lost_at,
                  attempt.forgotten_at, attempt.message,
                  provenance.device AS "device?", provenance.driver AS "driver?",
                  provenance.libtorch AS "libtorch?", provenance.trainer AS "trainer?",
                  provenance.threads AS "threads?", provenance.determinism AS "determinism?"
           FROM job
           JOIN attempt ON attempt.job = job.id
           JOIN worker ON worker.id = attempt.worker
           LEFT JOIN provenance ON provenance.id = attempt.provenance
           WHERE job.digest = ?1 ORDER BY attempt.attempt"#,
        bytes
    )
    .fetch_all(&mut *conn)
    .await?;
    let late = query_scalar!(
        r#"SELECT count(*) AS "late!: i64" FROM late_outcome
           JOIN job ON job.id = late_outcome.job WHERE job.digest = ?1"#,
        bytes
    )
    .fetch_one(&mut *conn)
    .await?;
    let mut views = Vec::with_capacity(attempts.len());
    for row in attempts {
        views.push(AttemptView {
            attempt: rows::attempt(row.attempt),
            worker: rows::worker_name(&row.worker)?,
            session: SessionId(row.session as u64),
            granted_at: Timestamp::from_ms(row.granted_at),
            ended_at: row.ended_at.or(row.lost_at).map(Timestamp::from_ms),
            ended: match (row.ended, row.lost_at) {
                (Some(ended), _) => ended,
                (None, Some(_)) => Fault::Lost.name().to_owned(),
                (None, None) => String::new(),
            },
            message: row.message,
            provenance: row.device.map(|device| Provenance {
                device,
                driver: row.driver.unwrap_or_default(),
                libtorch: row.libtorch.unwrap_or_default(),
                trainer: row.trainer.unwrap_or_default(),
                threads: row.threads.unwrap_or(0) as u32,
                determinism: row.determinism.unwrap_or_default(),
            }),
            forgotten_at: row.forgotten_at.map(Timestamp::from_ms),
        });
    }
    Ok(Some(JobDetail {
        job,
        attempts: views,
        late_outcomes: late as u64,
    }))
}

/// What is known of each of these jobs, in the order given.
pub(crate) async fn known(
    conn: &mut SqliteConnection,
    jobs: Vec<JobDigest>,
) -> Result<Vec<Option<Known>>> {
    let asked = rows::hex_array(&jobs);
    let rows = query!(
        r#"SELECT asked.key + 0 AS "place!: i64", job.state, job.fault
           FROM json_each(?1) AS asked CROSS JOIN job ON job.digest = unhex(asked.value)"#,
        asked
    )
    .fetch_all(conn)
    .await?;
    let mut known = vec![None; jobs.len()];
    for row in rows {
        known[row.place as usize] = Some(Known {
            state: rows::state_name(&row.state)?,
            fault: row.fault.as_deref().map(rows::fault).transpose()?,
        });
    }
    Ok(known)
}

/// Measured trainings of a workload, those of the newest cells first.
pub(crate) async fn alike(
    conn: &mut SqliteConnection,
    workload: WorkloadKey,
    limit: u32,
) -> Result<Vec<Alike>> {
    let workload = &workload.0[..];
    let rows = query!(
        "SELECT cell.spec, outcome.bits, provenance.device
         FROM cell INDEXED BY cell_by_workload
         CROSS JOIN job INDEXED BY job_succeeded ON job.cell = cell.id AND job.state = 'succeeded'
         CROSS JOIN outcome ON outcome.job = job.id
         CROSS JOIN provenance ON provenance.id = outcome.provenance
         WHERE cell.workload = ?1 ORDER BY cell.id DESC, job.id DESC LIMIT ?2",
        workload,
        limit
    )
    .fetch_all(conn)
    .await?;
    // What cannot be read tells nothing of others.
    let alike = rows.into_iter().filter_map(|row| {
        let spec = read_stored(&row.spec).ok()?;
        let seconds = rows::train_seconds(&row.bits);
        Some(seconds.map(|train_seconds| Alike {
            spec,
            train_seconds,
            device: row.device,
        }))
    });
    alike.collect()
}

/// A job's observations, by attempt and epoch.
pub(crate) async fn curves(conn: &mut SqliteConnection, job: JobDigest) -> Result<Vec<CurvePoint>> {
    let job = &job.as_bytes()[..];
    let rows = query_as!(
        Seen,
        "SELECT * FROM observation WHERE job = (SELECT id FROM job WHERE digest = ?1)
         ORDER BY attempt, epoch",
        job
    )
    .fetch_all(conn)
    .await?;
    let points = rows.iter().map(|row| {
        Ok(CurvePoint {
            attempt: rows::attempt(row.attempt),
            observation: row.observation()?,
        })
    });
    points.collect()
}

/// What a job's trainers wrote after `position`.
pub(crate) async fn logs(
    conn: &mut SqliteConnection,
    job: JobDigest,
    position: u64,
) -> Result<Vec<LogChunk>> {
    let job = &job.as_bytes()[..];
    let position = i64::try_from(position).unwrap_or(i64::MAX);
    let rows = query!(
        "SELECT position, attempt, sequence, text
         FROM log_chunk WHERE job = (SELECT id FROM job WHERE digest = ?1) AND position > ?2
         ORDER BY position",
        job,
        position
    )
    .fetch_all(conn)
    .await?;
    let chunks = rows.into_iter().map(|row| {
        let (position, end) = (row.position as u64, row.sequence as u64);
        let attempt = Attempt(row.attempt as u32);
        LogChunk::ending(position, attempt, end, row.text)
    });
    Ok(chunks.collect())
}
