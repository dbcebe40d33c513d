//! Pages of jobs, each with its attempts, and of observations.

use std::collections::HashSet;

use sqlx::{query, query_as};
use swath_model::id::{Replicate, SessionId};
use swath_model::outcome::Provenance;
use swath_model::time::Timestamp;
use swath_store::columns::{self, Seen};
use swath_store::{
    AttemptEnd, CellKey, Changes, DroppedOutcome, End, JobKey, JobRow, LogGone, LostAttempt,
    NewAttempt, NewJob, ObservationRow, OutcomeRow, Page, PageKey, WorkerKey,
};

use crate::error::{Failure, Result};
use crate::rows;
use crate::session::Session;
use crate::text;

pub(super) async fn jobs(
    session: &mut Session,
    PageKey([after, ..]): PageKey,
    limit: u32,
    page: &mut Page,
) -> Result<()> {
    let found = query_as!(
        rows::JobRow,
        r#"SELECT job.id, job.digest, job.cell, job.state, job.not_before, job.deadline, job.stop,
                  job.fault, job.attempt, worker.name AS "worker?", job.session, job.granted_at,
                  job.grants, job.charged, job.failed_on, job.closed, job.unmentioned, job.faulted,
                  job.ended_at, job.device
           FROM job LEFT JOIN worker ON worker.id = job.worker
           WHERE job.id > $1 ORDER BY job.id LIMIT $2"#,
        after,
        i64::from(limit)
    )
    .fetch_all(&mut *session)
    .await?;
    let beside = query!(
        "SELECT replicate, seed, worker FROM job WHERE id > $1 ORDER BY id LIMIT $2",
        after,
        i64::from(limit)
    )
    .fetch_all(&mut *session)
    .await?;
    let Some(last) = found.last().map(|row| row.id) else {
        return Ok(());
    };
    for (row, beside) in found.into_iter().zip(beside) {
        let job = row.job()?;
        let all = page.at([row.id, 0, 0]);
        all.new_jobs.push(NewJob {
            key: JobKey(row.id),
            digest: rows::job_digest(&row.digest)?,
            cell: CellKey(row.cell),
            replicate: Replicate(beside.replicate as u32),
            seed: beside.seed as u64,
            since: job.granted_at,
        });
        let row = JobRow {
            key: JobKey(row.id),
            job,
            worker: beside.worker.map(WorkerKey),
            placement: row.placement()?,
            unmentioned: row.unmentioned as u32,
            faulted: row.faulted.map(rows::attempt),
            ended_at: row.ended_at.map(Timestamp::from_ms),
        };
        if !row.is_as_made() {
            all.jobs.push(row);
        }
    }
    attempts(session, after, last, &mut page.rows).await?;
    outcomes(session, after, last, &mut page.rows).await
}

