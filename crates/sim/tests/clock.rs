//! A wall clock that is set back between two lives of the coordinator.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use swath_engine::ledger::Prepared;
use swath_engine::{ByHand, Engine};
use swath_model::id::{Owner, Replicate, SweepDigest};
use swath_model::message::{
    Ack, Exchange, Files, Finish, Hello, Sources, Submission, SubmittedCell, SweepChange,
};
use swath_model::needs::Needs;
use swath_model::offer::Free;
use swath_model::outcome::{Fault, Outcome, Provenance};
use swath_model::policy::Policy;
use swath_model::seed::Seeds;
use swath_model::spec::{cell_digest, job_digest};
use swath_model::time::Timestamp;
use swath_model::view::WorkerAbout;
use swath_store_conformance::MemoryStore;

const SPEC: &str = r#"{"params":{"x":1}}"#;

fn poll<T>(work: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    work.poll(&mut Context::from_waker(Waker::noop()))
}

fn ready<T>(work: impl Future<Output = T>) -> T {
    match poll(pin!(work)) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("rows in memory are ready at once"),
    }
}

/// Makes one call, with the engine's turn in between.
fn call<T>(hand: &mut ByHand, work: impl Future<Output = swath_store::Result<T>>) -> T {
    let mut work = pin!(work);
    assert!(poll(work.as_mut()).is_pending(), "without the engine");
    ready(hand.turn());
    match poll(work) {
        Poll::Ready(result) => result.expect("a call that is taken"),
        Poll::Pending => panic!("the engine has taken its turn"),
    }
}

fn start(store: &MemoryStore) -> (Engine, ByHand) {
    let started = Engine::by_hand(Arc::new(store.clone()), Policy::default(), "here");
    ready(started).expect("the engine starts")
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_ms(seconds * 1_000)
}

/// An operator cancels a job, and no worker is told. Then the clock is set
/// back. The job is retried and must not end earlier than it did before, or its
/// sweep would show a time that none of its jobs has.
#[test]
fn a_job_ends_later_than_it_did_before() {
    let store = MemoryStore::new();
    let cell = cell_digest(SPEC);
    let job = job_digest(SPEC, Seeds::in_text(SPEC).seed(cell, Replicate(1)));
    let submission = Submission {
        digest: SweepDigest::from_bytes([1; 32]),
        name: "s".to_owned(),
        title: String::new(),
        replicates: 1,
        replicates_max: None,
        kind: swath_model::view::SweepKind::Training,
        priority: 0,
        sources: Sources::Files(Files::default()),
        definition: serde_json::Value::Null,
        cells: vec![SubmittedCell {
            digest: cell,
            axes: Vec::new(),
            spec: SPEC.to_owned(),
            needs: Needs::default(),
        }],
        owner: String::new(),
        tags: Vec::new(),
        ships: Vec::new(),
    };
    let sweep = submission.digest;
    let (engine, mut hand) = start(&store);
    let prepared = Prepared::new(submission.clone());
    call(&mut hand, engine.submit_prepared(at(10), prepared));
    call(&mut hand, engine.cancel_jobs(at(5_000), vec![job]));
    call(
        &mut hand,
        engine.change_sweep(at(5_000), sweep, SweepChange::Cancel),
    );
    drop((engine, hand));

    let (engine, mut hand) = start(&store);
    let prepared = Prepared::new(submission);
    call(&mut hand, engine.submit_prepared(at(20), prepared));
    let hello = Hello {
        worker: "w".parse().expect("a name"),
        about: WorkerAbout::default(),
        held: Vec::new(),
        takes_name: false,
    };
    let owner = Owner {
        worker: hello.worker.clone(),
        session: call(&mut hand, engine.hello(at(21), hello)).session,
    };
    let exchange = |request, finishes| Exchange {
        owner: owner.clone(),
        request,
        finishes,
        free: Free::cpu(u32::from(request == 1)),
    };
    let granted = call(&mut hand, engine.exchange(at(22), exchange(1, Vec::new())));
    let finish = Finish {
        held: granted.grants[0].held,
        outcome: Outcome::Failed {
            fault: Fault::Invalid,
            message: "no such model".to_owned(),
        },
        provenance: Provenance::default(),
    };
    let finished = engine.exchange(at(30), exchange(2, vec![finish]));
    assert_eq!(call(&mut hand, finished).acks, [Ack::Recorded]);
}
