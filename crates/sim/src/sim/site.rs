//! What happens on workers' machines, and what their agents request.

use std::time::Duration;

use swath_agent::{
    Call, CallError, CallId, ChildId, Effect, End, Entry, Event as Told, Line, Program,
};
use swath_model::limits::CALL_DEADLINE;
use swath_model::needs::Lack;

use super::{Doing, Event, Failure, Happening, SECOND, Sim};
use crate::cells::{PROGRAM, Takes};
use crate::machine::{Child, Process};
use crate::network::{Address, Answer, Request, arrivals};
use crate::trainer::{Execution, Script, ready};

impl Sim {
    pub(super) fn starts(&mut self, place: usize) -> Result<(), Failure> {
        if self.machines[place].process.is_some() {
            return Ok(());
        }
        let seed = self.chance.within(0..u64::MAX);
        self.machines[place].start(self.at, seed);
        self.act(place)
    }

    /// A process ends and starts again after a while.
    pub(super) fn ends(&mut self, place: usize, synced: bool, down: u64) {
        let life = self.machines[place].life;
        let process = self.machines[place].process.as_ref();
        let calls: Vec<_> = process.iter().flat_map(|it| it.calls.clone()).collect();
        self.machines[place].end(synced);
        for call in calls {
            let worker = place;
            self.hang_up(Address { worker, life, call });
        }
        self.after(down, Event::Starts(place));
    }

    /// Tells the coordinator, unless that is lost, that nobody waits for an
    /// answer.
    fn hang_up(&mut self, from: Address) {
        let delays = arrivals(&mut self.chance, &self.faults);
        if let Some(delay) = delays.first() {
            self.after(*delay, Event::HangsUp(from));
        }
    }

    pub(super) fn at_worker(
        &mut self,
        place: usize,
        life: u32,
        what: Happening,
    ) -> Result<(), Failure> {
        let at = self.at;
        let machine = &mut self.machines[place];
        let Some(process) = machine.process.as_mut().filter(|_| machine.life == life) else {
            return Ok(());
        };
        let told = match what {
            Happening::Look => {
                if process.wakes > at {
                    return Ok(());
                }
                process.wakes = u64::MAX;
                None
            }
            Happening::Signal => Some(Told::Signal),
            Happening::Answered(Answer { to, result }) => {
                if !process.calls.remove(&to.call) {
                    return Ok(());
                }
                if let Ok(reply) = &result {
                    self.history.heard(place, reply);
                }
                let call = to.call;
                Some(Told::Reply { call, result })
            }
            Happening::Late(from) => {
                if !process.calls.remove(&from.call) {
                    return Ok(());
                }
                self.hang_up(from);
                let why = "no answer in time".to_owned();
                Some(Told::Reply {
                    call: from.call,
                    result: Err(CallError::Unreachable(why)),
                })
            }
            Happening::Written { entries, fails } => {
                let held = entries.iter().map(|entry| entry.finish.held).collect();
                if fails {
                    let error = "no space left on device".to_owned();
                    Some(Told::SpoolFailed { held, error })
                } else {
                    machine.spool.put(&entries);
                    Some(Told::Spooled(held))
                }
            }
            Happening::Child {
                child,
                execution,
                does,
            } => match self.child_does(place, child, execution, does) {
                None => return Ok(()),
                told => told,
            },
        };
        if let (Some(told), Some(process)) = (told, self.machines[place].process.as_mut()) {
            process.handle(at, told);
        }
        self.act(place)
    }

    /// Tells the agent what a child did, unless the child has ended or does
    /// something else by now.
    fn child_does(
        &mut self,
        place: usize,
        id: ChildId,
        execution: Option<usize>,
        does: Doing,
    ) -> Option<Told> {
        let process = self.machines[place].process.as_mut()?;
        let child = process.children.get_mut(&id)?;
        if execution.is_some() && child.execution != execution {
            return None;
        }
        match does {
            Doing::Says(text) => {
                if text.contains("\"finished\"") || text.contains("\"failed\"") {
                    child.execution = None;
                }
                let line = Line::Text(text);
                Some(Told::Line { child: id, line })
            }
            Doing::Ends(end) => {
                let ended = process.children.remove(&id);
                if let Some(number) = ended.and_then(|child| child.execution) {
                    self.history.lost(self.at, number);
                }
                Some(Told::Exited { child: id, end })
            }
        }
    }

