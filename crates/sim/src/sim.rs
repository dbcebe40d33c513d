//! The loop: one queue of events in virtual time.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use swath_core::job::StateName;
use swath_core::ledger::LedgerError;
use swath_core::message::Held;
use swath_core::outcome::{Fault, Measurement, Outcome};
use swath_core::policy::Policy;

use crate::Faults;
use crate::chance::Chance;
use crate::chaos::{self, Mishap};
use crate::coordinator::Coordinator;
use crate::history::History;
use crate::network::{Answer, Reply, Request, arrivals};
use crate::worker::{Wants, Worker, measurement};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// How long everything goes wrong.
const CHAOS: u64 = 30 * MINUTE;

/// How long it may take from then on until every job is final.
const CALM: u64 = 12 * HOUR;

/// Between two looks of a worker for something to say.
const POLL: u64 = 5 * SECOND;

/// What a failure shows of what happened before it.
const REMEMBERED: usize = 60;

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Events that happened.
    pub steps: u64,
    /// Digest of their times and of the ledger at the end: equal for equal
    /// runs.
    pub trace: u64,
    /// Attempts that were granted.
    pub attempts: u64,
    /// Jobs that were measured.
    pub succeeded: u64,
    /// Every job.
    pub jobs: u64,
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

#[derive(Clone, Debug)]
enum Event {
    Arrives(Request),
    Answered(Reply),
    Beat(usize),
    Poll(usize),
    Trained {
        worker: usize,
        life: u32,
        held: Held,
    },
    Starts(usize),
    Thaws(usize),
    Sweep,
    CoordinatorStarts,
    Mishap,
    Soothe,
}

/// Something that happened; text only when a failure shows it.
enum Line {
    Event(Event),
    Answer(Result<Answer, LedgerError>),
    Said(String),
}

struct Sim {
    seed: u64,
    chance: Chance,
    faults: Faults,
    at: u64,
    queue: BTreeMap<(u64, u64), Event>,
    queued: u64,
    coordinator: Coordinator,
    workers: Vec<Worker>,
    history: History,
    last: VecDeque<(u64, Line)>,
    steps: u64,
    trace: u64,
}

/// Runs one seed under these faults.
///
/// # Errors
///
/// The law that was broken, with what happened before.
pub fn run(seed: u64, faults: &Faults) -> Result<Report, Failure> {
    let mut sim = Sim::new(seed, faults.clone());
    sim.begin();
    sim.until(CHAOS, false)?;
    sim.calm();
    let settled = sim.until(CHAOS + CALM, true)?;
    sim.report(settled)
}

impl Sim {
    fn new(seed: u64, faults: Faults) -> Self {
        let mut chance = Chance::new(seed);
        let workers = (0..chance.within(2..5))
            .filter_map(|place| {
                let name = format!("w{place}").parse().ok()?;
                Some(Worker::new(name, chance.within(1..4) as usize))
            })
            .collect();
        let policy = Policy {
            attempts_max: 12,
            ..Policy::default()
        };
        Self {
            seed,
            chance,
            faults,
            at: 0,
            queue: BTreeMap::new(),
            queued: 0,
            coordinator: Coordinator::new(policy),
            workers,
            history: History::default(),
            last: VecDeque::new(),
            steps: 0,
            trace: 0,
        }
    }

    fn begin(&mut self) {
        self.coordinator.start(0);
        let now = self.coordinator.now(0);
        for sweep in chaos::sweeps() {
            // They are new and their cells are objects: nothing to refuse.
            let _submitted = self.coordinator.ledger.submit(now, sweep);
        }
        for worker in 0..self.workers.len() {
            let after = self.chance.within(0..MINUTE);
            self.after(after, Event::Starts(worker));
            self.after(after + 1, Event::Poll(worker));
            self.after(after + 2, Event::Beat(worker));
        }
        self.after(SECOND, Event::Sweep);
        self.after(10 * SECOND, Event::Mishap);
    }

    /// From now on, nothing goes wrong any more.
    fn calm(&mut self) {
        self.faults = Faults::none();
        self.note(Line::Said("calm".to_owned()));
        for worker in 0..self.workers.len() {
            self.after(0, Event::Thaws(worker));
            self.after(0, Event::Starts(worker));
        }
        self.after(0, Event::CoordinatorStarts);
        self.after(SECOND, Event::Soothe);
    }

    fn after(&mut self, delay: u64, event: Event) {
        self.queued += 1;
        self.queue.insert((self.at + delay, self.queued), event);
    }

