//! Pages of a snapshot: rows in the order of their keys.

use sqlx::query;
use swath_store::{Page, PageKey, Part, stored};

use super::jobs;
use crate::error::Result;
use crate::session::Session;
use crate::text;

pub(super) async fn page(
    session: &mut Session,
    part: Part,
    after: PageKey,
    limit: u32,
) -> Result<Page> {
    let mut page = Page::default();
    match part {
        Part::Sweeps => sweeps(session, after, limit, &mut page).await,
        Part::Inputs => inputs(session, after, limit, &mut page).await,
        Part::Pieces => pieces(session, after, limit, &mut page).await,
        Part::Shipped => shipped(session, after, limit, &mut page).await,
        Part::Cells => cells(session, after, limit, &mut page).await,
        Part::SweepCells => sweep_cells(session, after, limit, &mut page).await,
        Part::Workers => workers(session, after, limit, &mut page).await,
        Part::Jobs => jobs::jobs(session, after, limit, &mut page).await,
        Part::Late => late(session, after, limit, &mut page).await,
        Part::Observations => jobs::observations(session, after, limit, &mut page).await,
        Part::Logs => logs(session, after, limit, &mut page).await,
        Part::Requests => requests(session, after, limit, &mut page).await,
        Part::Replications => replications(session, after, limit, &mut page).await,
        Part::Decisions => decisions(session, after, limit, &mut page).await,
        Part::Imports => imports(session, after, limit, &mut page).await,
        Part::Credentials => credentials(session, after, limit, &mut page).await,
    }?;
    Ok(page)
}

/// A function for each part: its name, the row as `stored!` names it, the key after
/// which it begins, what of that the query takes before its limit, and the query.
macro_rules! parts {
    ($($name:ident, $row:ident, $after:pat, [$($key:expr),+], $sql:literal;)+) => {$(
        async fn $name(
            session: &mut Session,
            PageKey($after): PageKey,
            limit: u32,
            page: &mut Page,
        ) -> Result<()> {
            for row in query!($sql, $($key,)+ i64::from(limit)).fetch_all(session).await? {
                stored!($row, page, row, text::told);
            }
            Ok(())
        }
    )+};
}

parts! {
    sweeps, sweep, [after, ..], [after],
        r#"SELECT sweep.id, digest, name, version, label, title, kind, replicates, priority, live,
                  cause, sources, definition, submitted_at, cells, queued, leased, suspect,
                  succeeded, failed, diverged, cancelled, ended_at
           FROM sweep
           JOIN sweep_counts ON sweep_counts.sweep = sweep.id
           WHERE sweep.id > $1 ORDER BY sweep.id LIMIT $2"#;

    inputs, input, [after, ..], [after],
        "SELECT id, digest, bytes, kept_at FROM input WHERE id > $1 ORDER BY id LIMIT $2";

    pieces, piece, [input, place, _], [input, place],
        "SELECT input, place, content FROM input_piece
         WHERE (input, place) > ($1, $2) ORDER BY input, place LIMIT $3";

    shipped, shipped, [sweep, input, _], [sweep, input],
        "SELECT sweep, input FROM sweep_input
         WHERE (sweep, input) > ($1, $2) ORDER BY sweep, input LIMIT $3";

    cells, cell, [after, ..], [after],
        r#"SELECT id, digest, spec, program, needs, workload FROM cell
           WHERE id > $1 ORDER BY id LIMIT $2"#;

    sweep_cells, sweep_cell, [sweep, position, _], [sweep, position],
        "SELECT sweep, position, cell, axes, replicates FROM sweep_cell
         WHERE (sweep, position) > ($1, $2) ORDER BY sweep, position LIMIT $3";

    workers, worker, [after, ..], [after],
        r#"SELECT id, name, state, cause, session, seen_at, about, failed, silent,
                forgotten
           FROM worker WHERE id > $1 ORDER BY id LIMIT $2"#;

    late, late, [after, ..], [after],
        r#"SELECT id, job, attempt, worker, session, outcome, provenance, recorded_at
           FROM late_outcome WHERE id > $1 ORDER BY id LIMIT $2"#;

    logs, log, [job, position, _], [job, position],
        "SELECT job, position, attempt, sequence, text FROM log_chunk
         WHERE (job, position) > ($1, $2) ORDER BY job, position LIMIT $3";

    // Only requests of newest sessions: others are never asked for again.
    requests, request, [worker, request, _], [worker, request],
        "SELECT grant_request.worker, grant_request.session, request, grants
         FROM worker
         JOIN grant_request
             ON grant_request.worker = worker.id AND grant_request.session = worker.session
         WHERE worker.id >= $1 AND (worker.id, request) > ($1, $2)
         ORDER BY worker.id, request LIMIT $3";

    replications, replication, [after, ..], [after],
        r#"SELECT sweep, most, rounds, seeds, settled_at, as_of, verdict
           FROM replication WHERE sweep > $1 ORDER BY sweep LIMIT $2"#;

    decisions, decision, [sweep, place, _], [sweep, place],
        "SELECT sweep, place, round, decided_at, cell, replicate, pair FROM decision
         WHERE (sweep, place) > ($1, $2) ORDER BY sweep, place LIMIT $3";

    imports, import, [after, ..], [after],
        r#"SELECT id, sweep, cell, source, place, test_error, seconds, runs, replicate,
                  seed, file, line, imported_at
           FROM import WHERE id > $1 ORDER BY id LIMIT $2"#;

    credentials, credential, [after, ..], [after],
        "SELECT id, role, holder, secret, uses_left, created_at, created_by, expires_at, revoked_at
         FROM credential WHERE id > $1 ORDER BY id LIMIT $2";
}
