//! The one connection that writes, and what the engine reads. Everything here
//! happens one after the other.
//!
//! Work runs in a task that holds the connection, not in its caller's future: a
//! caller that goes away must neither cut a transaction in two nor see a store
//! that its own commit has yet to reach.

use std::sync::{Arc, OnceLock};

use futures_util::future::BoxFuture;
use sqlx::{Connection, SqliteConnection};
use swath_model::error::causes;
use swath_model::outcome::Provenance;
use swath_store::{Changes, StoreError, Term};
use tokio::sync::Mutex;

use crate::checkpoint::{self, Effort};
use crate::commit;
use crate::error::{Failure, Result, code, failed, is_full, sqlite_code};
use crate::place::{Moved, Place};

/// What work is done on: the connection and what is known about it.
#[derive(Debug)]
pub(crate) struct Tx {
    pub(crate) conn: SqliteConnection,
    /// Keys of some stored provenances. Emptied whenever something is rolled
    /// back, because the row may then be gone.
    pub(crate) provenances: Vec<(Provenance, i64)>,
    /// Whether a transaction has begun and not ended; only a panic leaves it
    /// so.
    begun: bool,
}

/// What exists until the store is closed.
#[derive(Debug)]
struct Desk {
    /// The connection; gone when the store is closed.
    tx: Option<Tx>,
    /// Whether something was committed since the store was last tended.
    is_busy: bool,
    /// Whether the journal may hold commits that are not in the file.
    has_unmoved: bool,
    /// Released after the connection: nobody else may write while this one
    /// might.
    place: Option<Place>,
    /// Why nothing may be written any more, if that is so.
    stopped: Arc<OnceLock<String>>,
    /// The term whose commits are accepted; 0 while nobody leads. The file
    /// belongs to this process, so this fences what is left of an engine that
    /// began again.
    term: Term,
}

/// Access to the connection.
#[derive(Debug)]
pub(crate) struct Writer {
    desk: Arc<Mutex<Desk>>,
    /// The desk's `stopped`, readable while the desk is in use.
    stopped: Arc<OnceLock<String>>,
}

impl Writer {
    /// A writer on this connection, which gives up its `place` when it is closed.
    pub(crate) fn new(conn: SqliteConnection, place: Place) -> Self {
        let tx = Tx {
            conn,
            provenances: Vec::new(),
            begun: false,
        };
        let stopped = Arc::new(OnceLock::new());
        let desk = Desk {
            tx: Some(tx),
            is_busy: false,
            has_unmoved: true,
            place: Some(place),
            stopped: Arc::clone(&stopped),
            term: Term(0),
        };
        Self {
            desk: Arc::new(Mutex::new(desk)),
            stopped,
        }
    }

    /// Why nothing may be written any more, if that is so.
    pub(crate) fn stopped(&self) -> Option<String> {
        self.stopped.get().cloned()
    }

    /// Begins the next term, after all commits of earlier ones, and writes down
    /// the leader's URL for others who find the file in use.
    pub(crate) async fn lead(&self, address: &str) -> swath_store::Result<Term> {
        let mut desk = self.desk.lock().await;
        desk.check_stopped()?;
        desk.place.as_mut().ok_or_else(closed)?.listens(address)?;
        desk.term.0 += 1;
        Ok(desk.term)
    }

    /// Whether this is still the present term; if so, looks after the files.
    pub(crate) async fn renew(&self, term: Term) -> swath_store::Result<()> {
        let mut desk = Arc::clone(&self.desk).lock_owned().await;
        desk.check(term)?;
        in_task(async move { desk.tend().await }).await
    }

    /// Writes `changes`, all or nothing; returns when they are durable, in the
    /// file that everybody finds.
    pub(crate) async fn commit(&self, term: Term, changes: Changes) -> swath_store::Result<()> {
        let mut desk = Arc::clone(&self.desk).lock_owned().await;
        desk.check(term)?;
        in_task(async move { desk.commit(changes).await }).await
    }

    /// Runs `work` after everything that was called before.
    pub(crate) async fn run<T, F>(&self, work: F) -> swath_store::Result<T>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Send + 'static,
    {
        let mut desk = Arc::clone(&self.desk).lock_owned().await;
        in_task(async move { desk.run(work).await }).await
    }

    /// Closes the store after what has begun.
    pub(crate) async fn close(&self) {
        let mut desk = self.desk.lock().await;
        if let Some(mut tx) = desk.tx.take() {
            if let Err(error) = checkpoint::finish(&mut tx.conn).await {
                tracing::warn!(%error, "commits stay in the journal");
            }
            if let Err(error) = tx.conn.close().await {
                tracing::warn!(%error, "the database did not close cleanly");
            }
        }
        drop(desk.place.take());
    }
}

/// Runs `work`, which holds the desk, in a task. The caller waits for the desk
/// first, so that work whose caller has gone never begins behind the back of the
/// next one.
async fn in_task<T: Send + 'static>(
    work: impl Future<Output = swath_store::Result<T>> + Send + 'static,
) -> swath_store::Result<T> {
    match tokio::spawn(work).await {
        Ok(result) => result,
        Err(error) => Err(failed("a writing task ended early", error)),
    }
}

