//! What the workers of a random sequence know, and how they act on it.

use std::collections::BTreeMap;
use std::fmt::Debug;

use swath_model::cause::{CordonCause, PauseCause};
use swath_model::device::Device;
use swath_model::event::{Event, What};
use swath_model::id::{JobDigest, Owner, Replicate, SessionId, StateId, WorkerName};
use swath_model::import::{ImportBatch, ImportRow, Imported};
use swath_model::message::Release;
use swath_model::needs::Lack;
use swath_model::offer::Free;
use swath_model::outcome::{Fault, Outcome};

use super::super::bench::Bench;
use super::super::replicating::adaptive;
use super::super::script::{
    failed, finish, free, gpu_about, gpu_needs, job, job_of, observation, plain_cell, program_cell,
    report, sweep, two_gpus,
};
use super::{Op, Pick, Said, Session};
use crate::call::{Call, Reply};
use crate::{
    Ack, Exchange, Exchanged, Finish, Grant, Held, Hello, Result, StoreError, Submission, Welcome,
    WorkerChange,
};

/// The results of operations, and how often each occurred.
pub(super) type Counted = BTreeMap<String, u64>;

pub(super) const WORKERS: [&str; 3] = ["a", "b", "c"];

pub(super) const SWEEPS: usize = 5;

/// Sweeps that numbers are imported into, with their cells. The last sweep does
/// not exist.
pub(super) const IMPORTED: [(&str, &[u32]); 4] = [
    ("first", &[1, 2]),
    ("second", &[2, 3, 4]),
    ("program", &[5]),
    ("nobody", &[1]),
];

/// Numbers that a source says of cells of a sweep.
fn numbers(sweep: u8, replace: bool, rows: &[Said]) -> ImportBatch {
    let (name, cells) = IMPORTED[sweep as usize];
    let x = |said: &Said| cells.get(usize::from(said.x)).copied().unwrap_or(99);
    let row = |(line, said): (u32, &Said)| ImportRow {
        sweep: name.to_owned(),
        cell: plain_cell(x(said)).digest,
        place: u32::from(said.place),
        number: Imported {
            test_error: 6.0 + f64::from(said.value),
            seconds: (said.value > 0).then_some(60.5),
            runs: u32::from(said.runs),
            replicate: said.replicate.map(|it| Replicate(u32::from(it))),
            seed: None,
            source: if said.by_other { "other" } else { "paper" }.to_owned(),
            file: "paper.csv".to_owned(),
            line,
        },
    };
    ImportBatch {
        replace,
        rows: (2..).zip(rows).map(row).collect(),
    }
}

/// Sweeps that share jobs. The second and the third overlap the first; the
/// third has its name and more replicates. The fourth needs a program. The
/// replicates of the last are decided by results.
fn submission(which: u8, priority: i32) -> Submission {
    let mut submission = match which {
        0 => sweep("first", &[1, 2], 2),
        1 => {
            // Cells that it shares need this from then on.
            let mut submission = sweep("second", &[2, 3, 4], 1);
            submission.cells[0].needs = gpu_needs(6);
            submission.cells[1].needs.memory_bytes = Some(3);
            submission.cells[2].needs.cpus = Some(2);
            submission
        }
        2 => sweep("first", &[2, 1], 3),
        4 => adaptive("adaptive", &[3, 1], 1, 2),
        _ => {
            let mut submission = sweep("program", &[5], 2);
            submission.cells[0].needs = two_gpus();
            submission.cells.push(program_cell("tool"));
            submission
        }
    };
    // Its jobs are mostly granted first; otherwise few sequences would get to a
    // look.
    submission.priority = priority + if which == 4 { 2 } else { 0 };
    submission
}

/// How many GPUs a worker has.
const fn gpus(worker: u8) -> u16 {
    worker as u16
}

