//! What a training measures besides its test error, through the built program.

mod support;

use std::path::Path;
use std::process::Output;

use safetensors::Dtype;
use serde_json::{Value, json};
use support::{Array, Arrays, digits, lines, read, succeed, trainer, write, write_spec};

fn run(root: &Path, arguments: &[&str]) -> Output {
    let mut command = trainer(root);
    command.current_dir(root).args(arguments);
    command.output().unwrap()
}

fn run_well(root: &Path, arguments: &[&str]) -> Vec<Value> {
    let mut command = trainer(root);
    lines(&succeed(command.current_dir(root).args(arguments)))
}

/// The Euclidean norm, over the trained tensors, of what `value` makes of their
/// elements.
fn norm(arrays: &Arrays, value: impl Fn(&str, usize, f32) -> f64) -> f64 {
    let trained = arrays
        .iter()
        .filter(|(name, _)| !name.contains(".running_"));
    let mut sum = 0.0;
    for (name, array) in trained {
        for (at, number) in array.floats().into_iter().enumerate() {
            sum += value(name, at, number).powi(2);
        }
    }
    sum.sqrt()
}

#[test]
fn distance_and_norms_are_those_of_the_written_weights() {
    let root = tempfile::tempdir().unwrap();
    write_spec(root.path(), &digits(&json!({"epochs": 2})));
    run_well(
        root.path(),
        &["init", "--spec", "spec.json", "--out", "init"],
    );
    let train = ["train", "--spec", "spec.json", "--out", "out", "--norms"];
    let events = run_well(root.path(), &train);
    let [_, first, second, finished] = events.as_slice() else {
        panic!("{events:?}");
    };
    let start = read(&root.path().join("init"));
    let end = read(&root.path().join("out/weights.safetensors"));
    let started: std::collections::BTreeMap<&str, Vec<f32>> = start
        .iter()
        .filter(|(_, array)| array.dtype == Dtype::F32)
        .map(|(name, array)| (name.as_str(), array.floats()))
        .collect();
    let wanted = norm(&end, |name, at, now| {
        f64::from(now) - f64::from(started[name][at])
    });
    let told = second["distance"].as_f64().unwrap();
    assert!((told - wanted).abs() < 1e-6 * wanted, "{told} for {wanted}");
    assert_eq!(finished["distance"], second["distance"]);
    let before = first["distance"].as_f64().unwrap();
    assert!(before > 0.0 && (before - told).abs() > 1e-6);

    // A training that starts where the other ended measures its distance from
    // there.
    let zero = digits(&json!({"epochs": 1, "optimizer": {"lr": 1e-30, "weight_decay": 0.0}}));
    std::fs::write(root.path().join("still.json"), zero.to_string()).unwrap();
    let weights = "out/weights.safetensors";
    let train = ["train", "--spec", "still.json", "--weights", weights];
    let events = run_well(root.path(), &train);
    assert!(events[1]["distance"].as_f64().unwrap() < 1e-6, "{events:?}");

    let norms = std::fs::read_to_string(root.path().join("out/norms.jsonl")).unwrap();
    let norms: Vec<Value> = norms
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(norms.len(), 2);
    let of_last = norms[1]["weights"].as_object().unwrap();
    let parameters = end.keys().filter(|name| !name.contains(".running_"));
    assert_eq!(of_last.len(), parameters.count());
    for (name, told) in of_last {
        let wanted = norm(
            &end,
            |other, _, now| if other == name { now.into() } else { 0.0 },
        );
        let told = told.as_f64().unwrap();
        assert!((told - wanted).abs() <= 1e-6 * wanted, "{name}: {told}");
        assert!(
            norms[1]["gradients"][name].as_f64().unwrap() > 0.0,
            "{name}"
        );
    }
}

/// Test images and labels of the digits, as a file of the user's own.
fn tensors(root: &Path, count: usize, side: usize) {
    let labels: Vec<u8> = (0..count as i64)
        .flat_map(|at| (at % 10).to_le_bytes())
        .collect();
    let pixels = (0..count * side * side).map(|at| (at * 7 % 255) as u8);
    let arrays = [
        (
            "test_images",
            Dtype::U8,
            vec![count, 1, side, side],
            pixels.collect(),
        ),
        ("test_labels", Dtype::I64, vec![count], labels),
    ];
    let arrays = arrays.map(|(name, dtype, shape, bytes)| {
        let array = Array {
            dtype,
            shape,
            bytes,
        };
        (name.to_owned(), array)
    });
    write(&root.join("noise.safetensors"), &Arrays::from(arrays));
}

