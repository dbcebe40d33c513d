//! Numbers from elsewhere come in, and out again.

use std::collections::BTreeSet;
use std::collections::hash_map::{Entry, HashMap};

use futures_util::TryStreamExt;
use sqlx::{SqliteConnection, query, query_scalar};
use swath_core::id::{CellDigest, Replicate};
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
    let mut seen = Seen::default();
    for row in &batch.rows {
        if add(tx, now, row, &mut seen).await? {
            counts.new += 1;
        } else {
            counts.known += 1;
        }
    }
    Ok(counts)
}

/// What was looked up for earlier rows: most are of the same sweeps, cells and
/// sources.
#[derive(Default)]
struct Seen<'a> {
    /// Ids, by sweep and digest.
    cells: HashMap<(&'a str, CellDigest), i64>,
    /// By sweep and source: what the source had said, and has by now.
    said: HashMap<(&'a str, &'a str), Said>,
}

/// Numbers by cell and place.
type Said = HashMap<(i64, u32), Imported>;

/// Stores one number; says whether it is new.
async fn add<'a>(
    tx: &mut Tx,
    now: Timestamp,
    row: &'a ImportRow,
    seen: &mut Seen<'a>,
) -> Result<bool> {
    if !row.number.is_sound() {
        return Err(StoreError::Conflict(row.is_unsound()).into());
    }
    let cell = match seen.cells.entry((&row.sweep, row.cell)) {
        Entry::Occupied(known) => *known.get(),
        Entry::Vacant(free) => *free.insert(cell(tx, row).await?),
    };
    let said = match seen.said.entry((&row.sweep, &row.number.source)) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(free) => free.insert(said(tx, row).await?),
    };
    match said.entry((cell, row.place)) {
        Entry::Occupied(known) if known.get().says(&row.number) => return Ok(false),
        Entry::Occupied(known) => {
            return Err(StoreError::Conflict(row.contradicts(known.get())).into());
        }
        Entry::Vacant(free) => free.insert(row.number.clone()),
    };
    insert(tx, now, row, cell).await?;
    Ok(true)
}

/// The id of the cell that a row is of.
async fn cell(tx: &mut Tx, row: &ImportRow) -> Result<i64> {
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
    .await?;
    Ok(cell.ok_or_else(|| StoreError::NotFound(row.cell_of_sweep()))?)
}

async fn insert(tx: &mut Tx, now: Timestamp, row: &ImportRow, cell: i64) -> Result<()> {
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
    Ok(())
}

/// What the source of `row` has said of the cells of its sweep.
async fn said(tx: &mut Tx, row: &ImportRow) -> Result<Said> {
    let source = &row.number.source;
    let mut rows = query!(
        "SELECT cell, place, test_error, seconds, runs, replicate, seed, file, line FROM import
         WHERE sweep = ?1 AND source = ?2",
        row.sweep,
        source
    )
    .fetch(&mut tx.conn);
    let mut said = Said::new();
    while let Some(known) = rows.try_next().await? {
        let number = Imported {
            test_error: known.test_error,
            seconds: known.seconds,
            runs: known.runs as u32,
            replicate: known.replicate.map(|it| Replicate(it as u32)),
            seed: known.seed.map(|seed| seed as u64),
            source: source.clone(),
            file: known.file,
            line: known.line as u32,
        };
        said.insert((known.cell, known.place as u32), number);
    }
    Ok(said)
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
