//! Heartbeats that waited for the engine while the store stood still.

use std::sync::Arc;
use std::time::Duration;

use swath_engine::Engine;
use swath_model::id::Owner;
use swath_model::message::{Exchange, Exchanged, Hello};
use swath_model::offer::Free;
use swath_model::policy::Policy;
use swath_model::time::Timestamp;
use swath_store_conformance::script::{job, sweep, worker_about};
use swath_store_conformance::watched::{Watch, Watched, When};
use swath_store_conformance::{MemoryStore, Verdict};

const START: Timestamp = Timestamp::from_ms(1_000_000);

/// An engine with a job and a worker.
async fn engine() -> (Engine, Arc<Watch>, Owner) {
    let (store, watch) = Watched::new(MemoryStore::new());
    let engine = Engine::start(Arc::new(store), Policy::default(), "http://here");
    let engine = engine.await.unwrap();
    engine.submit(START, sweep("s", &[1], 1)).await.unwrap();
    let hello = Hello {
        worker: "w".parse().unwrap(),
        about: worker_about(&[]),
        held: vec![],
        takes_name: false,
    };
    let session = engine.hello(START, hello).await.unwrap().session;
    let owner = Owner {
        worker: "w".parse().unwrap(),
        session,
    };
    (engine, watch, owner)
}

fn asking(owner: &Owner) -> Exchange {
    Exchange {
        owner: owner.clone(),
        request: 1,
        finishes: vec![],
        free: Free::cpu(1),
    }
}

fn after(heartbeats: u32) -> Timestamp {
    START + Policy::default().heartbeat() * heartbeats + Duration::from_millis(1)
}

/// The worker goes on with what it was granted.
async fn goes_on(engine: &Engine, owner: &Owner, exchanged: Exchanged) {
    let [grant] = &exchanged.grants[..] else {
        panic!("{exchanged:?}");
    };
    assert_eq!(grant.held.attempt.0, 1);
    let beat = engine.heartbeat(after(4), owner.clone(), vec![grant.held]);
    assert_eq!(beat.await.unwrap(), [Verdict::Keep]);
}

#[tokio::test]
async fn heartbeats_from_before_a_grant_was_answered_do_not_take_it_back() {
    let (engine, _, owner) = engine().await;
    // All three wait before the first is answered: the store took long.
    let (exchanged, first, second) = tokio::join!(
        engine.exchange(START, asking(&owner)),
        engine.heartbeat(after(1), owner.clone(), vec![]),
        engine.heartbeat(after(2), owner.clone(), vec![]),
    );
    assert_eq!((first.unwrap(), second.unwrap()), (vec![], vec![]));
    goes_on(&engine, &owner, exchanged.unwrap()).await;
}

#[tokio::test]
async fn nor_do_they_when_nobody_knew_whether_it_was_kept() {
    let (engine, watch, owner) = engine().await;
    watch.hold_next_load();
    // The job that nobody knows must be looked for; meanwhile heartbeats come.
    let (failed, _, ()) = tokio::join!(
        engine.exchange(START, asking(&owner)),
        engine.retry_jobs(START, vec![job(2, 1)]),
        async {
            watch.held().await;
            watch.fail_next(When::After);
            let first = engine.heartbeat(after(1), owner.clone(), vec![]);
            let second = engine.heartbeat(after(2), owner.clone(), vec![]);
            let (first, second, ()) = tokio::join!(first, second, async { watch.go_on() });
            assert_eq!((first.unwrap(), second.unwrap()), (vec![], vec![]));
        }
    );
    assert!(failed.is_err());
    let exchanged = engine.exchange(after(3), asking(&owner)).await;
    goes_on(&engine, &owner, exchanged.unwrap()).await;
}

#[tokio::test]
async fn two_that_come_after_the_answer_do() {
    let (engine, _, owner) = engine().await;
    let exchanged = engine.exchange(START, asking(&owner)).await.unwrap();
    let held = exchanged.grants[0].held;
    for heartbeats in 1..=2 {
        let beat = engine.heartbeat(after(heartbeats), owner.clone(), vec![]);
        assert_eq!(beat.await.unwrap(), []);
    }
    let beat = engine.heartbeat(after(3), owner, vec![held]).await;
    assert_eq!(beat.unwrap(), [Verdict::Fenced]);
}
