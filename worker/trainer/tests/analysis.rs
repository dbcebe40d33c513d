//! Measures of trained weights through the built program.

mod support;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use support::{digits, lines, succeed, trainer, write_spec};

/// Trains a small network and keeps its initial weights.
fn trained(root: &Path) -> [String; 3] {
    let spec = write_spec(root, &digits(&json!({"epochs": 3})));
    let path = |name: &str| root.join(name).to_str().unwrap().to_owned();
    succeed(
        trainer(root)
            .arg("init")
            .arg("--spec")
            .arg(&spec)
            .args(["--out", &path("init")]),
    );
    succeed(
        trainer(root)
            .arg("train")
            .arg("--spec")
            .arg(&spec)
            .arg("--out")
            .arg(root),
    );
    [
        spec.to_str().unwrap().to_owned(),
        path("init"),
        path("weights.safetensors"),
    ]
}

fn sharpness(root: &Path, [spec, _, weights]: &[String; 3], more: &[&str]) -> Output {
    let mut command = trainer(root);
    command.args([
        "sharpness",
        "--spec",
        spec,
        "--weights",
        weights,
        "--images",
        "200",
    ]);
    succeed(command.args(more))
}

fn line(root: &Path, [spec, from, to]: &[String; 3], more: &[&str]) -> Vec<Vec<String>> {
    let mut command = trainer(root);
    command.args(["line", "--spec", spec, "--weights", from, "--to", to]);
    let output = succeed(command.args(more));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut rows = text
        .lines()
        .map(|row| row.split(',').map(str::to_owned).collect());
    let header: Vec<String> = rows.next().unwrap();
    let names = [
        "alpha",
        "train_loss",
        "train_error",
        "test_loss",
        "test_error",
    ];
    assert_eq!(header, names);
    rows.collect()
}

fn evaluated(root: &Path, spec: &str, weights: &str) -> [String; 2] {
    let mut command = trainer(root);
    let output = succeed(command.args(["evaluate", "--spec", spec, "--weights", weights]));
    let score = lines(&output).remove(0);
    // Compared as text: no digit is lost on either way.
    let text = |name: &str| score[name].as_f64().unwrap().to_string();
    [text("test_loss"), text("test_error")]
}

fn refused(command: &mut Command, code: i32) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(code));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn sharpness_grows_with_the_box_and_is_the_same_for_the_same_seed() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let files = trained(root);
    let more = ["--dimensions", "20", "--trials", "3", "--iterations", "4"];
    let first = sharpness(root, &files, &more);
    let again = sharpness(root, &files, &more);
    assert_eq!(first.stdout, again.stdout);
    let found = lines(&first).remove(0);
    assert_eq!(
        (&found["dimensions"], &found["images"]),
        (&json!(20), &json!(200))
    );
    let loss = found["loss"].as_f64().unwrap();
    let [wide, narrow] = found["epsilons"].as_array().unwrap().as_slice() else {
        panic!("{found}");
    };
    assert_eq!(
        [&wide["epsilon"], &narrow["epsilon"]],
        [&json!(1e-3), &json!(5e-4)]
    );
    let values = |of: &Value| -> Vec<f64> {
        let values = of["sharpness"].as_array().unwrap().iter();
        values.map(|value| value.as_f64().unwrap()).collect()
    };
    let (wide_values, narrow_values) = (values(wide), values(narrow));
    assert_eq!((wide_values.len(), narrow_values.len()), (3, 3));
    for (wide, narrow) in wide_values.iter().zip(&narrow_values) {
        assert!(*narrow > 0.0 && wide > narrow, "{wide} {narrow}");
    }
    let largest = wide_values.iter().copied().fold(0.0, f64::max);
    let expected = 100.0 * (wide["largest_loss"].as_f64().unwrap() - loss) / (1.0 + loss);
    assert!((largest - expected).abs() < 1e-9);
    assert!(wide["sd"].as_f64().unwrap() > 0.0);

    let other = lines(&sharpness(
        root,
        &files,
        &[&more[..], &["--seed", "1"]].concat(),
    ))
    .remove(0);
    assert_ne!(other["epsilons"], found["epsilons"]);
    assert_eq!(other["loss"], found["loss"]);
}

