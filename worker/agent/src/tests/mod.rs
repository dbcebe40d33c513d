//! Tests of the agent without IO: every effect is checked, and none may be left
//! over.

mod attempts;
mod devices;
mod ending;
mod outcomes;
mod programs;
mod reading;
mod sessions;

use std::time::Duration;

use serde_json::json;
use swath_model::device::Device;
use swath_model::id::{Attempt, JobDigest, SessionId};
use swath_model::message::{Ack, Exchange, Finish, Grant, Held, Report, Verdict};
use swath_model::offer::{Free, Offer};
use swath_model::outcome::{Measurement, Outcome, Provenance};
use swath_model::placement::Placement;
use swath_model::view::WorkerAbout;

use super::*;

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// An agent with its clock and the effects that nobody has looked at yet.
pub(super) struct Table {
    pub(super) agent: Agent,
    pub(super) now: Duration,
    pub(super) effects: VecDeque<Effect>,
}

pub(super) fn config(slots: usize) -> Config {
    Config {
        worker: "w".parse().unwrap(),
        take_name: false,
        coordinator: "http://h:7070".to_owned(),
        about: WorkerAbout {
            version: "1".to_owned(),
            offer: Offer {
                slots: vec![Device::Cpu; slots],
                programs: vec!["python3".to_owned()],
                ..Offer::default()
            },
            ..WorkerAbout::default()
        },
        threads: 1,
        hang_timeout: Duration::from_mins(10),
        backoff: Backoff::default(),
        out: "/out".to_owned(),
        gpus: BTreeMap::new(),
        exit_when_idle: None,
        seed: 1,
    }
}

pub(super) fn held(job: u8) -> Held {
    Held {
        job: JobDigest::from_bytes([job; 32]),
        attempt: Attempt(1),
    }
}

pub(super) fn training(job: u8) -> Grant {
    let spec = json!({
        "dataset": { "name": "cifar10" }, "model": { "name": "vgg" }, "batch_size": 8, "epochs": 2,
        "optimizer": { "lr": 0.1 }, "seed": 7,
    });
    grant(job, &spec)
}

pub(super) fn null(job: u8) -> Grant {
    grant(job, &json!({ "trainer": { "null": true }, "seed": 1234 }))
}

pub(super) fn program(job: u8, name: &str) -> Grant {
    let trainer = json!({ "command": [name, "train.py"], "metric": "loss" });
    grant(job, &json!({ "trainer": trainer, "seed": 1 }))
}

/// How many jobs an exchange asks for.
pub(super) fn wants(exchange: &Exchange) -> u32 {
    exchange.free.iter().map(Free::jobs).sum()
}

fn grant(job: u8, spec: &serde_json::Value) -> Grant {
    Grant {
        replicate: swath_model::id::Replicate(1),
        launch: swath_model::program::Launch::default(),
        held: held(job),
        spec: spec.to_string(),
        placement: Placement::default(),
    }
}

pub(super) fn entry(job: u8) -> Entry {
    Entry {
        finish: Finish {
            held: held(job),
            outcome: measured(1.0, 1.0),
            provenance: Provenance::default(),
        },
        reports: Vec::new(),
    }
}

pub(super) fn measured(test_error: f64, train_seconds: f64) -> Outcome {
    Outcome::Measured(Measurement {
        train_seconds,
        values: [("test_error", test_error)].into(),
        weights: None,
    })
}

pub(super) fn exchanged(acks: &[Ack], grants: Vec<Grant>) -> Reply {
    Reply::Exchanged {
        acks: acks.to_vec(),
        grants,
        drain: false,
    }
}

pub(super) fn lost() -> Result<Reply, CallError> {
    Err(CallError::Retry("lost".to_owned()))
}

pub(super) fn stale() -> Result<Reply, CallError> {
    Err(CallError::Stale("stale session".to_owned()))
}

impl Table {
    pub(super) fn new(config: Config) -> Self {
        Self::restored(config, Vec::new(), Vec::new())
    }

    pub(super) fn restored(config: Config, open: Vec<Entry>, recent: Vec<Entry>) -> Self {
        let mut table = Self {
            agent: Agent::new(config, open, recent),
            now: Duration::ZERO,
            effects: VecDeque::new(),
        };
        table.settle();
        table
    }

    /// A worker in session 1 whose question for jobs is waiting; also returns
    /// that call's id.
    pub(super) fn in_session(slots: usize) -> (Self, CallId) {
        let mut table = Self::new(config(slots));
        table.welcome(1, &[]);
        let (call, exchange, _) = table.exchange();
        assert_eq!((wants(&exchange) as usize, exchange.request), (slots, 1));
        table.done();
        (table, call)
    }

