//! Jobs, their attempts, curves and logs.

use std::collections::HashMap;

use futures_util::TryStreamExt;
use sqlx::{query, query_as, query_scalar};
use swath_model::id::{Attempt, CellDigest, JobDigest, Replicate, SessionId, SweepDigest};
use swath_model::message::{JobQuery, Known};
use swath_model::outcome::{Fault, Observation, Provenance};
use swath_model::probe::WorkloadKey;
use swath_model::spec::{Unreadable, read_stored};
use swath_model::time::Timestamp;
use swath_model::view::{Alike, AttemptView, CurvePoint, JobDetail, JobView, LogChunk};
use swath_store::columns::{self, Seen};

use super::find;
use crate::error::Result;
use crate::rows;
use crate::session::Session;
use crate::text;

struct Row {
    id: i64,
    digest: Vec<u8>,
    cell: Vec<u8>,
    spec: String,
    replicate: i64,
    seed: i64,
    sweeps: Vec<String>,
    holders: Vec<Vec<u8>>,
    state: String,
    fault: Option<String>,
    stop: bool,
    attempt: i64,
    charged: i64,
    worker: Option<String>,
    granted_at: i64,
    not_before: Option<i64>,
    deadline: Option<i64>,
    ended_at: Option<i64>,
    device: Option<String>,
    message: Option<String>,
    test_error: Option<f64>,
    test_loss: Option<f64>,
    best_test_error: Option<f64>,
    train_seconds: Option<f64>,
    metrics: Option<String>,
    weights: Option<Vec<u8>>,
}

/// How many jobs one statement reads; so many at first where bytes are limited,
/// because a statement sorts all of its rows before it returns one.
const CHUNK: usize = 4096;
const FIRST: usize = 16;

/// The matching jobs, in order of submission.
pub(crate) async fn jobs(session: &mut Session, asked: JobQuery) -> Result<Vec<JobView>> {
    let ids = find::ids(session, &asked).await?;
    with_ids(session, &ids, asked.bytes).await
}

/// The jobs that failed last, the newest first.
pub(crate) async fn last_failed(
    session: &mut Session,
    sweep: Option<SweepDigest>,
    limit: u32,
) -> Result<Vec<JobView>> {
    let ids = find::last_failed(session, sweep, limit).await?;
    with_ids(session, &ids, None).await
}

/// The jobs with these keys, in this order, as far as they are no more than so
/// many bytes.
async fn with_ids(
    session: &mut Session,
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
        let mut stream = query_as!(
            Row,
            r#"SELECT job.id, job.digest, cell.digest AS cell, cell.spec, job.replicate, job.seed,
                      ARRAY(SELECT sweep.name FROM sweep_cell
                            JOIN sweep ON sweep.id = sweep_cell.sweep
                            WHERE sweep_cell.cell = job.cell
                              AND sweep_cell.replicates >= job.replicate
                            ORDER BY sweep.id) AS "sweeps!: Vec<String>",
                      ARRAY(SELECT sweep.digest FROM sweep_cell
                            JOIN sweep ON sweep.id = sweep_cell.sweep
                            WHERE sweep_cell.cell = job.cell
                              AND sweep_cell.replicates >= job.replicate
                            ORDER BY sweep.id) AS "holders!: Vec<Vec<u8>>",
                      job.state, job.fault, job.stop, job.attempt, job.charged,
                      worker.name AS "worker?", job.granted_at, job.not_before, job.deadline,
                      job.ended_at, job.device, faulted.message AS "message?",
                      outcome.test_error, outcome.test_loss, outcome.best_test_error,
                      outcome.train_seconds AS "train_seconds?", outcome.metrics, outcome.weights
               FROM unnest($1::bigint[]) WITH ORDINALITY AS asked (id, place)
               JOIN job ON job.id = asked.id
               JOIN cell ON cell.id = job.cell
               LEFT JOIN worker ON worker.id = job.worker
               LEFT JOIN attempt AS faulted
                   ON faulted.job = job.id AND faulted.attempt = job.faulted
               LEFT JOIN outcome ON outcome.job = job.id
               ORDER BY asked.place"#,
            ids
        )
        .fetch(&mut *session);
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
        let progress = progress(session, &seen).await?;
        found.append(&mut views(rows, &progress)?);
        // As many as will do, if they are like those before.
        let mean = (read / found.len().max(1)).max(1);
        some = (left / mean).clamp(FIRST, CHUNK);
    }
    Ok(found)
}

