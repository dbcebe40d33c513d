//! What attempts report while they run: observations and log text.

use sqlx::query;
use swath_model::protocol::EPOCH;
use swath_store::columns::others;
use swath_store::{LOG_HEAD_BYTES, LOG_TAIL_BYTES, LogRow, ObservationRow, kept_text};

use super::CHUNK;
use crate::error::Result;
use crate::session::Session;
use crate::text;

/// Inserts epochs; a repeat is ignored, and a time that is not finite is absent.
pub(super) async fn insert_observations(
    session: &mut Session,
    observations: &[ObservationRow],
) -> Result<()> {
    for chunk in observations.chunks(CHUNK) {
        let jobs: Vec<i64> = chunk.iter().map(|row| row.job.0).collect();
        let attempts: Vec<i64> = chunk.iter().map(|row| row.attempt.0.into()).collect();
        let seen = || chunk.iter().map(|row| &row.observation);
        let epochs: Vec<i64> = seen().map(|it| it.epoch.into()).collect();
        let steps: Vec<i64> = seen().map(|it| it.step as i64).collect();
        let seconds = seen().map(|it| it.seconds.filter(|seconds| seconds.is_finite()));
        let seconds: Vec<Option<f64>> = seconds.collect();
        let column = |name| -> Vec<Option<f64>> { seen().map(|it| it.values.get(name)).collect() };
        let [
            train_losses,
            train_errors,
            test_losses,
            test_errors,
            lrs,
            speeds,
            distances,
            loss_scales,
            skipped,
        ] = EPOCH.map(column);
        let skipped = skipped.into_iter().map(|it| it.map(|steps| steps as i64));
        let skipped: Vec<Option<i64>> = skipped.collect();
        let metrics = seen().map(|it| others(&it.values, &EPOCH));
        let metrics: Vec<Option<String>> = metrics.collect();
        query!(
            "INSERT INTO observation
                 (job, attempt, epoch, step, train_loss, train_error, test_loss, test_error, lr,
                  seconds, images_per_second, distance, loss_scale, skipped_steps,
                  metrics)
             SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[],
                 $5::double precision[], $6::double precision[], $7::double precision[],
                 $8::double precision[], $9::double precision[], $10::double precision[],
                 $11::double precision[], $12::double precision[], $13::double precision[],
                 $14::bigint[], $15::text[])
             ON CONFLICT DO NOTHING",
            &jobs,
            &attempts,
            &epochs,
            &steps,
            &train_losses as &[Option<f64>],
            &train_errors as &[Option<f64>],
            &test_losses as &[Option<f64>],
            &test_errors as &[Option<f64>],
            &lrs as &[Option<f64>],
            &seconds as &[Option<f64>],
            &speeds as &[Option<f64>],
            &distances as &[Option<f64>],
            &loss_scales as &[Option<f64>],
            &skipped as &[Option<i64>],
            &metrics as &[Option<String>]
        )
        .execute(&mut *session)
        .await?;
    }
    Ok(())
}

/// Appends pieces of logs. A repeat is ignored, also of a piece that has been
/// dropped since.
pub(super) async fn append(session: &mut Session, logs: &[LogRow]) -> Result<()> {
    // Each may have as many bytes as are kept in total.
    for chunk in logs.chunks(256) {
        let jobs: Vec<i64> = chunk.iter().map(|row| row.job.0).collect();
        let attempts: Vec<i64> = chunk.iter().map(|row| row.attempt.0.into()).collect();
        let sequences = chunk.iter().map(|row| row.sequence);
        let sequences = sequences.map(|it| i64::try_from(it).unwrap_or(i64::MAX));
        let sequences: Vec<i64> = sequences.collect();
        let texts = chunk.iter().map(|row| text::kept(kept_text(&row.text)));
        let texts: Vec<_> = texts.collect();
        let texts: Vec<&str> = texts.iter().map(|text| &**text).collect();
        // Positions continue from the newest piece of the job, which always
        // stays.
        query!(
            "INSERT INTO log_chunk (job, position, attempt, sequence, text)
             SELECT fresh.job,
                    (SELECT coalesce(max(position), 0) FROM log_chunk
                     WHERE log_chunk.job = fresh.job)
                        + row_number() OVER (PARTITION BY fresh.job ORDER BY fresh.place),
                    fresh.attempt, fresh.sequence, fresh.text
             FROM (
                 SELECT DISTINCT ON (line.job, line.attempt, line.sequence) line.*
                 FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[])
                     WITH ORDINALITY AS line (job, attempt, sequence, text, place)
                 JOIN attempt ON attempt.job = line.job AND attempt.attempt = line.attempt
                 WHERE line.sequence > attempt.log_gone AND NOT EXISTS (
                     SELECT 1 FROM log_chunk
                     WHERE log_chunk.job = line.job AND log_chunk.attempt = line.attempt
                       AND log_chunk.sequence = line.sequence)
                 ORDER BY line.job, line.attempt, line.sequence, line.place) AS fresh",
            &jobs,
            &attempts,
            &sequences,
            &texts as &[&str]
        )
        .execute(&mut *session)
        .await?;
        drop_old(session, &jobs, &attempts).await?;
    }
    Ok(())
}

/// Keeps the first and the newest pieces of these attempts that fit together,
/// and drops those between. What came after a gap is no beginning.
async fn drop_old(session: &mut Session, jobs: &[i64], attempts: &[i64]) -> Result<()> {
    query!(
        "WITH touched AS (
             SELECT DISTINCT line.job, line.attempt
             FROM unnest($1::bigint[], $2::bigint[]) AS line (job, attempt)),
         sized AS (
             SELECT log_chunk.job, log_chunk.attempt, log_chunk.position, log_chunk.sequence,
                    attempt.log_gone,
                    sum(told_octets(log_chunk.text)) OVER (
                        PARTITION BY log_chunk.job, log_chunk.attempt
                        ORDER BY log_chunk.position) AS from_start,
                    sum(told_octets(log_chunk.text)) OVER (
                        PARTITION BY log_chunk.job, log_chunk.attempt
                        ORDER BY log_chunk.position DESC) AS from_end
             FROM touched
             JOIN log_chunk ON log_chunk.job = touched.job AND log_chunk.attempt = touched.attempt
             JOIN attempt ON attempt.job = touched.job AND attempt.attempt = touched.attempt),
         gone AS (
             SELECT job, attempt, position, sequence FROM sized
             WHERE from_end > $3
               AND (from_start > $4 OR (log_gone > 0 AND sequence > log_gone))),
         noted AS (
             UPDATE attempt SET log_gone = greatest(attempt.log_gone, newest.sequence)
             FROM (SELECT job, attempt, max(sequence) AS sequence FROM gone
                   GROUP BY job, attempt) AS newest
             WHERE attempt.job = newest.job AND attempt.attempt = newest.attempt)
         DELETE FROM log_chunk USING gone
         WHERE log_chunk.job = gone.job AND log_chunk.position = gone.position",
        jobs,
        attempts,
        LOG_TAIL_BYTES as i64 as _,
        LOG_HEAD_BYTES as i64 as _
    )
    .execute(session)
    .await?;
    Ok(())
}
