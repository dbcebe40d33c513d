//! Sweeps: what the ledger holds of them, and what operators change.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use swath_model::cause::PauseCause;
use swath_model::event::{SweepNow, What};
use swath_model::id::{JobDigest, SweepDigest};
use swath_model::job::{Applied, Event};
use swath_model::judge::{Failures, LastFault, Wish};
use swath_model::label::{Label, Relabel};
use swath_model::message::{Overlap, Shares, SweepChange};
use swath_model::needs::Differs;
use swath_model::time::Timestamp;
use swath_model::view::{Counts, SweepKind};
use swath_store::{LabelRow, RenamedSweep, StoreError, SweepKey, SweepRow};

use super::hot::{Entry, Loc};
use super::{Ledger, Result};

/// A sweep without its files, its table and its cells.
#[derive(Debug)]
pub(super) struct Sweep {
    pub(super) digest: SweepDigest,
    pub(super) name: String,
    /// Which of the sweeps of this name it is, from 1.
    pub(super) version: u32,
    pub(super) label: Label,
    pub(super) kind: SweepKind,
    /// Replicates per cell at first.
    pub(super) replicates: u32,
    pub(super) live: bool,
    /// Why it is paused, if it is.
    pub(super) paused: Option<PauseCause>,
    pub(super) priority: i32,
    pub(super) counts: Counts,
    /// When the last of its jobs ended, as in [`SweepRow::ended_at`].
    pub(super) ended_at: Option<Timestamp>,
    pub(super) replication: Option<super::steer::Replication>,
    /// The remembered faults of its jobs, and how many jobs have each. Kept
    /// only until a job has succeeded: after that nothing follows from them.
    pub(super) faults: BTreeMap<LastFault, Failures>,
    /// Those of its cells that are held.
    pub(super) cells: BTreeSet<u32>,
    /// The state in the last event about it.
    pub(super) told: Option<SweepNow>,
}

impl Sweep {
    pub(super) const fn wish(&self) -> Wish {
        Wish {
            live: self.live,
            paused: self.paused.is_some(),
            kind: self.kind,
            priority: self.priority,
        }
    }

    pub(super) fn row(&self, key: SweepKey) -> SweepRow {
        SweepRow {
            key,
            live: self.live,
            paused: self.paused.clone(),
            priority: self.priority,
            counts: self.counts,
            ended_at: self.ended_at,
        }
    }

    pub(super) fn label_row(&self, key: SweepKey) -> LabelRow {
        LabelRow {
            key,
            name: self.name.clone(),
            version: self.version,
            label: self.label.clone(),
        }
    }

    /// When the last of its jobs ended; none while one is open.
    pub(super) fn last_end(&self) -> Option<Timestamp> {
        self.ended_at
            .filter(|_| self.counts.done() == self.counts.total())
    }

    /// Notes that one more of its jobs remembers this fault: whether it is the
    /// only one of its cell.
    pub(super) fn add_fault(&mut self, fault: &LastFault, alone: bool) {
        if self.counts.succeeded == 0 {
            let failures = self.faults.entry(fault.clone()).or_default();
            failures.jobs += 1;
            failures.cells += u64::from(alone);
        }
    }

    /// Notes that one job fewer remembers this fault: whether it was the only one
    /// of its cell.
    pub(super) fn forget_fault(&mut self, fault: &LastFault, alone: bool) {
        if let Some(failures) = self.faults.get_mut(fault) {
            failures.jobs -= 1;
            failures.cells -= u64::from(alone);
            if failures.jobs == 0 {
                self.faults.remove(fault);
            }
        }
    }

    /// Whose it is: its owner's, or its own if nobody said so.
    pub(super) fn whose(&self) -> &str {
        match &*self.label.owner {
            "" => &self.name,
            owner => owner,
        }
    }
}

impl Ledger {
    /// Changes a sweep, and its jobs accordingly.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for an unknown sweep, [`StoreError::Conflict`]
    /// for a change to a cancelled one that is not for those, and for a name that
    /// is taken.
    pub fn change_sweep(
        &mut self,
        now: Timestamp,
        digest: SweepDigest,
        change: SweepChange,
    ) -> Result<()> {
        let key = self.sweep_key(digest)?;
        self.check_kept(key)?;
        match (self.sweep(key).live, change) {
            (_, SweepChange::Label(change)) => return self.relabel(key, change, now),
            (true, SweepChange::Cancel) => {
                self.sweep_mut(key).live = false;
                self.cancel_unneeded(key, now);
            }
            (true, SweepChange::Pause { cause }) => self.sweep_mut(key).paused = Some(cause),
            (true, SweepChange::Resume) => self.sweep_mut(key).paused = None,
            (true, SweepChange::Priority(priority)) => self.sweep_mut(key).priority = priority,
            (false, SweepChange::Cancel) => return Ok(()),
            (false, _) => {
                return Err(StoreError::Conflict(format!(
                    "sweep {} is cancelled; submit it again",
                    digest.short()
                )));
            }
        }
        self.wished_anew(key, now);
        Ok(())
    }

