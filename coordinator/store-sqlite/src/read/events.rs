//! Reads events.

use sqlx::{SqliteConnection, query, query_scalar};
use swath_model::event::Event;
use swath_model::time::Timestamp;

use crate::error::Result;
use crate::rows;

/// Events after this one, in order.
pub(crate) async fn events(
    conn: &mut SqliteConnection,
    after: u64,
    limit: u32,
) -> Result<Vec<Event>> {
    let after = after as i64;
    let found = query!(
        r#"SELECT seq AS "seq!", at, sweep, job, attempt, worker, what
           FROM event WHERE seq > ?1 ORDER BY seq LIMIT ?2"#,
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    found
        .into_iter()
        .map(|row| {
            Ok(Event {
                seq: row.seq as u64,
                at: Timestamp::from_ms(row.at),
                sweep: row.sweep.as_deref().map(rows::sweep_digest).transpose()?,
                job: row.job.as_deref().map(rows::job_digest).transpose()?,
                attempt: row.attempt.map(rows::attempt),
                worker: row.worker.as_deref().map(rows::worker_name).transpose()?,
                what: serde_json::from_str(&row.what)?,
            })
        })
        .collect()
}

/// The number of the newest event; 0 before the first.
pub(crate) async fn last_event(conn: &mut SqliteConnection) -> Result<u64> {
    let last = query_scalar!(r#"SELECT max(seq) AS "seq: i64" FROM event"#);
    Ok(last.fetch_one(conn).await?.unwrap_or(0) as u64)
}
