//! What a probe measures, through the built program.

mod support;

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};
use support::{digits, lines, succeed, trainer, write_spec};

/// The result of a probe of 20 steps.
fn probe(extra: &Value) -> Value {
    let mut spec = digits(extra);
    let tree = spec.as_object_mut().unwrap();
    tree.remove("epochs");
    tree.insert("steps".to_owned(), json!(20));
    tree.insert("probe".to_owned(), json!(true));
    spec
}

#[test]
fn a_probe_needs_no_data_and_leaves_no_file() {
    let root = tempfile::tempdir().unwrap();
    let model = json!({"name": "resnet_preact", "depth": 8, "initial_channels": 4});
    let spec = probe(&json!({"dataset": {"name": "mnist"}, "model": model}));
    write_spec(root.path(), &spec);
    let mut command = trainer(root.path());
    command.current_dir(root.path());
    let train = ["train", "--spec", "spec.json", "--out", "out"];
    let events = lines(&succeed(command.args(train)));
    let [started, finished] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert_eq!(started["total_steps"], 20);
    let metric = |name: &str| finished["metrics"][name].as_f64().unwrap();
    assert!(metric("probe.step_seconds") > 0.0, "{finished}");
    assert!(metric("probe.evaluation_seconds") > 0.0, "{finished}");
    // 60,000 images in whole batches of 64.
    assert_eq!(finished["metrics"]["probe.steps_per_epoch"], 937.0);
    assert_eq!(finished["metrics"]["probe.train_images"], 60_000.0);
    // The images alone take 47 MB.
    assert!(metric("probe.memory_bytes") > 47e6, "{finished}");
    assert!(!root.path().join("out").exists());
}

#[test]
fn a_probe_counts_its_own_memory_and_not_that_of_one_before() {
    let root = tempfile::tempdir().unwrap();
    // Learning rates at which no loss stays finite are no reason to stop.
    let small = probe(&json!({"batch_size": 8, "optimizer": {"lr": 1e6}}));
    let large = probe(&json!({"batch_size": 1024, "model": {"initial_channels": 32}}));
    let mut command = trainer(root.path());
    let mut child = command
        .arg("serve")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    for spec in [&small, &large, &small] {
        writeln!(input, "{spec}").unwrap();
    }
    drop(input);
    let events = lines(&child.wait_with_output().unwrap());
    let finished = events.iter().filter(|event| event["event"] == "finished");
    let memory = finished.map(|event| event["metrics"]["probe.memory_bytes"].as_f64().unwrap());
    let memory: Vec<f64> = memory.collect();
    let [before, large, after] = memory.as_slice() else {
        panic!("{events:?}");
    };
    assert!(*large > 1.5 * before, "{memory:?}");
    assert!((after / before - 1.0).abs() < 0.2, "{memory:?}");
}
