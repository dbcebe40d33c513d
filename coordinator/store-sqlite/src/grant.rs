//! Jobs out.

use serde_json::json;
use sqlx::{query, query_scalar};
use swath_core::id::{Attempt, Owner};
use swath_core::job::Event;
use swath_core::message::{Grant, Held};
use swath_core::spec;
use swath_core::time::Timestamp;
use swath_core::view::WorkerState;

use crate::error::{Failure, Result};
use crate::rows;
use crate::worker::Worker;
use crate::workset::Workset;
use crate::writer::Tx;

/// A grant whose spec is not written out yet: that needs no transaction.
#[derive(Debug)]
pub(crate) struct RawGrant {
    held: Held,
    seed: i64,
    cell: String,
}

impl RawGrant {
    /// With the job's spec.
    pub(crate) fn write_out(self) -> Grant {
        Grant {
            held: self.held,
            // A submit refuses cells whose text has no place for a seed.
            spec: spec::job_text(&self.cell, self.seed as u64).unwrap_or_default(),
        }
    }
}

/// What a worker asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub(crate) request: u64,
    pub(crate) want: u32,
}

/// Grants what is due, or again what this request was granted before.
pub(crate) async fn grants(
    tx: &mut Tx,
    now: Timestamp,
    owner: &Owner,
    worker: &Worker,
    wish: Wish,
    jobs: &mut Workset,
) -> Result<Vec<RawGrant>> {
    // A name only: the bits may come back negative.
    let request = wish.request as i64;
    let before = query_scalar!(
        "SELECT grants FROM grant_request WHERE worker = ?1 AND session = ?2 AND request = ?3",
        worker.id,
        worker.session,
        request
    )
    .fetch_optional(&mut tx.conn)
    .await?;
    if let Some(before) = before {
        let granted: Vec<(i64, u32)> = serde_json::from_str(&before)?;
        return again(tx, owner, &granted, jobs).await;
    }
    if worker.state != WorkerState::Active || wish.want == 0 {
        return Ok(Vec::new());
    }
    let granted = grant_due(tx, now, owner, worker, wish.want, jobs).await?;
    if !granted.is_empty() {
        remember(tx, worker, request, &granted).await?;
    }
    Ok(granted.into_iter().map(|(_, grant)| grant).collect())
}

/// Those grants that the session still has, in the order of the first time.
async fn again(
    tx: &mut Tx,
    owner: &Owner,
    granted: &[(i64, u32)],
    jobs: &mut Workset,
) -> Result<Vec<RawGrant>> {
    let ids: Vec<i64> = granted.iter().map(|(id, _)| *id).collect();
    jobs.load(tx, &ids).await?;
    let mut grants = Vec::new();
    for (id, attempt) in granted {
        let attempt = Attempt(*attempt);
        let held = jobs.get(*id).filter(|entry| {
            let lease = entry.job.lease();
            entry.job.attempt == attempt && lease.is_some_and(|lease| lease.owner == *owner)
        });
        let Some(entry) = held else { continue };
        let row = query!(
            "SELECT job.seed, cell.spec FROM job JOIN cell ON cell.id = job.cell WHERE job.id = ?1",
            id
        )
        .fetch_one(&mut tx.conn)
        .await?;
        grants.push(RawGrant {
            held: Held {
                job: entry.digest,
                attempt,
            },
            seed: row.seed,
            cell: row.spec,
        });
    }
    Ok(grants)
}

async fn grant_due(
    tx: &mut Tx,
    now: Timestamp,
    owner: &Owner,
    worker: &Worker,
    want: u32,
    jobs: &mut Workset,
) -> Result<Vec<(i64, RawGrant)>> {
    let at = now.as_ms();
    let due = query!(
        r#"SELECT job.id AS "id!", job.seed, cell.spec
           FROM job INDEXED BY job_queue
           CROSS JOIN cell ON cell.id = job.cell
           WHERE job.state = 'queued' AND job.priority IS NOT NULL AND job.not_before <= ?1
             AND (cell.program IS NULL OR cell.program IN (SELECT value FROM json_each(?2)))
           ORDER BY job.priority DESC, job.id
           LIMIT ?3"#,
        at,
        worker.programs,
        want
    )
    .fetch_all(&mut tx.conn)
    .await?;
    let ids: Vec<i64> = due.iter().map(|row| row.id).collect();
    jobs.load(tx, &ids).await?;
    let grant = Event::Grant {
        owner: owner.clone(),
    };
    let mut granted = Vec::with_capacity(due.len());
    for row in due {
        let applied = jobs.apply(row.id, &grant, now, &tx.policy);
        let (Ok(_), Some(entry)) = (applied, jobs.get(row.id)) else {
            return Err(Failure::Damaged(format!("job {} is not queued", row.id)));
        };
        let held = Held {
            job: entry.digest,
            attempt: entry.job.attempt,
        };
        jobs.set_unmentioned(row.id, 0);
        let grant = RawGrant {
            held,
            seed: row.seed,
            cell: row.spec,
        };
        granted.push((row.id, grant));
    }
    insert_attempts(tx, now, worker, &granted).await?;
    jobs.flush(tx).await?;
    Ok(granted)
}

async fn insert_attempts(
    tx: &mut Tx,
    now: Timestamp,
    worker: &Worker,
    granted: &[(i64, RawGrant)],
) -> Result<()> {
    if granted.is_empty() {
        return Ok(());
    }
    let attempts = pairs(granted);
    let now = now.as_ms();
    query!(
        "INSERT INTO attempt (job, attempt, worker, session, granted_at)
         SELECT line.value ->> 0, line.value ->> 1, ?2, ?3, ?4 FROM json_each(?1) AS line",
        attempts,
        worker.id,
        worker.session,
        now
    )
    .execute(&mut tx.conn)
    .await?;
    Ok(())
}

/// Notes the grants of a request; a trigger forgets those of old ones.
async fn remember(
    tx: &mut Tx,
    worker: &Worker,
    request: i64,
    granted: &[(i64, RawGrant)],
) -> Result<()> {
    let grants = pairs(granted);
    query!(
        "INSERT INTO grant_request (worker, session, request, grants) VALUES (?1, ?2, ?3, ?4)",
        worker.id,
        worker.session,
        request,
        grants
    )
    .execute(&mut tx.conn)
    .await?;
    Ok(())
}

/// JSON array of [job, attempt].
fn pairs(granted: &[(i64, RawGrant)]) -> String {
    let pairs: Vec<_> = granted
        .iter()
        .map(|(id, grant)| json!([id, grant.held.attempt]))
        .collect();
    rows::json(&pairs)
}
