//! Submissions: sweeps come in with their cells and jobs.

use rayon::prelude::*;
use swath_model::event::What;
use swath_model::id::{CellDigest, JobDigest, Replicate, SweepDigest};
use swath_model::job::Event;
use swath_model::label::Label;
use swath_model::message::{Submission, Submitted, SubmittedCell};
use swath_model::needs::Needs;
use swath_model::probe::WorkloadKey;
use swath_model::seed::Seeds;
use swath_model::spec::job_digest;
use swath_model::time::Timestamp;
use swath_model::view::Counts;
use swath_store::{NewCell, NewJob, NewSweep, NewSweepCell, ReplicationRow, StoreError, SweepKey};

use super::hot::{Cell, Entry, Loc};
use super::parts::{Head, Part};
use super::steer::Replication;
use super::sweep::Sweep;
use super::{Ledger, Result, hash};

/// A submission, with its jobs derived. This is made outside the engine,
/// because hashing tens of thousands of jobs takes longer than deciding about
/// them.
#[derive(Debug)]
pub struct Prepared {
    pub(super) submission: Submission,
    pub(super) workloads: Vec<WorkloadKey>,
    /// Seed and digest of each cell's first replicates, cell by cell.
    pub(super) jobs: Vec<(u64, JobDigest)>,
    /// A cell that cannot be stored, if the sweep is new.
    refused: Option<CellDigest>,
}

impl Prepared {
    /// Derives the jobs of a submission.
    pub fn new(submission: Submission) -> Self {
        let cells = &submission.cells;
        let refused = cells.par_iter().find_first(|cell| !is_object(cell));
        let jobs = cells.par_iter().flat_map_iter(|cell| {
            let seeds = Seeds::in_text(&cell.spec);
            (1..=submission.replicates).map(move |replicate| {
                let seed = seeds.seed(cell.digest, Replicate(replicate));
                (seed, job_digest(&cell.spec, seed))
            })
        });
        let workloads = cells
            .par_iter()
            .map(|cell| WorkloadKey::of_cell(&cell.spec));
        Self {
            workloads: workloads.collect(),
            jobs: jobs.collect(),
            refused: refused.map(|cell| cell.digest),
            submission,
        }
    }

    /// The sweep.
    pub const fn digest(&self) -> SweepDigest {
        self.submission.digest
    }

    /// The sweep's cells.
    pub fn cells(&self) -> impl Iterator<Item = CellDigest> {
        self.submission.cells.iter().map(|cell| cell.digest)
    }

    /// Whether a cell of it cannot be stored.
    pub(crate) const fn is_refused(&self) -> bool {
        self.refused.is_some()
    }

    /// How many jobs the sweep has.
    pub const fn jobs(&self) -> usize {
        self.jobs.len()
    }
}

/// A spec without room for its seed could never be granted.
fn is_object(cell: &SubmittedCell) -> bool {
    cell.spec.trim_start().starts_with('{')
        && serde_json::from_str::<serde::de::IgnoredAny>(&cell.spec).is_ok()
}

impl Ledger {
    /// Stores a sweep with its cells and the jobs that do not exist yet.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] when a cell's spec is not a JSON object, while the
    /// sweep is being deleted, or when files that travel with it are not here.
    pub fn submit(&mut self, now: Timestamp, prepared: Prepared) -> Result<Submitted> {
        if let Some(key) = self.sweep_keys.get(&prepared.submission.digest).copied() {
            self.check_kept(key)?;
            self.check_shipped(&prepared.submission.ships)?;
            return Ok(self.resubmit(key, &prepared.submission, now));
        }
        if let Some(cell) = prepared.refused {
            return Err(StoreError::Conflict(format!(
                "the spec of cell {} is not a JSON object",
                cell.short()
            )));
        }
        self.check_shipped(&prepared.submission.ships)?;
        let (head, mut all) = prepared.in_parts(usize::MAX);
        let key = self.add_sweep(now, &head);
        self.tell_of_sweep(key, What::SweepSubmitted, now);
        self.ship(key, head.submission.ships.iter().copied());
        let before = self.last_job;
        all.by_ref().for_each(|part| self.add_part(key, part, now));
        Ok(self.submitted(key, (self.last_job.0 - before.0) as u64))
    }

    pub(super) fn submitted(&self, key: SweepKey, new_jobs: u64) -> Submitted {
        let sweep = self.sweep(key);
        Submitted {
            existed: false,
            revived: false,
            jobs: sweep.counts.total(),
            new_jobs,
            succeeded: sweep.counts.succeeded,
            version: sweep.version,
        }
    }

