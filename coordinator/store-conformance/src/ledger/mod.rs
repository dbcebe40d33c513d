//! Every sweep, job, attempt and worker in memory, as simply as possible: the
//! model that the engine is compared with. It looks at all jobs for everything,
//! and has no indexes, no cold cells and no store.
//!
//! It is pure: the time is an argument, and every change of a job goes through
//! [`Job::apply`]. Its operations are those of the engine, which documents them.

mod blame;
mod check;
mod delete;
mod exchange;
mod import;
mod inputs;
mod read;
mod room;
mod steer;
mod submit;
mod time;
mod worker;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

pub use self::check::Broken;
use self::import::Imports;
use self::inputs::Inputs;
use self::steer::Replication;
use swath_model::access::{Credential, CredentialId};
use swath_model::cause::{CordonCause, PauseCause};
use swath_model::id::{
    Attempt, CellDigest, InputDigest, JobDigest, Owner, Replicate, SessionId, SweepDigest,
    WorkerName,
};
use swath_model::job::{Applied, Event, Job, Refusal};
use swath_model::judge::{self, LastFault, Urgency, Wish};
use swath_model::label::Label;
use swath_model::message::Sources;
use swath_model::needs::Needs;
use swath_model::outcome::{Measurement, Observation, Outcome, Provenance};
use swath_model::placement::Placement;
use swath_model::policy::Policy;
use swath_model::time::Timestamp;
use swath_model::view::SweepKind;
use swath_model::view::{LogChunk, WorkerAbout, WorkerState};
use swath_store::{LOG_HEAD_BYTES, LOG_TAIL_BYTES};

/// Why the ledger could not do what it was asked to. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The session is not the newest of its worker, or was never given.
    #[error("session {session} of worker `{worker}` is not its newest; say hello again")]
    StaleSession {
        /// The name of the worker.
        worker: WorkerName,
        /// The session that the worker named.
        session: u64,
    },
    /// A worker that is alive has the name, and it is another one.
    #[error("another worker is connected under the name `{worker}`; give this one another --name")]
    NameTaken {
        /// The name.
        worker: WorkerName,
    },
    /// There is no such thing.
    #[error("no such {0}")]
    NotFound(String),
    /// The call contradicts what the ledger holds.
    #[error("{0}")]
    Conflict(String),
}

/// All sweeps, cells, jobs, attempts, outcomes, observations and workers.
#[derive(Clone, Debug)]
pub struct Ledger {
    policy: Policy,
    /// All sweeps, in order of submission.
    sweeps: Vec<Sweep>,
    sweep_index: BTreeMap<SweepDigest, usize>,
    cells: BTreeMap<CellDigest, Cell>,
    /// All jobs, in order of submission.
    jobs: Vec<JobRow>,
    job_index: BTreeMap<JobDigest, usize>,
    workers: BTreeMap<WorkerName, WorkerRow>,
    /// Numbers from elsewhere.
    imports: Imports,
    /// Tokens and certificates, which decide nothing here.
    pub(crate) credentials: BTreeMap<CredentialId, Credential>,
    /// Files of programs.
    inputs: Inputs,
    /// The greatest session given to anybody.
    sessions: SessionId,
    /// How many grants were ever made; this orders them.
    grants: u64,
}

#[derive(Clone, Debug)]
struct Sweep {
    digest: SweepDigest,
    name: String,
    version: u32,
    label: Label,
    title: String,
    kind: SweepKind,
    replicates: u32,
    replication: Option<Replication>,
    priority: i32,
    sources: Sources,
    definition: Value,
    cells: Vec<(CellDigest, Vec<(String, Value)>)>,
    /// Indexes of jobs, cell by cell, and replicate by replicate within a cell.
    jobs: Vec<usize>,
    /// How many jobs each cell has.
    counts: Vec<u32>,
    /// The files that travel with it.
    ships: BTreeSet<InputDigest>,
    live: bool,
    /// Why the sweep is paused, if it is.
    paused: Option<PauseCause>,
    submitted_at: Timestamp,
}

impl Sweep {
    const fn wish(&self) -> Wish {
        Wish {
            live: self.live,
            paused: self.paused.is_some(),
            kind: self.kind,
            priority: self.priority,
        }
    }
}

