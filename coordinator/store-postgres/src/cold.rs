//! What the engine asks for: everything with which it begins, cells with their
//! jobs, and what was imported before.

use std::collections::{BTreeMap, HashMap};

use sqlx::{query, query_as, query_scalar};
use swath_model::id::{Attempt, CellDigest, JobDigest, Replicate, SessionId, WorkerName};
use swath_model::import::Imported;
use swath_model::judge::{self, LastFault};
use swath_model::outcome::Outcome;
use swath_model::time::Timestamp;
use swath_model::view::{Counts, SettledView};
use swath_store::columns;
use swath_store::{
    CellKey, Copying, JobKey, Names, Said, Start, StoredCell, StoredJob, StoredReplication,
    StoredRequest, StoredSweep, SweepKey, SweepRow, Tail, Tally, WorkerKey, WorkerRow,
};

use crate::error::{Failure, Result};
use crate::read;
use crate::rows::{self, JobRow};
use crate::session::Session;
use crate::text;

/// What the engine holds about everything.
pub(crate) async fn start(session: &mut Session) -> Result<Start> {
    if copying(session).await?.is_some() {
        return Err(Failure::Refused(swath_store::unfinished()));
    }
    let sweeps = sweeps(session).await?;
    let inputs = read::inputs(session).await?;
    let shipped = read::shipped(session).await?;
    let workers = workers(session).await?;
    let requests = requests(session).await?;
    let last = query!(
        r#"SELECT (SELECT coalesce(max(id), 0) FROM cell) AS "cell!",
                  (SELECT coalesce(max(id), 0) FROM job) AS "job!",
                  (SELECT coalesce(max(seq), 0) FROM event) AS "event!",
                  (SELECT at FROM event ORDER BY seq DESC LIMIT 1) AS at"#
    )
    .fetch_one(session)
    .await?;
    Ok(Start {
        sweeps,
        inputs,
        shipped,
        workers,
        requests,
        last_cell: CellKey(last.cell),
        last_job: JobKey(last.job),
        last_event: last.event as u64,
        last_event_at: last.at.map(Timestamp::from_ms),
    })
}

/// How far it is a copy of another store, while the copy is incomplete.
pub(crate) async fn copying(session: &mut Session) -> Result<Option<Copying>> {
    let state = query_scalar!("SELECT state FROM copying");
    let state = state.fetch_optional(session).await?;
    let read = |state: String| serde_json::from_str(&state);
    Ok(state.map(read).transpose()?)
}

async fn sweeps(session: &mut Session) -> Result<Vec<StoredSweep>> {
    let mut faults = faults(session).await?;
    let rows = query!(
        r#"SELECT id, digest, name, version, label, kind, replicates, priority, live, cause, queued,
                  leased, suspect,
                  succeeded, failed, diverged, cancelled, ended_at, most AS "most?",
                  rounds AS "rounds?", seeds AS "seeds?", settled_at, as_of,
                  pairs AS "pairs?", undecided AS "undecided?"
           FROM sweep
           JOIN sweep_counts ON sweep_counts.sweep = sweep.id
           LEFT JOIN replication ON replication.sweep = sweep.id
           ORDER BY sweep.id"#
    )
    .fetch_all(session)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(StoredSweep {
                digest: rows::sweep_digest(&row.digest)?,
                name: text::told(row.name),
                version: row.version as u32,
                label: serde_json::from_str(&row.label)?,
                kind: rows::sweep_kind(&row.kind)?,
                replicates: row.replicates as u32,
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
                faults: faults.remove(&row.id).unwrap_or_default().faults(),
                row: SweepRow {
                    key: SweepKey(row.id),
                    live: row.live,
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
            })
        })
        .collect()
}

/// The remembered faults of the jobs of sweeps in which none has succeeded.
async fn faults(session: &mut Session) -> Result<HashMap<i64, Tally>> {
    // Goes from the faults to the sweeps, not from the jobs: few jobs have a
    // fault. Only the first line of a message matters, also of one with NULs.
    let rows = query!(
        r#"SELECT sweep_cell.sweep, job.cell, attempt.ended AS "ended!",
                  split_part(attempt.message, E'\n', 1) AS "line!"
           FROM job
           JOIN sweep_cell ON sweep_cell.cell = job.cell AND sweep_cell.replicates >= job.replicate
           JOIN sweep_counts ON sweep_counts.sweep = sweep_cell.sweep
                AND sweep_counts.succeeded = 0
           JOIN attempt ON attempt.job = job.id AND attempt.attempt = job.faulted
           WHERE job.faulted IS NOT NULL AND attempt.ended IS NOT NULL"#
    )
    .fetch_all(session)
    .await?;
    let mut faults: HashMap<i64, Tally> = HashMap::new();
    for row in rows {
        if let Some(fault) = last_fault(Some(&row.ended), row.line)? {
            let of_sweep = faults.entry(row.sweep).or_default();
            of_sweep.add(fault, CellKey(row.cell));
        }
    }
    Ok(faults)
}

