//! The store in one SQLite file.
//!
//! One connection writes what the engine decided, one transaction per commit,
//! and reads it back (`writer`, `commit`, `load`); a pool of others reads
//! snapshots (`read`). The schema in `migrations/sqlite` refuses what must
//! never be written.
//!
//! Queries are checked against `.sqlx` when this crate is compiled; `cargo
//! xtask sqlx` regenerates that directory after a query or a migration changed.

mod backup;
mod checkpoint;
mod commit;
mod error;
mod load;
mod lock;
mod note;
mod open;
mod place;
mod read;
mod reclaim;
mod rows;
mod snapshot;
mod writer;

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use sqlx::SqlitePool;
use swath_model::access::Credential;
use swath_model::event::Event;
use swath_model::id::{CellDigest, InputDigest, JobDigest, SweepDigest};
use swath_model::message::{JobQuery, Known, Sources};
use swath_model::probe::WorkloadKey;
use swath_model::view::{
    Alike, CellResults, CurvePoint, Epochs, JobDetail, JobView, LogChunk, ReplicationRecord,
    SweepRecord, SweepView, WorkerView,
};
use swath_store::{
    CellKey, Changes, Copying, Names, Result, Said, Snapshot, Start, Store, StoredCell, SweepKey,
    Tail, Term,
};

pub use self::backup::backup;
pub use self::place::{holder, is_held};
pub use self::snapshot::snapshot;

use self::place::Place;
use self::read::read;
use self::writer::Writer;

/// A store in one SQLite file, which no other process may have open to write to
/// it at the same time, by whatever path. If the file is removed or replaced
/// meanwhile, nothing is committed any more.
#[derive(Debug)]
pub struct SqliteStore {
    writer: Writer,
    readers: SqlitePool,
    is_new: bool,
    /// The URL of its leader.
    address: Mutex<Option<String>>,
}

