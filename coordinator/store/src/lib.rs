//! What keeps sweeps, jobs and outcomes: the [`Store`] trait.
//!
//! A store decides nothing. It keeps the [`Changes`] that the engine decided,
//! all or nothing, gives back what the engine needs to decide on, and answers
//! readers.

mod changes;
mod cold;
pub mod copy;
mod dump;
mod key;
pub mod verify;
mod walk;

use std::time::Duration;

use async_trait::async_trait;
use swath_model::event::Event;
use swath_model::id::{CellDigest, JobDigest, SweepDigest, WorkerName};
use swath_model::probe::WorkloadKey;
use swath_model::view::{
    Alike, CellResults, CurvePoint, JobDetail, JobView, LogChunk, ReplicationRecord, SweepRecord, SweepView,
    WorkerView,
};

pub use swath_model::message::*;

pub use self::changes::*;
pub use self::cold::*;
pub use self::dump::*;
pub use self::key::*;
pub use self::walk::{Census, Progress};

/// Why something could not be done.
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
    /// Another coordinator leads, or none does at the moment.
    #[error("{}", match leader {
        Some(leader) => format!("another coordinator leads: {leader}"),
        None => "no coordinator leads at the moment; try again in a few seconds".to_owned(),
    })]
    NotLeader {
        /// Where the leader can be reached.
        leader: Option<String>,
    },
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

/// One stretch of leadership over a store, growing: a commit under an older one
/// is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Term(pub i64);

/// How often a leader renews its term. A store lets another one take over when
/// it has not heard of the leader for three times as long.
pub const RENEW_EVERY: Duration = Duration::from_secs(2);

/// Keeps what the engine decided, and answers readers.
///
/// Writers: there is one, the engine of the leader. Every call of it, `lead` to
/// `commit`, sees all earlier commits. Reads see every commit that was
/// acknowledged before they began.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Makes the caller, who can be reached at `address`, the only one whose
    /// commits are taken, for as long as it renews that in time. Whoever leads
    /// already may lead anew at once, under a greater term.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`] while somebody else leads.
    async fn lead(&self, address: &str) -> Result<Term>;

    /// Leads on; to be called every [`RENEW_EVERY`].
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`] when somebody else leads by now.
    async fn renew(&self, term: Term) -> Result<()>;

    /// Where the leader can be reached, if there is one.
    async fn leader(&self) -> Result<Option<String>>;

    /// What the engine begins with.
    async fn start(&self) -> Result<Start>;

    /// At most `limit` cells with a job that is not final, those with keys above
    /// `after` in their order.
    async fn open_cells(&self, after: CellKey, limit: u32) -> Result<Vec<StoredCell>>;

    /// The cells that exist of those that are named, each once.
    async fn load(&self, names: &Names) -> Result<Vec<StoredCell>>;

    /// The canonical specs of these cells, in order.
    async fn specs(&self, cells: &[CellKey]) -> Result<Vec<String>>;

    /// What is there already where numbers are to be imported: `cells` by the
    /// name of their sweep, and everything that `sources` have said, each with
    /// the name of a sweep.
    async fn said(
        &self,
        cells: &[(String, CellDigest)],
        sources: &[(String, String)],
    ) -> Result<Said>;

    /// Writes `changes` in one transaction and returns when they are durable.
    ///
    /// # Errors
    ///
    /// After any error the engine must begin anew: it may be that they were
    /// written.
    async fn commit(&self, term: Term, changes: Changes) -> Result<()>;

    /// Every decision about the replicates of a sweep, in order, and how it is
    /// settled; [`StoreError::NotFound`] for an unknown sweep.
    async fn replication(&self, sweep: SweepDigest) -> Result<ReplicationRecord>;

    /// Every sweep, oldest first. Its state is cancelled when it is not live,
    /// else finished when every job is final and, where results decide how many
    /// there are, that is settled; else paused, else active; the
    /// reason is there as long as it is paused, whatever its state.
    async fn sweeps(&self) -> Result<Vec<SweepView>>;

    /// One sweep with its definition; [`StoreError::NotFound`] for an unknown
    /// one.
    async fn sweep(&self, sweep: SweepDigest) -> Result<SweepRecord>;

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
    /// recorded shows that with its time; without, one that was lost shows
    /// that with its time.
    async fn job(&self, job: JobDigest) -> Result<Option<JobDetail>>;

    /// Which of these jobs exist, and where they are; in the order given.
    async fn known(&self, jobs: Vec<JobDigest>) -> Result<Vec<Option<Known>>>;

    /// Measured trainings of this workload, at most `limit`: those of the
    /// newest cells, and of a cell the newest jobs.
    async fn alike(&self, workload: WorkloadKey, limit: u32) -> Result<Vec<Alike>>;

    /// A sweep's cells with the results of their replicates, in canonical
    /// order; [`StoreError::NotFound`] for an unknown sweep.
    ///
    /// Imported numbers of the sweep's name are among the replicates, in the
    /// order of source and place, by [`swath_model::import::fill`].
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

    /// Events after this one, in order, at most `limit`. The first is not the
    /// next when that is not kept any more.
    async fn events(&self, after: u64, limit: u32) -> Result<Vec<Event>>;

    /// The number of the newest event; 0 before the first.
    async fn last_event(&self) -> Result<u64>;

    /// Every worker, by name. `held` counts its leases.
    async fn workers(&self) -> Result<Vec<WorkerView>>;

    /// What is stored at this moment, to be read at leisure.
    ///
    /// # Errors
    ///
    /// Where a store cannot hold on to a state of itself, as those that only
    /// tests have.
    async fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        Err(StoreError::Failed {
            message: "this store gives no snapshots".to_owned(),
            source: None,
        })
    }

    /// How far this store is a copy of another one, as long as it is not yet a
    /// whole one. Until then [`Store::start`] fails.
    async fn copying(&self) -> Result<Option<Copying>> {
        Ok(None)
    }

    /// Why nothing may be written here any more, until the coordinator is
    /// started again: what was written can no longer be trusted to be kept.
    fn lost(&self) -> Option<String> {
        None
    }

    /// Ends background work and closes files; later calls fail.
    async fn close(&self) -> Result<()>;
}
