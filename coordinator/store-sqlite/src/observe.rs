//! Observations and log text of attempts that count.

use sqlx::query;
use swath_core::id::Owner;
use swath_core::message::{Held, Report, Verdict};
use swath_core::outcome::Observation;
use swath_core::time::Timestamp;
use swath_core::view::WorkerState;

use crate::error::Result;
use crate::lease::verdict;
use crate::worker::Worker;
use crate::workset::Workset;
use crate::writer::Tx;

/// Bytes of log text kept per attempt: its tail, where a failure explains
/// itself.
const LOG_KEPT: i64 = 64 * 1024;

/// Stores what attempts have to tell on their way.
pub(crate) async fn observe(
    tx: &mut Tx,
    now: Timestamp,
    owner: &Owner,
    reports: Vec<Report>,
) -> Result<Vec<Verdict>> {
    let worker = Worker::newest(tx, owner).await?;
    worker.heard(tx, now).await?;
    let draining = worker.state == WorkerState::Draining;
    let mut jobs = Workset::default();
    jobs.load_digests(tx, reports.iter().map(|report| report.held.job))
        .await?;
    let mut verdicts = Vec::with_capacity(reports.len());
    for report in reports {
        let Held { job, attempt } = report.held;
        let counts = |id: &i64| {
            jobs.get(*id)
                .is_some_and(|entry| entry.job.holds(attempt, owner))
        };
        let Some(id) = jobs.id(job).filter(counts) else {
            verdicts.push(Verdict::Fenced);
            continue;
        };
        for observation in &report.observations {
            insert(tx, id, attempt.0, observation).await?;
        }
        if report.log_sequence > 0 {
            append_log(tx, id, attempt.0, report.log_sequence, &report.log).await?;
        }
        verdicts.push(verdict(&jobs, id, draining));
    }
    Ok(verdicts)
}

/// A repeat of an epoch is ignored; what is not finite is absent.
async fn insert(tx: &mut Tx, job: i64, attempt: u32, observation: &Observation) -> Result<()> {
    let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
    let step = observation.step as i64;
    let train_loss = finite(observation.train_loss);
    let train_error = finite(observation.train_error);
    let test_loss = finite(observation.test_loss);
    let test_error = finite(observation.test_error);
    let lr = finite(observation.lr);
    let seconds = finite(observation.seconds);
    let images_per_second = finite(observation.images_per_second);
    let distance = finite(observation.distance);
    let loss_scale = finite(observation.loss_scale);
    let skipped_steps = observation.skipped_steps.map(|steps| steps as i64);
    query!(
        "INSERT INTO observation
             (job, attempt, epoch, step, train_loss, train_error, test_loss, test_error, lr,
              seconds, images_per_second, distance, loss_scale, skipped_steps)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
         ON CONFLICT DO NOTHING",
        job,
        attempt,
        observation.epoch,
        step,
        train_loss,
        train_error,
        test_loss,
        test_error,
        lr,
        seconds,
        images_per_second,
        distance,
        loss_scale,
        skipped_steps
    )
    .execute(&mut tx.conn)
    .await?;
    Ok(())
}

/// A repeat is ignored, also of a chunk that had to make room since.
async fn append_log(tx: &mut Tx, job: i64, attempt: u32, sequence: u64, text: &str) -> Result<()> {
    let sequence = i64::try_from(sequence).unwrap_or(i64::MAX);
    let text = tail(text, LOG_KEPT as usize);
    let added = query!(
        "INSERT INTO log_chunk (job, position, attempt, sequence, text)
         SELECT ?1, (SELECT coalesce(max(position), 0) + 1 FROM log_chunk WHERE job = ?1), ?2, ?3, ?4
         WHERE ?3 > (SELECT log_gone FROM attempt WHERE job = ?1 AND attempt = ?2)
         ON CONFLICT DO NOTHING",
        job,
        attempt,
        sequence,
        text
    )
    .execute(&mut tx.conn)
    .await?
    .rows_affected();
    if added > 0 {
        drop_old_log(tx, job, attempt).await?;
    }
    Ok(())
}

/// Keeps the newest chunks of an attempt that fit together.
async fn drop_old_log(tx: &mut Tx, job: i64, attempt: u32) -> Result<()> {
    // The newest chunk always stays: positions go on from it.
    let gone = sqlx::query_scalar!(
        r#"SELECT max(position) AS "position?: i64" FROM (
               SELECT position, sum(octet_length(text)) OVER (ORDER BY position DESC) AS bytes
               FROM log_chunk WHERE job = ?1 AND attempt = ?2)
           WHERE bytes > ?3"#,
        job,
        attempt,
        LOG_KEPT
    )
    .fetch_one(&mut tx.conn)
    .await?;
    let Some(gone) = gone else {
        return Ok(());
    };
    query!(
        "UPDATE attempt SET log_gone = max(log_gone, (
             SELECT max(sequence) FROM log_chunk
             WHERE job = ?1 AND attempt = ?2 AND position <= ?3))
         WHERE job = ?1 AND attempt = ?2",
        job,
        attempt,
        gone
    )
    .execute(&mut tx.conn)
    .await?;
    query!(
        "DELETE FROM log_chunk WHERE job = ?1 AND attempt = ?2 AND position <= ?3",
        job,
        attempt,
        gone
    )
    .execute(&mut tx.conn)
    .await?;
    Ok(())
}

/// The last `bytes` of a text, from a character on.
fn tail(text: &str, bytes: usize) -> &str {
    let from = text.len().saturating_sub(bytes);
    let from = (from..text.len())
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(text.len());
    &text[from..]
}
