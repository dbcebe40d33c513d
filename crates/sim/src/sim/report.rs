//! The result of a run, or the law that it broke.

use std::fmt;

use swath_model::job::StateName;
use swath_store::{Names, Store};

use super::{CHAOS, Line, Sim};
use crate::coordinator::at_once;
use crate::disk::fold;

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Events that happened.
    pub steps: u64,
    /// Digest of what happened when, and of every row that was written: equal
    /// for equal runs.
    pub trace: u64,
    /// Attempts that were granted.
    pub attempts: u64,
    /// Executions of jobs on slots.
    pub executions: u64,
    /// How many of them were started on several devices.
    pub several: u64,
    /// How often a host turned out to lack something of a job.
    pub lacking: u64,
    /// How long the longest execution was that was lost although the
    /// coordinator had said to keep it, in milliseconds.
    pub lost_ms: u64,
    /// Jobs that were measured.
    pub succeeded: u64,
    /// Every job.
    pub jobs: u64,
    /// How many lives the coordinator had.
    pub lives: u64,
    /// Commits.
    pub commits: u64,
    /// Replicates that results asked for.
    pub decided: u64,
    /// When the last job became final, in milliseconds after things stopped
    /// going wrong.
    pub settled_after_ms: u64,
}

/// A run that broke a law.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its seed, which replays it.
    pub seed: u64,
    /// When it broke the law, in virtual milliseconds.
    pub at: u64,
    /// Which law it broke, and where.
    pub broken: String,
    /// The last events.
    pub last: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.last {
            writeln!(f, "{line}")?;
        }
        write!(f, "seed {} at {} ms: {}", self.seed, self.at, self.broken)
    }
}

impl std::error::Error for Failure {}

impl Sim {
    pub(super) fn failure(&self, broken: String) -> Failure {
        let show = |(at, line): &(u64, Line)| match line {
            Line::Event(event) => format!("{at:>9} {event:?}"),
            Line::Said(what) => format!("{at:>9} {what}"),
        };
        Failure {
            seed: self.seed,
            at: self.at,
            broken,
            last: self.last.iter().map(show).collect(),
        }
    }

    pub(super) fn report(&self, settled: u64) -> Result<Report, Failure> {
        let disk = &self.coordinator.disk;
        let ended = self.history.end(&self.plan, disk);
        ended.map_err(|broken| self.failure(broken))?;
        let cells = self.plan.cells.clone();
        let cells = self.coordinator.stored(&Names {
            cells,
            ..Names::default()
        });
        let start = at_once(disk.rows().start());
        let jobs = cells.iter().flat_map(|cell| &cell.jobs);
        let succeeded = jobs
            .clone()
            .filter(|it| it.job.state_name() == StateName::Succeeded);
        let sweeps = start.map(|it| it.sweeps).unwrap_or_default();
        let decided = sweeps.iter().filter_map(|sweep| sweep.replication);
        Ok(Report {
            steps: self.steps,
            trace: fold(self.trace, disk.written()),
            attempts: jobs.clone().map(|it| u64::from(it.job.attempt.0)).sum(),
            executions: self.history.executions.len() as u64,
            several: self.several,
            lacking: self.lacking,
            lost_ms: self.history.lost_ms,
            succeeded: succeeded.count() as u64,
            jobs: jobs.clone().count() as u64,
            lives: u64::from(self.coordinator.lives),
            commits: disk.commits(),
            decided: decided.map(|it| it.seeds).sum(),
            settled_after_ms: settled.saturating_sub(CHAOS),
        })
    }
}
