//! The messages of the lease protocol and of submitting: what goes into a store
//! and comes out of it, and what workers and coordinator tell each other.

use std::collections::{BTreeMap, BTreeSet};

use crate::cause::{CordonCause, PauseCause};
use crate::id::{
    Attempt, CellDigest, InputDigest, JobDigest, Owner, Replicate, SessionId, SweepDigest,
    WorkerName,
};
use crate::job::StateName;
use crate::label::Relabel;
use crate::needs::{Differs, Lack, Needs};
use crate::offer::Free;
use crate::outcome::{Fault, Observation, Outcome, Provenance};
use crate::placement::Placement;
use crate::program::{INPUT_PIECE_BYTES, Launch, input_digest};
use crate::steering::Rule;
use crate::time::Timestamp;
use crate::view::{SweepKind, WorkerAbout};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a sweep was submitted as. It is kept with the sweep, so that the sweep
/// can be built from it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Sources {
    /// Files, which are expanded.
    Files(Files),
    /// Cells that are resolved already.
    Cells(CellList),
}

impl Sources {
    /// The same with so many replicates; where results decide how many a cell
    /// gets, with so many at most.
    #[must_use]
    pub fn with_replicates(mut self, replicates: u32) -> Self {
        match &mut self {
            Self::Files(files) => files.replicates = Some(replicates),
            Self::Cells(list) => list.replicates = replicates,
        }
        self
    }
}

/// A sweep that is given by its cells instead of files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CellList {
    /// The name that people use.
    pub name: String,
    /// The sweep's title.
    pub title: String,
    /// What the sweep is for.
    pub kind: SweepKind,
    /// Replicates per cell.
    pub replicates: u32,
    /// What its jobs need of the device and the host on which they run.
    #[serde(default)]
    pub needs: Needs,
    /// The spec of each cell without a seed, in the order of the sweep's table.
    pub cells: Vec<Value>,
}

/// The files of a sweep by path: the sweep file itself and its recipes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    /// The path of the sweep file among `files`.
    pub main: String,
    /// The text of each file, by its path as the sweep file names it.
    pub files: BTreeMap<String, String>,
    /// Replicates that replace the file's own, after `extend`; where results
    /// decide how many a cell gets, they replace its `max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicates: Option<u32>,
    /// The files that its program is made of, by their paths in its directory.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, InputDigest>,
    /// The directory in which its program is started, where it says one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// Those of `inputs` that may be executed, where they travel with the sweep.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub executable: BTreeSet<String>,
}

/// A sweep to store.
#[derive(Clone, Debug, PartialEq)]
pub struct Submission {
    /// The digest of its content.
    pub digest: SweepDigest,
    /// The name that people use.
    pub name: String,
    /// The sweep's title; may be empty.
    pub title: String,
    /// Replicates per cell; at first, where there is a `replicates_max`.
    pub replicates: u32,
    /// Replicates per cell at most, where results decide how many there are:
    /// see [`crate::replication`].
    pub replicates_max: Option<u32>,
    /// What the sweep is for.
    pub kind: SweepKind,
    /// Sweeps with a greater priority go first; sweeps of probes come after all
    /// others.
    pub priority: i32,
    /// What it was made from.
    pub sources: Sources,
    /// Who submits it; may be empty.
    pub owner: String,
    /// Words by which people find it.
    pub tags: Vec<String>,
    /// How its table is laid out; the store does not look inside.
    pub definition: Value,
    /// Its cells in canonical order, no two alike.
    pub cells: Vec<SubmittedCell>,
    /// The files that travel with it to the workers; the same one twice where it
    /// has two places.
    pub ships: Vec<InputDigest>,
}

/// A file that a program is made of, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputFile {
    /// Its digest.
    pub digest: InputDigest,
    /// Its content in pieces, each of [`INPUT_PIECE_BYTES`] but for the last one.
    pub pieces: Vec<Vec<u8>>,
}

impl InputFile {
    /// The file with this content.
    pub fn new(content: &[u8]) -> Self {
        Self {
            digest: input_digest(content),
            pieces: content
                .chunks(INPUT_PIECE_BYTES)
                .map(<[u8]>::to_vec)
                .collect(),
        }
    }

    /// How many bytes it has.
    pub fn bytes(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.len() as u64).sum()
    }
}

