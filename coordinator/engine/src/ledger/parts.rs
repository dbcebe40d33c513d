//! Submissions in parts: a sweep comes in, or comes again, with some of its cells
//! at a time.

use std::collections::VecDeque;

use swath_model::event::What;
use swath_model::id::{CellDigest, JobDigest, SweepDigest};
use swath_model::job::Event;
use swath_model::message::{Storing, Submission, Submitted, SubmittedCell};
use swath_model::probe::WorkloadKey;
use swath_model::time::Timestamp;
use swath_store::{StoreError, SweepKey};

use super::hot::Loc;
use super::submit::Prepared;
use super::{Ledger, Result};

/// The most bytes of specs in one part, so that a commit is short.
const PART_BYTES_MAX: usize = 1 << 20;

/// A sweep without its cells.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(super) submission: Submission,
    pub(super) cells: u64,
}

impl Head {
    /// The sweep, of which nothing is stored yet.
    pub(crate) fn storing(&self, jobs: usize) -> Storing {
        Storing {
            sweep: self.submission.digest,
            name: self.submission.name.clone(),
            stored: 0,
            jobs: jobs as u64,
        }
    }
}

/// The cells of a submission that are still to be stored.
#[derive(Debug)]
pub(crate) struct Parts {
    replicates: u32,
    /// The position of the first of them.
    first: u64,
    jobs_max: usize,
    cells: VecDeque<(SubmittedCell, WorkloadKey)>,
    jobs: VecDeque<(u64, JobDigest)>,
}

impl Iterator for Parts {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        let (mut bytes, mut count) = (0, 0);
        let replicates = self.replicates.max(1) as usize;
        let most = (self.jobs_max / replicates).max(1);
        for (cell, _) in self.cells.iter().take(most) {
            bytes += cell.spec.len();
            if count > 0 && bytes > PART_BYTES_MAX {
                break;
            }
            count += 1;
        }
        if count == 0 {
            return None;
        }
        let first = self.first;
        self.first += count as u64;
        Some(Part {
            replicates: self.replicates,
            first,
            cells: self.cells.drain(..count).collect(),
            jobs: self
                .jobs
                .drain(..count * self.replicates as usize)
                .collect(),
        })
    }
}

/// Some cells of a sweep, one after the other, with the seed and digest of each of
/// their jobs.
#[derive(Debug)]
pub(crate) struct Part {
    pub(super) replicates: u32,
    /// The position of the first cell.
    pub(super) first: u64,
    pub(super) cells: Vec<(SubmittedCell, WorkloadKey)>,
    pub(super) jobs: Vec<(u64, JobDigest)>,
}

impl Part {
    /// The cells.
    pub(crate) fn cells(&self) -> Vec<CellDigest> {
        self.cells.iter().map(|(cell, _)| cell.digest).collect()
    }

    /// How many jobs they have.
    pub(crate) const fn jobs(&self) -> usize {
        self.jobs.len()
    }
}

/// What becomes of a sweep that is to be stored in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    /// It is stored already, as a whole.
    Known,
    /// What an earlier submit of it left must be removed first.
    Left,
    /// Its cells may come.
    Staged,
}

impl Prepared {
    /// The sweep without its cells, and these in parts of at most so many jobs, or
    /// of one cell.
    pub(crate) fn in_parts(self, jobs_max: usize) -> (Head, Parts) {
        let mut submission = self.submission;
        let cells = std::mem::take(&mut submission.cells);
        let head = Head {
            cells: cells.len() as u64,
            submission,
        };
        let parts = Parts {
            replicates: head.submission.replicates,
            first: 0,
            jobs_max,
            cells: cells.into_iter().zip(self.workloads).collect(),
            jobs: self.jobs.into(),
        };
        (head, parts)
    }
}

impl Ledger {
    /// Begins to store a sweep in parts. Until [`Ledger::unveil`] nobody sees it
    /// and none of its jobs is granted for its sake.
    ///
    /// # Errors
    ///
    /// As for [`Ledger::submit`].
    pub(crate) fn stage(&mut self, now: Timestamp, head: &Head) -> Result<Begun> {
        if let Some(key) = self.sweep_keys.get(&head.submission.digest).copied() {
            let is_staged = self.sweep(key).label.staged;
            return Ok(if is_staged { Begun::Left } else { Begun::Known });
        }
        self.check_shipped(&head.submission.ships)?;
        let key = self.add_sweep(now, head);
        self.stage_new(key);
        self.ship(key, head.submission.ships.iter().copied());
        Ok(Begun::Staged)
    }

