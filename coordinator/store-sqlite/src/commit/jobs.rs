//! Jobs.

use serde::Serialize;
use sqlx::query;
use swath_model::job::State;
use swath_model::time::Timestamp;
use swath_store::{JobRow, NewJob};

use super::all_written;
use super::pack::{chunks, lines};
use crate::error::Result;
use crate::rows;
use crate::writer::Tx;

pub(super) async fn insert(tx: &mut Tx, jobs: &[NewJob]) -> Result<()> {
    // There may be tens of thousands, most of them created at once.
    for jobs in jobs.chunk_by(|a, b| a.since == b.since) {
        for jobs in chunks(jobs, |_| 32) {
            insert_alike(tx, jobs[0].since, jobs).await?;
        }
    }
    Ok(())
}

async fn insert_alike(tx: &mut Tx, since: Timestamp, jobs: &[NewJob]) -> Result<()> {
    let mut digests = Vec::with_capacity(jobs.len() * 32);
    let mut list = Vec::with_capacity(jobs.len());
    for job in jobs {
        digests.extend_from_slice(job.digest.as_bytes());
        list.push((job.key.0, job.cell.0, job.replicate, job.seed));
    }
    let list = lines(&list);
    let since = since.as_ms();
    query!(
        "INSERT INTO job (id, digest, cell, replicate, seed, state, not_before, granted_at)
         SELECT line.value ->> 0, substr(?2, line.key * 32 + 1, 32), line.value ->> 1,
                line.value ->> 2, line.value ->> 3, 'queued', ?3, ?3
         FROM jsonb_each(?1) AS line",
        list,
        digests,
        since
    )
    .execute(&mut tx.conn)
    .await?;
    Ok(())
}

/// The columns of a job that may change, its key first.
#[derive(Serialize)]
struct Line(
    i64,
    &'static str,
    Option<i64>,
    Option<i64>,
    u8,
    Option<&'static str>,
    u32,
    Option<i64>,
    Option<i64>,
    i64,
    u32,
    u32,
    Option<String>,
    u8,
    u32,
    Option<u32>,
    Option<i64>,
    Option<String>,
);

fn line(row: &JobRow) -> Line {
    let job = &row.job;
    let (not_before, fault) = match &job.state {
        State::Queued { not_before } => (Some(not_before.as_ms()), None),
        State::Failed(fault) => (None, Some(fault.name())),
        _ => (None, None),
    };
    Line(
        row.key.0,
        job.state_name().name(),
        not_before,
        job.lease().map(|lease| lease.deadline.as_ms()),
        u8::from(job.stopping()),
        fault,
        job.attempt.0,
        row.worker.map(|worker| worker.0),
        job.owner.as_ref().map(|owner| rows::session(owner.session)),
        job.granted_at.as_ms(),
        job.grants,
        job.charged,
        (!job.failed_on.is_empty()).then(|| rows::json(&job.failed_on)),
        u8::from(job.closed),
        row.unmentioned,
        row.faulted.map(|attempt| attempt.0),
        row.ended_at.map(Timestamp::as_ms),
        row.placement.as_ref().map(ToString::to_string),
    )
}

pub(super) async fn update(tx: &mut Tx, jobs: &[JobRow]) -> Result<()> {
    for jobs in chunks(jobs, |_| 64) {
        let list = lines(&jobs.iter().map(line).collect::<Vec<_>>());
        // Materialized; otherwise each column would evaluate the line again.
        let written = query!(
            "WITH line AS MATERIALIZED (SELECT value FROM json_each(?1))
             UPDATE job SET
                 state = line.value ->> 1, not_before = line.value ->> 2,
                 deadline = line.value ->> 3, stop = line.value ->> 4, fault = line.value ->> 5,
                 attempt = line.value ->> 6, worker = line.value ->> 7,
                 session = line.value ->> 8, granted_at = line.value ->> 9,
                 grants = line.value ->> 10, charged = line.value ->> 11,
                 failed_on = line.value ->> 12, closed = line.value ->> 13,
                 unmentioned = line.value ->> 14, faulted = line.value ->> 15,
                 ended_at = line.value ->> 16, device = line.value ->> 17
             FROM line WHERE job.id = line.value ->> 0",
            list
        )
        .execute(&mut tx.conn)
        .await?
        .rows_affected();
        all_written("jobs", written, jobs.len())?;
    }
    Ok(())
}
