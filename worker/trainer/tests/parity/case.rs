//! The fixtures, laid out for the trainer, and the results of its commands for
//! them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::criterion::Distance;
use crate::kept;
use crate::support::{self, Array, Arrays, lines, read, succeed, trainer, under, write};

/// Steps of a full trajectory.
const STEPS: u64 = 4;

/// An optimizer that the fixtures have a trajectory of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Optimizer {
    Sgd,
    Lars,
}

impl Optimizer {
    fn options(self) -> Value {
        match self {
            Self::Sgd => json!({"name": "sgd", "lr": 1e-3, "nesterov": true}),
            Self::Lars => json!({"name": "lars", "lr": 2e-4}),
        }
    }
}

/// A kind of values that the reference has computed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Logits of images, in evaluation mode.
    Logits,
    /// Gradients of the loss of a batch, in training mode.
    Gradients,
    /// Weights and running statistics after a trajectory.
    Trained(Optimizer),
}

impl Kind {
    /// The prefix of its tensors in the fixtures.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Logits => "logits_eval",
            Self::Gradients => "grad/",
            Self::Trained(Optimizer::Sgd) => "sgd/",
            Self::Trained(Optimizer::Lars) => "lars/",
        }
    }
}

/// A model with its weights, draws of images, and the results of the reference
/// for them.
pub(crate) struct Case {
    facts: Value,
    arrays: Arrays,
    root: tempfile::TempDir,
}

pub(crate) fn cases() -> Vec<Case> {
    let cases = json_fixture("cases.json");
    let cases = cases.as_array().unwrap().iter();
    cases.map(Case::lay_out).collect()
}

