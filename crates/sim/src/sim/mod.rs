//! The loop: one queue of events in virtual time.

mod centre;
mod site;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use swath_agent::{ChildId, End, Entry};
use swath_core::job::StateName;
use swath_core::policy::Policy;
use swath_store::Names;

use crate::Faults;
use crate::cells::{Plan, sweeps};
use crate::chance::Chance;
use crate::chaos::{self, Deed, Mishap};
use crate::coordinator::{Coordinator, Purpose, at_once};
use crate::disk::Trouble;
use crate::history::History;
use crate::machine::Machine;
use crate::network::{Address, Answer, Request};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// How long everything goes wrong.
const CHAOS: u64 = 30 * MINUTE;

/// How long it may take from then on until every job is final.
const CALM: u64 = 12 * HOUR;

/// What a failure shows of what happened before it.
const REMEMBERED: usize = 80;

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Events that happened.
    pub steps: u64,
    /// Digest of what happened when, and of the rows at the end: equal for
    /// equal runs.
    pub trace: u64,
    /// Attempts that were granted.
    pub attempts: u64,
    /// Executions of jobs on slots.
    pub executions: u64,
    /// Jobs that were measured.
    pub succeeded: u64,
    /// Every job.
    pub jobs: u64,
    /// Jobs that end without a slot.
    pub slotless: u64,
    /// Lives of the coordinator.
    pub lives: u64,
    /// Commits.
    pub commits: u64,
    /// Replicates that results asked for.
    pub decided: u64,
    /// When the last job became final, in milliseconds after calm set in.
    pub settled_after_ms: u64,
}

/// A run that broke a law.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its seed, which replays it.
    pub seed: u64,
    /// When, in virtual milliseconds.
    pub at: u64,
    /// Which law, and where.
    pub broken: String,
    /// What happened last.
    pub last: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.last {
            writeln!(f, "{line}")?;
        }
        write!(f, "seed {} at {} ms: {}", self.seed, self.at, self.broken)
    }
}

impl std::error::Error for Failure {}

/// What happens to one life of a worker's process.
#[derive(Clone, Debug)]
enum Happening {
    Answered(Answer),
    /// No answer has come by the deadline.
    Late(Address),
    /// A child does something, for this execution if it works on one.
    Child {
        child: ChildId,
        execution: Option<usize>,
        does: Doing,
    },
    /// Outcomes are on the disk, or not.
    Written {
        entries: Vec<Entry>,
        fails: bool,
    },
    /// Nothing: it looks at the clock.
    Look,
    /// It is told to end.
    Signal,
}

/// What a child does.
#[derive(Clone, Debug)]
enum Doing {
    Says(String),
    Ends(End),
}

#[derive(Clone, Debug)]
enum Event {
    /// To a worker's process.
    Happens {
        worker: usize,
        life: u32,
        what: Happening,
    },
    Starts(usize),
    Thaws(usize),
    /// At the coordinator.
    Arrives(Request),
    HangsUp(Address),
    WaitEnds(u64),
    Turn,
    Sweep,
    /// Beside the regular ones.
    SweepOnce,
    CoordinatorStarts,
    GhostGoesOn,
    StoreComesBack,
    Mishap,
    Soothe,
}

struct Sim {
    seed: u64,
    chance: Chance,
    faults: Faults,
    /// Whether the engine loads everything again at each turn.
    forgetful: bool,
    at: u64,
    queue: BTreeMap<(u64, u64), Event>,
    queued: u64,
    plan: Plan,
    coordinator: Coordinator,
    /// The coordinator stands still until then.
    stalled_until: u64,
    turns: bool,
    machines: Vec<Machine>,
    history: History,
    /// Commits when the rows were last looked at.
    seen: u64,
    last: VecDeque<(u64, Line)>,
    steps: u64,
    trace: u64,
}

/// Something that happened; text only when a failure shows it.
enum Line {
    Event(Box<Event>),
    Said(String),
}

/// Runs one seed under these faults.
///
/// # Errors
///
/// The law that was broken, with what happened before.
pub fn run(seed: u64, faults: &Faults) -> Result<Report, Failure> {
    Sim::new(seed, faults.clone(), false).run()
}

/// Runs one seed with an engine that forgets everything at each turn and loads
/// it again: nobody may notice, so the report is that of [`run`].
///
/// # Errors
///
/// As [`run`].
pub fn run_forgetful(seed: u64, faults: &Faults) -> Result<Report, Failure> {
    Sim::new(seed, faults.clone(), true).run()
}

impl Sim {
    fn new(seed: u64, faults: Faults, forgetful: bool) -> Self {
        let mut chance = Chance::new(seed);
        let machines = (0..chance.within(2..5))
            .filter_map(|place| Machine::new(&mut chance, place))
            .collect();
        let policy = Policy {
            attempts_max: 12,
            ..Policy::default()
        };
        Self {
            seed,
            chance,
            faults,
            forgetful,
            at: 0,
            queue: BTreeMap::new(),
            queued: 0,
            plan: Plan::new(),
            coordinator: Coordinator::new(policy),
            stalled_until: 0,
            turns: false,
            machines,
            history: History::default(),
            seen: 0,
            last: VecDeque::new(),
            steps: 0,
            trace: 0,
        }
    }

