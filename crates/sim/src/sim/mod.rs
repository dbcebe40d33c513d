//! The loop: one queue of events in virtual time.

mod centre;
mod mishaps;
mod report;
mod site;

use std::collections::{BTreeMap, VecDeque};

use swath_agent::{ChildId, End, Entry};
use swath_model::policy::Policy;
use swath_store::Store;

pub use self::report::{Failure, Report};
use crate::Faults;
use crate::cells::{Plan, sweeps};
use crate::chance::Chance;
use crate::chaos::{self, Deed};
use crate::coordinator::{Coordinator, Purpose, at_once};
use crate::disk::fold;
use crate::history::History;
use crate::machine::Machine;
use crate::network::{Address, Answer, Request};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// How long things go wrong.
const CHAOS: u64 = 30 * MINUTE;

/// How long it may then take until every job is final.
const CALM: u64 = 12 * HOUR;

/// How many past events a failure shows.
const REMEMBERED: usize = 80;

/// What can happen to one life of a worker's process.
#[derive(Clone, Debug)]
enum Happening {
    Answered(Answer),
    /// No answer to this call came by the deadline.
    Late(Address),
    /// A child does something, for this execution if it works on one.
    Child {
        child: ChildId,
        execution: Option<usize>,
        does: Doing,
    },
    /// Outcomes were written to the disk, or could not be.
    Written {
        entries: Vec<Entry>,
        fails: bool,
    },
    /// The process looks at the clock; nothing else happens.
    Look,
    /// The process is told to end.
    Signal,
}

/// What a child can do.
#[derive(Clone, Debug)]
enum Doing {
    Says(String),
    Ends(End),
}

/// A process that can freeze.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Worker(usize),
    Coordinator,
}

#[derive(Clone, Debug)]
enum Event {
    /// Something happens to a worker's process.
    Happens {
        worker: usize,
        life: u32,
        what: Happening,
    },
    Starts(usize),
    /// A frozen process continues.
    Thaws(Who),
    /// A request arrives at the coordinator.
    Arrives(Request),
    HangsUp(Address),
    WaitEnds(u64),
    Turn,
    Sweep,
    /// One pass of the sweeper besides the regular ones.
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
    /// The frozen processes: until when, and what happens to each then, in
    /// order.
    frozen: BTreeMap<Who, (u64, Vec<Event>)>,
    /// Whether the engine is about to take a turn.
    turns: bool,
    machines: Vec<Machine>,
    history: History,
    /// The number of commits when the rows were last checked.
    seen: u64,
    last: VecDeque<(u64, Line)>,
    steps: u64,
    /// How many children were started on several devices.
    several: u64,
    /// How often a host turned out to lack something of a job.
    lacking: u64,
    trace: u64,
}

/// Something that happened; it is formatted only when a failure shows it.
enum Line {
    Event(Box<Event>),
    Said(String),
}

/// Runs one seed under these faults.
///
/// # Errors
///
/// The law that was broken, with the events before it.
pub fn run(seed: u64, faults: &Faults) -> Result<Report, Failure> {
    Sim::new(seed, faults.clone(), false).run()
}

/// Runs one seed with an engine that forgets everything at each turn and loads
/// it again. Nobody may notice, so the report is that of [`run`].
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
            .filter_map(|place| Machine::new(&mut chance, place, faults.lacking))
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
            frozen: BTreeMap::new(),
            turns: false,
            machines,
            history: History::default(),
            seen: 0,
            last: VecDeque::new(),
            steps: 0,
            several: 0,
            lacking: 0,
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

    /// Stops everything that goes wrong.
    fn calm(&mut self) {
        self.faults = Faults::none();
        self.note("calm".to_owned());
        for who in self.frozen.keys().copied().collect::<Vec<_>>() {
            self.thaw(who);
        }
        self.coordinator.disk.trouble(None);
        for worker in 0..self.machines.len() {
            self.after(0, Event::Starts(worker));
        }
        self.after(0, Event::CoordinatorStarts);
        self.after(SECOND, Event::Soothe);
    }

    fn after(&mut self, delay: u64, event: Event) {
        self.queued += 1;
        self.queue.insert((self.at + delay, self.queued), event);
    }

    /// Runs to a moment, or with `to_the_end` until everything is over, which
    /// must then come before that moment.
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

    /// Whether results ask for more replicates, or have not yet been looked at.
    fn is_due(&self) -> bool {
        let sweeps = at_once(self.coordinator.disk.rows().sweeps());
        sweeps.unwrap_or_default().iter().any(|sweep| {
            let open = sweep.replication.is_some_and(|it| it.settled.is_none());
            open && sweep.state == swath_model::view::SweepState::Active
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
            Event::Thaws(who) => {
                // It may have been frozen again meanwhile, for longer.
                let frozen = self.frozen.get(&who);
                if frozen.is_some_and(|(until, _)| *until <= self.at) {
                    self.thaw(who);
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

    /// Postpones what happens to a frozen process until it thaws.
    fn waits(&mut self, event: &Event) -> bool {
        let who = match event {
            Event::Happens { worker, .. } => Who::Worker(*worker),
            Event::Arrives(_)
            | Event::HangsUp(_)
            | Event::WaitEnds(_)
            | Event::Turn
            | Event::Sweep
            | Event::SweepOnce => Who::Coordinator,
            _ => return false,
        };
        let Some((_, waiting)) = self.frozen.get_mut(&who) else {
            return false;
        };
        waiting.push(event.clone());
        true
    }

    fn freeze(&mut self, who: Who, time: u64) {
        let frozen = self.frozen.entry(who).or_default();
        frozen.0 = frozen.0.max(self.at + time);
        self.after(time, Event::Thaws(who));
    }

    fn thaw(&mut self, who: Who) {
        let (_, waiting) = self.frozen.remove(&who).unwrap_or_default();
        for event in waiting {
            self.after(0, event);
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

    /// Adds an event to the trace.
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
}
