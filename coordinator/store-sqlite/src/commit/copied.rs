//! What only a copy of another store must write: row by row, so that every byte
//! of a text is kept.

use sqlx::query;
use swath_store::{Copied, CopiedLog, Copying, LogGone};

use super::all_written;
use crate::error::Result;
use crate::rows;
use crate::writer::Tx;

pub(super) async fn write(tx: &mut Tx, copied: &Copied) -> Result<()> {
    for gone in &copied.gone {
        note_gone(tx, gone).await?;
    }
    for log in &copied.logs {
        insert_log(tx, log).await?;
    }
    match &copied.copying {
        Some(copying) => begin(tx, copying).await,
        None => end(tx).await,
    }
}

async fn note_gone(tx: &mut Tx, gone: &LogGone) -> Result<()> {
    let sequence = gone.sequence as i64;
    let written = query!(
        "UPDATE attempt SET log_gone = ?3 WHERE job = ?1 AND attempt = ?2",
        gone.job.0,
        gone.attempt.0,
        sequence
    )
    .execute(&mut tx.conn)
    .await?
    .rows_affected();
    all_written("attempts", written, 1)
}

async fn insert_log(tx: &mut Tx, log: &CopiedLog) -> Result<()> {
    let position = log.position as i64;
    let sequence = log.row.sequence as i64;
    query!(
        "INSERT INTO log_chunk (job, position, attempt, sequence, text)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        log.row.job.0,
        position,
        log.row.attempt.0,
        sequence,
        log.row.text
    )
    .execute(&mut tx.conn)
    .await?;
    Ok(())
}

async fn begin(tx: &mut Tx, copying: &Copying) -> Result<()> {
    let state = rows::json(copying);
    query!(
        "INSERT INTO copying (one, state) VALUES (1, ?1)
         ON CONFLICT (one) DO UPDATE SET state = excluded.state",
        state
    )
    .execute(&mut tx.conn)
    .await?;
    Ok(())
}

async fn end(tx: &mut Tx) -> Result<()> {
    query!("DELETE FROM copying").execute(&mut tx.conn).await?;
    Ok(())
}
