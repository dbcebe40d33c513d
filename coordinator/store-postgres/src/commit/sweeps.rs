//! Sweeps and their cells.

use sqlx::query;
use swath_model::needs::Needs;
use swath_model::time::Timestamp;
use swath_store::columns;
use swath_store::{GrownCell, LabelRow, NeedsRow, NewCell, NewSweep, NewSweepCell, SweepRow};

use super::{CHUNK, all_written, copy};
use crate::error::Result;
use crate::rows;
use crate::session::Session;
use crate::text;

/// Inserts new sweeps; what may change about them follows.
pub(super) async fn insert(session: &mut Session, sweeps: &[NewSweep]) -> Result<()> {
    // There are few, and each may have megabytes.
    for sweep in sweeps {
        let digest = &sweep.digest.as_bytes()[..];
        let name = text::kept(&sweep.name);
        let title = text::kept(&sweep.title);
        let sources = rows::json(&sweep.sources);
        let definition = rows::json(&sweep.definition);
        let label = rows::json(&sweep.label);
        query!(
            "INSERT INTO sweep (id, digest, name, title, kind, replicates, priority, sources,
                                definition, submitted_at, version, label)
             VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8, $9, $10, $11)",
            sweep.key.0,
            digest,
            &*name,
            &*title,
            sweep.kind.name(),
            i64::from(sweep.replicates),
            sources,
            definition,
            sweep.submitted_at.as_ms(),
            i64::from(sweep.version),
            label
        )
        .execute(&mut *session)
        .await?;
        query!(
            "INSERT INTO sweep_counts (sweep, cells) VALUES ($1, $2)",
            sweep.key.0,
            sweep.cells as i64
        )
        .execute(&mut *session)
        .await?;
    }
    Ok(())
}

/// Writes what may change about sweeps. The row with a sweep's files is written
/// only if something in it changed: usually only counts did.
pub(super) async fn update(session: &mut Session, sweeps: &[SweepRow]) -> Result<()> {
    for chunk in sweeps.chunks(CHUNK) {
        let ids: Vec<i64> = chunk.iter().map(|row| row.key.0).collect();
        let live: Vec<bool> = chunk.iter().map(|row| row.live).collect();
        let paused: Vec<bool> = chunk.iter().map(|row| row.paused.is_some()).collect();
        let causes = chunk
            .iter()
            .map(|row| rows::cause_text(row.paused.as_ref()));
        let causes: Vec<String> = causes.collect();
        let priorities: Vec<i64> = chunk.iter().map(|row| row.priority.into()).collect();
        let count = |of: fn(&SweepRow) -> u64| -> Vec<i64> {
            chunk.iter().map(|row| of(row) as i64).collect()
        };
        let ended: Vec<Option<i64>> = chunk
            .iter()
            .map(|row| row.ended_at.map(Timestamp::as_ms))
            .collect();
        let done = query!(
            "WITH line AS MATERIALIZED (
                 SELECT * FROM unnest($1::bigint[], $2::boolean[], $3::boolean[], $4::text[],
                     $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[],
                     $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[])
                 AS line (id, live, paused, cause, priority, queued, leased, suspect, succeeded,
                          failed, diverged, cancelled, ended_at)),
             said AS (
                 UPDATE sweep SET live = line.live, paused = line.paused, cause = line.cause,
                     priority = line.priority
                 FROM line
                 WHERE sweep.id = line.id
                   AND (sweep.live, sweep.paused, sweep.cause, sweep.priority)
                       IS DISTINCT FROM (line.live, line.paused, line.cause, line.priority))
             UPDATE sweep_counts SET queued = line.queued, leased = line.leased,
                 suspect = line.suspect, succeeded = line.succeeded, failed = line.failed,
                 diverged = line.diverged, cancelled = line.cancelled, ended_at = line.ended_at
             FROM line WHERE sweep_counts.sweep = line.id",
            &ids,
            &live,
            &paused,
            &causes,
            &priorities,
            &count(|row| row.counts.queued),
            &count(|row| row.counts.leased),
            &count(|row| row.counts.suspect),
            &count(|row| row.counts.succeeded),
            &count(|row| row.counts.failed),
            &count(|row| row.counts.diverged),
            &count(|row| row.counts.cancelled),
            &ended as &[Option<i64>]
        )
        .execute(&mut *session)
        .await?;
        all_written(done.rows_affected(), chunk.len(), "sweeps")?;
    }
    Ok(())
}

/// Writes what is said of sweeps, one by one: that changes seldom.
pub(super) async fn relabel(session: &mut Session, labels: &[LabelRow]) -> Result<()> {
    for row in labels {
        let done = query!(
            "UPDATE sweep SET name = $2, version = $3, label = $4 WHERE id = $1",
            row.key.0,
            &*text::kept(&row.name),
            i64::from(row.version),
            rows::json(&row.label)
        )
        .execute(&mut *session)
        .await?;
        all_written(done.rows_affected(), 1, "sweeps")?;
    }
    Ok(())
}

