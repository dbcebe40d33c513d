//! Random sequences of operations, compared with the model step by step.
//!
//! Operations name things by small numbers, which are resolved to what the
//! workers of the sequence have seen. So a shrunk sequence still means
//! something, and most operations could really happen.

mod world;

use std::cell::RefCell;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use swath_model::label::Relabel;
use swath_model::outcome::{Fault, Outcome};
use swath_model::policy::Policy;

use self::world::{Counted, IMPORTED, SWEEPS, WORKERS, World};
use super::bench::Bench;
use super::script::{failed, measured};
use crate::watched::When;
use crate::{Store, SweepChange, WorkerChange};

/// How an operation names a session: mostly the right one.
#[derive(Clone, Copy, Debug)]
enum Session {
    Newest,
    Older,
    Future,
}

/// One of the attempts that a worker has seen, counted from the newest, and the
/// worker that names it: mostly the same one.
#[derive(Clone, Copy, Debug)]
struct Pick {
    back: u8,
    of_other: bool,
    /// Picks among the attempts whose outcome was acknowledged.
    done: bool,
    /// Raises the attempt number, to one that was never granted.
    wrong: bool,
}

#[derive(Clone, Debug)]
enum Op {
    Submit(u8, i32),
    Change(u8, SweepChange),
    SubmitInParts(u8, usize),
    Delete(u8, bool),
    Hello {
        worker: u8,
        claims: u8,
        program: bool,
        /// From a state directory that is not the worker's.
        stray: bool,
        takes_name: bool,
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
        /// Whether its host lacks something of the job.
        lacks: bool,
    },
    Goodbye {
        worker: u8,
        session: Session,
    },
    Tick,
    Look,
    Restart,
    Extend,
    CancelJobs(u8),
    RetryJobs(u8),
    ForgetJobs(u8),
    Worker(u8, WorkerChange),
    Import {
        /// An index into [`IMPORTED`].
        sweep: u8,
        replace: bool,
        rows: Vec<Said>,
    },
    /// The engine is dropped, and another one starts.
    Crash,
    /// The next commit fails.
    Fail(When),
    /// These operations at once.
    Together(Vec<Self>),
}

/// What one of two sources says of a cell. The numbers are few, so that sources
/// repeat and contradict themselves.
#[derive(Clone, Copy, Debug)]
struct Said {
    /// The place of the cell among those of its sweep. Beyond the last, the sweep
    /// has no such cell.
    x: u8,
    by_other: bool,
    place: u8,
    value: u8,
    /// 0 is refused.
    runs: u8,
    /// Names the replicate with this number.
    replicate: Option<u8>,
}

/// Tight limits that short sequences reach.
pub fn policy() -> Policy {
    Policy {
        attempts_max: 4,
        charged_max: 3,
        workers_max: 2,
        cordon_after: 2,
        pause_after: 2,
        ..Policy::default()
    }
}

/// The number of cases and the longest sequence; `PROPTEST_CASES` sets the
/// first.
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
    run_with(TestRunner::new(config()), make);
}

