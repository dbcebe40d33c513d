//! What exists already for numbers that are about to be imported.

use sqlx::{SqliteConnection, query};
use swath_model::id::{CellDigest, Replicate};
use swath_model::import::Imported;
use swath_store::{CellKey, Said};

use crate::error::Result;
use crate::rows;

/// How many cells are looked up at once.
const CHUNK: usize = 4096;

pub(crate) async fn said(
    conn: &mut SqliteConnection,
    cells: &[(String, CellDigest)],
    sources: &[(String, String)],
) -> Result<Said> {
    let mut said = Said {
        cells: Vec::with_capacity(cells.len()),
        numbers: Vec::new(),
    };
    // Most belong to the same sweep.
    for cells in cells.chunk_by(|a, b| a.0 == b.0) {
        for cells in cells.chunks(CHUNK) {
            keys(conn, cells, &mut said.cells).await?;
        }
    }
    for (sweep, source) in sources {
        numbers(conn, sweep, source, &mut said).await?;
    }
    Ok(said)
}

/// Looks up cells by the name of one sweep.
async fn keys(
    conn: &mut SqliteConnection,
    cells: &[(String, CellDigest)],
    found: &mut Vec<Option<CellKey>>,
) -> Result<()> {
    let Some((sweep, _)) = cells.first() else {
        return Ok(());
    };
    let asked = rows::hex_array(cells.iter().map(|(_, digest)| digest));
    let keys = query!(
        r#"SELECT asked.key + 0 AS "place!: i64", cell.id AS "id!"
           FROM json_each(?2) AS asked
           CROSS JOIN cell ON cell.digest = unhex(asked.value)
           WHERE EXISTS (SELECT 1 FROM sweep_cell
                         JOIN sweep ON sweep.id = sweep_cell.sweep
                         WHERE sweep_cell.cell = cell.id AND sweep.name = ?1)"#,
        sweep,
        asked
    )
    .fetch_all(conn)
    .await?;
    let first = found.len();
    found.resize(first + cells.len(), None);
    for row in keys {
        found[first + row.place as usize] = Some(CellKey(row.id));
    }
    Ok(())
}

/// Reads everything that a source has said about the cells of sweeps with one
/// name.
async fn numbers(
    conn: &mut SqliteConnection,
    sweep: &str,
    source: &str,
    said: &mut Said,
) -> Result<()> {
    let rows = query!(
        "SELECT cell.digest, place, test_error, seconds, runs, replicate, seed, file, line
         FROM import CROSS JOIN cell ON cell.id = import.cell
         WHERE import.sweep = ?1 AND source = ?2
         ORDER BY import.cell, place",
        sweep,
        source
    )
    .fetch_all(conn)
    .await?;
    for row in rows {
        let number = Imported {
            test_error: row.test_error,
            seconds: row.seconds,
            runs: row.runs as u32,
            replicate: row.replicate.map(|it| Replicate(it as u32)),
            seed: row.seed.map(|seed| seed as u64),
            source: source.to_owned(),
            file: row.file,
            line: row.line as u32,
        };
        let cell = rows::cell_digest(&row.digest)?;
        said.numbers
            .push((sweep.to_owned(), cell, row.place as u32, number));
    }
    Ok(())
}