/// The fault of an attempt; none if it ended without one.
fn last_fault(ended: Option<&str>, message: String) -> Result<Option<LastFault>> {
    let Some(ended) = ended.filter(|ended| !["measured", "released"].contains(ended)) else {
        return Ok(None);
    };
    let headline = judge::headline(&text::told(message)).to_owned();
    let fault = rows::fault(Some(ended))?;
    Ok(fault.map(|fault| LastFault { fault, headline }))
}

async fn workers(session: &mut Session) -> Result<Vec<WorkerRow>> {
    let rows = query!(
        "SELECT id, name, state, cause, session, seen_at, about, failed, silent,
                forgotten
         FROM worker ORDER BY id"
    )
    .fetch_all(session)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(WorkerRow {
                key: WorkerKey(row.id),
                name: rows::worker_name(&row.name)?,
                state: rows::worker_state(&row.state)?,
                cordoned: rows::cause(&row.cause)?,
                session: SessionId(row.session as u64),
                seen_at: Timestamp::from_ms(row.seen_at),
                about: serde_json::from_str(&row.about)?,
                failed: serde_json::from_str(&row.failed)?,
                silent: row.silent,
                forgotten: row.forgotten,
            })
        })
        .collect()
}

async fn requests(session: &mut Session) -> Result<Vec<StoredRequest>> {
    let rows = query!(
        "SELECT grant_request.worker, request, grants
         FROM grant_request
         JOIN worker ON worker.id = grant_request.worker
              AND worker.session = grant_request.session"
    )
    .fetch_all(&mut *session)
    .await?;
    let mut requests = Vec::with_capacity(rows.len());
    let mut named: Vec<i64> = Vec::new();
    for row in rows {
        let grants: Vec<(i64, Attempt)> = serde_json::from_str(&row.grants)?;
        named.extend(grants.iter().map(|(job, _)| job));
        requests.push((row.worker, row.request as u64, grants));
    }
    requests.sort_unstable_by_key(|(worker, request, _)| (*worker, *request));
    let digests = query!(
        "SELECT id, digest FROM job WHERE id = ANY($1::bigint[])",
        &named
    )
    .fetch_all(session)
    .await?;
    let digests = digests
        .into_iter()
        .map(|row| Ok((row.id, rows::job_digest(&row.digest)?)));
    let digests: HashMap<i64, JobDigest> = digests.collect::<Result<_>>()?;
    requests
        .into_iter()
        .map(|(worker, request, grants)| {
            let grants = grants.into_iter().map(|(job, attempt)| {
                let digest = digests.get(&job).copied();
                let digest = digest.ok_or_else(|| Failure::Damaged(format!("no job {job}")));
                Ok((digest?, attempt))
            });
            Ok(StoredRequest {
                worker: WorkerKey(worker),
                request,
                grants: grants.collect::<Result<_>>()?,
            })
        })
        .collect()
}

/// Cells with a job that is not final, with keys above `after`: looked for
/// in the sweeps that count such jobs.
pub(crate) async fn open_cells(
    session: &mut Session,
    after: CellKey,
    limit: u32,
) -> Result<Vec<StoredCell>> {
    let ids = query_scalar!(
        "SELECT DISTINCT sweep_cell.cell FROM sweep_cell
         JOIN sweep_counts ON sweep_counts.sweep = sweep_cell.sweep
              AND queued + leased + suspect > 0
         WHERE sweep_cell.cell > $1 AND EXISTS (
             SELECT 1 FROM job WHERE job.cell = sweep_cell.cell AND job.ended_at IS NULL)
         ORDER BY sweep_cell.cell LIMIT $2",
        after.0,
        i64::from(limit)
    )
    .fetch_all(&mut *session)
    .await?;
    cells(session, &ids).await
}

/// Those of the named cells that exist.
pub(crate) async fn load(session: &mut Session, names: Names) -> Result<Vec<StoredCell>> {
    let jobs: Vec<&[u8]> = names.jobs.iter().map(|it| &it.as_bytes()[..]).collect();
    let digests: Vec<&[u8]> = names.cells.iter().map(|it| &it.as_bytes()[..]).collect();
    let sweeps: Vec<i64> = names.sweeps.iter().map(|sweep| sweep.0).collect();
    let ids = query_scalar!(
        r#"SELECT job.cell AS "cell!" FROM unnest($1::bytea[]) AS asked (digest)
           JOIN job ON job.digest = asked.digest
           UNION
           SELECT cell.id FROM unnest($2::bytea[]) AS asked (digest)
           JOIN cell ON cell.digest = asked.digest
           UNION
           SELECT sweep_cell.cell FROM sweep_cell WHERE sweep_cell.sweep = ANY($3::bigint[])
           ORDER BY 1"#,
        &jobs as &[&[u8]],
        &digests as &[&[u8]],
        &sweeps
    )
    .fetch_all(&mut *session)
    .await?;
    cells(session, &ids).await
}