    fn run(mut self) -> Result<Report, Failure> {
        self.begin();
        self.until(CHAOS, false)?;
        self.calm();
        let settled = self.until(CHAOS + CALM, true)?;
        self.report(settled)
    }

    fn begin(&mut self) {
        self.coordinator.start(0);
        for sweep in sweeps() {
            self.errand(Purpose::Deed(Deed::Submit(Box::new(sweep))));
        }
        for worker in 0..self.machines.len() {
            let after = self.chance.within(0..MINUTE);
            self.after(after, Event::Starts(worker));
        }
        self.after(SECOND, Event::Sweep);
        self.after(10 * SECOND, Event::Mishap);
    }

    /// From now on, nothing goes wrong any more.
    fn calm(&mut self) {
        self.faults = Faults::none();
        self.note("calm".to_owned());
        self.stalled_until = 0;
        self.coordinator.disk.trouble(None);
        for worker in 0..self.machines.len() {
            self.machines[worker].frozen_until = None;
            self.after(0, Event::Starts(worker));
        }
        self.after(0, Event::CoordinatorStarts);
        self.after(SECOND, Event::Soothe);
    }

    fn after(&mut self, delay: u64, event: Event) {
        self.queued += 1;
        self.queue.insert((self.at + delay, self.queued), event);
    }

    /// Runs to a moment, or until everything is over; that must come before
    /// the moment then.
    fn until(&mut self, end: u64, to_the_end: bool) -> Result<u64, Failure> {
        while let Some(((at, _), event)) = self.queue.pop_first() {
            if at > end {
                self.queued += 1;
                self.queue.insert((at, self.queued), event);
                self.at = end;
                break;
            }
            self.at = at;
            self.coordinator.pass(at);
            self.steps += 1;
            let sweeps = matches!(event, Event::Sweep);
            self.happens(event)?;
            if to_the_end && sweeps && self.is_over() {
                return Ok(at);
            }
        }
        if to_the_end {
            let what = "I5: not every job became final in time";
            return Err(self.failure(what.to_owned()));
        }
        Ok(end)
    }

    fn is_over(&self) -> bool {
        self.history.is_over() && !self.is_due() && self.machines.iter().all(Machine::is_idle)
    }

    /// Whether results ask for more replicates, or have yet to say that they do
    /// not.
    fn is_due(&self) -> bool {
        let sweeps = at_once(swath_store::Store::sweeps(self.coordinator.disk.rows()));
        sweeps.unwrap_or_default().iter().any(|sweep| {
            let open = sweep.replication.is_some_and(|it| it.settled.is_none());
            open && sweep.state == swath_core::view::SweepState::Active
        })
    }

    fn happens(&mut self, event: Event) -> Result<(), Failure> {
        if self.waits(&event) {
            return Ok(());
        }
        self.mark(&event);
        if !matches!(
            event,
            Event::Happens {
                what: Happening::Look,
                ..
            }
        ) {
            self.remember(Line::Event(Box::new(event.clone())));
        }
        match event {
            Event::Happens { worker, life, what } => self.at_worker(worker, life, what),
            Event::Starts(worker) => self.starts(worker),
            Event::Thaws(worker) => {
                let frozen = &mut self.machines[worker].frozen_until;
                // It may have been frozen again meanwhile, for longer.
                if frozen.is_some_and(|until| until <= self.at) {
                    *frozen = None;
                }
                Ok(())
            }
            Event::Mishap => {
                self.mishap();
                Ok(())
            }
            Event::Soothe => {
                self.after(5 * MINUTE, Event::Soothe);
                let workers: Vec<_> = self.machines.iter().map(|it| it.name.clone()).collect();
                for deed in chaos::soothe(&workers) {
                    self.errand(Purpose::Deed(deed));
                }
                Ok(())
            }
            other => self.at_coordinator(other),
        }
    }

    /// What happens to somebody who is frozen happens when he thaws.
    fn waits(&mut self, event: &Event) -> bool {
        let until = match event {
            Event::Happens { worker, .. } => self.machines[*worker].frozen_until,
            Event::Arrives(_)
            | Event::HangsUp(_)
            | Event::WaitEnds(_)
            | Event::Turn
            | Event::Sweep
            | Event::SweepOnce => Some(self.stalled_until),
            _ => None,
        };
        let Some(until) = until.filter(|until| *until > self.at) else {
            return false;
        };
        let delay = until + 1 - self.at;
        self.after(delay, event.clone());
        true
    }

