//! Who is at fault for what fails: the sweep, the host of a worker, or neither.

use std::collections::BTreeMap;

use swath_model::id::JobDigest;
use swath_model::job::{Event, Job};
use swath_model::judge::{self, Failure};
use swath_model::outcome::Fault;
use swath_model::policy::Policy;
use swath_model::time::Timestamp;
use swath_model::view::{SweepKind, WorkerState};
use swath_store::{SweepKey, WorkerKey};

use super::Ledger;
use super::hot::{Loc, Need};
use super::worker::Worker;

/// Whether sweeps are on trial, as far as that was looked at.
type Trials = BTreeMap<SweepKey, bool>;

impl Ledger {
    /// Judges whether the outcome just recorded shows that a sweep or the
    /// worker's host is broken. After a fault, the cells of all jobs in rows of
    /// workers are held.
    pub(super) fn judge(
        &mut self,
        at: Loc,
        worker: WorkerKey,
        fault: Option<Fault>,
        now: Timestamp,
    ) {
        let Some(fault) = fault else {
            if let Some(row) = self.workers.get_mut(&worker)
                && judge::ends_with_a_measurement(row.cordoned.as_ref())
            {
                row.failed.clear();
            }
            return;
        };
        // What pauses a sweep is the sweep's doing.
        let paused = self.pause_holders(at, worker, now);
        if !paused && Policy::charges(fault) && !self.failed_elsewhere(at, worker) {
            self.blame(at, worker, now);
        }
        self.excuse(now);
    }

    /// Adds a failure to the row of a worker.
    fn blame(&mut self, at: Loc, worker: WorkerKey, now: Timestamp) {
        let mut trials = Trials::new();
        let Some(failure) = self.failure(at, worker, &mut trials, now) else {
            return;
        };
        let row = judge::lengthened(self.row_of(worker, &mut trials, now), failure);
        let headline = self.entry(at).fault().map_or("", |it| it.headline.as_str());
        let cause = judge::cordon(&row, headline, &self.policy);
        let jobs: Vec<_> = row.iter().map(|failure| failure.job).collect();
        let Some(blamed) = self.workers.get_mut(&worker) else {
            return;
        };
        blamed.failed.clone_from(&jobs);
        let Some(cause) = cause else {
            return;
        };
        if blamed.state == WorkerState::Active {
            blamed.state = WorkerState::Cordoned;
            blamed.cordoned = Some(cause);
        }
        let name = blamed.name.clone();
        for job in jobs {
            if let Some(at) = self.find_job(job) {
                let worker = name.clone();
                // Uncharging is never refused, and changes nothing of a final job.
                let _applied = self.apply(at, &Event::Uncharge { worker }, now);
            }
        }
    }

    /// The failures that a worker's row consists of: those of jobs that are wanted
    /// now.
    fn row_of(&self, worker: WorkerKey, trials: &mut Trials, now: Timestamp) -> Vec<Failure> {
        let jobs = self.workers.get(&worker).map_or(&[][..], |it| &it.failed);
        let jobs = jobs.iter().filter_map(|job| self.find_job(*job));
        jobs.filter_map(|at| self.failure(at, worker, trials, now))
            .collect()
    }

    /// The sweeps that want a job, and not as a probe.
    fn wanting(&self, at: Loc) -> impl Iterator<Item = SweepKey> {
        let holders = self.cell(at.cell).holders_of(at.place);
        holders.filter(|key| self.sweep(*key).wish().blames())
    }

    /// What a job that failed on a worker says of the worker; nothing if it is not
    /// wanted, or wanted as a probe only.
    fn failure(
        &self,
        at: Loc,
        worker: WorkerKey,
        trials: &mut Trials,
        now: Timestamp,
    ) -> Option<Failure> {
        let cell = self.cell(at.cell);
        let first = self.wanting(at).next()?;
        let mut works = |key| {
            let mut on_trial =
                || *(trials.entry(key)).or_insert_with(|| self.on_trial(key, worker));
            self.sweep(key).counts.succeeded > 0 || on_trial()
        };
        Some(Failure {
            job: self.entry(at).digest,
            cell: cell.digest,
            owner: self.sweep(first).whose().to_owned(),
            by_itself: self.others_could(cell.need, worker, now)
                && self.wanting(at).any(&mut works),
        })
    }

