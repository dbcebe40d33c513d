//! What one commit writes: rows, not statements. The engine decides them; a
//! store only keeps them.

use serde::Serialize;
use serde_json::Value;
use swath_model::access::Credential;
use swath_model::cause::{CordonCause, PauseCause};
use swath_model::event::Event;
use swath_model::id::{
    Attempt, CellDigest, InputDigest, JobDigest, Replicate, SessionId, SweepDigest, WorkerName,
};
use swath_model::import::Imported;
use swath_model::job::Job;
use swath_model::label::Label;
use swath_model::message::Sources;
use swath_model::needs::Needs;
use swath_model::outcome::{Fault, Measurement, Observation, Outcome, Provenance};
use swath_model::placement::Placement;
use swath_model::probe::WorkloadKey;
use swath_model::program::input_digest;
use swath_model::replication::{Pair, Verdict};
use swath_model::time::Timestamp;
use swath_model::view::{Counts, SweepKind, WorkerAbout, WorkerState};

use crate::dump::Copied;
use crate::key::{CellKey, InputKey, JobKey, SweepKey, WorkerKey};

/// Everything that one commit writes, all or nothing.
///
/// A store writes the lists in the order of these fields, so that the rows to
/// which a row refers exist before it. Within a list the order matters too.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// New sweeps.
    pub new_sweeps: Vec<NewSweep>,
    /// Sweeps that changed, and every new one.
    pub sweeps: Vec<SweepRow>,
    /// Sweeps of which something else is said from now on.
    pub labels: Vec<LabelRow>,
    /// Sweeps whose imported numbers follow them to another name.
    pub renamed: Vec<RenamedSweep>,
    /// New files that programs are made of.
    pub inputs: Vec<NewInput>,
    /// The content of new files; the pieces of a file in order.
    pub pieces: Vec<InputPiece>,
    /// Files that travel with sweeps from now on.
    pub shipped: Vec<ShippedInput>,
    /// New cells.
    pub cells: Vec<NewCell>,
    /// Cells whose jobs need something else from now on, each once.
    pub needs: Vec<NeedsRow>,
    /// Cells of new sweeps.
    pub sweep_cells: Vec<NewSweepCell>,
    /// Cells of which a sweep now has another number of replicates.
    pub grown: Vec<GrownCell>,
    /// Workers that are new or changed, each once.
    pub workers: Vec<WorkerRow>,
    /// New jobs: queued, never granted.
    pub new_jobs: Vec<NewJob>,
    /// New attempts; those of a job in order.
    pub attempts: Vec<NewAttempt>,
    /// Outcomes that are thrown away, each once. The attempts stay.
    pub dropped: Vec<DroppedOutcome>,
    /// What attempts measured.
    pub outcomes: Vec<OutcomeRow>,
    /// How attempts ended, each once.
    pub ends: Vec<AttemptEnd>,
    /// Attempts that were lost or came back, each once.
    pub lost: Vec<LostAttempt>,
    /// Jobs that changed, each once, as they are now.
    pub jobs: Vec<JobRow>,
    /// Outcomes that came too late to count. A repeat (same job, attempt,
    /// worker and outcome) is ignored.
    pub late: Vec<LateOutcome>,
    /// Epochs of attempts. A repeat (same job, attempt and epoch) is ignored;
    /// numbers that are not finite are absent.
    pub observations: Vec<ObservationRow>,
    /// Pieces of logs. A repeat (same job, attempt and sequence number) is
    /// ignored.
    pub logs: Vec<LogRow>,
    /// What requests were granted.
    pub requests: Vec<GrantRequest>,
    /// How far the replicates of sweeps are decided, where that begins or
    /// changed.
    pub replications: Vec<ReplicationRow>,
    /// Decisions about replicates.
    pub decisions: Vec<DecisionRow>,
    /// Names of sweeps, each with a source whose numbers for the sweep are
    /// removed, before `imports` are written.
    pub forgotten: Vec<(String, String)>,
    /// Imported numbers.
    pub imports: Vec<NewImport>,
    /// Tokens and certificates that are new or changed, each once.
    pub credentials: Vec<Credential>,
    /// What is deleted, after everything else is written.
    pub deleted: Deletion,
    /// What happened, in order. A store keeps the last [`EVENTS_KEPT`], or a
    /// few more.
    pub events: Vec<Event>,
    /// What only a copy of another store must write.
    pub copied: Option<Box<Copied>>,
}

