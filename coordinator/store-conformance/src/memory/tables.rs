//! The rows, and the indexes that find them.

use std::collections::{BTreeMap, BTreeSet};

use swath_model::access::{Credential, CredentialId};
use swath_model::id::{Attempt, CellDigest, JobDigest, SweepDigest, WorkerName};
use swath_model::import::Imported;
use swath_model::job::{Job, StateName};
use swath_model::outcome::{Fault, Observation, Outcome, Provenance};
use swath_model::time::Timestamp;

use super::told::{Log, Told};
use crate::{
    AttemptEnd, CellKey, CopiedLog, Copying, DecisionRow, End, GrantRequest, InputKey, InputPiece,
    JobKey, JobRow, LateOutcome, NewAttempt, NewCell, NewInput, NewJob, NewSweep, NewSweepCell,
    OutcomeRow, ReplicationRow, Result, SettledRow, ShippedInput, StoreError, SweepKey, SweepRow,
    Term, WorkerKey, WorkerRow,
};

/// All rows, with the indexes that find them.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    pub(super) term: Term,
    pub(super) leader: Option<String>,
    pub(super) closed: bool,
    pub(super) sweeps: BTreeMap<SweepKey, SweepRec>,
    /// Files of programs, with their pieces.
    pub(super) inputs: BTreeMap<InputKey, (NewInput, Vec<InputPiece>)>,
    /// Which of them travel with which sweeps.
    pub(super) shipped: BTreeSet<ShippedInput>,
    pub(super) cells: BTreeMap<CellKey, CellRec>,
    pub(super) jobs: BTreeMap<JobKey, JobRec>,
    pub(super) workers: BTreeMap<WorkerKey, WorkerRow>,
    /// Requests, in the order in which they came.
    pub(super) requests: Vec<GrantRequest>,
    /// Imported numbers, by sweep, cell, source and place.
    pub(super) imports: BTreeMap<(String, CellKey, String, u32), Said>,
    pub(super) credentials: BTreeMap<CredentialId, Credential>,
    /// How many imports and late outcomes have come so far.
    pub(super) came: u64,
    /// How far the rows are a copy of another store's.
    pub(super) copying: Option<Copying>,
    pub(super) sweep_keys: BTreeMap<SweepDigest, SweepKey>,
    pub(super) cell_keys: BTreeMap<CellDigest, CellKey>,
    pub(super) job_keys: BTreeMap<JobDigest, JobKey>,
    pub(super) worker_keys: BTreeMap<WorkerName, WorkerKey>,
    /// All that ever happened.
    pub(super) events: Log,
    /// What a watcher would know who has followed from the first event.
    pub(super) told: Told,
}

#[derive(Clone, Debug)]
pub(super) struct SweepRec {
    pub(super) new: NewSweep,
    pub(super) row: SweepRow,
    /// The cells, in canonical order.
    pub(super) cells: Vec<NewSweepCell>,
    pub(super) replication: Option<ReplicationRow>,
    /// The decisions, in order.
    pub(super) decisions: Vec<DecisionRow>,
}

#[derive(Clone, Debug)]
pub(super) struct CellRec {
    pub(super) new: NewCell,
    /// The jobs; replicate i is at i - 1.
    pub(super) jobs: Vec<JobKey>,
    /// The sweeps that have the cell, in order of submission.
    pub(super) holders: BTreeSet<SweepKey>,
}

#[derive(Clone, Debug)]
pub(super) struct JobRec {
    pub(super) new: NewJob,
    pub(super) row: JobRow,
    /// The attempts; attempt n is at n - 1.
    pub(super) attempts: Vec<AttemptRec>,
    /// Late outcomes, each with its number among everything that came.
    pub(super) late: Vec<(u64, LateOutcome)>,
    /// Log chunks, in the order in which they came.
    pub(super) logs: Vec<CopiedLog>,
}

/// A number from elsewhere.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) number: Imported,
    pub(super) at: Timestamp,
    /// Its number among everything that came.
    pub(super) came: u64,
}

#[derive(Clone, Debug)]
pub(super) struct AttemptRec {
    pub(super) new: NewAttempt,
    pub(super) outcome: Option<OutcomeRow>,
    pub(super) end: Option<AttemptEnd>,
    pub(super) lost: Option<Timestamp>,
    /// When its outcome was thrown away.
    pub(super) forgotten: Option<Timestamp>,
    /// The last chunk of the log that was dropped to make room.
    pub(super) log_gone: u64,
    /// Observations by epoch.
    pub(super) observations: BTreeMap<u32, Observation>,
}

