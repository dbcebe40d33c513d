//! Reading: from connections of its own, each on a snapshot, so that no reader
//! waits for the writer and the writer for no reader.

mod find;
mod jobs;
mod results;
mod sweeps;

use futures_util::future::BoxFuture;
use sqlx::{SqliteConnection, SqlitePool};

use crate::error::{Result, failed};

pub(crate) use self::jobs::{ahead, alike, curves, job, jobs, known, last_failed, logs};
pub(crate) use self::results::results;
pub(crate) use self::sweeps::{next_due, sources, sweeps, workers};

/// Runs `work` on one snapshot. In a task of its own: a reader that goes away
/// in the middle must not leave a connection inside a transaction.
pub(crate) async fn read<T, F>(pool: &SqlitePool, work: F) -> swath_store::Result<T>
where
    T: Send + 'static,
    F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T>> + Send + 'static,
{
    let pool = pool.clone();
    let reading = tokio::spawn(async move {
        let mut snapshot = pool.begin().await?;
        let result = work(&mut snapshot).await;
        snapshot.rollback().await?;
        result
    });
    match reading.await {
        Ok(result) => result.map_err(Into::into),
        Err(error) => Err(failed("a reading task ended early", error)),
    }
}
