//! Writes events.

use sqlx::query;
use swath_model::event::Event;
use swath_store::EVENTS_KEPT;

use super::CHUNK;
use crate::error::Result;
use crate::rows;
use crate::session::Session;

/// Old events are deleted many at a time.
const FORGET_EVERY: u64 = 1024;

pub(super) async fn write(session: &mut Session, events: &[Event]) -> Result<()> {
    for chunk in events.chunks(CHUNK) {
        let numbers: Vec<i64> = chunk.iter().map(|it| it.seq as i64).collect();
        let at: Vec<i64> = chunk.iter().map(|it| it.at.as_ms()).collect();
        let sweeps = chunk
            .iter()
            .map(|it| Some(&it.sweep.as_ref()?.as_bytes()[..]));
        let sweeps: Vec<Option<&[u8]>> = sweeps.collect();
        let jobs = chunk
            .iter()
            .map(|it| Some(&it.job.as_ref()?.as_bytes()[..]));
        let jobs: Vec<Option<&[u8]>> = jobs.collect();
        let attempts = chunk.iter().map(|it| it.attempt.map(|it| it.0.into()));
        let attempts: Vec<Option<i64>> = attempts.collect();
        let workers = chunk.iter().map(|it| Some(it.worker.as_ref()?.as_str()));
        let workers: Vec<Option<&str>> = workers.collect();
        let whats: Vec<String> = chunk.iter().map(|it| rows::json(&it.what)).collect();
        query!(
            "INSERT INTO event (seq, at, sweep, job, attempt, worker, what)
             SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bytea[],
                                  $5::bigint[], $6::text[], $7::text[])",
            &numbers,
            &at,
            &sweeps as &[Option<&[u8]>],
            &jobs as &[Option<&[u8]>],
            &attempts as &[Option<i64>],
            &workers as &[Option<&str>],
            &whats
        )
        .execute(&mut *session)
        .await?;
    }
    forget(session, events).await
}

async fn forget(session: &mut Session, events: &[Event]) -> Result<()> {
    let (Some(first), Some(last)) = (events.first(), events.last()) else {
        return Ok(());
    };
    if (first.seq - 1) / FORGET_EVERY != last.seq / FORGET_EVERY {
        let old = last.seq.saturating_sub(EVENTS_KEPT) as i64;
        query!("DELETE FROM event WHERE seq <= $1", old)
            .execute(session)
            .await?;
    }
    Ok(())
}
