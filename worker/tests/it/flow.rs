//! Jobs flow, whatever happens to the connection.

use std::sync::atomic::Ordering;
use std::time::Duration;

use swath_agent::Exit;
use swath_model::job::StateName;
use swath_model::policy::Policy;
use swath_proto::PROTOCOL_VERSION;
use swath_store_conformance::subject::Subject;

use crate::coordinator::Coordinator;
use crate::support::{Bench, null, training, until};

#[tokio::test]
async fn null_jobs_flow_and_the_idle_worker_ends() {
    let coordinator = Coordinator::start();
    coordinator.submit(&[null()], 500).await;
    let mut bench = Bench::new(&coordinator, 2);
    bench.settings.exit_when_idle = Some(Duration::from_millis(300));
    let exit = bench.start().await.unwrap().unwrap();
    assert_eq!(exit, Exit::Done);
    assert_eq!(coordinator.count(StateName::Succeeded).await, 500);
    coordinator.assert_first_attempts().await;
    let detail = coordinator.detail().await;
    let measured = detail.job.measurement.unwrap();
    assert!(
        (measured.values.get("test_error").unwrap() - (detail.job.seed % 1000) as f64 / 10.0).abs()
            < 1e-9
    );
}

/// This is not a benchmark, which would fail on a loaded machine: it only
/// checks that there is not one call per job.
#[tokio::test]
async fn null_jobs_are_taken_in_bulk() {
    let coordinator = Coordinator::start();
    coordinator.submit(&[null()], 3_000).await;
    let bench = Bench::new(&coordinator, 2);
    let worker = bench.start();
    coordinator.all_are(StateName::Succeeded).await;
    worker.abort();
    let calls = coordinator.shared.exchanges.load(Ordering::SeqCst);
    assert!(calls < 600, "{calls} exchanges for 3000 jobs");
}

#[tokio::test]
async fn lost_replies_lose_and_repeat_nothing() {
    // Two heartbeats without a job that was lost on the way would take it back,
    // which is not the subject of this test.
    let coordinator = Coordinator::with(Policy::default());
    coordinator.shared.lose_exchanges.store(5, Ordering::SeqCst);
    coordinator.shared.lose_observes.store(2, Ordering::SeqCst);
    coordinator.submit(&[training("ok")], 20).await;
    let bench = Bench::new(&coordinator, 2);
    let worker = bench.start();
    coordinator.all_are(StateName::Succeeded).await;
    worker.abort();
    assert_eq!(coordinator.shared.lose_exchanges.load(Ordering::SeqCst), 0);
    coordinator.assert_first_attempts().await;
}

#[tokio::test]
async fn a_training_goes_on_while_the_coordinator_is_away() {
    let mut coordinator = Coordinator::start();
    let bench = Bench::new(&coordinator, 1);
    let go = bench.path("go");
    coordinator
        .submit(&[training(&format!("wait {}", go.display()))], 1)
        .await;
    let worker = bench.start();
    until("the first epoch is known", async || {
        let jobs = coordinator.jobs().await;
        let curve = coordinator
            .shared
            .store
            .curves(jobs[0].digest)
            .await
            .unwrap();
        !curve.is_empty()
    })
    .await;
    coordinator.stop();
    std::fs::write(&go, "").unwrap();
    let spool = bench.settings.state_dir.clone();
    until("the outcome is in the spool", async || {
        let files = std::fs::read_dir(&spool).unwrap().flatten();
        let texts = files.map(|file| std::fs::read_to_string(file.path()).unwrap_or_default());
        texts.into_iter().any(|text| text.contains("measured"))
    })
    .await;
    assert_eq!(coordinator.count(StateName::Leased).await, 1);
    coordinator.start_again().await;
    coordinator.all_are(StateName::Succeeded).await;
    coordinator.assert_first_attempts().await;
    // The session continued, and no epoch is missing.
    assert_eq!(coordinator.shared.hellos.load(Ordering::SeqCst), 1);
    let digest = coordinator.jobs().await[0].digest;
    let curve = coordinator.shared.store.curves(digest).await.unwrap();
    assert_eq!(curve.len(), 2);
    worker.abort();
}

#[tokio::test]
async fn a_second_worker_of_one_name_gives_way() {
    let coordinator = Coordinator::start();
    let bench = Bench::new(&coordinator, 1);
    let go = bench.path("go");
    let spec = training(&format!("wait {}", go.display()));
    coordinator.submit(&[spec], 1).await;
    let worker = bench.start();
    until("the job is under way", async || {
        go.with_extension("pid").exists()
    })
    .await;
    let second = Bench::new(&coordinator, 1);
    let Exit::Displaced(why) = second.start().await.unwrap().unwrap() else {
        panic!("two workers of one name");
    };
    assert!(
        why.contains("under the name `w`") && why.contains("--name"),
        "{why}"
    );
    std::fs::write(&go, "").unwrap();
    coordinator.all_are(StateName::Succeeded).await;
    coordinator.assert_first_attempts().await;
    assert_eq!(coordinator.shared.hellos.load(Ordering::SeqCst), 2);
    worker.abort();
}

#[tokio::test]
async fn a_stale_session_is_followed_by_another_with_what_is_held() {
    let coordinator = Coordinator::start();
    let bench = Bench::new(&coordinator, 1);
    let go = bench.path("go");
    coordinator
        .submit(&[training(&format!("wait {}", go.display()))], 1)
        .await;
    let worker = bench.start();
    until("the job is under way", async || {
        go.with_extension("pid").exists()
    })
    .await;
    // The same worker begins another session, claiming nothing: its state
    // directory was copied.
    let state_id = std::fs::read_to_string(bench.settings.state_dir.join("state-id")).unwrap();
    let hello = swath_store_conformance::Hello {
        worker: "w".parse().unwrap(),
        about: bench
            .settings
            .about(state_id.trim().parse().unwrap(), &bench.settings.out),
        held: Vec::new(),
        takes_name: false,
    };
    let now = coordinator.shared.now();
    coordinator.shared.store.hello(now, hello).await.unwrap();
    until("the worker says hello again", async || {
        coordinator.shared.hellos.load(Ordering::SeqCst) == 2
    })
    .await;
    std::fs::write(&go, "").unwrap();
    coordinator.all_are(StateName::Succeeded).await;
    worker.abort();
}

#[tokio::test]
async fn an_ordered_drain_gives_back_and_ends() {
    let coordinator = Coordinator::start();
    let bench = Bench::new(&coordinator, 1);
    let pid = bench.path("pid");
    coordinator
        .submit(&[training(&format!("polite {}", pid.display()))], 2)
        .await;
    let worker = bench.start();
    crate::support::pid_in(&pid).await;
    coordinator.shared.drain.store(true, Ordering::SeqCst);
    assert_eq!(worker.await.unwrap().unwrap(), Exit::Done);
    assert_eq!(coordinator.count(StateName::Queued).await, 2);
}

#[tokio::test]
async fn another_protocol_ends_the_worker() {
    let coordinator = Coordinator::start();
    coordinator
        .shared
        .other_protocol
        .store(true, Ordering::SeqCst);
    let exit = Bench::new(&coordinator, 1).start().await.unwrap().unwrap();
    let Exit::Failed(why) = exit else {
        panic!("{exit:?}");
    };
    let own = format!("protocol {PROTOCOL_VERSION}");
    assert!(why.contains(&own) && why.contains("99"), "{why}");
}
