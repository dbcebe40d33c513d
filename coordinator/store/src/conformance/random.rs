//! Random sequences of operations, compared with the model step by step.
//!
//! Operations name things by small numbers that are resolved against what the
//! workers of the sequence have seen, so that a shrunk sequence still means
//! something, and mostly what could really happen.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use swath_core::id::{JobDigest, Owner, SessionId};
use swath_core::outcome::{Fault, Outcome};
use swath_core::policy::Policy;

use super::bench::Bench;
use super::script::{
    failed, finish, job, job_of, measured, observation, program_cell, report, sweep, worker_about,
};
use crate::{Exchange, Grant, Held, Hello, Store, Submission, SweepChange, WorkerChange};

const WORKERS: [&str; 3] = ["a", "b", "c"];

/// How a session is named: mostly rightly.
#[derive(Clone, Copy, Debug)]
enum Session {
    Newest,
    Older,
    Future,
}

/// An attempt among those that a worker has seen, counted from the newest, and
/// whose: mostly its own.
#[derive(Clone, Copy, Debug)]
struct Pick {
    back: u8,
    of_other: bool,
    /// Raises the attempt number: one that was never granted.
    wrong: bool,
}

#[derive(Clone, Debug)]
enum Op {
    Submit(u8, i32),
    Change(u8, SweepChange),
    Hello {
        worker: u8,
        claims: u8,
        program: bool,
    },
    Exchange {
        worker: u8,
        session: Session,
        repeat: Option<u8>,
        finishes: Vec<(Pick, Outcome)>,
        want: u8,
    },
    Heartbeat {
        worker: u8,
        session: Session,
        mentions: u8,
        extra: Option<Pick>,
    },
    Observe {
        worker: u8,
        session: Session,
        pick: Pick,
        epoch: u8,
        log: u8,
    },
    Release {
        worker: u8,
        session: Session,
        pick: Pick,
    },
    Tick,
    Restart,
    Extend,
    CancelJobs(u8),
    RetryJobs(u8),
    Worker(u8, WorkerChange),
}

/// Tight limits, so that short sequences reach them.
pub fn policy() -> Policy {
    Policy {
        attempts_max: 4,
        charged_max: 3,
        workers_max: 2,
        cordon_after: 2,
        pause_after: 3,
        ..Policy::default()
    }
}

/// Cases and the longest sequence; `PROPTEST_CASES` changes the first.
fn config() -> Config {
    let default = Config::default();
    Config {
        cases: if std::env::var_os("PROPTEST_CASES").is_some() {
            default.cases
        } else {
            64
        },
        failure_persistence: None,
        max_shrink_iters: 2000,
        ..default
    }
}

/// Runs random sequences on the stores that `make` makes.
pub fn run<S, G, F>(make: F)
where
    S: Store,
    F: AsyncFn(Policy) -> (S, G),
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let steps = prop::collection::vec((pause(), op()), 1..60);
    let mut runner = TestRunner::new(config());
    let outcome = runner.run(&steps, |steps| {
        runtime.block_on(async {
            let (store, guard) = make(policy()).await;
            let mut bench = Bench::new(store, policy());
            let mut world = World::default();
            for (pause, op) in steps {
                bench.pass_ms(pause);
                world.step(&mut bench, op).await;
            }
            bench.end().await;
            drop(guard);
        });
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

fn pause() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => 0..5_000_u64,
        3 => 5_000..50_000_u64,
        2 => Just(60_000_u64),
        1 => 60_000..1_000_000_u64,
    ]
}

fn session() -> impl Strategy<Value = Session> {
    prop_oneof![
        10 => Just(Session::Newest),
        2 => Just(Session::Older),
        1 => Just(Session::Future),
    ]
}

fn pick() -> impl Strategy<Value = Pick> {
    let rarely = || prop::bool::weighted(0.1);
    (0..5_u8, rarely(), rarely()).prop_map(|(back, of_other, wrong)| Pick {
        back,
        of_other,
        wrong,
    })
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let message = prop_oneof![
        Just("no data\nat 1"),
        Just("no data\nat 2"),
        Just("signal 9")
    ];
    prop_oneof![
        4 => prop_oneof![Just(8.25), Just(9.5), Just(f64::NAN)].prop_map(measured),
        6 => (prop::sample::select(&Fault::ALL[..]), message)
            .prop_map(|(fault, message)| failed(fault, message)),
    ]
}

