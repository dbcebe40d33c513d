//! What readers see of sweeps, jobs and workers: plain data, the same for the
//! command line, for JSON output and for any later surface.

use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cause::{CordonCause, PauseCause};
use crate::device::Device;
use crate::id::{
    Attempt, CellDigest, JobDigest, Replicate, SessionId, StateId, SweepDigest, WorkerName,
};
use crate::import::Imported;
use crate::job::StateName;
use crate::label::{Label, versioned};
use crate::metrics;
use crate::needs::Lack;
use crate::offer::Offer;
use crate::outcome::{Fault, Measurement, Observation, Provenance};
use crate::placement::Placement;
use crate::replication::{Decision, Verdict};
use crate::spec::Unreadable;
use crate::time::Timestamp;

/// The version of every JSON document that readers get.
pub const SCHEMA_VERSION: u32 = 1;

/// Jobs of a sweep, counted by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Jobs that wait, including those in backoff.
    pub queued: u64,
    /// Jobs under way.
    pub leased: u64,
    /// Jobs under way whose worker has gone silent.
    pub suspect: u64,
    /// Jobs with a measurement.
    pub succeeded: u64,
    /// Jobs that failed for good, except those that diverged.
    pub failed: u64,
    /// Jobs that failed because they diverged.
    pub diverged: u64,
    /// Jobs that were cancelled because nobody needs them.
    pub cancelled: u64,
}

impl Counts {
    /// The number of all jobs.
    pub const fn total(&self) -> u64 {
        self.queued
            + self.leased
            + self.suspect
            + self.succeeded
            + self.failed
            + self.diverged
            + self.cancelled
    }

    /// The number of jobs in a final state.
    pub const fn done(&self) -> u64 {
        self.succeeded + self.failed + self.diverged + self.cancelled
    }

    /// Adds `jobs` jobs in this state.
    pub fn add(&mut self, state: StateName, fault: Option<Fault>, jobs: u64) {
        *self.of(state, fault) += jobs;
    }

    /// Removes one job in this state.
    pub fn remove_one(&mut self, state: StateName, fault: Option<Fault>) {
        *self.of(state, fault) -= 1;
    }

    /// Moves one job from the count of its old state to that of its new one.
    pub fn move_one(&mut self, from: (StateName, Option<Fault>), to: (StateName, Option<Fault>)) {
        *self.of(to.0, to.1) += 1;
        *self.of(from.0, from.1) -= 1;
    }

    const fn of(&mut self, state: StateName, fault: Option<Fault>) -> &mut u64 {
        match (state, fault) {
            (StateName::Queued, _) => &mut self.queued,
            (StateName::Leased, _) => &mut self.leased,
            (StateName::Suspect, _) => &mut self.suspect,
            (StateName::Succeeded, _) => &mut self.succeeded,
            (StateName::Failed, Some(Fault::Diverged)) => &mut self.diverged,
            (StateName::Failed, _) => &mut self.failed,
            (StateName::Cancelled, _) => &mut self.cancelled,
        }
    }
}

/// What a sweep is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SweepKind {
    /// Its jobs are trained, or run a program, for their results.
    #[default]
    Training,
    /// Its jobs measure what steps cost. What fails tells about the cells, so
    /// neither sweep nor worker is blamed.
    Probe,
}

impl SweepKind {
    /// Its name in the store and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Training => "training",
            Self::Probe => "probe",
        }
    }

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Training, Self::Probe]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// What a sweep is doing, read from its jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SweepState {
    /// Jobs wait or train.
    Active,
    /// Its jobs are not granted until it is resumed.
    Paused,
    /// Every job is final, and no more will follow.
    Finished,
    /// Cancelled by an operator.
    Cancelled,
}

impl SweepState {
    /// That of a sweep that is live or not, has nothing left to do or not, and
    /// is paused or not.
    pub const fn of(live: bool, finished: bool, paused: bool) -> Self {
        match (live, finished, paused) {
            (false, _, _) => Self::Cancelled,
            (true, true, _) => Self::Finished,
            (true, false, true) => Self::Paused,
            (true, false, false) => Self::Active,
        }
    }
}