/// Runs the sequences, and returns the results of the operations and how often
/// each occurred.
fn run_with<S, G, F>(mut runner: TestRunner, make: F) -> Counted
where
    S: Store,
    F: AsyncFn(Policy) -> (S, G),
{
    let runtime = crate::runtime();
    let steps = prop::collection::vec((pause(), op()), 8..90);
    // Sometimes everything fails alike, as when a data set is missing.
    let mood = prop::option::weighted(0.3, prop::sample::select(&Fault::ALL[..]));
    let happened = RefCell::new(Counted::new());
    let outcome = runner.run(&(mood, steps), |(mood, steps)| {
        let sequence = async {
            let (store, _guard) = make(policy()).await;
            let mut bench = Bench::start(store, policy(), false).await;
            let mut world = World::new(mood);
            world.start(&mut bench).await;
            for (pause, op) in steps {
                bench.pass_ms(pause);
                world.step(&mut bench, op).await;
            }
            world.told(bench.events().await);
            bench.end().await;
            for (what, times) in world.happened() {
                *happened.borrow_mut().entry(what).or_default() += times;
            }
        };
        let done = runtime.block_on(async { tokio::time::timeout(crate::LIMIT, sequence).await });
        done.expect("nobody waits for ever");
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    happened.into_inner()
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
        16 => Just(Session::Newest),
        2 => Just(Session::Older),
        1 => Just(Session::Future),
    ]
}

fn pick() -> impl Strategy<Value = Pick> {
    let rarely = || prop::bool::weighted(0.08);
    (0..4_u8, rarely(), rarely(), rarely()).prop_map(|(back, of_other, done, wrong)| Pick {
        back,
        of_other,
        done,
        wrong,
    })
}

fn outcome() -> impl Strategy<Value = Outcome> {
    // Ticks cause enough losses.
    let message = prop_oneof![
        Just("no data\nat 1"),
        Just("no data\nat 2"),
        Just("signal 9")
    ];
    prop_oneof![
        4 => prop_oneof![Just(8.25), Just(9.5), Just(f64::NAN)].prop_map(measured),
        6 => (prop::sample::select(&Fault::ALL[1..]), message)
            .prop_map(|(fault, message)| failed(fault, message)),
    ]
}

fn sweep_change() -> impl Strategy<Value = SweepChange> {
    prop_oneof![
        3 => Just(SweepChange::Cancel),
        1 => Just(SweepChange::Pause {
        cause: swath_model::cause::PauseCause::Operator,
    }),
        2 => Just(SweepChange::Resume),
        1 => (-1..3_i32).prop_map(SweepChange::Priority),
        1 => relabel().prop_map(SweepChange::Label),
    ]
}

fn relabel() -> impl Strategy<Value = Relabel> {
    let words = || prop::collection::vec(prop::sample::select(vec!["a", "b"]), 0..2);
    let owned = |words: Vec<&str>| words.into_iter().map(str::to_owned).collect();
    prop_oneof![
        3 => prop::sample::select(vec!["first", "second", "third"])
            .prop_map(|name| Relabel::Rename(name.to_owned())),
        1 => (words(), words()).prop_map(move |(add, remove)| Relabel::Tag {
            add: owned(add),
            remove: owned(remove),
        }),
        1 => any::<bool>().prop_map(Relabel::Archive),
        1 => prop::sample::select(vec!["", "note"]).prop_map(|note| Relabel::Note(note.to_owned())),
    ]
}

fn worker_change() -> impl Strategy<Value = WorkerChange> {
    prop_oneof![
        4 => Just(WorkerChange::Activate),
        1 => Just(WorkerChange::Cordon {
        cause: swath_model::cause::CordonCause::Operator,
    }),
        1 => Just(WorkerChange::Drain),
        2 => Just(WorkerChange::Forget),
    ]
}

fn import() -> impl Strategy<Value = Op> {
    let said = (
        prop_oneof![20 => 0..2_u8, 1 => Just(u8::MAX)],
        prop::bool::weighted(0.3),
        prop_oneof![3 => Just(1), 1 => Just(2)],
        prop_oneof![5 => Just(0), 1 => Just(1)],
        prop_oneof![9 => Just(1), 2 => Just(3), 1 => Just(0)],
        prop::option::weighted(0.1, 1..4_u8),
    )
        .prop_map(|(x, by_other, place, value, runs, replicate)| Said {
            x,
            by_other,
            place,
            value,
            runs,
            replicate,
        });
    let rows = prop::collection::vec(said, 1..3);
    let sweep = prop_oneof![6 => Just(0), 3 => Just(1), 1 => 2..IMPORTED.len() as u8];
    (sweep, prop::bool::weighted(0.3), rows).prop_map(|(sweep, replace, rows)| Op::Import {
        sweep,
        replace,
        rows,
    })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        64 => call(),
        4 => Just(Op::Crash),
        // By themselves: they are several commits.
        1 => (0..SWEEPS as u8, 1..3_usize).prop_map(|(sweep, jobs)| Op::SubmitInParts(sweep, jobs)),
        2 => (0..SWEEPS as u8, any::<bool>()).prop_map(|(sweep, cancel)| Op::Delete(sweep, cancel)),
        2 => prop_oneof![Just(When::Before), Just(When::After)].prop_map(Op::Fail),
        8 => prop::collection::vec(call(), 2..6).prop_map(Op::Together),
    ]
}