impl Changes {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A new sweep; what may change about it is in its [`SweepRow`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NewSweep {
    /// The sweep's key.
    pub key: SweepKey,
    /// The sweep's digest.
    pub digest: SweepDigest,
    /// The sweep's name at first.
    pub name: String,
    /// Which of the sweeps of this name it is at first, from 1.
    pub version: u32,
    /// What is said of it at first.
    pub label: Label,
    /// The sweep's title; may be empty.
    pub title: String,
    /// What the sweep is for.
    pub kind: SweepKind,
    /// Replicates per cell at first.
    pub replicates: u32,
    /// How many cells it has.
    pub cells: u64,
    /// What the sweep was submitted as.
    pub sources: Sources,
    /// How its table is laid out.
    pub definition: Value,
    /// When it was submitted.
    pub submitted_at: Timestamp,
}

/// What may change about a sweep.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SweepRow {
    /// The sweep's key.
    pub key: SweepKey,
    /// Whether it is not cancelled.
    pub live: bool,
    /// Why it is paused, if it is.
    pub paused: Option<PauseCause>,
    /// Its priority; sweeps with a greater one go first.
    pub priority: i32,
    /// How many of the sweep's jobs are in each state.
    pub counts: Counts,
    /// When the last of its jobs ended, among those that have ended. A job that
    /// starts over ends again later, so this is right again by the time every
    /// job is final.
    pub ended_at: Option<Timestamp>,
}

/// What people call a sweep and say of it. This changes seldom, and is written
/// only then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LabelRow {
    /// The sweep's key.
    pub key: SweepKey,
    /// Its name.
    pub name: String,
    /// Which of the sweeps of this name it is, from 1.
    pub version: u32,
    /// What is said of it beside that.
    pub label: Label,
}

/// A sweep that has another name. Its cells have the numbers there that were
/// imported under the old name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RenamedSweep {
    /// The sweep's key.
    pub key: SweepKey,
    /// Its old name.
    pub from: String,
    /// Its new name, which no other sweep has.
    pub to: String,
    /// Whether no sweep has the old name any more, and with it no number.
    pub last: bool,
}

/// What is deleted, in the order of these fields: what refers to a row before the
/// row itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deletion {
    /// Sweeps whose decisions about replicates go.
    pub replications: Vec<SweepKey>,
    /// Cells that sweeps have no more.
    pub sweep_cells: Vec<DroppedCells>,
    /// Names of sweeps, each with a cell whose imported numbers go.
    pub imports: Vec<(String, CellKey)>,
    /// Jobs, each with everything about it. Requests lose the grants of these; a
    /// request that has lost all of its grants goes too.
    pub jobs: Vec<JobKey>,
    /// Cells.
    pub cells: Vec<CellKey>,
    /// Sweeps that have no cells any more. No file travels with them any more
    /// either.
    pub sweeps: Vec<SweepKey>,
    /// Files that travel with no sweep, with their content.
    pub inputs: Vec<InputKey>,
}

/// Cells that a sweep has no more: the last in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DroppedCells {
    /// The sweep.
    pub sweep: SweepKey,
    /// The cells.
    pub cells: Vec<CellKey>,
    /// How many cells it has left.
    pub left: u64,
}

/// A file that a program is made of. Its content is in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct NewInput {
    /// The file's key.
    pub key: InputKey,
    /// Its digest.
    pub digest: InputDigest,
    /// How many bytes it has.
    pub bytes: u64,
    /// When it came.
    pub at: Timestamp,
}