    fn relabel(&mut self, key: SweepKey, change: Relabel, now: Timestamp) -> Result<()> {
        if let Relabel::Rename(name) = change {
            return self.rename(key, name, now);
        }
        let sweep = self.sweeps.get_mut(&key).expect("the key of a sweep");
        let before = sweep.label.clone();
        sweep.label.apply(&change);
        if sweep.label != before {
            self.tell_of_label(key, now);
        }
        Ok(())
    }

    fn rename(&mut self, key: SweepKey, to: String, now: Timestamp) -> Result<()> {
        let from = self.sweep(key).name.clone();
        if from == to {
            return Ok(());
        }
        if self.names.contains_key(&to) {
            return Err(StoreError::Conflict(format!(
                "another sweep is named `{to}`; take another name, or rename that one first"
            )));
        }
        self.leave_name(key);
        self.names.entry(to.clone()).or_default().insert(1, key);
        self.changes.renamed.push(RenamedSweep {
            key,
            last: !self.names.contains_key(&from),
            from,
            to: to.clone(),
        });
        let sweep = self.sweeps.get_mut(&key).expect("the key of a sweep");
        sweep.name = to;
        sweep.version = 1;
        self.tell_of_label(key, now);
        Ok(())
    }

    /// Takes a sweep out of those of its name.
    pub(super) fn leave_name(&mut self, key: SweepKey) {
        let sweep = &self.sweeps[&key];
        if let Some(versions) = self.names.get_mut(&sweep.name) {
            versions.remove(&sweep.version);
            if versions.is_empty() {
                self.names.remove(&sweep.name);
            }
        }
    }

    /// The version that the next sweep of this name is.
    pub(super) fn next_version(&self, name: &str) -> u32 {
        let versions = self.names.get(name);
        let last = versions.and_then(|versions| versions.last_key_value());
        last.map_or(1, |(version, _)| version.saturating_add(1))
    }

    /// The time that tells a submit from every one before it.
    pub(super) fn submitted_last(&self, now: Timestamp) -> Timestamp {
        now.max(self.last_submit() + Duration::from_millis(1))
    }

    /// When the last submit was, of those sweeps that exist.
    pub(super) fn last_submit(&self) -> Timestamp {
        let times = self.sweeps.values().map(|it| it.label.last_submitted_at);
        times.max().unwrap_or(Timestamp::from_ms(i64::MIN))
    }

    pub(super) fn tell_of_label(&mut self, key: SweepKey, now: Timestamp) {
        let row = self.sweep(key).label_row(key);
        self.changes.labels.retain(|earlier| earlier.key != key);
        self.changes.labels.push(row);
        self.tell_of_sweep(key, What::SweepLabelled, now);
    }

    /// How many open jobs of a sweep another one does not hold.
    pub fn open_beside(&self, sweep: SweepDigest, other: SweepDigest) -> u64 {
        let keys = (self.sweep_keys.get(&sweep), self.sweep_keys.get(&other));
        let (Some(&key), Some(&other)) = keys else {
            return 0;
        };
        let mut open = 0;
        for &place in &self.sweep(key).cells {
            let cell = self.cell(place);
            let own = cell.held_by(other)..cell.held_by(key);
            if cell.open > 0 && !own.is_empty() {
                let jobs = &cell.jobs[own.start as usize..own.end as usize];
                let is_open = |job: &&Entry| !job.state_name().is_final();
                open += jobs.iter().filter(is_open).count() as u64;
            }
        }
        open
    }