/// What is free of a worker that wants so many jobs.
fn free_of(worker: u8, want: u32) -> Vec<Free> {
    let gpus = gpus(worker);
    let each = want.div_ceil(2);
    let all = (0..gpus).map(|number| free(Device::Cuda(number), each));
    let rest = if gpus == 0 { want } else { want - each };
    let mut free: Vec<Free> = all.chain([free(Device::Cpu, rest)]).collect();
    free.retain(|free| free.slots > 0);
    for free in &mut free {
        free.ahead = free.slots / 2;
        free.slots -= free.ahead;
    }
    free
}

/// The jobs of all sweeps whose bit is set, and one that never exists.
fn jobs(bits: u8) -> Vec<JobDigest> {
    let all = [
        job(1, 1),
        job(1, 2),
        job(2, 1),
        job(2, 3),
        job(3, 1),
        job(5, 2),
        job_of(&program_cell("tool"), 1),
        job(99, 1),
    ];
    let chosen = all.into_iter().enumerate();
    chosen
        .filter(|(place, _)| bits & (1 << place) != 0)
        .map(|(_, job)| job)
        .collect()
}

/// What the workers of a sequence know.
pub(super) struct World {
    mood: Option<Fault>,
    sessions: BTreeMap<u8, Vec<SessionId>>,
    /// Attempts that each worker was granted, oldest first, except those whose
    /// outcome was acknowledged.
    seen: BTreeMap<u8, Vec<Held>>,
    /// The attempts whose outcome was acknowledged, with it.
    done: BTreeMap<u8, Vec<(Held, Outcome)>>,
    requests: u64,
    /// Whether a commit is to fail.
    failing: bool,
    happened: Counted,
}

impl World {
    /// A world. If there is a mood, every attempt in it fails in that way.
    pub(super) fn new(mood: Option<Fault>) -> Self {
        Self {
            mood,
            sessions: BTreeMap::new(),
            seen: BTreeMap::new(),
            done: BTreeMap::new(),
            requests: 0,
            failing: false,
            happened: Counted::new(),
        }
    }

    /// The results of the operations, and how often each occurred.
    pub(super) fn happened(self) -> Counted {
        self.happened
    }

    /// Makes something to do and somebody to do it, without which many
    /// operations are wasted.
    pub(super) async fn start(&mut self, bench: &mut Bench) {
        for which in [0, 1, 3, 4] {
            bench.submit(&submission(which, 0)).await;
        }
        for worker in [0, 1, 2] {
            let hello = self.hello(worker, 0, true, false);
            let welcome = bench.greet(hello.clone()).await;
            self.welcomed(&hello, welcome);
        }
    }

    /// Counts what was told.
    pub(super) fn told(&mut self, events: Vec<Event>) {
        for event in events {
            let what = match event.what {
                What::WorkerChanged { now, .. } => match now.cordoned {
                    Some(CordonCause::FailedInARow { .. }) => "Cordoned".to_owned(),
                    _ => "WorkerChanged".to_owned(),
                },
                What::SweepChanged { now, .. } => match now.paused {
                    Some(PauseCause::FailedAlike { .. }) => "Paused".to_owned(),
                    _ => "SweepChanged".to_owned(),
                },
                other => format!("{other:?}"),
            };
            self.count("event", what, 1);
        }
    }

    fn count(&mut self, call: &str, what: impl Debug, times: u64) {
        if times > 0 {
            let what = format!("{what:?}");
            let kind = what.trim_matches('"').split([' ', '{', '(']).next();
            let kind = format!("{call} {}", kind.unwrap_or_default());
            *self.happened.entry(kind).or_default() += times;
        }
    }

    fn owner(&self, worker: u8, session: Session) -> Owner {
        let given = self.sessions.get(&worker).map_or(&[][..], Vec::as_slice);
        let newest = given.last().copied().unwrap_or_default();
        Owner {
            worker: name(worker),
            session: match session {
                Session::Newest => newest,
                Session::Older => given.iter().rev().nth(1).copied().unwrap_or(newest),
                Session::Future => SessionId(newest.0 + 50),
            },
        }
    }

