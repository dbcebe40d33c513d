//! How cells come into the ledger and leave it: they are held as long as they
//! have open jobs, or until the end of a batch that needs them.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use swath_model::id::{CellDigest, JobDigest, SweepDigest};
use swath_model::job::{Job, State};
use swath_model::policy::Policy;
use swath_model::time::Timestamp;
use swath_store::{Names, Start, StoredCell, StoredJob, StoredSweep, SweepKey, WorkerRow};

use super::hot::{Cell, Entry, Filed, Life, Lived, Loc, OutcomeKey, Recorded};
use super::inputs::Inputs;
use super::steer::Replication;
use super::sweep::Sweep;
use super::worker::Worker;
use super::{Ledger, hash};

/// What a call needs in the ledger in addition to what is open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing.
    #[default]
    Nothing,
    /// The cells of these jobs.
    Jobs(Vec<JobDigest>),
    /// The cells of these jobs, some of which failed, and those of all jobs that
    /// workers have failed in a row: they are judged together.
    Failed(Vec<JobDigest>),
    /// The cells of these jobs, whose outcomes are to be thrown away, and those of
    /// all jobs of sweeps that then have no measurement left: the faults of such a
    /// sweep count again.
    Forget(Vec<JobDigest>),
    /// These cells.
    Cells(Vec<CellDigest>),
    /// What a submit of this sweep with these cells changes.
    Submit(SweepDigest, Vec<CellDigest>),
}

/// What the store was asked for in this batch; what is not held after that does
/// not exist.
#[derive(Debug, Default)]
pub struct Looked {
    jobs: HashSet<JobDigest>,
    cells: HashSet<CellDigest>,
    sweeps: HashSet<SweepKey>,
}

impl Looked {
    /// Notes that the store was asked for these.
    pub fn note(&mut self, names: &Names) {
        self.jobs.extend(&names.jobs);
        self.cells.extend(&names.cells);
        self.sweeps.extend(&names.sweeps);
    }
}

impl Ledger {
    /// A ledger that holds everything but cells.
    pub fn start(policy: Policy, start: Start) -> Self {
        let mut ledger = Self::new(policy);
        ledger.inputs = Inputs::start(&start);
        ledger.last_cell = start.last_cell;
        ledger.last_job = start.last_job;
        ledger.last_event = start.last_event;
        for sweep in start.sweeps {
            ledger.warm_sweep(sweep);
        }
        for worker in start.workers {
            ledger.warm_worker(worker);
        }
        for request in start.requests {
            if let Some(worker) = ledger.workers.get_mut(&request.worker) {
                worker.requests.push_back((request.request, request.grants));
            }
        }
        ledger
    }

    fn warm_sweep(&mut self, sweep: StoredSweep) {
        let key = sweep.row.key;
        self.last_sweep = self.last_sweep.max(key);
        self.sweep_keys.insert(sweep.digest, key);
        let versions = self.names.entry(sweep.name.clone()).or_default();
        versions.insert(sweep.version, key);
        if sweep.replication.is_some() {
            self.adaptive.insert(key);
        }
        let replication = sweep.replication.map(|it| Replication {
            max: it.max,
            rounds: it.rounds,
            seeds: it.seeds,
            settled: it.settled,
        });
        self.sweeps.insert(
            key,
            Sweep {
                digest: sweep.digest,
                name: sweep.name,
                version: sweep.version,
                label: sweep.label,
                kind: sweep.kind,
                replicates: sweep.replicates,
                live: sweep.row.live,
                paused: sweep.row.paused,
                priority: sweep.row.priority,
                counts: sweep.row.counts,
                ended_at: sweep.row.ended_at,
                replication,
                faults: sweep.faults.into_iter().collect::<BTreeMap<_, _>>(),
                cells: BTreeSet::new(),
                told: None,
            },
        );
    }