    /// With which other live sweeps a submit would share open jobs, where their
    /// files differ in what these need. Of several that have a cell, the one that
    /// was submitted last has decided so far.
    pub fn overlaps(&self, asked: &Shares) -> Vec<Overlap> {
        let own = self.sweep_keys.get(&asked.sweep);
        let mut found: BTreeMap<SweepKey, (u64, BTreeSet<Differs>)> = BTreeMap::new();
        for (digest, place) in &asked.cells {
            let cell = self.find_cell(*digest).map(|place| self.cell(place));
            let Some(cell) = cell.filter(|cell| cell.open > 0) else {
                continue;
            };
            let differs = asked.needs[*place].differences(self.needs_of(cell.need));
            let is_other = |(key, _): &&(SweepKey, u32)| Some(key) != own && self.sweep(*key).live;
            let others = cell.holders.iter().filter(is_other);
            let last = others.max_by_key(|(key, _)| self.sweep(*key).label.last_submitted_at);
            let Some((key, held)) = last.filter(|_| !differs.is_empty()) else {
                continue;
            };
            let both = (*held).min(asked.replicates) as usize;
            let open = cell.jobs.iter().take(both);
            let open = open.filter(|job| !job.state_name().is_final()).count();
            if open > 0 {
                let (jobs, all) = found.entry(*key).or_default();
                *jobs += open as u64;
                all.extend(differs);
            }
        }
        let told = found.into_iter().map(|(key, (jobs, differs))| {
            let sweep = self.sweep(key);
            Overlap {
                sweep: sweep.name.clone(),
                version: sweep.version,
                jobs,
                differs,
            }
        });
        told.collect()
    }

    /// The key of a sweep, if it exists.
    pub fn find_sweep(&self, digest: SweepDigest) -> Option<SweepKey> {
        self.sweep_keys.get(&digest).copied()
    }

    /// The first of the sweeps that hold a job, if its cell is held.
    pub fn sweep_of(&self, job: JobDigest) -> Option<SweepDigest> {
        let at = self.find_job(job)?;
        let first = self.cell(at.cell).holders_of(at.place).next()?;
        Some(self.sweep(first).digest)
    }

    pub(super) fn sweep_key(&self, digest: SweepDigest) -> Result<SweepKey> {
        let key = self.sweep_keys.get(&digest).copied();
        key.ok_or_else(|| StoreError::NotFound(format!("sweep {}", digest.short())))
    }

    pub(super) fn sweep(&self, key: SweepKey) -> &Sweep {
        &self.sweeps[&key]
    }

    pub(super) fn sweep_mut(&mut self, key: SweepKey) -> &mut Sweep {
        self.changed_sweeps.insert(key);
        self.sweeps.get_mut(&key).expect("the key of a sweep")
    }

    /// The jobs of a sweep whose cells are held; all open jobs are among them.
    pub(super) fn held_jobs(&self, key: SweepKey) -> Vec<Loc> {
        let mut jobs = Vec::new();
        for &place in &self.sweep(key).cells {
            let held = self.cell(place).held_by(key);
            jobs.extend((0..held).map(|job| Loc {
                cell: place,
                place: job,
            }));
        }
        jobs
    }

    pub(super) fn cancel_unneeded(&mut self, key: SweepKey, now: Timestamp) {
        for at in self.held_jobs(key) {
            if !self.needed(at) {
                // A cancel is never refused.
                let _applied = self.apply(at, &Event::Cancel, now);
            }
        }
    }

    /// Cancels jobs, whichever sweeps need them; returns how many changed. Jobs
    /// that are not held are final or do not exist.
    pub fn cancel_jobs(&mut self, now: Timestamp, jobs: &[JobDigest]) -> u64 {
        let mut changed = 0;
        for job in jobs {
            if let Some(at) = self.find_job(*job) {
                changed += u64::from(self.apply(at, &Event::Cancel, now) == Ok(Applied::Changed));
            }
        }
        changed
    }

    /// Queues failed and cancelled jobs again; returns how many changed. The
    /// cells of all of them must be held.
    pub fn retry_jobs(&mut self, now: Timestamp, jobs: &[JobDigest]) -> u64 {
        let mut changed = 0;
        for job in jobs {
            let Some(at) = self.find_job(*job) else {
                continue;
            };
            // What is being deleted is wanted by nobody.
            if self.kept_holders(at).is_empty() {
                continue;
            }
            if self.apply(at, &Event::Retry, now) == Ok(Applied::Changed) {
                changed += 1;
                self.revive_holder(at, now);
            }
        }
        changed
    }

    /// The sweeps that hold a job and are not being deleted, in order of
    /// submission.
    pub(super) fn kept_holders(&self, at: Loc) -> Vec<SweepKey> {
        let kept = |key: &SweepKey| {
            let label = &self.sweep(*key).label;
            !label.deleting && !label.staged
        };
        self.holders(at).into_iter().filter(kept).collect()
    }

    /// If no sweep that holds a job is live, makes the newest one live: a
    /// waiting job must be needed, or it would wait for ever.
    pub(super) fn revive_holder(&mut self, at: Loc, now: Timestamp) {
        if self.needed(at) {
            return;
        }
        if let Some(newest) = self.kept_holders(at).last().copied() {
            let sweep = self.sweep_mut(newest);
            sweep.live = true;
            sweep.paused = None;
            self.wished_anew(newest, now);
        }
    }
}