    fn attempt(&self, worker: u8, pick: Pick) -> Held {
        let worker = (worker + u8::from(pick.of_other)) % WORKERS.len() as u8;
        let known: Vec<Held> = if pick.done {
            let done = self.done.get(&worker).into_iter().flatten();
            done.map(|(held, _)| *held).collect()
        } else {
            self.seen.get(&worker).cloned().unwrap_or_default()
        };
        let back = pick.back as usize % known.len().max(1);
        let named = known.iter().rev().nth(back).copied();
        let mut held = named.unwrap_or(super::super::script::held(job(1, 1), 1));
        held.attempt.0 += u32::from(pick.wrong);
        held
    }

    /// A finish of the picked attempt. If it was recorded already, the same
    /// outcome is reported again.
    fn finish_of(&self, worker: u8, pick: Pick, outcome: Outcome) -> Option<Finish> {
        // A worker without an attempt of its own mostly reports nothing.
        let idle = self.seen.get(&worker).is_none_or(Vec::is_empty);
        if idle && !(pick.done || pick.of_other || pick.wrong) {
            return None;
        }
        let held = self.attempt(worker, pick);
        let done = self.done.values().flatten();
        let before = done.rev().find(|(done, _)| *done == held && pick.done);
        let outcome = match (before, self.mood) {
            (Some((_, outcome)), _) => outcome.clone(),
            (None, Some(fault)) => failed(fault, "no data"),
            (None, None) => outcome,
        };
        Some(finish(held, outcome))
    }

    fn ended(&mut self, worker: u8, finish: Finish) {
        for seen in self.seen.values_mut() {
            seen.retain(|held| *held != finish.held);
        }
        let done = self.done.entry(worker).or_default();
        done.push((finish.held, finish.outcome));
    }

    /// The newest attempts of a worker whose bit is *not* set, which are most
    /// of them.
    fn recent(&self, worker: u8, but: u8) -> Vec<Held> {
        let seen = self.seen.get(&worker).map_or(&[][..], Vec::as_slice);
        let recent = seen.iter().rev().take(8).enumerate();
        // Two random bytes would agree too rarely: this leaves out one in four.
        let out = but & but.rotate_left(3);
        recent
            .filter(|(place, _)| out & (1 << place) == 0)
            .map(|(_, held)| *held)
            .collect()
    }

    fn saw(&mut self, worker: u8, grants: &[Grant]) {
        let seen = self.seen.entry(worker).or_default();
        for grant in grants {
            if !seen.contains(&grant.held) {
                seen.push(grant.held);
            }
        }
    }

    pub(super) async fn step(&mut self, bench: &mut Bench, op: Op) {
        let calls = match op {
            Op::Crash => return bench.crash().await,
            Op::Fail(when) => {
                self.failing = true;
                return bench.fail_next(when);
            }
            Op::Together(ops) => {
                let mut calls = Vec::new();
                for op in ops {
                    calls.extend(self.calls(bench, op).await);
                }
                // A call that is committed alone cannot be known to have failed
                // together with others.
                let alone = |call: &Call| matches!(call, Call::Import(_) | Call::Steer(..));
                calls.retain(|call| !self.failing || !alone(call));
                calls
            }
            op => {
                let mut calls = self.calls(bench, op).await;
                if self.failing {
                    calls.truncate(1);
                }
                calls
            }
        };
        if calls.is_empty() {
            return;
        }
        let replies = bench.together(calls.clone()).await;
        bench.compare_results("what may be committed").await;
        for kept in bench.reserved().await {
            assert!(!kept.busy.is_empty() || kept.cpus, "{kept:?}");
            self.count("room", "kept", 1);
            self.count("room", "several", u64::from(kept.devices.count() > 1));
        }
        self.failing = false;
        let lost = |reply: &Result<Reply>| matches!(reply, Err(StoreError::Failed { .. }));
        self.count("commit", "failed", u64::from(replies.iter().any(lost)));
        // A worker whose request came to nothing makes it again before all else;
        // until then it is not held against it that it does not know its grants.
        let mut again = Vec::new();
        for (call, reply) in calls.into_iter().zip(replies) {
            if lost(&reply) && matches!(call, Call::Exchange(_)) {
                again.push(call.clone());
            }
            self.hear(call, reply);
        }
        for call in again {
            let replies = bench.together(vec![call.clone()]).await;
            for reply in replies {
                self.hear(call.clone(), reply);
            }
        }
    }

