//! Pages of a snapshot: rows in the order of their keys.

use sqlx::{SqliteConnection, query};
use swath_model::id::{Replicate, SessionId};
use swath_model::import::Imported;
use swath_model::probe::WorkloadKey;
use swath_model::time::Timestamp;
use swath_model::view::Counts;
use swath_store::columns;
use swath_store::{
    CellKey, Changes, CopiedLog, DecisionRow, GrantRequest, InputKey, InputPiece, JobKey,
    LateOutcome, LogRow, NewCell, NewImport, NewInput, NewSweep, NewSweepCell, Page, PageKey, Part,
    ReplicationRow, SettledRow, ShippedInput, SweepKey, SweepRow, WorkerKey, WorkerRow,
};

use super::jobs;
use crate::error::Result;
use crate::rows;

/// The rows of a page, and their keys, as they are read.
#[derive(Default)]
pub(super) struct Filling {
    pub(super) rows: Changes,
    count: u32,
    last: Option<PageKey>,
}

impl Filling {
    /// Notes that the next row has this key.
    pub(super) const fn at(&mut self, key: [i64; 3]) -> &mut Changes {
        self.count += 1;
        self.last = Some(PageKey(key));
        &mut self.rows
    }
}

pub(super) async fn page(
    conn: &mut SqliteConnection,
    part: Part,
    after: PageKey,
    limit: u32,
) -> Result<Page> {
    let mut page = Filling::default();
    match part {
        Part::Sweeps => sweeps(conn, after, limit, &mut page).await,
        Part::Inputs => inputs(conn, after, limit, &mut page).await,
        Part::Pieces => pieces(conn, after, limit, &mut page).await,
        Part::Shipped => shipped(conn, after, limit, &mut page).await,
        Part::Cells => cells(conn, after, limit, &mut page).await,
        Part::SweepCells => sweep_cells(conn, after, limit, &mut page).await,
        Part::Workers => workers(conn, after, limit, &mut page).await,
        Part::Jobs => jobs::jobs(conn, after, limit, &mut page).await,
        Part::Late => late(conn, after, limit, &mut page).await,
        Part::Observations => jobs::observations(conn, after, limit, &mut page).await,
        Part::Logs => logs(conn, after, limit, &mut page).await,
        Part::Requests => requests(conn, after, limit, &mut page).await,
        Part::Replications => replications(conn, after, limit, &mut page).await,
        Part::Decisions => decisions(conn, after, limit, &mut page).await,
        Part::Imports => imports(conn, after, limit, &mut page).await,
    }?;
    Ok(Page {
        rows: page.rows,
        count: page.count,
        last: page.last,
    })
}

