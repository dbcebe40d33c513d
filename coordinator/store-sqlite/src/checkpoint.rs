//! Moving commits out of the journal, into the database file.

use sqlx::SqliteConnection;

/// How hard it is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Nobody is waited for: commits that a reader still needs stay.
    Passive,
    /// Readers are waited for, as long as for a statement.
    Full,
    /// As [`Self::Full`], and the journal is empty afterwards.
    Truncate,
}

/// Moves commits into the file; returns whether that were all of them.
pub(crate) async fn checkpoint(
    conn: &mut SqliteConnection,
    effort: Effort,
) -> Result<bool, sqlx::Error> {
    let sql = match effort {
        Effort::Passive => "PRAGMA wal_checkpoint(PASSIVE)",
        Effort::Full => "PRAGMA wal_checkpoint(FULL)",
        Effort::Truncate => "PRAGMA wal_checkpoint(TRUNCATE)",
    };
    let (is_busy, written, moved): (bool, i64, i64) = sqlx::query_as(sql).fetch_one(conn).await?;
    Ok(!is_busy && written == moved)
}

/// Leaves an empty journal behind, unless somebody else still reads it: at a
/// stop nobody is waited for.
pub(crate) async fn finish(conn: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    sqlx::query("PRAGMA busy_timeout = 0")
        .execute(&mut *conn)
        .await?;
    checkpoint(conn, Effort::Truncate).await?;
    Ok(())
}
