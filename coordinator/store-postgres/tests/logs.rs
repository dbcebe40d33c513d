//! Log text is bounded: the beginning and the end of an attempt's stay.

mod support;

use std::sync::Arc;

use swath_engine::Engine;
use swath_model::id::Owner;
use swath_model::offer::Free;
use swath_model::policy::Policy;
use swath_model::time::Timestamp;
use swath_model::view::WorkerAbout;
use swath_store_conformance::script::{report, sweep};
use swath_store_conformance::{Exchange, Hello};

use support::Database;

#[tokio::test]
async fn the_ends_of_a_long_log_stay() {
    let Some(database) = Database::new().await else {
        return;
    };
    let store = Arc::new(database.store().await);
    let engine = Engine::start(store, Policy::default(), "here").await;
    let engine = engine.unwrap();
    let store = engine.store();
    let now = Timestamp::from_ms(0);
    engine.submit(now, sweep("logs", &[1], 1)).await.unwrap();
    let hello = Hello {
        worker: "w".parse().unwrap(),
        about: WorkerAbout::default(),
        held: Vec::new(),
        takes_name: false,
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
    // A chunk is numbered by where it ends.
    let end = |n: u64| -> u64 { (1..=n).map(|n| line(n).len() as u64).sum() };
    for n in 1..=30 {
        say(end(n), &line(n)).await;
    }
    // A repeat of what had to make room is no news.
    say(end(9), &line(9)).await;
    let logs = store.logs(held.job, 0).await.unwrap();
    let positions: Vec<u64> = logs.iter().map(|chunk| chunk.position).collect();
    assert_eq!(positions, (1..=6).chain(18..=30).collect::<Vec<_>>());
    assert_eq!(logs[5].text, line(6));
    let gone = end(17) - end(6);
    let gap = format!("[... {gone} bytes left out ...]\n");
    assert_eq!(logs[6].text, gap + &line(18));
    assert_eq!(logs[18].text, line(30));

    // One chunk that is too long by itself keeps its end, from a character on.
    // A short one after a gap is no beginning, though it would fit there.
    let long = "ä".repeat(80_000);
    for (n, text) in [(50, long.as_str()), (51, "x\n"), (60, &long)] {
        say(end(n), text).await;
    }
    let logs = store.logs(held.job, 0).await.unwrap();
    let positions: Vec<u64> = logs.iter().map(|chunk| chunk.position).collect();
    assert_eq!(positions, [1, 2, 3, 4, 5, 6, 33]);
    assert!(logs[6].text.ends_with(&"ä".repeat(64 * 1024)));

    // What is kept of a NUL is longer than it is.
    say(end(70), &"\0".repeat(80_000)).await;
    say(end(80), &"\0".repeat(50_000)).await;
    let logs = store.logs(held.job, 33).await.unwrap();
    let lengths: Vec<usize> = logs.iter().map(|chunk| chunk.text.len()).collect();
    assert_eq!(lengths, [80_000, 50_000]);
    store.close().await.unwrap();
}
