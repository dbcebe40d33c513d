//! A worker's daemon, as simple as the protocol allows: it says hello, beats,
//! asks for jobs, trains, spools outcomes and sends them until acknowledged.

use std::collections::BTreeMap;

use swath_core::id::{JobDigest, Owner, WorkerName};
use swath_core::message::{
    Ack, Exchange, Exchanged, Finish, Held, Hello, Report, Verdict, Welcome,
};
use swath_core::outcome::{Fault, Measurement, Observation, Outcome, Provenance};
use swath_core::view::WorkerAbout;

use crate::network::{Answer, Call, Reply};

/// After this long without an answer, a call is made again.
const DEADLINE_MS: u64 = 5_000;

#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) name: WorkerName,
    slots: usize,
    /// Grows when the process starts.
    pub(crate) life: u32,
    pub(crate) up: bool,
    /// Frozen until then.
    pub(crate) frozen_until: Option<u64>,
    session: Option<Owner>,
    /// Attempts under way, with the epochs seen. They die with the process.
    training: BTreeMap<Held, u32>,
    /// Outcomes not acknowledged yet. They survive the process.
    spool: BTreeMap<Held, Outcome>,
    /// The request that is asked until it is answered.
    request: u64,
    calls: u64,
    hello: Option<Waiting>,
    exchange: Option<Waiting>,
}

/// A call that waits for its answer.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    call: u64,
    until: u64,
}

/// What a worker wants done.
#[derive(Debug, Default)]
pub(crate) struct Wants {
    pub(crate) calls: Vec<(u64, Call)>,
    /// Attempts that began.
    pub(crate) begun: Vec<Held>,
}

impl Worker {
    pub(crate) fn new(name: WorkerName, slots: usize) -> Self {
        Self {
            name,
            slots,
            life: 0,
            up: false,
            frozen_until: None,
            session: None,
            training: BTreeMap::new(),
            spool: BTreeMap::new(),
            request: 0,
            calls: 0,
            hello: None,
            exchange: None,
        }
    }

    /// Whether nothing is left to do or to say.
    pub(crate) fn is_idle(&self) -> bool {
        self.training.is_empty() && self.spool.is_empty()
    }

    pub(crate) fn start(&mut self) {
        self.life += 1;
        self.up = true;
        self.calls = 0;
        self.request = 0;
    }

    /// The process dies, and every trainer with it.
    pub(crate) fn crash(&mut self) {
        self.up = false;
        self.session = None;
        self.training.clear();
        self.hello = None;
        self.exchange = None;
    }

    fn held(&self) -> Vec<Held> {
        self.training
            .keys()
            .chain(self.spool.keys())
            .copied()
            .collect()
    }

    fn call(&mut self, body: Call, wants: &mut Wants) -> u64 {
        self.calls += 1;
        wants.calls.push((self.calls, body));
        self.calls
    }

    /// Looks for something to say: hello, outcomes, or a wish for jobs.
    pub(crate) fn poll(&mut self, now: u64) -> Wants {
        let mut wants = Wants::default();
        let overdue = |waiting: Option<Waiting>| waiting.is_none_or(|call| call.until <= now);
        let Some(owner) = self.session.clone() else {
            if overdue(self.hello) {
                let hello = Hello {
                    worker: self.name.clone(),
                    about: WorkerAbout::default(),
                    held: self.held(),
                };
                let call = self.call(Call::Hello(hello), &mut wants);
                let until = now + DEADLINE_MS;
                self.hello = Some(Waiting { call, until });
            }
            return wants;
        };
        let free = self.slots.saturating_sub(self.training.len());
        if overdue(self.exchange) && (free > 0 || !self.spool.is_empty()) {
            let finishes = self.spool.iter().map(|(held, outcome)| Finish {
                held: *held,
                outcome: outcome.clone(),
                provenance: Provenance::default(),
            });
            let exchange = Exchange {
                owner,
                request: self.request,
                finishes: finishes.collect(),
                want: free as u32,
            };
            let call = self.call(Call::Exchange(exchange), &mut wants);
            let until = now + DEADLINE_MS;
            self.exchange = Some(Waiting { call, until });
        }
        wants
    }

    /// Says what it holds, and what the trainings have seen.
    pub(crate) fn beat(&mut self) -> Wants {
        let mut wants = Wants::default();
        let Some(owner) = self.session.clone() else {
            return wants;
        };
        let held = self.held();
        self.call(Call::Heartbeat(owner.clone(), held), &mut wants);
        let reports: Vec<Report> = self.training.iter_mut().map(observe).collect();
        if !reports.is_empty() {
            self.call(Call::Observe(owner, reports), &mut wants);
        }
        wants
    }

