//! What a store returns of what it keeps: the rows with which the engine
//! begins, and those that it asks for later.

use std::collections::{BTreeMap, HashSet};

use swath_model::id::{Attempt, CellDigest, JobDigest, SweepDigest, WorkerName};
use swath_model::import::Imported;
use swath_model::job::Job;
use swath_model::judge::{Failures, LastFault};
use swath_model::label::Label;
use swath_model::needs::Needs;
use swath_model::outcome::Outcome;
use swath_model::placement::Placement;
use swath_model::time::Timestamp;
use swath_model::view::{SettledView, SweepKind};

use crate::changes::{NewInput, ShippedInput, SweepRow, WorkerRow};
use crate::key::{CellKey, JobKey, SweepKey, WorkerKey};

/// What the engine holds about everything, open or not. The cells with open
/// jobs come page by page from [`crate::Store::open_cells`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Start {
    /// Every sweep, in order of submission.
    pub sweeps: Vec<StoredSweep>,
    /// Every file of programs that is kept, by key.
    pub inputs: Vec<NewInput>,
    /// Which of them travel with which sweeps, in order.
    pub shipped: Vec<ShippedInput>,
    /// Every worker.
    pub workers: Vec<WorkerRow>,
    /// What the requests of the newest sessions were granted; those of a worker
    /// are in order.
    pub requests: Vec<StoredRequest>,
    /// The greatest key of a cell; 0 when there is none.
    pub last_cell: CellKey,
    /// The greatest key of a job; 0 when there is none.
    pub last_job: JobKey,
    /// The number of the newest event; 0 when there is none.
    pub last_event: u64,
    /// When that happened: no time is given after it that is earlier.
    pub last_event_at: Option<Timestamp>,
}

/// A sweep without its files, its table and its cells.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredSweep {
    /// The sweep's digest.
    pub digest: SweepDigest,
    /// Its name.
    pub name: String,
    /// Which of the sweeps of this name it is, from 1.
    pub version: u32,
    /// What is said of it beside that.
    pub label: Label,
    /// What the sweep is for.
    pub kind: SweepKind,
    /// Replicates per cell at first.
    pub replicates: u32,
    /// What may change about it.
    pub row: SweepRow,
    /// How far its replicates are decided, where results decide them.
    pub replication: Option<StoredReplication>,
    /// The remembered faults of its jobs, each with how many jobs have it; only
    /// for a sweep of which no job has succeeded.
    pub faults: Vec<(LastFault, Failures)>,
}

/// Counts the jobs of a sweep by the faults that they remember, one after the
/// other in any order.
#[derive(Clone, Debug, Default)]
pub struct Tally(BTreeMap<LastFault, (u64, HashSet<CellKey>)>);

impl Tally {
    /// Counts a job of this cell.
    pub fn add(&mut self, fault: LastFault, cell: CellKey) {
        let (jobs, cells) = self.0.entry(fault).or_default();
        *jobs += 1;
        cells.insert(cell);
    }

    /// The faults, in order.
    pub fn faults(self) -> Vec<(LastFault, Failures)> {
        let counted = self.0.into_iter().map(|(fault, (jobs, cells))| {
            let cells = cells.len() as u64;
            (fault, Failures { jobs, cells })
        });
        counted.collect()
    }
}

/// How far the replicates of a sweep are decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredReplication {
    /// The most replicates of a cell.
    pub max: u32,
    /// How many rounds of seeds were given so far.
    pub rounds: u32,
    /// How many replicates those rounds gave, over all cells.
    pub seeds: u64,
    /// How the sweep is settled, if it is, and when the last of the jobs that
    /// were looked at had ended.
    pub settled: Option<(Timestamp, SettledView)>,
}

/// What a request was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRequest {
    /// The worker.
    pub worker: WorkerKey,
    /// The request's number, in the worker's newest session.
    pub request: u64,
    /// The granted jobs, in order.
    pub grants: Vec<(JobDigest, Attempt)>,
}

/// A cell with all of its jobs.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredCell {
    /// The cell's key.
    pub key: CellKey,
    /// The cell's digest.
    pub digest: CellDigest,
    /// What its jobs need of their workers.
    pub needs: Needs,
    /// The sweeps that have it, in order of submission, with how many of its
    /// replicates each holds.
    pub holders: Vec<(SweepKey, u32)>,
    /// Its jobs: replicates 1, 2, and so on.
    pub jobs: Vec<StoredJob>,
}

/// A job.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredJob {
    /// The job's key.
    pub key: JobKey,
    /// The job's digest.
    pub digest: JobDigest,
    /// The job in its present state.
    pub job: Job,
    /// Where the newest attempt was granted to run.
    pub placement: Option<Placement>,
    /// How many heartbeats in a row did not mention its lease.
    pub unmentioned: u32,
    /// The attempt whose fault is remembered, with the fault.
    pub fault: Option<(Attempt, LastFault)>,
    /// When it became final; absent while it is not.
    pub ended_at: Option<Timestamp>,
    /// The outcomes of its attempts, with the worker that got the grant; none
    /// where an outcome was thrown away.
    pub outcomes: Vec<(Attempt, WorkerName, Option<Outcome>)>,
}

/// The last cells of a sweep.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tail {
    /// How many cells the sweep has before them.
    pub before: u64,
    /// The cells with all of their jobs.
    pub cells: Vec<StoredCell>,
}

/// Which cells to load: those that exist of everything that is named here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// The cells of these jobs.
    pub jobs: Vec<JobDigest>,
    /// These cells.
    pub cells: Vec<CellDigest>,
    /// The cells of these sweeps.
    pub sweeps: Vec<SweepKey>,
}

impl Names {
    /// Whether nothing is named.
    pub const fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.cells.is_empty() && self.sweeps.is_empty()
    }
}

/// What exists already for numbers that are about to be imported.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    /// The keys of the cells that were asked for, in order; none where no sweep
    /// of that name has such a cell.
    pub cells: Vec<Option<CellKey>>,
    /// What the requested sources have said: sweep, cell, place and number.
    pub numbers: Vec<(String, CellDigest, u32, Imported)>,
}
