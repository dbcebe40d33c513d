//! Attempts, how they ended, and what they measured.

use sqlx::query;
use swath_model::outcome::COLUMNS;
use swath_model::time::Timestamp;
use swath_store::columns::others;
use swath_store::{
    AttemptEnd, DroppedOutcome, End, LateOutcome, LostAttempt, NewAttempt, OutcomeRow,
};

use super::{CHUNK, Known, all_written};
use crate::error::Result;
use crate::rows;
use crate::session::Session;
use crate::text;

/// Inserts new attempts.
pub(super) async fn insert(session: &mut Session, attempts: &[NewAttempt]) -> Result<()> {
    for chunk in attempts.chunks(CHUNK) {
        let jobs: Vec<i64> = chunk.iter().map(|row| row.job.0).collect();
        let numbers: Vec<i64> = chunk.iter().map(|row| row.attempt.0.into()).collect();
        let workers: Vec<i64> = chunk.iter().map(|row| row.worker.0).collect();
        let sessions = chunk.iter().map(|row| rows::session(row.session));
        let sessions: Vec<i64> = sessions.collect();
        let granted: Vec<i64> = chunk.iter().map(|row| row.granted_at.as_ms()).collect();
        query!(
            "INSERT INTO attempt (job, attempt, worker, session, granted_at)
             SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[],
                                  $5::bigint[])",
            &jobs,
            &numbers,
            &workers,
            &sessions,
            &granted
        )
        .execute(&mut *session)
        .await?;
    }
    Ok(())
}

/// Throws outcomes away, where there are any; the attempts say when that was.
pub(super) async fn drop_outcomes(session: &mut Session, dropped: &[DroppedOutcome]) -> Result<()> {
    for chunk in dropped.chunks(CHUNK) {
        let jobs: Vec<i64> = chunk.iter().map(|row| row.job.0).collect();
        let attempts: Vec<i64> = chunk.iter().map(|row| row.attempt.0.into()).collect();
        let at: Vec<i64> = chunk.iter().map(|row| row.at.as_ms()).collect();
        let done = query!(
            "UPDATE attempt SET forgotten_at = line.at
             FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS line (job, attempt, at)
             WHERE attempt.job = line.job AND attempt.attempt = line.attempt",
            &jobs,
            &attempts,
            &at
        )
        .execute(&mut *session)
        .await?;
        all_written(done.rows_affected(), chunk.len(), "attempts")?;
        query!("DELETE FROM outcome WHERE job = ANY($1::bigint[])", &jobs)
            .execute(&mut *session)
            .await?;
    }
    Ok(())
}

/// Inserts what attempts measured.
pub(super) async fn insert_outcomes(
    session: &mut Session,
    known: &Known<'_>,
    outcomes: &[OutcomeRow],
) -> Result<()> {
    for chunk in outcomes.chunks(CHUNK) {
        let jobs: Vec<i64> = chunk.iter().map(|row| row.job.0).collect();
        let attempts: Vec<i64> = chunk.iter().map(|row| row.attempt.0.into()).collect();
        let measured = || chunk.iter().map(|row| &row.measurement);
        let column =
            |name| -> Vec<Option<f64>> { measured().map(|it| it.values.get(name)).collect() };
        let [test_errors, test_losses, best] = COLUMNS.map(column);
        let seconds: Vec<f64> = measured().map(|it| it.train_seconds).collect();
        let metrics = measured().map(|it| others(&it.values, &COLUMNS));
        let metrics: Vec<Option<String>> = metrics.collect();
        let weights = measured().map(|it| it.weights.as_ref().map(|digest| &digest.as_bytes()[..]));
        let weights: Vec<Option<&[u8]>> = weights.collect();
        let provenances = chunk.iter().map(|row| known.get(&row.provenance));
        let provenances: Vec<i64> = provenances.collect::<Result<_>>()?;
        let recorded: Vec<i64> = chunk.iter().map(|row| row.recorded_at.as_ms()).collect();
        query!(
            "INSERT INTO outcome (job, attempt, test_error, test_loss, best_test_error,
                                  train_seconds, metrics, weights, provenance, recorded_at)
             SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::double precision[],
                                  $4::double precision[], $5::double precision[],
                                  $6::double precision[], $7::text[], $8::bytea[], $9::bigint[],
                                  $10::bigint[])",
            &jobs,
            &attempts,
            &test_errors as &[Option<f64>],
            &test_losses as &[Option<f64>],
            &best as &[Option<f64>],
            &seconds,
            &metrics as &[Option<String>],
            &weights as &[Option<&[u8]>],
            &provenances,
            &recorded
        )
        .execute(&mut *session)
        .await?;
    }
    Ok(())
}

