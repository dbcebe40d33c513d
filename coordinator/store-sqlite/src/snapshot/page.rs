//! Pages of a snapshot: rows in the order of their keys.

use sqlx::{SqliteConnection, query};
use swath_store::{Page, PageKey, Part, stored};

use super::jobs;
use crate::error::Result;

pub(super) async fn page(
    conn: &mut SqliteConnection,
    part: Part,
    after: PageKey,
    limit: u32,
) -> Result<Page> {
    let mut page = Page::default();
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
        Part::Credentials => credentials(conn, after, limit, &mut page).await,
    }?;
    Ok(page)
}

/// A function for each part: its name, the row as `stored!` names it, the key after
/// which it begins, what of that the query takes before its limit, and the query.
macro_rules! parts {
    ($($name:ident, $row:ident, $after:pat, [$($key:expr),+], $sql:literal;)+) => {$(
        async fn $name(
            conn: &mut SqliteConnection,
            PageKey($after): PageKey,
            limit: u32,
            page: &mut Page,
        ) -> Result<()> {
            for row in query!($sql, $($key,)+ limit).fetch_all(conn).await? {
                stored!($row, page, row, std::convert::identity);
            }
            Ok(())
        }
    )+};
}

parts! {
    sweeps, sweep, [after, ..], [after],
        r#"SELECT sweep.id AS "id!", digest, name, version, label, title, kind, replicates,
                  priority, live, cause, sources, definition, submitted_at, cells, queued, leased, suspect,
                  succeeded, failed, diverged, cancelled, ended_at
           FROM sweep
           JOIN sweep_counts ON sweep_counts.sweep = sweep.id
           WHERE sweep.id > ?1 ORDER BY sweep.id LIMIT ?2"#;

    inputs, input, [after, ..], [after],
        r#"SELECT id AS "id!", digest, bytes, kept_at FROM input
           WHERE id > ?1 ORDER BY id LIMIT ?2"#;

    pieces, piece, [input, place, _], [input, place],
        "SELECT input, place, content FROM input_piece
         WHERE (input, place) > (?1, ?2) ORDER BY input, place LIMIT ?3";

    shipped, shipped, [sweep, input, _], [sweep, input],
        "SELECT sweep, input FROM sweep_input
         WHERE (sweep, input) > (?1, ?2) ORDER BY sweep, input LIMIT ?3";

    cells, cell, [after, ..], [after],
        r#"SELECT id AS "id!", digest, spec, program, needs, workload FROM cell
           WHERE id > ?1 ORDER BY id LIMIT ?2"#;

    sweep_cells, sweep_cell, [sweep, position, _], [sweep, position],
        "SELECT sweep, position, cell, axes, replicates FROM sweep_cell
         WHERE (sweep, position) > (?1, ?2) ORDER BY sweep, position LIMIT ?3";

    workers, worker, [after, ..], [after],
        r#"SELECT id AS "id!", name, state, cause, session, seen_at, about, failed, silent,
                  forgotten
           FROM worker WHERE id > ?1 ORDER BY id LIMIT ?2"#;

    late, late, [after, ..], [after],
        r#"SELECT id AS "id!", job, attempt, worker, session, outcome, provenance, recorded_at
           FROM late_outcome WHERE id > ?1 ORDER BY id LIMIT ?2"#;

    logs, log, [job, position, _], [job, position],
        "SELECT job, position, attempt, sequence, text FROM log_chunk
         WHERE (job, position) > (?1, ?2) ORDER BY job, position LIMIT ?3";

    // Only requests of newest sessions: others are never asked for again.
    requests, request, [worker, request, _], [worker, request],
        "SELECT grant_request.worker, grant_request.session, request, grants
         FROM worker
         CROSS JOIN grant_request
             ON grant_request.worker = worker.id AND grant_request.session = worker.session
         WHERE worker.id >= ?1 AND (worker.id, request) > (?1, ?2)
         ORDER BY worker.id, request LIMIT ?3";

    replications, replication, [after, ..], [after],
        r#"SELECT sweep AS "sweep!", most, rounds, seeds, settled_at, as_of, verdict
           FROM replication WHERE sweep > ?1 ORDER BY sweep LIMIT ?2"#;

    decisions, decision, [sweep, place, _], [sweep, place],
        "SELECT sweep, place, round, decided_at, cell, replicate, pair FROM decision
         WHERE (sweep, place) > (?1, ?2) ORDER BY sweep, place LIMIT ?3";

    imports, import, [after, ..], [after],
        r#"SELECT id AS "id!", sweep, cell, source, place, test_error, seconds, runs, replicate,
                  seed, file, line, imported_at
           FROM import WHERE id > ?1 ORDER BY id LIMIT ?2"#;

    credentials, credential, [after, ..], [after],
        r#"SELECT id AS "id!", role, holder, secret, uses_left, created_at, created_by,
                  expires_at, revoked_at
           FROM credential WHERE id > ?1 ORDER BY id LIMIT ?2"#;
}