    pub(super) fn settle(&mut self) {
        let effects = self.agent.settle(self.now);
        self.effects.extend(effects);
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.agent.handle(self.now, event);
        self.settle();
    }

    pub(super) fn reply(&mut self, call: CallId, result: Result<Reply, CallError>) {
        self.tell(Event::Reply { call, result });
    }

    pub(super) fn answer(&mut self, call: CallId, reply: Reply) {
        self.reply(call, Ok(reply));
    }

    /// Lets time pass; the agent looks when it wants to.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let wakes = self.agent.wakes();
            assert!(wakes > self.now, "a tight loop");
            self.now = wakes.min(end);
            self.settle();
        }
    }

    /// The next effect that is not a heartbeat.
    pub(super) fn next(&mut self) -> Effect {
        self.skip_beats();
        self.effects.pop_front().expect("an effect")
    }

    /// Checks that nothing else happened.
    pub(super) fn done(&mut self) {
        self.skip_beats();
        assert_eq!(self.effects, []);
    }

    pub(super) fn skip_beats(&mut self) {
        let beat = |effect: &Effect| {
            matches!(
                effect,
                Effect::Call {
                    call: Call::Heartbeat { .. },
                    ..
                }
            )
        };
        while self.effects.front().is_some_and(beat) {
            self.effects.pop_front();
        }
    }

    /// Answers the hello; returns the attempts that it named.
    pub(super) fn welcome(&mut self, session: u64, verdicts: &[Verdict]) -> Vec<Held> {
        let Effect::Call {
            id,
            call: Call::Hello(hello),
        } = self.next()
        else {
            panic!("no hello");
        };
        assert_eq!(hello.held.len(), verdicts.len());
        self.reply(
            id,
            Ok(Reply::Welcome {
                session: SessionId(session),
                verdicts: verdicts.to_vec(),
                heartbeat: 10 * SECOND,
                drain: 25 * SECOND,
            }),
        );
        hello.held
    }

    pub(super) fn exchange(&mut self) -> (CallId, Exchange, Duration) {
        match self.next() {
            Effect::Call {
                id,
                call: Call::Exchange { exchange, wait },
            } => (id, exchange, wait),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn observe(&mut self) -> (CallId, Vec<Report>) {
        match self.next() {
            Effect::Call {
                id,
                call: Call::Observe { reports, .. },
            } => (id, reports),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn release(&mut self) -> (CallId, Vec<Held>) {
        match self.next() {
            Effect::Call {
                id,
                call: Call::Release { releases, .. },
            } => (id, releases.into_iter().map(|it| it.held).collect()),
            other => panic!("{other:?}"),
        }
    }

    /// Lets the spool write what it was given.
    pub(super) fn spool(&mut self) -> Vec<Entry> {
        let Effect::Spool(entries) = self.next() else {
            panic!("nothing to spool");
        };
        let held = entries.iter().map(|entry| entry.finish.held).collect();
        self.tell(Event::Spooled(held));
        entries
    }

    /// Checks that a trainer is started and fed.
    pub(super) fn started(&mut self) -> ChildId {
        let Effect::Start { child, program, .. } = self.next() else {
            panic!("nothing started");
        };
        if program == Program::Trainer {
            self.fed(child);
        }
        child
    }

    pub(super) fn fed(&mut self, child: ChildId) {
        match self.next() {
            Effect::Feed { child: fed, .. } => assert_eq!(fed, child),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn stopped(&mut self, child: ChildId, grace: Duration) {
        assert_eq!(self.next(), Effect::Stop { child, grace });
    }

    pub(super) fn says(&mut self, child: ChildId, line: &str) {
        let line = Line::Text(line.to_owned());
        self.tell(Event::Line { child, line });
    }

    pub(super) fn ends(&mut self, child: ChildId, code: i32) {
        let end = End::Exit(code);
        self.tell(Event::Exited { child, end });
    }

    /// Lets the next heartbeat come and answers it for every attempt alike.
    pub(super) fn beat(&mut self, verdict: Verdict) -> Vec<Held> {
        for _ in 0..30 {
            let found = self.effects.iter().position(|effect| {
                matches!(
                    effect,
                    Effect::Call {
                        call: Call::Heartbeat { .. },
                        ..
                    }
                )
            });
            if let Some(at) = found
                && let Some(Effect::Call {
                    id,
                    call: Call::Heartbeat { held, .. },
                }) = self.effects.remove(at)
            {
                let verdicts = vec![verdict; held.len()];
                let drain = false;
                self.reply(id, Ok(Reply::Beaten { verdicts, drain }));
                return held;
            }
            self.pass(SECOND);
        }
        panic!("no heartbeat");
    }
}
