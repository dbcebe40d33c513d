//! Several coordinators over one store: the worker finds the one that leads.

use std::sync::atomic::Ordering;
use std::time::Duration;

use swath_model::job::StateName;
use swath_store_conformance::subject::Subject;

use crate::coordinator::Coordinator;
use crate::support::{Bench, null, training, until};

/// An address where nobody listens.
const DEAD: &str = "http://127.0.0.1:1";

#[tokio::test]
async fn a_dead_first_address_costs_nothing_but_a_try() {
    let coordinator = Coordinator::start();
    coordinator.submit(&[null()], 50).await;
    let mut bench = Bench::new(&coordinator, 1);
    bench.settings.coordinators = vec![DEAD.to_owned(), coordinator.url()];
    let worker = bench.start();
    coordinator.all_are(StateName::Succeeded).await;
    worker.abort();
    coordinator.assert_first_attempts().await;
    assert_eq!(coordinator.shared.hellos.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_standby_names_the_leader() {
    let leader = Coordinator::start();
    let standby = leader.standby();
    leader.submit(&[null()], 50).await;
    // The leader is not in the list of this worker.
    let bench = Bench::new(&standby, 1);
    let worker = bench.start();
    leader.all_are(StateName::Succeeded).await;
    worker.abort();
    leader.assert_first_attempts().await;
}

#[tokio::test]
async fn a_worker_alone_with_a_standby_waits_until_it_leads() {
    let mut leader = Coordinator::start();
    let standby = leader.standby();
    leader.submit(&[null()], 5).await;
    leader.stop();
    let bench = Bench::new(&standby, 1);
    let worker = bench.start();
    standby.take_over();
    standby.all_are(StateName::Succeeded).await;
    worker.abort();
}

#[tokio::test]
async fn a_takeover_costs_no_training() {
    let mut first = Coordinator::start();
    let second = first.standby();
    let mut bench = Bench::new(&first, 1);
    bench.settings.coordinators.push(second.url());
    let go = bench.path("go");
    let spec = training(&format!("wait {}", go.display()));
    first.submit(&[spec, null()], 1).await;
    let worker = bench.start();
    until("the first epoch is known", async || {
        let mut points = 0;
        for job in first.jobs().await {
            let curve = first.shared.store.curves(job.digest).await.unwrap();
            points += curve.len();
        }
        points > 0
    })
    .await;
    first.stop();
    second.take_over();
    std::fs::write(&go, "").unwrap();
    second.all_are(StateName::Succeeded).await;
    second.assert_first_attempts().await;
    // The second answers in the session that the first gave.
    assert_eq!(second.shared.hellos.load(Ordering::SeqCst), 1);
    worker.abort();
}

/// A stopped process answers nothing and breaks no connection. A call that waits
/// there is made again at the coordinator that answered another call.
#[tokio::test]
async fn a_call_that_waits_at_a_silent_leader_moves_with_the_others() {
    let first = Coordinator::start();
    let second = first.standby();
    let mut bench = Bench::new(&first, 1);
    bench.settings.coordinators.push(second.url());
    let worker = bench.start();
    until("the worker waits for a job", async || {
        first.shared.exchanges.load(Ordering::SeqCst) > 0
    })
    .await;
    second.take_over();
    first.stand_by(&second);
    second.submit(&[null()], 5).await;
    let patience = Duration::from_secs(15);
    let done = tokio::time::timeout(patience, second.all_are(StateName::Succeeded));
    done.await.expect("the question stayed with the silent one");
    worker.abort();
}
