//! Reading: on separate connections, each on a snapshot, so that readers and
//! the writer never wait for each other.

mod credentials;
mod events;
mod find;
mod imports;
mod inputs;
mod jobs;
mod replication;
mod results;
mod sweeps;

use futures_util::future::BoxFuture;
use sqlx::{SqliteConnection, SqlitePool};
use swath_model::id::SweepDigest;
use swath_store::StoreError;

use crate::error::{Failure, Result, failed};

pub(crate) use self::credentials::credentials;
pub(crate) use self::events::{events, last_event};
pub(crate) use self::inputs::{kept, piece};
pub(crate) use self::jobs::{alike, curves, job, jobs, known, last_failed, logs};
pub(crate) use self::replication::replication;
pub(crate) use self::results::results;
pub(crate) use self::sweeps::{sources, sweep, sweeps, workers};

/// The error for an unknown sweep.
fn unknown(sweep: SweepDigest) -> Failure {
    Failure::Refused(StoreError::NotFound(format!("sweep {}", sweep.short())))
}

/// Runs `work` on one snapshot, in a task of its own: a reader that goes away
/// must not leave a connection inside a transaction.
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
