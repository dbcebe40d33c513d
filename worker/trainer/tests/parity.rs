//! The trainer against PyTorch: fixtures made with the reference models, and
//! the trainer's own commands.
//!
//! Tolerances: 1e-4 absolute on logits and weights, 1e-3 relative on
//! gradients. Sums run in another order here, so bits differ; where that is
//! enough to make PyTorch miss its own fixtures, `tolerance` says by how much.

mod support;
#[path = "parity/tolerance.rs"]
mod tolerance;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::{Arrays, distance, lines, read, relative, succeed, trainer, under, write};
use tolerance::{ABSOLUTE, Optimizer};

/// What was found too far from its fixture.
#[derive(Default)]
struct Misses(Vec<String>);

impl Misses {
    /// Notes `what` of `case` where it is `far` away; `--nocapture` prints it
    /// anyway.
    #[expect(clippy::print_stdout, reason = "a test prints for who asks for it")]
    fn check(&mut self, case: &Case, what: &str, far: f32, tolerance: f32) {
        let line = format!("{}: {what} {far:.1e} (of {tolerance:.0e})", case.name());
        println!("{line}");
        if far.is_nan() || far > tolerance {
            self.0.push(line);
        }
    }

    fn none(self) {
        assert!(self.0.is_empty(), "{}", self.0.join("\n"));
    }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn json_fixture(name: &str) -> Value {
    let text = std::fs::read_to_string(fixtures().join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// One fixture with its files laid out for the trainer.
struct Case {
    facts: Value,
    arrays: Arrays,
    root: tempfile::TempDir,
    /// The trajectory with SGD.
    spec: PathBuf,
}

impl Case {
    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn name(&self) -> &str {
        self.facts["case"].as_str().unwrap()
    }

    /// The trajectory's spec for an optimizer.
    fn spec(&self, optimizer: Optimizer) -> Value {
        let facts = &self.facts;
        let images = self.arrays["train_images"].shape[0] as u64;
        let batch = facts["batch_size"].as_u64().unwrap();
        let mut options = json!({
            "name": optimizer.name(),
            "lr": facts["trajectory"][optimizer.name()]["lr"],
            "momentum": facts["momentum"],
            "weight_decay": facts["weight_decay"],
        });
        if let Optimizer::Sgd = optimizer {
            options["nesterov"] = json!(true);
        }
        json!({
            "dataset": {
                "name": "tensors", "path": self.path("data.safetensors"),
                "mean": facts["mean"], "std": facts["std"],
            },
            "model": facts["model"],
            "batch_size": batch,
            "steps": images / batch,
            "optimizer": options,
            "schedule": {"name": "cosine"},
            "shuffle": false,
        })
    }

    /// The fixtures' loss of each step.
    fn losses(&self, optimizer: Optimizer) -> Vec<f64> {
        let losses = self.facts["trajectory"][optimizer.name()]["losses"].as_array();
        losses.unwrap().iter().filter_map(Value::as_f64).collect()
    }
}

fn cases() -> Vec<Case> {
    let cases = json_fixture("cases.json");
    cases.as_array().unwrap().iter().map(lay_out).collect()
}

fn lay_out(facts: &Value) -> Case {
    let name = facts["case"].as_str().unwrap();
    let arrays = read(&fixtures().join(format!("{name}.safetensors")));
    let root = tempfile::tempdir().unwrap();
    let splits = ["train_images", "train_labels", "test_images", "test_labels"];
    let pick = |names: &[&str]| -> Arrays {
        names
            .iter()
            .map(|name| ((*name).to_owned(), arrays[*name].clone()))
            .collect()
    };
    write(&root.path().join("data.safetensors"), &pick(&splits));
    write(
        &root.path().join("batch.safetensors"),
        &pick(&["images", "labels"]),
    );
    write(
        &root.path().join("init.safetensors"),
        &under(&arrays, "init/"),
    );
    let mut case = Case {
        facts: facts.clone(),
        arrays,
        spec: PathBuf::new(),
        root,
    };
    case.spec = support::write_spec(case.root.path(), &case.spec(Optimizer::Sgd));
    case
}

#[test]
fn parameters_are_counted_and_named_as_in_pytorch() {
    for case in cases() {
        let mut command = trainer(case.root.path());
        command.arg("describe").arg("--spec").arg(&case.spec);
        let described = lines(&succeed(&mut command)).remove(0);
        assert_eq!(
            described["parameters"],
            case.facts["parameters"],
            "{}",
            case.name()
        );
        let init = under(&case.arrays, "init/");
        let shapes: BTreeMap<&str, Value> = init
            .iter()
            .map(|(name, array)| (name.as_str(), json!(array.shape)))
            .collect();
        assert_eq!(described["tensors"], json!(shapes), "{}", case.name());
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
        let shapes: BTreeMap<String, Value> = read(&out)
            .into_iter()
            .map(|(name, array)| (name, json!(array.shape)))
            .collect();
        assert_eq!(json!(shapes), entry["tensors"], "{name}");
    }
}

#[test]
fn predictions_match() {
    let mut misses = Misses::default();
    for case in cases() {
        let init = case.path("init.safetensors");
        let images = case.path("batch.safetensors");
        let far = distance(
            &predicted(&case, &init, &images)["logits"],
            &case.arrays["logits_eval"],
        );
        misses.check(&case, "logits", far, ABSOLUTE);
    }
    misses.none();
}

/// What `predict` makes of images.
fn predicted(case: &Case, weights: &Path, images: &Path) -> Arrays {
    let out = case.path("logits.safetensors");
    let mut command = trainer(case.root.path());
    command.arg("predict").arg("--spec").arg(&case.spec);
    command.arg("--weights").arg(weights);
    succeed(command.arg("--images").arg(images).arg("--out").arg(&out));
    read(&out)
}

#[test]
fn gradients_match() {
    let mut misses = Misses::default();
    for case in cases() {
        let out = case.path("gradients.safetensors");
        let mut command = trainer(case.root.path());
        command.arg("gradients").arg("--spec").arg(&case.spec);
        command.arg("--weights").arg(case.path("init.safetensors"));
        let batch = case.path("batch.safetensors");
        command.arg("--images").arg(&batch);
        command.arg("--labels").arg(&batch);
        succeed(command.arg("--out").arg(&out));
        let found = read(&out);
        let far = distance(&found["logits"], &case.arrays["logits_train"]);
        misses.check(&case, "training logits", far, ABSOLUTE);
        let far = found["loss"].floats()[0] - case.arrays["loss_train"].floats()[0];
        misses.check(&case, "loss", far.abs(), ABSOLUTE);
        let expected = under(&case.arrays, "grad/");
        let gradients = under(&found, "grad/");
        assert!(gradients.keys().eq(expected.keys()), "{}", case.name());
        for (name, gradient) in &gradients {
            // Where the gradient is 0 but for rounding there is nothing to be
            // relative to: a shift that a BN takes away again.
            if distance(gradient, &expected[name]) > tolerance::noise(name) {
                let far = relative(gradient, &expected[name]);
                let tolerance = tolerance::gradient(case.name());
                misses.check(&case, &format!("gradient of {name}"), far, tolerance);
            }
        }
        let expected = under(&case.arrays, "after_forward/");
        let statistics = under(&found, "after_forward/");
        assert!(statistics.keys().eq(expected.keys()), "{}", case.name());
        for (name, statistic) in &statistics {
            let far = distance(statistic, &expected[name]);
            misses.check(&case, name, far, ABSOLUTE);
        }
    }
    misses.none();
}

#[test]
fn gradients_take_the_label_smoothing_of_the_spec() {
    let case = cases().remove(0);
    let mut spec = case.spec(Optimizer::Sgd);
    spec["loss"] = json!({"label_smoothing": 0.1});
    let spec = support::write_spec(case.root.path(), &spec);
    let (batch, out) = (
        case.path("batch.safetensors"),
        case.path("smooth.safetensors"),
    );
    let mut command = trainer(case.root.path());
    command.arg("gradients").arg("--spec").arg(&spec);
    command.arg("--weights").arg(case.path("init.safetensors"));
    command
        .arg("--images")
        .arg(&batch)
        .arg("--labels")
        .arg(&batch);
    succeed(command.arg("--out").arg(&out));
    let found = read(&out);
    // The mean over images of -log softmax, averaged over all classes, is that
    // to the even distribution.
    let classes = found["logits"].shape[1];
    let logits = found["logits"].floats();
    let rows = logits.chunks(classes);
    let images = rows.len() as f32;
    let even = rows.map(|row| {
        let total: f32 = row.iter().map(|logit| logit.exp()).sum();
        total.ln() - row.iter().sum::<f32>() / classes as f32
    });
    let even = even.sum::<f32>() / images;
    let plain = case.arrays["loss_train"].floats()[0];
    let far = found["loss"].floats()[0] - (0.9 * plain + 0.1 * even);
    assert!((even - plain).abs() > 0.01, "the two would not differ");
    assert!(far.abs() < ABSOLUTE, "{far}");
}

#[test]
fn sgd_follows_the_trajectory() {
    follows_the_trajectory(Optimizer::Sgd);
}

#[test]
fn lars_follows_the_trajectory() {
    follows_the_trajectory(Optimizer::Lars);
}

fn follows_the_trajectory(optimizer: Optimizer) {
    let mut misses = Misses::default();
    for case in cases() {
        let steps = case.losses(optimizer).len() as u64;
        let directory = case.root.path();
        let events = trained(
            &case,
            optimizer,
            steps,
            &["--out", directory.to_str().unwrap()],
        );
        let losses = case.losses(optimizer);
        let far = mean_loss(&events) - losses.iter().sum::<f64>() / losses.len() as f64;
        let tolerance = tolerance::mean_loss(case.name(), optimizer);
        misses.check(&case, "mean loss", far.abs() as f32, tolerance);
        let logits = tolerance::logits(case.name(), optimizer);
        // Where logits may differ, so may what is the largest one.
        if logits <= ABSOLUTE {
            let finished = events.last().unwrap();
            let expected = &case.facts["trajectory"][optimizer.name()]["test_error"];
            assert_eq!(&finished["test_error"], expected, "{}", case.name());
        }
        let weights = case.path("weights.safetensors");
        let found = read(&weights);
        let expected = under(&case.arrays, &format!("{}/", optimizer.name()));
        assert!(found.keys().eq(expected.keys()), "{}", case.name());
        let distances = found
            .iter()
            .map(|(name, array)| distance(array, &expected[name]));
        let far = distances.fold(0.0, f32::max);
        let tolerance = tolerance::weights(case.name(), optimizer);
        misses.check(&case, "weights", far, tolerance);
        // The trained weights on the test images, u8 and normalized by the
        // trainer.
        let images = case.path("test.safetensors");
        let array = case.arrays["test_images"].clone();
        write(&images, &Arrays::from([("images".to_owned(), array)]));
        let far = distance(
            &predicted(&case, &weights, &images)["logits"],
            &case.arrays[&format!("{}_test_logits", optimizer.name())],
        );
        misses.check(&case, "test logits", far, logits);
    }
    misses.none();
}

#[test]
fn every_step_has_the_loss_of_its_fixture() {
    let mut misses = Misses::default();
    for case in cases() {
        for optimizer in [Optimizer::Sgd, Optimizer::Lars] {
            let expected = case.losses(optimizer);
            assert_eq!(expected.len(), 4);
            let mut before = 0.0;
            // The last one is in the mean of the whole trajectory.
            for (step, expected) in (1..4).zip(&expected) {
                let sum = mean_loss(&trained(&case, optimizer, step, &[])) * step as f64;
                let far = (sum - before - expected).abs() as f32;
                before = sum;
                let tolerance = tolerance::loss(case.name(), optimizer, step);
                let what = format!("{}, loss of step {step}", optimizer.name());
                misses.check(&case, &what, far, tolerance);
            }
        }
    }
    misses.none();
}

/// The mean loss of the steps of a training of one epoch.
fn mean_loss(events: &[Value]) -> f64 {
    let epoch = events.iter().find(|event| event["event"] == "epoch");
    epoch.unwrap()["train_loss"].as_f64().unwrap()
}

/// The events of a training cut off after `steps` of the four steps. One
/// period of warm restarts, an epoch long, has the learning rates of the
/// cosine over the whole epoch.
fn trained(case: &Case, optimizer: Optimizer, steps: u64, more: &[&str]) -> Vec<Value> {
    let mut spec = case.spec(optimizer);
    if spec["steps"] != steps {
        spec["steps"] = json!(steps);
        spec["schedule"] = json!({"name": "sgdr", "t0": 1});
    }
    let root = tempfile::tempdir().unwrap();
    let mut command = trainer(case.root.path());
    command.arg("train").arg("--spec");
    command.arg(support::write_spec(root.path(), &spec));
    command.arg("--weights").arg(case.path("init.safetensors"));
    lines(&succeed(command.args(more)))
}