/// One sweep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SweepView {
    /// The sweep's digest.
    pub digest: SweepDigest,
    /// Its name; a changed file shares it with the sweep that it was before.
    pub name: String,
    /// Which of the sweeps of this name it is, counted from 1 as they came.
    #[serde(default = "first")]
    pub version: u32,
    /// What is said of it beside its name.
    #[serde(flatten)]
    pub label: Label,
    /// The sweep's title; may be empty.
    pub title: String,
    /// What the sweep is for.
    #[serde(default)]
    pub kind: SweepKind,
    /// What it is doing.
    pub state: SweepState,
    /// Why it is paused; absent while it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<PauseCause>,
    /// How many cells it has.
    pub cells: u64,
    /// Replicates per cell; where results decide, the number at first.
    pub replicates: u32,
    /// How far the results have decided that number; absent where every cell
    /// has the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication: Option<ReplicationView>,
    /// Its priority; sweeps with a greater one go first.
    pub priority: i32,
    /// How many of the sweep's jobs are in each state.
    pub counts: Counts,
    /// When it was submitted.
    pub submitted_at: Timestamp,
    /// When its last job became final; absent while a job is open.
    pub finished_at: Option<Timestamp>,
}

/// Sweeps had no versions once.
const fn first() -> u32 {
    1
}

impl SweepView {
    /// Its name, with its version if another came before it.
    pub fn full_name(&self) -> String {
        match self.version {
            1 => self.name.clone(),
            version => versioned(&self.name, version),
        }
    }

    /// Whether jobs are open, or more may follow from the results.
    pub fn is_open(&self) -> bool {
        let settled = |it: &ReplicationView| it.settled.is_some();
        let settled = self.replication.as_ref().is_none_or(settled);
        !settled || self.counts.done() < self.counts.total()
    }

    /// The most replicates that a cell may get.
    pub fn replicates_most(&self) -> u32 {
        self.replication.map_or(self.replicates, |it| it.max)
    }
}

/// A sweep with what its table is drawn from, which may be large.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SweepRecord {
    /// The sweep.
    #[serde(flatten)]
    pub view: SweepView,
    /// What it was made from and how its table is laid out, as the submitter
    /// stored it.
    pub definition: Value,
}

impl Deref for SweepRecord {
    type Target = SweepView;

    fn deref(&self) -> &SweepView {
        &self.view
    }
}

/// How many replicates the cells of a sweep get, as far as its results have
/// decided: see [`crate::replication`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicationView {
    /// The most replicates of a cell.
    pub max: u32,
    /// How many rounds of seeds were given so far.
    pub rounds: u32,
    /// How many replicates those rounds gave, over all cells.
    pub seeds: u64,
    /// The final state, once no more replicates will be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<SettledView>,
}

/// States that a sweep gets no more replicates, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettledView {
    /// When that was found.
    pub at: Timestamp,
    /// Pairs of cells next to each other in the order of medians.
    pub pairs: u64,
    /// How many of those pairs are undecided.
    pub undecided: u64,
}

/// Every decision about the replicates of a sweep.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReplicationRecord {
    /// The replicates that were given, in the order of the decisions.
    pub decisions: Vec<DecisionView>,
    /// What the last look found, once no more replicates will be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
}

/// One decision.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecisionView {
    /// The round, from 1.
    pub round: u32,
    /// When it was made.
    pub at: Timestamp,
    /// The decision.
    #[serde(flatten)]
    pub decision: Decision,
}

/// The values of a metric that results need besides what jobs measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epochs {
    /// The metric.
    pub metric: String,
    /// In how many last epochs of a training.
    pub last: u32,
}

