//! The trainer and its own commands against the reference models in double
//! precision. `fixtures/README.md` says what the fixtures hold, and `criterion`
//! how far off the trainer may be.

#[path = "parity/case.rs"]
mod case;
#[path = "parity/criterion.rs"]
mod criterion;
#[path = "parity/kept.rs"]
mod kept;
mod support;

use std::collections::BTreeMap;

use case::{Case, Kind, Optimizer, cases, json_fixture};
use criterion::Verdict;
use serde_json::{Value, json};
use support::{Arrays, lines, read, succeed, trainer, under};

/// Compares the trainer's results for every draw of every case with the
/// reference.
fn hold(kind: Kind, found: impl Fn(&Case, u64) -> Arrays) {
    let mut verdict = Verdict::default();
    for case in cases() {
        let distance = |draw| case.distance(kind, draw, &found(&case, draw));
        let draws = (0..case.draws()).map(distance).collect();
        verdict.add(case.name(), kind.prefix(), case.noise(kind), draws);
    }
    verdict.passes();
}

fn shapes(arrays: &Arrays) -> Value {
    let shapes = arrays.iter().map(|(name, array)| (name, &array.shape));
    json!(shapes.collect::<BTreeMap<_, _>>())
}

/// The loss of the spec, without anything added.
fn plain() -> Value {
    json!({})
}

#[test]
fn parameters_are_counted_and_named_as_in_pytorch() {
    for case in cases() {
        let (init, described) = (case.init(), case.described());
        assert_eq!(described["tensors"], shapes(&init), "{}", case.name());
        let parameters = init.iter().filter(|(name, _)| !name.contains(".running_"));
        let sizes = parameters.map(|(_, array)| array.shape.iter().product::<usize>());
        assert_eq!(
            described["parameters"],
            sizes.sum::<usize>(),
            "{}",
            case.name()
        );
    }
}

#[test]
fn tensor_names_are_those_of_the_state_dicts() {
    let root = tempfile::tempdir().unwrap();
    for (name, entry) in json_fixture("state_dict_names.json").as_object().unwrap() {
        let mut model = entry["options"].clone();
        model["name"] = entry["model"].clone();
        let spec = json!({
            "dataset": {"name": "cifar10"}, "model": model,
            "batch_size": 128, "epochs": 1, "optimizer": {"lr": 0.1},
        });
        let spec = support::write_spec(root.path(), &spec);
        let mut command = trainer(root.path());
        let described = lines(&succeed(command.arg("describe").arg("--spec").arg(&spec))).remove(0);
        assert_eq!(described["tensors"], entry["tensors"], "{name}");
        assert_eq!(described["parameters"], entry["parameters"], "{name}");
        let out = root.path().join("init.safetensors");
        succeed(
            trainer(root.path())
                .arg("init")
                .arg("--spec")
                .arg(&spec)
                .arg("--out")
                .arg(&out),
        );
        assert_eq!(shapes(&read(&out)), entry["tensors"], "{name}");
    }
}

#[test]
fn predictions_match() {
    hold(Kind::Logits, |case, draw| {
        under(&case.predicted(&case.batch(draw)), "logits")
    });
}

#[test]
fn gradients_match() {
    hold(Kind::Gradients, |case, draw| {
        under(&case.gradients(&case.batch(draw), &plain()), "grad/")
    });
}

#[test]
fn sgd_follows_the_trajectory() {
    let sgd = Optimizer::Sgd;
    hold(Kind::Trained(sgd), |case, draw| case.trajectory(draw, sgd));
}

#[test]
fn lars_follows_the_trajectory() {
    let lars = Optimizer::Lars;
    hold(Kind::Trained(lars), |case, draw| {
        case.trajectory(draw, lars)
    });
}

/// The rest of what `gradients` writes has no fixture of its own. It is right
/// if the weights after a trajectory are.
#[test]
fn loss_and_statistics_of_a_batch_are_those_of_the_first_step() {
    for case in cases() {
        let found = case.gradients(&case.first_batch(0), &plain());
        let (weights, loss) = case.trained(0, Optimizer::Sgd, 1);
        let far = (found["loss"].values()[0] - loss).abs();
        assert!(far < 1e-6 * loss, "{}: {far:e}", case.name());
        let statistics = weights
            .into_iter()
            .filter(|(name, _)| name.contains(".running_"));
        let found = under(&found, "after_forward/");
        assert!(found == statistics.collect(), "{}", case.name());
    }
}

#[test]
fn gradients_take_the_label_smoothing_of_the_spec() {
    let case = cases().remove(0);
    let smoothed = json!({"label_smoothing": 0.1});
    let batch = case.batch(0);
    let found = case.gradients(&batch, &smoothed);
    let labels = batch["labels"].bytes.as_chunks::<8>().0.iter();
    let labels = labels.map(|bytes| i64::from_le_bytes(*bytes) as usize);
    let logits = found["logits"].values();
    let classes = found["logits"].shape[1];
    // Cross-entropies with the label and with the uniform distribution.
    let [mut sharp, mut even] = [0.0; 2];
    for (row, label) in logits.chunks(classes).zip(labels) {
        let total = row.iter().map(|logit| logit.exp()).sum::<f64>().ln();
        sharp += total - row[label];
        even += total - row.iter().sum::<f64>() / classes as f64;
    }
    let images = found["logits"].shape[0] as f64;
    assert!(
        (even - sharp).abs() / images > 0.01,
        "the two would not differ"
    );
    let far = found["loss"].values()[0] - (0.9 * sharp + 0.1 * even) / images;
    assert!(far.abs() < 1e-6, "{far:e}");
}
