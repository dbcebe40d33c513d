//! Trainings with each augmentation through the built program.

mod support;

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};
use support::{Array, digits, lines, succeed, trainer, write_spec};

/// The events of trainings of `specs`, one after another in one process.
fn serve(specs: &[Value]) -> Vec<Vec<Value>> {
    let root = tempfile::tempdir().unwrap();
    let mut child = trainer(root.path())
        .arg("serve")
        .arg("--out")
        .arg(root.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for spec in specs {
        writeln!(stdin, "{spec}").unwrap();
    }
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let mut trainings = Vec::new();
    for event in lines(&output) {
        match event["event"].as_str() {
            Some("started") => trainings.push(vec![event]),
            Some("ready") => {}
            _ => trainings.last_mut().unwrap().push(event),
        }
    }
    trainings
}

fn last<'a>(events: &'a [Value], name: &str) -> &'a Value {
    let found = events.iter().rev().find(|event| event["event"] == name);
    found.unwrap_or_else(|| panic!("no {name}: {events:?}"))
}

/// How many images of an epoch its `train_error` counts as wrong.
fn wrong_images(events: &[Value]) -> f64 {
    // 21 batches of 64; the rest of the 1,347 images is dropped.
    last(events, "epoch")["train_error"].as_f64().unwrap() / 100.0 * 1344.0
}

#[test]
fn every_augmentation_learns_and_a_repeated_training_is_the_same() {
    let all = json!({
        "random_crop": {"padding": 1}, "random_erasing": {}, "cutout": {"size": 3}, "ricap": {},
    });
    let with = |augmentation: Value| digits(&json!({"augmentation": augmentation, "epochs": 5}));
    let specs = [
        with(json!({})),
        digits(&json!({"loss": {"label_smoothing": 0.1}, "epochs": 5})),
        with(json!({"random_erasing": {}})),
        with(json!({"dual_cutout": {"size": 4}})),
        with(json!({"mixup": {}})),
        with(json!({"cutmix": {}})),
        with(all.clone()),
        with(all),
    ];
    let trainings = serve(&specs);
    assert_eq!(trainings.len(), specs.len());
    let mut seen = Vec::new();
    for (index, events) in trainings.iter().enumerate() {
        let finished = last(events, "finished");
        let error = finished["test_error"].as_f64().unwrap();
        // Guessing gives 90.
        assert!(error < 60.0, "{}: {error}", specs[index]["augmentation"]);
        let wrong = wrong_images(events);
        let whole = (wrong - wrong.round()).abs() < 1e-6;
        assert_eq!(whole, index < 4, "only shares count in parts: {wrong}");
        seen.push(finished["test_loss"].to_string());
    }
    assert_eq!(seen.pop(), seen.last().cloned(), "repeated");
    seen.sort();
    seen.dedup();
    assert_eq!(
        seen.len(),
        7,
        "each computes something of its own: {seen:?}"
    );
}

/// All images are alike, and each batch has four of each of two classes. So no
/// way to mix changes a pixel, and half of each share of a batch is wrong.
#[test]
fn shares_of_mixed_batches_sum_to_one() {
    let root = tempfile::tempdir().unwrap();
    let images = |count: usize| Array {
        dtype: safetensors::Dtype::U8,
        shape: vec![count, 1, 8, 8],
        bytes: vec![100; count * 64],
    };
    let labels = |count: usize| Array {
        dtype: safetensors::Dtype::I64,
        shape: vec![count],
        bytes: (0..count)
            .flat_map(|at| (at as i64 % 2).to_le_bytes())
            .collect(),
    };
    let path = root.path().join("alike.safetensors");
    let arrays = [
        ("train_images", images(64)),
        ("train_labels", labels(64)),
        ("test_images", images(4)),
        ("test_labels", labels(4)),
    ];
    support::write(
        &path,
        &arrays.map(|(name, array)| (name.to_owned(), array)).into(),
    );
    let spec = |augmentation: Value| {
        digits(&json!({
            "dataset": {"name": "tensors", "path": path.to_str().unwrap()},
            "augmentation": augmentation, "batch_size": 8, "shuffle": false,
        }))
    };
    let mut specs = vec![spec(json!({}))];
    specs.extend(["mixup", "cutmix", "ricap"].map(|way| spec(json!({ way: {} }))));
    let trainings = serve(&specs);
    let number = |events: &[Value], key: &str| last(events, "epoch")[key].as_f64().unwrap();
    let plain = number(&trainings[0], "train_loss");
    for events in &trainings {
        let error = number(events, "train_error");
        assert!((error - 50.0).abs() < 1e-9, "{error}");
        let loss = number(events, "train_loss");
        assert!((loss - plain).abs() < 1e-4, "{loss} {plain}");
    }
    // What the size of a user's own images rules out is reported before
    // training.
    let path = write_spec(root.path(), &spec(json!({"cutout": {"size": 16}})));
    let mut command = trainer(root.path());
    let output = command
        .arg("train")
        .arg("--spec")
        .arg(&path)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(11));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("`augmentation.cutout.size`: 16 hides 8×8 images whole"),
        "{said}"
    );
    let path = write_spec(root.path(), &spec(json!({"cutout": {"size": 14}})));
    succeed(trainer(root.path()).arg("train").arg("--spec").arg(&path));
}