    fn warm_worker(&mut self, row: WorkerRow) {
        let needs = self.met_by(&row.about.offer);
        self.sessions = self.sessions.max(row.session);
        self.worker_keys.insert(row.name.clone(), row.key);
        self.workers.insert(
            row.key,
            Worker {
                name: row.name,
                state: row.state,
                cordoned: row.cordoned,
                session: row.session,
                seen_at: row.seen_at,
                about: row.about,
                failed: row.failed,
                requests: VecDeque::new(),
                needs,
                lacks: BTreeMap::new(),
                silent: row.silent,
                forgotten: row.forgotten,
                told: None,
            },
        );
    }

    /// What must be loaded before a call that needs this; to be asked again with
    /// that, because what is loaded may name more.
    pub fn missing(&self, wanted: &Wanted, looked: &Looked) -> Names {
        let mut names = Names::default();
        match wanted {
            Wanted::Nothing => {}
            Wanted::Jobs(jobs) => self.missing_jobs(jobs, looked, &mut names),
            Wanted::Failed(jobs) => {
                self.missing_jobs(jobs, looked, &mut names);
                let rows = self.workers.values().flat_map(|worker| &worker.failed);
                self.missing_jobs(rows, looked, &mut names);
            }
            Wanted::Forget(jobs) => {
                self.missing_jobs(jobs, looked, &mut names);
                let bereft = self.bereft_without(jobs).into_iter();
                let cold = bereft.filter(|key| !looked.sweeps.contains(key));
                names.sweeps.extend(cold);
            }
            Wanted::Cells(cells) => self.missing_cells(cells, looked, &mut names),
            Wanted::Submit(sweep, cells) => match self.sweep_keys.get(sweep) {
                None => self.missing_cells(cells, looked, &mut names),
                Some(key) => {
                    // Only cancelled jobs are wanted again.
                    let revived = !self.sweep(*key).live;
                    if revived && !looked.sweeps.contains(key) {
                        names.sweeps.push(*key);
                    }
                }
            },
        }
        names
    }

