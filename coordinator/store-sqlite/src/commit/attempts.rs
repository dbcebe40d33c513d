//! Attempts, how they ended, and what they measured.

use sqlx::{query, query_scalar};
use swath_model::id::WeightsDigest;
use swath_model::outcome::{COLUMNS, Provenance};
use swath_model::time::Timestamp;
use swath_store::columns::others;
use swath_store::{
    AttemptEnd, DroppedOutcome, End, LateOutcome, LostAttempt, NewAttempt, OutcomeRow,
};

use super::all_written;
use super::pack::{Beside, chunks, lines};
use crate::error::Result;
use crate::rows;
use crate::writer::Tx;

/// How many provenances are kept with their keys: each is a kind of machine,
/// and the newest are in use.
const PROVENANCES: usize = 32;

pub(super) async fn insert(tx: &mut Tx, attempts: &[NewAttempt]) -> Result<()> {
    for attempts in chunks(attempts, |_| 0) {
        let list = attempts.iter().map(|it| {
            let session = rows::session(it.session);
            (
                it.job.0,
                it.attempt,
                it.worker.0,
                session,
                it.granted_at.as_ms(),
            )
        });
        let list = lines(&list.collect::<Vec<_>>());
        query!(
            "INSERT INTO attempt (job, attempt, worker, session, granted_at)
             SELECT line.value ->> 0, line.value ->> 1, line.value ->> 2, line.value ->> 3,
                    line.value ->> 4
             FROM jsonb_each(?1) AS line",
            list
        )
        .execute(&mut tx.conn)
        .await?;
    }
    Ok(())
}

/// Throws outcomes away, where there are any; the attempts say when that was.
pub(super) async fn drop_outcomes(tx: &mut Tx, dropped: &[DroppedOutcome]) -> Result<()> {
    for dropped in chunks(dropped, |_| 0) {
        let list = dropped
            .iter()
            .map(|it| (it.job.0, it.attempt, it.at.as_ms()));
        let list = lines(&list.collect::<Vec<_>>());
        let written = query!(
            "WITH line AS MATERIALIZED (SELECT value FROM json_each(?1))
             UPDATE attempt SET forgotten_at = line.value ->> 2
             FROM line
             WHERE attempt.job = line.value ->> 0 AND attempt.attempt = line.value ->> 1",
            list
        )
        .execute(&mut tx.conn)
        .await?
        .rows_affected();
        all_written("attempts", written, dropped.len())?;
        query!(
            "DELETE FROM outcome WHERE job IN (SELECT value ->> 0 FROM json_each(?1))",
            list
        )
        .execute(&mut tx.conn)
        .await?;
    }
    Ok(())
}

/// Inserts outcomes. Their numbers go as bits: in JSON they could lose their last
/// digits.
pub(super) async fn insert_outcomes(tx: &mut Tx, outcomes: &[OutcomeRow]) -> Result<()> {
    for outcomes in chunks(outcomes, |_| 256) {
        let mut beside = Beside::default();
        let mut list = Vec::with_capacity(outcomes.len());
        for row in outcomes {
            let provenance = provenance(tx, &row.provenance).await?;
            let measured = &row.measurement;
            let bits = beside.add(rows::measurement_bits(measured));
            let weights = beside.add_some(measured.weights.as_ref().map(WeightsDigest::as_bytes));
            list.push((
                row.job.0,
                row.attempt,
                bits.0,
                provenance,
                row.recorded_at.as_ms(),
                others(&measured.values, &COLUMNS),
                weights.0,
            ));
        }
        let (list, beside) = (lines(&list), beside.as_slice());
        query!(
            "INSERT INTO outcome
                 (job, attempt, bits, provenance, recorded_at, metrics, weights)
             SELECT line.value ->> 0, line.value ->> 1, substr(?2, line.value ->> 2, 32),
                    line.value ->> 3, line.value ->> 4, line.value ->> 5,
                    substr(?2, line.value ->> 6, 32)
             FROM jsonb_each(?1) AS line",
            list,
            beside
        )
        .execute(&mut tx.conn)
        .await?;
    }
    Ok(())
}

