//! One state of a database, in a read-only transaction that lasts as long as
//! the snapshot.

mod damage;
mod jobs;
mod page;

use async_trait::async_trait;
use sqlx::PgPool;
use swath_store::{
    CellKey, Names, Page, PageKey, Part, Result, Snapshot, Start, StoreError, StoredCell,
};

use crate::cold;
use crate::error::told;
use crate::session::Session;

/// Between two pages the reader may do something that takes a while.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
     SET LOCAL statement_timeout = '10min';
     SET LOCAL idle_in_transaction_session_timeout = '10min';
     SET LOCAL jit = off;
     SELECT FROM copying";

/// A connection inside a transaction.
pub(crate) struct Held {
    /// Gone when it is closed.
    session: Option<Session>,
}

impl Held {
    /// Takes the present state.
    pub(crate) async fn take(pool: PgPool, pooled: bool) -> Result<Self> {
        let mut session = Session::take(&pool, pooled).await?;
        let begun = session.run(BEGIN).await;
        if let Err(failure) = begun {
            session.cut();
            return Err(failure.into());
        }
        Ok(Self {
            session: Some(session),
        })
    }

    fn session(&mut self) -> Result<&mut Session> {
        let closed = || told("the snapshot is closed");
        self.session.as_mut().ok_or_else(closed)
    }
}

impl Drop for Held {
    /// Nobody else may get a connection that is in the middle of this.
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            session.cut();
        }
    }
}

#[async_trait]
impl Snapshot for Held {
    async fn start(&mut self) -> Result<Start> {
        let start = cold::start(self.session()?).await;
        start.map_err(StoreError::from)
    }

    async fn load(&mut self, names: &Names) -> Result<Vec<StoredCell>> {
        let cells = cold::load(self.session()?, names.clone()).await;
        cells.map_err(StoreError::from)
    }

    async fn specs(&mut self, cells: &[CellKey]) -> Result<Vec<String>> {
        let cells = cells.iter().map(|cell| cell.0).collect();
        let specs = cold::specs(self.session()?, cells).await;
        specs.map_err(StoreError::from)
    }

    async fn page(&mut self, part: Part, after: PageKey, limit: u32) -> Result<Page> {
        let page = page::page(self.session()?, part, after, limit).await;
        page.map_err(StoreError::from)
    }

    async fn damage(&mut self) -> Result<Vec<String>> {
        let damage = damage::damage(self.session()?).await;
        damage.map_err(StoreError::from)
    }

    async fn close(mut self: Box<Self>) -> Result<()> {
        if let Some(mut session) = self.session.take()
            && !session.undo().await
        {
            session.cut();
        }
        Ok(())
    }
}