#[test]
fn sets_goals_and_predictions_are_measured_at_the_end() {
    let root = tempfile::tempdir().unwrap();
    tensors(root.path(), 30, 8);
    let sets = json!(["digits", "tensors:noise.safetensors"]);
    write_spec(root.path(), &digits(&json!({"extra_test_sets": sets})));
    let mut train = vec![
        "train",
        "--spec",
        "spec.json",
        "--out",
        "out",
        "--train-evaluation",
    ];
    train.extend(["--predictions", "--goal", "100", "--goal", "0"]);
    let events = run_well(root.path(), &train);
    let finished = events.last().unwrap();
    let metrics = &finished["metrics"];
    // The digits' own test set, once more.
    assert_eq!(metrics["test_error.digits"], finished["test_error"]);
    assert_eq!(metrics["test_loss.digits"], finished["test_loss"]);
    assert_eq!(metrics["test_images.digits"], 450.0);
    assert_eq!(metrics["test_images.noise"], 30.0);
    assert_eq!(metrics["goal.100.epoch"], 1.0);
    assert_eq!(metrics["goal.100.steps"], 21.0);
    assert_eq!(metrics.get("goal.0.epoch"), None);
    assert_eq!(finished["train_error"], events[2]["train_error"]);
    let errors = [1, 2].map(|at: usize| events[at]["test_error"].as_f64().unwrap());
    let median = finished["median_test_error"].as_f64().unwrap();
    assert!((median - f64::midpoint(errors[0], errors[1])).abs() < 1e-9);

    let predictions = read(&root.path().join("out/predictions.safetensors"));
    assert_eq!(predictions.len(), 9);
    let wrong = |set: &str| {
        let labels = &predictions[&format!("{set}/labels")].bytes;
        let predicted = &predictions[&format!("{set}/predicted")].bytes;
        let pairs = labels
            .as_chunks::<8>()
            .0
            .iter()
            .zip(predicted.as_chunks::<8>().0);
        pairs.filter(|(label, class)| label != class).count()
    };
    let told = finished["test_error"].as_f64().unwrap();
    assert!((wrong("test") as f64 / 4.5 - told).abs() < 1e-9);
    let told = metrics["test_error.noise"].as_f64().unwrap();
    assert!((wrong("noise") as f64 / 0.3 - told).abs() < 1e-9);
    assert_eq!(predictions["noise/logits"].shape, [30, 10]);

    // `evaluate` reports the same for the same weights.
    let evaluate = [
        "evaluate",
        "--spec",
        "spec.json",
        "--weights",
        "out/weights.safetensors",
    ];
    let of =
        |set: &str| run_well(root.path(), &[&evaluate[..], &["--set", set]].concat()).remove(0);
    let (test, noise, train) = (of("test"), of("tensors:noise.safetensors"), of("train"));
    assert_eq!(test["test_error"], finished["test_error"]);
    assert_eq!(test["error"], finished["test_error"]);
    assert_eq!(noise["error"], metrics["test_error.noise"]);
    assert_eq!(train["error"], metrics["train_error.evaluation"]);
    assert_eq!(train["loss"], metrics["train_loss.evaluation"]);
    // A test set in a file of that name does not hold training images.
    let [file, named] =
        ["noise.safetensors", "train.safetensors"].map(|name| root.path().join(name));
    std::fs::copy(file, named).unwrap();
    let named = of("tensors:train.safetensors");
    assert_eq!(named["test_error"], noise["test_error"]);
    assert_eq!(named["test_loss"], noise["loss"]);
    assert_eq!(
        (&train["images"], train.get("test_error")),
        (&json!(1347), None)
    );
    let [low, error, high] = [
        &noise["interval"][0],
        &noise["error"],
        &noise["interval"][1],
    ]
    .map(|number| number.as_f64().unwrap());
    assert!(0.0 < low && low < error && error < high && high <= 100.0);
}

#[test]
fn a_set_that_is_missing_or_does_not_fit_ends_a_training_before_it_starts() {
    let root = tempfile::tempdir().unwrap();
    tensors(root.path(), 3, 9);
    for (set, why) in [
        ("tensors:none.safetensors", "none.safetensors"),
        (
            "tensors:/dev/zero",
            "`extra_test_sets`: cannot read /dev/zero: it is a device",
        ),
        ("tensors:noise.safetensors", "[1, 9, 9]"),
        ("cifar10.1", "3×32×32"),
        ("cifar10.3", "did you mean"),
        ("tensors:test.safetensors", "rename the file"),
    ] {
        write_spec(root.path(), &digits(&json!({"extra_test_sets": [set]})));
        let output = run(root.path(), &["train", "--spec", "spec.json"]);
        assert_eq!(output.status.code(), Some(11), "{set}");
        let events = lines(&output);
        assert_eq!(events.len(), 1, "{set}: {events:?}");
        assert_eq!(events[0]["fault"], "invalid");
        assert!(
            events[0]["message"].as_str().unwrap().contains(why),
            "{events:?}"
        );
    }
}
