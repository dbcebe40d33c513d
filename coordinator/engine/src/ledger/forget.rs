//! Outcomes that their owner throws away: what was trained was not what the job's
//! name says, as with data that turned out to be wrong.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use swath_model::id::{Attempt, JobDigest};
use swath_model::job::{Applied, Event, StateName};
use swath_model::time::Timestamp;
use swath_store::{DroppedOutcome, JobKey, SweepKey, Tally};

use super::Ledger;
use super::hot::Loc;

impl Ledger {
    /// Throws the outcomes of succeeded and diverged jobs away and queues the jobs
    /// again; returns how many changed. What [`super::Wanted::Forget`] names must be
    /// held.
    pub fn forget_jobs(&mut self, now: Timestamp, jobs: &[JobDigest]) -> u64 {
        let mut dropped: HashSet<(JobKey, Attempt)> = HashSet::new();
        let mut bereft: BTreeSet<SweepKey> = BTreeSet::new();
        for job in jobs {
            let Some(at) = self.find_job(*job) else {
                continue;
            };
            // What is being deleted is wanted by nobody.
            if self.kept_holders(at).is_empty() {
                continue;
            }
            let before = self.entry(at).state_name();
            if self.apply(at, &Event::Forget, now) != Ok(Applied::Changed) {
                continue;
            }
            dropped.insert(self.drop_outcome(at, now));
            self.revive_holder(at, now);
            if before == StateName::Succeeded {
                let holders = self.holders(at).into_iter();
                bereft.extend(holders.filter(|key| self.sweep(*key).counts.succeeded == 0));
            }
        }
        // What came in the same batch was never written.
        let outcomes = &mut self.changes.outcomes;
        outcomes.retain(|row| !dropped.contains(&(row.job, row.attempt)));
        for key in bereft {
            self.count_faults(key);
        }
        dropped.len() as u64
    }

    /// Notes that the outcome of a job's newest attempt is thrown away.
    fn drop_outcome(&mut self, at: Loc, now: Timestamp) -> (JobKey, Attempt) {
        let entry = self.entry_mut(at);
        let job = entry.key;
        let lived = entry.lived_mut();
        let attempt = lived.job.attempt;
        let own = lived.outcomes.iter_mut().filter(|it| it.attempt == attempt);
        own.for_each(|it| it.outcome = None);
        self.changes.dropped.push(DroppedOutcome {
            job,
            attempt,
            at: now,
        });
        (job, attempt)
    }

    /// The sweeps that have no measurement but those of these jobs, as far as the
    /// jobs are held.
    pub(super) fn bereft_without(&self, jobs: &[JobDigest]) -> Vec<SweepKey> {
        let mut lost: BTreeMap<SweepKey, u64> = BTreeMap::new();
        let named: HashSet<JobDigest> = jobs.iter().copied().collect();
        let held = named.into_iter().filter_map(|job| self.find_job(job));
        for at in held.filter(|at| self.entry(*at).state_name() == StateName::Succeeded) {
            for key in self.holders(at) {
                *lost.entry(key).or_default() += 1;
            }
        }
        let all = |(key, lost): &(SweepKey, u64)| self.sweep(*key).counts.succeeded <= *lost;
        lost.into_iter().filter(all).map(|(key, _)| key).collect()
    }

    /// Counts the faults that the jobs of a sweep remember. They were not counted
    /// while one of its jobs had succeeded.
    fn count_faults(&mut self, key: SweepKey) {
        let mut faults = Tally::default();
        for at in self.held_jobs(key) {
            if let Some(fault) = self.entry(at).fault() {
                faults.add(fault.clone(), self.cell(at.cell).key);
            }
        }
        self.sweep_mut(key).faults = faults.faults().into_iter().collect();
    }
}