impl SqliteStore {
    /// Opens `path`, and creates it if it does not exist; the schema is brought
    /// up to date.
    ///
    /// # Errors
    ///
    /// [`swath_store::StoreError::InUse`] naming the holder when another process has
    /// it open; [`swath_store::StoreError::Failed`] when it cannot be written, has
    /// several names, is not a Swath database, is damaged or emptied, or has a newer
    /// schema than this build knows.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self> {
        let mut place = Place::take(path.as_ref())?;
        let is_new = place.is_new();
        let conn = open::writer(place.path()).await?;
        let readers = open::readers(place.path()).await?;
        place.opened()?;
        Ok(Self {
            writer: Writer::new(conn, place),
            readers,
            is_new,
            address: Mutex::new(None),
        })
    }

    /// Whether there was no store before it was opened.
    #[must_use]
    pub const fn is_new(&self) -> bool {
        self.is_new
    }

    fn set_address(&self, address: Option<String>) {
        *self.address.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn lead(&self, address: &str) -> Result<Term> {
        let term = self.writer.lead(address).await?;
        self.set_address(Some(address.to_owned()));
        Ok(term)
    }

    async fn renew(&self, term: Term) -> Result<()> {
        self.writer.renew(term).await
    }

    async fn leader(&self) -> Result<Option<String>> {
        let address = self.address.lock();
        Ok(address.unwrap_or_else(PoisonError::into_inner).clone())
    }

    async fn start(&self) -> Result<Start> {
        self.writer
            .run(|tx| Box::pin(load::start(&mut tx.conn)))
            .await
    }

    async fn open_cells(&self, after: CellKey, limit: u32) -> Result<Vec<StoredCell>> {
        self.writer
            .run(move |tx| Box::pin(load::open_cells(&mut tx.conn, after, limit)))
            .await
    }

    async fn load(&self, names: &Names) -> Result<Vec<StoredCell>> {
        let names = names.clone();
        self.writer
            .run(|tx| Box::pin(async move { load::load(&mut tx.conn, &names).await }))
            .await
    }

    async fn tail(&self, sweep: SweepKey, limit: u32) -> Result<Tail> {
        self.writer
            .run(move |tx| Box::pin(async move { load::tail(&mut tx.conn, sweep, limit).await }))
            .await
    }

    async fn reclaim(&self) -> Result<bool> {
        self.writer
            .run(|tx| Box::pin(async move { reclaim::reclaim(&mut tx.conn).await }))
            .await
    }

    async fn specs(&self, cells: &[CellKey]) -> Result<Vec<String>> {
        let cells = cells.to_vec();
        self.writer
            .run(|tx| Box::pin(async move { load::specs(&mut tx.conn, &cells).await }))
            .await
    }

    async fn kept(&self, inputs: &[InputDigest]) -> Result<Vec<InputDigest>> {
        let inputs = inputs.to_vec();
        read(&self.readers, move |conn| {
            Box::pin(read::kept(conn, inputs))
        })
        .await
    }

    async fn piece(&self, input: InputDigest, place: u32) -> Result<Option<Vec<u8>>> {
        read(&self.readers, move |conn| {
            Box::pin(read::piece(conn, input, place))
        })
        .await
    }

    async fn said(
        &self,
        cells: &[(String, CellDigest)],
        sources: &[(String, String)],
    ) -> Result<Said> {
        let (cells, sources) = (cells.to_vec(), sources.to_vec());
        self.writer
            .run(|tx| Box::pin(async move { load::said(&mut tx.conn, &cells, &sources).await }))
            .await
    }

    async fn commit(&self, term: Term, changes: Changes) -> Result<()> {
        self.writer.commit(term, changes).await
    }

    async fn replication(&self, sweep: SweepDigest) -> Result<ReplicationRecord> {
        read(&self.readers, move |conn| {
            Box::pin(read::replication(conn, sweep))
        })
        .await
    }

    async fn sweep(&self, sweep: SweepDigest) -> Result<SweepRecord> {
        read(&self.readers, move |conn| {
            Box::pin(read::sweep(conn, sweep))
        })
        .await
    }

    async fn sweeps(&self) -> Result<Vec<SweepView>> {
        read(&self.readers, |conn| Box::pin(read::sweeps(conn))).await
    }

    async fn sources(&self, sweep: SweepDigest) -> Result<Sources> {
        read(&self.readers, move |conn| {
            Box::pin(read::sources(conn, sweep))
        })
        .await
    }

    async fn jobs(&self, query: JobQuery) -> Result<Vec<JobView>> {
        read(&self.readers, move |conn| Box::pin(read::jobs(conn, query))).await
    }

    async fn last_failed(&self, sweep: Option<SweepDigest>, limit: u32) -> Result<Vec<JobView>> {
        read(&self.readers, move |conn| {
            Box::pin(read::last_failed(conn, sweep, limit))
        })
        .await
    }

    async fn job(&self, job: JobDigest) -> Result<Option<JobDetail>> {
        read(&self.readers, move |conn| Box::pin(read::job(conn, job))).await
    }

    async fn known(&self, jobs: Vec<JobDigest>) -> Result<Vec<Option<Known>>> {
        read(&self.readers, move |conn| Box::pin(read::known(conn, jobs))).await
    }

    async fn alike(&self, workload: WorkloadKey, limit: u32) -> Result<Vec<Alike>> {
        read(&self.readers, move |conn| {
            Box::pin(read::alike(conn, workload, limit))
        })
        .await
    }

    async fn results(
        &self,
        sweep: SweepDigest,
        epochs: Option<Epochs>,
    ) -> Result<Vec<CellResults>> {
        read(&self.readers, move |conn| {
            Box::pin(read::results(conn, sweep, epochs))
        })
        .await
    }

    async fn curves(&self, job: JobDigest) -> Result<Vec<CurvePoint>> {
        read(&self.readers, move |conn| Box::pin(read::curves(conn, job))).await
    }

    async fn logs(&self, job: JobDigest, position: u64) -> Result<Vec<LogChunk>> {
        read(&self.readers, move |conn| {
            Box::pin(read::logs(conn, job, position))
        })
        .await
    }

    async fn events(&self, after: u64, limit: u32) -> Result<Vec<Event>> {
        read(&self.readers, move |conn| {
            Box::pin(read::events(conn, after, limit))
        })
        .await
    }

    async fn last_event(&self) -> Result<u64> {
        read(&self.readers, |conn| Box::pin(read::last_event(conn))).await
    }

    async fn credentials(&self) -> Result<Vec<Credential>> {
        read(&self.readers, |conn| Box::pin(read::credentials(conn))).await
    }

    async fn workers(&self) -> Result<Vec<WorkerView>> {
        read(&self.readers, |conn| Box::pin(read::workers(conn))).await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        let held = snapshot::Held::beside(&self.readers.connect_options()).await?;
        Ok(Box::new(held))
    }

    async fn copying(&self) -> Result<Option<Copying>> {
        self.writer
            .run(|tx| Box::pin(load::copying(&mut tx.conn)))
            .await
    }

    fn lost(&self) -> Option<String> {
        self.writer.stopped()
    }

    async fn close(&self) -> Result<()> {
        self.readers.close().await;
        self.set_address(None);
        self.writer.close().await;
        Ok(())
    }
}
