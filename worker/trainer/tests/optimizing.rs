//! Optimizers, batches and number formats through the built program.

mod support;

use std::path::Path;

use serde_json::{Value, json};
use support::{digits, lines, read, succeed, trainer, write_spec};

/// The events of a training and its weights.
fn trained(root: &Path, extra: &Value) -> (Vec<Value>, support::Arrays) {
    let spec = write_spec(root, &digits(extra));
    let mut command = trainer(root);
    command
        .args(["train", "--threads", "1", "--spec"])
        .arg(spec);
    let events = lines(&succeed(command.arg("--out").arg(root)));
    (events, read(&root.join("weights.safetensors")))
}

/// Each of them learns the digits (guessing is wrong for 90 %), and none gives
/// the result of the plain training.
#[test]
fn every_optimizer_batch_and_number_format_trains() {
    let root = || tempfile::tempdir().unwrap();
    let (_, plain) = trained(root().path(), &json!({}));
    for extra in [
        json!({"optimizer": {"name": "lars", "lr": 0.02}}),
        json!({"optimizer": {"name": "adam", "lr": 0.003}}),
        json!({"optimizer": {"name": "adamw", "lr": 0.003, "weight_decay_on": "weights"}}),
        json!({"optimizer": {"weight_decay_on": "all_but_bn"}}),
        json!({"ghost_batch_size": 16}),
        json!({"accumulation_steps": 4}),
        json!({"gradient_clip_norm": 0.5}),
        json!({"precision": "bf16"}),
    ] {
        let (events, weights) = trained(root().path(), &extra);
        let last = events.last().unwrap();
        assert!(
            last["test_error"].as_f64().unwrap() < 60.0,
            "{extra}: {last}"
        );
        assert_ne!(weights, plain, "{extra}");
        // Files hold f32, whatever the layers computed with.
        assert!(weights["fc.weight"].floats().iter().all(|w| w.is_finite()));
    }
}

#[test]
fn a_batch_schedule_changes_the_steps_of_its_epochs() {
    let root = tempfile::tempdir().unwrap();
    let extra = json!({"batch_schedule": [{"epoch": 1, "batch_size": 128}]});
    let (events, _) = trained(root.path(), &extra);
    // 1347 digits: 21 batches of 64, then 10 of 128.
    let epochs = events.iter().filter(|event| event["event"] == "epoch");
    let ends: Vec<u64> = epochs.map(|e| e["step"].as_u64().unwrap()).collect();
    assert_eq!(ends, [21, 31]);
    let spec = root.path().join("spec.json");
    let output = succeed(trainer(root.path()).arg("schedule").arg("--spec").arg(spec));
    let text = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<&str> = text.lines().collect();
    assert_eq!(rows.len(), 32);
    assert!(rows[21].starts_with("20,0,") && rows[21].ends_with(",64"));
    assert!(rows[22].starts_with("21,1,") && rows[22].ends_with(",128"));
}
