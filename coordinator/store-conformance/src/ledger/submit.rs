//! Submits and changes sweeps, and their jobs with them.

use std::time::Duration;

use serde_json::Value;

use super::steer::Replication;
use super::{Cell, JobRow, Ledger, LedgerError, Sweep};
use swath_model::id::{CellDigest, JobDigest, Replicate, SweepDigest};
use swath_model::job::{Applied, Event, Job, StateName};
use swath_model::label::{Label, Relabel};
use swath_model::message::{Submission, Submitted, SubmittedCell, SweepChange};
use swath_model::seed::Seeds;
use swath_model::spec::job_digest;
use swath_model::time::Timestamp;

impl Ledger {
    /// Stores a sweep with its cells and the jobs that do not exist yet.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Conflict`] when a cell's spec is not a JSON object.
    pub fn submit(
        &mut self,
        now: Timestamp,
        submission: Submission,
    ) -> Result<Submitted, LedgerError> {
        if let Some(sweep) = self.sweep_index.get(&submission.digest) {
            self.check_shipped(&submission.ships)?;
            return Ok(self.resubmit(*sweep, &submission, now));
        }
        let trees = submission
            .cells
            .iter()
            .map(tree)
            .collect::<Result<Vec<_>, _>>()?;
        self.check_shipped(&submission.ships)?;
        let sweep = self.sweeps.len();
        let existing = self.jobs.len();
        let mut jobs = Vec::new();
        let mut cells = Vec::new();
        for (cell, tree) in submission.cells.into_iter().zip(trees) {
            for replicate in 1..=submission.replicates {
                let replicate = Replicate(replicate);
                jobs.push(self.job_of(cell.digest, &cell.spec, replicate, sweep, now));
            }
            cells.push((cell.digest, cell.axes));
            // What its jobs need is what the newest submit says.
            self.cells.insert(
                cell.digest,
                Cell {
                    text: cell.spec,
                    tree,
                    needs: cell.needs,
                },
            );
        }
        let namesakes = self.sweeps.iter().filter(|it| it.name == submission.name);
        let version = namesakes.map(|it| it.version).max().unwrap_or(0) + 1;
        let submitted = Submitted {
            existed: false,
            revived: false,
            jobs: jobs.len() as u64,
            new_jobs: (self.jobs.len() - existing) as u64,
            succeeded: self.succeeded(&jobs),
            version,
        };
        self.sweep_index.insert(submission.digest, sweep);
        let mut label = Label {
            last_submitted_at: self.submit_time(now),
            owner: submission.owner,
            ..Label::default()
        };
        label.add_tags(&submission.tags);
        self.sweeps.push(Sweep {
            digest: submission.digest,
            version,
            label,
            name: submission.name,
            title: submission.title,
            kind: submission.kind,
            replicates: submission.replicates,
            replication: submission.replicates_max.map(Replication::new),
            priority: submission.priority,
            sources: submission.sources,
            definition: submission.definition,
            counts: vec![submission.replicates; cells.len()],
            ships: submission.ships.into_iter().collect(),
            cells,
            jobs,
            live: true,
            paused: None,
            submitted_at: now,
        });
        self.want_all(sweep, now);
        Ok(submitted)
    }

    fn resubmit(&mut self, sweep: usize, submission: &Submission, now: Timestamp) -> Submitted {
        let latest = self.latest_submit();
        let time = self.submit_time(now);
        let row = &mut self.sweeps[sweep];
        if row.label.last_submitted_at < latest {
            row.label.last_submitted_at = time;
        }
        row.label.add_tags(&submission.tags);
        row.ships.extend(&submission.ships);
        row.priority = submission.priority;
        let revived = !row.live;
        let jobs = row.jobs.clone();
        if revived {
            row.live = true;
            row.paused = None;
            self.want_all(sweep, now);
        }
        // What open jobs need is what the newest submit says.
        for cell in &submission.cells {
            let own = |row: &&JobRow| row.cell == cell.digest;
            let mut own = self.jobs.iter().filter(own);
            if own.any(|row| !row.job.state_name().is_final())
                && let Some(known) = self.cells.get_mut(&cell.digest)
            {
                known.needs = cell.needs.after(&known.needs);
            }
        }
        Submitted {
            existed: true,
            revived,
            jobs: jobs.len() as u64,
            new_jobs: 0,
            succeeded: self.succeeded(&jobs),
            version: self.sweeps[sweep].version,
        }
    }

    fn latest_submit(&self) -> Timestamp {
        let times = self.sweeps.iter().map(|it| it.label.last_submitted_at);
        times.max().unwrap_or(Timestamp::from_ms(i64::MIN))
    }

    /// A time for a submit that no other has.
    fn submit_time(&self, now: Timestamp) -> Timestamp {
        now.max(self.latest_submit() + Duration::from_millis(1))
    }

    /// The job of one replicate, made if it does not exist.
    pub(super) fn job_of(
        &mut self,
        cell: CellDigest,
        spec: &str,
        replicate: Replicate,
        sweep: usize,
        now: Timestamp,
    ) -> usize {
        let seed = Seeds::in_text(spec).seed(cell, replicate);
        let digest = job_digest(spec, seed);
        let next = self.jobs.len();
        let index = *self.job_index.entry(digest).or_insert(next);
        if index == next {
            self.jobs.push(new_row(digest, cell, replicate, seed, now));
        }
        let holders = &mut self.jobs[index].sweeps;
        // An older sweep may get the job later.
        let place = holders.partition_point(|holder| *holder < sweep);
        holders.insert(place, sweep);
        index
    }

    fn succeeded(&self, jobs: &[usize]) -> u64 {
        jobs.iter()
            .filter(|index| self.jobs[**index].job.state_name() == StateName::Succeeded)
            .count() as u64
    }

