//! The room of deleted rows.

use sqlx::{SqliteConnection, query_scalar};

use crate::checkpoint::{Effort, checkpoint};
use crate::error::Result;

/// Larger files are not written anew: that would keep writers waiting for longer
/// than a few seconds.
const BYTES_MAX: i64 = 1 << 30;

/// Of a file, at least the n-th part must be free to be worth the work.
const WORTH: i64 = 16;

/// Writes the file anew without its free pages, if that is quick and worth it;
/// returns whether it did. Pages that stay free are used for new rows.
pub(crate) async fn reclaim(conn: &mut SqliteConnection) -> Result<bool> {
    let pages = number(conn, "PRAGMA page_count").await?;
    let free = number(conn, "PRAGMA freelist_count").await?;
    let page_bytes = number(conn, "PRAGMA page_size").await?;
    let large = (pages - free).saturating_mul(page_bytes) > BYTES_MAX;
    if large || free.saturating_mul(WORTH) < pages {
        return Ok(false);
    }
    sqlx::raw_sql("VACUUM").execute(&mut *conn).await?;
    // Otherwise the file keeps its length until a later checkpoint. A reader
    // that is in the way only puts that off.
    checkpoint(conn, Effort::Truncate).await?;
    Ok(true)
}

async fn number(conn: &mut SqliteConnection, pragma: &'static str) -> Result<i64> {
    Ok(query_scalar(pragma).fetch_one(conn).await?)
}