/// A piece of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InputPiece {
    /// The file.
    pub input: InputKey,
    /// The number of the piece, from 1.
    pub place: u32,
    /// Its bytes: as many as [`swath_model::program::INPUT_PIECE_BYTES`] says.
    #[serde(serialize_with = "as_digest")]
    pub content: Vec<u8>,
}

fn as_digest<S: serde::Serializer>(content: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    input_digest(content).serialize(serializer)
}

/// A file that travels with a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ShippedInput {
    /// The sweep.
    pub sweep: SweepKey,
    /// The file.
    pub input: InputKey,
}

/// A new cell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NewCell {
    /// The cell's key.
    pub key: CellKey,
    /// The cell's digest.
    pub digest: CellDigest,
    /// Its canonical spec, without a seed.
    pub spec: String,
    /// What its jobs need of their workers.
    pub needs: Needs,
    /// The workload that its trainings belong to; they cost the same per step.
    // Follows from the spec.
    #[serde(skip)]
    pub workload: WorkloadKey,
}

/// What the jobs of a cell need from now on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NeedsRow {
    /// The cell.
    pub cell: CellKey,
    /// What its jobs need of their workers.
    pub needs: Needs,
}

/// A cell of a sweep.
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
    /// The sweep holds replicates 1 to this one.
    pub replicates: u32,
}

/// A cell of which a sweep holds more replicates now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct GrownCell {
    /// The sweep.
    pub sweep: SweepKey,
    /// The cell.
    pub cell: CellKey,
    /// The sweep now holds replicates 1 to this one.
    pub replicates: u32,
}

/// A worker.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WorkerRow {
    /// The worker's key.
    pub key: WorkerKey,
    /// The worker's name.
    pub name: WorkerName,
    /// Whether it gets jobs.
    pub state: WorkerState,
    /// Why it is cordoned, if it is.
    pub cordoned: Option<CordonCause>,
    /// The worker's newest session.
    pub session: SessionId,
    /// When the coordinator last heard from it.
    pub seen_at: Timestamp,
    /// What it said about itself.
    pub about: WorkerAbout,
    /// The different jobs that it has failed in a row.
    pub failed: Vec<JobDigest>,
    /// Whether it was not heard of for the life of a lease.
    pub silent: bool,
    /// Whether it is gone for good, and is left out of lists.
    pub forgotten: bool,
}

/// A new job: queued from `since` on, as [`Job::new`] makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct NewJob {
    /// The job's key.
    pub key: JobKey,
    /// The job's digest.
    pub digest: JobDigest,
    /// The job's cell.
    pub cell: CellKey,
    /// Which repetition of its cell it is.
    pub replicate: Replicate,
    /// The job's seed.
    pub seed: u64,
    /// When it was created.
    pub since: Timestamp,
}

/// What may change about a job.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JobRow {
    /// The job's key.
    pub key: JobKey,
    /// The job in its present state.
    pub job: Job,
    /// The worker of `job.owner`.
    pub worker: Option<WorkerKey>,
    /// Where the newest attempt was granted to run.
    pub placement: Option<Placement>,
    /// How many heartbeats in a row did not mention its lease.
    pub unmentioned: u32,
    /// The attempt whose fault is remembered.
    pub faulted: Option<Attempt>,
    /// When it became final; absent while it is not.
    pub ended_at: Option<Timestamp>,
}

