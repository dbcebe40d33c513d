//! What happens at the coordinator.

use std::time::Duration;

use swath_agent::{Call, CallError};
use swath_model::limits::EXCHANGE_WAIT_MAX;
use swath_store::{Names, Result as Answered, StoreError};

use super::{Event, Failure, Happening, SECOND, Sim};
use crate::coordinator::{Done, Purpose};
use crate::disk::Trouble;
use crate::network::{Answer, Request, arrivals};

impl Sim {
    pub(super) fn at_coordinator(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Arrives(request) => self.arrives(request),
            Event::HangsUp(from) => self.coordinator.hang_up(from),
            Event::WaitEnds(number) => {
                self.coordinator.end_wait(number);
                self.go_on()?;
            }
            Event::Turn => {
                self.turns = false;
                self.turn()?;
            }
            Event::Sweep => {
                let every = self.coordinator.policy().sweeper_ms;
                self.after(every, Event::Sweep);
                self.errand(Purpose::Sweep);
                self.errand(Purpose::Steer);
            }
            Event::CoordinatorStarts => {
                if !self.coordinator.is_up() && !self.coordinator.start(self.at) {
                    // Whatever supervises it tries again.
                    self.after(5 * SECOND, Event::CoordinatorStarts);
                }
                self.look(true)?;
            }
            Event::SweepOnce => self.errand(Purpose::Sweep),
            Event::GhostGoesOn => self.ghost_goes_on()?,
            Event::StoreComesBack => self.coordinator.disk.trouble(None),
            _ => {}
        }
        self.plan_turn();
        Ok(())
    }

    /// Begins something at the coordinator, if it is up.
    pub(super) fn errand(&mut self, purpose: Purpose) {
        self.coordinator.begin(purpose);
        // Its first step puts it in the engine's queue.
        let done = self.coordinator.go_on();
        debug_assert!(done.is_empty(), "without the engine: {done:?}");
        self.plan_turn();
    }

    fn arrives(&mut self, request: Request) {
        let wait = match &request.call {
            Call::Exchange { wait, .. } => (*wait).min(EXCHANGE_WAIT_MAX),
            _ => Duration::ZERO,
        };
        let number = self.coordinator.begin(Purpose::Call(request));
        let done = self.coordinator.go_on();
        debug_assert!(done.is_empty(), "without the engine: {done:?}");
        self.after(wait.as_millis() as u64, Event::WaitEnds(number));
    }

    /// Plans the engine's next turn soon, if something waits for it. A commit
    /// takes time, and calls gather meanwhile.
    fn plan_turn(&mut self) {
        if self.turns || !self.coordinator.waits() {
            return;
        }
        self.turns = true;
        let busy = if self.chance.happens(0.01) { 2_000 } else { 20 };
        let delay = self.chance.within(1..busy + 2);
        self.after(delay, Event::Turn);
    }

    /// The engine handles what waits: decides, commits, answers.
    fn turn(&mut self) -> Result<(), Failure> {
        let revives = self.coordinator.may_revive();
        if self.chance.happens(self.faults.refused) {
            let written = self.chance.happens(0.5);
            self.coordinator.disk.trouble_next(if written {
                Trouble::After
            } else {
                Trouble::Before
            });
        }
        if self.forgetful {
            self.coordinator.forget();
        }
        let done = self.coordinator.turn();
        self.coordinator.disk.calm_down();
        self.look(revives)?;
        self.answer(done)
    }

    fn go_on(&mut self) -> Result<(), Failure> {
        let done = self.coordinator.go_on();
        self.answer(done)
    }

    /// Checks everything if something was written.
    fn look(&mut self, revives: bool) -> Result<(), Failure> {
        if let Some(refused) = self.coordinator.disk.refused() {
            return Err(self.failure(refused));
        }
        let checked = self.coordinator.check();
        checked.map_err(|broken| self.failure(broken))?;
        let commits = self.coordinator.disk.commits();
        if commits == self.seen {
            return Ok(());
        }
        self.seen = commits;
        let cells = self.plan.cells.clone();
        let cells = self.coordinator.stored(&Names {
            cells,
            ..Names::default()
        });
        let checked = self.history.check(&cells, revives);
        checked.map_err(|broken| self.failure(broken))
    }

    /// Sends answers back to the callers.
    fn answer(&mut self, done: Vec<(Purpose, Done)>) -> Result<(), Failure> {
        for (purpose, done) in done {
            match (purpose, done) {
                (Purpose::Call(request), Done::Answered(result)) => self.reply(&request, result)?,
                (_, Done::Swept(Ok(Some(due)))) => {
                    // It also sweeps when a backoff ends.
                    let after = due.since(self.coordinator.now()).as_millis() as u64;
                    let every = self.coordinator.policy().sweeper_ms;
                    if (1..every).contains(&after) {
                        self.after(after, Event::SweepOnce);
                    }
                }
                (purpose, Done::Did(Err(error)) | Done::Swept(Err(error))) => {
                    self.note(format!("{purpose:?}: {error}"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn reply(
        &mut self,
        request: &Request,
        result: Answered<swath_agent::Reply>,
    ) -> Result<(), Failure> {
        if let (Call::Exchange { exchange, .. }, Ok(reply)) = (&request.call, &result) {
            let checked = self.history.exchanged(exchange, reply);
            checked.map_err(|broken| self.failure(broken))?;
        }
        if let (Call::Heartbeat { held, .. }, Ok(reply)) = (&request.call, &result) {
            self.history.beaten(held, reply);
        }
        let answer = Answer {
            to: request.from,
            result: result.map_err(|error| call_error(&error)),
        };
        let (worker, life) = (answer.to.worker, answer.to.life);
        for delay in arrivals(&mut self.chance, &self.faults) {
            let what = Happening::Answered(answer.clone());
            self.after(delay, Event::Happens { worker, life, what });
        }
        Ok(())
    }

    /// A frozen coordinator continues. It may send anything, but it must write
    /// nothing.
    fn ghost_goes_on(&mut self) -> Result<(), Failure> {
        let commits = self.coordinator.disk.commits();
        let notices = self.chance.happens(0.5);
        let done = self.coordinator.ghost_goes_on(notices);
        // If nobody took its place, it may continue to lead.
        if self.coordinator.disk.commits() != commits && self.coordinator.is_up() {
            return Err(self.failure("an older term has written".to_owned()));
        }
        self.look(true)?;
        self.answer(done)
    }
}

/// How a worker's client understands an error.
fn call_error(error: &StoreError) -> CallError {
    let message = error.to_string();
    match error {
        StoreError::StaleSession { .. } => CallError::Stale(message),
        StoreError::NameTaken { .. } => CallError::NameTaken(message),
        _ => CallError::Retry(message),
    }
}
