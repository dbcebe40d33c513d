//! The jobs that the ledger holds: cells with open jobs, each with all of its
//! jobs. A waiting job that was never granted takes few bytes, because there
//! may be a million of them.

use swath_model::id::{Attempt, CellDigest, JobDigest, Replicate, WorkerName};
use swath_model::job::{Applied, Event, Job, Refusal, State, StateName};
use swath_model::judge::{LastFault, Urgency};
use swath_model::outcome::{Fault, Outcome};
use swath_model::placement::Placement;
use swath_model::policy::Policy;
use swath_model::time::Timestamp;
use swath_store::{CellKey, JobKey, JobRow, SweepKey, WorkerKey};

/// The place of a job among the held cells. After its cell has left, the place
/// may be another job's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Loc {
    pub(super) cell: u32,
    pub(super) place: u32,
}

impl Loc {
    /// The one before all others.
    pub(crate) const FIRST: Self = Self { cell: 0, place: 0 };

    /// The job's replicate: the jobs of a cell are in the order of their
    /// replicates, from 1.
    pub(super) const fn replicate(self) -> Replicate {
        Replicate(self.place + 1)
    }
}

/// What kind of worker a job needs; the kinds are numbered as they appear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Need(pub(super) u32);

/// A cell with all of its jobs.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) key: CellKey,
    pub(super) digest: CellDigest,
    pub(super) need: Need,
    /// The sweeps that have the cell, in order of submission, and how many of
    /// its replicates each holds.
    pub(super) holders: Vec<(SweepKey, u32)>,
    pub(super) jobs: Vec<Entry>,
    /// How many of its jobs are not final.
    pub(super) open: u32,
    /// Whether the cell may leave at the end of the batch.
    pub(super) touched: bool,
}

impl Cell {
    /// The sweeps that hold the job in this place.
    pub(super) fn holders_of(&self, place: u32) -> impl Iterator<Item = SweepKey> {
        let holding = self.holders.iter().filter(move |(_, held)| *held > place);
        holding.map(|(sweep, _)| *sweep)
    }

    /// How many replicates of the cell a sweep holds.
    pub(super) fn held_by(&self, sweep: SweepKey) -> u32 {
        let found = self.holders.iter().find(|(holder, _)| *holder == sweep);
        found.map_or(0, |(_, held)| *held)
    }
}

/// A job.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: JobKey,
    pub(super) digest: JobDigest,
    pub(super) life: Life,
    pub(super) filed: Filed,
    /// Whether the job changed since the last commit.
    pub(super) changed: bool,
}

/// What has become of a job.
#[derive(Debug)]
pub(super) enum Life {
    /// It has waited since this time and was never granted.
    Fresh(Timestamp),
    /// Any other job.
    Lived(Box<Lived>),
}

/// A job that was granted or changed.
#[derive(Debug)]
pub(super) struct Lived {
    pub(super) job: Job,
    /// The worker of `job.owner`.
    pub(super) worker: Option<WorkerKey>,
    /// Where its newest attempt was granted to run.
    pub(super) placement: Option<Placement>,
    /// How many heartbeats in a row did not mention its lease.
    pub(super) unmentioned: u32,
    /// The last recorded fault, and the attempt that it ended.
    pub(super) fault: Option<(Attempt, LastFault)>,
    pub(super) ended_at: Option<Timestamp>,
    /// The outcomes of its attempts.
    pub(super) outcomes: Vec<Recorded>,
}

/// A note that an attempt has brought an outcome.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Recorded {
    pub(super) attempt: Attempt,
    /// The worker that got the grant.
    pub(super) worker: WorkerName,
    /// None once it was thrown away.
    pub(super) outcome: Option<OutcomeKey>,
}

/// Tells outcomes apart without storing them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OutcomeKey([u8; 16]);

impl OutcomeKey {
    pub(super) fn of(outcome: &Outcome) -> Self {
        // Outcomes as text are exact, and they always have a text.
        let text = serde_json::to_vec(outcome).unwrap_or_default();
        let mut key = [0; 16];
        key.copy_from_slice(&blake3::hash(&text).as_bytes()[..16]);
        Self(key)
    }
}

