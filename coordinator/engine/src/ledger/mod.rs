//! The ledger: everything open, in memory, and every decision about it.
//!
//! The ledger is pure: the time is an argument, and each call changes it in
//! memory and collects what has to be written ([`Ledger::take_changes`]). Every
//! change of a job goes through [`swath_model::job::Job::apply`]. It holds the
//! cells that have open jobs, each with all of its jobs, and little else:
//! sweeps without their cells, and workers. [`Ledger::missing`] names what a
//! call needs beyond that, and [`Ledger::warm`] takes it in.

mod blame;
mod check;
mod delete;
mod events;
mod exchange;
mod forget;
mod hot;
mod import;
mod index;
mod inputs;
mod late;
mod parts;
mod reserve;
mod steer;
mod submit;
mod sweep;
mod time;
mod warm;
mod worker;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use hashbrown::HashTable;
use swath_model::access::Credential;
use swath_model::event::What;
use swath_model::id::{Attempt, CellDigest, JobDigest, Owner, SessionId, SweepDigest, WorkerName};
use swath_model::job::{Applied, Event, Refusal, State, StateName};
use swath_model::judge::{self, LastFault, Urgency, Wish};
use swath_model::needs::Needs;
use swath_model::offer::Offer;
use swath_model::policy::Policy;
use swath_model::time::Timestamp;
use swath_store::{
    CellKey, Changes, JobKey, LostAttempt, NeedsRow, StoreError, SweepKey, WorkerKey,
};

pub use self::check::Broken;
pub use self::delete::Keys;
use self::events::Standing;
pub use self::exchange::{Draft, Drafted};
pub(crate) use self::hot::Loc;
use self::hot::{Cell, Entry, Filed, Life, Need};
pub(crate) use self::import::sources as import_sources;
use self::index::Index;
use self::inputs::Inputs;
pub(crate) use self::late::WRITTEN_AT_ONCE;
pub(crate) use self::parts::{Begun, Head, Part};
use self::reserve::Keeping;
pub use self::submit::Prepared;

use self::sweep::Sweep;
pub use self::warm::{Looked, Wanted};
use self::worker::Worker;

/// A result of the ledger. If it is an error, nothing was changed.
pub(crate) type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Everything open, and every decision about it.
#[derive(Debug)]
pub struct Ledger {
    policy: Policy,
    sweeps: BTreeMap<SweepKey, Sweep>,
    sweep_keys: HashMap<SweepDigest, SweepKey>,
    /// The sweeps of each name, by version.
    names: HashMap<String, BTreeMap<u32, SweepKey>>,
    /// The sweeps whose results decide how many replicates their cells get.
    adaptive: BTreeSet<SweepKey>,
    /// The held cells; places of cells that have left are used again.
    cells: Vec<Option<Cell>>,
    free: Vec<u32>,
    cell_places: HashTable<u32>,
    job_places: HashTable<Loc>,
    index: Index,
    /// The sweeps whose jobs are to be filed anew, and from which place on.
    late: BTreeMap<SweepKey, Loc>,
    keeping: Keeping,
    inputs: Inputs,
    /// The kinds of needs that were ever asked for, and the number of each.
    kinds: Vec<Needs>,
    needs: HashMap<Needs, Need>,
    workers: BTreeMap<WorkerKey, Worker>,
    worker_keys: HashMap<WorkerName, WorkerKey>,
    /// The greatest session number given so far.
    sessions: SessionId,
    last_sweep: SweepKey,
    last_cell: CellKey,
    last_job: JobKey,
    last_event: u64,
    /// What was decided and has to be written, except what the next five fields
    /// name.
    changes: Changes,
    changed_jobs: Vec<Loc>,
    changed_sweeps: BTreeSet<SweepKey>,
    changed_workers: BTreeSet<WorkerKey>,
    /// What the jobs of cells need from now on.
    changed_needs: BTreeMap<CellKey, Need>,
    /// When attempts were lost; `None` for attempts that came back.
    lost: BTreeMap<(JobKey, Attempt), Option<Timestamp>>,
    /// Cells that may leave at the end of the batch.
    touched: Vec<u32>,
}