/// One cell of a submission. Its jobs follow from it: replicate i has the seed
/// `model::seed::Seeds::seed(digest, i)` and the digest `model::spec::job_digest(spec,
/// seed)`.
#[derive(Clone, Debug, PartialEq)]
pub struct SubmittedCell {
    /// The cell's digest.
    pub digest: CellDigest,
    /// Its axes in written order.
    pub axes: Vec<(String, Value)>,
    /// Its canonical spec, without a seed.
    pub spec: String,
    /// What its jobs need of their workers.
    pub needs: Needs,
}

/// The result of a submit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submitted {
    /// Whether the sweep existed already.
    pub existed: bool,
    /// Whether it had been cancelled and is live again.
    pub revived: bool,
    /// How many jobs it has.
    pub jobs: u64,
    /// How many of them did not exist before.
    pub new_jobs: u64,
    /// How many of them had succeeded before.
    pub succeeded: u64,
    /// Which of the sweeps of its name it is, from 1.
    pub version: u32,
}

/// A sweep that is being stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storing {
    /// The sweep.
    pub sweep: SweepDigest,
    /// Its name.
    pub name: String,
    /// How many of its jobs are stored so far.
    pub stored: u64,
    /// How many jobs it has.
    pub jobs: u64,
}

/// What a submit would share with other sweeps: its cells, and what its file says
/// that its jobs need.
#[derive(Clone, Debug, PartialEq)]
pub struct Shares {
    /// The sweep.
    pub sweep: SweepDigest,
    /// Replicates per cell.
    pub replicates: u32,
    /// The different needs of its jobs.
    pub needs: Vec<Needs>,
    /// Its cells, each with the place of its needs.
    pub cells: Vec<(CellDigest, usize)>,
}

impl Shares {
    /// What a submission shares.
    pub fn of(submission: &Submission) -> Self {
        let mut needs: Vec<Needs> = Vec::new();
        let mut place = 0;
        let cells = submission.cells.iter().map(|cell| {
            // Mostly those of the cell before.
            if needs.get(place) != Some(&cell.needs) {
                let known = needs.iter().position(|known| *known == cell.needs);
                place = known.unwrap_or(needs.len());
                if known.is_none() {
                    needs.push(cell.needs.clone());
                }
            }
            (cell.digest, place)
        });
        Self {
            sweep: submission.digest,
            replicates: submission.replicates,
            cells: cells.collect(),
            needs,
        }
    }
}

/// Open jobs that a sweep shares with another one, whose file says otherwise what
/// they need or how they are started. What was submitted last counts for every
/// attempt that begins after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlap {
    /// The name of the other sweep.
    pub sweep: String,
    /// Which of the sweeps of its name it is.
    pub version: u32,
    /// How many open jobs both have.
    pub jobs: u64,
    /// In what their files differ.
    pub differs: BTreeSet<Differs>,
}

/// What one step of a deletion took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    /// How many jobs are gone.
    pub jobs: u64,
    /// Whether the sweep itself is.
    pub done: bool,
}

/// A sweep whose results are due for a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SteeringDue {
    /// The sweep.
    pub sweep: SweepDigest,
    /// The rule that looks.
    pub rule: Rule,
    /// Rounds of seeds that were given before.
    pub rounds: u32,
    /// When its last job ended. Together with `rounds` it identifies what was
    /// looked at.
    pub ended_at: Timestamp,
}

/// What became of what a rule said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steered {
    /// How many replicates the sweep gained.
    pub seeds: u64,
    /// How many of their jobs did not exist before.
    pub new_jobs: u64,
    /// Whether this settled the sweep.
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

/// The first message of a worker's session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The worker's name.
    pub worker: WorkerName,
    /// What it says of itself: its host, and what it offers.
    pub about: WorkerAbout,
    /// The attempts it holds: in training, or with an outcome in its spool. The
    /// new session claims them.
    pub held: Vec<Held>,
    /// Whether it takes its name from whoever has it, even from a worker that is
    /// alive.
    pub takes_name: bool,
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
    /// Continue.
    Keep,
    /// Stop and release it: it was cancelled.
    Stop,
    /// Stop and forget it: there is a newer attempt, a newer session or a final
    /// state.
    Fenced,
}