impl JobRow {
    /// Whether nothing has happened to it since it was created.
    pub fn is_as_made(&self) -> bool {
        *self
            == Self {
                key: self.key,
                job: Job::new(self.job.granted_at),
                worker: None,
                placement: None,
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
    /// The attempt's number.
    pub attempt: Attempt,
    /// The worker that got the grant.
    pub worker: WorkerKey,
    /// The session that got it.
    pub session: SessionId,
    /// When it was granted.
    pub granted_at: Timestamp,
}

/// An outcome that is thrown away: what the attempt measured goes, and how it
/// ended stays on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DroppedOutcome {
    /// The job.
    pub job: JobKey,
    /// The attempt. It may have no [`OutcomeRow`], as one that diverged.
    pub attempt: Attempt,
    /// When that was.
    pub at: Timestamp,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AttemptEnd {
    /// The job.
    pub job: JobKey,
    /// The attempt.
    pub attempt: Attempt,
    /// When the end was recorded.
    pub at: Timestamp,
    /// How it ended.
    pub end: End,
}

/// An attempt that was lost, because its lease ended without a report of it, or
/// that has come back since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LostAttempt {
    /// The job.
    pub job: JobKey,
    /// The attempt.
    pub attempt: Attempt,
    /// When its lease ended; none when it came back.
    pub at: Option<Timestamp>,
}

/// How an attempt ended, as its worker reported.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum End {
    /// It was given back.
    Released,
    /// It brought a measurement; its [`OutcomeRow`] has the numbers, unless they
    /// were thrown away.
    Measured {
        /// What the attempt ran on.
        provenance: Provenance,
    },
    /// It brought a fault.
    Failed {
        /// Which fault.
        fault: Fault,
        /// The fault's whole message.
        message: String,
        /// What the attempt ran on.
        provenance: Provenance,
    },
}

/// What a job measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OutcomeRow {
    /// The job.
    pub job: JobKey,
    /// The job's newest attempt.
    pub attempt: Attempt,
    /// The numbers.
    pub measurement: Measurement,
    /// What the attempt ran on.
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
    /// The worker that reported it.
    pub worker: WorkerKey,
    /// The session in which it did.
    pub session: SessionId,
    /// The outcome.
    pub outcome: Outcome,
    /// What the attempt ran on.
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
    /// The epoch's metrics.
    pub observation: Observation,
}

/// A piece of text that a trainer wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogRow {
    /// The job.
    pub job: JobKey,
    /// The attempt.
    pub attempt: Attempt,
    /// The number of the piece within the attempt, from 1: where it ends in all that
    /// the attempt wrote, in bytes.
    pub sequence: u64,
    /// The text.
    pub text: String,
}

/// What a request was granted, so that a lost reply can be sent again. A store
/// keeps the [`REQUESTS_KEPT`] greatest requests of a worker's newest session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GrantRequest {
    /// The worker.
    pub worker: WorkerKey,
    /// The worker's session.
    pub session: SessionId,
    /// The request.
    pub request: u64,
    /// Jobs and attempts, in the order in which they were granted.
    pub grants: Vec<(JobKey, Attempt)>,
}

/// How many requests are kept. A worker repeats a request only until it is
/// answered, so the last few are enough.
pub const REQUESTS_KEPT: usize = 16;

/// How many events are kept. A watcher that has missed more reads everything
/// again.
pub const EVENTS_KEPT: u64 = 50_000;

/// How far the replicates of a sweep are decided.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReplicationRow {
    /// The sweep.
    pub sweep: SweepKey,
    /// The most replicates of a cell.
    pub max: u32,
    /// How many rounds of seeds were given so far.
    pub rounds: u32,
    /// How many replicates those rounds gave, over all cells.
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

/// A decision that a cell gets another replicate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct DecisionRow {
    /// The sweep.
    pub sweep: SweepKey,
    /// The number of the decision within the sweep, from 1.
    pub place: u64,
    /// The round, from 1.
    pub round: u32,
    /// When it was made.
    pub at: Timestamp,
    /// The cell.
    pub cell: CellKey,
    /// The replicate.
    pub replicate: Replicate,
    /// The undecided pair that is the reason.
    pub pair: Pair,
}

/// An imported number.
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
    /// When it was imported.
    pub at: Timestamp,
}