/// Where the indexes contain a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filed {
    /// Nowhere: it is final, or it waits and no sweep needs it now.
    Nowhere,
    /// Among the jobs to grant.
    Queue(Urgency),
    /// Among the jobs to grant from this time on.
    Backoff(Timestamp),
    /// Among the leases of this worker, until this time, with so many slots.
    Lease(Timestamp, WorkerKey, u16),
}

impl Filed {
    /// The worker that has its lease.
    pub(super) const fn worker(self) -> Option<WorkerKey> {
        match self {
            Self::Lease(_, worker, _) => Some(worker),
            Self::Nowhere | Self::Queue(_) | Self::Backoff(_) => None,
        }
    }
}

impl Entry {
    pub(super) const fn fresh(key: JobKey, digest: JobDigest, since: Timestamp) -> Self {
        Self {
            key,
            digest,
            life: Life::Fresh(since),
            filed: Filed::Nowhere,
            changed: false,
        }
    }

    pub(super) fn lived(&self) -> Option<&Lived> {
        match &self.life {
            Life::Fresh(_) => None,
            Life::Lived(lived) => Some(lived),
        }
    }

    pub(super) fn lived_mut(&mut self) -> &mut Lived {
        if let Life::Fresh(since) = self.life {
            self.life = Life::Lived(Box::new(Lived::new(since)));
        }
        match &mut self.life {
            Life::Lived(lived) => lived,
            Life::Fresh(_) => unreachable!("it was replaced above"),
        }
    }

    pub(super) fn state_name(&self) -> StateName {
        self.lived()
            .map_or(StateName::Queued, |lived| lived.job.state_name())
    }

    /// Its state, and why it failed if it did.
    pub(super) fn standing(&self) -> (StateName, Option<Fault>) {
        let fault = match self.lived().map(|lived| &lived.job.state) {
            Some(State::Failed(fault)) => Some(*fault),
            _ => None,
        };
        (self.state_name(), fault)
    }

    /// Whether its worker is told to stop it.
    pub(super) fn stopping(&self) -> bool {
        self.lived().is_some_and(|lived| lived.job.stopping())
    }

    pub(super) fn fault(&self) -> Option<&LastFault> {
        let (_, fault) = self.lived()?.fault.as_ref()?;
        Some(fault)
    }

    /// Whether the outcome of an attempt was thrown away.
    pub(super) fn is_dropped(&self, attempt: Attempt) -> bool {
        let outcomes = self.lived().map_or(&[][..], |it| &it.outcomes);
        let mut dropped = outcomes.iter().filter(|it| it.outcome.is_none());
        dropped.any(|it| it.attempt == attempt)
    }

    /// Applies [`Job::apply`].
    pub(super) fn apply(
        &mut self,
        event: &Event<'_>,
        now: Timestamp,
        policy: &Policy,
    ) -> Result<Applied, Refusal> {
        match &mut self.life {
            Life::Lived(lived) => lived.job.apply(event, now, policy),
            Life::Fresh(since) => {
                let mut lived = Lived::new(*since);
                let applied = lived.job.apply(event, now, policy)?;
                if applied == Applied::Changed {
                    self.life = Life::Lived(Box::new(lived));
                }
                Ok(applied)
            }
        }
    }

    /// The row to store for it; none if the job is still as it was created.
    pub(super) fn row(&self) -> Option<JobRow> {
        let lived = self.lived()?;
        Some(JobRow {
            key: self.key,
            job: lived.job.clone(),
            worker: lived.worker,
            placement: lived.placement.clone(),
            unmentioned: lived.unmentioned,
            faulted: lived.fault.as_ref().map(|(attempt, _)| *attempt),
            ended_at: lived.ended_at,
        })
    }
}

impl Lived {
    /// How many slots its newest attempt was granted.
    pub(super) fn slots(&self) -> u16 {
        let slots = self.placement.as_ref().map_or(1, Placement::count);
        slots as u16
    }

    const fn new(since: Timestamp) -> Self {
        Self {
            job: Job::new(since),
            worker: None,
            placement: None,
            unmentioned: 0,
            fault: None,
            ended_at: None,
            outcomes: Vec::new(),
        }
    }
}
