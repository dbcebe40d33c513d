//! What keeps sweeps, jobs and outcomes: the [`Store`] trait, its memory
//! implementation, and the conformance suite that holds every implementation
//! to it.
//!
//! Decisions live in `swath-core`; a store loads a job, asks
//! [`swath_core::job::Job::apply`], and writes what came of it in one guarded
//! statement of one transaction. A call returns after its transaction is
//! durable.

use async_trait::async_trait;
use swath_core::id::{JobDigest, Owner, SweepDigest, WorkerName};
use swath_core::time::Timestamp;
use swath_core::view::{
    CellResults, CurvePoint, JobDetail, JobView, LogChunk, SweepView, WorkerView,
};

pub use swath_core::message::*;

/// Why a store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The session is not the newest of its worker, or was never given.
    #[error("session {session} of worker `{worker}` is not its newest; say hello again")]
    StaleSession {
        /// The worker.
        worker: WorkerName,
        /// The session that it named.
        session: u64,
    },
    /// There is no such thing.
    #[error("no such {0}")]
    NotFound(String),
    /// The call contradicts what the store holds.
    #[error("{0}")]
    Conflict(String),
    /// Somebody else has the store; a second coordinator, most likely.
    #[error("{0}")]
    InUse(String),
    /// The store itself failed; nothing of the call was kept.
    #[error("store: {message}")]
    Failed {
        /// What it was doing.
        message: String,
        /// What went wrong.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

/// A result of the store.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Keeps sweeps, cells, jobs, attempts, outcomes, observations and workers.
///
/// `now` is the store's clock as the coordinator reads it: monotonic within
/// one life of the coordinator. Worker clocks never come in here.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The coordinator starts: every open lease lives on for at least
    /// ttl + grace from now.
    async fn restart(&self, now: Timestamp) -> Result<()>;

    /// Stores a sweep with its cells and the jobs that do not exist yet, all or
    /// nothing. A digest that exists already is a no-op, except that a
    /// cancelled sweep is live again and a different priority is taken over.
    async fn submit(&self, now: Timestamp, submission: Submission) -> Result<Submitted>;

    /// A worker starts or reconnects: gets the next session, which fences the
    /// older ones. Per held attempt the verdict says what to do with it; what
    /// the older sessions held and `hello` does not claim goes back to the
    /// queue at once.
    async fn hello(&self, now: Timestamp, hello: Hello) -> Result<Welcome>;

    /// Records outcomes and grants jobs, in one transaction. Idempotent: an
    /// outcome that is recorded already is acknowledged as
    /// [`Ack::AlreadyRecorded`]; grants of a repeated request id are returned
    /// again, as far as they are still held.
    ///
    /// Grants go by priority (greatest first), then by order of submission,
    /// to queued jobs whose backoff is over and that a live, unpaused sweep
    /// wants, and only to workers that are active; a job with a program only to
    /// a worker that allows it.
    async fn exchange(&self, now: Timestamp, exchange: Exchange) -> Result<Exchanged>;

    /// Extends the leases of every attempt that the worker holds; one verdict
    /// each, in order. A granted attempt that two heartbeats in a row do not
    /// mention is taken back.
    async fn heartbeat(
        &self,
        now: Timestamp,
        owner: Owner,
        held: Vec<Held>,
    ) -> Result<Vec<Verdict>>;

    /// Stores observations and log text of open attempts. Repeats are ignored:
    /// observations by epoch, log chunks by sequence number. Stale attempts
    /// store nothing. One verdict per report, in order.
    async fn observe(
        &self,
        now: Timestamp,
        owner: Owner,
        reports: Vec<Report>,
    ) -> Result<Vec<Verdict>>;

    /// Gives attempts back to the queue, not charged. Stale ones are ignored.
    async fn release(&self, now: Timestamp, owner: Owner, held: Vec<Held>) -> Result<()>;

    /// The sweeper's pass: leases that are over become suspect, suspects whose
    /// grace is over go back to the queue.
    async fn tick(&self, now: Timestamp) -> Result<Ticked>;

    /// Extends every open lease to at least now + ttl: the coordinator or the
    /// store was away, and nothing may expire for that.
    async fn extend_leases(&self, now: Timestamp) -> Result<()>;

    /// Changes a sweep; its jobs follow. Cancelling cancels only the jobs that
    /// no other live sweep needs.
    async fn change_sweep(
        &self,
        now: Timestamp,
        sweep: SweepDigest,
        change: SweepChange,
    ) -> Result<()>;

    /// Cancels jobs, whatever sweeps want them. Returns how many changed.
    async fn cancel_jobs(&self, now: Timestamp, jobs: Vec<JobDigest>) -> Result<u64>;

    /// Queues failed and cancelled jobs again. Returns how many changed.
    async fn retry_jobs(&self, now: Timestamp, jobs: Vec<JobDigest>) -> Result<u64>;

    /// Changes whether a worker gets jobs.
    async fn change_worker(
        &self,
        now: Timestamp,
        worker: WorkerName,
        change: WorkerChange,
    ) -> Result<()>;

    /// Every sweep, oldest first.
    async fn sweeps(&self) -> Result<Vec<SweepView>>;

    /// The files that a sweep was submitted from.
    async fn sources(&self, sweep: SweepDigest) -> Result<Sources>;

    /// The jobs that match, in order of submission.
    async fn jobs(&self, query: JobQuery) -> Result<Vec<JobView>>;

    /// One job with its attempts.
    async fn job(&self, job: JobDigest) -> Result<Option<JobDetail>>;

    /// Which of these jobs exist, and where they are; in the order given.
    async fn known(&self, jobs: Vec<JobDigest>) -> Result<Vec<Option<Known>>>;

    /// A sweep's cells with the results of their replicates, in canonical
    /// order. `last_epochs` > 0 fills `last_test_errors` with so many epochs.
    async fn results(&self, sweep: SweepDigest, last_epochs: u32) -> Result<Vec<CellResults>>;

    /// A job's observations, by attempt and epoch.
    async fn curves(&self, job: JobDigest) -> Result<Vec<CurvePoint>>;

    /// What a job's trainers wrote to stderr, after `position`.
    async fn logs(&self, job: JobDigest, position: u64) -> Result<Vec<LogChunk>>;

    /// Every worker, by name.
    async fn workers(&self) -> Result<Vec<WorkerView>>;

    /// When the next queued job's backoff ends, if one waits for that: the
    /// coordinator wakes waiting workers then.
    async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>>;

    /// Ends background work and closes files; later calls fail.
    async fn close(&self) -> Result<()>;
}