    /// The calls that an operation stands for.
    async fn calls(&mut self, bench: &Bench, op: Op) -> Vec<Call> {
        let call = match op {
            Op::Submit(which, priority) => Call::Submit(submission(which, priority)),
            Op::Change(which, change) => Call::ChangeSweep(submission(which, 0).digest, change),
            // Which of its commits were made nobody could tell.
            Op::Delete(..) | Op::SubmitInParts(..) if self.failing => return Vec::new(),
            Op::SubmitInParts(which, jobs) => Call::SubmitInParts(submission(which, 0), jobs),
            Op::Delete(which, cancel) => Call::Delete(submission(which, 0).digest, cancel),
            Op::Tick => Call::Tick,
            Op::Look => {
                let mut calls = Vec::new();
                for due in bench.due().await {
                    calls.push(Call::Steer(due, bench.look(due).await));
                }
                return calls;
            }
            Op::Restart => Call::Restart,
            Op::Extend => Call::Extend,
            // Cancels few at a time, or nothing would be left to do.
            Op::CancelJobs(bits) => Call::CancelJobs(jobs(bits & bits.rotate_left(1))),
            Op::RetryJobs(bits) => Call::RetryJobs(jobs(bits)),
            Op::ForgetJobs(bits) => Call::ForgetJobs(jobs(bits)),
            Op::Worker(worker, change) => Call::ChangeWorker(name(worker), change),
            Op::Import {
                sweep,
                replace,
                rows,
            } => Call::Import(numbers(sweep, replace, &rows)),
            Op::Hello {
                worker,
                claims,
                program,
                stray,
                takes_name,
            } => Call::Hello(Hello {
                takes_name,
                ..self.hello(worker, claims, program, stray)
            }),
            other => return self.speak(other).into_iter().collect(),
        };
        vec![call]
    }

    fn hello(&self, worker: u8, claims: u8, program: bool, stray: bool) -> Hello {
        let programs: &[&str] = if program { &["tool"] } else { &[] };
        let mut about = gpu_about(programs, gpus(worker));
        about.state_id = Some(StateId(u128::from(worker) * 2 + u128::from(stray)));
        Hello {
            worker: name(worker),
            about,
            held: self.recent(worker, claims),
            takes_name: false,
        }
    }

    /// What a worker reports within a session.
    fn speak(&mut self, op: Op) -> Option<Call> {
        Some(match op {
            Op::Exchange {
                worker,
                session,
                repeat,
                finishes,
                want,
            } => {
                self.requests += 1;
                let finishes = finishes.into_iter();
                Call::Exchange(Exchange {
                    owner: self.owner(worker, session),
                    request: self.requests.saturating_sub(repeat.map_or(0, u64::from)),
                    finishes: finishes
                        .filter_map(|(pick, outcome)| self.finish_of(worker, pick, outcome))
                        .collect(),
                    free: free_of(worker, want.into()),
                })
            }
            Op::Heartbeat {
                worker,
                session,
                mentions,
                extra,
            } => {
                let mut held = self.recent(worker, mentions);
                held.extend(extra.map(|pick| self.attempt(worker, pick)));
                Call::Heartbeat(self.owner(worker, session), held)
            }
            Op::Observe {
                worker,
                session,
                pick,
                epoch,
                log,
            } => {
                let epochs =
                    (1..=u32::from(epoch)).map(|epoch| observation(epoch, f64::from(epoch)));
                let report = report(
                    self.attempt(worker, pick),
                    epochs.collect(),
                    u64::from(log),
                    &format!("line {log}\n"),
                );
                Call::Observe(self.owner(worker, session), vec![report])
            }
            Op::Release {
                worker,
                session,
                pick,
                lacks,
            } => {
                let held = self.attempt(worker, pick);
                let what = "images of fold 3".to_owned();
                let lack = lacks.then_some(Lack::Data { what });
                let releases = vec![Release { held, lack }];
                Call::Release(self.owner(worker, session), releases)
            }
            Op::Goodbye { worker, session } => Call::Goodbye(self.owner(worker, session)),
            _ => return None,
        })
    }

