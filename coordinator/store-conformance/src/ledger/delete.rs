//! Deletes a sweep, and the jobs that no other one holds.

use std::collections::BTreeSet;

use super::{Ledger, LedgerError};
use swath_model::id::{CellDigest, JobDigest, SweepDigest};
use swath_model::job::Event;
use swath_model::time::Timestamp;

impl Ledger {
    /// Deletes a sweep at once; returns how many jobs went with it.
    ///
    /// # Errors
    ///
    /// [`LedgerError::NotFound`] for an unknown sweep, [`LedgerError::Conflict`]
    /// for one with open jobs that are not to be cancelled.
    pub fn delete(
        &mut self,
        now: Timestamp,
        sweep: SweepDigest,
        cancel: bool,
    ) -> Result<u64, LedgerError> {
        let index = self.sweep(sweep)?;
        let own = self.sweeps[index].jobs.clone();
        let is_open = |job: &&usize| !self.jobs[**job].job.state_name().is_final();
        if own.iter().any(|job| is_open(&job)) && !cancel {
            return Err(LedgerError::Conflict("it has open jobs".to_owned()));
        }
        self.sweeps[index].live = false;
        for job in own {
            if !self.needed(job) {
                // A cancel is never refused.
                let _applied = self.apply(job, &Event::Cancel, now);
            }
        }
        self.leave_inputs(index);
        let files = self.sweeps.remove(index).ships;
        self.drop_inputs(|digest, _| files.contains(digest));
        self.sweep_index.clear();
        for (place, sweep) in self.sweeps.iter().enumerate() {
            self.sweep_index.insert(sweep.digest, place);
        }
        for row in &mut self.jobs {
            row.sweeps.retain(|holder| *holder != index);
            for holder in &mut row.sweeps {
                *holder -= usize::from(*holder > index);
            }
        }
        Ok(self.drop_orphans())
    }

    /// Removes what no sweep holds; returns how many jobs that were.
    fn drop_orphans(&mut self) -> u64 {
        let mut places = Vec::with_capacity(self.jobs.len());
        let mut kept = 0;
        let mut gone: BTreeSet<JobDigest> = BTreeSet::new();
        for row in &self.jobs {
            places.push(kept);
            if row.sweeps.is_empty() {
                gone.insert(row.digest);
            } else {
                kept += 1;
            }
        }
        self.jobs.retain(|row| !row.sweeps.is_empty());
        self.job_index.clear();
        for (place, row) in self.jobs.iter().enumerate() {
            self.job_index.insert(row.digest, place);
        }
        for sweep in &mut self.sweeps {
            for job in &mut sweep.jobs {
                *job = places[*job];
            }
        }
        for worker in self.workers.values_mut() {
            worker.row.retain(|job| !gone.contains(job));
        }
        let has = |name: &str, cell: CellDigest| {
            let mut named = self.sweeps.iter().filter(|sweep| sweep.name == name);
            named.any(|sweep| sweep.cells.iter().any(|(held, _)| *held == cell))
        };
        self.imports.retain(|(name, cell, ..), _| has(name, *cell));
        let held: BTreeSet<CellDigest> = {
            let cells = self.sweeps.iter().flat_map(|sweep| &sweep.cells);
            cells.map(|(cell, _)| *cell).collect()
        };
        self.cells.retain(|cell, _| held.contains(cell));
        gone.len() as u64
    }
}
