//! What one commit writes: rows, not statements. The engine decided them; a
//! store only keeps them.

use serde::Serialize;
use serde_json::Value;
use swath_model::cause::{CordonCause, PauseCause};
use swath_model::event::Event;
use swath_model::id::{
    Attempt, CellDigest, JobDigest, Replicate, SessionId, SweepDigest, WorkerName,
};
use swath_model::import::Imported;
use swath_model::job::Job;
use swath_model::message::Sources;
use swath_model::outcome::{Fault, Measurement, Observation, Outcome, Provenance};
use swath_model::probe::WorkloadKey;
use swath_model::replication::{Pair, Verdict};
use swath_model::time::Timestamp;
use swath_model::view::{Counts, SweepKind, WorkerAbout, WorkerState};

use crate::dump::Copied;
use crate::key::{CellKey, JobKey, SweepKey, WorkerKey};

/// Everything that one commit writes, or nothing of it.
///
/// A store writes the lists in the order of these fields, so that whatever a
/// row names is there before it. Within a list the order counts too.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// New sweeps.
    pub new_sweeps: Vec<NewSweep>,
    /// Sweeps that changed, and every new one.
    pub sweeps: Vec<SweepRow>,
    /// New cells.
    pub cells: Vec<NewCell>,
    /// Cells of new sweeps.
    pub sweep_cells: Vec<NewSweepCell>,
    /// Cells of a sweep that have another number of replicates now.
    pub grown: Vec<GrownCell>,
    /// Workers that are new or changed, each once.
    pub workers: Vec<WorkerRow>,
    /// New jobs: queued, never granted.
    pub new_jobs: Vec<NewJob>,
    /// New attempts; those of a job in order.
    pub attempts: Vec<NewAttempt>,
    /// What attempts measured.
    pub outcomes: Vec<OutcomeRow>,
    /// How attempts ended, each once.
    pub ends: Vec<AttemptEnd>,
    /// When attempts were lost, each once.
    pub lost: Vec<LostAttempt>,
    /// Jobs that changed, each once, as they are now.
    pub jobs: Vec<JobRow>,
    /// Outcomes that came too late to count. A repeat (the same job, attempt,
    /// worker and outcome) is ignored.
    pub late: Vec<LateOutcome>,
    /// Epochs of attempts. A repeat (the same job, attempt and epoch) is
    /// ignored; numbers that are not finite are absent.
    pub observations: Vec<ObservationRow>,
    /// Pieces of logs. A repeat (the same job, attempt and sequence number) is
    /// ignored.
    pub logs: Vec<LogRow>,
    /// What requests were granted.
    pub requests: Vec<GrantRequest>,
    /// How far the replicates of sweeps are decided, where that changed or
    /// begins.
    pub replications: Vec<ReplicationRow>,
    /// Decisions about replicates.
    pub decisions: Vec<DecisionRow>,
    /// Names of sweeps, each with a source: what that has said of the sweep is
    /// forgotten, before `imports`.
    pub forgotten: Vec<(String, String)>,
    /// Numbers from elsewhere.
    pub imports: Vec<NewImport>,
    /// What happened, in order. A store keeps the last [`EVENTS_KEPT`], or a
    /// few more.
    pub events: Vec<Event>,
    /// What only a copy of another store has to write.
    pub copied: Option<Box<Copied>>,
}