    /// Takes from a reply what its caller learns from it.
    fn hear(&mut self, call: Call, reply: Result<Reply>) {
        let reply = match reply {
            Ok(reply) => reply,
            Err(error) => {
                match call {
                    Call::Import(_) => self.count("import", error, 1),
                    Call::Hello(_) => self.count("hello", error, 1),
                    Call::Goodbye(_) => self.count("goodbye", error, 1),
                    Call::Delete(..) => self.count("delete", error, 1),
                    Call::ChangeWorker(_, WorkerChange::Forget) => self.count("forget", error, 1),
                    _ => {}
                }
                return;
            }
        };
        match (call, reply) {
            (Call::Exchange(exchange), Reply::Exchanged(exchanged)) => {
                self.exchanged(exchange, exchanged);
            }
            (Call::Hello(hello), Reply::Welcome(welcome)) => self.welcomed(&hello, welcome),
            (Call::Heartbeat(..), Reply::Verdicts(verdicts)) => {
                for verdict in verdicts {
                    self.count("heartbeat", verdict, 1);
                }
            }
            (Call::Observe(..), Reply::Verdicts(verdicts)) => {
                for verdict in verdicts {
                    self.count("observe", verdict, 1);
                }
            }
            (Call::Goodbye(_), Reply::Changed(jobs)) => self.count("goodbye", "requeued", jobs),
            (Call::Release(_, releases), Reply::Done(())) => {
                let lacking = releases.iter().filter(|it| it.lack.is_some());
                self.count("release", "lacking", lacking.count() as u64);
            }
            (Call::CancelJobs(_), Reply::Changed(jobs)) => self.count("cancel", "changed", jobs),
            (Call::Delete(..), Reply::Changed(jobs)) => self.count("delete", "changed", jobs),
            (Call::RetryJobs(_), Reply::Changed(jobs)) => self.count("retry", "changed", jobs),
            (Call::ForgetJobs(_), Reply::Changed(jobs)) => {
                self.count("outcomes", "forgotten", jobs);
            }
            (Call::ChangeWorker(_, WorkerChange::Forget), Reply::Done(())) => {
                self.count("forget", "Done", 1);
            }
            (_, Reply::Submitted(submitted)) => {
                self.count("submit", "revived", u64::from(submitted.revived));
            }
            (_, Reply::Ticked(ticked)) => {
                self.count("tick", "suspected", ticked.suspected);
                self.count("tick", "requeued", ticked.requeued);
                self.count("tick", "ended", ticked.ended);
            }
            (_, Reply::Steered(done)) => {
                self.count("look", "seeds", done.seeds);
                self.count("look", "settled", u64::from(done.settled));
            }
            (_, Reply::Imported(counts)) => {
                self.count("import", "new", counts.new);
                self.count("import", "known", counts.known);
                self.count("import", "removed", counts.removed);
            }
            _ => {}
        }
    }

    fn exchanged(&mut self, exchange: Exchange, exchanged: Exchanged) {
        let worker = place(&exchange.owner.worker);
        self.saw(worker, &exchanged.grants);
        self.count("exchange", "granted", exchanged.grants.len() as u64);
        for (ack, finish) in exchanged.acks.into_iter().zip(exchange.finishes) {
            self.count("exchange", ack, 1);
            if ack != Ack::Refused {
                self.ended(worker, finish);
            }
        }
    }

    fn welcomed(&mut self, hello: &Hello, welcome: Welcome) {
        self.count("hello", "requeued", welcome.requeued);
        for verdict in welcome.verdicts {
            self.count("hello", verdict, 1);
        }
        let given = self.sessions.entry(place(&hello.worker)).or_default();
        given.push(welcome.session);
    }
}

fn name(worker: u8) -> WorkerName {
    WORKERS[worker as usize].parse().unwrap()
}

fn place(worker: &WorkerName) -> u8 {
    let mut names = WORKERS.iter();
    let place = names.position(|name| *name == worker.as_str());
    place.expect("one of the workers") as u8
}
