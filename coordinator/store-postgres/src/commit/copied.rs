//! What only a copy of another store must write: row by row, so that every byte
//! of a text is kept.

use sqlx::query;
use swath_store::{Copied, CopiedLog, Copying, LogGone};

use super::all_written;
use crate::error::Result;
use crate::rows;
use crate::session::Session;
use crate::text;

pub(super) async fn write(session: &mut Session, copied: &Copied) -> Result<()> {
    for gone in &copied.gone {
        note_gone(session, gone).await?;
    }
    for log in &copied.logs {
        insert_log(session, log).await?;
    }
    match &copied.copying {
        Some(copying) => begin(session, copying).await,
        None => end(session).await,
    }
}

async fn note_gone(session: &mut Session, gone: &LogGone) -> Result<()> {
    let sequence = gone.sequence as i64;
    let written = query!(
        "UPDATE attempt SET log_gone = $3 WHERE job = $1 AND attempt = $2",
        gone.job.0,
        i64::from(gone.attempt.0),
        sequence
    )
    .execute(&mut *session)
    .await?
    .rows_affected();
    all_written(written, 1, "attempts")
}

async fn insert_log(session: &mut Session, log: &CopiedLog) -> Result<()> {
    let position = log.position as i64;
    let sequence = log.row.sequence as i64;
    let text = text::kept(&log.row.text);
    query!(
        "INSERT INTO log_chunk (job, position, attempt, sequence, text)
         VALUES ($1, $2, $3, $4, $5)",
        log.row.job.0,
        position,
        i64::from(log.row.attempt.0),
        sequence,
        &*text
    )
    .execute(&mut *session)
    .await?;
    Ok(())
}

async fn begin(session: &mut Session, copying: &Copying) -> Result<()> {
    let state = rows::json(copying);
    query!(
        "INSERT INTO copying (one, state) VALUES (true, $1)
         ON CONFLICT (one) DO UPDATE SET state = excluded.state",
        state
    )
    .execute(&mut *session)
    .await?;
    Ok(())
}

async fn end(session: &mut Session) -> Result<()> {
    query!("DELETE FROM copying").execute(&mut *session).await?;
    Ok(())
}
