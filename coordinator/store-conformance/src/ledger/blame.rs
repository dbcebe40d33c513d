//! Judges who is at fault for what fails.

use super::{AttemptRow, Ledger};
use swath_model::id::WorkerName;
use swath_model::job::{Event, StateName};
use swath_model::judge::{self, Failure, LastFault};
use swath_model::outcome::Outcome;
use swath_model::policy::Policy;
use swath_model::time::Timestamp;
use swath_model::view::{SweepKind, WorkerState};

impl Ledger {
    /// Judges whether the newest outcome of a job shows that a sweep or the worker
    /// is broken.
    pub(super) fn judge(&mut self, index: usize, worker: &WorkerName, now: Timestamp) {
        let newest = self.jobs[index].newest_attempt();
        let Some(outcome) = newest.and_then(AttemptRow::outcome) else {
            return;
        };
        let Outcome::Failed { fault, message, .. } = outcome else {
            if let Some(row) = self.workers.get_mut(worker)
                && judge::ends_with_a_measurement(row.cordoned.as_ref())
            {
                row.row.clear();
            }
            return;
        };
        let (fault, headline) = (*fault, judge::headline(message).to_owned());
        let paused = self.pause_holders(index, worker);
        if !paused && Policy::charges(fault) && !self.failed_elsewhere(index, worker) {
            self.blame(index, worker, &headline, now);
        }
        let names: Vec<WorkerName> = self.workers.keys().cloned().collect();
        for name in names {
            let row = self.failures(&name, now);
            let jobs = row.iter().map(|failure| failure.job).collect();
            if let Some(worker) = self.workers.get_mut(&name) {
                worker.row = jobs;
                if judge::excused(&row, worker.cordoned.as_ref(), &self.policy) {
                    worker.state = WorkerState::Active;
                    worker.cordoned = None;
                }
            }
        }
    }

    fn blame(&mut self, index: usize, worker: &WorkerName, headline: &str, now: Timestamp) {
        let Some(failure) = self.failure(index, worker, now) else {
            return;
        };
        let row = judge::lengthened(self.failures(worker, now), failure);
        let cause = judge::cordon(&row, headline, &self.policy);
        if let Some(blamed) = self.workers.get_mut(worker) {
            blamed.row = row.iter().map(|failure| failure.job).collect();
            if cause.is_some() && blamed.state == WorkerState::Active {
                blamed.state = WorkerState::Cordoned;
                blamed.cordoned.clone_from(&cause);
            }
        }
        for failure in row.iter().filter(|_| cause.is_some()) {
            if let Some(&index) = self.job_index.get(&failure.job) {
                let worker = worker.clone();
                // Uncharging a job is never refused.
                let _applied = self.apply(index, &Event::Uncharge { worker }, now);
            }
        }
    }

    /// What of a worker's row is still wanted.
    fn failures(&self, worker: &WorkerName, now: Timestamp) -> Vec<Failure> {
        let row = self.workers.get(worker).map_or(&[][..], |it| &it.row);
        let jobs = row.iter().filter_map(|job| self.job_index.get(job));
        jobs.filter_map(|index| self.failure(*index, worker, now))
            .collect()
    }

    fn failure(&self, index: usize, worker: &WorkerName, now: Timestamp) -> Option<Failure> {
        let row = &self.jobs[index];
        let wants = |sweep: &&usize| {
            let it = &self.sweeps[**sweep];
            it.live && it.paused.is_none() && it.kind == SweepKind::Training
        };
        let wanting: Vec<usize> = row.sweeps.iter().filter(wants).copied().collect();
        let works = |sweep: &usize| {
            let mut jobs = self.sweeps[*sweep].jobs.iter();
            jobs.any(|job| self.jobs[*job].job.state_name() == StateName::Succeeded)
                || self.on_trial(*sweep, worker)
        };
        let first = &self.sweeps[*wanting.first()?];
        let could = |name: &WorkerName| {
            let other = &self.workers[name];
            let is_there = other.state == WorkerState::Active && !other.silent;
            name != worker && is_there && self.allows(name, index, now)
        };
        Some(Failure {
            job: row.digest,
            cell: row.cell,
            owner: if first.label.owner.is_empty() {
                first.name.clone()
            } else {
                first.label.owner.clone()
            },
            by_itself: wanting.iter().any(works) && self.workers.keys().any(could),
        })
    }

    /// Whether a sweep has failed on this worker alone, and another one is at a job
    /// of it.
    fn on_trial(&self, sweep: usize, worker: &WorkerName) -> bool {
        let jobs = || self.sweeps[sweep].jobs.iter().map(|job| &self.jobs[*job]);
        let open = jobs().filter(|row| !row.job.state_name().is_final());
        let mut failed_on = open.flat_map(|row| &row.job.failed_on);
        let is_of = |job: &_| jobs().any(|row| row.digest == *job);
        let mut others = self.workers.iter().filter(|(name, _)| *name != worker);
        if failed_on.any(|name| name != worker) || others.any(|(_, it)| it.row.iter().any(is_of)) {
            return false;
        }
        let is_at_it = |name: &WorkerName| {
            let it = &self.workers[name];
            let works = name != worker && it.state == WorkerState::Active && !it.silent;
            let leased = |row: &super::JobRow| {
                let lease = row.job.lease().is_some();
                lease
                    && row
                        .job
                        .owner
                        .as_ref()
                        .is_some_and(|owner| owner.worker == *name)
            };
            works && jobs().any(leased)
        };
        self.workers.keys().any(is_at_it)
    }

    /// Whether the cell of a job that has just failed on a worker has failed on
    /// another one too; then it leaves their rows.
    fn failed_elsewhere(&mut self, index: usize, worker: &WorkerName) -> bool {
        let cell = self.jobs[index].cell;
        let of_cell = |job: &&super::JobRow| job.cell == cell;
        let jobs: Vec<_> = self.jobs.iter().filter(of_cell).collect();
        let charged = jobs.iter().flat_map(|job| &job.job.failed_on);
        let digests: Vec<_> = jobs.iter().map(|job| job.digest).collect();
        let in_rows = self.workers.iter().filter_map(|(name, row)| {
            let is_in = row.row.iter().any(|job| digests.contains(job));
            is_in.then_some(name)
        });
        let elsewhere = charged.chain(in_rows).any(|name| name != worker);
        if elsewhere {
            for row in self.workers.values_mut() {
                row.row.retain(|job| !digests.contains(job));
            }
        }
        elsewhere
    }

    /// Pauses those sweeps with this job that are broken. Returns whether there
    /// was one.
    fn pause_holders(&mut self, index: usize, worker: &WorkerName) -> bool {
        let mut paused = false;
        let Some((newest, _)) = self.jobs[index].fault.clone() else {
            return paused;
        };
        for holder in self.jobs[index].sweeps.clone() {
            let sweep = &self.sweeps[holder];
            if !sweep.live || sweep.paused.is_some() || sweep.kind == SweepKind::Probe {
                continue;
            }
            let jobs = || sweep.jobs.iter().map(|job| &self.jobs[*job]);
            let any_succeeded = jobs().any(|row| row.job.state_name() == StateName::Succeeded);
            let fault = |row: &super::JobRow| Some((row.cell, row.fault.as_ref()?.0.clone()));
            let faults: Vec<(_, LastFault)> = jobs().filter_map(fault).collect();
            let on_trial = self.on_trial(holder, worker);
            if let Some(cause) =
                judge::pause(any_succeeded, &faults, &newest, on_trial, &self.policy)
            {
                self.sweeps[holder].paused = Some(cause);
                paused = true;
            }
        }
        paused
    }
}
