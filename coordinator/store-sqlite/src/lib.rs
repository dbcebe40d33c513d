//! The store in one SQLite file.
//!
//! One connection writes, in batches of whatever waits (`writer`); a pool of
//! others reads snapshots (`read`). An operation loads the jobs that it
//! concerns, asks `swath-core`, and writes what changed in one guarded
//! statement (`workset`). The schema in `migrations/sqlite` refuses what must
//! never be.
//!
//! Queries are checked when this crate is compiled, against `.sqlx`;
//! `cargo xtask sqlx` writes that directory anew after a query or a migration
//! changed.

mod error;
mod exchange;
mod grant;
mod import;
mod lease;
mod lock;
mod observe;
mod open;
mod read;
mod replicate;
mod rows;
mod submit;
mod sweep;
mod worker;
mod workset;
mod writer;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::SqlitePool;
use swath_core::id::{JobDigest, Owner, SweepDigest, WorkerName};
use swath_core::import::{ImportBatch, ImportCounts};
use swath_core::job::Event;
use swath_core::message::{
    Exchange, Exchanged, Held, Hello, JobQuery, Known, Replicated, ReplicationDue, Report, Sources,
    Submission, Submitted, SweepChange, Ticked, Verdict, Welcome, WorkerChange,
};
use swath_core::policy::Policy;
use swath_core::probe::WorkloadKey;
use swath_core::replication::Look;
use swath_core::time::Timestamp;
use swath_core::view::{
    Alike, CellResults, CurvePoint, JobDetail, JobView, LogChunk, ReplicationRecord, SweepView,
    WorkerView,
};
use swath_store::{Result, Store};
use tokio::sync::Mutex;

use self::error::failed;
use self::lock::Lock;
use self::read::read;
use self::submit::Prepared;
use self::writer::Writer;

/// A store in one SQLite file, which no other process may open meanwhile.
#[derive(Debug)]
pub struct SqliteStore {
    writer: Writer,
    readers: SqlitePool,
    /// Given up by `close`; the writer holds it, too, until it has ended.
    lock: Mutex<Option<Arc<Lock>>>,
}

impl SqliteStore {
    /// Opens `path`, made if it does not exist, with the newest schema.
    ///
    /// # Errors
    ///
    /// [`swath_store::StoreError::InUse`] with the holder when another process
    /// has it; [`swath_store::StoreError::Failed`] when it cannot be written,
    /// is not ours, is damaged, or has a newer schema than this build knows.
    pub async fn open(path: impl AsRef<Path>, policy: Policy) -> Result<Self> {
        let path = path.as_ref();
        open::check_place(path)?;
        let lock = Arc::new(Lock::take(path)?);
        let conn = open::writer(path).await?;
        let readers = open::readers(path).await?;
        Ok(Self {
            writer: Writer::start(conn, policy, Arc::clone(&lock)),
            readers,
            lock: Mutex::new(Some(lock)),
        })
    }