pub(crate) fn json_fixture(name: &str) -> Value {
    let text = std::fs::read_to_string(fixtures().join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

impl Case {
    fn lay_out(facts: &Value) -> Self {
        let name = facts["case"].as_str().unwrap();
        let case = Self {
            facts: facts.clone(),
            arrays: read(&fixtures().join(format!("{name}.safetensors"))),
            root: tempfile::tempdir().unwrap(),
        };
        write(&case.path("init.safetensors"), &case.init());
        case
    }

    pub(crate) fn name(&self) -> &str {
        self.facts["case"].as_str().unwrap()
    }

    pub(crate) fn draws(&self) -> u64 {
        self.facts["draws"].as_u64().unwrap()
    }

    /// The error of PyTorch's float32.
    pub(crate) fn noise(&self, kind: Kind) -> f64 {
        self.facts["noise"][kind.prefix()].as_f64().unwrap()
    }

    /// The initial weights of all runs.
    pub(crate) fn init(&self) -> Arrays {
        under(&self.arrays, "init/")
    }

    /// The batch of a draw that the logits and gradients are computed from.
    pub(crate) fn batch(&self, draw: u64) -> Arrays {
        let names = ["images", "labels"];
        names.map(|name| named(name, self.array(draw, name))).into()
    }

    /// The first batch of a draw's trajectories.
    pub(crate) fn first_batch(&self, draw: u64) -> Arrays {
        let count = self.facts["batch_size"].as_u64().unwrap() as usize;
        let names = ["images", "labels"];
        let first = |name| self.array(draw, &format!("train_{name}")).first(count);
        names.map(|name| named(name, first(name))).into()
    }

    fn array(&self, draw: u64, name: &str) -> Array {
        self.arrays[&format!("{draw}/{name}")].clone()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// How far the `found` values are from the fixture.
    pub(crate) fn distance(&self, kind: Kind, draw: u64, found: &Arrays) -> Distance {
        let expected = under(&self.arrays, &format!("{draw}/{}", kind.prefix()));
        let place = format!("{}: {}", self.name(), kind.prefix());
        assert!(found.keys().eq(expected.keys()), "{place}");
        Distance::of(found.iter().map(|(name, found)| {
            let origin = self.origin(kind, name, found);
            let change = subtracted(&found.values(), &origin);
            let places = kept::places(name, change.len());
            let pick =
                |values: &[f64]| -> Vec<f64> { places.iter().map(|at| values[*at]).collect() };
            let expected = subtracted(&expected[name].values(), &pick(&origin));
            (format!("{}{name}", kind.prefix()), pick(&change), expected)
        }))
    }

    /// The point that the error of a tensor is measured from: for trained
    /// tensors, where they started.
    fn origin(&self, kind: Kind, name: &str, found: &Array) -> Vec<f64> {
        match kind {
            Kind::Trained(_) => self.arrays[&format!("init/{name}")].values(),
            Kind::Logits | Kind::Gradients => vec![0.0; found.values().len()],
        }
    }

    /// A spec with a draw as its data set.
    fn spec(&self, draw: u64, optimizer: Optimizer, steps: u64) -> Value {
        let facts = &self.facts;
        let mut options = optimizer.options();
        options["momentum"] = json!(0.9);
        options["weight_decay"] = facts["weight_decay"].clone();
        json!({
            "dataset": {
                "name": "tensors", "path": self.data(draw),
                "mean": facts["mean"], "std": facts["std"],
            },
            "model": facts["model"],
            "batch_size": facts["batch_size"],
            "steps": steps,
            "optimizer": options,
            "schedule": {"name": "cosine"},
            "shuffle": false,
        })
    }

    /// Writes a draw's images for a training, tested with the same ones.
    fn data(&self, draw: u64) -> PathBuf {
        let [images, labels] = ["train_images", "train_labels"].map(|name| self.array(draw, name));
        let tensors = [
            named("test_images", images.clone()),
            named("test_labels", labels.clone()),
            named("train_images", images),
            named("train_labels", labels),
        ];
        let path = self.path(&format!("data-{draw}.safetensors"));
        write(&path, &tensors.into());
        path
    }

    /// A command of the trainer, with a spec.
    fn command(&self, verb: &str, spec: &Value) -> Command {
        let mut command = trainer(self.root.path());
        command.arg(verb).arg("--spec");
        command.arg(support::write_spec(self.root.path(), spec));
        command
    }

    /// What `describe` prints.
    pub(crate) fn described(&self) -> Value {
        let spec = self.spec(0, Optimizer::Sgd, STEPS);
        lines(&succeed(&mut self.command("describe", &spec))).remove(0)
    }

    /// What `predict` writes for images.
    pub(crate) fn predicted(&self, batch: &Arrays) -> Arrays {
        let (images, out) = (self.path("batch.safetensors"), self.path("out.safetensors"));
        write(&images, batch);
        let mut command = self.command("predict", &self.spec(0, Optimizer::Sgd, STEPS));
        command.arg("--weights").arg(self.path("init.safetensors"));
        command.arg("--images").arg(&images).arg("--out").arg(&out);
        succeed(&mut command);
        read(&out)
    }

    /// What `gradients` writes for a batch, with the spec's loss.
    pub(crate) fn gradients(&self, batch: &Arrays, loss: &Value) -> Arrays {
        let (images, out) = (self.path("batch.safetensors"), self.path("out.safetensors"));
        write(&images, batch);
        let mut spec = self.spec(0, Optimizer::Sgd, STEPS);
        spec["loss"] = loss.clone();
        let mut command = self.command("gradients", &spec);
        command.arg("--weights").arg(self.path("init.safetensors"));
        command
            .arg("--images")
            .arg(&images)
            .arg("--labels")
            .arg(&images);
        succeed(command.arg("--out").arg(&out));
        read(&out)
    }

    /// The weights after a whole trajectory.
    pub(crate) fn trajectory(&self, draw: u64, optimizer: Optimizer) -> Arrays {
        self.trained(draw, optimizer, STEPS).0
    }

    /// Weights and mean loss of a training.
    pub(crate) fn trained(&self, draw: u64, optimizer: Optimizer, steps: u64) -> (Arrays, f64) {
        let out = tempfile::tempdir().unwrap();
        let mut command = self.command("train", &self.spec(draw, optimizer, steps));
        command.arg("--weights").arg(self.path("init.safetensors"));
        let events = lines(&succeed(command.arg("--out").arg(out.path())));
        let epoch = events.iter().find(|event| event["event"] == "epoch");
        let loss = epoch.unwrap()["train_loss"].as_f64().unwrap();
        (read(&out.path().join("weights.safetensors")), loss)
    }
}

fn named(name: &str, array: Array) -> (String, Array) {
    (name.to_owned(), array)
}

fn subtracted(values: &[f64], origin: &[f64]) -> Vec<f64> {
    assert_eq!(values.len(), origin.len());
    values
        .iter()
        .zip(origin)
        .map(|(value, from)| value - from)
        .collect()
}