    /// Lets a sweep hold these cells, and creates what does not exist of them.
    pub(super) fn add_part(&mut self, key: SweepKey, part: Part, now: Timestamp) {
        let Part {
            replicates,
            first,
            cells,
            jobs,
        } = part;
        let mut jobs = &jobs[..];
        for (position, (cell, workload)) in (first..).zip(cells) {
            let (own, others) = jobs.split_at(replicates as usize);
            jobs = others;
            let place = match self.find_cell(cell.digest) {
                Some(place) => {
                    self.need_anew(place, &cell.needs);
                    place
                }
                None => self.add_cell(&cell, workload),
            };
            self.changes.sweep_cells.push(NewSweepCell {
                sweep: key,
                position,
                cell: self.cell(place).key,
                axes: cell.axes,
                replicates,
            });
            self.join(key, place, replicates, now, |number| own[number as usize]);
        }
    }

    fn resubmit(&mut self, key: SweepKey, submission: &Submission, now: Timestamp) -> Submitted {
        let revived = self.take_again(key, submission, now);
        if revived {
            for at in self.held_jobs(key) {
                // A want is never refused.
                let _applied = self.apply(at, &Event::Want, now);
            }
        }
        for cell in &submission.cells {
            if let Some(place) = self.find_cell(cell.digest) {
                self.need_if_open(place, &cell.needs);
            }
        }
        self.submitted_again(key, revived)
    }

    /// Lets a sweep that was submitted again be live and have what is said of it;
    /// returns whether its jobs are to be wanted again.
    pub(super) fn take_again(
        &mut self,
        key: SweepKey,
        submission: &Submission,
        now: Timestamp,
    ) -> bool {
        self.say_again(key, submission, now);
        self.ship(key, submission.ships.iter().copied());
        let priority = submission.priority;
        let sweep = self.sweep(key);
        let revived = !sweep.live;
        if revived || sweep.priority != priority {
            let sweep = self.sweep_mut(key);
            sweep.priority = priority;
            if revived {
                sweep.live = true;
                sweep.paused = None;
            }
            self.wished_anew(key, now);
        }
        revived
    }

    pub(super) fn submitted_again(&self, key: SweepKey, revived: bool) -> Submitted {
        Submitted {
            existed: true,
            revived,
            ..self.submitted(key, 0)
        }
    }

    pub(super) fn need_if_open(&mut self, place: u32, needs: &Needs) {
        if self.cell(place).open > 0 {
            self.need_anew(place, needs);
        }
    }

    /// From now on the name means this sweep again, if it meant another one.
    fn say_again(&mut self, key: SweepKey, submission: &Submission, now: Timestamp) {
        let before = self.sweep(key).label.clone();
        let mut label = before.clone();
        if label.last_submitted_at < self.last_submit() {
            label.last_submitted_at = self.submitted_last(now);
        }
        label.add_tags(&submission.tags);
        if label != before {
            let sweep = self.sweeps.get_mut(&key).expect("the key of a sweep");
            sweep.label = label;
            self.tell_of_label(key, now);
        }
    }

    pub(super) fn add_sweep(&mut self, now: Timestamp, head: &Head) -> SweepKey {
        let submission = &head.submission;
        let key = self.last_sweep.next();
        self.last_sweep = key;
        let version = self.next_version(&submission.name);
        let mut label = Label {
            last_submitted_at: self.submitted_last(now),
            owner: submission.owner.clone(),
            ..Label::default()
        };
        label.add_tags(&submission.tags);
        let versions = self.names.entry(submission.name.clone()).or_default();
        versions.insert(version, key);
        self.changes.new_sweeps.push(NewSweep {
            key,
            digest: submission.digest,
            name: submission.name.clone(),
            version,
            label: label.clone(),
            title: submission.title.clone(),
            kind: submission.kind,
            replicates: submission.replicates,
            cells: head.cells,
            sources: submission.sources.clone(),
            definition: submission.definition.clone(),
            submitted_at: now,
        });
        if let Some(max) = submission.replicates_max {
            self.adaptive.insert(key);
            self.changes.replications.push(ReplicationRow {
                sweep: key,
                max,
                rounds: 0,
                seeds: 0,
                settled: None,
            });
        }
        self.sweep_keys.insert(submission.digest, key);
        self.changed_sweeps.insert(key);
        self.sweeps.insert(
            key,
            Sweep {
                digest: submission.digest,
                name: submission.name.clone(),
                version,
                label,
                kind: submission.kind,
                replicates: submission.replicates,
                live: true,
                paused: None,
                priority: submission.priority,
                counts: Counts::default(),
                ended_at: None,
                replication: submission.replicates_max.map(Replication::new),
                faults: std::collections::BTreeMap::new(),
                cells: std::collections::BTreeSet::new(),
                told: None,
            },
        );
        key
    }

    fn add_cell(&mut self, cell: &SubmittedCell, workload: WorkloadKey) -> u32 {
        self.last_cell = self.last_cell.next();
        self.changes.cells.push(NewCell {
            key: self.last_cell,
            digest: cell.digest,
            spec: cell.spec.clone(),
            needs: cell.needs.clone(),
            workload,
        });
        let need = self.need(&cell.needs);
        self.hold(Cell {
            key: self.last_cell,
            digest: cell.digest,
            need,
            holders: Vec::new(),
            jobs: Vec::new(),
            open: 0,
            touched: false,
        })
    }