    /// Notes where the holder can be reached, for whoever finds the file in
    /// use.
    pub async fn set_holder_note(&self, address: &str) -> Result<()> {
        match &*self.lock.lock().await {
            Some(lock) => lock.write(address),
            None => Err(writer::closed()),
        }
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn restart(&self, now: Timestamp) -> Result<()> {
        let work = self
            .writer
            .run(move |tx| Box::pin(lease::to_all_leases(tx, now, Event::Restart)));
        work.await
    }

    async fn submit(&self, now: Timestamp, submission: Submission) -> Result<Submitted> {
        let prepared = tokio::task::spawn_blocking(move || Prepared::new(submission))
            .await
            .map_err(|error| failed("a submission could not be read", error))?;
        self.writer
            .run(move |tx| Box::pin(submit::submit(tx, now, prepared)))
            .await
    }

    async fn hello(&self, now: Timestamp, hello: Hello) -> Result<Welcome> {
        self.writer
            .run(move |tx| Box::pin(lease::hello(tx, now, hello)))
            .await
    }

    async fn exchange(&self, now: Timestamp, exchange: Exchange) -> Result<Exchanged> {
        let done = self
            .writer
            .run(move |tx| Box::pin(exchange::exchange(tx, now, exchange)))
            .await?;
        let grants = done.grants.into_iter();
        Ok(Exchanged {
            acks: done.acks,
            grants: grants.map(grant::RawGrant::write_out).collect(),
            notices: done.notices,
        })
    }

    async fn heartbeat(
        &self,
        now: Timestamp,
        owner: Owner,
        held: Vec<Held>,
    ) -> Result<Vec<Verdict>> {
        self.writer
            .run(move |tx| Box::pin(async move { lease::heartbeat(tx, now, &owner, held).await }))
            .await
    }

    async fn observe(
        &self,
        now: Timestamp,
        owner: Owner,
        reports: Vec<Report>,
    ) -> Result<Vec<Verdict>> {
        self.writer
            .run(move |tx| {
                Box::pin(async move { observe::observe(tx, now, &owner, reports).await })
            })
            .await
    }

    async fn release(&self, now: Timestamp, owner: Owner, held: Vec<Held>) -> Result<()> {
        self.writer
            .run(move |tx| Box::pin(async move { lease::release(tx, now, &owner, held).await }))
            .await
    }

    async fn tick(&self, now: Timestamp) -> Result<Ticked> {
        self.writer
            .run(move |tx| Box::pin(lease::tick(tx, now)))
            .await
    }

    async fn extend_leases(&self, now: Timestamp) -> Result<()> {
        self.writer
            .run(move |tx| Box::pin(lease::to_all_leases(tx, now, Event::Extend)))
            .await
    }

    async fn change_sweep(
        &self,
        now: Timestamp,
        sweep: SweepDigest,
        change: SweepChange,
    ) -> Result<()> {
        self.writer
            .run(move |tx| Box::pin(sweep::change(tx, now, sweep, change)))
            .await
    }

    async fn cancel_jobs(&self, now: Timestamp, jobs: Vec<JobDigest>) -> Result<u64> {
        self.writer
            .run(move |tx| Box::pin(sweep::cancel_jobs(tx, now, jobs)))
            .await
    }

    async fn retry_jobs(&self, now: Timestamp, jobs: Vec<JobDigest>) -> Result<u64> {
        self.writer
            .run(move |tx| Box::pin(sweep::retry_jobs(tx, now, jobs)))
            .await
    }

    async fn replication_due(&self) -> Result<Vec<ReplicationDue>> {
        read(&self.readers, |conn| Box::pin(replicate::due(conn))).await
    }

    async fn replicate(
        &self,
        now: Timestamp,
        due: ReplicationDue,
        look: Look,
    ) -> Result<Replicated> {
        self.writer
            .run(move |tx| Box::pin(replicate::replicate(tx, now, due, look)))
            .await
    }

    async fn replication(&self, sweep: SweepDigest) -> Result<ReplicationRecord> {
        read(&self.readers, move |conn| {
            Box::pin(replicate::recorded(conn, sweep))
        })
        .await
    }

    async fn import(&self, now: Timestamp, batch: ImportBatch) -> Result<ImportCounts> {
        self.writer
            .run(move |tx| Box::pin(import::import(tx, now, batch)))
            .await
    }

    async fn change_worker(
        &self,
        _now: Timestamp,
        worker: WorkerName,
        change: WorkerChange,
    ) -> Result<()> {
        self.writer
            .run(move |tx| Box::pin(async move { worker::change(tx, &worker, change).await }))
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

    async fn job(&self, job: JobDigest) -> Result<Option<JobDetail>> {
        read(&self.readers, move |conn| Box::pin(read::job(conn, job))).await
    }

    async fn last_failed(&self, sweep: Option<SweepDigest>, limit: u32) -> Result<Vec<JobView>> {
        read(&self.readers, move |conn| {
            Box::pin(read::last_failed(conn, sweep, limit))
        })
        .await
    }

    async fn ahead(&self, job: JobDigest) -> Result<u64> {
        read(&self.readers, move |conn| Box::pin(read::ahead(conn, job))).await
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

    async fn results(&self, sweep: SweepDigest, last_epochs: u32) -> Result<Vec<CellResults>> {
        read(&self.readers, move |conn| {
            Box::pin(read::results(conn, sweep, last_epochs))
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

    async fn workers(&self) -> Result<Vec<WorkerView>> {
        read(&self.readers, |conn| Box::pin(read::workers(conn))).await
    }

    async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        read(&self.readers, move |conn| {
            Box::pin(read::next_due(conn, now))
        })
        .await
    }

    async fn close(&self) -> Result<()> {
        self.readers.close().await;
        // Its own hold on the lock is the last one.
        drop(self.lock.lock().await.take());
        self.writer.close().await;
        Ok(())
    }
}