impl Tables {
    pub(super) fn sweep_of(&self, sweep: SweepDigest) -> Result<&SweepRec> {
        let found = self.sweep_keys.get(&sweep);
        found
            .map(|key| &self.sweeps[key])
            .ok_or_else(|| StoreError::NotFound(format!("sweep {}", sweep.short())))
    }

    pub(super) fn job_of(&self, job: JobDigest) -> Option<&JobRec> {
        Some(&self.jobs[self.job_keys.get(&job)?])
    }

    /// The jobs of a sweep: cell by cell, and replicate by replicate.
    pub(super) fn jobs_of<'a>(&'a self, sweep: &'a SweepRec) -> impl Iterator<Item = &'a JobRec> {
        sweep.cells.iter().flat_map(|held| self.held_by(held))
    }

    /// The jobs of one of its cells.
    pub(super) fn held_by(&self, held: &NewSweepCell) -> impl Iterator<Item = &JobRec> {
        let jobs = self.cells[&held.cell].jobs.iter();
        jobs.take(held.replicates as usize)
            .map(|key| &self.jobs[key])
    }

    /// How many replicates of a cell a sweep holds.
    pub(super) fn replicates_of(&self, sweep: SweepKey, cell: CellKey) -> u32 {
        let cells = self.sweeps[&sweep].cells.iter();
        let mut held = cells.filter(|held| held.cell == cell);
        held.next().map_or(0, |held| held.replicates)
    }
}

impl SweepRec {
    /// When the last job of the sweep ended; `None` while one is open.
    pub(super) fn last_end(&self) -> Option<Timestamp> {
        let counts = &self.row.counts;
        self.row
            .ended_at
            .filter(|_| counts.done() == counts.total())
    }

    /// How the sweep is settled, if its last look saw the jobs as they are now.
    pub(super) fn settled(&self) -> Option<&SettledRow> {
        let settled = self.replication.as_ref()?.settled.as_ref()?;
        Some(settled).filter(|it| self.last_end() == Some(it.as_of))
    }
}

impl JobRec {
    pub(super) const fn new(new: NewJob) -> Self {
        Self {
            new,
            row: JobRow {
                key: new.key,
                job: Job::new(new.since),
                worker: None,
                placement: None,
                unmentioned: 0,
                faulted: None,
                ended_at: None,
            },
            attempts: Vec::new(),
            late: Vec::new(),
            logs: Vec::new(),
        }
    }

    pub(super) const fn state(&self) -> StateName {
        self.row.job.state_name()
    }

    /// Why the job failed, if it did.
    pub(super) const fn fault(&self) -> Option<Fault> {
        match self.row.job.state {
            swath_model::job::State::Failed(fault) => Some(fault),
            _ => None,
        }
    }

    pub(super) fn attempt(&self, attempt: Attempt) -> Option<&AttemptRec> {
        self.attempts.get((attempt.0 as usize).checked_sub(1)?)
    }

    pub(super) fn newest(&self) -> Option<&AttemptRec> {
        self.attempts.last()
    }

    /// The fault that the job remembers, with its whole message.
    pub(super) fn remembered(&self) -> Option<(Attempt, Fault, &str)> {
        let faulted = self.row.faulted?;
        match &self.attempt(faulted)?.end.as_ref()?.end {
            End::Failed { fault, message, .. } => Some((faulted, *fault, message)),
            _ => None,
        }
    }
}

impl AttemptRec {
    /// What the attempt ran on, if it brought an outcome.
    pub(super) fn ran_on(&self) -> Option<&Provenance> {
        match &self.end.as_ref()?.end {
            End::Released => None,
            End::Measured { provenance } | End::Failed { provenance, .. } => Some(provenance),
        }
    }

    /// The outcome of the attempt, unless it was thrown away.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        if self.forgotten.is_some() {
            return None;
        }
        match &self.end.as_ref()?.end {
            End::Released => None,
            End::Measured { .. } => {
                let row = self.outcome.as_ref()?;
                Some(Outcome::Measured(row.measurement.clone()))
            }
            End::Failed { fault, message, .. } => Some(Outcome::Failed {
                fault: *fault,
                message: message.clone(),
            }),
        }
    }
}
