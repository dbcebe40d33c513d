//! The store in a Postgres database.
//!
//! One connection writes what the engine decided, in statements that take many
//! rows each (`commit`); others read, each on one state of the database
//! (`read`, `cold`). Coordinators that share a database take turns in leading
//! it (`leader`). The schema in `migrations/postgres` refuses what must never
//! be written.
//!
//! Queries are checked against `.sqlx` when this crate is compiled; `cargo
//! xtask sqlx` regenerates that directory after a query or a migration changed.

mod address;
mod cold;
mod commit;
mod error;
mod leader;
mod open;
mod read;
mod rows;
mod session;
mod snapshot;
mod text;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::PgPool;
use swath_model::access::Credential;
use swath_model::event::Event;
use swath_model::id::{CellDigest, InputDigest, JobDigest, SweepDigest};
use swath_model::probe::WorkloadKey;
use swath_model::view::{
    Alike, CellResults, CurvePoint, Epochs, JobDetail, JobView, LogChunk, ReplicationRecord,
    SweepRecord, SweepView, WorkerView,
};
use swath_store::{
    CellKey, Changes, Copying, JobQuery, Known, Names, Result, Said, Snapshot, Sources, Start,
    Store, StoredCell, SweepKey, Tail, Term,
};

use self::address::Address;
use self::leader::{Led, Step};
use self::session::Reading::{self, Any, ByKeys};
use self::session::read;
use self::writer::Writer;

/// How long `close` waits for readers.
const CLOSE: Duration = Duration::from_secs(5);

/// How a database is used.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many readers there are at a time, each with a connection of its own.
    pub readers: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { readers: 8 }
    }
}

/// A store in a Postgres database that several coordinators may share: one of
/// them leads, all can read.
#[derive(Clone, Debug)]
pub struct PostgresStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    pool: PgPool,
    pooled: bool,
    writer: Writer,
    led: Led,
}

impl PostgresStore {
    /// Opens the database at `url` (`postgres://USER:PASSWORD@HOST:PORT/NAME`),
    /// and brings its schema up to date.
    ///
    /// Behind a pooler that passes on transactions instead of sessions, such as
    /// PgBouncer with `pool_mode = transaction`, the address must say
    /// `pooler=transaction`: statements are then prepared for one transaction
    /// only. Nothing else is kept in a session in any case.
    ///
    /// # Errors
    ///
    /// [`swath_store::StoreError::Failed`], with what to do, when the database
    /// cannot be reached or used, is not a Swath database, or has a newer
    /// schema than this build knows; [`swath_store::StoreError::InUse`] when a
    /// coordinator of an older build leads it.
    pub async fn open(url: &str, options: Options) -> Result<Self> {
        let address = Address::read(url)?;
        // Detached: a caller that gives up waiting leaves no transaction
        // behind.
        let preparing = {
            let address = address.clone();
            tokio::spawn(async move { open::prepare(&address).await })
        };
        preparing
            .await
            .map_err(|error| error::failed("opening the database ended early", error))??;
        let pool = open::pool(&address, options.readers.max(1) + 1);
        Ok(Self {
            shared: Arc::new(Shared {
                writer: Writer::new(pool.clone(), address.pooled),
                pool,
                pooled: address.pooled,
                led: Led::not(),
            }),
        })
    }

