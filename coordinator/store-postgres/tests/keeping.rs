//! Whole databases: what is wrong with one is found, a snapshot stays as it was,
//! and what was copied is the same.

mod support;

use sqlx::{AssertSqlSafe, raw_sql};
use support::Database;
use swath_engine::Engine;
use swath_model::policy::Policy;
use swath_model::time::Timestamp;
use swath_store_conformance::copying::{copies_go_on_where_they_were, sound};
use swath_store_conformance::script::sweep;
use swath_store_conformance::verify::verify;
use swath_store_conformance::{Census, Store};

const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);

async fn submitted(database: &Database, name: &str) {
    let store = std::sync::Arc::new(database.store().await);
    let engine = Engine::start(store, Policy::default(), "here").await;
    let engine = engine.unwrap();
    engine.submit(NOW, sweep(name, &[1, 2], 2)).await.unwrap();
    engine.stop().await;
    engine.store().close().await.unwrap();
}

#[test]
fn copies_go_on_where_they_were_cut_off() {
    copies_go_on_where_they_were(async || {
        let database = Database::new().await?;
        Some((database.store().await, database))
    });
}

#[tokio::test]
async fn a_snapshot_stays_as_it_was() {
    let Some(database) = Database::new().await else {
        return;
    };
    submitted(&database, "one").await;
    let store = database.store().await;
    let mut held = store.snapshot().await.unwrap();
    let before = Census::take(&mut *held, &mut |_, _| {}).await.unwrap();
    submitted(&database, "two").await;
    let after = Census::take(&mut *held, &mut |_, _| {}).await.unwrap();
    assert_eq!(after, before);
    held.close().await.unwrap();
    assert_ne!(sound(&store, &Policy::default()).await, before);
    store.close().await.unwrap();
}

const DAMAGES: [(&str, &str); 5] = [
    (
        "UPDATE sweep_counts SET queued = queued + 1",
        "it counts 5 queued",
    ),
    (
        "UPDATE job SET seed = seed + 1 WHERE id = 4",
        "I6: its seed",
    ),
    ("DELETE FROM job WHERE id = 4", "3 of its 4 jobs are there"),
    (
        "UPDATE sweep SET live = false",
        "I5: it waits and no live sweep",
    ),
    (
        "DELETE FROM cell WHERE id = 2",
        "foreign key: row 3 of `job` names",
    ),
];

#[tokio::test]
async fn damage_is_found() {
    for (damage, wanted) in DAMAGES {
        let Some(database) = Database::new().await else {
            return;
        };
        submitted(&database, "one").await;
        let mut conn = database.connect().await;
        let damage = format!("SET session_replication_role = replica; {damage}");
        raw_sql(AssertSqlSafe(damage))
            .execute(&mut conn)
            .await
            .unwrap();
        let store = database.store().await;
        let mut held = store.snapshot().await.unwrap();
        let found = verify(&mut *held, &Policy::default(), &mut |_, _| {}).await;
        held.close().await.unwrap();
        let findings = found.unwrap().findings;
        let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert!(
            told.iter().any(|it| it.contains(wanted)),
            "{wanted}: {told:#?}"
        );
        store.close().await.unwrap();
    }
}
