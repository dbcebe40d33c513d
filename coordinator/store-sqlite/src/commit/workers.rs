//! Workers, and what their requests were granted.

use sqlx::query;
use swath_store::{GrantRequest, WorkerRow};

use super::pack::{Beside, chunks, lines};
use crate::error::Result;
use crate::rows;
use crate::writer::Tx;

pub(super) async fn write(tx: &mut Tx, workers: &[WorkerRow]) -> Result<()> {
    // What a worker says about itself is about this long.
    for workers in chunks(workers, |_| 1024) {
        let mut beside = Beside::default();
        let mut list = Vec::with_capacity(workers.len());
        for worker in workers {
            let cause = beside.add(rows::cause_text(worker.cordoned.as_ref()));
            let about = beside.add(rows::json(&worker.about));
            list.push((
                worker.key.0,
                &worker.name,
                worker.state.name(),
                cause.0,
                cause.1,
                rows::session(worker.session),
                worker.seen_at.as_ms(),
                about.0,
                about.1,
                rows::json(&worker.failed),
                u8::from(worker.silent),
                u8::from(worker.forgotten),
            ));
        }
        let (list, beside) = (lines(&list), beside.as_slice());
        query!(
            "INSERT INTO worker
                 (id, name, state, cause, session, seen_at, about, failed, silent, forgotten)
             SELECT line.value ->> 0, line.value ->> 1, line.value ->> 2,
                    CAST(substr(?2, line.value ->> 3, line.value ->> 4) AS TEXT),
                    line.value ->> 5, line.value ->> 6,
                    CAST(substr(?2, line.value ->> 7, line.value ->> 8) AS TEXT),
                    line.value ->> 9, line.value ->> 10, line.value ->> 11
             FROM jsonb_each(?1) AS line
             WHERE true
             ON CONFLICT (id) DO UPDATE SET
                 state = excluded.state, cause = excluded.cause, session = excluded.session,
                 seen_at = excluded.seen_at, about = excluded.about, failed = excluded.failed,
                 silent = excluded.silent, forgotten = excluded.forgotten",
            list,
            beside
        )
        .execute(&mut tx.conn)
        .await?;
    }
    Ok(())
}

/// Remembers requests. A trigger forgets those that no worker will repeat.
pub(super) async fn remember_requests(tx: &mut Tx, requests: &[GrantRequest]) -> Result<()> {
    for requests in chunks(requests, |request| request.grants.len() * 16) {
        let list = requests.iter().map(|request| {
            let grants = request
                .grants
                .iter()
                .map(|(job, attempt)| (job.0, *attempt));
            // It is only a name, so it does not matter that it may become
            // negative.
            let name = request.request as i64;
            let session = rows::session(request.session);
            (request.worker.0, session, name, grants.collect::<Vec<_>>())
        });
        let list = lines(&list.collect::<Vec<_>>());
        query!(
            "INSERT INTO grant_request (worker, session, request, grants)
             SELECT line.value ->> 0, line.value ->> 1, line.value ->> 2, line.value -> 3
             FROM jsonb_each(?1) AS line",
            list
        )
        .execute(&mut tx.conn)
        .await?;
    }
    Ok(())
}