    /// Lets an agent decide, and does what it requests.
    fn act(&mut self, place: usize) -> Result<(), Failure> {
        let at = self.at;
        let Some(process) = self.machines[place].process.as_mut() else {
            return Ok(());
        };
        for effect in process.settle(at) {
            self.perform(place, effect)?;
        }
        let machine = &mut self.machines[place];
        let (life, least) = (machine.life, at + machine.laziness);
        let Some(process) = machine.process.as_mut() else {
            return Ok(());
        };
        let next = process.next_look().max(least);
        if next < process.wakes {
            process.wakes = next;
            let what = Happening::Look;
            let worker = place;
            self.after(next - at, Event::Happens { worker, life, what });
        }
        Ok(())
    }

    fn perform(&mut self, place: usize, effect: Effect) -> Result<(), Failure> {
        let life = self.machines[place].life;
        let Some(process) = self.machines[place].process.as_mut() else {
            return Ok(());
        };
        match effect {
            Effect::Call { id, call } => {
                process.calls.insert(id);
                let worker = place;
                let from = Address {
                    worker,
                    life,
                    call: id,
                };
                self.call(from, &call);
            }
            Effect::Abort(call) => {
                process.calls.remove(&call);
                let worker = place;
                self.hang_up(Address { worker, life, call });
            }
            Effect::Start {
                child,
                program,
                placement,
            } => {
                self.several += u64::from(placement.count() > 1);
                let execution = None;
                let started = Child {
                    placement,
                    execution,
                };
                process.children.insert(child, started);
                if let Some(device) = process.crowded() {
                    let what = format!("worker {place} has more children on {device} than slots");
                    return Err(self.failure(what));
                }
                match program {
                    Program::Trainer => {
                        let after = self.chance.within(100..3 * SECOND);
                        self.child(place, child, None, after, Doing::Says(ready()));
                    }
                    Program::Command(_) if self.machines[place].lacks == Some(Takes::Program) => {
                        self.lacking += 1;
                        let program = PROGRAM.to_owned();
                        let lacks = End::Lacks(Lack::Executable { program });
                        let after = self.chance.within(1..SECOND);
                        self.child(place, child, None, after, Doing::Ends(lacks));
                    }
                    Program::Command(line) => self.feed(place, child, &line.spec, false)?,
                }
            }
            Effect::Feed { child, spec } => self.feed(place, child, &spec, true)?,
            Effect::Stop { child, grace } => self.stop(place, child, grace),
            Effect::Spool(entries) => {
                let told = self.history.told(&entries);
                told.map_err(|broken| self.failure(broken))?;
                self.had_all(place, &entries)?;
                self.spool(place, entries);
            }
            Effect::Acknowledged(held) => self.machines[place].spool.acknowledge(held),
            Effect::Exit(exit) => {
                self.note(format!("worker {place} ends: {exit:?}"));
                let down = self.chance.within(SECOND..60 * SECOND);
                self.parts(place);
                self.ends(place, true, down);
            }
        }
        Ok(())
    }

    /// Says goodbye, if the agent does; nobody waits for the answer.
    fn parts(&mut self, place: usize) {
        let machine = &self.machines[place];
        let parting = machine.process.as_ref().and_then(Process::parting);
        if let Some(owner) = parting {
            let from = Address {
                worker: place,
                life: machine.life,
                call: CallId(0),
            };
            self.call(from, &Call::Goodbye { owner });
        }
    }

