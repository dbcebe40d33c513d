//! Imported numbers.

use std::collections::HashMap;

use futures_util::TryStreamExt;
use sqlx::{SqliteConnection, query};
use swath_model::id::{CellDigest, Replicate};
use swath_model::import::Imported;

use crate::error::Result;
use crate::rows;

/// The numbers of sweeps with this name by cell, for each cell ordered by
/// source and place.
pub(super) async fn of_sweep(
    conn: &mut SqliteConnection,
    sweep: &str,
) -> Result<HashMap<CellDigest, Vec<Imported>>> {
    let mut rows = query!(
        "SELECT cell.digest, source, test_error, seconds, runs, replicate, seed, file, line
         FROM import CROSS JOIN cell ON cell.id = import.cell
         WHERE import.sweep = ?1
         ORDER BY import.cell, source, place",
        sweep
    )
    .fetch(conn);
    let mut numbers: HashMap<CellDigest, Vec<Imported>> = HashMap::new();
    while let Some(row) = rows.try_next().await? {
        let cell = rows::cell_digest(&row.digest)?;
        numbers.entry(cell).or_default().push(Imported {
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