/// Inserts new cells.
pub(super) async fn insert_cells(session: &mut Session, cells: &[NewCell]) -> Result<()> {
    if cells.len() > copy::FEW {
        return copy_cells(session, cells).await;
    }
    for chunk in cells.chunks(CHUNK) {
        let ids: Vec<i64> = chunk.iter().map(|row| row.key.0).collect();
        let digests: Vec<&[u8]> = chunk.iter().map(|row| &row.digest.as_bytes()[..]).collect();
        let specs: Vec<_> = chunk.iter().map(|row| text::kept(&row.spec)).collect();
        let specs: Vec<&str> = specs.iter().map(|spec| &**spec).collect();
        let of = chunk.iter().map(|row| program_and_rest(&row.needs));
        let (programs, needs): (Vec<_>, Vec<_>) = of.unzip();
        let workloads: Vec<&[u8]> = chunk.iter().map(|row| &row.workload.0[..]).collect();
        query!(
            "INSERT INTO cell (id, digest, spec, program, needs, workload)
             SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::text[], $4::text[], $5::text[],
                                  $6::bytea[])",
            &ids,
            &digests as &[&[u8]],
            &specs as &[&str],
            &programs as &[Option<String>],
            &needs as &[Option<String>],
            &workloads as &[&[u8]]
        )
        .execute(&mut *session)
        .await?;
    }
    Ok(())
}

async fn copy_cells(session: &mut Session, cells: &[NewCell]) -> Result<()> {
    let columns = "cell (id, digest, spec, program, needs, workload)";
    copy::rows(session, columns, cells, |row, lines| {
        let (program, needs) = program_and_rest(&row.needs);
        lines.push([
            Some(&row.key.0.to_be_bytes()),
            Some(row.digest.as_bytes()),
            Some(text::kept(&row.spec).as_bytes()),
            program.as_deref().map(str::as_bytes),
            needs.as_deref().map(str::as_bytes),
            Some(&row.workload.0),
        ]);
    })
    .await
}

/// What the jobs of a cell need: their program, and the rest.
fn program_and_rest(needs: &Needs) -> (Option<String>, Option<String>) {
    let program = needs.program.as_deref();
    let program = program.map(|program| text::kept(program).into_owned());
    (program, columns::needs_text(needs))
}

/// Changes what the jobs of cells need.
pub(super) async fn change_needs(session: &mut Session, cells: &[NeedsRow]) -> Result<()> {
    for chunk in cells.chunks(CHUNK) {
        let ids: Vec<i64> = chunk.iter().map(|row| row.cell.0).collect();
        let of = chunk.iter().map(|row| program_and_rest(&row.needs));
        let (programs, needs): (Vec<_>, Vec<_>) = of.unzip();
        let done = query!(
            "UPDATE cell SET program = line.program, needs = line.needs
             FROM unnest($1::bigint[], $2::text[], $3::text[]) AS line (id, program, needs)
             WHERE cell.id = line.id",
            &ids,
            &programs as &[Option<String>],
            &needs as &[Option<String>]
        )
        .execute(&mut *session)
        .await?;
        all_written(done.rows_affected(), chunk.len(), "cells")?;
    }
    Ok(())
}

/// Inserts the cells of new sweeps.
pub(super) async fn insert_sweep_cells(
    session: &mut Session,
    cells: &[NewSweepCell],
) -> Result<()> {
    if cells.len() > copy::FEW {
        return copy_sweep_cells(session, cells).await;
    }
    for chunk in cells.chunks(CHUNK) {
        let sweeps: Vec<i64> = chunk.iter().map(|row| row.sweep.0).collect();
        let positions: Vec<i64> = chunk.iter().map(|row| row.position as i64).collect();
        let ids: Vec<i64> = chunk.iter().map(|row| row.cell.0).collect();
        let axes: Vec<String> = chunk.iter().map(|row| rows::json(&row.axes)).collect();
        let replicates: Vec<i64> = chunk.iter().map(|row| row.replicates.into()).collect();
        query!(
            "INSERT INTO sweep_cell (sweep, position, cell, axes, replicates)
             SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[],
                                  $5::bigint[])",
            &sweeps,
            &positions,
            &ids,
            &axes,
            &replicates
        )
        .execute(&mut *session)
        .await?;
    }
    Ok(())
}

async fn copy_sweep_cells(session: &mut Session, cells: &[NewSweepCell]) -> Result<()> {
    let columns = "sweep_cell (sweep, position, cell, axes, replicates)";
    copy::rows(session, columns, cells, |row, lines| {
        lines.push([
            Some(&row.sweep.0.to_be_bytes()),
            Some(&(row.position as i64).to_be_bytes()),
            Some(&row.cell.0.to_be_bytes()),
            Some(rows::json(&row.axes).as_bytes()),
            Some(&i64::from(row.replicates).to_be_bytes()),
        ]);
    })
    .await
}

/// Writes cells of which a sweep holds more replicates now.
pub(super) async fn grow(session: &mut Session, grown: &[GrownCell]) -> Result<()> {
    for chunk in grown.chunks(CHUNK) {
        let sweeps: Vec<i64> = chunk.iter().map(|row| row.sweep.0).collect();
        let cells: Vec<i64> = chunk.iter().map(|row| row.cell.0).collect();
        let replicates: Vec<i64> = chunk.iter().map(|row| row.replicates.into()).collect();
        let done = query!(
            "UPDATE sweep_cell SET replicates = line.replicates
             FROM unnest($1::bigint[], $2::bigint[], $3::bigint[])
                 AS line (sweep, cell, replicates)
             WHERE sweep_cell.sweep = line.sweep AND sweep_cell.cell = line.cell",
            &sweeps,
            &cells,
            &replicates
        )
        .execute(&mut *session)
        .await?;
        all_written(done.rows_affected(), chunk.len(), "cells of sweeps")?;
    }
    Ok(())
}
