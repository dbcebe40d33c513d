//! Rows that refer to rows that do not exist. Triggers check this when a row is
//! written, but nothing checks it later.

use sqlx::{AssertSqlSafe, query_scalar};

use crate::error::Result;
use crate::session::Session;

/// How many lines of each kind are reported.
const LINES: i64 = 20;

/// Tables whose rows refer to others without a foreign key, and which rows
/// these are.
const NAMES: [(&str, &str, &str, &str); 8] = [
    ("sweep_cell", "sweep", "sweep", "sweep"),
    ("sweep_cell", "cell", "cell", "sweep"),
    ("job", "cell", "cell", "id"),
    ("job", "worker", "worker", "id"),
    ("attempt", "job", "job", "job"),
    ("attempt", "worker", "worker", "job"),
    ("attempt", "provenance", "provenance", "job"),
    ("outcome", "provenance", "provenance", "job"),
];

/// Tables with what attempts reported.
const BROUGHT: [(&str, &str); 3] = [
    ("outcome", "an outcome"),
    ("observation", "an observation"),
    ("log_chunk", "a piece of a log"),
];

pub(super) async fn damage(session: &mut Session) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for (table, column, parent, row) in NAMES {
        let sql = format!(
            "SELECT DISTINCT child.{row} FROM {table} AS child
             WHERE child.{column} IS NOT NULL
               AND NOT EXISTS (SELECT 1 FROM {parent} WHERE {parent}.id = child.{column})
             LIMIT {LINES}"
        );
        let found: Vec<i64> = query_scalar(AssertSqlSafe(sql))
            .fetch_all(&mut *session)
            .await?;
        lines.extend(found.into_iter().map(|row| {
            format!(
                "foreign key: row {row} of `{table}` names a row of `{parent}` that is not there"
            )
        }));
    }
    for (table, what) in BROUGHT {
        let sql = format!(
            "SELECT DISTINCT child.job FROM {table} AS child
             WHERE NOT EXISTS (SELECT 1 FROM attempt
                               WHERE attempt.job = child.job AND attempt.attempt = child.attempt)
             LIMIT {LINES}"
        );
        let found: Vec<i64> = query_scalar(AssertSqlSafe(sql))
            .fetch_all(&mut *session)
            .await?;
        lines.extend(
            found.into_iter().map(|job| {
                format!("{what} of an attempt that is not there, in row {job} of `job`")
            }),
        );
    }
    Ok(lines)
}
