//! Pages of jobs, each with its attempts, and of observations.

use std::collections::HashSet;

use sqlx::{SqliteConnection, query, query_as};
use swath_model::id::{Replicate, SessionId};
use swath_model::outcome::Provenance;
use swath_model::time::Timestamp;
use swath_store::columns::Seen;
use swath_store::{
    AttemptEnd, CellKey, Changes, DroppedOutcome, End, JobKey, JobRow, LogGone, LostAttempt,
    NewAttempt, NewJob, ObservationRow, OutcomeRow, Page, PageKey, WorkerKey,
};

use crate::error::{Failure, Result};
use crate::rows;

pub(super) async fn jobs(
    conn: &mut SqliteConnection,
    PageKey([after, ..]): PageKey,
    limit: u32,
    page: &mut Page,
) -> Result<()> {
    let found = query!(
        r#"SELECT job.id AS "id!", job.cell, job.seed, job.worker,
                  json_array(job.id, job.replicate, hex(job.digest), job.state, job.not_before,
                             job.deadline, job.stop, job.fault, job.attempt, worker.name,
                             job.session, job.granted_at, job.grants, job.charged, job.failed_on,
                             job.closed, job.unmentioned, job.faulted, job.ended_at,
                             job.device)
                      AS "line!: String"
           FROM job LEFT JOIN worker ON worker.id = job.worker
           WHERE job.id > ?1 ORDER BY job.id LIMIT ?2"#,
        after,
        limit
    )
    .fetch_all(&mut *conn)
    .await?;
    let Some(last) = found.last().map(|row| row.id) else {
        return Ok(());
    };
    for row in found {
        let line: rows::JobRow = serde_json::from_str(&row.line)?;
        let job = line.job()?;
        let all = page.at([row.id, 0, 0]);
        all.new_jobs.push(NewJob {
            key: JobKey(row.id),
            digest: line.digest,
            cell: CellKey(row.cell),
            replicate: Replicate(line.replicate),
            seed: row.seed as u64,
            since: job.granted_at,
        });
        let row = JobRow {
            key: JobKey(row.id),
            job,
            worker: row.worker.map(WorkerKey),
            placement: line.placement,
            unmentioned: line.unmentioned,
            faulted: line.faulted,
            ended_at: line.ended_at,
        };
        if !row.is_as_made() {
            all.jobs.push(row);
        }
    }
    attempts(conn, after, last, &mut page.rows).await?;
    outcomes(conn, after, last, &mut page.rows).await
}

/// The attempts of the jobs between two keys, including the last one.
async fn attempts(
    conn: &mut SqliteConnection,
    after: i64,
    last: i64,
    all: &mut Changes,
) -> Result<()> {
    let found = query!(
        r#"SELECT attempt.job, attempt.attempt, attempt.worker, attempt.session,
                  attempt.granted_at, attempt.ended_at, attempt.ended, attempt.lost_at,
                  attempt.forgotten_at, attempt.message, attempt.log_gone, provenance.device AS "device?", driver AS "driver?",
                  libtorch AS "libtorch?", trainer AS "trainer?", threads AS "threads?",
                  determinism AS "determinism?"
           FROM job
           CROSS JOIN attempt ON attempt.job = job.id
           LEFT JOIN provenance ON provenance.id = attempt.provenance
           WHERE job.id > ?1 AND job.id <= ?2
           ORDER BY job.id, attempt.attempt"#,
        after,
        last
    )
    .fetch_all(conn)
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
                device: row.device?,
                driver: row.driver?,
                libtorch: row.libtorch?,
                trainer: row.trainer?,
                threads: row.threads? as u32,
                determinism: row.determinism?,
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
            fault => End::Failed {
                fault: rows::fault(fault)?,
                message: row.message,
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
async fn outcomes(
    conn: &mut SqliteConnection,
    after: i64,
    last: i64,
    all: &mut Changes,
) -> Result<()> {
    let there: HashSet<JobKey> = all.new_jobs.iter().map(|job| job.key).collect();
    let found = query!(
        r#"SELECT outcome.job AS "job!", outcome.attempt, bits, recorded_at, metrics, weights,
                  device, driver, libtorch, trainer, threads, determinism
           FROM outcome
           CROSS JOIN provenance ON provenance.id = outcome.provenance
           WHERE outcome.job > ?1 AND outcome.job <= ?2
           ORDER BY outcome.job"#,
        after,
        last
    )
    .fetch_all(conn)
    .await?;
    for row in found {
        let job = JobKey(row.job);
        // An outcome without a job is found by its missing key.
        if !there.contains(&job) {
            continue;
        }
        let weights = rows::weights(row.weights.as_deref());
        all.outcomes.push(OutcomeRow {
            job,
            attempt: rows::attempt(row.attempt),
            measurement: rows::measurement(&row.bits, row.metrics.as_deref(), weights)?,
            provenance: Provenance {
                device: row.device,
                driver: row.driver,
                libtorch: row.libtorch,
                trainer: row.trainer,
                threads: row.threads as u32,
                determinism: row.determinism,
            },
            recorded_at: Timestamp::from_ms(row.recorded_at),
        });
    }
    Ok(())
}

pub(super) async fn observations(
    conn: &mut SqliteConnection,
    PageKey([job, attempt, epoch]): PageKey,
    limit: u32,
    page: &mut Page,
) -> Result<()> {
    let found = query_as!(
        Seen,
        "SELECT * FROM observation WHERE (job, attempt, epoch) > (?1, ?2, ?3)
         ORDER BY job, attempt, epoch LIMIT ?4",
        job,
        attempt,
        epoch,
        limit
    )
    .fetch_all(conn)
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