    /// Runs to a moment, or until every job is final and every worker idle;
    /// that must come before the moment then.
    fn until(&mut self, end: u64, to_the_end: bool) -> Result<u64, Failure> {
        while let Some(((at, _), event)) = self.queue.pop_first() {
            if at > end {
                self.after(at - self.at, event);
                break;
            }
            self.at = at;
            self.step(event)?;
            if to_the_end && self.is_over() {
                return Ok(at);
            }
        }
        if to_the_end {
            let open: Vec<_> = self
                .coordinator
                .ledger
                .states()
                .filter(|(_, job)| !job.state_name().is_final())
                .collect();
            let open = format!("I5: still open: {open:?}\n{:?}", self.workers);
            return Err(self.failure(open));
        }
        Ok(self.at)
    }

    fn is_over(&self) -> bool {
        self.coordinator.ledger.is_done() && self.workers.iter().all(Worker::is_idle)
    }

    fn step(&mut self, event: Event) -> Result<(), Failure> {
        self.steps += 1;
        self.mark(self.at);
        self.mark(self.queued);
        self.note(Line::Event(event.clone()));
        let meddled = match event {
            Event::Arrives(request) => {
                self.arrives(request)?;
                false
            }
            Event::Answered(reply) => {
                self.answered(reply);
                return Ok(());
            }
            Event::Beat(worker) => {
                let within = self.chance.within(8 * SECOND..12 * SECOND);
                self.after(within, Event::Beat(worker));
                self.act(worker, |worker, _| worker.beat());
                return Ok(());
            }
            Event::Poll(worker) => {
                self.after(POLL, Event::Poll(worker));
                self.act(worker, Worker::poll);
                return Ok(());
            }
            Event::Sweep => {
                self.sweep();
                false
            }
            Event::CoordinatorStarts => {
                self.coordinator.start(self.at);
                false
            }
            Event::Mishap => self.mishap(),
            Event::Soothe => {
                self.after(5 * MINUTE, Event::Soothe);
                let now = self.coordinator.now(self.at);
                chaos::soothe(&mut self.coordinator.ledger, &self.workers, now);
                true
            }
            other => {
                self.machine(&other);
                return Ok(());
            }
        };
        let checked = self.history.check(&self.coordinator.ledger, meddled);
        checked.map_err(|broken| self.failure(broken))
    }

    /// What befalls a worker's machine.
    fn machine(&mut self, event: &Event) {
        match *event {
            Event::Trained { worker, life, held } => self.trained(worker, life, held),
            Event::Starts(worker) if !self.workers[worker].up => {
                self.workers[worker].start();
                self.act(worker, Worker::poll);
            }
            Event::Thaws(worker) => {
                let frozen = &mut self.workers[worker].frozen_until;
                // It may have been frozen again meanwhile, for longer.
                if self.faults.freeze == 0 || frozen.is_some_and(|until| until <= self.at) {
                    *frozen = None;
                }
            }
            _ => {}
        }
    }

    fn sweep(&mut self) {
        let every = self.coordinator.ledger.policy().sweeper_ms;
        self.after(every, Event::Sweep);
        if self.coordinator.up {
            let did = self.coordinator.sweep(self.at);
            self.note(Line::Said(did.to_owned()));
        }
    }

    /// A call reaches the coordinator; its answer goes back.
    fn arrives(&mut self, request: Request) -> Result<(), Failure> {
        if !self.coordinator.up {
            return Ok(());
        }
        let body = self.coordinator.answer(self.at, request.body);
        self.note(Line::Answer(body.clone()));
        if let Ok(Answer::Exchanged(asked, exchanged)) = &body {
            let noted = self.history.exchange(asked, exchanged);
            noted.map_err(|broken| self.failure(broken))?;
        }
        let reply = Reply {
            worker: request.worker,
            life: request.life,
            call: request.call,
            body,
        };
        for delay in arrivals(&mut self.chance, &self.faults) {
            self.after(delay, Event::Answered(reply.clone()));
        }
        Ok(())
    }

    fn answered(&mut self, reply: Reply) {
        let worker = &self.workers[reply.worker];
        if !worker.up || worker.life != reply.life {
            return;
        }
        if let Some(until) = worker.frozen_until {
            let thawed = (until + 1).saturating_sub(self.at);
            self.after(thawed, Event::Answered(reply));
            return;
        }
        let place = reply.worker;
        self.act(place, |worker, _| worker.hear(reply));
    }