/// One job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobView {
    /// The job's digest.
    pub digest: JobDigest,
    /// The job's cell.
    pub cell: CellDigest,
    /// Which repetition of its cell it is.
    pub replicate: Replicate,
    /// The job's seed.
    pub seed: u64,
    /// The resolved spec of its cell: a tree without the seed. Null where that
    /// cannot be read.
    pub spec: Value,
    /// Why its spec cannot be read; absent where it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<Unreadable>,
    /// The names of the sweeps that hold it, without repetitions.
    pub sweeps: Vec<String>,
    /// The sweeps that hold it, which may share a name, in order of submission.
    #[serde(default)]
    pub holders: Vec<SweepDigest>,
    /// The job's state.
    pub state: StateName,
    /// Why it failed; absent if it did not.
    pub fault: Option<Fault>,
    /// Whether the worker of its open attempt is told to stop.
    pub stop: bool,
    /// The job's newest attempt.
    pub attempt: Attempt,
    /// How many faults were charged to it.
    pub charged: u32,
    /// The worker of the newest attempt.
    pub worker: Option<WorkerName>,
    /// The devices on which the newest attempt was granted to run; absent where
    /// that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub devices: Option<Placement>,
    /// When the newest attempt was granted.
    pub granted_at: Option<Timestamp>,
    /// When a queued job may be granted.
    pub not_before: Option<Timestamp>,
    /// When a lease, or its grace, is over.
    pub deadline: Option<Timestamp>,
    /// When it became final.
    pub ended_at: Option<Timestamp>,
    /// The newest observation of the newest attempt.
    pub progress: Option<Observation>,
    /// What it measured.
    pub measurement: Option<Measurement>,
    /// The message of the last fault; empty when there is none.
    pub message: String,
}

impl JobView {
    /// What it measured by the metric by which it is compared.
    pub fn measured(&self) -> Option<f64> {
        let measurement = self.measurement.as_ref()?;
        measurement.values.own(metrics::own(&self.spec))
    }

    /// The same at its newest observation.
    pub fn observed(&self) -> Option<f64> {
        let progress = self.progress.as_ref()?;
        progress.values.own(metrics::own(&self.spec))
    }
}

/// One attempt of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptView {
    /// The attempt's number.
    pub attempt: Attempt,
    /// The attempt's worker.
    pub worker: WorkerName,
    /// The worker's session at the grant.
    pub session: SessionId,
    /// When it was granted.
    pub granted_at: Timestamp,
    /// When its end was recorded; absent while it is open, and for an attempt
    /// that never reported one.
    pub ended_at: Option<Timestamp>,
    /// How it ended: `measured`, `released`, `lost` or a fault's name; empty
    /// while it is open.
    pub ended: String,
    /// The fault's message.
    pub message: String,
    /// What it ran on.
    pub provenance: Option<Provenance>,
    /// When its outcome was thrown away; absent unless it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forgotten_at: Option<Timestamp>,
}

/// One job with its attempts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobDetail {
    /// The job.
    pub job: JobView,
    /// Its attempts, oldest first.
    pub attempts: Vec<AttemptView>,
    /// Outcomes that came too late to count.
    pub late_outcomes: u64,
}

/// One point of a learning curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// The attempt that observed it.
    pub attempt: Attempt,
    /// The observation.
    pub observation: Observation,
}

/// A piece of text that a trainer wrote, with nothing left out of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogChunk {
    /// The position, which grows with each chunk of a job; a follower goes on
    /// from it.
    pub position: u64,
    /// The attempt.
    pub attempt: Attempt,
    /// Where it begins in all that the attempt wrote, in bytes. If the chunk before
    /// it ended earlier, what was between them is left out.
    #[serde(default)]
    pub begin: u64,
    /// The text.
    pub text: String,
}

impl LogChunk {
    /// A chunk with this text that ends here.
    pub fn ending(position: u64, attempt: Attempt, end: u64, text: String) -> Self {
        Self {
            position,
            attempt,
            begin: end.saturating_sub(text.len() as u64),
            text,
        }
    }

    /// Where it ends in all that the attempt wrote.
    pub fn end(&self) -> u64 {
        self.begin + self.text.len() as u64
    }
}

/// Whether a worker gets new jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerState {
    /// It gets new jobs.
    Active,
    /// It keeps the jobs that it has and gets no more.
    Cordoned,
    /// It has to give back the jobs that it has, and gets no more.
    Draining,
}