    /// Whether a sweep has failed on this worker alone, and another one is at a job
    /// of it, which will tell whose doing it was.
    fn on_trial(&self, key: SweepKey, worker: WorkerKey) -> bool {
        let is_of = |at: Loc| self.cell(at.cell).holders_of(at.place).any(|it| it == key);
        let others = || self.workers.iter().filter(|(other, _)| **other != worker);
        let is_at_it = |(key, it): (&WorkerKey, &Worker)| {
            let works = it.state == WorkerState::Active && !it.silent;
            works && self.index.leases_of(*key).into_iter().any(is_of)
        };
        let in_row = |it: &Worker| {
            let mut jobs = it.failed.iter().filter_map(|job| self.find_job(*job));
            jobs.any(is_of)
        };
        if !others().any(is_at_it) || others().any(|(_, it)| in_row(it)) {
            return false;
        }
        // Last, because there may be many.
        let name = self.workers.get(&worker).map(|it| &it.name);
        let cells = self.sweep(key).cells.iter().map(|cell| self.cell(*cell));
        let open = cells.flat_map(|cell| cell.jobs.iter().take(cell.held_by(key) as usize));
        let mut lived = open.filter_map(|job| job.lived()).map(|it| &it.job);
        let failed_on = |job: &Job| job.failed_on.iter().any(|on| Some(on) != name);
        !lived.any(|job| !job.state_name().is_final() && failed_on(job))
    }

    /// Whether another worker that gets jobs could get one of this kind.
    fn others_could(&self, need: Need, worker: WorkerKey, now: Timestamp) -> bool {
        let mut others = self.workers.iter().filter(|(key, _)| **key != worker);
        others.any(|(_, other)| {
            other.state == WorkerState::Active && !other.silent && other.may_run(need, now)
        })
    }

    /// Whether a cell of which a job has just failed on a worker has failed on
    /// another one too. Then it speaks against neither: it leaves their rows.
    fn failed_elsewhere(&mut self, at: Loc, worker: WorkerKey) -> bool {
        let name = self.workers.get(&worker).map(|row| row.name.clone());
        let jobs = &self.cell(at.cell).jobs;
        let charged = jobs.iter().filter_map(|job| job.lived());
        let mut charged = charged.flat_map(|lived| &lived.job.failed_on);
        let mut elsewhere = charged.any(|on| Some(on) != name.as_ref());
        let jobs: Vec<_> = jobs.iter().map(|job| job.digest).collect();
        let in_row = |failed: &[JobDigest]| failed.iter().any(|job| jobs.contains(job));
        let mut others = self.workers.iter().filter(|(key, _)| **key != worker);
        elsewhere |= others.any(|(_, row)| in_row(&row.failed));
        if elsewhere {
            for (key, row) in &mut self.workers {
                if in_row(&row.failed) {
                    row.failed.retain(|job| !jobs.contains(job));
                    self.changed_workers.insert(*key);
                }
            }
        }
        elsewhere
    }

    /// Takes out of the rows of all workers what nobody wants any more, and lets
    /// those get jobs again whose row is no reason for a cordon now.
    fn excuse(&mut self, now: Timestamp) {
        let may_change = |worker: &Worker| {
            let cordoned = worker.cordoned.as_ref();
            !(worker.failed.is_empty() && judge::ends_with_a_measurement(cordoned))
        };
        let workers = self.workers.iter().filter(|(_, it)| may_change(it));
        let keys: Vec<WorkerKey> = workers.map(|(key, _)| *key).collect();
        for key in keys {
            let is_wanted = |job: &JobDigest| {
                let at = self.find_job(*job);
                at.is_some_and(|at| self.wanting(at).next().is_some())
            };
            let failed = self.workers[&key].failed.iter().copied();
            let failed: Vec<JobDigest> = failed.filter(is_wanted).collect();
            let rests = !judge::ends_with_a_measurement(self.workers[&key].cordoned.as_ref());
            let row = rests.then(|| self.row_of(key, &mut Trials::new(), now));
            let Some(worker) = self.workers.get_mut(&key) else {
                continue;
            };
            if failed.len() < worker.failed.len() {
                worker.failed = failed;
                self.changed_workers.insert(key);
            }
            let excused = |row| judge::excused(row, worker.cordoned.as_ref(), &self.policy);
            if row.as_deref().is_some_and(excused) {
                (worker.state, worker.cordoned) = (WorkerState::Active, None);
                self.changed_workers.insert(key);
            }
        }
    }

    /// Pauses those sweeps with this job that are broken. Returns whether there
    /// was one.
    fn pause_holders(&mut self, at: Loc, worker: WorkerKey, now: Timestamp) -> bool {
        let mut paused = false;
        let Some(newest) = self.entry(at).fault().cloned() else {
            return paused;
        };
        for key in self.holders(at) {
            let sweep = self.sweep(key);
            let rests = !sweep.live || sweep.paused.is_some();
            if rests || sweep.kind == SweepKind::Probe || sweep.faults.len() > 1 {
                continue;
            }
            let cause = (sweep
                .faults
                .get(&newest)
                .filter(|_| sweep.counts.succeeded == 0))
            .and_then(|failures| {
                let pause =
                    |on_trial| judge::pause_alike(&newest, *failures, on_trial, &self.policy);
                pause(false).and_then(|_| pause(self.on_trial(key, worker)))
            });
            if let Some(cause) = cause {
                self.sweep_mut(key).paused = Some(cause);
                paused = true;
                self.wished_anew(key, now);
            }
        }
        paused
    }
}