    fn stage_new(&mut self, key: SweepKey) {
        let sweep = self.sweep_mut(key);
        (sweep.live, sweep.label.staged) = (false, true);
        if let Some(new) = self.changes.new_sweeps.last_mut() {
            new.label.staged = true;
        }
    }

    /// Stores some cells of a sweep that is stored in parts; returns how many jobs
    /// are new.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] and [`StoreError::Conflict`] for a sweep that is
    /// not stored in parts.
    pub(crate) fn add_to(
        &mut self,
        now: Timestamp,
        digest: SweepDigest,
        part: Part,
    ) -> Result<u64> {
        let key = self.staged_key(digest)?;
        let before = self.last_job;
        self.add_part(key, part, now);
        // It has more jobs now.
        self.sweep_mut(key);
        Ok((self.last_job.0 - before.0) as u64)
    }

    /// Lets everybody see a sweep whose cells are all there, of which so many jobs
    /// were new.
    ///
    /// # Errors
    ///
    /// As for [`Ledger::add_to`].
    pub(crate) fn unveil(
        &mut self,
        now: Timestamp,
        digest: SweepDigest,
        new_jobs: u64,
    ) -> Result<Submitted> {
        let key = self.staged_key(digest)?;
        let mut last_submitted_at = self.sweep(key).label.last_submitted_at;
        if last_submitted_at < self.last_submit() {
            last_submitted_at = self.submitted_last(now);
        }
        let sweep = self.sweep_mut(key);
        sweep.live = true;
        sweep.label.staged = false;
        sweep.label.last_submitted_at = last_submitted_at;
        let row = sweep.label_row(key);
        self.changes.labels.push(row);
        self.tell_of_sweep(key, What::SweepSubmitted, now);
        self.wished_anew(key, now);
        Ok(self.submitted(key, new_jobs))
    }

    /// The sweeps that were not stored to their end.
    pub(crate) fn staged(&self) -> Vec<SweepDigest> {
        let staged = self.sweeps.values().filter(|it| it.label.staged);
        staged.map(|sweep| sweep.digest).collect()
    }

    fn staged_key(&self, digest: SweepDigest) -> Result<SweepKey> {
        let key = self.sweep_key(digest)?;
        if self.sweep(key).label.staged && !self.sweep(key).label.deleting {
            return Ok(key);
        }
        let id = digest.short();
        Err(StoreError::Conflict(format!("sweep {id} is whole already")))
    }

    /// Begins to take a known sweep again, whose cells then come in parts; returns
    /// whether their jobs are to be wanted again.
    ///
    /// # Errors
    ///
    /// As for [`Ledger::submit`].
    pub(crate) fn begin_again(&mut self, now: Timestamp, head: &Head) -> Result<bool> {
        let key = self.sweep_key(head.submission.digest)?;
        self.check_kept(key)?;
        self.check_shipped(&head.submission.ships)?;
        let revived = self.take_again(key, &head.submission, now);
        if revived {
            self.revive(key, true, now);
        }
        Ok(self.sweep(key).label.reviving)
    }

    fn revive(&mut self, key: SweepKey, reviving: bool, now: Timestamp) {
        self.sweep_mut(key).label.reviving = reviving;
        self.tell_of_label(key, now);
    }

    /// Takes some cells of a sweep again.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] when the sweep was cancelled meanwhile.
    pub(crate) fn take_part(
        &mut self,
        now: Timestamp,
        digest: SweepDigest,
        part: &Part,
        revived: bool,
    ) -> Result<()> {
        let key = self.sweep_key(digest)?;
        self.check_kept(key)?;
        if !self.sweep(key).live {
            let id = digest.short();
            return Err(StoreError::Conflict(format!(
                "sweep {id} was cancelled while it was submitted; submit it again"
            )));
        }
        for (cell, _) in &part.cells {
            let Some(place) = self.find_cell(cell.digest) else {
                continue;
            };
            let wanted = if revived {
                self.cell(place).held_by(key)
            } else {
                0
            };
            for number in 0..wanted {
                let at = Loc {
                    cell: place,
                    place: number,
                };
                // A want is never refused.
                let _applied = self.apply(at, &Event::Want, now);
            }
            self.need_if_open(place, &cell.needs);
        }
        Ok(())
    }

    /// A sweep was taken again with all of its cells.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for a sweep that is gone.
    pub(crate) fn end_again(
        &mut self,
        now: Timestamp,
        digest: SweepDigest,
        revived: bool,
    ) -> Result<Submitted> {
        let key = self.sweep_key(digest)?;
        if self.sweep(key).label.reviving {
            self.revive(key, false, now);
        }
        Ok(self.submitted_again(key, revived))
    }
}
