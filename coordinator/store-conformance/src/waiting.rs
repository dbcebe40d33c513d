//! Workers that wait for a job in the engine.

use std::future::{pending, ready};

use swath_model::id::Owner;
use swath_model::job::StateName;
use swath_model::view::WorkerState;

use crate::bench::{Bench, poll_once, same};
use crate::call::Call;
use crate::script::{job, sweep};
use crate::subject::Subject;
use crate::watched::When;
use crate::{Exchange, Exchanged, Hello, Result, StoreError, WorkerChange};

/// The answer to a worker, if it waits no longer.
type Told = Option<Result<Exchanged>>;

/// Makes a call while workers wait. The workers that still wait then go away.
/// The model makes the exchange of each served worker after the call.
async fn wait_while(bench: &mut Bench, waiting: &[Exchange], call: Call) -> Vec<Told> {
    let now = bench.now;
    let engine = bench.tested.engine().clone();
    let wait = |it: &Exchange| Box::pin(engine.wait_for_jobs(it.clone(), pending()));
    let mut waits: Vec<_> = waiting.iter().map(wait).collect();
    for wait in &mut waits {
        poll_once(wait.as_mut()).await;
    }
    let got = call.clone().make(&bench.tested, now).await;
    let failed = bench.watch.failed();
    let before = bench.oracle.with(|ledger| ledger.clone());
    let wanted = call.make(&bench.oracle, now).await;
    match failed {
        None => same("a call while others wait", &got, &wanted),
        Some(_) => assert!(got.is_err(), "{got:?} of a commit that failed"),
    }
    let mut told = Vec::with_capacity(waiting.len());
    for (exchange, wait) in waiting.iter().zip(&mut waits) {
        if !is_served(bench, exchange) {
            poll_once(wait.as_mut()).await;
            told.push(None);
            continue;
        }
        let got = wait.await;
        let wanted = bench.oracle.exchange(now, exchange.clone()).await;
        match failed {
            None => same("the end of a wait", &got, &wanted),
            Some(_) => assert!(got.is_err(), "{got:?} of a commit that failed"),
        }
        told.push(Some(got));
    }
    if failed == Some(When::Before) {
        bench.oracle.with(|ledger| *ledger = before);
    }
    drop(waits);
    drop(engine);
    bench.compare("a wait", false).await;
    if bench.crashing {
        bench.crash().await;
    }
    told
}

/// Whether a wait is over, as far as the model knows.
fn is_served(bench: &Bench, exchange: &Exchange) -> bool {
    let now = bench.now;
    bench.oracle.with(|ledger| {
        let mut workers = ledger.workers().into_iter();
        let draining =
            workers.any(|it| it.name == exchange.owner.worker && it.state == WorkerState::Draining);
        let exchanged = ledger.clone().exchange(now, exchange.clone());
        draining || exchanged.is_err() || exchanged.is_ok_and(|it| !it.grants.is_empty())
    })
}

fn granted(told: &Told) -> Vec<swath_model::id::JobDigest> {
    match told {
        Some(Ok(exchanged)) => exchanged.grants.iter().map(|it| it.held.job).collect(),
        other => panic!("{other:?}"),
    }
}

async fn two(bench: &mut Bench) -> [Owner; 2] {
    [bench.hello("first").await, bench.hello("second").await]
}

/// The worker that has waited longest is served first, in the commit that
/// brings the job. No worker is woken for nothing.
pub async fn a_job_goes_to_whoever_waits_longest(bench: &mut Bench) {
    let [first, second] = two(bench).await;
    let waits = [
        bench.asking(&first, vec![], 2),
        bench.asking(&second, vec![], 2),
    ];
    let commits = bench.commits();
    let submit = Call::Submit(sweep("one", &[1], 1));
    let told = wait_while(bench, &waits, submit).await;
    assert_eq!(bench.commits(), commits + 1);
    assert_eq!(granted(&told[0]), [job(1, 1)]);
    assert!(told[1].is_none());
    // A lost reply is sent again.
    let again = bench.exchange(waits[0].clone()).await.unwrap();
    assert_eq!(again.grants.len(), 1);
    let waits = [
        bench.asking(&second, vec![], 2),
        bench.asking(&first, vec![], 2),
    ];
    let submit = Call::Submit(sweep("more", &[2], 3));
    let told = wait_while(bench, &waits, submit).await;
    assert_eq!(granted(&told[0]), [job(2, 1), job(2, 2)]);
    assert_eq!(granted(&told[1]), [job(2, 3)]);
}

