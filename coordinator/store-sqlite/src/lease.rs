//! What workers say about what they hold, and what the clock brings.

use std::collections::BTreeSet;

use sqlx::{query, query_scalar};
use swath_core::id::{Owner, SessionId};
use swath_core::job::{Applied, Event, StateName};
use swath_core::message::{Held, Hello, Ticked, Verdict, Welcome};
use swath_core::time::Timestamp;
use swath_core::view::WorkerState;

use crate::error::Result;
use crate::rows;
use crate::worker::Worker;
use crate::workset::{End, Workset};
use crate::writer::Tx;

/// Heartbeats in a row that may not miss a lease.
const UNMENTIONED_MAX: u32 = 2;

/// A worker starts or reconnects and gets its next session.
pub(crate) async fn hello(tx: &mut Tx, now: Timestamp, hello: Hello) -> Result<Welcome> {
    let (worker, session) = new_session(tx, now, &hello).await?;
    let owner = Owner {
        worker: hello.worker,
        session,
    };
    let mut jobs = Workset::default();
    jobs.know(&owner.worker, worker);
    jobs.load_digests(tx, hello.held.iter().map(|held| held.job))
        .await?;
    let claims = hello.held.iter().map(|held| {
        let claim = Event::Claim {
            attempt: held.attempt,
            owner: owner.clone(),
        };
        confirm(&mut jobs, *held, &claim, false, now, tx)
    });
    let verdicts = claims.collect();
    let leases = leases_of(tx, worker).await?;
    jobs.load(tx, &leases).await?;
    let mut requeued = 0;
    for id in leases {
        let lost = Event::SessionLost { newer: session };
        let changed = jobs.apply(id, &lost, now, &tx.policy) == Ok(Applied::Changed);
        requeued += u64::from(changed && state(&jobs, id) == Some(StateName::Queued));
    }
    jobs.flush(tx).await?;
    Ok(Welcome {
        session,
        verdicts,
        requeued,
    })
}

/// Notes the worker under the next session of the whole store.
async fn new_session(tx: &mut Tx, now: Timestamp, hello: &Hello) -> Result<(i64, SessionId)> {
    let name = hello.worker.as_str();
    let now = now.as_ms();
    let about = rows::json(&hello.about);
    let programs = rows::json(&hello.about.programs);
    let row = query!(
        r#"INSERT INTO worker (name, state, session, seen_at, about, programs)
           VALUES (?1, 'active', (SELECT coalesce(max(session), 0) + 1 FROM worker), ?2, ?3, ?4)
           ON CONFLICT (name) DO UPDATE SET
               state = iif(state = 'draining', 'active', state), session = excluded.session,
               seen_at = excluded.seen_at, about = excluded.about, programs = excluded.programs
           RETURNING id AS "id!", session AS "session!""#,
        name,
        now,
        about,
        programs
    )
    .fetch_one(&mut tx.conn)
    .await?;
    // Requests of older sessions are never answered again.
    query!(
        "DELETE FROM grant_request WHERE worker = ?1 AND session < ?2",
        row.id,
        row.session
    )
    .execute(&mut tx.conn)
    .await?;
    Ok((row.id, SessionId(row.session as u64)))
}

/// Applies a heartbeat or a claim to the job that it names.
fn confirm(
    jobs: &mut Workset,
    held: Held,
    event: &Event<'_>,
    draining: bool,
    now: Timestamp,
    tx: &Tx,
) -> Verdict {
    let Some(id) = jobs.id(held.job) else {
        return Verdict::Fenced;
    };
    if jobs.apply(id, event, now, &tx.policy).is_err() {
        return Verdict::Fenced;
    }
    jobs.set_unmentioned(id, 0);
    verdict(jobs, id, draining)
}

/// What to do with an attempt that counts.
pub(crate) fn verdict(jobs: &Workset, id: i64, draining: bool) -> Verdict {
    if draining || jobs.get(id).is_some_and(|entry| entry.job.stopping()) {
        Verdict::Stop
    } else {
        Verdict::Keep
    }
}

fn state(jobs: &Workset, id: i64) -> Option<StateName> {
    jobs.get(id).map(|entry| entry.job.state_name())
}

/// The jobs that a worker has leases of, in order of submission.
async fn leases_of(tx: &mut Tx, worker: i64) -> Result<Vec<i64>> {
    let leases = query_scalar!(
        r#"SELECT id AS "id!" FROM job WHERE worker = ?1 AND deadline IS NOT NULL ORDER BY id"#,
        worker
    );
    Ok(leases.fetch_all(&mut tx.conn).await?)
}