/// Writes how attempts ended.
pub(super) async fn end(
    session: &mut Session,
    known: &Known<'_>,
    ends: &[AttemptEnd],
) -> Result<()> {
    for chunk in ends.chunks(CHUNK) {
        let jobs: Vec<i64> = chunk.iter().map(|row| row.job.0).collect();
        let attempts: Vec<i64> = chunk.iter().map(|row| row.attempt.0.into()).collect();
        let at: Vec<i64> = chunk.iter().map(|row| row.at.as_ms()).collect();
        let mut ended: Vec<&str> = Vec::with_capacity(chunk.len());
        let mut messages = Vec::with_capacity(chunk.len());
        let mut provenances: Vec<Option<i64>> = Vec::with_capacity(chunk.len());
        for row in chunk {
            let (name, message, provenance) = match &row.end {
                End::Released => ("released", "", None),
                End::Measured { provenance } => ("measured", "", Some(provenance)),
                End::Failed {
                    fault,
                    message,
                    provenance,
                } => (fault.name(), message.as_str(), Some(provenance)),
            };
            ended.push(name);
            messages.push(text::kept(message));
            provenances.push(provenance.map(|it| known.get(it)).transpose()?);
        }
        let messages: Vec<&str> = messages.iter().map(|message| &**message).collect();
        let done = query!(
            "UPDATE attempt SET ended_at = line.at, ended = line.ended, message = line.message,
                 provenance = line.provenance
             FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[],
                         $6::bigint[]) AS line (job, attempt, at, ended, message, provenance)
             WHERE attempt.job = line.job AND attempt.attempt = line.attempt",
            &jobs,
            &attempts,
            &at,
            &ended as &[&str],
            &messages as &[&str],
            &provenances as &[Option<i64>]
        )
        .execute(&mut *session)
        .await?;
        all_written(done.rows_affected(), chunk.len(), "attempts")?;
    }
    Ok(())
}

/// Writes which attempts were lost, and which came back.
pub(super) async fn lose(session: &mut Session, lost: &[LostAttempt]) -> Result<()> {
    for chunk in lost.chunks(CHUNK) {
        let jobs: Vec<i64> = chunk.iter().map(|row| row.job.0).collect();
        let attempts: Vec<i64> = chunk.iter().map(|row| row.attempt.0.into()).collect();
        let at: Vec<Option<i64>> = chunk
            .iter()
            .map(|row| row.at.map(Timestamp::as_ms))
            .collect();
        let done = query!(
            "UPDATE attempt SET lost_at = line.at
             FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS line (job, attempt, at)
             WHERE attempt.job = line.job AND attempt.attempt = line.attempt",
            &jobs,
            &attempts,
            &at as &[Option<i64>]
        )
        .execute(&mut *session)
        .await?;
        all_written(done.rows_affected(), chunk.len(), "attempts")?;
    }
    Ok(())
}

/// Inserts outcomes that came too late, each once.
pub(super) async fn insert_late(session: &mut Session, late: &[LateOutcome]) -> Result<()> {
    for chunk in late.chunks(CHUNK) {
        let jobs: Vec<i64> = chunk.iter().map(|row| row.job.0).collect();
        let attempts: Vec<i64> = chunk.iter().map(|row| row.attempt.0.into()).collect();
        let workers: Vec<i64> = chunk.iter().map(|row| row.worker.0).collect();
        let sessions = chunk.iter().map(|row| rows::session(row.session));
        let sessions: Vec<i64> = sessions.collect();
        let outcomes: Vec<String> = chunk.iter().map(|row| rows::json(&row.outcome)).collect();
        let provenances = chunk.iter().map(|row| rows::json(&row.provenance));
        let provenances: Vec<String> = provenances.collect();
        let recorded: Vec<i64> = chunk.iter().map(|row| row.recorded_at.as_ms()).collect();
        query!(
            "INSERT INTO late_outcome
                 (job, attempt, worker, session, outcome, provenance, recorded_at)
             SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[],
                                  $5::text[], $6::text[], $7::bigint[])
             ON CONFLICT DO NOTHING",
            &jobs,
            &attempts,
            &workers,
            &sessions,
            &outcomes,
            &provenances,
            &recorded
        )
        .execute(&mut *session)
        .await?;
    }
    Ok(())
}