impl Changes {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A new sweep; what may change of it is in its [`SweepRow`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NewSweep {
    /// Its key.
    pub key: SweepKey,
    /// Its digest.
    pub digest: SweepDigest,
    /// Its name.
    pub name: String,
    /// Its title; may be empty.
    pub title: String,
    /// What it is for.
    pub kind: SweepKind,
    /// Replicates per cell at first.
    pub replicates: u32,
    /// How many cells it has.
    pub cells: u64,
    /// Its files.
    pub sources: Sources,
    /// How its table is laid out.
    pub definition: Value,
    /// When it was submitted.
    pub submitted_at: Timestamp,
}

/// What may change of a sweep.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SweepRow {
    /// Its key.
    pub key: SweepKey,
    /// Whether it is not cancelled.
    pub live: bool,
    /// Why it is paused, if it is.
    pub paused: Option<PauseCause>,
    /// The greatest goes first.
    pub priority: i32,
    /// Its jobs.
    pub counts: Counts,
    /// When the last of its jobs ended that has ended. A job that starts over
    /// ends later than it did, so this holds again by the time that every job
    /// is final.
    pub ended_at: Option<Timestamp>,
}

/// A new cell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NewCell {
    /// Its key.
    pub key: CellKey,
    /// Its digest.
    pub digest: CellDigest,
    /// Its canonical spec, without a seed.
    pub spec: String,
    /// The program that its jobs need, if they are not for the built-in core.
    pub program: Option<String>,
    /// What its trainings cost alike with.
    // Follows from the spec.
    #[serde(skip)]
    pub workload: WorkloadKey,
}

/// That a sweep has a cell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NewSweepCell {
    /// The sweep.
    pub sweep: SweepKey,
    /// The place in canonical order, from 0.
    pub position: u64,
    /// The cell.
    pub cell: CellKey,
    /// Its axes in written order.
    pub axes: Vec<(String, Value)>,
    /// The sweep holds replicates 1 to so many of it.
    pub replicates: u32,
}

/// That a sweep holds more replicates of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct GrownCell {
    /// The sweep.
    pub sweep: SweepKey,
    /// The cell.
    pub cell: CellKey,
    /// The sweep holds replicates 1 to so many of it now.
    pub replicates: u32,
}

/// A worker.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WorkerRow {
    /// Its key.
    pub key: WorkerKey,
    /// Its name.
    pub name: WorkerName,
    /// Whether it gets jobs.
    pub state: WorkerState,
    /// Why it is cordoned, if it is.
    pub cordoned: Option<CordonCause>,
    /// Its newest session.
    pub session: SessionId,
    /// When it was last heard of.
    pub seen_at: Timestamp,
    /// What it said of itself.
    pub about: WorkerAbout,
    /// The different jobs that it failed in a row.
    pub failed: Vec<JobDigest>,
    /// Whether it was not heard of for the life of a lease.
    pub silent: bool,
}

/// A new job: queued from `since` on, as [`Job::new`] makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct NewJob {
    /// Its key.
    pub key: JobKey,
    /// Its digest.
    pub digest: JobDigest,
    /// Its cell.
    pub cell: CellKey,
    /// Which repetition of its cell it is.
    pub replicate: Replicate,
    /// Its seed.
    pub seed: u64,
    /// When it was made.
    pub since: Timestamp,
}

/// What may change of a job.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JobRow {
    /// Its key.
    pub key: JobKey,
    /// Its life.
    pub job: Job,
    /// The worker of `job.owner`.
    pub worker: Option<WorkerKey>,
    /// Heartbeats in a row that did not mention its lease.
    pub unmentioned: u32,
    /// The attempt whose fault is remembered.
    pub faulted: Option<Attempt>,
    /// When it became final, while it is.
    pub ended_at: Option<Timestamp>,
}

impl JobRow {
    /// Whether nothing has happened to it since it was made.
    pub fn is_as_made(&self) -> bool {
        *self
            == Self {
                key: self.key,
                job: Job::new(self.job.granted_at),
                worker: None,
                unmentioned: 0,
                faulted: None,
                ended_at: None,
            }
    }
}

/// A new attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct NewAttempt {
    /// The job.
    pub job: JobKey,
    /// Its number.
    pub attempt: Attempt,
    /// Who got the grant.
    pub worker: WorkerKey,
    /// In which session.
    pub session: SessionId,
    /// When.
    pub granted_at: Timestamp,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AttemptEnd {
    /// The job.
    pub job: JobKey,
    /// The attempt.
    pub attempt: Attempt,
    /// When that was recorded.
    pub at: Timestamp,
    /// How.
    pub end: End,
}