/// The last cells of a sweep.
pub(crate) async fn tail(session: &mut Session, sweep: SweepKey, limit: u32) -> Result<Tail> {
    let found = query!(
        "SELECT position, cell FROM sweep_cell WHERE sweep = $1 ORDER BY position DESC LIMIT $2",
        sweep.0,
        i64::from(limit)
    );
    let found = found.fetch_all(&mut *session).await?;
    let before = found.last().map_or(0, |row| row.position as u64);
    let ids: Vec<i64> = found.iter().map(|row| row.cell).collect();
    Ok(Tail {
        before,
        cells: cells(session, &ids).await?,
    })
}

/// The cells with these keys, in their order.
async fn cells(session: &mut Session, ids: &[i64]) -> Result<Vec<StoredCell>> {
    let rows = query!(
        "SELECT id, digest, program, needs FROM cell WHERE id = ANY($1::bigint[]) ORDER BY id",
        ids
    )
    .fetch_all(&mut *session)
    .await?;
    let mut cells = BTreeMap::new();
    for row in rows {
        let cell = StoredCell {
            key: CellKey(row.id),
            digest: rows::cell_digest(&row.digest)?,
            needs: columns::needs(row.program.map(text::told), row.needs.as_deref())?,
            holders: Vec::new(),
            jobs: Vec::new(),
        };
        cells.insert(row.id, cell);
    }
    let holders = query!(
        "SELECT cell, sweep, replicates FROM sweep_cell WHERE cell = ANY($1::bigint[])
         ORDER BY cell, sweep",
        ids
    )
    .fetch_all(&mut *session)
    .await?;
    for row in holders {
        if let Some(cell) = cells.get_mut(&row.cell) {
            let holder = (SweepKey(row.sweep), row.replicates as u32);
            cell.holders.push(holder);
        }
    }
    let mut outcomes = outcomes(session, ids).await?;
    for (cell, job) in jobs(session, ids, &mut outcomes).await? {
        if let Some(cell) = cells.get_mut(&cell) {
            cell.jobs.push(job);
        }
    }
    Ok(cells.into_values().collect())
}

/// How attempts with an outcome ended, by job, in order.
type Outcomes = HashMap<i64, Vec<(Attempt, WorkerName, Option<Outcome>)>>;

async fn jobs(
    session: &mut Session,
    cells: &[i64],
    outcomes: &mut Outcomes,
) -> Result<Vec<(i64, StoredJob)>> {
    let rows = query_as!(
        JobRow,
        r#"SELECT job.id, job.digest, job.cell, job.state, job.not_before, job.deadline, job.stop,
                  job.fault, job.attempt, worker.name AS "worker?", job.session, job.granted_at,
                  job.grants, job.charged, job.failed_on, job.closed, job.unmentioned, job.faulted,
                  job.ended_at, job.device
           FROM job
           LEFT JOIN worker ON worker.id = job.worker
           WHERE job.cell = ANY($1::bigint[])
           ORDER BY job.cell, job.replicate"#,
        cells
    )
    .fetch_all(session)
    .await?;
    let mut jobs = Vec::with_capacity(rows.len());
    for row in rows {
        let outcomes = outcomes.remove(&row.id).unwrap_or_default();
        let faulted = row.faulted.map(rows::attempt);
        let fault = faulted.and_then(|faulted| {
            outcomes
                .iter()
                .find_map(|(attempt, _, outcome)| match outcome {
                    Some(Outcome::Failed { fault, message }) if *attempt == faulted => {
                        let headline = judge::headline(message).to_owned();
                        let fault = *fault;
                        Some((faulted, LastFault { fault, headline }))
                    }
                    _ => None,
                })
        });
        let job = StoredJob {
            key: JobKey(row.id),
            digest: rows::job_digest(&row.digest)?,
            job: row.job()?,
            placement: row.placement()?,
            unmentioned: row.unmentioned as u32,
            fault,
            ended_at: row.ended_at.map(Timestamp::from_ms),
            outcomes,
        };
        jobs.push((row.cell, job));
    }
    Ok(jobs)
}

