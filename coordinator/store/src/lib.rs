//! What keeps sweeps, jobs and outcomes: the [`Store`] trait, its memory
//! implementation, and the conformance suite that holds every implementation
//! to it.
//!
//! Decisions live in `swath-core`; a store loads a job, asks
//! [`swath_core::job::Job::apply`], and writes what came of it in one guarded
//! statement of one transaction. A call returns after its transaction is
//! durable.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod memory;

use async_trait::async_trait;
use swath_core::id::{JobDigest, Owner, SweepDigest, WorkerName};
use swath_core::import::{ImportBatch, ImportCounts};
use swath_core::ledger::LedgerError;
use swath_core::probe::WorkloadKey;
use swath_core::replication::Look;
use swath_core::time::Timestamp;
use swath_core::view::{
    Alike, CellResults, CurvePoint, JobDetail, JobView, LogChunk, ReplicationRecord, SweepView,
    WorkerView,
};

pub use swath_core::message::*;

pub use self::memory::MemoryStore;

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

impl From<LedgerError> for StoreError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::StaleSession { worker, session } => Self::StaleSession { worker, session },
            LedgerError::NotFound(what) => Self::NotFound(what),
            LedgerError::Conflict(why) => Self::Conflict(why),
        }
    }
}

/// A result of the store.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Keeps sweeps, cells, jobs, attempts, outcomes, observations and workers.
///
/// `now` is the store's clock as the coordinator reads it: monotonic within
/// one life of the coordinator. Worker clocks never come in here.
///
/// # Sessions
///
/// Session numbers grow over the whole store, so the newest session of a
/// worker is greater than any it had. A session is *newest* when it equals the
/// worker's, *older* when it is below it, and was *never given* when the worker
/// is unknown or the number is above. [`Store::heartbeat`], [`Store::observe`]
/// and [`Store::release`] refuse all but the newest with
/// [`StoreError::StaleSession`]; [`Store::exchange`] says what it does. Each of
/// them sets the worker's `seen_at` when the session is the newest.
///
/// # Attempts
///
/// An attempt *counts* while [`swath_core::job::Job::holds`]: newest, not
/// ended, its job not final; also when its lease has passed and the job waits
/// again. What is named but does not exist, a job or an attempt, is stale like
/// any other word too late.
///
/// # Recorded faults
///
/// A job remembers kind, headline and message of the last fault recorded for
/// it, of whatever kind. A measurement clears it, and so does whatever makes
/// the job start over: a retry, or a want that finds it cancelled.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The coordinator starts: every open lease lives on for at least
    /// ttl + grace from now.
    async fn restart(&self, now: Timestamp) -> Result<()>;

    /// Stores a sweep with its cells and the jobs that do not exist yet, all or
    /// nothing. A digest that exists already is a no-op, except that a
    /// cancelled sweep is live again, unpaused, and a different priority is
    /// taken over.
    ///
    /// New jobs come in the order of the cells, and within a cell in the order
    /// of the replicates: that is the order of submission. A new sweep, or one
    /// that is live again, wants all of its jobs: those that exist get
    /// [`swath_core::job::Event::Want`].
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] when a cell's spec is not a JSON object.
    async fn submit(&self, now: Timestamp, submission: Submission) -> Result<Submitted>;

    /// A worker starts or reconnects: gets the next session, which fences the
    /// older ones. Per held attempt the verdict says what to do with it; what
    /// the older sessions held and `hello` does not claim goes back to the
    /// queue at once. `requeued` counts the jobs that wait again for that.
    ///
    /// A draining worker is active again by this, a cordoned one stays
    /// cordoned. The row of jobs that it failed stays as it is.
    async fn hello(&self, now: Timestamp, hello: Hello) -> Result<Welcome>;

    /// Records outcomes and grants jobs, in one transaction.
    ///
    /// *Outcomes*, one after the other. When the same worker, in whatever
    /// session, has recorded an equal outcome (provenance aside) for this
    /// attempt: [`Ack::AlreadyRecorded`]. Otherwise the job is asked, with
    /// [`swath_core::judge::backoff_unit`] for the backoff. What comes too late
    /// is [`Ack::Stale`] and kept aside, once per attempt, worker and outcome,
    /// if the job exists and its numbers are finite; an outcome of an older
    /// session is always too late.
    ///
    /// A probe that runs out of memory fails at once, by
    /// [`swath_core::judge::policy_for`].
    ///
    /// *Judgement*, after each recorded outcome: every live, unpaused sweep
    /// that holds the job is paused if [`swath_core::judge::pause`] says so, but
    /// for those of probes; neither does a probe lengthen a worker's row. If
    /// one was, the failures are the sweep's: the worker's row is cleared.
    /// Otherwise its row goes on by [`swath_core::judge::streak`], and as long
    /// as [`swath_core::judge::cordon`] gives a reason, the jobs of the row are
    /// uncharged for this worker and it is cordoned if it is active. Notices
    /// come in this order, those of sweeps by order of submission.
    ///
    /// *Grants* go by priority (greatest first), then by order of submission,
    /// to queued jobs whose backoff is over and that a live, unpaused sweep
    /// wants, and only to workers that are active; a job with a program only to
    /// a worker that allows it. A request id that was granted jobs in this
    /// session gets those again, in the same order, as far as this session
    /// still has their leases, and no others.
    ///
    /// # Errors
    ///
    /// [`StoreError::StaleSession`] for a session that was never given, and
    /// for an older one that brings no outcomes. Outcomes of an older session
    /// are acknowledged, so that its worker need not keep them, and it gets no
    /// grants.
    async fn exchange(&self, now: Timestamp, exchange: Exchange) -> Result<Exchanged>;

    /// Extends the leases of the attempts in `held`; one verdict each, in
    /// order: [`Verdict::Fenced`] when it does not count,
    /// [`Verdict::Stop`] when it is to stop or its worker is draining,
    /// [`Verdict::Keep`] otherwise. A lease of this session that two heartbeats
    /// in a row do not mention is taken back; a mention or a claim starts the
    /// count again.
    async fn heartbeat(
        &self,
        now: Timestamp,
        owner: Owner,
        held: Vec<Held>,
    ) -> Result<Vec<Verdict>>;

    /// Stores observations and log text of open attempts. Repeats are ignored:
    /// observations by epoch, log chunks by sequence number, the first stays;
    /// a chunk with sequence number 0 is none. Attempts that do not count store
    /// nothing. One verdict per report, in order, as of a heartbeat; leases are
    /// not extended.
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
    /// no other live sweep needs, and does nothing to a cancelled sweep.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for an unknown sweep, [`StoreError::Conflict`]
    /// for any other change to a cancelled one.
    async fn change_sweep(
        &self,
        now: Timestamp,
        sweep: SweepDigest,
        change: SweepChange,
    ) -> Result<()>;

    /// Cancels jobs, whatever sweeps want them. Returns how many changed;
    /// unknown jobs do not.
    async fn cancel_jobs(&self, now: Timestamp, jobs: Vec<JobDigest>) -> Result<u64>;

    /// Queues failed and cancelled jobs again. Returns how many changed. A job
    /// that no live sweep holds makes the newest sweep that holds it live
    /// again, unpaused, without wanting that sweep's other jobs: a job that
    /// waits is always needed by somebody.
    async fn retry_jobs(&self, now: Timestamp, jobs: Vec<JobDigest>) -> Result<u64>;

    /// The sweeps whose results are to be looked at, oldest first: live,
    /// unpaused, with a `replicates_max`, every job final, and not settled since
    /// the last of them ended.
    async fn replication_due(&self) -> Result<Vec<ReplicationDue>>;

    /// Takes what a look found, in one transaction. Nothing happens when it was
    /// at something that is not due any more, so a repeat is a no-op.
    ///
    /// *Seeds* are a new round. A decision counts if it gives a cell of the
    /// sweep the replicate after its last one, at most its `replicates_max`-th;
    /// others are ignored. Its job comes last in the order of submission, if it
    /// did not exist, and is wanted. A *settled* sweep is not due again before a
    /// job of it ends once more.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for an unknown sweep.
    async fn replicate(
        &self,
        now: Timestamp,
        due: ReplicationDue,
        look: Look,
    ) -> Result<Replicated>;

    /// Every decision about the replicates of a sweep, in order, and how it is
    /// settled; [`StoreError::NotFound`] for an unknown sweep.
    async fn replication(&self, sweep: SweepDigest) -> Result<ReplicationRecord>;

    /// Stores numbers from elsewhere, all or nothing. Each lies under the name
    /// of a sweep, a cell, its source and a place; the same number again is a
    /// no-op, wherever it stands. With `replace`, what the batch's sources had
    /// said of the batch's sweeps is forgotten first. No job changes.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] when no sweep of that name has such a cell,
    /// [`StoreError::Conflict`] when a source contradicts what it said before,
    /// or a number may not be stored.
    async fn import(&self, now: Timestamp, batch: ImportBatch) -> Result<ImportCounts>;

    /// Changes whether a worker gets jobs. Activating clears its row of failed
    /// jobs and the reason.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for an unknown worker.
    async fn change_worker(
        &self,
        now: Timestamp,
        worker: WorkerName,
        change: WorkerChange,
    ) -> Result<()>;

    /// Every sweep, oldest first. Its state is cancelled when it is not live,
    /// else finished when every job is final and, where results decide how many
    /// there are, that is settled; else paused, else active; the
    /// reason is there as long as it is paused, whatever its state.
    async fn sweeps(&self) -> Result<Vec<SweepView>>;

    /// The files that a sweep was submitted from; [`StoreError::NotFound`] for
    /// an unknown sweep.
    async fn sources(&self, sweep: SweepDigest) -> Result<Sources>;

    /// The jobs that match, in order of submission; none of an unknown sweep.
    ///
    /// `sweeps` names each name once, in order of submission, cancelled sweeps
    /// too. `worker`, `granted_at` and `progress` are the newest attempt's;
    /// `not_before` is there only while it is queued, `deadline` only while it
    /// is leased or suspect, `ended_at` only while it is final. `message` is
    /// that of the remembered fault.
    async fn jobs(&self, query: JobQuery) -> Result<Vec<JobView>>;

    /// The jobs that failed last, of a sweep or of any: the newest end first,
    /// and among equal ends in order of submission; none of an unknown sweep.
    async fn last_failed(&self, sweep: Option<SweepDigest>, limit: u32) -> Result<Vec<JobView>>;

    /// One job with its attempts. An attempt whose outcome or release is
    /// recorded shows that with its time; without, `ended` is empty while it is
    /// the newest and has a lease, and `lost` otherwise.
    async fn job(&self, job: JobDigest) -> Result<Option<JobDetail>>;

    /// How many queued jobs are granted before this one: those of a greater
    /// priority, and of the same one submitted earlier. 0 when it does not
    /// wait to be granted.
    async fn ahead(&self, job: JobDigest) -> Result<u64>;

    /// Which of these jobs exist, and where they are; in the order given.
    async fn known(&self, jobs: Vec<JobDigest>) -> Result<Vec<Option<Known>>>;

    /// Measured trainings of this workload, at most `limit`: those of the
    /// newest cells, and of a cell the newest jobs.
    async fn alike(&self, workload: WorkloadKey, limit: u32) -> Result<Vec<Alike>>;

    /// A sweep's cells with the results of their replicates, in canonical
    /// order; [`StoreError::NotFound`] for an unknown sweep.
    ///
    /// Imported numbers of the sweep's name are among the replicates, in the
    /// order of source and place, by [`swath_core::import::fill`].
    ///
    /// `provenance` is that of the newest attempt's outcome, if the job has
    /// succeeded or failed. `last_epochs` > 0 fills `last_test_errors` of
    /// succeeded jobs: of the observations with a test error, the newest
    /// attempt's per epoch (an attempt may have resumed another), the last so
    /// many epochs, newest last.
    async fn results(&self, sweep: SweepDigest, last_epochs: u32) -> Result<Vec<CellResults>>;

    /// A job's observations, by attempt and epoch; none of an unknown job.
    async fn curves(&self, job: JobDigest) -> Result<Vec<CurvePoint>>;

    /// What a job's trainers wrote to stderr, after `position`, in the order in
    /// which it arrived. Positions count a job's chunks from 1; none of an
    /// unknown job.
    async fn logs(&self, job: JobDigest, position: u64) -> Result<Vec<LogChunk>>;

    /// Every worker, by name. `held` counts its leases.
    async fn workers(&self) -> Result<Vec<WorkerView>>;

    /// When the next backoff ends after `now`, among queued jobs that a live,
    /// unpaused sweep wants: the coordinator wakes waiting workers then.
    async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>>;

    /// Ends background work and closes files; later calls fail.
    async fn close(&self) -> Result<()>;
}
