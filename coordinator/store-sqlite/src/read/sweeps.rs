//! Sweeps, workers, and when something is due.

use std::collections::HashMap;

use sqlx::{SqliteConnection, query, query_scalar};
use swath_core::id::{SessionId, SweepDigest};
use swath_core::message::Sources;
use swath_core::time::Timestamp;
use swath_core::view::{Counts, SweepState, SweepView, WorkerView};

use crate::error::Result;
use crate::rows;
use crate::sweep::unknown;
use crate::worker::worker_state;

/// Every sweep, oldest first.
pub(crate) async fn sweeps(conn: &mut SqliteConnection) -> Result<Vec<SweepView>> {
    let counted = counts(conn).await?;
    let rows = query!(
        r#"SELECT id, digest, name, title, replicates, priority, live, paused, reason, definition,
                  submitted_at,
                  (SELECT count(*) FROM sweep_cell WHERE sweep = sweep.id) AS "cells!: i64"
           FROM sweep ORDER BY id"#
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let (counts, ended_at) = counted.get(&row.id).copied().unwrap_or_default();
            let finished = counts.done() == counts.total();
            Ok(SweepView {
                digest: rows::sweep_digest(&row.digest)?,
                name: row.name,
                title: row.title,
                state: match (row.live != 0, finished, row.paused != 0) {
                    (false, _, _) => SweepState::Cancelled,
                    (true, true, _) => SweepState::Finished,
                    (true, false, true) => SweepState::Paused,
                    (true, false, false) => SweepState::Active,
                },
                reason: row.reason,
                cells: row.cells as u64,
                replicates: row.replicates as u32,
                priority: row.priority as i32,
                counts,
                submitted_at: Timestamp::from_ms(row.submitted_at),
                finished_at: ended_at.map(Timestamp::from_ms).filter(|_| finished),
                definition: serde_json::from_str(&row.definition)?,
            })
        })
        .collect()
}

/// Per sweep, its jobs by where they are, and when the last of them ended.
async fn counts(conn: &mut SqliteConnection) -> Result<HashMap<i64, (Counts, Option<i64>)>> {
    let rows = query!(
        r#"SELECT sweep_job.sweep AS "sweep!", job.state AS "state!", job.fault, count(*) AS "jobs!: i64",
                  max(job.ended_at) AS "ended_at: i64"
           FROM sweep_job JOIN job ON job.id = sweep_job.job
           GROUP BY sweep_job.sweep, job.state, job.fault"#
    )
    .fetch_all(conn)
    .await?;
    let mut counted: HashMap<i64, (Counts, Option<i64>)> = HashMap::new();
    for row in rows {
        let (counts, ended_at) = counted.entry(row.sweep).or_default();
        let fault = rows::fault(row.fault.as_deref())?;
        counts.add(rows::state_name(&row.state)?, fault, row.jobs as u64);
        *ended_at = row.ended_at.max(*ended_at);
    }
    Ok(counted)
}

/// The files that a sweep was submitted from.
pub(crate) async fn sources(conn: &mut SqliteConnection, sweep: SweepDigest) -> Result<Sources> {
    let digest = &sweep.as_bytes()[..];
    let sources = query_scalar!("SELECT sources FROM sweep WHERE digest = ?1", digest)
        .fetch_optional(conn)
        .await?
        .ok_or_else(|| unknown(sweep))?;
    Ok(serde_json::from_str(&sources)?)
}

/// Every worker, by name.
pub(crate) async fn workers(conn: &mut SqliteConnection) -> Result<Vec<WorkerView>> {
    let rows = query!(
        r#"SELECT name, state, reason, session, seen_at, about, failed,
                  (SELECT count(*) FROM job
                   WHERE job.worker = worker.id AND job.deadline IS NOT NULL) AS "held!: i64"
           FROM worker ORDER BY name"#
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let failed: Vec<String> = serde_json::from_str(&row.failed)?;
            Ok(WorkerView {
                name: rows::worker_name(&row.name)?,
                state: worker_state(&row.state)?,
                reason: row.reason,
                session: SessionId(row.session as u64),
                seen_at: Timestamp::from_ms(row.seen_at),
                about: serde_json::from_str(&row.about)?,
                held: row.held as u64,
                failed_in_a_row: failed.len() as u32,
            })
        })
        .collect()
}

/// When the next backoff ends after `now`, of jobs that could be granted then.
pub(crate) async fn next_due(
    conn: &mut SqliteConnection,
    now: Timestamp,
) -> Result<Option<Timestamp>> {
    let now = now.as_ms();
    let due = query_scalar!(
        "SELECT not_before FROM job INDEXED BY job_backoff
         WHERE state = 'queued' AND attempt > 0 AND not_before > ?1 AND priority IS NOT NULL
         ORDER BY not_before LIMIT 1",
        now
    )
    .fetch_optional(conn)
    .await?;
    Ok(due.flatten().map(Timestamp::from_ms))
}