    fn call(&mut self, from: Address, call: &Call) {
        let waits = match call {
            Call::Exchange { wait, .. } => *wait,
            _ => Duration::ZERO,
        };
        if let Call::Release { releases, .. } = call {
            let held: Vec<_> = releases.iter().map(|it| it.held).collect();
            self.history.released(from.worker, &held);
        }
        let deadline = (CALL_DEADLINE + waits).as_millis() as u64;
        for delay in arrivals(&mut self.chance, &self.faults) {
            let call = call.clone();
            self.after(delay, Event::Arrives(Request { from, call }));
        }
        let what = Happening::Late(from);
        let (worker, life) = (from.worker, from.life);
        self.after(deadline, Event::Happens { worker, life, what });
    }

    fn child(
        &mut self,
        place: usize,
        child: ChildId,
        execution: Option<usize>,
        after: u64,
        does: Doing,
    ) {
        let what = Happening::Child {
            child,
            execution,
            does,
        };
        let (worker, life) = (place, self.machines[place].life);
        self.after(after, Event::Happens { worker, life, what });
    }

    /// Gives a spec to a child.
    fn feed(
        &mut self,
        place: usize,
        child: ChildId,
        spec: &str,
        serves: bool,
    ) -> Result<(), Failure> {
        let Some(planned) = self.plan.job(spec) else {
            return Err(self.failure(format!("nobody has submitted {spec}")));
        };
        let number = self.history.executions.len();
        let execution = Execution::new(&mut self.chance, planned, number, self.at);
        let script = if serves && self.machines[place].lacks == Some(Takes::Data) {
            self.lacking += 1;
            Script::of_a_lack()
        } else {
            let failing = self.faults.failing;
            execution.script(&mut self.chance, serves, failing)
        };
        self.history.begin(place, execution);
        let process = self.machines[place].process.as_mut();
        if let Some(child) = process.and_then(|it| it.children.get_mut(&child)) {
            child.execution = Some(number);
        }
        for (after, text) in script.lines {
            self.child(place, child, Some(number), after, Doing::Says(text));
        }
        if let Some((after, end)) = script.end {
            // A program ends even if it has reported its result.
            let execution = Some(number).filter(|_| serves);
            self.child(place, child, execution, after, Doing::Ends(end));
        }
        Ok(())
    }

    /// Checks that no job is charged or measured on a host that lacks something of
    /// it. Other faults may come first: the trainer is lost, or hangs.
    fn had_all(&self, place: usize, entries: &[Entry]) -> Result<(), Failure> {
        let lacks = self.machines[place].lacks;
        for entry in entries {
            let held = entry.finish.held;
            let is_lacking = lacks.is_some() && self.plan.takes(held.job) == lacks;
            let is_measured = entry.finish.outcome.fault().is_none();
            if is_lacking && (is_measured || lacks == Some(Takes::Program)) {
                let outcome = &entry.finish.outcome;
                let what = format!("{held:?} has {outcome:?} on a host that lacks {lacks:?}");
                return Err(self.failure(what));
            }
        }
        Ok(())
    }

    /// Tells a child to end, and kills it if it does not.
    fn stop(&mut self, place: usize, child: ChildId, grace: Duration) {
        let process = self.machines[place].process.as_mut();
        if process.is_none_or(|it| !it.children.contains_key(&child)) {
            return;
        }
        let grace = grace.as_millis() as u64;
        let (after, end) = if grace == 0 || self.chance.happens(0.2) {
            let oom = false;
            (grace, End::Signal { signal: 9, oom })
        } else {
            (self.chance.within(0..grace), End::Exit(75))
        };
        // Sometimes a driver holds a process that was killed.
        let held = if self.chance.happens(self.faults.failing / 10.0) {
            self.chance.within(SECOND..180 * SECOND)
        } else {
            0
        };
        self.child(place, child, None, after + held + 5, Doing::Ends(end));
    }

    fn spool(&mut self, place: usize, entries: Vec<Entry>) {
        let fails = self.chance.happens(self.faults.unwritten);
        let after = self.chance.within(1..30);
        // The outcomes may be on the disk before anybody knows.
        if !fails && self.chance.happens(0.5) {
            self.machines[place].spool.put(&entries);
        }
        let what = Happening::Written { entries, fails };
        let (worker, life) = (place, self.machines[place].life);
        self.after(after, Event::Happens { worker, life, what });
    }
}