async fn outcomes(session: &mut Session, cells: &[i64]) -> Result<Outcomes> {
    let rows = query!(
        r#"SELECT attempt.job, attempt.attempt, worker.name AS worker, attempt.ended AS "ended!",
                  attempt.message, attempt.forgotten_at, outcome.test_error, outcome.test_loss,
                  outcome.best_test_error, outcome.train_seconds AS "train_seconds?",
                  outcome.metrics, outcome.weights
           FROM job
           JOIN attempt ON attempt.job = job.id
           JOIN worker ON worker.id = attempt.worker
           LEFT JOIN outcome ON outcome.job = attempt.job AND outcome.attempt = attempt.attempt
           WHERE job.cell = ANY($1::bigint[]) AND job.attempt > 0
             AND attempt.ended IS NOT NULL AND attempt.ended <> 'released'
           ORDER BY attempt.job, attempt.attempt"#,
        cells
    )
    .fetch_all(session)
    .await?;
    let mut outcomes = Outcomes::new();
    for row in rows {
        let outcome = if row.forgotten_at.is_some() {
            None
        } else if let Some(train_seconds) = row.train_seconds {
            Some(Outcome::Measured(columns::measurement(
                train_seconds,
                [row.test_error, row.test_loss, row.best_test_error],
                row.metrics.as_deref(),
                rows::weights(row.weights.as_deref()),
            )?))
        } else {
            let Some(fault) = rows::fault(Some(&row.ended))? else {
                continue;
            };
            let message = text::told(row.message);
            Some(Outcome::Failed { fault, message })
        };
        let worker = rows::worker_name(&row.worker)?;
        let attempt = rows::attempt(row.attempt);
        let of_job = outcomes.entry(row.job).or_default();
        of_job.push((attempt, worker, outcome));
    }
    Ok(outcomes)
}

/// The canonical specs of these cells, in order.
pub(crate) async fn specs(session: &mut Session, cells: Vec<i64>) -> Result<Vec<String>> {
    let specs = query_scalar!(
        "SELECT cell.spec FROM unnest($1::bigint[]) WITH ORDINALITY AS asked (id, place)
         JOIN cell ON cell.id = asked.id ORDER BY asked.place",
        &cells
    )
    .fetch_all(session)
    .await?;
    if specs.len() != cells.len() {
        return Err(Failure::Damaged("a cell is gone".to_owned()));
    }
    Ok(specs.into_iter().map(text::told).collect())
}

/// What exists already for numbers that are about to be imported.
pub(crate) async fn said(
    session: &mut Session,
    cells: Vec<(String, CellDigest)>,
    sources: Vec<(String, String)>,
) -> Result<Said> {
    let names: Vec<_> = cells.iter().map(|(name, _)| text::kept(name)).collect();
    let names: Vec<&str> = names.iter().map(|name| &**name).collect();
    let digests: Vec<&[u8]> = cells.iter().map(|(_, it)| &it.as_bytes()[..]).collect();
    let found = query!(
        r#"SELECT asked.place AS "place!", cell.id AS "cell!"
           FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS asked (name, digest, place)
           JOIN cell ON cell.digest = asked.digest
           WHERE EXISTS (
               SELECT 1 FROM sweep_cell JOIN sweep ON sweep.id = sweep_cell.sweep
               WHERE sweep_cell.cell = cell.id AND sweep.name = asked.name)"#,
        &names as &[&str],
        &digests as &[&[u8]]
    )
    .fetch_all(&mut *session)
    .await?;
    let mut said = Said {
        cells: vec![None; cells.len()],
        numbers: Vec::new(),
    };
    for row in found {
        if let Some(place) = said.cells.get_mut(row.place as usize - 1) {
            *place = Some(CellKey(row.cell));
        }
    }
    let names: Vec<_> = sources.iter().map(|(name, _)| text::kept(name)).collect();
    let names: Vec<&str> = names.iter().map(|name| &**name).collect();
    let sources: Vec<_> = sources.iter().map(|(_, it)| text::kept(it)).collect();
    let sources: Vec<&str> = sources.iter().map(|source| &**source).collect();
    let rows = query!(
        "SELECT import.sweep, cell.digest, import.source, import.place, import.test_error,
                import.seconds, import.runs, import.replicate, import.seed, import.file,
                import.line
         FROM import JOIN cell ON cell.id = import.cell
         WHERE (import.sweep, import.source) IN (
             SELECT asked.name, asked.source FROM unnest($1::text[], $2::text[])
                 AS asked (name, source))
         ORDER BY import.id",
        &names as &[&str],
        &sources as &[&str]
    )
    .fetch_all(session)
    .await?;
    for row in rows {
        let number = Imported {
            test_error: row.test_error,
            seconds: row.seconds,
            runs: row.runs as u32,
            replicate: row.replicate.map(|it| Replicate(it as u32)),
            seed: row.seed.map(|seed| seed as u64),
            source: text::told(row.source),
            file: text::told(row.file),
            line: row.line as u32,
        };
        let (sweep, cell) = (text::told(row.sweep), rows::cell_digest(&row.digest)?);
        said.numbers.push((sweep, cell, row.place as u32, number));
    }
    Ok(said)
}
