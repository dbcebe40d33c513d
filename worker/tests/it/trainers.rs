//! Trainers: kept warm, replaced after a fault, gone when they should be.

use std::time::Duration;

use swath_model::job::StateName;
use swath_store_conformance::subject::Subject;

use crate::coordinator::Coordinator;
use crate::support::{Bench, lives, pid_in, training, until};

/// Errors of succeeded jobs in order of finishing. The fake trainer reports how
/// many specs it has served.
async fn served(coordinator: &Coordinator) -> Vec<f64> {
    let jobs = coordinator.jobs().await.into_iter();
    let measured = jobs.filter_map(|job| job.measurement);
    let mut served: Vec<_> = measured
        .filter_map(|measured| measured.values.get("test_error"))
        .collect();
    served.sort_by(f64::total_cmp);
    served
}

#[tokio::test]
async fn a_trainer_stays_warm() {
    let coordinator = Coordinator::start();
    coordinator.submit(&[training("ok")], 4).await;
    let bench = Bench::new(&coordinator, 1);
    let worker = bench.start();
    coordinator.all_are(StateName::Succeeded).await;
    let detail = coordinator.detail().await;
    let store = &coordinator.shared.store;
    // Logs are reported after the outcome. Each job has its own lines, however
    // soon the next one begins.
    for job in coordinator.jobs().await {
        until("its log is there", async || {
            !store.logs(job.digest, 0).await.unwrap().is_empty()
        })
        .await;
        let logs = store.logs(job.digest, 0).await.unwrap();
        let served = job.measured().unwrap();
        assert_eq!(logs[0].text, format!("serving {served}\n"));
    }
    worker.abort();
    assert_eq!(served(&coordinator).await, [1.0, 2.0, 3.0, 4.0]);
    let attempt = &detail.attempts[0];
    assert_eq!(attempt.provenance.as_ref().unwrap().device, "test cpu");
    let curve = store.curves(detail.job.digest).await.unwrap();
    assert_eq!(curve.len(), 2);
}

#[tokio::test]
async fn a_trainer_is_replaced_after_a_fault() {
    let coordinator = Coordinator::start();
    let specs = [
        training("ok"),
        training("fail diverged"),
        training("ok again"),
    ];
    coordinator.submit(&specs, 1).await;
    let bench = Bench::new(&coordinator, 1);
    let worker = bench.start();
    until("two succeed", async || {
        coordinator.count(StateName::Succeeded).await == 2
    })
    .await;
    worker.abort();
    assert_eq!(served(&coordinator).await, [1.0, 1.0]);
}

#[tokio::test]
async fn a_cancelled_training_stops_however_stubborn() {
    let coordinator = Coordinator::start();
    let bench = Bench::new(&coordinator, 1);
    let pid = bench.path("pid");
    let specs = [training(&format!("polite {}", pid.display()))];
    coordinator.submit(&specs, 1).await;
    let worker = bench.start();
    let pid = pid_in(&pid).await;
    let job = coordinator.jobs().await[0].digest;
    let now = coordinator.shared.now();
    coordinator
        .shared
        .store
        .cancel_jobs(now, vec![job])
        .await
        .unwrap();
    coordinator.all_are(StateName::Cancelled).await;
    assert!(!lives(pid));
    worker.abort();
}

#[tokio::test]
async fn a_silent_trainer_is_ended() {
    let coordinator = Coordinator::start();
    let mut bench = Bench::new(&coordinator, 1);
    bench.settings.hang_timeout = Duration::from_millis(100);
    let pid = bench.path("pid");
    let specs = [training(&format!("hang {}", pid.display()))];
    coordinator.submit(&specs, 1).await;
    let worker = bench.start();
    let pid = pid_in(&pid).await;
    until("it times out", async || {
        let attempts = coordinator.detail().await.attempts;
        attempts[0].message.starts_with("hangs: no line for 1 s")
    })
    .await;
    until("it is gone", async || !lives(pid)).await;
    worker.abort();
}

#[tokio::test]
async fn a_chatterer_is_cut_short_and_finishes() {
    let coordinator = Coordinator::start();
    coordinator.submit(&[training("chatter")], 1).await;
    let bench = Bench::new(&coordinator, 1);
    let worker = bench.start();
    coordinator.all_are(StateName::Succeeded).await;
    worker.abort();
    let job = coordinator.jobs().await[0].digest;
    let logs = coordinator.shared.store.logs(job, 0).await.unwrap();
    assert!(logs.windows(2).any(|pair| pair[1].begin > pair[0].end()));
    let bytes: usize = logs.iter().map(|chunk| chunk.text.len()).sum();
    assert!(bytes < 200 << 10);
}
