//! What operators do to sweeps and jobs.

use sqlx::{query, query_scalar};
use swath_core::id::{JobDigest, SweepDigest};
use swath_core::job::{Applied, Event};
use swath_core::message::SweepChange;
use swath_core::time::Timestamp;
use swath_store::StoreError;

use crate::error::{Failure, Result};
use crate::workset::Workset;
use crate::writer::Tx;

/// Changes a sweep; its jobs follow.
pub(crate) async fn change(
    tx: &mut Tx,
    now: Timestamp,
    digest: SweepDigest,
    change: SweepChange,
) -> Result<()> {
    let bytes = &digest.as_bytes()[..];
    let row = query!("SELECT id, live FROM sweep WHERE digest = ?1", bytes)
        .fetch_optional(&mut tx.conn)
        .await?
        .ok_or_else(|| unknown(digest))?;
    let sweep = row.id;
    match (row.live != 0, change) {
        (true, SweepChange::Cancel) => cancel(tx, now, sweep).await,
        (true, SweepChange::Pause { reason }) => pause(tx, sweep, &reason).await,
        (true, SweepChange::Resume) => {
            query!(
                "UPDATE sweep SET paused = 0, reason = '' WHERE id = ?1",
                sweep
            )
            .execute(&mut tx.conn)
            .await?;
            update_priorities(tx, sweep).await
        }
        (true, SweepChange::Priority(priority)) => {
            query!(
                "UPDATE sweep SET priority = ?2 WHERE id = ?1",
                sweep,
                priority
            )
            .execute(&mut tx.conn)
            .await?;
            update_priorities(tx, sweep).await
        }
        (false, SweepChange::Cancel) => Ok(()),
        (false, _) => Err(StoreError::Conflict(format!(
            "sweep {} is cancelled; submit it again",
            digest.short()
        ))
        .into()),
    }
}

/// That there is no such sweep.
pub(crate) fn unknown(sweep: SweepDigest) -> Failure {
    Failure::Refused(StoreError::NotFound(format!("sweep {}", sweep.short())))
}

/// Its jobs are not granted any more.
pub(crate) async fn pause(tx: &mut Tx, sweep: i64, reason: &str) -> Result<()> {
    query!(
        "UPDATE sweep SET paused = 1, reason = ?2 WHERE id = ?1",
        sweep,
        reason
    )
    .execute(&mut tx.conn)
    .await?;
    update_priorities(tx, sweep).await
}

/// Sets `job.priority` anew for the jobs of a sweep, as
/// `swath_core::judge::priority` has it.
pub(crate) async fn update_priorities(tx: &mut Tx, sweep: i64) -> Result<()> {
    query!(
        "UPDATE job SET priority = (
             SELECT max(sweep.priority) FROM sweep_cell
             JOIN sweep ON sweep.id = sweep_cell.sweep
             WHERE sweep_cell.cell = job.cell AND sweep_cell.replicates >= job.replicate
               AND sweep.live = 1 AND sweep.paused = 0)
         WHERE job.cell IN (SELECT cell FROM sweep_cell WHERE sweep = ?1)
           AND job.state <> 'succeeded'",
        sweep
    )
    .execute(&mut tx.conn)
    .await?;
    Ok(())
}

/// Cancels a sweep and those of its jobs that no other live sweep needs.
async fn cancel(tx: &mut Tx, now: Timestamp, sweep: i64) -> Result<()> {
    query!("UPDATE sweep SET live = 0 WHERE id = ?1", sweep)
        .execute(&mut tx.conn)
        .await?;
    // Event::Cancel for all that wait, in one statement: they can be very many.
    let now_ms = now.as_ms();
    query!(
        "UPDATE job SET state = 'cancelled', not_before = NULL, ended_at = ?2
         WHERE job.state = 'queued'
           AND EXISTS (
               SELECT 1 FROM sweep_cell
               WHERE sweep_cell.sweep = ?1 AND sweep_cell.cell = job.cell
                 AND sweep_cell.replicates >= job.replicate)
           AND job.cell IN (SELECT cell FROM sweep_cell WHERE sweep = ?1)
           AND NOT EXISTS (
               SELECT 1 FROM sweep_cell JOIN sweep ON sweep.id = sweep_cell.sweep
               WHERE sweep_cell.cell = job.cell AND sweep_cell.replicates >= job.replicate
                 AND sweep.live = 1)",
        sweep,
        now_ms
    )
    .execute(&mut tx.conn)
    .await?;
    let open = query_scalar!(
        r#"SELECT job.id AS "id!" FROM job
           WHERE job.deadline IS NOT NULL
             AND EXISTS (
                 SELECT 1 FROM sweep_cell
                 WHERE sweep_cell.sweep = ?1 AND sweep_cell.cell = job.cell
                   AND sweep_cell.replicates >= job.replicate)
             AND NOT EXISTS (
                 SELECT 1 FROM sweep_cell JOIN sweep ON sweep.id = sweep_cell.sweep
                 WHERE sweep_cell.cell = job.cell AND sweep_cell.replicates >= job.replicate
                   AND sweep.live = 1)"#,
        sweep
    )
    .fetch_all(&mut tx.conn)
    .await?;
    apply_to(tx, now, &open, &Event::Cancel).await?;
    update_priorities(tx, sweep).await
}

