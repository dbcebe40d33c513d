//! Writes events.

use sqlx::query;
use swath_model::event::Event;
use swath_model::id::{JobDigest, SweepDigest};
use swath_store::EVENTS_KEPT;

use super::pack::{Beside, chunks, lines};
use crate::error::Result;
use crate::rows;
use crate::writer::Tx;

/// Old events are deleted many at a time.
const FORGET_EVERY: u64 = 1024;

pub(super) async fn write(tx: &mut Tx, events: &[Event]) -> Result<()> {
    for events in chunks(events, |_| 256) {
        let mut beside = Beside::default();
        let mut list = Vec::with_capacity(events.len());
        for event in events {
            let sweep = beside.add_some(event.sweep.as_ref().map(SweepDigest::as_bytes));
            let job = beside.add_some(event.job.as_ref().map(JobDigest::as_bytes));
            let what = beside.add(rows::json(&event.what));
            list.push((
                event.seq,
                event.at.as_ms(),
                sweep.0,
                job.0,
                event.attempt,
                &event.worker,
                what.0,
                what.1,
            ));
        }
        let (list, beside) = (lines(&list), beside.as_slice());
        query!(
            "INSERT INTO event (seq, at, sweep, job, attempt, worker, what)
             SELECT line.value ->> 0, line.value ->> 1, substr(?2, line.value ->> 2, 32),
                    substr(?2, line.value ->> 3, 32), line.value ->> 4, line.value ->> 5,
                    CAST(substr(?2, line.value ->> 6, line.value ->> 7) AS TEXT)
             FROM jsonb_each(?1) AS line",
            list,
            beside
        )
        .execute(&mut tx.conn)
        .await?;
    }
    forget(tx, events).await
}

async fn forget(tx: &mut Tx, events: &[Event]) -> Result<()> {
    let (Some(first), Some(last)) = (events.first(), events.last()) else {
        return Ok(());
    };
    if (first.seq - 1) / FORGET_EVERY != last.seq / FORGET_EVERY {
        let old = last.seq.saturating_sub(EVENTS_KEPT) as i64;
        query!("DELETE FROM event WHERE seq <= ?1", old)
            .execute(&mut tx.conn)
            .await?;
    }
    Ok(())
}
