//! A copy of a file that may be in use.

use std::fs::File;
use std::path::{Path, PathBuf};

use swath_store::{Result, StoreError};

use crate::error::failed;
use crate::open;

/// Writes what the file `from` holds at this moment to a new file, whoever has
/// it open, and returns when the new file is on the disk. The new file has no
/// `-wal` file beside it.
///
/// # Errors
///
/// [`StoreError::Failed`] when `from` cannot be read or `into` cannot be
/// written; part of the new file may then exist.
pub async fn backup(from: impl AsRef<Path>, into: impl Into<PathBuf>) -> Result<()> {
    let (from, into) = (from.as_ref(), into.into());
    let mut conn = open::looker(from).await?;
    let message = format!("cannot copy {} to {}", from.display(), into.display());
    let Some(name) = into.to_str() else {
        return Err(StoreError::Failed {
            message: format!("{message}: its name is not UTF-8"),
            source: None,
        });
    };
    // Like every statement, this reads one state of the file.
    sqlx::query("VACUUM INTO ?1")
        .bind(name)
        .execute(&mut conn)
        .await
        .map_err(|error| failed(message.clone(), error))?;
    let syncing = tokio::task::spawn_blocking(move || File::open(into)?.sync_all());
    let synced = syncing
        .await
        .map_err(|error| failed(message.clone(), error))?;
    synced.map_err(|error| failed(message, error))
}