    /// A training came to its end.
    pub(crate) fn finish(&mut self, held: Held, outcome: Outcome) {
        if self.training.remove(&held).is_some() {
            self.spool.insert(held, outcome);
        }
    }

    /// Hears an answer of the coordinator.
    pub(crate) fn hear(&mut self, reply: Reply) -> Wants {
        let mut wants = Wants::default();
        match reply.body {
            Err(_) => {
                // Whatever it was: this session is over, if it is still ours.
                if self.hello.is_none() {
                    self.session = None;
                    self.exchange = None;
                }
            }
            Ok(Answer::Welcome(hello, welcome)) => {
                self.welcome(reply.call, &hello, &welcome, &mut wants);
            }
            Ok(Answer::Exchanged(asked, exchanged)) => {
                self.exchanged(reply.call, &asked, &exchanged, &mut wants);
            }
            Ok(Answer::Verdicts(owner, held, verdicts)) => {
                if self.session.as_ref() == Some(&owner) {
                    self.obey(&held, &verdicts, &mut wants);
                }
            }
            Ok(Answer::Released) => {}
        }
        wants
    }

    fn welcome(&mut self, call: u64, hello: &Hello, welcome: &Welcome, wants: &mut Wants) {
        // Only the newest hello counts: an older one's session is fenced.
        if self.hello.is_none_or(|waiting| waiting.call != call) {
            return;
        }
        self.hello = None;
        self.exchange = None;
        self.request = 1;
        self.session = Some(Owner {
            worker: self.name.clone(),
            session: welcome.session,
        });
        self.obey(&hello.held, &welcome.verdicts, wants);
    }

    fn exchanged(&mut self, call: u64, asked: &Exchange, exchanged: &Exchanged, wants: &mut Wants) {
        for (finish, ack) in asked.finishes.iter().zip(&exchanged.acks) {
            match ack {
                Ack::Refused => {
                    let outcome = Outcome::Failed {
                        fault: Fault::Crashed,
                        message: "a measurement that is not finite".to_owned(),
                    };
                    // Unless a later answer was heard before this one.
                    self.spool
                        .entry(finish.held)
                        .and_modify(|kept| *kept = outcome);
                }
                Ack::Recorded | Ack::AlreadyRecorded | Ack::Stale => {
                    let said = self.spool.get(&finish.held) == Some(&finish.outcome);
                    if said {
                        self.spool.remove(&finish.held);
                    }
                }
            }
        }
        let expected = self.session.as_ref() == Some(&asked.owner) && asked.request == self.request;
        if !expected {
            return;
        }
        if self.exchange.is_some_and(|waiting| waiting.call == call) {
            self.exchange = None;
        }
        self.request += 1;
        for grant in &exchanged.grants {
            if !self.spool.contains_key(&grant.held) && !self.training.contains_key(&grant.held) {
                self.training.insert(grant.held, 0);
                wants.begun.push(grant.held);
            }
        }
    }

    fn obey(&mut self, held: &[Held], verdicts: &[Verdict], wants: &mut Wants) {
        let mut released = Vec::new();
        for (held, verdict) in held.iter().zip(verdicts) {
            match verdict {
                Verdict::Keep => {}
                Verdict::Stop => {
                    if self.training.remove(held).is_some() {
                        released.push(*held);
                    }
                }
                // An outcome in the spool is still sent: its acknowledgement
                // ends it.
                Verdict::Fenced => {
                    self.training.remove(held);
                }
            }
        }
        if let Some(owner) = self.session.clone()
            && !released.is_empty()
        {
            self.call(Call::Release(owner, released), wants);
        }
    }
}

fn observe((held, epochs): (&Held, &mut u32)) -> Report {
    *epochs += 1;
    let seen = Observation {
        epoch: *epochs,
        test_error: Some(f64::from(*epochs)),
        ..Observation::default()
    };
    Report {
        held: *held,
        observations: vec![seen],
        log_sequence: u64::from(*epochs),
        log: format!("epoch {epochs}\n"),
    }
}

/// What an attempt of a job measures: no two measure the same.
pub(crate) fn measurement(held: Held) -> Outcome {
    Outcome::Measured(Measurement {
        test_error: error_of(held.job, held.attempt.0),
        test_loss: None,
        best_test_error: None,
        train_seconds: 1.0,
        metrics: swath_core::metrics::Metrics::new(),
        weights: None,
    })
}

pub(crate) fn error_of(job: JobDigest, attempt: u32) -> f64 {
    let bytes = job.as_bytes();
    f64::from(u16::from_le_bytes([bytes[0], bytes[1]])) * 1000.0 + f64::from(attempt)
}
