//! Optimizers, batches and number formats through the built program.

mod support;

use std::path::Path;

use safetensors::Dtype;
use serde_json::{Value, json};
use support::{Array, Arrays, digits, lines, read, relative, succeed, trainer, write, write_spec};

/// The events of a training, and its weights.
fn trained(root: &Path, extra: &Value) -> (Vec<Value>, support::Arrays) {
    let spec = write_spec(root, &digits(extra));
    let mut command = trainer(root);
    command
        .args(["train", "--threads", "1", "--spec"])
        .arg(spec);
    let events = lines(&succeed(command.arg("--out").arg(root)));
    (events, read(&root.join("weights.safetensors")))
}

/// Each of them learns the digits (90 % are wrong by chance), none as the
/// plain training does.
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

/// A file of `count` training images of one pixel and two test images.
fn write_pixels(path: &Path, count: usize) {
    let mut arrays = Arrays::new();
    for (name, count) in [("train", count), ("test", 2)] {
        let images = Array {
            dtype: Dtype::U8,
            shape: vec![count, 1, 1, 1],
            bytes: (0..count).map(|at| (at * 53 % 256) as u8).collect(),
        };
        let labels = Array {
            dtype: Dtype::I64,
            shape: vec![count],
            bytes: (0..count as i64)
                .flat_map(|at| (at % 2).to_le_bytes())
                .collect(),
        };
        arrays.insert(format!("{name}_images"), images);
        arrays.insert(format!("{name}_labels"), labels);
    }
    write(path, &arrays);
}

/// A batch or a chunk of one pixel has no variance; the fused layers of fp32
/// and libtorch's own of bf16 agree on what that does to the running one.
#[test]
fn one_value_per_channel_leaves_the_running_variance_a_number() {
    // Batches of 4, 4, 1; of 4, 4, 3 in chunks of 2, the last one of 1.
    for (count, ghost) in [(9, json!(4)), (11, json!(2))] {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let path = root.join("pixels.safetensors");
        write_pixels(&path, count);
        let of = |precision: &str| {
            let extra = json!({
                "dataset": {"name": "tensors", "path": path},
                "batch_size": 4, "drop_last": false, "ghost_batch_size": ghost,
                "epochs": 1, "optimizer": {"lr": 1e-6}, "precision": precision,
            });
            let (events, weights) = trained(root, &extra);
            assert!(events.last().unwrap()["test_loss"].is_f64(), "{events:?}");
            weights
        };
        let (plain, half) = (of("fp32"), of("bf16"));
        let mut checked = 0;
        for (name, array) in plain
            .iter()
            .filter(|(name, _)| name.ends_with("running_var"))
        {
            // NaN is not below, either.
            let away = relative(&half[name], array);
            assert!(away < 0.05, "{name}: {away}, {:?}", half[name].floats());
            checked += 1;
        }
        assert!(checked > 3);
    }
}
