//! Deletions: a sweep goes with the jobs that no other sweep holds, some cells at
//! a time, the last ones first. In between it is a sweep that is being deleted.

use std::collections::HashSet;

use swath_model::event::What;
use swath_model::id::{JobDigest, SweepDigest};
use swath_model::job::{Event, StateName};
use swath_model::message::Deleted;
use swath_model::time::Timestamp;
use swath_store::{CellKey, DroppedCells, InputKey, JobKey, StoreError, SweepKey, Tail};

use super::hot::{Filed, Loc};
use super::{Ledger, Result};

/// How many cells of a sweep are deleted at once, and how many jobs if each cell
/// has few.
const TAIL_CELLS: u32 = 256;
const TAIL_JOBS: u32 = 1024;

/// How many deleted jobs one event names: readers get many events at once.
const TOLD_AT_ONCE: usize = 256;

/// The greatest keys that were ever given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    sweep: SweepKey,
    cell: CellKey,
    job: JobKey,
    input: InputKey,
}

/// The jobs that go with cells.
#[derive(Debug, Default)]
struct Gone {
    jobs: HashSet<JobDigest>,
    /// Those of them that had an attempt, which may have left files.
    begun: Vec<JobDigest>,
}

impl Ledger {
    /// The greatest keys that were ever given.
    pub const fn keys(&self) -> Keys {
        Keys {
            sweep: self.last_sweep,
            cell: self.last_cell,
            job: self.last_job,
            input: self.inputs.last,
        }
    }

    /// Gives only greater keys than these.
    pub fn give_keys_after(&mut self, keys: Keys) {
        self.last_sweep = self.last_sweep.max(keys.sweep);
        self.last_cell = self.last_cell.max(keys.cell);
        self.last_job = self.last_job.max(keys.job);
        self.inputs.last = self.inputs.last.max(keys.input);
    }

    /// Refuses a change to a sweep that is being deleted.
    pub(super) fn check_kept(&self, key: SweepKey) -> Result<()> {
        let sweep = self.sweep(key);
        let id = sweep.digest.short();
        if sweep.label.staged {
            return Err(StoreError::Conflict(format!(
                "sweep {id} is still being stored; try again later"
            )));
        }
        if !sweep.label.deleting {
            return Ok(());
        }
        Err(StoreError::Conflict(format!(
            "sweep {id} is being deleted; `coordinator delete {id}` goes on with it"
        )))
    }

    /// Begins the deletion of a sweep: it is cancelled, and takes no change any
    /// more. Nothing happens if that has begun already.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for an unknown sweep, [`StoreError::Conflict`]
    /// for one with open jobs that are not to be cancelled.
    pub fn begin_deletion(
        &mut self,
        now: Timestamp,
        digest: SweepDigest,
        cancel: bool,
    ) -> Result<()> {
        let key = self.sweep_key(digest)?;
        let sweep = self.sweep(key);
        if sweep.label.deleting {
            return Ok(());
        }
        let open = sweep.counts.total() - sweep.counts.done();
        if open > 0 && !cancel {
            return Err(StoreError::Conflict(format!(
                "sweep {} has {open} open jobs; `--cancel` cancels them and deletes it",
                digest.short()
            )));
        }
        let sweep = self.sweep_mut(key);
        sweep.live = false;
        sweep.label.deleting = true;
        let staged = sweep.label.staged;
        if sweep.replication.take().is_some() {
            self.adaptive.remove(&key);
            self.changes.deleted.replications.push(key);
        }
        if staged {
            // Nobody knows it, and its jobs are cancelled as its cells go.
            let row = self.sweep(key).label_row(key);
            self.changes.labels.push(row);
            return Ok(());
        }
        self.cancel_unneeded(key, now);
        self.wished_anew(key, now);
        self.tell_of_label(key, now);
        Ok(())
    }

    /// How many of the last cells of a sweep are deleted at once: others wait
    /// meanwhile.
    pub(crate) fn tail_of(&self, digest: SweepDigest) -> Option<(SweepKey, u32)> {
        let key = self.find_sweep(digest)?;
        let sweep = self.sweep(key);
        let most = sweep.replication.map_or(0, |it| it.max);
        let jobs = sweep.replicates.max(most).max(1);
        Some((key, (TAIL_JOBS / jobs).clamp(1, TAIL_CELLS)))
    }

    /// Deletes the last cells of a sweep whose deletion has begun, with the jobs
    /// that no other sweep holds, also those under way: whoever reports one is
    /// told that it is over. Where no cells are left, the sweep itself goes.
    /// Nothing else may happen in the batch.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for an unknown sweep, [`StoreError::Conflict`]
    /// for one whose deletion has not begun.
    pub fn delete_some(
        &mut self,
        now: Timestamp,
        digest: SweepDigest,
        tail: Tail,
    ) -> Result<Deleted> {
        let key = self.sweep_key(digest)?;
        if !self.sweep(key).label.deleting {
            let id = digest.short();
            return Err(StoreError::Conflict(format!(
                "sweep {id} is not being deleted"
            )));
        }
        if tail.cells.is_empty() {
            self.delete_sweep(key, now);
            return Ok(Deleted {
                jobs: 0,
                done: true,
            });
        }
        let digests: Vec<_> = tail.cells.iter().map(|cell| cell.digest).collect();
        self.warm(tail.cells, now);
        let mut dropped = DroppedCells {
            sweep: key,
            cells: Vec::with_capacity(digests.len()),
            left: tail.before,
        };
        let mut gone = Gone::default();
        for digest in digests {
            if let Some(place) = self.find_cell(digest) {
                dropped.cells.push(self.cell(place).key);
                self.drop_cell(key, place, &mut gone, now);
            }
        }
        self.changes.deleted.sweep_cells.push(dropped);
        self.leave_workers(&gone.jobs);
        for jobs in gone.begun.chunks(TOLD_AT_ONCE) {
            let jobs = jobs.to_vec();
            self.tell_of_sweep(key, What::JobsDeleted { jobs }, now);
        }
        // Its counts are others now.
        self.sweep_mut(key);
        Ok(Deleted {
            jobs: gone.jobs.len() as u64,
            done: false,
        })
    }