impl Ledger {
    /// An empty ledger with these limits.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            sweeps: BTreeMap::new(),
            sweep_keys: HashMap::new(),
            names: HashMap::new(),
            adaptive: BTreeSet::new(),
            cells: Vec::new(),
            free: Vec::new(),
            cell_places: HashTable::new(),
            job_places: HashTable::new(),
            index: Index::default(),
            late: BTreeMap::new(),
            keeping: Keeping::default(),
            inputs: Inputs::default(),
            kinds: Vec::new(),
            needs: HashMap::new(),
            workers: BTreeMap::new(),
            worker_keys: HashMap::new(),
            sessions: SessionId(0),
            last_sweep: SweepKey(0),
            last_cell: CellKey(0),
            last_job: JobKey(0),
            last_event: 0,
            changes: Changes::default(),
            changed_jobs: Vec::new(),
            changed_sweeps: BTreeSet::new(),
            changed_workers: BTreeSet::new(),
            changed_needs: BTreeMap::new(),
            lost: BTreeMap::new(),
            touched: Vec::new(),
        }
    }

    /// The ledger's limits.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Keeps a token or a worker's certificates. Nothing here depends on them.
    pub fn keep_credential(&mut self, credential: Credential) {
        let kept = &mut self.changes.credentials;
        kept.retain(|before| before.id != credential.id);
        kept.push(credential);
    }

    /// Everything decided since the last call, to be committed.
    pub fn take_changes(&mut self, now: Timestamp) -> Changes {
        let sweeps = std::mem::take(&mut self.changed_sweeps);
        for key in &sweeps {
            self.tell_how_sweep_is(*key, now);
        }
        let workers = std::mem::take(&mut self.changed_workers);
        for key in &workers {
            self.tell_how_worker_is(*key, now);
        }
        self.delete_idle_inputs();
        let mut changes = std::mem::take(&mut self.changes);
        let needs = std::mem::take(&mut self.changed_needs).into_iter();
        changes.needs.extend(needs.map(|(cell, need)| NeedsRow {
            cell,
            needs: self.needs_of(need).clone(),
        }));
        let lost = std::mem::take(&mut self.lost).into_iter();
        changes
            .lost
            .extend(lost.map(|((job, attempt), at)| LostAttempt { job, attempt, at }));
        for at in std::mem::take(&mut self.changed_jobs) {
            let entry = self.entry_mut(at);
            entry.changed = false;
            changes.jobs.extend(entry.row());
        }
        for key in sweeps {
            changes
                .sweeps
                .extend(self.sweeps.get(&key).map(|sweep| sweep.row(key)));
        }
        for key in workers {
            changes
                .workers
                .extend(self.workers.get(&key).map(|worker| worker.row(key)));
        }
        changes
    }

    fn cell(&self, place: u32) -> &Cell {
        self.cells[place as usize]
            .as_ref()
            .expect("the place of a cell that is held")
    }

    fn cell_mut(&mut self, place: u32) -> &mut Cell {
        self.cells[place as usize]
            .as_mut()
            .expect("the place of a cell that is held")
    }

    fn entry(&self, at: Loc) -> &Entry {
        &self.cell(at.cell).jobs[at.place as usize]
    }

    fn entry_mut(&mut self, at: Loc) -> &mut Entry {
        &mut self.cell_mut(at.cell).jobs[at.place as usize]
    }

    /// The place of a job, if its cell is held.
    fn find_job(&self, job: JobDigest) -> Option<Loc> {
        let same = |at: &Loc| self.entry(*at).digest == job;
        self.job_places.find(hash(job.as_bytes()), same).copied()
    }

    /// The place of a cell, if it is held.
    fn find_cell(&self, cell: CellDigest) -> Option<u32> {
        let same = |place: &u32| self.cell(*place).digest == cell;
        self.cell_places.find(hash(cell.as_bytes()), same).copied()
    }

    /// The key of a cell, if it is held.
    pub fn cell_key(&self, cell: CellDigest) -> Option<CellKey> {
        let place = self.find_cell(cell)?;
        Some(self.cell(place).key)
    }

    /// The kind of need of jobs with these needs.
    fn need(&mut self, needs: &Needs) -> Need {
        if let Some(known) = self.needs.get(needs) {
            return *known;
        }
        let new = Need(self.needs.len() as u32);
        self.needs.insert(needs.clone(), new);
        self.kinds.push(needs.clone());
        self.index.add_need(needs.may_not_fit());
        for worker in self.workers.values_mut() {
            if needs.lacking(&worker.about.offer).is_none() {
                worker.needs.push(new);
            }
        }
        new
    }

    /// The kinds of needs that a worker can meet, at least when it is idle.
    fn met_by(&self, offer: &Offer) -> Vec<Need> {
        let met = (0..).map(Need).zip(&self.kinds);
        met.filter(|(_, needs)| needs.lacking(offer).is_none())
            .map(|(need, _)| need)
            .collect()
    }

    fn needs_of(&self, need: Need) -> &Needs {
        &self.kinds[need.0 as usize]
    }

    fn apply(&mut self, at: Loc, event: &Event<'_>, now: Timestamp) -> Result<Applied, Refusal> {
        let policy = self.policy.clone();
        self.apply_by(&policy, at, event, now)
    }

    /// Changes a job; no other code does.
    fn apply_by(
        &mut self,
        policy: &Policy,
        at: Loc,
        event: &Event<'_>,
        now: Timestamp,
    ) -> Result<Applied, Refusal> {
        let entry = self.entry_mut(at);
        let before = entry.standing();
        let stopped = entry.stopping();
        let applied = entry.apply(event, now, policy)?;
        if applied == Applied::Unchanged {
            return Ok(applied);
        }
        let after = entry.standing();
        match (before.0.is_final(), after.0.is_final()) {
            (false, true) => {
                entry.lived_mut().ended_at = Some(now);
                self.cell_mut(at.cell).open -= 1;
            }
            (true, false) => {
                entry.lived_mut().ended_at = None;
                self.cell_mut(at.cell).open += 1;
                self.remember(at, None);
            }
            _ => {}
        }
        if before != after {
            self.count(at, before, after, now);
        }
        self.tell_job(at, event, (before, after), now);
        let stop = self.entry(at).stopping();
        if stop != stopped && before == after {
            self.tell_of_job(at, What::JobStopping { stop }, now);
        }
        self.changed(at);
        self.refile(at, now);
        debug_assert_eq!(
            self.entry(at)
                .lived()
                .map(|lived| lived.job.check(&self.policy)),
            Some(Ok(())),
            "after {event:?}"
        );
        Ok(applied)
    }

    /// Counts a job in its present state, in every sweep that holds it.
    fn count(&mut self, at: Loc, before: Standing, after: Standing, now: Timestamp) {
        for key in self.holders(at) {
            if let Some(sweep) = self.sweeps.get_mut(&key) {
                sweep.counts.move_one(before, after);
                if after.0.is_final() {
                    sweep.ended_at = sweep.ended_at.max(Some(now));
                }
                if after.0 == StateName::Succeeded {
                    sweep.faults.clear();
                }
                self.changed_sweeps.insert(key);
            }
        }
    }

    /// Notes the last fault that was recorded for a job.
    fn remember(&mut self, at: Loc, fault: Option<&LastFault>) {
        let entry = self.entry_mut(at);
        let before = entry.fault().cloned();
        if before.is_none() && fault.is_none() {
            return;
        }
        let lived = entry.lived_mut();
        lived.fault = fault.map(|fault| (lived.job.attempt, fault.clone()));
        for (key, held) in self.cell(at.cell).holders.clone() {
            if held <= at.place {
                continue;
            }
            let alone = |fault: &LastFault| self.fault_is_alone(at, 0..held, fault);
            let (was, is) = (
                before.as_ref().map(|fault| (fault, alone(fault))),
                fault.map(|fault| (fault, alone(fault))),
            );
            if let Some(sweep) = self.sweeps.get_mut(&key) {
                if let Some((fault, alone)) = was {
                    sweep.forget_fault(fault, alone);
                }
                if let Some((fault, alone)) = is {
                    sweep.add_fault(fault, alone);
                }
            }
        }
        self.changed(at);
    }

    /// Whether none of these replicates of a job's cell remembers this fault, but
    /// for the job itself.
    fn fault_is_alone(&self, at: Loc, mut places: Range<u32>, fault: &LastFault) -> bool {
        let jobs = &self.cell(at.cell).jobs;
        let alike = |place: u32| jobs[place as usize].fault() == Some(fault);
        !places.any(|place| place != at.place && alike(place))
    }

    /// Notes that a job's row is to be written.
    fn changed(&mut self, at: Loc) {
        let entry = self.entry_mut(at);
        if !entry.changed {
            entry.changed = true;
            self.changed_jobs.push(at);
        }
        self.touch(at.cell);
    }

    /// Marks a cell to leave at the end of the batch if nothing of it is open
    /// then.
    fn touch(&mut self, place: u32) {
        let cell = self.cell_mut(place);
        if !cell.touched {
            cell.touched = true;
            self.touched.push(place);
        }
    }

    /// Files a job where it now belongs in the indexes.
    fn refile(&mut self, at: Loc, now: Timestamp) {
        let filed = self.place_of(at, now);
        let cell = self.cell_mut(at.cell);
        let need = cell.need;
        let entry = &mut cell.jobs[at.place as usize];
        let before = std::mem::replace(&mut entry.filed, filed);
        let key = entry.key;
        match (before, filed) {
            _ if before == filed => {}
            (Filed::Lease(from, worker, _), Filed::Lease(until, now, _)) if worker == now => {
                self.index.prolong(from, until, key, at);
            }
            _ => {
                self.index.unfile(before, need, key, at);
                self.index.file(filed, need, key, at);
                let held = [before.worker(), filed.worker()];
                self.changed_workers.extend(held.into_iter().flatten());
            }
        }
    }

    fn place_of(&self, at: Loc, now: Timestamp) -> Filed {
        let queue = |until: Option<Timestamp>| match (self.urgency(at), until) {
            (None, _) => Filed::Nowhere,
            (Some(_), Some(until)) => Filed::Backoff(until),
            (Some(urgency), None) => Filed::Queue(urgency),
        };
        let lived = match &self.entry(at).life {
            Life::Fresh(_) => return queue(None),
            Life::Lived(lived) => lived,
        };
        match &lived.job.state {
            State::Queued { not_before } => queue(Some(*not_before).filter(|at| *at > now)),
            State::Leased(lease) | State::Suspect(lease) => {
                lived.worker.map_or(Filed::Nowhere, |worker| {
                    Filed::Lease(lease.deadline, worker, lived.slots())
                })
            }
            State::Succeeded | State::Failed(_) | State::Cancelled => Filed::Nowhere,
        }
    }

    /// The sweeps that hold a job, in order of submission.
    fn holders(&self, at: Loc) -> Vec<SweepKey> {
        self.cell(at.cell).holders_of(at.place).collect()
    }

    fn wishes(&self, at: Loc) -> impl Iterator<Item = Wish> {
        let holders = self.cell(at.cell).holders_of(at.place);
        holders.filter_map(|sweep| Some(self.sweeps.get(&sweep)?.wish()))
    }

    fn needed(&self, at: Loc) -> bool {
        judge::needed(self.wishes(at))
    }

    fn urgency(&self, at: Loc) -> Option<Urgency> {
        judge::urgency(self.wishes(at))
    }

    /// The owner's worker, if the owner's session is its newest.
    fn newest(&self, owner: &Owner) -> Result<WorkerKey> {
        let key = self.worker_keys.get(&owner.worker).copied();
        key.filter(|key| self.workers[key].session == owner.session)
            .ok_or_else(|| stale(owner))
    }
}

fn stale(owner: &Owner) -> StoreError {
    StoreError::StaleSession {
        worker: owner.worker.clone(),
        session: owner.session.0,
    }
}

/// Digests are evenly distributed as they are.
fn hash(digest: &[u8; 32]) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_le_bytes(first)
}