    fn want_all(&mut self, sweep: usize, now: Timestamp) {
        for index in self.sweeps[sweep].jobs.clone() {
            // A want is never refused.
            let _applied = self.apply(index, &Event::Want, now);
        }
    }

    /// Changes a sweep, and its jobs accordingly.
    ///
    /// # Errors
    ///
    /// [`LedgerError::NotFound`] for an unknown sweep,
    /// [`LedgerError::Conflict`] for a change other than cancelling to a
    /// cancelled one.
    pub fn change_sweep(
        &mut self,
        now: Timestamp,
        sweep: SweepDigest,
        change: SweepChange,
    ) -> Result<(), LedgerError> {
        let index = self.sweep(sweep)?;
        let row = &mut self.sweeps[index];
        match (row.live, change) {
            (_, SweepChange::Label(change)) => return self.relabel(index, change),
            (true, SweepChange::Cancel) => {
                row.live = false;
                self.cancel_unneeded(index, now);
            }
            (true, SweepChange::Pause { cause }) => row.paused = Some(cause),
            (true, SweepChange::Resume) => row.paused = None,
            (true, SweepChange::Priority(priority)) => row.priority = priority,
            (false, SweepChange::Cancel) => {}
            (false, _) => {
                return Err(LedgerError::Conflict(format!(
                    "sweep {} is cancelled; submit it again",
                    sweep.short()
                )));
            }
        }
        Ok(())
    }

    fn relabel(&mut self, index: usize, change: Relabel) -> Result<(), LedgerError> {
        let Relabel::Rename(to) = change else {
            self.sweeps[index].label.apply(&change);
            return Ok(());
        };
        let from = self.sweeps[index].name.clone();
        if from == to {
            return Ok(());
        }
        if self.sweeps.iter().any(|sweep| sweep.name == to) {
            return Err(LedgerError::Conflict(format!("`{to}` is taken")));
        }
        let sweep = &mut self.sweeps[index];
        sweep.name.clone_from(&to);
        sweep.version = 1;
        let cells = sweep.cells.iter().map(|(cell, _)| *cell).collect();
        let last = !self.sweeps.iter().any(|sweep| sweep.name == from);
        self.rename_imports(&from, &to, &cells, last);
        Ok(())
    }

    pub(super) fn sweep(&self, sweep: SweepDigest) -> Result<usize, LedgerError> {
        let found = self.sweep_index.get(&sweep).copied();
        found.ok_or_else(|| LedgerError::NotFound(format!("sweep {}", sweep.short())))
    }

    fn cancel_unneeded(&mut self, sweep: usize, now: Timestamp) {
        for index in self.sweeps[sweep].jobs.clone() {
            if !self.needed(index) {
                // A cancel is never refused.
                let _applied = self.apply(index, &Event::Cancel, now);
            }
        }
    }

    /// Cancels jobs, whatever sweeps want them. Returns how many changed.
    pub fn cancel_jobs(&mut self, now: Timestamp, jobs: &[JobDigest]) -> u64 {
        let mut changed = 0;
        for index in self.indices(jobs) {
            changed += u64::from(self.apply(index, &Event::Cancel, now) == Ok(Applied::Changed));
        }
        changed
    }

    /// Queues failed and cancelled jobs again. Returns how many changed.
    pub fn retry_jobs(&mut self, now: Timestamp, jobs: &[JobDigest]) -> u64 {
        let mut changed = 0;
        for index in self.indices(jobs) {
            if self.apply(index, &Event::Retry, now) == Ok(Applied::Changed) {
                changed += 1;
                self.revive_holder(index);
            }
        }
        changed
    }

    /// Throws the outcomes of succeeded and diverged jobs away and queues the jobs
    /// again. Returns how many changed.
    pub fn forget_jobs(&mut self, now: Timestamp, jobs: &[JobDigest]) -> u64 {
        let mut changed = 0;
        for index in self.indices(jobs) {
            if self.apply(index, &Event::Forget, now) == Ok(Applied::Changed) {
                changed += 1;
                if let Some(newest) = self.jobs[index].attempts.last_mut() {
                    newest.forgotten = Some(now);
                }
                self.revive_holder(index);
            }
        }
        changed
    }

    /// Makes the newest sweep that holds a job live if none is, because a job
    /// that waits must be needed, or it would wait for ever.
    fn revive_holder(&mut self, index: usize) {
        if self.needed(index) {
            return;
        }
        if let Some(newest) = self.jobs[index].sweeps.last() {
            let sweep = &mut self.sweeps[*newest];
            sweep.live = true;
            sweep.paused = None;
        }
    }

    fn indices(&self, jobs: &[JobDigest]) -> Vec<usize> {
        jobs.iter()
            .filter_map(|job| self.job_index.get(job).copied())
            .collect()
    }
}

fn tree(cell: &SubmittedCell) -> Result<Value, LedgerError> {
    let tree: Option<Value> = serde_json::from_str(&cell.spec).ok();
    tree.filter(Value::is_object).ok_or_else(|| {
        LedgerError::Conflict(format!(
            "the spec of cell {} is not a JSON object",
            cell.digest.short()
        ))
    })
}

const fn new_row(
    digest: JobDigest,
    cell: CellDigest,
    replicate: Replicate,
    seed: u64,
    now: Timestamp,
) -> JobRow {
    JobRow {
        digest,
        cell,
        replicate,
        seed,
        sweeps: Vec::new(),
        job: Job::new(now),
        ended_at: None,
        fault: None,
        attempts: Vec::new(),
        late: Vec::new(),
        logs: Vec::new(),
    }
}
