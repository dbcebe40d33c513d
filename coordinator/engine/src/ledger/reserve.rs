//! Which job a worker is granted next, and for which jobs that do not fit yet
//! room is kept on it.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use swath_model::job::State;
use swath_model::needs::{Candidate, Ends, Hold, Reservation, Room, Waits, keeper};
use swath_model::offer::Free;
use swath_model::placement::Placement;
use swath_model::time::Timestamp;
use swath_model::view::{Kept, WorkerState};
use swath_store::WorkerKey;

use super::Ledger;
use super::hot::{Life, Loc, Need};
use super::index::Waiting;
use super::late::PASSED_AT_ONCE;
use super::worker::Worker;

/// The way through the waiting jobs for one worker, in the order of grants. Of each
/// kind of needs only the first job is looked at: where that does not fit, no other
/// one does.
pub(super) struct Walk {
    worker: WorkerKey,
    pub(super) room: Room,
    last: Option<Waiting>,
}

impl Walk {
    /// The beginning, with what the worker says is free.
    pub(super) fn new(ledger: &Ledger, worker: WorkerKey, free: &[Free]) -> Self {
        Self {
            worker,
            room: ledger.room(worker, free),
            last: None,
        }
    }

    /// The next job that fits, and where; it is to be granted before the one after
    /// it is asked for. Jobs that do not fit let those after them go first, into
    /// what is not kept for them.
    pub(super) fn next(&mut self, ledger: &mut Ledger, now: Timestamp) -> Option<(Loc, Placement)> {
        let (mut is_kept_up, mut passed) = (false, 0);
        while self.room.is_open() {
            let (next, need) = ledger.next_for(self.worker, self.last, now)?;
            if ledger.sets_right(next.at, now) {
                passed += 1;
                if passed == PASSED_AT_ONCE {
                    return None;
                }
                continue;
            }
            self.last = Some(next);
            let needs = ledger.needs_of(need);
            if let Some(placement) = self.room.place(needs) {
                return Some((next.at, placement));
            }
            if !needs.may_not_fit() {
                continue;
            }
            if !std::mem::replace(&mut is_kept_up, true) {
                ledger.keep_up(now);
            }
            if let Some(kept) = ledger.kept_here(self.worker, ledger.first(next, need)) {
                self.room.keep(ledger.needs_of(need), &kept);
            }
        }
        None
    }
}

/// For which jobs room is kept, and on which workers, as far as that was asked; and
/// from what it follows: as long as that is the same, so is this.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    basis: Basis,
    /// One for each worker of the basis.
    rows: Vec<Row>,
    /// The rows of the workers that keep no room so far, by name.
    idle: Vec<usize>,
    /// How many of the jobs were looked at.
    done: usize,
    kept: Vec<(First, WorkerKey)>,
}

/// What a worker holds, and what has to end there before each of the jobs fits, as
/// far as that was asked.
#[derive(Debug)]
struct Row {
    held: Vec<Hold<Waiting>>,
    ends: Vec<Asked>,
}

/// What has to end on a worker before a job fits, as [`keeper`] asks for it.
#[derive(Clone, Copy, Debug)]
enum Asked {
    NotYet,
    Found(Option<Ends>),
}

/// All from which it follows where room is kept.
#[derive(Debug, Default, PartialEq, Eq)]
struct Basis {
    /// In the order of grants.
    firsts: Vec<First>,
    /// The workers that take jobs, with what [`super::index::Index::changes_of`]
    /// says of each.
    workers: Vec<(WorkerKey, u64)>,
    /// The kinds of needs of which their hosts lack something now.
    lacks: Vec<(WorkerKey, Need)>,
}

/// The first waiting job of a kind of needs for which a free slot may not be
/// enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct First {
    job: Waiting,
    need: Need,
    /// Since when it may be granted.
    since: Timestamp,
}

impl Ledger {
    /// Of the kinds of which a worker may get jobs now, the next one whose first
    /// job comes after `last`.
    fn next_for(
        &self,
        worker: WorkerKey,
        last: Option<Waiting>,
        now: Timestamp,
    ) -> Option<(Waiting, Need)> {
        let worker = &self.workers[&worker];
        let mut firsts = self.index.firsts_after(last);
        firsts.find(|(_, need)| worker.may_run(*need, now))
    }