#[test]
fn the_full_space_has_one_value_per_box() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let files = trained(root);
    let more = [
        "--full-space",
        "--iterations",
        "3",
        "--epsilon",
        "1e-3",
        "--set",
        "test",
    ];
    let found = lines(&sharpness(root, &files, &more)).remove(0);
    assert_eq!(
        [&found["dimensions"], &found["seed"]],
        [&Value::Null, &Value::Null]
    );
    assert_eq!(found["set"], "test");
    let [only] = found["epsilons"].as_array().unwrap().as_slice() else {
        panic!("{found}");
    };
    assert_eq!(only["sd"], Value::Null);
    assert!(only["mean"].as_f64().unwrap() > 0.0);
    assert_eq!(only["sharpness"][0], only["mean"]);
}

#[test]
fn what_cannot_be_measured_is_refused_with_a_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let spec = write_spec(root, &digits(&json!({"model": {"initial_channels": 1}})));
    let weights = root.join("w");
    succeed(
        trainer(root)
            .arg("init")
            .arg("--spec")
            .arg(&spec)
            .arg("--out")
            .arg(&weights),
    );
    let with = |name: &str, more: &[&str]| {
        let mut command = trainer(root);
        command
            .arg(name)
            .arg("--spec")
            .arg(&spec)
            .arg("--weights")
            .arg(&weights)
            .args(more);
        command
    };
    let message = refused(&mut with("sharpness", &["--dimensions", "4000"]), 11);
    assert!(message.contains("--full-space"), "{message}");
    let message = refused(&mut with("sharpness", &["--images", "5000"]), 11);
    assert!(message.contains("1347"), "{message}");
    refused(&mut with("sharpness", &["--epsilon", "0"]), 2);
    refused(
        &mut with("sharpness", &["--full-space", "--trials", "2"]),
        2,
    );
    let to = weights.to_str().unwrap();
    let reverse = ["--to", to, "--from-alpha", "1", "--to-alpha", "0"];
    let message = refused(&mut with("line", &reverse), 11);
    assert!(message.contains("--to-alpha"), "{message}");
}

#[test]
fn the_ends_of_the_line_are_what_evaluate_says() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let files = trained(root);
    let rows = line(root, &files, &["--points", "7"]);
    let alphas: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(alphas, ["-1", "-0.5", "0", "0.5", "1", "1.5", "2"]);
    let [spec, from, to] = &files;
    assert_eq!(rows[2][3..], evaluated(root, spec, from));
    assert_eq!(rows[4][3..], evaluated(root, spec, to));
    // What lies between the ends is not a copy of an end.
    assert!(rows[3][3] != rows[2][3] && rows[3][3] != rows[4][3]);
    let train = line(
        root,
        &files,
        &["--from-alpha", "0", "--points", "3", "--set", "train"],
    );
    assert_eq!(train[0][..3], rows[2][..3]);
    assert_eq!(train[0][3..], ["", ""]);
}

/// The running statistics of a point between files fit its parameters badly.
/// Those of a file are almost the ones that are recomputed.
#[test]
fn statistics_that_are_computed_anew_fit_the_parameters() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let files = trained(root);
    let points = ["--points", "4", "--set", "train"];
    let loss = |row: &[String]| row[1].parse::<f64>().unwrap();
    let plain = line(root, &files, &points);
    let anew = line(root, &files, &[&points[..], &["--recompute-bn"]].concat());
    assert_eq!([&anew[1][0], &anew[2][0]], ["0", "1"]);
    assert!(loss(&anew[3]) < loss(&plain[3]), "{plain:?} {anew:?}");
    assert!((loss(&anew[2]) - loss(&plain[2])).abs() < 0.1 * loss(&plain[2]));
    // Initial weights have statistics 0 and 1, which fit no data.
    assert_ne!(anew[1][1], plain[1][1]);
}