#[derive(Clone, Debug)]
struct Cell {
    text: String,
    tree: Value,
    needs: Needs,
}

#[derive(Clone, Debug)]
struct JobRow {
    digest: JobDigest,
    cell: CellDigest,
    replicate: Replicate,
    seed: u64,
    /// The sweeps that hold the job, in order of submission.
    sweeps: Vec<usize>,
    job: Job,
    ended_at: Option<Timestamp>,
    /// The last recorded fault, with its whole message.
    fault: Option<(LastFault, String)>,
    /// Attempt n is at n - 1.
    attempts: Vec<AttemptRow>,
    late: Vec<LateOutcome>,
    logs: Vec<LogRow>,
}

impl JobRow {
    /// Drops what is neither in the beginning nor in the end of an attempt's log.
    fn drop_old_log(&mut self, attempt: Attempt) {
        let own = self.logs.iter_mut();
        let own = own.filter(|log| log.chunk.attempt == attempt);
        let mut own: Vec<&mut LogRow> = own.collect();
        let bytes = |log: &LogRow| if log.gone { 0 } else { log.chunk.text.len() };
        let mut beginning = 0;
        for at in 0..own.len() {
            let rest: usize = own[at..].iter().map(|log| bytes(log)).sum();
            beginning += bytes(own[at]);
            let after_a_gap = own[..at].iter().any(|log| log.gone);
            let begins = beginning <= LOG_HEAD_BYTES && !after_a_gap;
            own[at].gone |= rest > LOG_TAIL_BYTES && !begins;
        }
    }
}

#[derive(Clone, Debug)]
struct AttemptRow {
    /// The owner that got the grant. A claim does not change it.
    owner: Owner,
    /// The request that it was granted to.
    request: u64,
    /// Where it was granted to run.
    placement: Placement,
    /// Its place among all grants.
    sequence: u64,
    granted_at: Timestamp,
    /// How many heartbeats in a row did not mention it.
    missed: u32,
    end: Option<(Timestamp, End)>,
    /// When its lease ended without word of it, as long as it has not come back.
    lost: Option<Timestamp>,
    /// When its outcome was thrown away.
    forgotten: Option<Timestamp>,
    observations: BTreeMap<u32, Observation>,
}

impl AttemptRow {
    /// The outcome that counts for this attempt.
    const fn outcome(&self) -> Option<&Outcome> {
        match &self.end {
            Some((_, End::Outcome(outcome, _))) if self.forgotten.is_none() => Some(outcome),
            _ => None,
        }
    }
}

/// What an attempt reported as its end.
#[derive(Clone, Debug)]
enum End {
    Released,
    Outcome(Box<Outcome>, Provenance),
}

/// An outcome that came too late to count.
#[derive(Clone, Debug, PartialEq)]
struct LateOutcome {
    attempt: Attempt,
    worker: WorkerName,
    outcome: Outcome,
}

#[derive(Clone, Debug)]
struct LogRow {
    end: u64,
    chunk: LogChunk,
    /// Whether it had to make room.
    gone: bool,
}

#[derive(Clone, Debug)]
struct WorkerRow {
    state: WorkerState,
    cordoned: Option<CordonCause>,
    session: SessionId,
    seen_at: Timestamp,
    /// Whether it was not heard of for the life of a lease.
    silent: bool,
    forgotten: bool,
    about: WorkerAbout,
    /// The different jobs that failed on it in a row.
    row: Vec<JobDigest>,
    /// Of which needs its host lacks something: until when it gets no such jobs, and
    /// how often that was found in a row.
    lacks: BTreeMap<Needs, (Timestamp, u32)>,
}

/// How a session relates to the newest one of its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Newest,
    Older,
    NeverGiven,
}

impl Ledger {
    /// An empty ledger under these limits.
    pub const fn new(policy: Policy) -> Self {
        Self {
            policy,
            sweeps: Vec::new(),
            sweep_index: BTreeMap::new(),
            cells: BTreeMap::new(),
            jobs: Vec::new(),
            job_index: BTreeMap::new(),
            workers: BTreeMap::new(),
            imports: BTreeMap::new(),
            credentials: BTreeMap::new(),
            inputs: BTreeMap::new(),
            sessions: SessionId(0),
            grants: 0,
        }
    }