    /// Lets the jobs of a cell need what the newest submit with it says.
    fn need_anew(&mut self, place: u32, needs: &Needs) {
        let before = self.needs_of(self.cell(place).need);
        let need = self.need(&needs.after(before));
        let cell = self.cell_mut(place);
        let (key, before) = (cell.key, std::mem::replace(&mut cell.need, need));
        if before == need {
            return;
        }
        self.changed_needs.insert(key, need);
        let cell = self.cells[place as usize].as_ref();
        for (number, job) in (0..).zip(cell.iter().flat_map(|cell| &cell.jobs)) {
            let at = Loc {
                cell: place,
                place: number,
            };
            self.index.unfile(job.filed, before, job.key, at);
            self.index.file(job.filed, need, job.key, at);
        }
    }

    /// Lets a sweep hold replicates 1 to `held` of a cell of which it held
    /// fewer or none. Replicates that do not exist are created with the seed
    /// and digest that `named` gives for their place; all that are new to the
    /// sweep are wanted.
    pub(super) fn join(
        &mut self,
        key: SweepKey,
        place: u32,
        held: u32,
        now: Timestamp,
        named: impl Fn(u32) -> (u64, JobDigest),
    ) {
        self.index.wished_anew();
        let cell = self.cell_mut(place);
        let existing = cell.jobs.len() as u32;
        let before = cell.held_by(key);
        match cell
            .holders
            .binary_search_by_key(&key, |(holder, _)| *holder)
        {
            Ok(found) => cell.holders[found].1 = held,
            Err(free) => {
                cell.holders.reserve_exact(1);
                cell.holders.insert(free, (key, held));
            }
        }
        // There may be a million of them, most of them still as they were
        // submitted.
        cell.jobs
            .reserve_exact(held.saturating_sub(existing) as usize);
        self.touch(place);
        if let Some(sweep) = self.sweeps.get_mut(&key) {
            sweep.cells.insert(place);
        }
        let joining = (before..held).map(|number| Loc {
            cell: place,
            place: number,
        });
        for at in joining.clone() {
            if at.place >= existing {
                let (seed, digest) = named(at.place);
                self.add_job(at, seed, digest, now);
            }
            self.count_in(key, at);
        }
        // What is wanted may forget its fault, so all of them are counted before.
        for at in joining {
            // A want is never refused.
            let _applied = self.apply(at, &Event::Want, now);
            self.refile(at, now);
        }
    }

    fn add_job(&mut self, at: Loc, seed: u64, digest: JobDigest, now: Timestamp) {
        let job = self.last_job.next();
        self.last_job = job;
        let cell = self.cell_mut(at.cell);
        cell.open += 1;
        cell.jobs.push(Entry::fresh(job, digest, now));
        let cell = cell.key;
        self.changes.new_jobs.push(NewJob {
            key: job,
            digest,
            cell,
            replicate: at.replicate(),
            seed,
            since: now,
        });
        self.hold_job(digest, at);
    }

    /// Counts a job in a sweep that did not hold it before.
    fn count_in(&mut self, key: SweepKey, at: Loc) {
        let entry = self.entry(at);
        let (state, fault) = entry.standing();
        let ended_at = entry.lived().and_then(|lived| lived.ended_at);
        let remembered = entry.fault().map(|fault| {
            let counted = 0..at.place;
            (fault.clone(), self.fault_is_alone(at, counted, fault))
        });
        let sweep = self.sweep_mut(key);
        sweep.counts.add(state, fault, 1);
        sweep.ended_at = sweep.ended_at.max(ended_at);
        if let Some((fault, alone)) = remembered {
            sweep.add_fault(&fault, alone);
        }
        if sweep.counts.succeeded > 0 {
            sweep.faults.clear();
        }
    }

    pub(super) fn hold_job(&mut self, digest: JobDigest, at: Loc) {
        let cells = &self.cells;
        let again = |at: &Loc| {
            let cell = cells[at.cell as usize].as_ref();
            cell.map_or(0, |cell| {
                hash(cell.jobs[at.place as usize].digest.as_bytes())
            })
        };
        self.job_places
            .insert_unique(hash(digest.as_bytes()), at, again);
    }

    /// Takes in a cell with all the jobs that it has.
    pub(super) fn hold(&mut self, cell: Cell) -> u32 {
        let digest = cell.digest;
        let place = self.free.pop().unwrap_or_else(|| {
            self.cells.push(None);
            (self.cells.len() - 1) as u32
        });
        self.cells[place as usize] = Some(cell);
        let cells = &self.cells;
        let again = |place: &u32| {
            let cell = cells[*place as usize].as_ref();
            cell.map_or(0, |cell| hash(cell.digest.as_bytes()))
        };
        self.cell_places
            .insert_unique(hash(digest.as_bytes()), place, again);
        place
    }
}