impl WorkerState {
    /// Its name in the store and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Cordoned => "cordoned",
            Self::Draining => "draining",
        }
    }

    /// The state with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Active, Self::Cordoned, Self::Draining]
            .into_iter()
            .find(|state| state.name() == name)
    }
}

/// One worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerView {
    /// The worker's name.
    pub name: WorkerName,
    /// Whether it gets jobs.
    pub state: WorkerState,
    /// Why it is cordoned; absent while it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cordoned: Option<CordonCause>,
    /// The worker's newest session.
    pub session: SessionId,
    /// When the coordinator last heard from it.
    pub seen_at: Timestamp,
    /// What it says about itself.
    pub about: WorkerAbout,
    /// How many attempts it holds.
    pub held: u64,
    /// How many slots these have; absent where only a store was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots_held: Option<u64>,
    /// How many different jobs it has failed in a row.
    pub failed_in_a_row: u32,
    /// Whether it is gone: it said goodbye, or has been silent for longer than a
    /// lease lasts.
    #[serde(default)]
    pub silent: bool,
    /// What its host turned out to lack of waiting jobs, which it does not get
    /// therefore. The leading coordinator knows it, no store.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacks: Vec<Lack>,
    /// What of it is kept free, and for which job. The leading coordinator knows
    /// it, no store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Kept>,
}

impl WorkerView {
    /// How many slots its attempts have.
    pub fn busy(&self) -> u64 {
        self.slots_held.unwrap_or(self.held)
    }
}

/// Room that a worker keeps for a job which needs more than is free.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The job.
    pub job: JobDigest,
    /// The worker.
    pub worker: WorkerName,
    /// The devices on which it is to run.
    pub devices: Placement,
    /// Those of them on which other jobs have to end first.
    pub busy: Vec<Device>,
    /// Whether other jobs have to give back processors first.
    pub cpus: bool,
}

/// What a worker says about itself in its hello.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerAbout {
    /// The worker's host.
    pub host: String,
    /// The id of the worker's process.
    pub pid: u32,
    /// The worker's version.
    pub version: String,
    /// The version of the protocol that it speaks; absent where that was not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<u32>,
    /// Its state directory; absent where the worker does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_id: Option<StateId>,
    /// The directory in which its attempts have theirs; absent where the worker
    /// does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out: Option<String>,
    /// What it offers to jobs.
    #[serde(flatten)]
    pub offer: Offer,
}

/// A training that was measured, for estimating similar ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alike {
    /// The resolved spec of its cell: a tree without the seed.
    pub spec: Value,
    /// How many seconds it took.
    pub train_seconds: f64,
    /// The device model that it ran on.
    pub device: String,
}

/// The result of one replicate of a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplicateResult {
    /// Its number within the cell, from 1.
    pub replicate: Replicate,
    /// The replicate's job.
    pub job: JobDigest,
    /// The replicate's seed.
    pub seed: u64,
    /// The state of the job.
    pub state: StateName,
    /// Why the job failed, if it did.
    pub fault: Option<Fault>,
    /// What it measured.
    pub measurement: Option<Measurement>,
    /// What the metric was in the last epochs, newest last; filled only for a
    /// measure that needs it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_values: Vec<f64>,
    /// What it ran on; most replicates share it.
    pub provenance: Option<Arc<Provenance>>,
    /// The imported number that stands in its place; the replicate then counts
    /// as succeeded, without a measurement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<Box<Imported>>,
}

impl ReplicateResult {
    /// Whether its number sums up several runs; see
    /// [`Imported::is_summary`].
    pub fn is_summary(&self) -> bool {
        self.imported.as_ref().is_some_and(|it| it.is_summary())
    }
}

/// One cell of a sweep with the results of its replicates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellResults {
    /// Its place in the sweep's canonical order, from 0.
    pub index: u64,
    /// The cell's digest.
    pub cell: CellDigest,
    /// Its axes in written order.
    pub axes: Vec<(String, Value)>,
    /// Its replicates in order.
    pub replicates: Vec<ReplicateResult>,
}