/// The newest observation of the newest attempt of these jobs, by job.
async fn progress(session: &mut Session, ids: &[i64]) -> Result<HashMap<i64, Observation>> {
    let rows = query_as!(
        Seen,
        "SELECT seen.* FROM unnest($1::bigint[]) AS asked (id)
         JOIN job ON job.id = asked.id AND job.attempt > 0
         CROSS JOIN LATERAL (
             SELECT * FROM observation
             WHERE observation.job = job.id AND observation.attempt = job.attempt
             ORDER BY observation.epoch DESC LIMIT 1) AS seen",
        ids
    )
    .fetch_all(session)
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
    for mut row in rows {
        let cell = rows::cell_digest(&row.cell)?;
        let spec = match &last {
            Some((same, spec)) if *same == cell => spec.clone(),
            _ => {
                let spec = text::told(std::mem::take(&mut row.spec));
                let spec = read_stored(&spec);
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
    let holders = row.holders.iter().map(|it| Ok(rows::sweep_digest(it)?));
    let holders = holders.collect::<Result<_>>()?;
    let mut sweeps: Vec<String> = Vec::new();
    for name in row.sweeps.into_iter().map(text::told) {
        if !sweeps.contains(&name) {
            sweeps.push(name);
        }
    }
    let measurement = row.train_seconds.map(|train_seconds| {
        columns::measurement(
            train_seconds,
            [row.test_error, row.test_loss, row.best_test_error],
            row.metrics.as_deref(),
            rows::weights(row.weights.as_deref()),
        )
    });
    Ok(JobView {
        digest: rows::job_digest(&row.digest)?,
        cell,
        replicate: Replicate(row.replicate as u32),
        seed: row.seed as u64,
        unreadable: spec.as_ref().err().copied(),
        spec: spec.unwrap_or_default(),
        sweeps,
        holders,
        state: rows::state_name(&row.state)?,
        fault: rows::fault(row.fault.as_deref())?,
        stop: row.stop,
        attempt: rows::attempt(row.attempt),
        charged: row.charged as u32,
        worker: row.worker.as_deref().map(rows::worker_name).transpose()?,
        devices: rows::placement(row.device.as_deref())?,
        granted_at: (row.attempt > 0).then_some(Timestamp::from_ms(row.granted_at)),
        not_before: row.not_before.map(Timestamp::from_ms),
        deadline: row.deadline.map(Timestamp::from_ms),
        ended_at: row.ended_at.map(Timestamp::from_ms),
        progress,
        measurement: measurement.transpose()?,
        message: row.message.map(text::told).unwrap_or_default(),
    })
}

/// One job with its attempts.
pub(crate) async fn job(session: &mut Session, digest: JobDigest) -> Result<Option<JobDetail>> {
    let bytes = &digest.as_bytes()[..];
    let id = query_scalar!("SELECT id FROM job WHERE digest = $1", bytes)
        .fetch_optional(&mut *session)
        .await?;
    let Some(id) = id else {
        return Ok(None);
    };
    let Some(job) = with_ids(session, &[id], None).await?.pop() else {
        return Ok(None);
    };
    let attempts = query!(
        r#"SELECT attempt.attempt, worker.name AS worker, attempt.session, attempt.granted_at,
                  attempt.ended_at, attempt.ended, attempt.lost_at,
                  attempt.forgotten_at, attempt.message,
                  provenance.device AS "device?", provenance.driver AS "driver?",
                  provenance.libtorch AS "libtorch?", provenance.trainer AS "trainer?",
                  provenance.threads AS "threads?", provenance.determinism AS "determinism?"
           FROM attempt
           JOIN worker ON worker.id = attempt.worker
           LEFT JOIN provenance ON provenance.id = attempt.provenance
           WHERE attempt.job = $1 ORDER BY attempt.attempt"#,
        id
    )
    .fetch_all(&mut *session)
    .await?;
    let late = query_scalar!(
        r#"SELECT count(*) AS "late!" FROM late_outcome WHERE job = $1"#,
        id
    )
    .fetch_one(session)
    .await?;
    let mut views = Vec::with_capacity(attempts.len());
    for row in attempts {
        let told = |text: Option<String>| text.map(text::told).unwrap_or_default();
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
            message: text::told(row.message),
            provenance: row.device.map(|device| Provenance {
                device: text::told(device),
                driver: told(row.driver),
                libtorch: told(row.libtorch),
                trainer: told(row.trainer),
                threads: row.threads.unwrap_or(0) as u32,
                determinism: told(row.determinism),
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
    session: &mut Session,
    jobs: Vec<JobDigest>,
) -> Result<Vec<Option<Known>>> {
    let digests: Vec<&[u8]> = jobs.iter().map(|job| &job.as_bytes()[..]).collect();
    let rows = query!(
        r#"SELECT asked.place AS "place!", job.state, job.fault
           FROM unnest($1::bytea[]) WITH ORDINALITY AS asked (digest, place)
           JOIN job ON job.digest = asked.digest"#,
        &digests as &[&[u8]]
    )
    .fetch_all(session)
    .await?;
    let mut known = vec![None; jobs.len()];
    for row in rows {
        if let Some(place) = known.get_mut(row.place as usize - 1) {
            *place = Some(Known {
                state: rows::state_name(&row.state)?,
                fault: rows::fault(row.fault.as_deref())?,
            });
        }
    }
    Ok(known)
}

/// Measured trainings of a workload, those of the newest cells first.
pub(crate) async fn alike(
    session: &mut Session,
    workload: WorkloadKey,
    limit: u32,
) -> Result<Vec<Alike>> {
    let workload = &workload.0[..];
    let rows = query!(
        "SELECT cell.spec, outcome.train_seconds, provenance.device
         FROM cell
         JOIN job ON job.cell = cell.id AND job.state = 'succeeded'
         JOIN outcome ON outcome.job = job.id
         JOIN provenance ON provenance.id = outcome.provenance
         WHERE cell.workload = $1 ORDER BY cell.id DESC, job.id DESC LIMIT $2",
        workload,
        i64::from(limit)
    )
    .fetch_all(session)
    .await?;
    // What cannot be read tells nothing of others.
    let alike = rows.into_iter().filter_map(|row| {
        Some(Alike {
            spec: read_stored(&text::told(row.spec)).ok()?,
            train_seconds: row.train_seconds,
            device: text::told(row.device),
        })
    });
    Ok(alike.collect())
}

/// A job's observations, by attempt and epoch.
pub(crate) async fn curves(session: &mut Session, job: JobDigest) -> Result<Vec<CurvePoint>> {
    let job = &job.as_bytes()[..];
    let rows = query_as!(
        Seen,
        "SELECT * FROM observation WHERE job = (SELECT id FROM job WHERE digest = $1)
         ORDER BY attempt, epoch",
        job
    )
    .fetch_all(session)
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
    session: &mut Session,
    job: JobDigest,
    position: u64,
) -> Result<Vec<LogChunk>> {
    let job = &job.as_bytes()[..];
    let position = i64::try_from(position).unwrap_or(i64::MAX);
    let rows = query!(
        "SELECT position, attempt, sequence, text
         FROM log_chunk WHERE job = (SELECT id FROM job WHERE digest = $1) AND position > $2
         ORDER BY position",
        job,
        position
    )
    .fetch_all(session)
    .await?;
    let chunks = rows.into_iter().map(|row| {
        let (position, end) = (row.position as u64, row.sequence as u64);
        let attempt = Attempt(row.attempt as u32);
        LogChunk::ending(position, attempt, end, text::told(row.text))
    });
    Ok(chunks.collect())
}
