//! Log text is bounded: the tail of an attempt's stays.

use std::sync::Arc;

use swath_engine::Engine;
use swath_model::id::Owner;
use swath_model::offer::Free;
use swath_model::policy::Policy;
use swath_model::time::Timestamp;
use swath_model::view::WorkerAbout;
use swath_store_conformance::script::{report, sweep};
use swath_store_conformance::{Exchange, Hello};
use swath_store_sqlite::SqliteStore;

#[tokio::test]
async fn the_tail_of_a_long_log_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("swath.db");
    let store = Arc::new(SqliteStore::open(&path).await.unwrap());
    let engine = Engine::start(store, Policy::default(), "here").await;
    let engine = engine.unwrap();
    let store = engine.store();
    let now = Timestamp::from_ms(0);
    engine.submit(now, sweep("logs", &[1], 1)).await.unwrap();
    let hello = Hello {
        worker: "w".parse().unwrap(),
        about: WorkerAbout::default(),
        held: Vec::new(),
    };
    let owner = Owner {
        worker: hello.worker.clone(),
        session: engine.hello(now, hello).await.unwrap().session,
    };
    let exchange = Exchange {
        owner: owner.clone(),
        request: 1,
        finishes: Vec::new(),
        free: Free::cpu(1),
    };
    let held = engine.exchange(now, exchange).await.unwrap().grants[0].held;
    let line = |n: u64| format!("{n} {}\n", "x".repeat(10_000));
    let say = async |n: u64, text: &str| {
        let reports = vec![report(held, Vec::new(), n, text)];
        engine.observe(now, owner.clone(), reports).await.unwrap();
    };
    for n in 1..=20 {
        say(n, &line(n)).await;
    }
    // A repeat of what had to make room is no news.
    say(3, &line(3)).await;
    let logs = store.logs(held.job, 0).await.unwrap();
    let positions: Vec<u64> = logs.iter().map(|chunk| chunk.position).collect();
    assert_eq!(positions, (15..=20).collect::<Vec<_>>());
    assert_eq!(logs[0].text, line(15));

    // One chunk that is too long by itself keeps its end, from a character on.
    say(21, &"ä".repeat(40_000)).await;
    let logs = store.logs(held.job, 20).await.unwrap();
    assert_eq!(logs.len(), 1);
    assert_eq!(logs[0].position, 21);
    assert_eq!(logs[0].text, "ä".repeat(32 * 1024));
    store.close().await.unwrap();
}