impl Desk {
    fn check(&self, term: Term) -> swath_store::Result<()> {
        if term == self.term && term > Term(0) {
            return Ok(());
        }
        let message = "another engine of this coordinator leads by now; lead again".to_owned();
        Err(StoreError::InUse(message))
    }

    fn check_stopped(&self) -> swath_store::Result<()> {
        self.stopped.get().map_or(Ok(()), |why| Err(lost(why)))
    }

    async fn commit(&mut self, changes: Changes) -> swath_store::Result<()> {
        self.is_busy = true;
        self.has_unmoved = true;
        self.run(move |tx| Box::pin(async move { tx.commit(&changes).await }))
            .await?;
        self.watch().await
    }

    async fn run<T, F>(&mut self, work: F) -> swath_store::Result<T>
    where
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T>>,
    {
        self.check_stopped()?;
        let tx = self.tx.as_mut().ok_or_else(closed)?;
        let error = match work(tx).await {
            Ok(value) => return Ok(value),
            Err(Failure::Database(error)) => error,
            Err(failure) => return Err(failure.into()),
        };
        self.watch().await?;
        if !is_fatal(&error) {
            return Err(Failure::Database(error).into());
        }
        // A failed fsync must not be repeated: the kernel may have dropped the
        // pages and would report success the next time.
        Err(self.stop(format!(
            "stopped, as the database file can no longer be trusted to keep what is written \
             ({error}); check the disk and the limit of file sizes (`ulimit -f`), then start the \
             coordinator again"
        )))
    }

    /// Stops if the files are not where they were: what was written may be in a
    /// file that nobody finds any more.
    async fn watch(&mut self) -> swath_store::Result<()> {
        let place = self.place.as_ref().ok_or_else(closed)?;
        let Some(moved) = place.moved() else {
            return Ok(());
        };
        let mut saved = false;
        if let (Moved::Journal { is_free: true }, Some(tx)) = (moved, &mut self.tx) {
            // This connection still reads the journal that has no name any more.
            let all = checkpoint::checkpoint(&mut tx.conn, Effort::Full).await;
            saved = all.unwrap_or(false);
        }
        let why = place.explain(moved, saved);
        // SQLite removes the journal when the last connection is closed, by its
        // name, and that may be the journal of another database by now. So this
        // connection stays as it is until the process ends, and so does the lock.
        std::mem::forget(self.tx.take());
        std::mem::forget(self.place.take());
        Err(self.stop(why))
    }

    fn stop(&self, why: String) -> StoreError {
        tracing::error!("{why}");
        lost(self.stopped.get_or_init(|| why))
    }

    /// To be called every few seconds: sees whether the files are where they
    /// were, and in a pause moves commits into the file. They are safe in the
    /// journal too, but whoever looks at the file alone would miss them.
    async fn tend(&mut self) -> swath_store::Result<()> {
        self.check_stopped()?;
        self.watch().await?;
        if let Some(place) = &self.place {
            place.tend();
        }
        if std::mem::take(&mut self.is_busy) || !self.has_unmoved {
            return Ok(());
        }
        let moving = self.run(|tx| {
            Box::pin(async { Ok(checkpoint::checkpoint(&mut tx.conn, Effort::Passive).await?) })
        });
        match moving.await {
            Ok(all) => self.has_unmoved = !all,
            // On a full disk it is tried again in the next pause.
            Err(error) => {
                self.check_stopped()?;
                tracing::debug!(error = %causes(&error), "commits stay in the journal");
            }
        }
        Ok(())
    }
}

impl Tx {
    async fn commit(&mut self, changes: &Changes) -> Result<()> {
        if self.begun {
            self.undo().await;
        }
        self.begun = true;
        let done = self.transaction(changes).await;
        if done.is_err() {
            self.undo().await;
        }
        self.begun = false;
        done
    }

    async fn transaction(&mut self, changes: &Changes) -> Result<()> {
        // After a plain BEGIN, a write could find that another process has
        // written since.
        self.execute("BEGIN IMMEDIATE").await?;
        commit::write(self, changes).await?;
        self.execute("COMMIT").await
    }

    async fn undo(&mut self) {
        self.provenances.clear();
        // It may be rolled back already, or may never have begun.
        let _undone = self.execute("ROLLBACK").await;
    }

    async fn execute(&mut self, sql: &'static str) -> Result<()> {
        sqlx::query(sql).execute(&mut self.conn).await?;
        Ok(())
    }
}

/// The error of later calls.
pub(crate) fn closed() -> StoreError {
    lost("it is closed")
}

fn lost(why: &str) -> StoreError {
    StoreError::Failed {
        message: why.to_owned(),
        source: None,
    }
}

/// Whether, after this error, what was written before can no longer be trusted.
fn is_fatal(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::WorkerCrashed | sqlx::Error::Io(_) => true,
        other if is_full(other) => false,
        other => matches!(
            sqlite_code(other),
            Some(code::IOERR | code::CORRUPT | code::NOTADB)
        ),
    }
}