/// The attempts of the jobs between two keys, including the last one.
async fn attempts(session: &mut Session, after: i64, last: i64, all: &mut Changes) -> Result<()> {
    let found = query!(
        r#"SELECT attempt.job, attempt.attempt, attempt.worker, attempt.session,
                  attempt.granted_at, attempt.ended_at, attempt.ended, attempt.lost_at,
                  attempt.forgotten_at, attempt.message, attempt.log_gone, provenance.device AS "device?", driver AS "driver?",
                  libtorch AS "libtorch?", trainer AS "trainer?", threads AS "threads?",
                  determinism AS "determinism?"
           FROM job
           JOIN attempt ON attempt.job = job.id
           LEFT JOIN provenance ON provenance.id = attempt.provenance
           WHERE job.id > $1 AND job.id <= $2
           ORDER BY job.id, attempt.attempt"#,
        after,
        last
    )
    .fetch_all(session)
    .await?;
    for row in found {
        let (job, attempt) = (JobKey(row.job), rows::attempt(row.attempt));
        all.attempts.push(NewAttempt {
            job,
            attempt,
            worker: WorkerKey(row.worker),
            session: SessionId(row.session as u64),
            granted_at: Timestamp::from_ms(row.granted_at),
        });
        if let Some(at) = row.lost_at {
            all.lost.push(LostAttempt {
                job,
                attempt,
                at: Some(Timestamp::from_ms(at)),
            });
        }
        if let Some(at) = row.forgotten_at {
            all.dropped.push(DroppedOutcome {
                job,
                attempt,
                at: Timestamp::from_ms(at),
            });
        }
        if row.log_gone > 0 {
            all.copied.get_or_insert_default().gone.push(LogGone {
                job,
                attempt,
                sequence: row.log_gone as u64,
            });
        }
        let (Some(ended), Some(at)) = (row.ended, row.ended_at) else {
            continue;
        };
        let provenance = move || {
            Some(Provenance {
                device: text::told(row.device?),
                driver: text::told(row.driver?),
                libtorch: text::told(row.libtorch?),
                trainer: text::told(row.trainer?),
                threads: row.threads? as u32,
                determinism: text::told(row.determinism?),
            })
        };
        let provenance = provenance().ok_or_else(|| {
            Failure::Damaged(format!("attempt {attempt} of job {job} has no provenance"))
        });
        let end = match ended.as_str() {
            "released" => End::Released,
            "measured" => End::Measured {
                provenance: provenance?,
            },
            name => End::Failed {
                fault: rows::fault(Some(name))?.ok_or_else(|| {
                    Failure::Damaged(format!("attempt {attempt} of job {job} has no fault"))
                })?,
                message: text::told(row.message),
                provenance: provenance?,
            },
        };
        let at = Timestamp::from_ms(at);
        all.ends.push(AttemptEnd {
            job,
            attempt,
            at,
            end,
        });
    }
    Ok(())
}

/// What the jobs between two keys measured.
async fn outcomes(session: &mut Session, after: i64, last: i64, all: &mut Changes) -> Result<()> {
    let there: HashSet<JobKey> = all.new_jobs.iter().map(|job| job.key).collect();
    let found = query!(
        r#"SELECT outcome.job, outcome.attempt, test_error, test_loss, best_test_error,
                  train_seconds, recorded_at, metrics, weights,
                  device, driver, libtorch, trainer, threads, determinism
           FROM outcome
           JOIN provenance ON provenance.id = outcome.provenance
           WHERE outcome.job > $1 AND outcome.job <= $2
           ORDER BY outcome.job"#,
        after,
        last
    )
    .fetch_all(session)
    .await?;
    for row in found {
        let job = JobKey(row.job);
        // An outcome without a job is found by its missing key.
        if !there.contains(&job) {
            continue;
        }
        all.outcomes.push(OutcomeRow {
            job,
            attempt: rows::attempt(row.attempt),
            measurement: columns::measurement(
                row.train_seconds,
                [row.test_error, row.test_loss, row.best_test_error],
                row.metrics.as_deref(),
                rows::weights(row.weights.as_deref()),
            )?,
            provenance: Provenance {
                device: text::told(row.device),
                driver: text::told(row.driver),
                libtorch: text::told(row.libtorch),
                trainer: text::told(row.trainer),
                threads: row.threads as u32,
                determinism: text::told(row.determinism),
            },
            recorded_at: Timestamp::from_ms(row.recorded_at),
        });
    }
    Ok(())
}

pub(super) async fn observations(
    session: &mut Session,
    PageKey([job, attempt, epoch]): PageKey,
    limit: u32,
    page: &mut Page,
) -> Result<()> {
    let found = query_as!(
        Seen,
        "SELECT * FROM observation WHERE (job, attempt, epoch) > ($1, $2, $3)
         ORDER BY job, attempt, epoch LIMIT $4",
        job,
        attempt,
        epoch,
        i64::from(limit)
    )
    .fetch_all(session)
    .await?;
    for row in found {
        page.at([row.job, row.attempt, row.epoch])
            .observations
            .push(ObservationRow {
                job: JobKey(row.job),
                attempt: rows::attempt(row.attempt),
                observation: row.observation()?,
            });
    }
    Ok(())
}
