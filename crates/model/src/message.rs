//! The words of the lease protocol and of submitting: what goes into a store
//! and comes out of it, and what workers and coordinator tell each other.

use std::collections::BTreeMap;

use crate::cause::{CordonCause, PauseCause};
use crate::id::{Attempt, CellDigest, JobDigest, Owner, SessionId, SweepDigest, WorkerName};
use crate::job::StateName;
use crate::outcome::{Fault, Observation, Outcome, Provenance};
use crate::replication::Bounds;
use crate::time::Timestamp;
use crate::view::{SweepKind, WorkerAbout};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The files of a sweep by path: the sweep file itself and its recipes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sources {
    /// The path of the sweep file among `files`.
    pub main: String,
    /// Path, as the sweep file names it, to text.
    pub files: BTreeMap<String, String>,
    /// Replicates that replace the file's own, after `extend`; its `max`, where
    /// results decide how many a cell gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicates: Option<u32>,
}

/// A sweep to store.
#[derive(Clone, Debug, PartialEq)]
pub struct Submission {
    /// Names it by content.
    pub digest: SweepDigest,
    /// Names it for people.
    pub name: String,
    /// Its title; may be empty.
    pub title: String,
    /// Replicates per cell; at first, where there is a `replicates_max`.
    pub replicates: u32,
    /// Replicates per cell at most, where results decide how many there are:
    /// see [`crate::replication`].
    pub replicates_max: Option<u32>,
    /// What it is for.
    pub kind: SweepKind,
    /// The greatest goes first; sweeps of probes come after all others.
    pub priority: i32,
    /// Where it came from.
    pub sources: Sources,
    /// How its table is laid out; the store does not look inside.
    pub definition: Value,
    /// Its cells in canonical order, no two alike.
    pub cells: Vec<SubmittedCell>,
}

/// One cell of a submission. Its jobs follow from it: replicate i has the seed
/// `model::seed::seed(digest, i)` and the digest `model::spec::job_digest(spec,
/// seed)`.
#[derive(Clone, Debug, PartialEq)]
pub struct SubmittedCell {
    /// Its digest.
    pub digest: CellDigest,
    /// Its axes in written order.
    pub axes: Vec<(String, Value)>,
    /// Its canonical spec, without a seed.
    pub spec: String,
    /// The program that its jobs need, if they are not for the built-in core.
    pub program: Option<String>,
}

/// What came of a submit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submitted {
    /// The sweep existed already.
    pub existed: bool,
    /// It had been cancelled and is live again.
    pub revived: bool,
    /// Its jobs.
    pub jobs: u64,
    /// How many of them did not exist before.
    pub new_jobs: u64,
    /// How many of them had succeeded before.
    pub succeeded: u64,
}

/// A sweep whose results are to be looked at: do its cells need more replicates?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicationDue {
    /// The sweep.
    pub sweep: SweepDigest,
    /// How many replicates its cells get.
    pub bounds: Bounds,
    /// Rounds of seeds that were given before.
    pub rounds: u32,
    /// When its last job ended. With `rounds` it names what the look is at.
    pub ended_at: Timestamp,
}

/// What came of telling the store what a look found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replicated {
    /// Replicates that the sweep has beside those it had.
    pub seeds: u64,
    /// How many of their jobs did not exist before.
    pub new_jobs: u64,
    /// Whether the sweep is settled by it.
    pub settled: bool,
}

/// An attempt that a worker holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Held {
    /// The job.
    pub job: JobDigest,
    /// The attempt.
    pub attempt: Attempt,
}

/// A worker's first word in a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Its name.
    pub worker: WorkerName,
    /// What it says of itself: its host, its slots, its devices.
    pub about: WorkerAbout,
    /// What it holds: training, or with an outcome in its spool. It is claimed
    /// under the new session.
    pub held: Vec<Held>,
}

/// The store's answer to a hello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The new session.
    pub session: SessionId,
    /// What to do with each held attempt, in order.
    pub verdicts: Vec<Verdict>,
    /// How many attempts of older sessions went back to the queue.
    pub requeued: u64,
}

/// What a worker is to do with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Go on.
    Keep,
    /// Stop and release it: cancelled.
    Stop,
    /// Stop and forget it: a newer attempt, a newer session or a final state
    /// stands.
    Fenced,
}

/// Outcomes out, jobs in.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    /// The worker in its session.
    pub owner: Owner,
    /// Names the request within the session, growing; a repeat has the same.
    pub request: u64,
    /// Outcomes to record, oldest first.
    pub finishes: Vec<Finish>,
    /// At most so many grants.
    pub want: u32,
}

/// An outcome to record.
#[derive(Clone, Debug, PartialEq)]
pub struct Finish {
    /// The attempt.
    pub held: Held,
    /// Its outcome.
    pub outcome: Outcome,
    /// What it ran on.
    pub provenance: Provenance,
}

/// What came of an [`Exchange`].
#[derive(Clone, Debug, PartialEq)]
pub struct Exchanged {
    /// One per finish, in order.
    pub acks: Vec<Ack>,
    /// Jobs for the worker.
    pub grants: Vec<Grant>,
}

/// What came of a finish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// Recorded now.
    Recorded,
    /// Recorded before: the same attempt with the same outcome.
    AlreadyRecorded,
    /// Too late to count; kept aside.
    Stale,
    /// Not acceptable: a measurement that is not finite. The attempt is still
    /// open.
    Refused,
}

/// A job for a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The job and the attempt.
    pub held: Held,
    /// The canonical spec, seed included.
    pub spec: String,
}

/// What an attempt has to tell on its way.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The attempt.
    pub held: Held,
    /// Its new observations.
    pub observations: Vec<Observation>,
    /// Number of this log chunk within the attempt, from 1; 0 when there is
    /// none.
    pub log_sequence: u64,
    /// New text on the trainer's stderr.
    pub log: String,
}

/// What the sweeper did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticked {
    /// Leases that became suspect.
    pub suspected: u64,
    /// Jobs that went back to the queue.
    pub requeued: u64,
    /// Jobs that ended: out of attempts, or cancelled.
    pub ended: u64,
}

/// What an operator does to a sweep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SweepChange {
    /// Its jobs that no other live sweep needs are cancelled.
    Cancel,
    /// Its jobs are not granted any more.
    Pause {
        /// Why.
        cause: PauseCause,
    },
    /// They are again.
    Resume,
    /// The greatest goes first.
    Priority(i32),
}

/// What an operator does to a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkerChange {
    /// It gets jobs.
    Activate,
    /// It gets no more jobs.
    Cordon {
        /// Why.
        cause: CordonCause,
    },
    /// It gets no more jobs and gives back what it has.
    Drain,
}

/// Which jobs to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobQuery {
    /// Of this sweep; absent: of any.
    pub sweep: Option<SweepDigest>,
    /// In these states; empty: in any.
    pub states: Vec<StateName>,
    /// Whose digest starts with these hex digits.
    pub prefix: Option<String>,
    /// Only those after this one in order of submission: where a page ended.
    pub after: Option<JobDigest>,
    /// At most so many; absent: all.
    pub limit: Option<u32>,
}

/// A job that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Where it is.
    pub state: StateName,
    /// Why it failed.
    pub fault: Option<Fault>,
}
