//! Sweeps, their cells, and how many replicates the cells get.

use sqlx::query;
use swath_model::time::Timestamp;
use swath_store::columns;
use swath_store::{
    DecisionRow, GrownCell, LabelRow, NeedsRow, NewCell, NewSweep, NewSweepCell, ReplicationRow,
    SweepRow,
};

use super::all_written;
use super::pack::{Beside, chunks, lines};
use crate::error::Result;
use crate::rows;
use crate::writer::Tx;

/// Inserts sweeps one by one: there are few, each with files.
pub(super) async fn insert(tx: &mut Tx, sweeps: &[NewSweep]) -> Result<()> {
    for sweep in sweeps {
        let key = sweep.key.0;
        let digest = &sweep.digest.as_bytes()[..];
        let sources = rows::json(&sweep.sources);
        let definition = rows::json(&sweep.definition);
        let submitted_at = sweep.submitted_at.as_ms();
        let cells = sweep.cells as i64;
        let kind = sweep.kind.name();
        let label = rows::json(&sweep.label);
        query!(
            "INSERT INTO sweep
                 (id, digest, name, title, kind, replicates, priority, sources, definition,
                  submitted_at, version, label)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, ?8, ?9, ?10, ?11)",
            key,
            digest,
            sweep.name,
            sweep.title,
            kind,
            sweep.replicates,
            sources,
            definition,
            submitted_at,
            sweep.version,
            label
        )
        .execute(&mut tx.conn)
        .await?;
        query!(
            "INSERT INTO sweep_counts (sweep, cells) VALUES (?1, ?2)",
            key,
            cells
        )
        .execute(&mut tx.conn)
        .await?;
    }
    Ok(())
}

/// Updates sweeps. Usually only the counts change; everything else is in a row
/// that also has the sweep's files, which would be written again.
pub(super) async fn update(tx: &mut Tx, sweeps: &[SweepRow]) -> Result<()> {
    for sweeps in chunks(sweeps, |_| 256) {
        let mut beside = Beside::default();
        let mut states = Vec::with_capacity(sweeps.len());
        let mut counts = Vec::with_capacity(sweeps.len());
        for sweep in sweeps {
            let SweepRow {
                key,
                live,
                paused,
                priority,
                counts: count,
                ended_at,
            } = sweep;
            let cause = beside.add(rows::cause_text(paused.as_ref()));
            let (live, paused) = (u8::from(*live), u8::from(paused.is_some()));
            states.push((key.0, live, paused, cause.0, cause.1, *priority));
            counts.push((
                key.0,
                count.queued,
                count.leased,
                count.suspect,
                count.succeeded,
                count.failed,
                count.diverged,
                count.cancelled,
                ended_at.map(Timestamp::as_ms),
            ));
        }
        let (states, beside) = (lines(&states), beside.as_slice());
        query!(
            "WITH line AS MATERIALIZED (SELECT value FROM json_each(?1))
             UPDATE sweep SET
                 live = line.value ->> 1, paused = line.value ->> 2,
                 cause = CAST(substr(?2, line.value ->> 3, line.value ->> 4) AS TEXT),
                 priority = line.value ->> 5
             FROM line
             WHERE sweep.id = line.value ->> 0
               AND (live, paused, priority, cause) IS NOT (
                   line.value ->> 1, line.value ->> 2, line.value ->> 5,
                   CAST(substr(?2, line.value ->> 3, line.value ->> 4) AS TEXT))",
            states,
            beside
        )
        .execute(&mut tx.conn)
        .await?;
        let counts = lines(&counts);
        let written = query!(
            "WITH line AS MATERIALIZED (SELECT value FROM json_each(?1))
             UPDATE sweep_counts SET
                 queued = line.value ->> 1, leased = line.value ->> 2, suspect = line.value ->> 3,
                 succeeded = line.value ->> 4, failed = line.value ->> 5,
                 diverged = line.value ->> 6, cancelled = line.value ->> 7,
                 ended_at = line.value ->> 8
             FROM line WHERE sweep_counts.sweep = line.value ->> 0",
            counts
        )
        .execute(&mut tx.conn)
        .await?
        .rows_affected();
        all_written("sweeps", written, sweeps.len())?;
    }
    Ok(())
}