/// Extends the leases that a worker mentions, and takes back those that it did
/// not mention twice in a row.
pub(crate) async fn heartbeat(
    tx: &mut Tx,
    now: Timestamp,
    owner: &Owner,
    held: Vec<Held>,
) -> Result<Vec<Verdict>> {
    let worker = Worker::newest(tx, owner).await?;
    worker.heard(tx, now).await?;
    let draining = worker.state == WorkerState::Draining;
    let mut jobs = Workset::default();
    jobs.know(&owner.worker, worker.id);
    jobs.load_digests(tx, held.iter().map(|held| held.job))
        .await?;
    let beats = held.iter().map(|held| {
        let beat = Event::Heartbeat {
            attempt: held.attempt,
            owner: owner.clone(),
        };
        confirm(&mut jobs, *held, &beat, draining, now, tx)
    });
    let verdicts = beats.collect();
    let leases = leases_of(tx, worker.id).await?;
    jobs.load(tx, &leases).await?;
    let mentioned: BTreeSet<Held> = held.into_iter().collect();
    take_back_unmentioned(&mut jobs, owner, &mentioned, now, tx);
    jobs.flush(tx).await?;
    Ok(verdicts)
}

fn take_back_unmentioned(
    jobs: &mut Workset,
    owner: &Owner,
    mentioned: &BTreeSet<Held>,
    now: Timestamp,
    tx: &Tx,
) {
    for id in jobs.all() {
        let Some(entry) = jobs.get(id) else { continue };
        let attempt = entry.job.attempt;
        let held = Held {
            job: entry.digest,
            attempt,
        };
        let own = entry.job.lease().is_some_and(|lease| lease.owner == *owner);
        if !own || mentioned.contains(&held) {
            continue;
        }
        let missed = entry.unmentioned + 1;
        jobs.set_unmentioned(id, missed);
        if missed >= UNMENTIONED_MAX {
            // It has a lease, so taking it back is not refused.
            let _applied = jobs.apply(id, &Event::TakeBack { attempt }, now, &tx.policy);
        }
    }
}

/// Gives attempts back to the queue, not charged.
pub(crate) async fn release(
    tx: &mut Tx,
    now: Timestamp,
    owner: &Owner,
    held: Vec<Held>,
) -> Result<()> {
    let worker = Worker::newest(tx, owner).await?;
    worker.heard(tx, now).await?;
    let mut jobs = Workset::default();
    jobs.load_digests(tx, held.iter().map(|held| held.job))
        .await?;
    for Held { job, attempt } in held {
        let Some(id) = jobs.id(job) else { continue };
        let release = Event::Release {
            attempt,
            owner: owner.clone(),
        };
        if jobs.apply(id, &release, now, &tx.policy).is_ok() {
            jobs.end(End {
                job: id,
                attempt: attempt.0,
                at: now.as_ms(),
                ended: "released",
                message: String::new(),
                provenance: None,
            });
        }
    }
    jobs.flush(tx).await
}

/// The sweeper's pass over the leases that are over.
pub(crate) async fn tick(tx: &mut Tx, now: Timestamp) -> Result<Ticked> {
    let at = now.as_ms();
    let over = query_scalar!(r#"SELECT id AS "id!" FROM job WHERE deadline <= ?1"#, at)
        .fetch_all(&mut tx.conn)
        .await?;
    let mut jobs = Workset::default();
    jobs.load(tx, &over).await?;
    let mut ticked = Ticked::default();
    for id in over {
        if jobs.apply(id, &Event::Tick, now, &tx.policy) == Ok(Applied::Changed) {
            match state(&jobs, id) {
                Some(StateName::Suspect) => ticked.suspected += 1,
                Some(StateName::Queued) => ticked.requeued += 1,
                _ => ticked.ended += 1,
            }
        }
    }
    jobs.flush(tx).await?;
    Ok(ticked)
}

/// Applies `event` to every open lease: a start, or an absence.
pub(crate) async fn to_all_leases(
    tx: &mut Tx,
    now: Timestamp,
    event: Event<'static>,
) -> Result<()> {
    let open = query_scalar!(r#"SELECT id AS "id!" FROM job WHERE deadline IS NOT NULL"#)
        .fetch_all(&mut tx.conn)
        .await?;
    let mut jobs = Workset::default();
    jobs.load(tx, &open).await?;
    for id in open {
        // Neither event is ever refused.
        let _applied = jobs.apply(id, &event, now, &tx.policy);
    }
    jobs.flush(tx).await
}
