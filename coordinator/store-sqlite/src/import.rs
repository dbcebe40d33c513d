//! Numbers from elsewhere come in, and out again.

use std::collections::{BTreeSet, HashMap};

use futures_util::TryStreamExt;
use sqlx::{SqliteConnection, query, query_scalar};
use swath_core::id::Replicate;
use swath_core::import::{ImportBatch, ImportCounts, ImportRow, Imported};
use swath_core::time::Timestamp;
use swath_store::StoreError;

use crate::error::Result;
use crate::writer::Tx;

/// Stores numbers, all or nothing.
pub(crate) async fn import(
    tx: &mut Tx,
    now: Timestamp,
    batch: ImportBatch,
) -> Result<ImportCounts> {
    let mut counts = ImportCounts::default();
    if batch.replace {
        let said = batch
            .rows
            .iter()
            .map(|row| (&row.sweep, &row.number.source));
        let said: BTreeSet<_> = said.collect();
        for (sweep, source) in said {
            let done = query!(
                "DELETE FROM import WHERE sweep = ?1 AND source = ?2",
                sweep,
                source
            );
            counts.removed += done.execute(&mut tx.conn).await?.rows_affected();
        }
    }
    for row in &batch.rows {
        if add(tx, now, row).await? {
            counts.new += 1;
        } else {
            counts.known += 1;
        }
    }
    Ok(counts)
}

/// Stores one number; says whether it is new.
async fn add(tx: &mut Tx, now: Timestamp, row: &ImportRow) -> Result<bool> {
    if !row.number.is_sound() {
        return Err(StoreError::Conflict(row.is_unsound()).into());
    }
    let digest = &row.cell.as_bytes()[..];
    let cell = query_scalar!(
        r#"SELECT cell.id AS "id!" FROM cell
           JOIN sweep_cell ON sweep_cell.cell = cell.id
           JOIN sweep ON sweep.id = sweep_cell.sweep
           WHERE cell.digest = ?1 AND sweep.name = ?2 LIMIT 1"#,
        digest,
        row.sweep
    )
    .fetch_optional(&mut tx.conn)
    .await?
    .ok_or_else(|| StoreError::NotFound(row.cell_of_sweep()))?;
    if let Some(known) = known(tx, cell, row).await? {
        if known.says(&row.number) {
            return Ok(false);
        }
        return Err(StoreError::Conflict(row.contradicts(&known)).into());
    }
    let Imported {
        test_error,
        seconds,
        runs,
        replicate,
        seed,
        source,
        file,
        line,
    } = &row.number;
    let replicate = replicate.map(|it| it.0);
    let seed = seed.map(|seed| seed as i64);
    let now = now.as_ms();
    query!(
        "INSERT INTO import (sweep, cell, source, place, test_error, seconds, runs, replicate,
                             seed, file, line, imported_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        row.sweep,
        cell,
        source,
        row.place,
        test_error,
        seconds,
        runs,
        replicate,
        seed,
        file,
        line,
        now
    )
    .execute(&mut tx.conn)
    .await?;
    Ok(true)
}

/// What the source of `row` has said in its place.
async fn known(tx: &mut Tx, cell: i64, row: &ImportRow) -> Result<Option<Imported>> {
    let source = &row.number.source;
    let known = query!(
        "SELECT test_error, seconds, runs, replicate, seed, file, line FROM import
         WHERE sweep = ?1 AND cell = ?2 AND source = ?3 AND place = ?4",
        row.sweep,
        cell,
        source,
        row.place
    )
    .fetch_optional(&mut tx.conn)
    .await?;
    Ok(known.map(|known| Imported {
        test_error: known.test_error,
        seconds: known.seconds,
        runs: known.runs as u32,
        replicate: known.replicate.map(|it| Replicate(it as u32)),
        seed: known.seed.map(|seed| seed as u64),
        source: source.clone(),
        file: known.file,
        line: known.line as u32,
    }))
}

/// The numbers of the sweeps of this name, by the digest of their cell, each
/// cell's by source and place.
pub(crate) async fn of_sweep(
    conn: &mut SqliteConnection,
    sweep: &str,
) -> Result<HashMap<Vec<u8>, Vec<Imported>>> {
    let mut rows = query!(
        "SELECT cell.digest, source, test_error, seconds, runs, replicate, seed, file, line
         FROM import CROSS JOIN cell ON cell.id = import.cell
         WHERE import.sweep = ?1
         ORDER BY import.cell, source, place",
        sweep
    )
    .fetch(conn);
    let mut numbers: HashMap<Vec<u8>, Vec<Imported>> = HashMap::new();
    while let Some(row) = rows.try_next().await? {
        numbers.entry(row.digest).or_default().push(Imported {
            test_error: row.test_error,
            seconds: row.seconds,
            runs: row.runs as u32,
            replicate: row.replicate.map(|it| Replicate(it as u32)),
            seed: row.seed.map(|seed| seed as u64),
            source: row.source,
            file: row.file,
            line: row.line as u32,
        });
    }
    Ok(numbers)
}