    /// The room that is kept on a worker for a job, if it is.
    fn kept_here(&mut self, worker: WorkerKey, first: First) -> Option<Reservation> {
        let Basis {
            firsts, workers, ..
        } = &self.keeping.basis;
        let column = firsts.binary_search(&first).ok()?;
        let row = workers.binary_search_by_key(&worker, |(key, _)| *key);
        let has_to_wait = row.is_ok_and(|row| self.ends_at(row, column).is_some());
        if has_to_wait {
            self.keep_for(column + 1);
            if !self.keeping.kept.contains(&(first, worker)) {
                return None;
            }
        }
        let own = self.reservation(worker, first)?;
        // Where it has room, the worker has not asked for all that is free.
        (has_to_wait || own.ends.is_none()).then_some(own)
    }

    /// Brings up to date from what it follows where room is kept. What was found of
    /// workers and jobs that are as they were then is kept.
    fn keep_up(&mut self, now: Timestamp) {
        let basis = self.basis(now);
        if basis == self.keeping.basis {
            return;
        }
        let mut before = std::mem::take(&mut self.keeping);
        let columns = places_in(&before.basis.firsts, &basis.firsts);
        let places = places_in(&before.basis.workers, &basis.workers);
        let workers = basis.workers.iter().zip(places);
        let rows = workers.map(|((worker, _), place)| match place {
            Some(place) => {
                let row = &mut before.rows[place];
                let ends = columns.iter().map(|column| match column {
                    Some(column) => row.ends[*column],
                    None => Asked::NotYet,
                });
                Row {
                    ends: ends.collect(),
                    held: std::mem::take(&mut row.held),
                }
            }
            None => Row {
                ends: vec![Asked::NotYet; columns.len()],
                held: self.held(*worker),
            },
        });
        let mut idle: Vec<usize> = (0..basis.workers.len()).collect();
        idle.sort_unstable_by_key(|row| &self.workers[&basis.workers[*row].0].name);
        self.keeping = Keeping {
            rows: rows.collect(),
            idle,
            done: 0,
            kept: Vec::new(),
            basis,
        };
    }

    /// Finds out where room is kept for the first so many jobs.
    fn keep_for(&mut self, jobs: usize) {
        for column in self.keeping.done..jobs {
            let first = self.keeping.basis.firsts[column];
            let mut idle = std::mem::take(&mut self.keeping.idle);
            let chosen = keeper(idle.iter().copied(), |row| {
                let ends = self.ends_at(row, column)?;
                let basis = &self.keeping.basis;
                let lacks = basis
                    .lacks
                    .binary_search(&(basis.workers[row].0, first.need));
                lacks.is_err().then_some(ends)
            });
            if let Some(chosen) = chosen {
                idle.retain(|row| *row != chosen);
                let (worker, _) = self.keeping.basis.workers[chosen];
                self.keeping.kept.push((first, worker));
            }
            self.keeping.idle = idle;
        }
        self.keeping.done = self.keeping.done.max(jobs);
    }

    /// What has to end on the worker of a row before the job of a column fits.
    fn ends_at(&mut self, row: usize, column: usize) -> Option<Ends> {
        let Keeping { basis, rows, .. } = &self.keeping;
        if let Asked::Found(known) = rows[row].ends[column] {
            return known;
        }
        let found = self.ends(basis.workers[row].0, &rows[row].held, basis.firsts[column]);
        self.keeping.rows[row].ends[column] = Asked::Found(found);
        found
    }

    fn basis(&self, now: Timestamp) -> Basis {
        let takes_jobs = |(_, worker): &(&WorkerKey, &Worker)| {
            worker.state == WorkerState::Active && !worker.silent
        };
        let workers = || self.workers.iter().filter(takes_jobs);
        let lacks = workers().flat_map(|(key, worker)| worker.lacking(now).map(|it| (*key, it)));
        let firsts = self.index.first_large();
        Basis {
            firsts: firsts.map(|(job, need)| self.first(job, need)).collect(),
            lacks: lacks.collect(),
            workers: workers()
                .map(|(key, _)| (*key, self.index.changes_of(*key)))
                .collect(),
        }
    }

