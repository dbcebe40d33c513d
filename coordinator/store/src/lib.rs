//! The [`Store`] trait: it keeps sweeps, jobs and outcomes.
//!
//! A store decides nothing. It keeps the [`Changes`] that the engine decided,
//! all or nothing, returns what the engine needs for its decisions, and answers
//! readers.

mod changes;
mod cold;
pub mod columns;
pub mod copy;
mod dump;
mod key;
mod logs;
pub mod rows;
pub mod stored;
pub mod verify;
mod walk;

use std::time::Duration;

use async_trait::async_trait;
use swath_model::access::Credential;
use swath_model::event::Event;
use swath_model::id::{CellDigest, InputDigest, JobDigest, SweepDigest, WorkerName};
use swath_model::probe::WorkloadKey;
use swath_model::view::{
    Alike, CellResults, CurvePoint, Epochs, JobDetail, JobView, LogChunk, ReplicationRecord,
    SweepRecord, SweepView, WorkerView,
};

pub use swath_model::message::*;

pub use self::changes::*;
pub use self::cold::*;
pub use self::dump::*;
pub use self::key::*;
pub use self::logs::*;
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
    /// A worker that is alive has the name, and it is another one.
    #[error(
        "another worker is connected under the name `{worker}` (from {host}, process {pid}, last \
         heard of {silent_s} s ago); give this one a name of its own: --name. If the other one is \
         gone, its name is free {free_after_s} s after its last word, or at once with --take-name"
    )]
    NameTaken {
        /// The name.
        worker: WorkerName,
        /// The host of the worker that has it.
        host: String,
        /// The process of that worker.
        pid: u32,
        /// Seconds since that worker was last heard of.
        silent_s: u64,
        /// After how many seconds of silence a name is free.
        free_after_s: u64,
    },
    /// There is no such thing.
    #[error("no such {0}")]
    NotFound(String),
    /// The call contradicts what the store holds.
    #[error("{0}")]
    Conflict(String),
    /// Somebody else has the store open, most likely a second coordinator.
    #[error("{0}")]
    InUse(String),
    /// Another coordinator leads, or none does at the moment.
    #[error("{}", match leader {
        Some(leader) => format!("another coordinator leads: {leader}"),
        None => "no coordinator leads at the moment; try again in a few seconds".to_owned(),
    })]
    NotLeader {
        /// The URL of the leader.
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

/// One stretch of leadership over a store; terms grow. A commit under an older
/// term is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Term(pub i64);

/// How often a leader renews its term. A store lets another coordinator take
/// over when it has not heard from the leader for three times as long.
pub const RENEW_EVERY: Duration = Duration::from_secs(2);

/// Keeps what the engine decided, and answers readers.
///
/// There is one writer, the engine of the leader. Each of its calls, from
/// `lead` to `commit`, sees all earlier commits. A read sees every commit that
/// was acknowledged before the read began.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Makes the caller, whose URL is `address`, the only one whose commits are
    /// accepted, as long as it renews that in time. A caller that leads already
    /// may lead again at once, under a greater term.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`] while somebody else leads.
    async fn lead(&self, address: &str) -> Result<Term>;

    /// Keeps the lead; to be called every [`RENEW_EVERY`].
    ///
    /// # Errors
    ///
    /// When somebody else leads by now.
    async fn renew(&self, term: Term) -> Result<()>;

    /// The URL of the leader, if there is one.
    async fn leader(&self) -> Result<Option<String>>;

    /// Everything with which the engine begins.
    async fn start(&self) -> Result<Start>;

    /// At most `limit` cells with a job that is not final, with keys above
    /// `after`, in the order of their keys.
    async fn open_cells(&self, after: CellKey, limit: u32) -> Result<Vec<StoredCell>>;

    /// Those of the named cells that exist, each once.
    async fn load(&self, names: &Names) -> Result<Vec<StoredCell>>;

    /// The last `limit` cells of a sweep, in any order; none for an unknown
    /// sweep.
    async fn tail(&self, sweep: SweepKey, limit: u32) -> Result<Tail>;

    /// The canonical specs of these cells, in order.
    async fn specs(&self, cells: &[CellKey]) -> Result<Vec<String>>;

    /// Those of these files that are kept, whole.
    async fn kept(&self, inputs: &[InputDigest]) -> Result<Vec<InputDigest>>;

    /// A piece of a file, by its number from 1; none after the last one, and none
    /// of a file that is not kept.
    async fn piece(&self, input: InputDigest, place: u32) -> Result<Option<Vec<u8>>>;

    /// What exists already for numbers that are about to be imported: `cells`,
    /// by the name of their sweep, and everything that `sources` have said,
    /// each by the name of a sweep.
    async fn said(
        &self,
        cells: &[(String, CellDigest)],
        sources: &[(String, String)],
    ) -> Result<Said>;

    /// Writes `changes` in one transaction and returns when they are durable.
    ///
    /// # Errors
    ///
    /// After any error the engine must begin again: the changes may have been
    /// written.
    async fn commit(&self, term: Term, changes: Changes) -> Result<()>;

    /// Every decision about the replicates of a sweep, in order, and how it is
    /// settled; [`StoreError::NotFound`] for an unknown sweep.
    async fn replication(&self, sweep: SweepDigest) -> Result<ReplicationRecord>;

    /// Every sweep that is stored to its end, oldest first. A sweep that is not live is cancelled.
    /// Otherwise it is finished when every job is final and, where results
    /// decide how many there are, it is settled; otherwise it is paused or
    /// active. The reason is present as long as it is paused, whatever its
    /// state.
    async fn sweeps(&self) -> Result<Vec<SweepView>>;

    /// One sweep with its definition; [`StoreError::NotFound`] for an unknown
    /// one.
    async fn sweep(&self, sweep: SweepDigest) -> Result<SweepRecord>;

    /// What a sweep was submitted as; [`StoreError::NotFound`] for
    /// an unknown sweep.
    async fn sources(&self, sweep: SweepDigest) -> Result<Sources>;

    /// The matching jobs, in order of submission; none for an unknown sweep.
    ///
    /// `sweeps` has each name once, in order of submission, including cancelled
    /// sweeps. `worker`, `granted_at` and `progress` are the newest attempt's.
    /// `not_before` is present only while the job is queued, `deadline` only
    /// while it is leased or suspect, `ended_at` only while it is final.
    /// `message` is that of the remembered fault.
    async fn jobs(&self, query: JobQuery) -> Result<Vec<JobView>>;

    /// The jobs that failed last, of one sweep or of all: the newest end first,
    /// and with equal ends in order of submission; none for an unknown sweep.
    async fn last_failed(&self, sweep: Option<SweepDigest>, limit: u32) -> Result<Vec<JobView>>;

    /// One job with its attempts. An attempt whose outcome or release is
    /// recorded shows it, with its time. Otherwise a lost attempt shows that,
    /// with its time.
    async fn job(&self, job: JobDigest) -> Result<Option<JobDetail>>;

    /// What is known of each of these jobs, in the order given.
    async fn known(&self, jobs: Vec<JobDigest>) -> Result<Vec<Option<Known>>>;

    /// Measured trainings of this workload, at most `limit`: those of the
    /// newest cells first, and within a cell the newest jobs.
    async fn alike(&self, workload: WorkloadKey, limit: u32) -> Result<Vec<Alike>>;

    /// A sweep's cells with the results of their replicates, in canonical
    /// order; [`StoreError::NotFound`] for an unknown sweep.
    ///
    /// Imported numbers under the sweep's name are among the replicates, in the
    /// order of source and place, by [`swath_model::import::fill`].
    ///
    /// `provenance` is that of the newest attempt's outcome, if the job has
    /// succeeded or failed. `epochs` fills `last_values` of succeeded jobs: from
    /// the observations with its metric, of those that count by
    /// [`swath_model::curve::Curve`], it takes the last so many epochs, newest last.
    async fn results(&self, sweep: SweepDigest, epochs: Option<Epochs>)
    -> Result<Vec<CellResults>>;

    /// A job's observations, by attempt and epoch; none for an unknown job.
    async fn curves(&self, job: JobDigest) -> Result<Vec<CurvePoint>>;

    /// What a job's trainers wrote after `position`, in the order of arrival; of
    /// a long log, the beginning and the end of each attempt. Positions count a job's chunks from 1; none for an unknown job.
    async fn logs(&self, job: JobDigest, position: u64) -> Result<Vec<LogChunk>>;

    /// At most `limit` events after this one, in order. If the next event is no
    /// longer kept, the first one has a greater number.
    async fn events(&self, after: u64, limit: u32) -> Result<Vec<Event>>;

    /// The number of the newest event; 0 before the first.
    async fn last_event(&self) -> Result<u64>;

    /// Every worker that is not forgotten, by name. `held` is the number of its
    /// leases.
    async fn workers(&self) -> Result<Vec<WorkerView>>;

    /// Every token and every worker's certificates, in the order of their ids.
    async fn credentials(&self) -> Result<Vec<Credential>>;

    /// What is stored at this moment, to be read without hurry.
    ///
    /// # Errors
    ///
    /// Where a store cannot keep a state of itself, as those that exist only
    /// for tests.
    async fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        Err(StoreError::Failed {
            message: "this store gives no snapshots".to_owned(),
            source: None,
        })
    }

    /// How far this store is a copy of another one, while the copy is
    /// incomplete. Until it is complete, [`Store::start`] fails.
    async fn copying(&self) -> Result<Option<Copying>> {
        Ok(None)
    }

    /// Gives the room of deleted rows back to the system, unless that would keep
    /// writers waiting for long: it is used for new rows otherwise. Returns
    /// whether it did.
    async fn reclaim(&self) -> Result<bool> {
        Ok(false)
    }

    /// Why nothing may be written any more until the coordinator is restarted:
    /// what was written can no longer be trusted to be kept.
    fn lost(&self) -> Option<String> {
        None
    }

    /// Ends background work and closes files; later calls fail.
    async fn close(&self) -> Result<()>;
}