async fn sweeps(
    conn: &mut SqliteConnection,
    PageKey([after, ..]): PageKey,
    limit: u32,
    page: &mut Filling,
) -> Result<()> {
    let found = query!(
        r#"SELECT sweep.id AS "id!", digest, name, version, label, title, kind, replicates,
                  priority, live, cause, sources, definition, submitted_at, cells, queued, leased, suspect,
                  succeeded, failed, diverged, cancelled, ended_at
           FROM sweep
           JOIN sweep_counts ON sweep_counts.sweep = sweep.id
           WHERE sweep.id > ?1 ORDER BY sweep.id LIMIT ?2"#,
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    for row in found {
        let key = SweepKey(row.id);
        let all = page.at([row.id, 0, 0]);
        all.new_sweeps.push(NewSweep {
            key,
            digest: rows::sweep_digest(&row.digest)?,
            name: row.name,
            version: row.version as u32,
            label: serde_json::from_str(&row.label)?,
            title: row.title,
            kind: rows::sweep_kind(&row.kind)?,
            replicates: row.replicates as u32,
            cells: row.cells as u64,
            sources: serde_json::from_str(&row.sources)?,
            definition: serde_json::from_str(&row.definition)?,
            submitted_at: Timestamp::from_ms(row.submitted_at),
        });
        all.sweeps.push(SweepRow {
            key,
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
        });
    }
    Ok(())
}

async fn inputs(
    conn: &mut SqliteConnection,
    PageKey([after, ..]): PageKey,
    limit: u32,
    page: &mut Filling,
) -> Result<()> {
    let found = query!(
        r#"SELECT id AS "id!", digest, bytes, kept_at FROM input
           WHERE id > ?1 ORDER BY id LIMIT ?2"#,
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    for row in found {
        page.at([row.id, 0, 0]).inputs.push(NewInput {
            key: InputKey(row.id),
            digest: rows::input_digest(&row.digest)?,
            bytes: row.bytes as u64,
            at: Timestamp::from_ms(row.kept_at),
        });
    }
    Ok(())
}

async fn pieces(
    conn: &mut SqliteConnection,
    PageKey([input, place, _]): PageKey,
    limit: u32,
    page: &mut Filling,
) -> Result<()> {
    let found = query!(
        "SELECT input, place, content FROM input_piece
         WHERE (input, place) > (?1, ?2) ORDER BY input, place LIMIT ?3",
        input,
        place,
        limit
    )
    .fetch_all(conn)
    .await?;
    for row in found {
        page.at([row.input, row.place, 0]).pieces.push(InputPiece {
            input: InputKey(row.input),
            place: row.place as u32,
            content: row.content,
        });
    }
    Ok(())
}

async fn shipped(
    conn: &mut SqliteConnection,
    PageKey([sweep, input, _]): PageKey,
    limit: u32,
    page: &mut Filling,
) -> Result<()> {
    let found = query!(
        "SELECT sweep, input FROM sweep_input
         WHERE (sweep, input) > (?1, ?2) ORDER BY sweep, input LIMIT ?3",
        sweep,
        input,
        limit
    )
    .fetch_all(conn)
    .await?;
    for row in found {
        page.at([row.sweep, row.input, 0])
            .shipped
            .push(ShippedInput {
                sweep: SweepKey(row.sweep),
                input: InputKey(row.input),
            });
    }
    Ok(())
}

async fn cells(
    conn: &mut SqliteConnection,
    PageKey([after, ..]): PageKey,
    limit: u32,
    page: &mut Filling,
) -> Result<()> {
    let found = query!(
        r#"SELECT id AS "id!", digest, spec, program, needs, workload FROM cell
           WHERE id > ?1 ORDER BY id LIMIT ?2"#,
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    for row in found {
        let stored = row.workload.and_then(|key| key.try_into().ok());
        page.at([row.id, 0, 0]).cells.push(NewCell {
            key: CellKey(row.id),
            digest: rows::cell_digest(&row.digest)?,
            workload: stored.map_or_else(|| WorkloadKey::of_cell(&row.spec), WorkloadKey),
            spec: row.spec,
            needs: columns::needs(row.program, row.needs.as_deref())?,
        });
    }
    Ok(())
}

async fn sweep_cells(
    conn: &mut SqliteConnection,
    PageKey([sweep, position, _]): PageKey,
    limit: u32,
    page: &mut Filling,
) -> Result<()> {
    let found = query!(
        "SELECT sweep, position, cell, axes, replicates FROM sweep_cell
         WHERE (sweep, position) > (?1, ?2) ORDER BY sweep, position LIMIT ?3",
        sweep,
        position,
        limit
    )
    .fetch_all(conn)
    .await?;
    for row in found {
        let all = page.at([row.sweep, row.position, 0]);
        all.sweep_cells.push(NewSweepCell {
            sweep: SweepKey(row.sweep),
            position: row.position as u64,
            cell: CellKey(row.cell),
            axes: serde_json::from_str(&row.axes)?,
            replicates: row.replicates as u32,
        });
    }
    Ok(())
}

async fn workers(
    conn: &mut SqliteConnection,
    PageKey([after, ..]): PageKey,
    limit: u32,
    page: &mut Filling,
) -> Result<()> {
    let found = query!(
        r#"SELECT id AS "id!", name, state, cause, session, seen_at, about, failed, silent,
                  forgotten
           FROM worker WHERE id > ?1 ORDER BY id LIMIT ?2"#,
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    for row in found {
        page.at([row.id, 0, 0]).workers.push(WorkerRow {
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
        });
    }
    Ok(())
}

async fn late(
    conn: &mut SqliteConnection,
    PageKey([after, ..]): PageKey,
    limit: u32,
    page: &mut Filling,
) -> Result<()> {
    let found = query!(
        r#"SELECT id AS "id!", job, attempt, worker, session, outcome, provenance, recorded_at
           FROM late_outcome WHERE id > ?1 ORDER BY id LIMIT ?2"#,
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    for row in found {
        page.at([row.id, 0, 0]).late.push(LateOutcome {
            job: JobKey(row.job),
            attempt: rows::attempt(row.attempt),
            worker: WorkerKey(row.worker),
            session: SessionId(row.session as u64),
            outcome: serde_json::from_str(&row.outcome)?,
            provenance: serde_json::from_str(&row.provenance)?,
            recorded_at: Timestamp::from_ms(row.recorded_at),
        });
    }
    Ok(())
}

async fn logs(
    conn: &mut SqliteConnection,
    PageKey([job, position, _]): PageKey,
    limit: u32,
    page: &mut Filling,
) -> Result<()> {
    let found = query!(
        "SELECT job, position, attempt, sequence, text FROM log_chunk
         WHERE (job, position) > (?1, ?2) ORDER BY job, position LIMIT ?3",
        job,
        position,
        limit
    )
    .fetch_all(conn)
    .await?;
    for row in found {
        let all = page.at([row.job, row.position, 0]);
        all.copied.get_or_insert_default().logs.push(CopiedLog {
            position: row.position as u64,
            row: LogRow {
                job: JobKey(row.job),
                attempt: rows::attempt(row.attempt),
                sequence: row.sequence as u64,
                text: row.text,
            },
        });
    }
    Ok(())
}

/// Only requests of newest sessions: others are never asked for again.
async fn requests(
    conn: &mut SqliteConnection,
    PageKey([worker, request, _]): PageKey,
    limit: u32,
    page: &mut Filling,
) -> Result<()> {
    let found = query!(
        "SELECT grant_request.worker, grant_request.session, request, grants
         FROM worker
         CROSS JOIN grant_request
             ON grant_request.worker = worker.id AND grant_request.session = worker.session
         WHERE worker.id >= ?1 AND (worker.id, request) > (?1, ?2)
         ORDER BY worker.id, request LIMIT ?3",
        worker,
        request,
        limit
    )
    .fetch_all(conn)
    .await?;
    for row in found {
        let grants: Vec<(i64, u32)> = serde_json::from_str(&row.grants)?;
        let grants = grants.into_iter();
        page.at([row.worker, row.request, 0])
            .requests
            .push(GrantRequest {
                worker: WorkerKey(row.worker),
                session: SessionId(row.session as u64),
                request: row.request as u64,
                grants: grants
                    .map(|(job, attempt)| (JobKey(job), rows::attempt(attempt.into())))
                    .collect(),
            });
    }
    Ok(())
}

async fn replications(
    conn: &mut SqliteConnection,
    PageKey([after, ..]): PageKey,
    limit: u32,
    page: &mut Filling,
) -> Result<()> {
    let found = query!(
        r#"SELECT sweep AS "sweep!", most, rounds, seeds, settled_at, as_of, verdict
           FROM replication WHERE sweep > ?1 ORDER BY sweep LIMIT ?2"#,
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    for row in found {
        let settled = match (row.settled_at, row.as_of, row.verdict) {
            (Some(at), Some(as_of), Some(verdict)) => Some(SettledRow {
                at: Timestamp::from_ms(at),
                as_of: Timestamp::from_ms(as_of),
                verdict: serde_json::from_str(&verdict)?,
            }),
            _ => None,
        };
        page.at([row.sweep, 0, 0])
            .replications
            .push(ReplicationRow {
                sweep: SweepKey(row.sweep),
                max: row.most as u32,
                rounds: row.rounds as u32,
                seeds: row.seeds as u64,
                settled,
            });
    }
    Ok(())
}

async fn decisions(
    conn: &mut SqliteConnection,
    PageKey([sweep, place, _]): PageKey,
    limit: u32,
    page: &mut Filling,
) -> Result<()> {
    let found = query!(
        "SELECT sweep, place, round, decided_at, cell, replicate, pair FROM decision
         WHERE (sweep, place) > (?1, ?2) ORDER BY sweep, place LIMIT ?3",
        sweep,
        place,
        limit
    )
    .fetch_all(conn)
    .await?;
    for row in found {
        page.at([row.sweep, row.place, 0])
            .decisions
            .push(DecisionRow {
                sweep: SweepKey(row.sweep),
                place: row.place as u64,
                round: row.round as u32,
                at: Timestamp::from_ms(row.decided_at),
                cell: CellKey(row.cell),
                replicate: Replicate(row.replicate as u32),
                pair: serde_json::from_str(&row.pair)?,
            });
    }
    Ok(())
}

async fn imports(
    conn: &mut SqliteConnection,
    PageKey([after, ..]): PageKey,
    limit: u32,
    page: &mut Filling,
) -> Result<()> {
    let found = query!(
        r#"SELECT id AS "id!", sweep, cell, source, place, test_error, seconds, runs, replicate,
                  seed, file, line, imported_at
           FROM import WHERE id > ?1 ORDER BY id LIMIT ?2"#,
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    for row in found {
        page.at([row.id, 0, 0]).imports.push(NewImport {
            sweep: row.sweep,
            cell: CellKey(row.cell),
            place: row.place as u32,
            number: Imported {
                test_error: row.test_error,
                seconds: row.seconds,
                runs: row.runs as u32,
                replicate: row.replicate.map(|it| Replicate(it as u32)),
                seed: row.seed.map(|seed| seed as u64),
                source: row.source,
                file: row.file,
                line: row.line as u32,
            },
            at: Timestamp::from_ms(row.imported_at),
        });
    }
    Ok(())
}
