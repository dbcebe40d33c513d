//! Observations and log text: row by row, so that every bit of a number and
//! every byte of a text is kept. They come once per epoch, not once per job.

use sqlx::query;
use swath_model::protocol::EPOCH;
use swath_store::columns::others;
use swath_store::{LOG_HEAD_BYTES, LOG_TAIL_BYTES, LogRow, ObservationRow, kept_text};

use crate::error::Result;
use crate::writer::Tx;

/// Inserts observations. A repeated epoch is ignored; a time that is not finite
/// is absent.
pub(super) async fn insert_observations(tx: &mut Tx, rows: &[ObservationRow]) -> Result<()> {
    for row in rows {
        let seen = &row.observation;
        let job = row.job.0;
        let step = seen.step as i64;
        let seconds = seen.seconds.filter(|seconds| seconds.is_finite());
        // A column would lose the sign of a zero.
        let keeps = |value: f64| value.to_bits() != (-0.0_f64).to_bits();
        let kept = |name| seen.values.get(name).filter(|value| keeps(*value));
        let in_columns: Vec<&str> = EPOCH.into_iter().filter(|it| kept(it).is_some()).collect();
        let [
            train_loss,
            train_error,
            test_loss,
            test_error,
            lr,
            images_per_second,
            distance,
            loss_scale,
            skipped_steps,
        ] = EPOCH.map(kept);
        let skipped_steps = skipped_steps.map(|steps| steps as i64);
        let metrics = others(&seen.values, &in_columns);
        query!(
            "INSERT INTO observation
                 (job, attempt, epoch, step, train_loss, train_error, test_loss, test_error, lr,
                  seconds, images_per_second, distance, loss_scale, skipped_steps, metrics)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
             ON CONFLICT DO NOTHING",
            job,
            row.attempt.0,
            seen.epoch,
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
            skipped_steps,
            metrics
        )
        .execute(&mut tx.conn)
        .await?;
    }
    Ok(())
}

/// Appends log text. A repeat is ignored, also of a chunk that has been dropped
/// since.
pub(super) async fn append(tx: &mut Tx, rows: &[LogRow]) -> Result<()> {
    for row in rows {
        let job = row.job.0;
        let attempt = row.attempt.0;
        let sequence = i64::try_from(row.sequence).unwrap_or(i64::MAX);
        let text = kept_text(&row.text);
        let added = query!(
            "INSERT INTO log_chunk (job, position, attempt, sequence, text)
             SELECT ?1, (SELECT coalesce(max(position), 0) + 1 FROM log_chunk WHERE job = ?1),
                    ?2, ?3, ?4
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
    }
    Ok(())
}

/// Keeps the first and the newest chunks of an attempt that fit together, and
/// drops those between.
async fn drop_old_log(tx: &mut Tx, job: i64, attempt: u32) -> Result<()> {
    let (head, tail) = (LOG_HEAD_BYTES as i64, LOG_TAIL_BYTES as i64);
    // The newest chunk always stays, because positions continue from it. What
    // came after a gap is no beginning.
    let gone = query!(
        r#"SELECT min(position) AS "first?: i64", max(position) AS "last?: i64" FROM (
               SELECT position, sequence,
                      sum(octet_length(text)) OVER (ORDER BY position) AS from_start,
                      sum(octet_length(text)) OVER (ORDER BY position DESC) AS from_end
               FROM log_chunk WHERE job = ?1 AND attempt = ?2)
           WHERE from_end > ?3 AND (from_start > ?4 OR sequence > (
               SELECT log_gone FROM attempt WHERE job = ?1 AND attempt = ?2 AND log_gone > 0))"#,
        job,
        attempt,
        tail,
        head
    )
    .fetch_one(&mut tx.conn)
    .await?;
    let (Some(first), Some(last)) = (gone.first, gone.last) else {
        return Ok(());
    };
    query!(
        "UPDATE attempt SET log_gone = max(log_gone, (
             SELECT max(sequence) FROM log_chunk
             WHERE job = ?1 AND attempt = ?2 AND position BETWEEN ?3 AND ?4))
         WHERE job = ?1 AND attempt = ?2",
        job,
        attempt,
        first,
        last
    )
    .execute(&mut tx.conn)
    .await?;
    query!(
        "DELETE FROM log_chunk
         WHERE job = ?1 AND attempt = ?2 AND position BETWEEN ?3 AND ?4",
        job,
        attempt,
        first,
        last
    )
    .execute(&mut tx.conn)
    .await?;
    Ok(())
}
