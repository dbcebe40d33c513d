//! Small trainings in their own directory, which tests interrupt.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use safetensors::Dtype;
use serde_json::{Value, json};

use super::{Array, lines, succeed, trainer, write};

/// A job of 24 steps in its own directory: eight steps per epoch, the last with
/// a batch of 2.
pub(crate) struct Stand {
    pub(crate) root: tempfile::TempDir,
    pub(crate) spec: Value,
}

impl Stand {
    pub(crate) fn new(extra: &Value) -> Self {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data.safetensors");
        write(&data, &images());
        let mut spec = json!({
            "dataset": {"name": "tensors", "path": data},
            "model": {"name": "resnet_preact", "depth": 8, "initial_channels": 4},
            "batch_size": 8, "steps": 24, "drop_last": false,
            "optimizer": {"lr": 0.05, "weight_decay": 1e-4},
            "augmentation": {"random_crop": {"padding": 1}, "horizontal_flip": true},
            "seed": 5,
        });
        for (key, value) in extra.as_object().unwrap() {
            spec[key] = value.clone();
        }
        let stand = Self { root, spec };
        stand.write_spec(&stand.spec);
        stand
    }

    pub(crate) fn write_spec(&self, spec: &Value) {
        fs::write(self.path("spec.json"), spec.to_string()).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// The command `trainer train` into the directory `out`.
    pub(crate) fn train(&self, out: &str, extra: &[&str]) -> Command {
        let mut command = trainer(self.root.path());
        command
            .arg("train")
            .arg("--spec")
            .arg(self.path("spec.json"))
            .arg("--out")
            .arg(self.path(out))
            .args(extra);
        command
    }

    pub(crate) fn bytes(&self, out: &str) -> [Vec<u8>; 2] {
        ["weights.safetensors", "history.jsonl"]
            .map(|name| fs::read(self.path(out).join(name)).unwrap())
    }

    /// Trains without interruption into `whole`.
    pub(crate) fn whole(&self) -> [Vec<u8>; 2] {
        succeed(&mut self.train("whole", &[]));
        self.bytes("whole")
    }

    /// Trains `out` up to `step`, with checkpoints of this step and the one
    /// before.
    pub(crate) fn stopped(&self, out: &str, step: &str) {
        let flags = ["--checkpoint-steps", "1", "--stop-after", step];
        let output = self.train(out, &flags).output().unwrap();
        assert_eq!(output.status.code(), Some(75), "{}", stderr(&output));
    }
}

pub(crate) fn images() -> BTreeMap<String, Array> {
    let bytes = |dtype, shape: &[usize], bytes: Vec<u8>| Array {
        dtype,
        shape: shape.to_vec(),
        bytes,
    };
    let split = |count: usize| {
        let pixels = (0..count * 64).map(|at| (at * 7919 % 251) as u8).collect();
        let labels = (0..count as i64).flat_map(|at| (at % 3).to_le_bytes());
        (
            bytes(Dtype::U8, &[count, 1, 8, 8], pixels),
            bytes(Dtype::I64, &[count], labels.collect()),
        )
    };
    let (train_images, train_labels) = split(58);
    let (test_images, test_labels) = split(10);
    [
        ("train_images", train_images),
        ("train_labels", train_labels),
        ("test_images", test_images),
        ("test_labels", test_labels),
    ]
    .map(|(name, array)| (name.to_owned(), array))
    .into()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn last(output: &Output) -> Value {
    lines(output).pop().unwrap_or_default()
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    names
}