/// A wait ends with the session, and when its worker can get nothing more.
pub async fn a_wait_ends_with_what_it_waits_for(bench: &mut Bench) {
    let [first, second] = two(bench).await;
    let waits = [
        bench.asking(&first, vec![], 1),
        bench.asking(&second, vec![], 1),
    ];
    let drain = Call::ChangeWorker(first.worker.clone(), WorkerChange::Drain);
    let told = wait_while(bench, &waits, drain).await;
    assert_eq!(granted(&told[0]), []);
    assert!(told[1].is_none());
    let hello = Hello {
        worker: second.worker.clone(),
        about: crate::script::worker_about(&[]),
        held: vec![],
        takes_name: false,
    };
    let waits = [bench.asking(&second, vec![], 1)];
    let told = wait_while(bench, &waits, Call::Hello(hello)).await;
    let stale = matches!(told[0], Some(Err(StoreError::StaleSession { .. })));
    assert!(stale, "{told:?}");
    // A cordoned worker may be activated any time.
    let third = bench.hello("third").await;
    let waits = [bench.asking(&third, vec![], 1)];
    let cordon = WorkerChange::Cordon {
        cause: swath_model::cause::CordonCause::Operator,
    };
    let call = Call::ChangeWorker(third.worker.clone(), cordon);
    assert!(wait_while(bench, &waits, call).await[0].is_none());
    bench.submit(&sweep("s", &[1], 1)).await;
    let call = Call::ChangeWorker(third.worker.clone(), WorkerChange::Activate);
    let told = wait_while(bench, &waits, call).await;
    assert_eq!(granted(&told[0]), [job(1, 1)]);
}

/// A backoff that is over is noticed by the next call.
pub async fn a_wait_outlasts_a_backoff(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1], 1)).await;
    let [first, second] = two(bench).await;
    let attempt = bench.take_one(&first).await;
    let crash = crate::script::failed(swath_model::outcome::Fault::Crashed, "x");
    bench.finish(&first, attempt, crash).await;
    let waits = [bench.asking(&second, vec![], 1)];
    assert!(wait_while(bench, &waits, Call::Tick).await[0].is_none());
    bench.pass_ms(bench.policy().backoff_max_ms);
    let told = wait_while(bench, &waits, Call::Tick).await;
    assert_eq!(granted(&told[0]), [job(1, 1)]);
}

/// If a commit with a grant to a waiting worker fails, the job was not granted,
/// or the grant is sent when the request is repeated.
pub async fn a_wait_hears_of_a_commit_that_failed(bench: &mut Bench) {
    let [first, second] = two(bench).await;
    let submission = sweep("s", &[1], 1);
    for when in [When::Before, When::After] {
        let waits = [
            bench.asking(&first, vec![], 1),
            bench.asking(&second, vec![], 1),
        ];
        bench.fail_next(when);
        let submit = Call::Submit(submission.clone());
        let told = wait_while(bench, &waits, submit).await;
        assert!(matches!(told[0], Some(Err(_))), "{told:?}");
        assert!(told[1].is_none());
        let again = bench.exchange(waits[0].clone()).await.unwrap();
        assert_eq!(again.grants.len(), usize::from(when == When::After));
    }
}

/// Nothing is granted to a worker that waits no longer.
pub async fn a_wait_that_is_over_gets_nothing(bench: &mut Bench) {
    let [first, second] = two(bench).await;
    let exchange = bench.asking(&first, vec![], 1);
    let engine = bench.tested.engine().clone();
    let over = engine.wait_for_jobs(exchange.clone(), ready(()));
    assert_eq!(over.await.unwrap().grants, []);
    let mut gone = Box::pin(engine.wait_for_jobs(exchange, pending()));
    poll_once(gone.as_mut()).await;
    drop(gone);
    drop(engine);
    bench.submit(&sweep("s", &[1], 1)).await;
    assert_eq!(bench.state(job(1, 1)).await, StateName::Queued);
    assert_eq!(bench.take_one(&second).await.job, job(1, 1));
}
