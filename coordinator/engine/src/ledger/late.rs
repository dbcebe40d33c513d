//! Sweeps with very many jobs: what a change means for these is done a few at a
//! time, so that nobody waits meanwhile.
//!
//! When the wishes of a sweep change, its jobs are filed anew. The first are at
//! once, and [`Ledger::catch_up`] files the others. Until then they are *late*:
//! they are filed as before, so whoever takes one from the index looks whether it
//! belongs there.

use swath_model::id::SweepDigest;
use swath_model::job::Event;
use swath_model::time::Timestamp;
use swath_store::SweepKey;

use super::hot::Loc;
use super::{Ledger, Result};

/// How many jobs are filed at once.
const FILED_AT_ONCE: usize = 8192;

/// How many jobs are looked at, and some of them written, in one commit: a heartbeat
/// waits for two of these at most.
pub(crate) const WRITTEN_AT_ONCE: usize = 1024;

/// How many late jobs are passed on the way to one that may be granted.
pub(super) const PASSED_AT_ONCE: usize = 1024;

impl Ledger {
    /// Files the jobs of a sweep again, because its wishes have changed: some now,
    /// the others later.
    pub(super) fn wished_anew(&mut self, key: SweepKey, now: Timestamp) {
        self.index.wished_anew();
        self.late.insert(key, Loc::FIRST);
        self.file_some(key, now);
    }

    /// Files some jobs that are late.
    pub(crate) fn catch_up(&mut self, now: Timestamp) {
        if let Some(key) = self.late.keys().next().copied() {
            self.file_some(key, now);
        }
    }

    /// Whether jobs are late.
    pub(crate) fn is_behind(&self) -> bool {
        !self.late.is_empty()
    }

    fn file_some(&mut self, key: SweepKey, now: Timestamp) {
        let Some(from) = self.late.remove(&key) else {
            return;
        };
        let (jobs, next) = self.jobs_from(key, from, FILED_AT_ONCE);
        for at in jobs {
            self.refile(at, now);
        }
        self.late.extend(next.map(|next| (key, next)));
    }

    /// Whether a job may be filed as it was before the wishes of a sweep changed.
    pub(super) fn is_late(&self, at: Loc) -> bool {
        let late = |key: SweepKey| self.late.get(&key).is_some_and(|from| at >= *from);
        !self.late.is_empty() && self.cell(at.cell).holders_of(at.place).any(late)
    }

    /// If a job is filed where it does not belong, files it anew.
    pub(super) fn sets_right(&mut self, at: Loc, now: Timestamp) -> bool {
        if !self.is_late(at) || self.entry(at).filed == self.place_of(at, now) {
            return false;
        }
        self.refile(at, now);
        true
    }

    /// Cancels some jobs of a sweep that no other live sweep needs, from a place on;
    /// returns the place where to go on. The sweep stays as it is.
    ///
    /// # Errors
    ///
    /// [`swath_store::StoreError::NotFound`] for an unknown sweep.
    pub(crate) fn cancel_some(
        &mut self,
        now: Timestamp,
        digest: SweepDigest,
        from: Loc,
    ) -> Result<Option<Loc>> {
        let key = self.sweep_key(digest)?;
        self.check_kept(key)?;
        let (jobs, next) = self.jobs_from(key, from, WRITTEN_AT_ONCE);
        for at in jobs {
            let others = self.holders(at).into_iter();
            let mut others = others.filter(|other| *other != key);
            if !others.any(|other| self.sweep(other).live) {
                // A cancel is never refused.
                let _applied = self.apply(at, &Event::Cancel, now);
            }
        }
        Ok(next)
    }

    /// How many open jobs a sweep has; 0 if it does not exist.
    pub(crate) fn open_jobs(&self, digest: SweepDigest) -> u64 {
        let sweep = self.find_sweep(digest).map(|key| self.sweep(key));
        sweep.map_or(0, |it| it.counts.total() - it.counts.done())
    }

    /// So many jobs of a sweep that are held, from a place on, and where to go on.
    fn jobs_from(&self, key: SweepKey, from: Loc, most: usize) -> (Vec<Loc>, Option<Loc>) {
        let mut jobs = Vec::new();
        let cells = self.sweeps.get(&key).map(|sweep| &sweep.cells);
        for &cell in cells.into_iter().flat_map(|cells| cells.range(from.cell..)) {
            let first = if cell == from.cell { from.place } else { 0 };
            for place in first..self.cell(cell).held_by(key) {
                let at = Loc { cell, place };
                if jobs.len() == most {
                    return (jobs, Some(at));
                }
                jobs.push(at);
            }
        }
        (jobs, None)
    }
}