/// Wants all jobs of a sweep.
pub(crate) async fn want(tx: &mut Tx, now: Timestamp, sweep: i64) -> Result<()> {
    let open = query_scalar!(
        r#"SELECT job.id AS "id!" FROM sweep_job JOIN job ON job.id = sweep_job.job
           WHERE sweep_job.sweep = ?1 AND job.stop = 1"#,
        sweep
    )
    .fetch_all(&mut tx.conn)
    .await?;
    apply_to(tx, now, &open, &Event::Want).await?;
    // Event::Want for all that are cancelled, in one statement.
    let now = now.as_ms();
    query!(
        "UPDATE job SET state = 'queued', not_before = ?2, grants = 0, charged = 0,
             failed_on = NULL, closed = 1, faulted = NULL, ended_at = NULL
         WHERE job.state = 'cancelled'
           AND job.id IN (SELECT job FROM sweep_job WHERE sweep = ?1)",
        sweep,
        now
    )
    .execute(&mut tx.conn)
    .await?;
    Ok(())
}

/// Applies an event that is never refused.
pub(crate) async fn apply_to(
    tx: &mut Tx,
    now: Timestamp,
    ids: &[i64],
    event: &Event<'_>,
) -> Result<()> {
    let mut jobs = Workset::default();
    jobs.load(tx, ids).await?;
    for id in ids {
        let _applied = jobs.apply(*id, event, now, &tx.policy);
    }
    jobs.flush(tx).await
}

/// Cancels jobs, whatever sweeps want them; says how many changed.
pub(crate) async fn cancel_jobs(
    tx: &mut Tx,
    now: Timestamp,
    digests: Vec<JobDigest>,
) -> Result<u64> {
    let mut jobs = Workset::default();
    jobs.load_digests(tx, digests.iter().copied()).await?;
    let mut changed = 0;
    for id in digests
        .into_iter()
        .filter_map(|digest| jobs.id(digest))
        .collect::<Vec<_>>()
    {
        let applied = jobs.apply(id, &Event::Cancel, now, &tx.policy);
        changed += u64::from(applied == Ok(Applied::Changed));
    }
    jobs.flush(tx).await?;
    Ok(changed)
}

/// Queues failed and cancelled jobs again; says how many changed.
pub(crate) async fn retry_jobs(
    tx: &mut Tx,
    now: Timestamp,
    digests: Vec<JobDigest>,
) -> Result<u64> {
    let mut jobs = Workset::default();
    jobs.load_digests(tx, digests.iter().copied()).await?;
    let mut changed = 0;
    for digest in digests {
        let Some(id) = jobs.id(digest) else { continue };
        if jobs.apply(id, &Event::Retry, now, &tx.policy) == Ok(Applied::Changed) {
            changed += 1;
            revive_holder(tx, id).await?;
        }
    }
    jobs.flush(tx).await?;
    Ok(changed)
}

/// Makes the newest sweep that holds a job live if none is: what waits must be
/// needed, or it would wait for ever.
async fn revive_holder(tx: &mut Tx, job: i64) -> Result<()> {
    let holder = query!(
        r#"SELECT max(sweep.live) AS "live: i64", max(sweep.id) AS "newest: i64"
           FROM job
           JOIN sweep_cell ON sweep_cell.cell = job.cell
               AND sweep_cell.replicates >= job.replicate
           JOIN sweep ON sweep.id = sweep_cell.sweep
           WHERE job.id = ?1"#,
        job
    )
    .fetch_one(&mut tx.conn)
    .await?;
    let (Some(0), Some(newest)) = (holder.live, holder.newest) else {
        return Ok(());
    };
    query!(
        "UPDATE sweep SET live = 1, paused = 0, reason = '' WHERE id = ?1",
        newest
    )
    .execute(&mut tx.conn)
    .await?;
    update_priorities(tx, newest).await
}
