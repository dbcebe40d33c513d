//! Imported numbers: row by row, so that every bit of them is kept.

use sqlx::query;
use swath_store::{NewImport, RenamedSweep};

use crate::error::Result;
use crate::writer::Tx;

/// Lets the numbers of a sweep's cells follow it to its new name.
pub(super) async fn rename(tx: &mut Tx, sweeps: &[RenamedSweep]) -> Result<()> {
    for sweep in sweeps {
        let key = sweep.key.0;
        query!(
            "INSERT INTO import (sweep, cell, source, place, test_error, seconds, runs, replicate,
                                 seed, file, line, imported_at)
             SELECT ?1, cell, source, place, test_error, seconds, runs, replicate, seed, file, line,
                    imported_at
             FROM import
             WHERE sweep = ?2 AND cell IN (SELECT cell FROM sweep_cell WHERE sweep_cell.sweep = ?3)
             ORDER BY id",
            sweep.to,
            sweep.from,
            key
        )
        .execute(&mut tx.conn)
        .await?;
        if sweep.last {
            query!("DELETE FROM import WHERE sweep = ?1", sweep.from)
                .execute(&mut tx.conn)
                .await?;
        }
    }
    Ok(())
}

pub(super) async fn forget(tx: &mut Tx, said: &[(String, String)]) -> Result<()> {
    for (sweep, source) in said {
        query!(
            "DELETE FROM import WHERE sweep = ?1 AND source = ?2",
            sweep,
            source
        )
        .execute(&mut tx.conn)
        .await?;
    }
    Ok(())
}

pub(super) async fn insert(tx: &mut Tx, rows: &[NewImport]) -> Result<()> {
    for row in rows {
        let number = &row.number;
        let cell = row.cell.0;
        let replicate = number.replicate.map(|it| it.0);
        let seed = number.seed.map(|seed| seed as i64);
        let at = row.at.as_ms();
        query!(
            "INSERT INTO import (sweep, cell, source, place, test_error, seconds, runs, replicate,
                                 seed, file, line, imported_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            row.sweep,
            cell,
            number.source,
            row.place,
            number.test_error,
            number.seconds,
            number.runs,
            replicate,
            seed,
            number.file,
            number.line,
            at
        )
        .execute(&mut tx.conn)
        .await?;
    }
    Ok(())
}
