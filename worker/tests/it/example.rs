//! The example of a program of one's own, as the worker runs it.

use std::path::Path;

use serde_json::json;
use swath_model::job::StateName;
use swath_store_conformance::subject::Subject;

use crate::coordinator::Coordinator;
use crate::support::{Bench, command};

#[tokio::test]
async fn the_python_example_trains() {
    let coordinator = Coordinator::start();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/python/train.py");
    let argv = ["python3", script.to_str().unwrap()];
    let cells = [0.001, 0.1].map(|lr| {
        let mut spec = command(&argv, &json!({ "lr": lr, "decay": 0.0, "epochs": 5 }));
        spec["trainer"]["metric"] = "test_error".into();
        spec
    });
    coordinator.submit(&cells, 2).await;
    let bench = Bench::new(&coordinator, 2);
    let worker = bench.start();
    coordinator.all_are(StateName::Succeeded).await;
    worker.abort();
    for job in coordinator.jobs().await {
        let measured = job.measurement.unwrap();
        assert!(
            measured.values.get("test_error").unwrap() < 40.0,
            "{measured:?}"
        );
        assert!(measured.train_seconds > 0.0);
        let curve = coordinator.shared.store.curves(job.digest).await.unwrap();
        assert_eq!(curve.len(), 5, "{curve:?}");
        let logs = coordinator.shared.store.logs(job.digest, 0).await.unwrap();
        assert!(logs[0].text.starts_with("weights "));
    }
    // It leaves nothing behind.
    let specs = bench.settings.state_dir.join("specs");
    assert_eq!(std::fs::read_dir(specs).unwrap().count(), 0);
}

#[tokio::test]
async fn a_program_gets_its_spec_its_device_and_its_threads() {
    let coordinator = Coordinator::start();
    let script = r#"
        read -r line
        [ "$line" = "$(cat $SWATH_SPEC)" ] || exit 1
        echo "not JSON: on $SWATH_DEVICE with $OMP_NUM_THREADS"
        echo '{"event": "finished", "accuracy_error": 2.5}'
    "#;
    coordinator
        .submit(&[command(&["sh", "-c", script], &json!({}))], 1)
        .await;
    let bench = Bench::new(&coordinator, 1);
    let worker = bench.start();
    coordinator.all_are(StateName::Succeeded).await;
    worker.abort();
    let job = coordinator.jobs().await.remove(0);
    assert!((job.measured().unwrap() - 2.5).abs() < 1e-9);
    let logs = coordinator.shared.store.logs(job.digest, 0).await.unwrap();
    assert_eq!(logs[0].text, "not JSON: on cpu with 1\n");
}