/// Writes what is said of sweeps, one by one: that changes seldom.
pub(super) async fn relabel(tx: &mut Tx, labels: &[LabelRow]) -> Result<()> {
    for row in labels {
        let key = row.key.0;
        let label = rows::json(&row.label);
        let written = query!(
            "UPDATE sweep SET name = ?2, version = ?3, label = ?4 WHERE id = ?1",
            key,
            row.name,
            row.version,
            label
        );
        let written = written.execute(&mut tx.conn).await?.rows_affected();
        all_written("sweeps", written, 1)?;
    }
    Ok(())
}

pub(super) async fn insert_cells(tx: &mut Tx, cells: &[NewCell]) -> Result<()> {
    for cells in chunks(cells, |cell| cell.spec.len()) {
        let mut beside = Beside::default();
        let mut list = Vec::with_capacity(cells.len());
        let mut names = Vec::with_capacity(cells.len() * 48);
        for cell in cells {
            names.extend_from_slice(cell.digest.as_bytes());
            names.extend_from_slice(&cell.workload.0);
            let spec = beside.add(&cell.spec);
            let program = beside.add_some(cell.needs.program.as_ref());
            let needs = beside.add_some(columns::needs_text(&cell.needs).as_ref());
            let (program, needs) = ((program.0, program.1), (needs.0, needs.1));
            list.push((
                cell.key.0, spec.0, spec.1, program.0, program.1, needs.0, needs.1,
            ));
        }
        let (list, beside) = (lines(&list), beside.as_slice());
        query!(
            "INSERT INTO cell (id, digest, spec, program, needs, workload)
             SELECT line.value ->> 0, substr(?3, line.key * 48 + 1, 32),
                    CAST(substr(?2, line.value ->> 1, line.value ->> 2) AS TEXT),
                    CAST(substr(?2, line.value ->> 3, line.value ->> 4) AS TEXT),
                    CAST(substr(?2, line.value ->> 5, line.value ->> 6) AS TEXT),
                    substr(?3, line.key * 48 + 33, 16)
             FROM jsonb_each(?1) AS line",
            list,
            beside,
            names
        )
        .execute(&mut tx.conn)
        .await?;
    }
    Ok(())
}

pub(super) async fn change_needs(tx: &mut Tx, cells: &[NeedsRow]) -> Result<()> {
    for cells in chunks(cells, |_| 64) {
        let mut beside = Beside::default();
        let mut list = Vec::with_capacity(cells.len());
        for row in cells {
            let program = beside.add_some(row.needs.program.as_ref());
            let needs = beside.add_some(columns::needs_text(&row.needs).as_ref());
            list.push((row.cell.0, program.0, program.1, needs.0, needs.1));
        }
        let (list, beside) = (lines(&list), beside.as_slice());
        let written = query!(
            "WITH line AS MATERIALIZED (SELECT value FROM json_each(?1))
             UPDATE cell SET
                 program = CAST(substr(?2, line.value ->> 1, line.value ->> 2) AS TEXT),
                 needs = CAST(substr(?2, line.value ->> 3, line.value ->> 4) AS TEXT)
             FROM line WHERE cell.id = line.value ->> 0",
            list,
            beside
        )
        .execute(&mut tx.conn)
        .await?
        .rows_affected();
        all_written("cells", written, cells.len())?;
    }
    Ok(())
}