fn sweep_change() -> impl Strategy<Value = SweepChange> {
    prop_oneof![
        3 => Just(SweepChange::Cancel),
        1 => Just(SweepChange::Pause { reason: "lunch".to_owned() }),
        2 => Just(SweepChange::Resume),
        1 => (-1..3_i32).prop_map(SweepChange::Priority),
    ]
}

fn worker_change() -> impl Strategy<Value = WorkerChange> {
    prop_oneof![
        4 => Just(WorkerChange::Activate),
        1 => Just(WorkerChange::Cordon { reason: "smoke".to_owned() }),
        1 => Just(WorkerChange::Drain),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let worker = || 0..WORKERS.len() as u8;
    let exchange = (
        worker(),
        session(),
        prop::option::weighted(0.1, 0..3_u8),
        prop::collection::vec((pick(), outcome()), 0..3),
        0..4_u8,
    )
        .prop_map(|(worker, session, repeat, finishes, want)| Op::Exchange {
            worker,
            session,
            repeat,
            finishes,
            want,
        });
    let heartbeat = (
        worker(),
        session(),
        any::<u8>(),
        prop::option::weighted(0.2, pick()),
    )
        .prop_map(|(worker, session, mentions, extra)| Op::Heartbeat {
            worker,
            session,
            mentions,
            extra,
        });
    let observe = (worker(), session(), pick(), 0..5_u8, 0..4_u8).prop_map(
        |(worker, session, pick, epoch, log)| Op::Observe {
            worker,
            session,
            pick,
            epoch,
            log,
        },
    );
    let release = (worker(), session(), pick()).prop_map(|(worker, session, pick)| Op::Release {
        worker,
        session,
        pick,
    });
    let hello =
        (worker(), any::<u8>(), any::<bool>()).prop_map(|(worker, claims, program)| Op::Hello {
            worker,
            claims,
            program,
        });
    prop_oneof![
        4 => (0..SWEEPS as u8, -1..2_i32).prop_map(|(sweep, priority)| Op::Submit(sweep, priority)),
        2 => (0..SWEEPS as u8, sweep_change()).prop_map(|(sweep, change)| Op::Change(sweep, change)),
        4 => hello,
        16 => exchange,
        8 => heartbeat,
        4 => observe,
        2 => release,
        7 => Just(Op::Tick),
        1 => Just(Op::Restart),
        1 => Just(Op::Extend),
        1 => any::<u8>().prop_map(Op::CancelJobs),
        2 => any::<u8>().prop_map(Op::RetryJobs),
        2 => (worker(), worker_change()).prop_map(|(worker, change)| Op::Worker(worker, change)),
    ]
}

const SWEEPS: usize = 4;

/// Sweeps that share jobs: the second and the third overlap the first, the
/// third has its name and more replicates, the last needs a program.
fn submission(which: u8, priority: i32) -> Submission {
    let mut submission = match which {
        0 => sweep("first", &[1, 2], 2),
        1 => sweep("second", &[2, 3, 4], 1),
        2 => sweep("first", &[2, 1], 3),
        _ => {
            let mut submission = sweep("program", &[5], 1);
            submission.cells.push(program_cell("tool"));
            submission
        }
    };
    submission.priority = priority;
    submission
}

/// The jobs of all sweeps whose bit is set, and one that never exists.
fn jobs(bits: u8) -> Vec<JobDigest> {
    let all = [
        job(1, 1),
        job(1, 2),
        job(2, 1),
        job(2, 3),
        job(3, 1),
        job(5, 1),
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
#[derive(Default)]
struct World {
    sessions: BTreeMap<u8, Vec<SessionId>>,
    /// Attempts that each worker was granted, oldest first.
    seen: BTreeMap<u8, Vec<Held>>,
    requests: u64,
}

impl World {
    fn owner(&self, worker: u8, session: Session) -> Owner {
        let given = self.sessions.get(&worker).map_or(&[][..], Vec::as_slice);
        let newest = given.last().copied().unwrap_or_default();
        Owner {
            worker: WORKERS[worker as usize].parse().unwrap(),
            session: match session {
                Session::Newest => newest,
                Session::Older => given.iter().rev().nth(1).copied().unwrap_or(newest),
                Session::Future => SessionId(newest.0 + 50),
            },
        }
    }

    fn attempt(&self, worker: u8, pick: Pick) -> Held {
        let worker = (worker + u8::from(pick.of_other)) % WORKERS.len() as u8;
        let seen = self.seen.get(&worker).map_or(&[][..], Vec::as_slice);
        let mut held = seen
            .iter()
            .rev()
            .nth(pick.back as usize % seen.len().max(1))
            .copied()
            .unwrap_or(super::script::held(job(1, 1), 1));
        held.attempt.0 += u32::from(pick.wrong);
        held
    }

    /// The newest attempts of a worker whose bit is *not* set: most.
    fn recent(&self, worker: u8, but: u8) -> Vec<Held> {
        let seen = self.seen.get(&worker).map_or(&[][..], Vec::as_slice);
        let recent = seen.iter().rev().take(8).enumerate();
        // Two random bytes would agree too rarely: leave out one in four.
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

    async fn step(&mut self, bench: &mut Bench, op: Op) {
        match op {
            Op::Submit(which, priority) => {
                bench.submit(&submission(which, priority)).await;
            }
            Op::Change(which, change) => {
                let digest = submission(which, 0).digest;
                let _refused = bench.change_sweep(digest, change).await;
            }
            Op::Tick => {
                bench.tick().await;
            }
            Op::Restart => bench.restart().await,
            Op::Extend => bench.extend_leases().await,
            Op::CancelJobs(bits) => {
                // Few at a time, or nothing is left to do.
                bench.cancel_jobs(&jobs(bits & bits.rotate_left(1))).await;
            }
            Op::RetryJobs(bits) => {
                bench.retry_jobs(&jobs(bits)).await;
            }
            Op::Worker(worker, change) => {
                let name = WORKERS[worker as usize].parse().unwrap();
                let _refused = bench.change_worker(&name, change).await;
            }
            Op::Hello {
                worker,
                claims,
                program,
            } => self.hello(bench, worker, claims, program).await,
            other => self.speak(bench, other).await,
        }
    }

    async fn hello(&mut self, bench: &mut Bench, worker: u8, claims: u8, program: bool) {
        let programs: &[&str] = if program { &["tool"] } else { &[] };
        let hello = Hello {
            worker: WORKERS[worker as usize].parse().unwrap(),
            about: worker_about(programs),
            held: self.recent(worker, claims),
        };
        let welcome = bench.greet(hello).await;
        self.sessions
            .entry(worker)
            .or_default()
            .push(welcome.session);
    }

    /// What a worker says within a session.
    async fn speak(&mut self, bench: &mut Bench, op: Op) {
        match op {
            Op::Exchange {
                worker,
                session,
                repeat,
                finishes,
                want,
            } => {
                self.requests += 1;
                let finishes = finishes.into_iter();
                let exchange = Exchange {
                    owner: self.owner(worker, session),
                    request: self.requests.saturating_sub(repeat.map_or(0, u64::from)),
                    finishes: finishes
                        .map(|(pick, outcome)| finish(self.attempt(worker, pick), outcome))
                        .collect(),
                    want: u32::from(want),
                };
                if let Ok(exchanged) = bench.exchange(exchange).await {
                    self.saw(worker, &exchanged.grants);
                }
            }
            Op::Heartbeat {
                worker,
                session,
                mentions,
                extra,
            } => {
                let mut held = self.recent(worker, mentions);
                held.extend(extra.map(|pick| self.attempt(worker, pick)));
                let owner = self.owner(worker, session);
                let _refused = bench.heartbeat(&owner, &held).await;
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
                let owner = self.owner(worker, session);
                let _refused = bench.observe(&owner, &[report]).await;
            }
            Op::Release {
                worker,
                session,
                pick,
            } => {
                let held = [self.attempt(worker, pick)];
                let owner = self.owner(worker, session);
                let _refused = bench.release(&owner, &held).await;
            }
            _ => {}
        }
    }
}