/// A worker's exchange with the coordinator: outcomes go out, jobs come in.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    /// The worker in its session.
    pub owner: Owner,
    /// The request's number, growing within the session; a repeated request has
    /// the same.
    pub request: u64,
    /// Outcomes to record, oldest first.
    pub finishes: Vec<Finish>,
    /// What is free for more jobs, each device once; empty when none are
    /// wanted.
    pub free: Vec<Free>,
}

impl Exchange {
    /// Whether it asks for jobs.
    pub fn asks(&self) -> bool {
        self.free.iter().any(|free| free.jobs() > 0)
    }
}

/// An outcome to record.
#[derive(Clone, Debug, PartialEq)]
pub struct Finish {
    /// The attempt.
    pub held: Held,
    /// The attempt's outcome.
    pub outcome: Outcome,
    /// What the attempt ran on.
    pub provenance: Provenance,
}

/// The result of an [`Exchange`].
#[derive(Clone, Debug, PartialEq)]
pub struct Exchanged {
    /// One acknowledgement per finish, in order.
    pub acks: Vec<Ack>,
    /// Jobs for the worker.
    pub grants: Vec<Grant>,
}

/// The result of a finish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// Recorded now.
    Recorded,
    /// Recorded before: the same attempt with the same outcome.
    AlreadyRecorded,
    /// Too late to count; kept aside.
    Stale,
    /// Not acceptable: the measurement is not finite. The attempt is still
    /// open.
    Refused,
}

/// A job for a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Which job and attempt.
    pub held: Held,
    /// The canonical spec of the job, seed included.
    pub spec: String,
    /// Where to run it.
    pub placement: Placement,
    /// Which replicate of its cell it is.
    pub replicate: Replicate,
    /// How its program is started.
    pub launch: Launch,
}

/// An attempt that a worker gives back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// The attempt.
    pub held: Held,
    /// What the worker's host lacks of the job, if that is why.
    pub lack: Option<Lack>,
}

impl From<Held> for Release {
    fn from(held: Held) -> Self {
        Self { held, lack: None }
    }
}

/// What an attempt reports while it runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The attempt.
    pub held: Held,
    /// Its new observations.
    pub observations: Vec<Observation>,
    /// Where this log chunk ends: bytes that the attempt wrote up to here, so that
    /// what is left out between two chunks can be counted; 0 when there is none.
    pub log_sequence: u64,
    /// New text that the trainer wrote, with nothing left out of it.
    pub log: String,
}

/// What a pass of the sweeper did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticked {
    /// Leases that became suspect.
    pub suspected: u64,
    /// Jobs that went back to the queue.
    pub requeued: u64,
    /// Jobs that ended: out of attempts, or cancelled.
    pub ended: u64,
}

/// A change to a sweep by an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SweepChange {
    /// Cancels the jobs that no other live sweep needs.
    Cancel,
    /// Holds its jobs back from being granted.
    Pause {
        /// Why it is paused.
        cause: PauseCause,
    },
    /// Lets its jobs be granted again.
    Resume,
    /// Sets the priority; sweeps with a greater one go first.
    Priority(i32),
    /// Changes what is said of it.
    Label(Relabel),
}

/// A change to a worker by an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkerChange {
    /// Gives it jobs.
    Activate,
    /// Gives it no more jobs.
    Cordon {
        /// Why it is cordoned.
        cause: CordonCause,
    },
    /// Gives it no more jobs, and lets it give back those it has.
    Drain,
    /// Leaves it out of lists, until it says hello again.
    Forget,
}

/// Which jobs to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobQuery {
    /// Only jobs of this sweep; absent: of any sweep.
    pub sweep: Option<SweepDigest>,
    /// Only jobs in these states; empty: in any state.
    pub states: Vec<StateName>,
    /// Only jobs whose digest starts with these hex digits.
    pub prefix: Option<String>,
    /// Only jobs after this one in order of submission: where the last page
    /// ended.
    pub after: Option<JobDigest>,
    /// At most this many; absent: all.
    pub limit: Option<u32>,
    /// No further ones after so many bytes of specs and messages; absent: all.
    /// One job comes however large it is.
    pub bytes: Option<usize>,
}

/// A job that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// The job's state.
    pub state: StateName,
    /// Why it failed, if it did.
    pub fault: Option<Fault>,
}