    /// Takes a cell from a sweep, and the jobs away that are its alone.
    fn drop_cell(&mut self, key: SweepKey, place: u32, gone: &mut Gone, now: Timestamp) {
        let cell = self.cell(place);
        let held = cell.held_by(key);
        let others = cell.holders.iter().filter(|(holder, _)| *holder != key);
        let kept = others.clone().map(|(_, held)| *held).max().unwrap_or(0);
        let name = &self.sweep(key).name;
        let shared = others
            .clone()
            .any(|(other, _)| self.sweep(*other).name == *name);
        if !shared {
            let import = (name.clone(), cell.key);
            self.changes.deleted.imports.push(import);
        }
        for number in 0..held {
            let at = Loc {
                cell: place,
                place: number,
            };
            self.uncount(key, at);
            if number >= kept {
                self.delete_job(at, gone);
            }
        }
        self.leave_inputs(key, place);
        self.index.wished_anew();
        let cell = self.cell_mut(place);
        cell.holders.retain(|(holder, _)| *holder != key);
        cell.jobs.truncate(kept as usize);
        let open = cell.jobs.iter().filter(|job| !job.state_name().is_final());
        cell.open = open.count() as u32;
        let (is_gone, cell) = (cell.holders.is_empty(), cell.key);
        if let Some(sweep) = self.sweeps.get_mut(&key) {
            sweep.cells.remove(&place);
        }
        if is_gone {
            self.changes.deleted.cells.push(cell);
            self.touched.retain(|touched| *touched != place);
            self.let_go(place);
        } else {
            for number in 0..kept {
                let at = Loc {
                    cell: place,
                    place: number,
                };
                if !self.needed(at) {
                    // A cancel is never refused.
                    let _applied = self.apply(at, &Event::Cancel, now);
                }
                self.refile(at, now);
            }
            self.touch(place);
        }
    }

    /// If a cell is started from files that travel with a sweep, they travel with
    /// the others that have the cell from now on.
    fn leave_inputs(&mut self, key: SweepKey, place: u32) {
        let cell = self.cell(place);
        if self.needs_of(cell.need).launch.shipped.is_none() {
            return;
        }
        let holders: Vec<SweepKey> = cell.holders.iter().map(|(holder, _)| *holder).collect();
        for holder in holders.into_iter().filter(|holder| *holder != key) {
            self.ship_on(key, holder);
        }
    }

    /// Counts a job in a sweep no more.
    fn uncount(&mut self, key: SweepKey, at: Loc) {
        let entry = self.entry(at);
        let ((state, fault), remembered) = (entry.standing(), entry.fault().cloned());
        // Those before it are counted no more already.
        let left = at.place + 1..self.cell(at.cell).held_by(key);
        let remembered = remembered.map(|fault| {
            let alone = self.fault_is_alone(at, left, &fault);
            (fault, alone)
        });
        if let Some(sweep) = self.sweeps.get_mut(&key) {
            sweep.counts.remove_one(state, fault);
            if let Some((fault, alone)) = remembered {
                sweep.forget_fault(&fault, alone);
            }
        }
    }

    fn delete_job(&mut self, at: Loc, gone: &mut Gone) {
        let need = self.cell(at.cell).need;
        let entry = self.entry_mut(at);
        let filed = std::mem::replace(&mut entry.filed, Filed::Nowhere);
        let (key, digest, open) = (entry.key, entry.digest, !entry.state_name().is_final());
        let has_begun = entry.lived().is_some_and(|lived| lived.job.attempt.0 > 0);
        debug_assert!(!open || entry.state_name() != StateName::Queued || filed == Filed::Nowhere);
        self.index.unfile(filed, need, key, at);
        self.changed_workers.extend(filed.worker());
        self.forget_place(digest, at);
        self.changes.deleted.jobs.push(key);
        gone.jobs.insert(digest);
        gone.begun.extend(has_begun.then_some(digest));
    }

    /// Lets workers remember nothing of jobs that are gone.
    fn leave_workers(&mut self, gone: &HashSet<JobDigest>) {
        for (key, worker) in &mut self.workers {
            let before = worker.failed.len();
            worker.failed.retain(|job| !gone.contains(job));
            if worker.failed.len() < before {
                self.changed_workers.insert(*key);
            }
            // A store does the same to what it keeps.
            worker.requests.retain_mut(|(_, grants)| {
                let before = grants.len();
                grants.retain(|(job, _)| !gone.contains(job));
                before == 0 || !grants.is_empty()
            });
        }
    }

    fn delete_sweep(&mut self, key: SweepKey, now: Timestamp) {
        if !self.sweep(key).label.staged {
            self.tell_of_sweep(key, What::SweepDeleted, now);
        }
        self.leave_name(key);
        self.changed_sweeps.remove(&key);
        if let Some(sweep) = self.sweeps.remove(&key) {
            self.sweep_keys.remove(&sweep.digest);
        }
        self.changes.deleted.sweeps.push(key);
        self.unship(key);
    }
}