    fn missing_jobs<'a>(
        &self,
        jobs: impl IntoIterator<Item = &'a JobDigest>,
        looked: &Looked,
        names: &mut Names,
    ) {
        for job in jobs {
            let held = self.find_job(*job).is_some();
            if !held && !looked.jobs.contains(job) && !names.jobs.contains(job) {
                names.jobs.push(*job);
            }
        }
    }

    fn missing_cells(&self, cells: &[CellDigest], looked: &Looked, names: &mut Names) {
        let cold =
            |cell: &CellDigest| self.find_cell(*cell).is_none() && !looked.cells.contains(cell);
        names.cells.extend(cells.iter().copied().filter(cold));
    }

    /// Takes in cells as they are stored; a cell that is held already stays as
    /// it is. Backoffs are judged at the time `now`.
    pub fn warm(&mut self, cells: Vec<StoredCell>, now: Timestamp) {
        for cell in cells {
            if self.find_cell(cell.digest).is_none() {
                self.warm_cell(cell, now);
            }
        }
    }

    fn warm_cell(&mut self, stored: StoredCell, now: Timestamp) {
        let need = self.need(&stored.needs);
        let jobs = stored.jobs.into_iter();
        let mut jobs: Vec<Entry> = jobs.map(|job| self.entry_of(job)).collect();
        // They are collected in the place of what was stored, which is several times as large, and would keep it.
        jobs.shrink_to_fit();
        let open = jobs
            .iter()
            .filter(|job| !job.state_name().is_final())
            .count();
        let digests: Vec<JobDigest> = jobs.iter().map(|job| job.digest).collect();
        let holders = stored.holders;
        let sweeps: Vec<SweepKey> = holders.iter().map(|(sweep, _)| *sweep).collect();
        let place = self.hold(Cell {
            key: stored.key,
            digest: stored.digest,
            need,
            holders,
            jobs,
            open: open as u32,
            touched: false,
        });
        for sweep in sweeps {
            if let Some(sweep) = self.sweeps.get_mut(&sweep) {
                sweep.cells.insert(place);
            }
        }
        for (digest, number) in digests.into_iter().zip(0..) {
            let at = Loc {
                cell: place,
                place: number,
            };
            self.hold_job(digest, at);
            self.refile(at, now);
        }
        self.touch(place);
    }

    fn entry_of(&self, stored: StoredJob) -> Entry {
        let owner = stored.job.owner.as_ref();
        let worker = owner.and_then(|owner| self.worker_keys.get(&owner.worker));
        let outcomes = stored.outcomes.into_iter();
        let lived = Lived {
            worker: worker.copied(),
            placement: stored.placement,
            unmentioned: stored.unmentioned,
            fault: stored.fault,
            ended_at: stored.ended_at,
            outcomes: outcomes
                .map(|(attempt, worker, outcome)| Recorded {
                    attempt,
                    worker,
                    outcome: outcome.as_ref().map(OutcomeKey::of),
                })
                .collect(),
            job: stored.job,
        };
        Entry {
            key: stored.key,
            digest: stored.digest,
            life: fresh(&lived).unwrap_or_else(|| Life::Lived(Box::new(lived))),
            filed: Filed::Nowhere,
            changed: false,
        }
    }

    /// Ends a committed batch: cells in which nothing is open any more leave.
    pub fn settle_batch(&mut self) {
        for place in std::mem::take(&mut self.touched) {
            let cell = self.cell_mut(place);
            cell.touched = false;
            if cell.open == 0 {
                self.let_go(place);
            }
        }
    }

    pub(super) fn let_go(&mut self, place: u32) {
        let digest = self.cell(place).digest;
        let jobs: Vec<JobDigest> = self.cell(place).jobs.iter().map(|job| job.digest).collect();
        for (job, number) in jobs.into_iter().zip(0..) {
            let at = Loc {
                cell: place,
                place: number,
            };
            self.forget_place(job, at);
        }
        let hash = hash(digest.as_bytes());
        if let Ok(found) = self.cell_places.find_entry(hash, |it| *it == place) {
            found.remove();
        }
        if let Some(cell) = self.cells[place as usize].take() {
            for (sweep, _) in cell.holders {
                if let Some(sweep) = self.sweeps.get_mut(&sweep) {
                    sweep.cells.remove(&place);
                }
            }
        }
        self.free.push(place);
    }

    pub(super) fn forget_place(&mut self, job: JobDigest, at: Loc) {
        let hash = hash(job.as_bytes());
        if let Ok(found) = self.job_places.find_entry(hash, |it| *it == at) {
            found.remove();
        }
    }

    /// Whether everything that was decided is committed.
    pub fn is_settled(&self) -> bool {
        self.changes.is_empty()
            && self.changed_jobs.is_empty()
            && self.changed_sweeps.is_empty()
            && self.changed_workers.is_empty()
            && self.changed_needs.is_empty()
    }
}

/// A job that is still as it was created.
fn fresh(lived: &Lived) -> Option<Life> {
    let State::Queued { not_before } = lived.job.state else {
        return None;
    };
    let as_made = lived.job == Job::new(not_before) && lived.fault.is_none();
    as_made.then_some(Life::Fresh(not_before))
}

#[cfg(test)]
mod tests {
    use swath_model::needs::Needs;
    use swath_store::{CellKey, JobKey};

    use super::*;

    #[test]
    fn what_was_loaded_takes_no_more_room_than_it_needs() {
        let now = Timestamp::from_ms(1);
        let job = |number: u32| StoredJob {
            key: JobKey(i64::from(number)),
            digest: JobDigest::from_bytes([number as u8; 32]),
            job: Job::new(now),
            unmentioned: 0,
            placement: None,
            fault: None,
            ended_at: None,
            outcomes: Vec::new(),
        };
        let mut ledger = Ledger::new(Policy::default());
        let cell = StoredCell {
            key: CellKey(1),
            digest: CellDigest::from_bytes([7; 32]),
            needs: Needs::default(),
            holders: vec![(SweepKey(1), 5)],
            jobs: (1..=5).map(job).collect(),
        };
        let digest = cell.digest;
        ledger.warm(vec![cell], now);
        let place = ledger.find_cell(digest);
        let jobs = &ledger.cell(place.expect("the cell is held")).jobs;
        assert_eq!((jobs.len(), jobs.capacity()), (5, 5));
    }
}