    /// Something goes wrong.
    fn mishap(&mut self) {
        let next = self.chance.within(5 * SECOND..2 * MINUTE);
        let Some(mishap) = chaos::mishap(&mut self.chance, &self.faults) else {
            return;
        };
        self.after(next, Event::Mishap);
        let place = self.chance.within(0..self.machines.len() as u64) as usize;
        self.note(format!("{mishap:?}"));
        match mishap {
            Mishap::Crash => {
                let down = self.chance.within(SECOND..10 * MINUTE);
                let synced = self.chance.happens(0.5);
                self.ends(place, synced, down);
            }
            Mishap::Freeze => {
                let frozen = self.chance.within(5 * SECOND..12 * MINUTE);
                let until = self.machines[place].frozen_until;
                let until = until.max(Some(self.at + frozen));
                self.machines[place].frozen_until = until;
                self.after(frozen, Event::Thaws(place));
            }
            Mishap::Signal => {
                let life = self.machines[place].life;
                let what = Happening::Signal;
                let worker = place;
                self.after(0, Event::Happens { worker, life, what });
            }
            Mishap::Operator => {
                let workers: Vec<_> = self.machines.iter().map(|it| it.name.clone()).collect();
                let jobs = self.history.known();
                let deed = chaos::meddle(&mut self.chance, &workers, &jobs);
                self.errand(Purpose::Deed(deed));
            }
            Mishap::Away => {
                let away = self.chance.within(SECOND..5 * MINUTE);
                self.coordinator.disk.trouble(Some(Trouble::Away));
                self.after(away, Event::StoreComesBack);
            }
            Mishap::Outage | Mishap::Stall | Mishap::Takeover | Mishap::Jump => {
                self.befalls_coordinator(mishap);
            }
        }
    }

    fn note(&mut self, what: String) {
        self.remember(Line::Said(what));
    }

    fn remember(&mut self, line: Line) {
        if self.last.len() == REMEMBERED {
            self.last.pop_front();
        }
        self.last.push_back((self.at, line));
    }

    /// Takes an event into the trace.
    fn mark(&mut self, event: &Event) {
        let kind = match event {
            Event::Happens { worker, what, .. } => match what {
                Happening::Answered(answer) => 100 + answer.to.call.0,
                Happening::Late(_) => 1,
                Happening::Child { child, .. } => 1000 + child.0,
                Happening::Written { entries, .. } => 2000 + entries.len() as u64,
                Happening::Look => 2,
                Happening::Signal => 3 + *worker as u64,
            },
            Event::Starts(_) | Event::Thaws(_) => 10,
            Event::Arrives(request) => 3000 + request.from.call.0,
            Event::HangsUp(_) | Event::WaitEnds(_) => 11,
            _ => 12,
        };
        for number in [self.at, kind] {
            self.trace = fold(self.trace, number);
        }
    }

    fn failure(&self, broken: String) -> Failure {
        let show = |(at, line): &(u64, Line)| match line {
            Line::Event(event) => format!("{at:>9} {event:?}"),
            Line::Said(what) => format!("{at:>9} {what}"),
        };
        Failure {
            seed: self.seed,
            at: self.at,
            broken,
            last: self.last.iter().map(show).collect(),
        }
    }

    fn report(&self, settled: u64) -> Result<Report, Failure> {
        let disk = &self.coordinator.disk;
        let ended = self.history.end(&self.plan, disk);
        ended.map_err(|broken| self.failure(broken))?;
        let cells = self.plan.cells.clone();
        let cells = self.coordinator.stored(&Names {
            cells,
            ..Names::default()
        });
        let start = at_once(swath_store::Store::start(disk.rows()));
        let whole = format!("{start:?} {cells:?}");
        let jobs = cells.iter().flat_map(|cell| &cell.jobs);
        let succeeded = jobs
            .clone()
            .filter(|it| it.job.state_name() == StateName::Succeeded);
        let sweeps = start.map(|it| it.sweeps).unwrap_or_default();
        let decided = sweeps.iter().filter_map(|sweep| sweep.replication);
        Ok(Report {
            steps: self.steps,
            trace: whole
                .bytes()
                .fold(self.trace, |digest, byte| fold(digest, u64::from(byte))),
            attempts: jobs.clone().map(|it| u64::from(it.job.attempt.0)).sum(),
            executions: self.history.executions.len() as u64,
            succeeded: succeeded.count() as u64,
            jobs: jobs.clone().count() as u64,
            slotless: jobs.filter(|it| self.plan.is_null(it.digest)).count() as u64,
            lives: u64::from(self.coordinator.lives),
            commits: disk.commits(),
            decided: decided.map(|it| it.seeds).sum(),
            settled_after_ms: settled.saturating_sub(CHAOS),
        })
    }
}

/// FNV-1a, by word: the same on every machine.
const fn fold(digest: u64, number: u64) -> u64 {
    (digest ^ number).wrapping_mul(0x0100_0000_01b3)
}