pub(super) async fn insert_sweep_cells(tx: &mut Tx, cells: &[NewSweepCell]) -> Result<()> {
    // The rows that they become are about this long.
    let bytes = |cell: &NewSweepCell| cell.axes.iter().map(|(name, _)| name.len() + 16).sum();
    for cells in chunks(cells, bytes) {
        let mut beside = Beside::default();
        let mut list = Vec::with_capacity(cells.len());
        for cell in cells {
            let axes = beside.add(rows::json(&cell.axes));
            let position = cell.position;
            list.push((
                cell.sweep.0,
                position,
                cell.cell.0,
                axes.0,
                axes.1,
                cell.replicates,
            ));
        }
        let (list, beside) = (lines(&list), beside.as_slice());
        query!(
            "INSERT INTO sweep_cell (sweep, position, cell, axes, replicates)
             SELECT line.value ->> 0, line.value ->> 1, line.value ->> 2,
                    CAST(substr(?2, line.value ->> 3, line.value ->> 4) AS TEXT), line.value ->> 5
             FROM jsonb_each(?1) AS line",
            list,
            beside
        )
        .execute(&mut tx.conn)
        .await?;
    }
    Ok(())
}

pub(super) async fn grow(tx: &mut Tx, cells: &[GrownCell]) -> Result<()> {
    for cells in chunks(cells, |_| 0) {
        let list = cells
            .iter()
            .map(|cell| (cell.sweep.0, cell.cell.0, cell.replicates));
        let list = lines(&list.collect::<Vec<_>>());
        let written = query!(
            "WITH line AS MATERIALIZED (SELECT value FROM json_each(?1))
             UPDATE sweep_cell SET replicates = line.value ->> 2
             FROM line
             WHERE sweep_cell.cell = line.value ->> 1 AND sweep_cell.sweep = line.value ->> 0",
            list
        )
        .execute(&mut tx.conn)
        .await?
        .rows_affected();
        all_written("cells of sweeps", written, cells.len())?;
    }
    Ok(())
}

/// Written one by one: a sweep has only one.
pub(super) async fn write_replications(tx: &mut Tx, rows: &[ReplicationRow]) -> Result<()> {
    for row in rows {
        let sweep = row.sweep.0;
        let seeds = row.seeds as i64;
        let settled = row.settled.as_ref();
        let settled_at = settled.map(|it| it.at.as_ms());
        let as_of = settled.map(|it| it.as_of.as_ms());
        let pairs = settled.map_or(0, |it| it.verdict.pairs as i64);
        let undecided = settled.map_or(0, |it| it.verdict.undecided.len() as i64);
        let verdict = settled.map(|it| rows::json(&it.verdict));
        query!(
            "INSERT INTO replication
                 (sweep, most, rounds, seeds, settled_at, as_of, pairs, undecided, verdict)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (sweep) DO UPDATE SET
                 most = excluded.most, rounds = excluded.rounds, seeds = excluded.seeds,
                 settled_at = excluded.settled_at, as_of = excluded.as_of,
                 pairs = excluded.pairs, undecided = excluded.undecided,
                 verdict = excluded.verdict",
            sweep,
            row.max,
            row.rounds,
            seeds,
            settled_at,
            as_of,
            pairs,
            undecided,
            verdict
        )
        .execute(&mut tx.conn)
        .await?;
    }
    Ok(())
}

pub(super) async fn insert_decisions(tx: &mut Tx, decisions: &[DecisionRow]) -> Result<()> {
    for decisions in chunks(decisions, |_| 300) {
        let mut beside = Beside::default();
        let mut list = Vec::with_capacity(decisions.len());
        for row in decisions {
            let pair = beside.add(rows::json(&row.pair));
            list.push((
                row.sweep.0,
                row.place,
                row.round,
                row.at.as_ms(),
                row.cell.0,
                row.replicate,
                pair.0,
                pair.1,
            ));
        }
        let (list, beside) = (lines(&list), beside.as_slice());
        query!(
            "INSERT INTO decision (sweep, place, round, decided_at, cell, replicate, pair)
             SELECT line.value ->> 0, line.value ->> 1, line.value ->> 2, line.value ->> 3,
                    line.value ->> 4, line.value ->> 5,
                    CAST(substr(?2, line.value ->> 6, line.value ->> 7) AS TEXT)
             FROM jsonb_each(?1) AS line",
            list,
            beside
        )
        .execute(&mut tx.conn)
        .await?;
    }
    Ok(())
}
