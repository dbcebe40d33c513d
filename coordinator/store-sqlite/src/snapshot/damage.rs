//! What SQLite itself finds wrong, and rows that refer to missing rows which no
//! foreign key of the schema covers.

use sqlx::{Row, SqliteConnection, query};

use crate::error::Result;

/// How many lines of each kind are reported.
const LINES: i64 = 20;

/// References that no foreign key covers: which rows, and where they are.
const ORPHANS: [(&str, &str); 3] = [
    (
        "an outcome of an attempt that is not there",
        "SELECT job FROM outcome WHERE NOT EXISTS (
             SELECT 1 FROM attempt
             WHERE attempt.job = outcome.job AND attempt.attempt = outcome.attempt)",
    ),
    (
        "an observation of an attempt that is not there",
        "SELECT DISTINCT job FROM observation WHERE NOT EXISTS (
             SELECT 1 FROM attempt
             WHERE attempt.job = observation.job AND attempt.attempt = observation.attempt)",
    ),
    (
        "a piece of a log of an attempt that is not there",
        "SELECT DISTINCT job FROM log_chunk WHERE NOT EXISTS (
             SELECT 1 FROM attempt
             WHERE attempt.job = log_chunk.job AND attempt.attempt = log_chunk.attempt)",
    ),
];

pub(super) async fn damage(conn: &mut SqliteConnection) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    // Not the quick check, which never compares an index with its table. As a
    // function it would take the number for a table name.
    let check = format!("PRAGMA integrity_check({LINES})");
    let found = query(sqlx::AssertSqlSafe(check))
        .fetch_all(&mut *conn)
        .await?;
    for row in found {
        let line: String = row.try_get(0)?;
        if line != "ok" {
            lines.push(line);
        }
    }
    let found = query(r#"SELECT "table", rowid, parent FROM pragma_foreign_key_check LIMIT ?1"#)
        .bind(LINES)
        .fetch_all(&mut *conn)
        .await?;
    for row in found {
        let (table, parent): (String, String) = (row.try_get(0)?, row.try_get(2)?);
        // Some tables have no row ids.
        let row: Option<i64> = row.try_get(1)?;
        let row = row.map_or_else(String::new, |row| format!(" {row}"));
        lines.push(format!(
            "foreign key: row{row} of `{table}` names a row of `{parent}` that is not there"
        ));
    }
    for (what, sql) in ORPHANS {
        let sql = format!("{sql} LIMIT {LINES}");
        let found = query(sqlx::AssertSqlSafe(sql))
            .fetch_all(&mut *conn)
            .await?;
        for row in found {
            let job: i64 = row.try_get(0)?;
            lines.push(format!("{what}, in row {job} of `job`"));
        }
    }
    Ok(lines)
}