/// That an attempt's lease ended without word of it, or that it came back since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LostAttempt {
    /// The job.
    pub job: JobKey,
    /// The attempt.
    pub attempt: Attempt,
    /// When its lease ended; none when it came back.
    pub at: Option<Timestamp>,
}

/// How an attempt ended, as its worker told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum End {
    /// It was given back.
    Released,
    /// It brought a measurement; its [`OutcomeRow`] has the numbers.
    Measured {
        /// What it ran on.
        provenance: Provenance,
    },
    /// It brought a fault.
    Failed {
        /// Which.
        fault: Fault,
        /// Its whole message.
        message: String,
        /// What it ran on.
        provenance: Provenance,
    },
}

/// What a job measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OutcomeRow {
    /// The job.
    pub job: JobKey,
    /// Its newest attempt.
    pub attempt: Attempt,
    /// The numbers.
    pub measurement: Measurement,
    /// What it ran on.
    pub provenance: Provenance,
    /// When it was recorded.
    pub recorded_at: Timestamp,
}

/// An outcome that came too late to count.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LateOutcome {
    /// The job.
    pub job: JobKey,
    /// The attempt that its worker named; it may never have been granted.
    pub attempt: Attempt,
    /// Who told.
    pub worker: WorkerKey,
    /// In which session.
    pub session: SessionId,
    /// What.
    pub outcome: Outcome,
    /// What it ran on.
    pub provenance: Provenance,
    /// When it was kept aside.
    pub recorded_at: Timestamp,
}

/// An epoch of an attempt.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ObservationRow {
    /// The job.
    pub job: JobKey,
    /// The attempt.
    pub attempt: Attempt,
    /// Its metrics.
    pub observation: Observation,
}

/// A piece of what a trainer wrote to stderr.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogRow {
    /// The job.
    pub job: JobKey,
    /// The attempt.
    pub attempt: Attempt,
    /// Counts the pieces of the attempt, from 1.
    pub sequence: u64,
    /// The text.
    pub text: String,
}

/// What a request was granted: a lost reply is answered with the same. A store
/// keeps the [`REQUESTS_KEPT`] greatest requests of a worker's newest session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GrantRequest {
    /// The worker.
    pub worker: WorkerKey,
    /// Its session.
    pub session: SessionId,
    /// The request.
    pub request: u64,
    /// Jobs and attempts, in the order in which they were granted.
    pub grants: Vec<(JobKey, Attempt)>,
}

/// A worker repeats a request only until it is answered: the last few are
/// enough.
pub const REQUESTS_KEPT: usize = 16;

/// So many events are kept. Whoever has not followed for longer reads anew.
pub const EVENTS_KEPT: u64 = 50_000;

/// How far the replicates of a sweep are decided.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReplicationRow {
    /// The sweep.
    pub sweep: SweepKey,
    /// Replicates of a cell, at most.
    pub max: u32,
    /// Rounds of seeds that were given so far.
    pub rounds: u32,
    /// Replicates that they gave, over all cells.
    pub seeds: u64,
    /// How it is settled, if it is.
    pub settled: Option<SettledRow>,
}

/// How the replicates of a sweep are settled.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SettledRow {
    /// When that was found.
    pub at: Timestamp,
    /// When the last job had ended that was looked at.
    pub as_of: Timestamp,
    /// What was found.
    pub verdict: Verdict,
}

/// That a cell gets another replicate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct DecisionRow {
    /// The sweep.
    pub sweep: SweepKey,
    /// Counts the decisions of the sweep, from 1.
    pub place: u64,
    /// The round, from 1.
    pub round: u32,
    /// When it was made.
    pub at: Timestamp,
    /// The cell.
    pub cell: CellKey,
    /// The replicate.
    pub replicate: Replicate,
    /// The reason.
    pub pair: Pair,
}

/// A number from elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NewImport {
    /// The name of the sweep.
    pub sweep: String,
    /// The cell.
    pub cell: CellKey,
    /// Tells apart the numbers that one source has for one cell, from 1.
    pub place: u32,
    /// The number.
    pub number: Imported,
    /// When it came.
    pub at: Timestamp,
}