fn call() -> impl Strategy<Value = Op> {
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
    let release =
        (worker(), session(), pick(), any::<bool>()).prop_map(|(worker, session, pick, lacks)| {
            Op::Release {
                worker,
                session,
                pick,
                lacks,
            }
        });
    let goodbye =
        (worker(), session()).prop_map(|(worker, session)| Op::Goodbye { worker, session });
    let rarely = || prop::bool::weighted(0.08);
    let hello = (worker(), any::<u8>(), any::<bool>(), rarely(), rarely()).prop_map(
        |(worker, claims, program, stray, takes_name)| Op::Hello {
            worker,
            claims,
            program,
            stray,
            takes_name,
        },
    );
    prop_oneof![
        4 => (0..SWEEPS as u8, -1..2_i32).prop_map(|(sweep, priority)| Op::Submit(sweep, priority)),
        2 => (0..SWEEPS as u8, sweep_change()).prop_map(|(sweep, change)| Op::Change(sweep, change)),
        4 => hello,
        16 => exchange,
        8 => heartbeat,
        6 => observe,
        4 => release,
        1 => goodbye,
        7 => Just(Op::Tick),
        8 => Just(Op::Look),
        1 => Just(Op::Restart),
        1 => Just(Op::Extend),
        1 => any::<u8>().prop_map(Op::CancelJobs),
        2 => any::<u8>().prop_map(Op::RetryJobs),
        2 => any::<u8>().prop_map(Op::ForgetJobs),
        2 => (worker(), worker_change()).prop_map(|(worker, change)| Op::Worker(worker, change)),
        3 => import(),
    ]
}

#[cfg(test)]
mod tests {
    use proptest::test_runner::{RngAlgorithm, TestRng};

    use super::*;
    use crate::MemoryStore;

    /// Sequences that reach little would test little.
    #[test]
    fn random_sequences_reach_every_kind_of_reply() {
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        // Without a disk, more sequences are done in the same time.
        let config = Config {
            cases: 256,
            ..config()
        };
        let runner = TestRunner::new_with_rng(config, rng);
        let happened = run_with(runner, async |_| (MemoryStore::new(), ()));
        let wanted = [
            "submit revived",
            "tick suspected",
            "tick requeued",
            "tick ended",
            "look seeds",
            "look settled",
            "cancel changed",
            "retry changed",
            "outcomes forgotten",
            "delete changed",
            "delete Conflict",
            "forget Done",
            "forget Conflict",
            "release lacking",
            "goodbye requeued",
            "goodbye StaleSession",
            "hello requeued",
            "hello Keep",
            "hello Stop",
            "hello Fenced",
            "hello NameTaken",
            "exchange granted",
            "exchange Recorded",
            "exchange AlreadyRecorded",
            "exchange Stale",
            "exchange Refused",
            "event Cordoned",
            "event Paused",
            "event JobSuspected",
            "event JobRecovered",
            "event JobObserved",
            "heartbeat Keep",
            "heartbeat Stop",
            "heartbeat Fenced",
            "observe Keep",
            "observe Stop",
            "observe Fenced",
            "import new",
            "import known",
            "import removed",
            "import Conflict",
            "import NotFound",
            "room kept",
            "room several",
            "commit failed",
        ];
        for reply in wanted {
            let times = happened.get(reply).copied().unwrap_or(0);
            assert!(times >= 3, "`{reply}` {times} times of {happened:#?}");
        }
    }
}