    async fn read<T, F>(&self, reading: Reading, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(
                &'c mut session::Session,
            ) -> futures_util::future::BoxFuture<'c, error::Result<T>>
            + Send
            + 'static,
    {
        let shared = &self.shared;
        read(&shared.pool, shared.pooled, reading, work).await
    }

    /// Runs `work` where nobody can cancel it.
    async fn detached<T, W>(&self, work: impl FnOnce(Arc<Shared>) -> W) -> Result<T>
    where
        T: Send + 'static,
        W: Future<Output = Result<T>> + Send + 'static,
    {
        let working = tokio::spawn(work(Arc::clone(&self.shared)));
        working
            .await
            .map_err(|error| error::failed("a writing task ended early", error))?
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn lead(&self, address: &str) -> Result<Term> {
        let address: Arc<str> = address.into();
        self.detached(|shared| async move {
            let led = &shared.led;
            let address = &*address;
            shared.writer.step(&Step::Lead { led, address }).await
        })
        .await
    }

    async fn renew(&self, term: Term) -> Result<()> {
        self.detached(
            |shared| async move { shared.writer.step(&Step::Renew(term)).await.map(drop) },
        )
        .await
    }

    async fn leader(&self) -> Result<Option<String>> {
        self.read(Any, |session| Box::pin(leader::holder(session)))
            .await
    }

    async fn start(&self) -> Result<Start> {
        self.read(Any, |session| Box::pin(cold::start(session)))
            .await
    }

    async fn open_cells(&self, after: CellKey, limit: u32) -> Result<Vec<StoredCell>> {
        self.read(ByKeys, move |session| {
            Box::pin(cold::open_cells(session, after, limit))
        })
        .await
    }

    async fn load(&self, names: &Names) -> Result<Vec<StoredCell>> {
        let names = names.clone();
        self.read(ByKeys, move |session| Box::pin(cold::load(session, names)))
            .await
    }

    async fn tail(&self, sweep: SweepKey, limit: u32) -> Result<Tail> {
        self.read(ByKeys, move |session| {
            Box::pin(cold::tail(session, sweep, limit))
        })
        .await
    }

    async fn specs(&self, cells: &[CellKey]) -> Result<Vec<String>> {
        let cells: Vec<i64> = cells.iter().map(|cell| cell.0).collect();
        self.read(ByKeys, move |session| Box::pin(cold::specs(session, cells)))
            .await
    }

    async fn kept(&self, inputs: &[InputDigest]) -> Result<Vec<InputDigest>> {
        let inputs = inputs.to_vec();
        self.read(Any, move |session| Box::pin(read::kept(session, inputs)))
            .await
    }

    async fn piece(&self, input: InputDigest, place: u32) -> Result<Option<Vec<u8>>> {
        self.read(Any, move |session| {
            Box::pin(read::piece(session, input, place))
        })
        .await
    }

    async fn said(
        &self,
        cells: &[(String, CellDigest)],
        sources: &[(String, String)],
    ) -> Result<Said> {
        let (cells, sources) = (cells.to_vec(), sources.to_vec());
        self.read(ByKeys, move |session| {
            Box::pin(cold::said(session, cells, sources))
        })
        .await
    }

    async fn commit(&self, term: Term, changes: Changes) -> Result<()> {
        self.detached(|shared| async move { shared.writer.commit(term, &changes).await })
            .await
    }

    async fn replication(&self, sweep: SweepDigest) -> Result<ReplicationRecord> {
        self.read(Any, move |session| {
            Box::pin(read::replication(session, sweep))
        })
        .await
    }

    async fn sweep(&self, sweep: SweepDigest) -> Result<SweepRecord> {
        self.read(Any, move |session| Box::pin(read::sweep(session, sweep)))
            .await
    }

    async fn sweeps(&self) -> Result<Vec<SweepView>> {
        self.read(Any, |session| Box::pin(read::sweeps(session)))
            .await
    }

    async fn sources(&self, sweep: SweepDigest) -> Result<Sources> {
        self.read(Any, move |session| Box::pin(read::sources(session, sweep)))
            .await
    }

    async fn jobs(&self, query: JobQuery) -> Result<Vec<JobView>> {
        self.read(Any, move |session| Box::pin(read::jobs(session, query)))
            .await
    }

    async fn last_failed(&self, sweep: Option<SweepDigest>, limit: u32) -> Result<Vec<JobView>> {
        self.read(Any, move |session| {
            Box::pin(read::last_failed(session, sweep, limit))
        })
        .await
    }

    async fn job(&self, job: JobDigest) -> Result<Option<JobDetail>> {
        self.read(Any, move |session| Box::pin(read::job(session, job)))
            .await
    }

    async fn known(&self, jobs: Vec<JobDigest>) -> Result<Vec<Option<Known>>> {
        self.read(Any, move |session| Box::pin(read::known(session, jobs)))
            .await
    }

    async fn alike(&self, workload: WorkloadKey, limit: u32) -> Result<Vec<Alike>> {
        self.read(Any, move |session| {
            Box::pin(read::alike(session, workload, limit))
        })
        .await
    }

    async fn results(
        &self,
        sweep: SweepDigest,
        epochs: Option<Epochs>,
    ) -> Result<Vec<CellResults>> {
        self.read(Any, move |session| {
            Box::pin(read::results(session, sweep, epochs))
        })
        .await
    }

    async fn curves(&self, job: JobDigest) -> Result<Vec<CurvePoint>> {
        self.read(Any, move |session| Box::pin(read::curves(session, job)))
            .await
    }

    async fn logs(&self, job: JobDigest, position: u64) -> Result<Vec<LogChunk>> {
        self.read(Any, move |session| {
            Box::pin(read::logs(session, job, position))
        })
        .await
    }

    async fn events(&self, after: u64, limit: u32) -> Result<Vec<Event>> {
        self.read(Any, move |session| {
            Box::pin(read::events(session, after, limit))
        })
        .await
    }

    async fn last_event(&self) -> Result<u64> {
        self.read(Any, |session| Box::pin(read::last_event(session)))
            .await
    }

    async fn credentials(&self) -> Result<Vec<Credential>> {
        self.read(Any, |session| Box::pin(read::credentials(session)))
            .await
    }

    async fn workers(&self) -> Result<Vec<WorkerView>> {
        self.read(Any, |session| Box::pin(read::workers(session)))
            .await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        // On a connection of its own: readers come and go, but a snapshot may
        // last.
        let held = self
            .detached(|shared| async move {
                snapshot::Held::take(shared.pool.clone(), shared.pooled).await
            })
            .await?;
        Ok(Box::new(held))
    }

    async fn copying(&self) -> Result<Option<Copying>> {
        self.read(Any, |session| Box::pin(cold::copying(session)))
            .await
    }

    async fn close(&self) -> Result<()> {
        self.detached(|shared| async move {
            // A coordinator that waits to lead need not wait until this one is
            // missed.
            if shared.led.leads() {
                let leaving = shared.writer.step(&Step::Leave(&shared.led)).await;
                if let Err(error) = leaving {
                    tracing::warn!(%error, "the lead could not be given up");
                }
            }
            shared.writer.close().await;
            // Readers and snapshots that are still open are not waited for
            // long.
            let _late = tokio::time::timeout(CLOSE, shared.pool.close()).await;
            Ok(())
        })
        .await
    }
}