    fn first(&self, job: Waiting, need: Need) -> First {
        let since = match &self.entry(job.at).life {
            Life::Fresh(since) => *since,
            Life::Lived(lived) => match lived.job.state {
                State::Queued { not_before } => not_before,
                _ => lived.job.granted_at,
            },
        };
        First { job, need, since }
    }

    fn waits(&self, first: First) -> Waits<'_, Waiting> {
        Waits {
            job: first.job,
            needs: self.needs_of(first.need),
            since: first.since,
        }
    }

    /// What has to end on a worker that holds these jobs before one fits that it may
    /// run.
    fn ends(&self, worker: WorkerKey, held: &[Hold<Waiting>], first: First) -> Option<Ends> {
        let worker = self.workers.get(&worker)?;
        let offer = &worker.about.offer;
        let may = worker.meets(first.need);
        may.then(|| Candidate { offer, held }.reservation(&self.waits(first)))??
            .ends
    }

    /// What a worker would keep for a job.
    fn reservation(&self, worker: WorkerKey, first: First) -> Option<Reservation> {
        let offer = &self.workers.get(&worker)?.about.offer;
        let held = &self.held(worker);
        Candidate { offer, held }.reservation(&self.waits(first))
    }

    fn held(&self, worker: WorkerKey) -> Vec<Hold<Waiting>> {
        let leases = self.index.leases_of(worker).into_iter();
        let held = leases.filter_map(|at| {
            let (entry, urgency) = (self.entry(at), self.urgency(at));
            let lived = entry.lived()?;
            let job = urgency.map(|urgency| Waiting {
                urgency: Reverse(urgency),
                job: entry.key,
                at,
            });
            let needs = self.needs_of(self.cell(at.cell).need);
            let placement = lived.placement.clone()?;
            Some(Hold::new(job, needs, placement, lived.job.granted_at))
        });
        held.collect()
    }

    /// Whether jobs wait for which room may be kept.
    pub fn may_keep_room(&self) -> bool {
        self.index.first_large().next().is_some()
    }

    /// The room that is kept for jobs that do not fit yet, in the order of
    /// grants.
    pub fn kept(&mut self, now: Timestamp) -> Vec<Kept> {
        self.file_rested(now);
        self.keep_up(now);
        self.keep_for(self.keeping.basis.firsts.len());
        let kept = self.keeping.kept.iter().filter_map(|(first, worker)| {
            let kept = self.reservation(*worker, *first)?;
            let busy: BTreeSet<_> = kept.busy.into_iter().map(|(device, _)| device).collect();
            Some(Kept {
                job: self.entry(first.job.at).digest,
                worker: self.workers[worker].name.clone(),
                devices: kept.placement,
                busy: busy.into_iter().collect(),
                cpus: kept.cpus,
            })
        });
        kept.collect()
    }

    /// Whether what was found of jobs and workers that have not changed since is
    /// what would be found now.
    pub(super) fn keeping_is_sound(&self) -> bool {
        let Keeping { basis, rows, .. } = &self.keeping;
        let firsts = self.index.first_large();
        let firsts: Vec<First> = firsts.map(|(job, need)| self.first(job, need)).collect();
        let mut rows = basis.workers.iter().zip(rows);
        rows.all(|((worker, changes), row)| {
            let held = self.held(*worker);
            let is_same = |(first, asked): (&First, &Asked)| match asked {
                Asked::Found(known) if firsts.contains(first) => {
                    self.ends(*worker, &held, *first) == *known
                }
                _ => true,
            };
            let has_changed = *changes != self.index.changes_of(*worker);
            has_changed || basis.firsts.iter().zip(&row.ends).all(is_same)
        })
    }
}

/// Where each of these stands in another list, if it does. Both are in order.
fn places_in<T: Ord>(list: &[T], these: &[T]) -> Vec<Option<usize>> {
    let places = these.iter().map(|it| list.binary_search(it).ok());
    places.collect()
}