pub(super) async fn end(tx: &mut Tx, ends: &[AttemptEnd]) -> Result<()> {
    for ends in chunks(ends, |it| message(&it.end).len()) {
        let mut beside = Beside::default();
        let mut list = Vec::with_capacity(ends.len());
        for it in ends {
            let (ended, provenance) = match &it.end {
                End::Released => ("released", None),
                End::Measured { provenance } => ("measured", Some(provenance)),
                End::Failed {
                    fault, provenance, ..
                } => (fault.name(), Some(provenance)),
            };
            let provenance = match provenance {
                Some(it) => Some(self::provenance(tx, it).await?),
                None => None,
            };
            let message = beside.add(message(&it.end));
            let at = it.at.as_ms();
            list.push((
                it.job.0, it.attempt, at, ended, message.0, message.1, provenance,
            ));
        }
        let (list, beside) = (lines(&list), beside.as_slice());
        let written = query!(
            "WITH line AS MATERIALIZED (SELECT value FROM json_each(?1))
             UPDATE attempt SET
                 ended_at = line.value ->> 2, ended = line.value ->> 3,
                 message = CAST(substr(?2, line.value ->> 4, line.value ->> 5) AS TEXT),
                 provenance = line.value ->> 6
             FROM line
             WHERE attempt.job = line.value ->> 0 AND attempt.attempt = line.value ->> 1",
            list,
            beside
        )
        .execute(&mut tx.conn)
        .await?
        .rows_affected();
        all_written("attempts", written, ends.len())?;
    }
    Ok(())
}

pub(super) async fn lose(tx: &mut Tx, lost: &[LostAttempt]) -> Result<()> {
    for lost in chunks(lost, |_| 0) {
        let list = lost
            .iter()
            .map(|it| (it.job.0, it.attempt, it.at.map(Timestamp::as_ms)));
        let list = lines(&list.collect::<Vec<_>>());
        let written = query!(
            "WITH line AS MATERIALIZED (SELECT value FROM json_each(?1))
             UPDATE attempt SET lost_at = line.value ->> 2
             FROM line
             WHERE attempt.job = line.value ->> 0 AND attempt.attempt = line.value ->> 1",
            list
        )
        .execute(&mut tx.conn)
        .await?
        .rows_affected();
        all_written("attempts", written, lost.len())?;
    }
    Ok(())
}

fn message(end: &End) -> &str {
    match end {
        End::Failed { message, .. } => message,
        End::Released | End::Measured { .. } => "",
    }
}

pub(super) async fn keep_late(tx: &mut Tx, late: &[LateOutcome]) -> Result<()> {
    // The other columns of an outcome are about this long.
    let bytes = |it: &LateOutcome| match &it.outcome {
        swath_model::outcome::Outcome::Failed { message, .. } => message.len() + 512,
        swath_model::outcome::Outcome::Measured(_) => 1024,
    };
    for late in chunks(late, bytes) {
        let mut beside = Beside::default();
        let mut list = Vec::with_capacity(late.len());
        for it in late {
            let outcome = beside.add(rows::json(&it.outcome));
            let provenance = beside.add(rows::json(&it.provenance));
            list.push((
                it.job.0,
                it.attempt,
                it.worker.0,
                rows::session(it.session),
                outcome.0,
                outcome.1,
                provenance.0,
                provenance.1,
                it.recorded_at.as_ms(),
            ));
        }
        let (list, beside) = (lines(&list), beside.as_slice());
        query!(
            "INSERT INTO late_outcome
                 (job, attempt, worker, session, outcome, provenance, recorded_at)
             SELECT line.value ->> 0, line.value ->> 1, line.value ->> 2, line.value ->> 3,
                    CAST(substr(?2, line.value ->> 4, line.value ->> 5) AS TEXT),
                    CAST(substr(?2, line.value ->> 6, line.value ->> 7) AS TEXT), line.value ->> 8
             FROM jsonb_each(?1) AS line
             WHERE true
             ON CONFLICT DO NOTHING",
            list,
            beside
        )
        .execute(&mut tx.conn)
        .await?;
    }
    Ok(())
}

/// The key of a provenance, which is stored once.
async fn provenance(tx: &mut Tx, provenance: &Provenance) -> Result<i64> {
    let mut known = tx.provenances.iter();
    if let Some((_, id)) = known.find(|(known, _)| known == provenance) {
        return Ok(*id);
    }
    let id = find_or_insert(tx, provenance).await?;
    tx.provenances.truncate(PROVENANCES - 1);
    tx.provenances.insert(0, (provenance.clone(), id));
    Ok(id)
}

async fn find_or_insert(tx: &mut Tx, provenance: &Provenance) -> Result<i64> {
    let Provenance {
        device,
        driver,
        libtorch,
        trainer,
        threads,
        determinism,
    } = provenance;
    let id = query_scalar!(
        "SELECT id FROM provenance
         WHERE device = ?1 AND driver = ?2 AND libtorch = ?3 AND trainer = ?4 AND threads = ?5
           AND determinism = ?6",
        device,
        driver,
        libtorch,
        trainer,
        threads,
        determinism
    )
    .fetch_optional(&mut tx.conn)
    .await?;
    if let Some(id) = id {
        return Ok(id);
    }
    let new = query!(
        "INSERT INTO provenance (device, driver, libtorch, trainer, threads, determinism)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        device,
        driver,
        libtorch,
        trainer,
        threads,
        determinism
    )
    .execute(&mut tx.conn)
    .await?;
    Ok(new.last_insert_rowid())
}
