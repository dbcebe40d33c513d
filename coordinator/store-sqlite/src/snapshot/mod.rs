//! One state of a file, on a connection of its own: it does not change while
//! the coordinator writes, in this process or another.

mod damage;
mod jobs;
mod page;

use std::path::Path;

use async_trait::async_trait;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};
use swath_store::{
    CellKey, Names, Page, PageKey, Part, Result, Snapshot, Start, StoreError, StoredCell,
};

use crate::error::{Failure, cannot_open, failed};
use crate::{load, open};

/// A connection inside a reading transaction.
#[derive(Debug)]
pub(crate) struct Held {
    conn: SqliteConnection,
}

/// The state of the file `path` at this moment, whoever has it open. Nothing is
/// written, and no lock is taken.
///
/// # Errors
///
/// [`StoreError::Failed`] when it cannot be read, is not ours, or has another
/// schema than this build.
pub async fn snapshot(path: impl AsRef<Path>) -> Result<Box<dyn Snapshot>> {
    let path = path.as_ref();
    let conn = open::looker(path).await?;
    Ok(Box::new(Held::begin(conn).await?))
}

impl Held {
    /// Another connection to the same file.
    pub(crate) async fn beside(options: &SqliteConnectOptions) -> Result<Self> {
        let conn = SqliteConnection::connect_with(options).await;
        let conn = conn.map_err(|error| cannot_open(options.get_filename(), error))?;
        Self::begin(conn).await
    }

    async fn begin(mut conn: SqliteConnection) -> Result<Self> {
        // The first read determines which state it is.
        for sql in ["BEGIN", "SELECT 1 FROM sqlite_schema LIMIT 1"] {
            sqlx::query(sql)
                .execute(&mut conn)
                .await
                .map_err(|error| failed("a snapshot cannot be taken", error))?;
        }
        Ok(Self { conn })
    }
}

fn told<T>(result: Result<T, Failure>) -> Result<T> {
    result.map_err(StoreError::from)
}

#[async_trait]
impl Snapshot for Held {
    async fn start(&mut self) -> Result<Start> {
        told(load::start(&mut self.conn).await)
    }

    async fn load(&mut self, names: &Names) -> Result<Vec<StoredCell>> {
        told(load::load(&mut self.conn, names).await)
    }

    async fn specs(&mut self, cells: &[CellKey]) -> Result<Vec<String>> {
        told(load::specs(&mut self.conn, cells).await)
    }

    async fn page(&mut self, part: Part, after: PageKey, limit: u32) -> Result<Page> {
        told(page::page(&mut self.conn, part, after, limit).await)
    }

    async fn damage(&mut self) -> Result<Vec<String>> {
        told(damage::damage(&mut self.conn).await)
    }

    async fn close(self: Box<Self>) -> Result<()> {
        let closed = self.conn.close().await;
        closed.map_err(|error| failed("a snapshot did not close cleanly", error))
    }
}
