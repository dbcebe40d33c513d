//! Jobs.

use sqlx::query;
use swath_model::job::State;
use swath_model::time::Timestamp;
use swath_store::{JobRow, NewJob};

use super::{CHUNK, all_written, copy};
use crate::error::Result;
use crate::rows;
use crate::session::Session;

/// Inserts new jobs: queued, never granted.
pub(super) async fn insert(session: &mut Session, jobs: &[NewJob]) -> Result<()> {
    if jobs.len() > copy::FEW {
        return copy(session, jobs).await;
    }
    for chunk in jobs.chunks(CHUNK) {
        let ids: Vec<i64> = chunk.iter().map(|row| row.key.0).collect();
        let digests: Vec<&[u8]> = chunk.iter().map(|row| &row.digest.as_bytes()[..]).collect();
        let cells: Vec<i64> = chunk.iter().map(|row| row.cell.0).collect();
        let replicates: Vec<i64> = chunk.iter().map(|row| row.replicate.0.into()).collect();
        let seeds: Vec<i64> = chunk.iter().map(|row| row.seed as i64).collect();
        let since: Vec<i64> = chunk.iter().map(|row| row.since.as_ms()).collect();
        query!(
            "INSERT INTO job (id, digest, cell, replicate, seed, state, not_before, granted_at)
             SELECT id, digest, cell, replicate, seed, 'queued', since, since
             FROM unnest($1::bigint[], $2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[],
                         $6::bigint[]) AS line (id, digest, cell, replicate, seed, since)",
            &ids,
            &digests as &[&[u8]],
            &cells,
            &replicates,
            &seeds,
            &since
        )
        .execute(&mut *session)
        .await?;
    }
    Ok(())
}

async fn copy(session: &mut Session, jobs: &[NewJob]) -> Result<()> {
    let columns = "job (id, digest, cell, replicate, seed, state, not_before, granted_at)";
    copy::rows(session, columns, jobs, |row, lines| {
        let since = row.since.as_ms().to_be_bytes();
        lines.push([
            Some(&row.key.0.to_be_bytes()),
            Some(row.digest.as_bytes()),
            Some(&row.cell.0.to_be_bytes()),
            Some(&i64::from(row.replicate.0).to_be_bytes()),
            Some(&(row.seed as i64).to_be_bytes()),
            Some(b"queued"),
            Some(&since),
            Some(&since),
        ]);
    })
    .await
}

/// The columns of jobs that may change.
#[derive(Default)]
struct Columns<'a> {
    ids: Vec<i64>,
    states: Vec<&'static str>,
    not_before: Vec<Option<i64>>,
    deadlines: Vec<Option<i64>>,
    stops: Vec<bool>,
    faults: Vec<Option<&'a str>>,
    attempts: Vec<i64>,
    workers: Vec<Option<i64>>,
    sessions: Vec<Option<i64>>,
    granted_at: Vec<i64>,
    grants: Vec<i64>,
    charged: Vec<i64>,
    failed_on: Vec<Option<String>>,
    closed: Vec<bool>,
    unmentioned: Vec<i64>,
    faulted: Vec<Option<i64>>,
    ended_at: Vec<Option<i64>>,
    devices: Vec<Option<String>>,
}

impl Columns<'_> {
    fn push(&mut self, row: &JobRow) {
        let job = &row.job;
        let (not_before, fault) = match &job.state {
            State::Queued { not_before } => (Some(not_before.as_ms()), None),
            State::Failed(fault) => (None, Some(fault.name())),
            _ => (None, None),
        };
        self.ids.push(row.key.0);
        self.states.push(job.state_name().name());
        self.not_before.push(not_before);
        self.deadlines
            .push(job.lease().map(|lease| lease.deadline.as_ms()));
        self.stops.push(job.stopping());
        self.faults.push(fault);
        self.attempts.push(job.attempt.0.into());
        self.workers.push(row.worker.map(|worker| worker.0));
        let owner = job.owner.as_ref();
        self.sessions
            .push(owner.map(|owner| rows::session(owner.session)));
        self.granted_at.push(job.granted_at.as_ms());
        self.grants.push(job.grants.into());
        self.charged.push(job.charged.into());
        self.failed_on
            .push((!job.failed_on.is_empty()).then(|| rows::json(&job.failed_on)));
        self.closed.push(job.closed);
        self.unmentioned.push(row.unmentioned.into());
        self.faulted
            .push(row.faulted.map(|attempt| attempt.0.into()));
        self.ended_at.push(row.ended_at.map(Timestamp::as_ms));
        self.devices.push(row.placement.clone().map(String::from));
    }
}

/// Writes jobs that changed, as they are now.
pub(super) async fn update(session: &mut Session, jobs: &[JobRow]) -> Result<()> {
    for chunk in jobs.chunks(CHUNK) {
        let mut columns = Columns::default();
        for row in chunk {
            columns.push(row);
        }
        let done = query!(
            "UPDATE job SET state = line.state, not_before = line.not_before,
                 deadline = line.deadline, stop = line.stop, fault = line.fault,
                 attempt = line.attempt, worker = line.worker, session = line.session,
                 granted_at = line.granted_at, grants = line.grants, charged = line.charged,
                 failed_on = line.failed_on, closed = line.closed,
                 unmentioned = line.unmentioned, faulted = line.faulted, ended_at = line.ended_at,
                 device = line.device
             FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::boolean[],
                         $6::text[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[],
                         $11::bigint[], $12::bigint[], $13::text[], $14::boolean[],
                         $15::bigint[], $16::bigint[], $17::bigint[], $18::text[])
                 AS line (id, state, not_before, deadline, stop, fault, attempt, worker, session,
                          granted_at, grants, charged, failed_on, closed, unmentioned, faulted,
                          ended_at, device)
             WHERE job.id = line.id",
            &columns.ids,
            &columns.states as &[&str],
            &columns.not_before as &[Option<i64>],
            &columns.deadlines as &[Option<i64>],
            &columns.stops,
            &columns.faults as &[Option<&str>],
            &columns.attempts,
            &columns.workers as &[Option<i64>],
            &columns.sessions as &[Option<i64>],
            &columns.granted_at,
            &columns.grants,
            &columns.charged,
            &columns.failed_on as &[Option<String>],
            &columns.closed,
            &columns.unmentioned,
            &columns.faulted as &[Option<i64>],
            &columns.ended_at as &[Option<i64>],
            &columns.devices as &[Option<String>]
        )
        .execute(&mut *session)
        .await?;
        all_written(done.rows_affected(), chunk.len(), "jobs")?;
    }
    Ok(())
}
