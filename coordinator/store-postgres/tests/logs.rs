//! What is kept of a text with NULs is longer than it is.

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
async fn a_nul_counts_as_one_byte() {
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
    let mut end = 0;
    for bytes in [100_000, 80_000, 50_000] {
        end += bytes as u64;
        let reports = vec![report(held, Vec::new(), end, &"\0".repeat(bytes))];
        engine.observe(now, owner.clone(), reports).await.unwrap();
    }
    let logs = store.logs(held.job, 0).await.unwrap();
    let places = logs.iter().map(|chunk| (chunk.begin, chunk.text.len()));
    let wanted = [(100_000, 80_000), (180_000, 50_000)];
    assert_eq!(places.collect::<Vec<_>>(), wanted);
    store.close().await.unwrap();
}