    /// Lets a worker act, unless it is down or frozen.
    fn act(&mut self, place: usize, act: impl FnOnce(&mut Worker, u64) -> Wants) {
        let at = self.at;
        let worker = &mut self.workers[place];
        if !worker.up || worker.frozen_until.is_some() {
            return;
        }
        let wants = act(worker, at);
        let life = worker.life;
        for (call, body) in wants.calls {
            let request = Request {
                worker: place,
                life,
                call,
                body,
            };
            for delay in arrivals(&mut self.chance, &self.faults) {
                self.after(delay, Event::Arrives(request.clone()));
            }
        }
        for held in wants.begun {
            let takes = self.chance.within(5 * SECOND..8 * MINUTE);
            let worker = place;
            self.after(takes, Event::Trained { worker, life, held });
        }
    }

    fn trained(&mut self, place: usize, life: u32, held: Held) {
        let worker = &self.workers[place];
        if !worker.up || worker.life != life {
            return;
        }
        if let Some(until) = worker.frozen_until {
            let thawed = (until + 1).saturating_sub(self.at);
            let worker = place;
            self.after(thawed, Event::Trained { worker, life, held });
            return;
        }
        let outcome = self.outcome(held);
        self.workers[place].finish(held, outcome);
        self.act(place, Worker::poll);
    }

    fn outcome(&mut self, held: Held) -> Outcome {
        if !self.chance.happens(self.faults.failing) {
            return measurement(held);
        }
        if self.chance.happens(0.1) {
            return Outcome::Measured(Measurement {
                test_error: f64::INFINITY,
                test_loss: None,
                best_test_error: None,
                train_seconds: 1.0,
                metrics: swath_core::metrics::Metrics::new(),
                weights: None,
            });
        }
        let message = *self.chance.one_of(&["no data", "signal 9", "out of luck"]);
        Outcome::Failed {
            fault: *self.chance.one_of(&Fault::ALL),
            message: message.to_owned(),
        }
    }

    /// Something goes wrong. Says whether an operator did it.
    fn mishap(&mut self) -> bool {
        let next = self.chance.within(5 * SECOND..2 * MINUTE);
        let Some(mishap) = chaos::mishap(&mut self.chance, &self.faults) else {
            return false;
        };
        self.after(next, Event::Mishap);
        let place = self.chance.within(0..self.workers.len() as u64) as usize;
        self.note(Line::Said(format!("{mishap:?}")));
        match mishap {
            Mishap::Crash => {
                let down = self.chance.within(SECOND..10 * MINUTE);
                self.workers[place].crash();
                self.after(down, Event::Starts(place));
            }
            Mishap::Freeze => {
                let frozen = self.chance.within(5 * SECOND..12 * MINUTE);
                let until = self.workers[place].frozen_until;
                let until = until.max(Some(self.at + frozen));
                self.workers[place].frozen_until = until;
                self.after(frozen, Event::Thaws(place));
            }
            Mishap::Outage => {
                let away = self.chance.within(SECOND..20 * MINUTE);
                self.coordinator.up = false;
                self.after(away, Event::CoordinatorStarts);
            }
            Mishap::Jump => {
                let by = self.chance.within(2 * MINUTE..6 * HOUR);
                self.coordinator.jump(by);
            }
            Mishap::Operator => {
                if self.coordinator.up {
                    let now = self.coordinator.now(self.at);
                    let ledger = &mut self.coordinator.ledger;
                    let did = chaos::meddle(&mut self.chance, ledger, &self.workers, now);
                    self.note(Line::Said(did));
                }
                return true;
            }
        }
        false
    }

    fn note(&mut self, what: Line) {
        if self.last.len() == REMEMBERED {
            self.last.pop_front();
        }
        self.last.push_back((self.at, what));
    }

    /// Takes a number into the trace.
    fn mark(&mut self, number: u64) {
        // FNV-1a, by word: the same on every machine.
        self.trace = (self.trace ^ number).wrapping_mul(0x0100_0000_01b3);
    }

    fn failure(&self, broken: String) -> Failure {
        let show = |(at, line): &(u64, Line)| match line {
            Line::Event(event) => format!("{at:>9} {event:?}"),
            Line::Answer(answer) => format!("{at:>9} -> {answer:?}"),
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
        let ledger = &self.coordinator.ledger;
        let ended = self.history.end(ledger);
        ended.map_err(|broken| self.failure(broken))?;
        let whole = format!("{ledger:?}");
        let digest = whole.bytes().fold(self.trace, |digest, byte| {
            (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let succeeded = |state: StateName| state == StateName::Succeeded;
        Ok(Report {
            steps: self.steps,
            trace: digest,
            attempts: ledger
                .states()
                .map(|(_, job)| u64::from(job.attempt.0))
                .sum(),
            succeeded: ledger
                .states()
                .filter(|(_, job)| succeeded(job.state_name()))
                .count() as u64,
            jobs: ledger.states().count() as u64,
            settled_after_ms: settled.saturating_sub(CHAOS),
        })
    }
}
