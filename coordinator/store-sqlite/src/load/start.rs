//! What the engine holds about everything.

use std::collections::HashMap;

use futures_util::TryStreamExt;
use sqlx::{SqliteConnection, query, query_scalar};
use swath_model::id::SessionId;
use swath_model::judge::{self, LastFault};
use swath_model::time::Timestamp;
use swath_model::view::{Counts, SettledView};
use swath_store::{
    CellKey, Copying, InputKey, JobKey, NewInput, ShippedInput, Start, StoredReplication,
    StoredRequest, StoredSweep, SweepKey, SweepRow, Tally, WorkerKey, WorkerRow,
};

use crate::error::{Failure, Result};
use crate::rows;

pub(crate) async fn start(conn: &mut SqliteConnection) -> Result<Start> {
    if copying(conn).await?.is_some() {
        return Err(Failure::Refused(swath_store::unfinished()));
    }
    let mut sweeps = sweeps(conn).await?;
    let mut faults = faults(conn).await?;
    for sweep in &mut sweeps {
        sweep.faults = faults.remove(&sweep.row.key).unwrap_or_default().faults();
    }
    let last_cell = query_scalar!(r#"SELECT max(id) AS "id: i64" FROM cell"#);
    let last_cell = last_cell.fetch_one(&mut *conn).await?;
    let last_job = query_scalar!(r#"SELECT max(id) AS "id: i64" FROM job"#);
    let last_job = last_job.fetch_one(&mut *conn).await?;
    let last_event = query!("SELECT seq, at FROM event ORDER BY seq DESC LIMIT 1");
    let last_event = last_event.fetch_optional(&mut *conn).await?;
    Ok(Start {
        sweeps,
        inputs: inputs(conn).await?,
        shipped: shipped(conn).await?,
        workers: workers(conn).await?,
        requests: requests(conn).await?,
        last_cell: CellKey(last_cell.unwrap_or(0)),
        last_job: JobKey(last_job.unwrap_or(0)),
        last_event: last_event.as_ref().map_or(0, |row| row.seq as u64),
        last_event_at: last_event.map(|row| Timestamp::from_ms(row.at)),
    })
}

/// How far it is a copy of another store, while the copy is incomplete.
pub(crate) async fn copying(conn: &mut SqliteConnection) -> Result<Option<Copying>> {
    let state = query_scalar!("SELECT state FROM copying");
    let state = state.fetch_optional(conn).await?;
    let read = |state: String| serde_json::from_str(&state);
    Ok(state.map(read).transpose()?)
}

/// Every sweep, in order of submission, without its faults.
async fn sweeps(conn: &mut SqliteConnection) -> Result<Vec<StoredSweep>> {
    let rows = query!(
        r#"SELECT sweep.id AS "id!", digest, name, version, label, kind, replicates, priority, live, cause, queued,
                  leased, suspect, succeeded, failed, diverged, cancelled, ended_at,
                  most AS "most?", rounds AS "rounds?", seeds AS "seeds?", settled_at, as_of,
                  pairs AS "pairs?", undecided AS "undecided?"
           FROM sweep
           JOIN sweep_counts ON sweep_counts.sweep = sweep.id
           LEFT JOIN replication ON replication.sweep = sweep.id
           ORDER BY sweep.id"#
    )
    .fetch_all(conn)
    .await?;
    let sweeps = rows.into_iter().map(|row| {
        Ok(StoredSweep {
            digest: rows::sweep_digest(&row.digest)?,
            name: row.name,
            version: row.version as u32,
            label: serde_json::from_str(&row.label)?,
            kind: rows::sweep_kind(&row.kind)?,
            replicates: row.replicates as u32,
            row: SweepRow {
                key: SweepKey(row.id),
                live: row.live != 0,
                paused: rows::cause(&row.cause)?,
                priority: row.priority as i32,
                counts: Counts {
                    queued: row.queued as u64,
                    leased: row.leased as u64,
                    suspect: row.suspect as u64,
                    succeeded: row.succeeded as u64,
                    failed: row.failed as u64,
                    diverged: row.diverged as u64,
                    cancelled: row.cancelled as u64,
                },
                ended_at: row.ended_at.map(Timestamp::from_ms),
            },
            replication: row.most.map(|most| StoredReplication {
                max: most as u32,
                rounds: row.rounds.unwrap_or(0) as u32,
                seeds: row.seeds.unwrap_or(0) as u64,
                settled: row.settled_at.zip(row.as_of).map(|(at, as_of)| {
                    let view = SettledView {
                        at: Timestamp::from_ms(at),
                        pairs: row.pairs.unwrap_or(0) as u64,
                        undecided: row.undecided.unwrap_or(0) as u64,
                    };
                    (Timestamp::from_ms(as_of), view)
                }),
            }),
            faults: Vec::new(),
        })
    });
    sweeps.collect()
}

/// The remembered faults of sweeps of which no job has succeeded.
async fn faults(conn: &mut SqliteConnection) -> Result<HashMap<SweepKey, Tally>> {
    let mut rows = query!(
        r#"SELECT sweep_cell.sweep, job.cell, attempt.ended AS "ended!", attempt.message
           FROM sweep_counts
           CROSS JOIN sweep_cell ON sweep_cell.sweep = sweep_counts.sweep
           CROSS JOIN job INDEXED BY job_faulted
               ON job.cell = sweep_cell.cell AND job.replicate <= sweep_cell.replicates
           CROSS JOIN attempt ON attempt.job = job.id AND attempt.attempt = job.faulted
           WHERE sweep_counts.succeeded = 0 AND job.faulted IS NOT NULL
             AND attempt.ended IS NOT NULL"#
    )
    .fetch(conn);
    let mut all: HashMap<SweepKey, Tally> = HashMap::new();
    while let Some(row) = rows.try_next().await? {
        let last = LastFault {
            fault: rows::fault(&row.ended)?,
            headline: judge::headline(&row.message).to_owned(),
        };
        let of_sweep = all.entry(SweepKey(row.sweep)).or_default();
        of_sweep.add(last, CellKey(row.cell));
    }
    Ok(all)
}

async fn inputs(conn: &mut SqliteConnection) -> Result<Vec<NewInput>> {
    let rows = query!(r#"SELECT id AS "id!", digest, bytes, kept_at FROM input ORDER BY id"#);
    let rows = rows.fetch_all(conn).await?.into_iter();
    rows.map(|row| {
        Ok(NewInput {
            key: InputKey(row.id),
            digest: rows::input_digest(&row.digest)?,
            bytes: row.bytes as u64,
            at: Timestamp::from_ms(row.kept_at),
        })
    })
    .collect()
}

async fn shipped(conn: &mut SqliteConnection) -> Result<Vec<ShippedInput>> {
    let rows = query!("SELECT sweep, input FROM sweep_input ORDER BY sweep, input");
    let rows = rows.fetch_all(conn).await?.into_iter();
    let shipped = rows.map(|row| ShippedInput {
        sweep: SweepKey(row.sweep),
        input: InputKey(row.input),
    });
    Ok(shipped.collect())
}

async fn workers(conn: &mut SqliteConnection) -> Result<Vec<WorkerRow>> {
    let rows = query!(
        r#"SELECT id AS "id!", name, state, cause, session, seen_at, about, failed, silent,
                  forgotten
           FROM worker ORDER BY id"#
    )
    .fetch_all(conn)
    .await?;
    let workers = rows.into_iter().map(|row| {
        Ok(WorkerRow {
            key: WorkerKey(row.id),
            name: rows::worker_name(&row.name)?,
            state: rows::worker_state(&row.state)?,
            cordoned: rows::cause(&row.cause)?,
            session: SessionId(row.session as u64),
            seen_at: Timestamp::from_ms(row.seen_at),
            about: serde_json::from_str(&row.about)?,
            failed: serde_json::from_str(&row.failed)?,
            silent: row.silent != 0,
            forgotten: row.forgotten != 0,
        })
    });
    workers.collect()
}

/// What the requests of the newest sessions were granted.
async fn requests(conn: &mut SqliteConnection) -> Result<Vec<StoredRequest>> {
    let rows = query!(
        r#"SELECT grant_request.worker, grant_request.request, job.digest AS "digest?",
                  (line.value ->> 1) AS "attempt?: i64"
           FROM worker
           CROSS JOIN grant_request
               ON grant_request.worker = worker.id AND grant_request.session = worker.session
           LEFT JOIN json_each(grant_request.grants) AS line
           LEFT JOIN job ON job.id = line.value ->> 0
           ORDER BY grant_request.worker, grant_request.request, line.key"#
    )
    .fetch_all(conn)
    .await?;
    let mut requests: Vec<StoredRequest> = Vec::new();
    for row in rows {
        let worker = WorkerKey(row.worker);
        let request = row.request as u64;
        let same = |it: &&mut StoredRequest| it.worker == worker && it.request == request;
        let grant = match (&row.digest, row.attempt) {
            (Some(digest), Some(attempt)) => {
                Some((rows::job_digest(digest)?, rows::attempt(attempt)))
            }
            _ => None,
        };
        match requests.last_mut().filter(same) {
            Some(known) => known.grants.extend(grant),
            None => requests.push(StoredRequest {
                worker,
                request,
                grants: Vec::from_iter(grant),
            }),
        }
    }
    Ok(requests)
}
