//! Sweeps that share jobs and say different things of how these are started.

use std::sync::Arc;

use swath_engine::Engine;
use swath_model::message::{Exchange, Finish, Hello, Overlap, Shares, Submission, SweepChange};
use swath_model::needs::Differs;
use swath_model::offer::Free;
use swath_model::outcome::Provenance;
use swath_model::policy::Policy;
use swath_model::time::Timestamp;
use swath_store_conformance::MemoryStore;
use swath_store_conformance::script::{measured, sweep, worker_about};

const START: Timestamp = Timestamp::from_ms(1_000_000);

/// A sweep whose jobs may take so long.
fn timed(name: &str, cells: &[u32], replicates: u32, timeout_ms: u64) -> Submission {
    let mut sweep = sweep(name, cells, replicates);
    for cell in &mut sweep.cells {
        cell.needs.launch.sweep = Some(name.to_owned());
        cell.needs.launch.timeout_ms = Some(timeout_ms);
    }
    sweep
}

async fn overlaps(engine: &Engine, submission: &Submission) -> Vec<(String, u64)> {
    let overlaps = engine.overlaps(Shares::of(submission)).await.unwrap();
    let told = |it: Overlap| {
        assert_eq!(it.differs, [Differs::Timeout].into());
        (it.sweep, it.jobs)
    };
    overlaps.into_iter().map(told).collect()
}

#[tokio::test]
async fn what_other_sweeps_say_otherwise_of_open_jobs_is_known() {
    let store = Arc::new(MemoryStore::new());
    let engine = Engine::start(store, Policy::default(), "http://here");
    let engine = engine.await.unwrap();
    let one = timed("one", &[1, 2, 3], 1, 1000);
    let same = timed("same", &[2, 3, 4], 2, 1000);
    let other = timed("other", &[2, 3, 4], 2, 2000);
    let with = |name: &str, jobs| vec![(name.to_owned(), jobs)];
    assert_eq!(overlaps(&engine, &one).await, []);
    engine.submit(START, one.clone()).await.unwrap();
    assert_eq!(overlaps(&engine, &one).await, []);
    assert_eq!(overlaps(&engine, &same).await, []);
    // Each has one replicate of two cells that the other has.
    assert_eq!(overlaps(&engine, &other).await, with("one", 2));
    engine.submit(START, other.clone()).await.unwrap();
    assert_eq!(overlaps(&engine, &other).await, []);
    // What was submitted last counts, so the first one would count again.
    assert_eq!(overlaps(&engine, &one).await, with("other", 2));

    // A job that has ended is shared as it is.
    let hello = Hello {
        worker: "w".parse().unwrap(),
        about: worker_about(&[]),
        held: vec![],
        takes_name: false,
    };
    let session = engine.hello(START, hello).await.unwrap().session;
    let owner = swath_model::id::Owner {
        worker: "w".parse().unwrap(),
        session,
    };
    let ask = |request, finishes| Exchange {
        owner: owner.clone(),
        request,
        finishes,
        free: Free::cpu(if request == 1 { 2 } else { 0 }),
    };
    let granted = engine.exchange(START, ask(1, vec![])).await.unwrap().grants;
    let finishes = granted.iter().map(|grant| Finish {
        held: grant.held,
        outcome: measured(1.0),
        provenance: Provenance::default(),
    });
    let finishes: Vec<Finish> = finishes.collect();
    assert_eq!(finishes.len(), 2);
    engine.exchange(START, ask(2, finishes)).await.unwrap();
    assert_eq!(overlaps(&engine, &one).await, with("other", 1));

    // Nobody asks what a cancelled sweep wants.
    let cancel = SweepChange::Cancel;
    engine
        .change_sweep(START, other.digest, cancel)
        .await
        .unwrap();
    assert_eq!(overlaps(&engine, &one).await, []);
}