    /// Forgets what hosts lack, which is not stored; returns whether there was
    /// something to forget.
    pub fn forget_lacks(&mut self) -> bool {
        let mut forgot = false;
        for worker in self.workers.values_mut() {
            forgot |= !std::mem::take(&mut worker.lacks).is_empty();
        }
        forgot
    }

    /// The limits of this ledger.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The state of one job.
    pub fn state(&self, job: JobDigest) -> Option<&Job> {
        Some(&self.row(job)?.job)
    }

    /// The states of all jobs, in order of submission.
    pub fn states(&self) -> impl Iterator<Item = (JobDigest, &Job)> {
        self.jobs.iter().map(|row| (row.digest, &row.job))
    }

    /// The outcome that counts for this attempt.
    pub fn outcome(&self, job: JobDigest, attempt: Attempt) -> Option<&Outcome> {
        let index = (attempt.0 as usize).checked_sub(1)?;
        self.row(job)?.attempts.get(index)?.outcome()
    }

    fn row(&self, job: JobDigest) -> Option<&JobRow> {
        Some(&self.jobs[*self.job_index.get(&job)?])
    }

    fn apply(
        &mut self,
        index: usize,
        event: &Event<'_>,
        now: Timestamp,
    ) -> Result<Applied, Refusal> {
        let policy = self.policy.clone();
        self.apply_by(&policy, index, event, now)
    }

    /// Changes a job; nothing else does.
    fn apply_by(
        &mut self,
        policy: &Policy,
        index: usize,
        event: &Event<'_>,
        now: Timestamp,
    ) -> Result<Applied, Refusal> {
        let row = &mut self.jobs[index];
        let was_final = row.job.state_name().is_final();
        let (attempt, was_leased) = (row.job.attempt, row.job.lease().is_some());
        let applied = row.job.apply(event, now, policy)?;
        if row.job.attempt == attempt
            && let Some(newest) = row.attempts.last_mut()
        {
            // What its worker tells of its end counts more.
            match (was_leased, row.job.lease().is_some()) {
                (true, false) => newest.lost = Some(now),
                (false, true) => newest.lost = None,
                _ => {}
            }
        }
        match (was_final, row.job.state_name().is_final()) {
            (false, true) => row.ended_at = Some(now),
            (true, false) => {
                row.ended_at = None;
                row.fault = None;
            }
            _ => {}
        }
        debug_assert_eq!(row.job.check(&self.policy), Ok(()), "after {event:?}");
        Ok(applied)
    }

    fn standing(&self, owner: &Owner) -> Standing {
        match self.workers.get(&owner.worker) {
            Some(worker) if worker.session == owner.session => Standing::Newest,
            Some(worker) if worker.session > owner.session && owner.session.0 > 0 => {
                Standing::Older
            }
            _ => Standing::NeverGiven,
        }
    }

    /// Notes that the newest session of a worker was heard from.
    fn heard(&mut self, owner: &Owner, now: Timestamp) -> Result<WorkerState, LedgerError> {
        match self.workers.get_mut(&owner.worker) {
            Some(worker) if worker.session == owner.session => {
                worker.seen_at = now;
                worker.silent = false;
                Ok(worker.state)
            }
            _ => Err(stale(owner)),
        }
    }

    fn wishes(&self, index: usize) -> impl Iterator<Item = Wish> {
        let holders = &self.jobs[index].sweeps;
        holders.iter().map(|sweep| self.sweeps[*sweep].wish())
    }

    fn needed(&self, index: usize) -> bool {
        judge::needed(self.wishes(index))
    }

    fn urgency(&self, index: usize) -> Option<Urgency> {
        judge::urgency(self.wishes(index))
    }
}

impl JobRow {
    fn newest_attempt(&self) -> Option<&AttemptRow> {
        self.attempts.last()
    }

    fn measurement(&self) -> Option<&Measurement> {
        match self.newest_attempt()?.outcome()? {
            Outcome::Measured(measurement) => Some(measurement),
            Outcome::Failed { .. } => None,
        }
    }
}

fn stale(owner: &Owner) -> LedgerError {
    LedgerError::StaleSession {
        worker: owner.worker.clone(),
        session: owner.session.0,
    }
}
