//! A row that no reader can take: it hides no other, is found, and goes with its
//! sweep.

use std::sync::Arc;

use serde_json::{Value, json};
use swath_engine::Engine;
use swath_model::id::SweepDigest;
use swath_model::message::{Files, Sources, Submission, SubmittedCell};
use swath_model::needs::Needs;
use swath_model::policy::Policy;
use swath_model::spec::cell_digest;
use swath_model::time::Timestamp;
use swath_model::view::SweepKind;
use swath_store::Store;
use swath_store_sqlite::SqliteStore;

use crate::support::{Serving, Site, json as read};

/// Stores a sweep whose cells have specs of so many levels, past the checks of a
/// submit.
fn store(site: &Site, name: &str, levels: &[usize]) {
    let cells = levels.iter().map(|levels| {
        let lists = "[".repeat(levels - 2) + &"]".repeat(levels - 2);
        let spec = format!("{{\"params\":{{\"a\":{lists}}},\"trainer\":{{\"null\":true}}}}");
        SubmittedCell {
            digest: cell_digest(&spec),
            axes: Vec::new(),
            spec,
            needs: Needs::default(),
        }
    });
    let submission = Submission {
        digest: SweepDigest::from_bytes([levels.len() as u8; 32]),
        name: name.to_owned(),
        title: String::new(),
        replicates: 1,
        replicates_max: None,
        kind: SweepKind::Training,
        priority: 0,
        sources: Sources::Files(Files::default()),
        definition: json!({"layout": {"list": {"rows": [], "columns": []}}, "grid": {"axes": []}}),
        cells: cells.collect(),
        owner: String::new(),
        tags: Vec::new(),
        ships: Vec::new(),
    };
    let path = site.path().join("swath.db");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Arc::new(SqliteStore::open(path).await.unwrap());
        let engine = Engine::start(store.clone(), Policy::default(), "");
        let engine = engine.await.unwrap();
        engine
            .submit(Timestamp::from_ms(1), submission)
            .await
            .unwrap();
        engine.stop().await;
        store.close().await.unwrap();
    });
}

fn jobs(site: &Site) -> Vec<Value> {
    let done = site.local("jobs -o json");
    assert_eq!(done.code, 0, "{}", done.stderr);
    read(&done.stdout)["jobs"].as_array().unwrap().clone()
}

#[test]
fn an_unreadable_row_hides_no_other() {
    let site = Site::new();
    store(&site, "deep", &[3, 100, 130, 300, 100_000]);
    assert_eq!(site.local("submit small.toml").code, 0);
    let jobs = jobs(&site);
    assert_eq!(jobs.len(), 11);
    let is_unreadable = |job: &&Value| job["unreadable"] == "too_deep";
    let unreadable: Vec<&Value> = jobs.iter().filter(is_unreadable).collect();
    assert_eq!(unreadable.len(), 4);
    assert!(unreadable.iter().all(|job| job["spec"].is_null()));
    assert_eq!(jobs[0]["spec"]["params"], json!({"a": []}));
    let id = unreadable[0]["digest"].as_str().unwrap();
    let listed = site.local("jobs -o wide");
    let row = listed
        .stdout
        .lines()
        .find(|line| line.contains(id))
        .unwrap();
    for told in ["queued, unreadable", "nested deeper than 64 levels"] {
        assert!(row.contains(told), "{row}");
    }
    for verb in [
        "status",
        "status deep",
        "sweeps",
        "jobs deep",
        "jobs params.x=1",
    ] {
        let done = site.local(verb);
        assert_eq!(done.code, 0, "{verb}: {}", done.stderr);
    }
    let explained = site.local(&format!("explain {id}"));
    assert!(
        explained.stdout.contains("nested deeper than 64 levels"),
        "{}",
        explained.stdout
    );
}

#[test]
fn an_unreadable_row_is_found_and_goes_with_its_sweep() {
    let site = Site::new();
    store(&site, "deep", &[3, 130]);
    assert_eq!(site.local("submit small.toml").code, 0);
    let verify = || site.run("store verify --database sqlite:swath.db");
    let found = verify();
    assert_eq!(found.code, 1, "{}", found.stdout);
    assert!(
        found
            .stdout
            .contains("no reader can take it: its spec is nested deeper than 64 levels"),
        "{}",
        found.stdout
    );
    let serving = Serving::start(&site, "sqlite:swath.db");
    let delete = format!("--coordinator {} delete deep --cancel --yes", serving.url);
    let deleted = site.run(&delete);
    assert_eq!(deleted.code, 0, "{}", deleted.stderr);
    assert_eq!(serving.stop(), Some(0));
    assert_eq!(verify().code, 0);
    assert_eq!(jobs(&site).len(), 6);
}
