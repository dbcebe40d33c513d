//! What the integration tests share: the built trainer and safetensors files.

#![expect(
    dead_code,
    reason = "each test program uses its own part of what they share"
)]

pub(crate) mod stand;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};

/// The built trainer; it does not see the data sets of this machine.
pub(crate) fn trainer(root: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trainer"));
    command
        .env("SWATH_DATA_DIR", root.join("no-data"))
        // Tests run side by side: more threads would only wait for each other.
        .env("SWATH_TRAINER_THREADS", "1")
        .env("SWATH_DATA_MIRROR", "none");
    command
}

/// Runs the command to its end and expects success.
pub(crate) fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    output
}

/// The JSON lines of stdout.
pub(crate) fn lines(output: &Output) -> Vec<Value> {
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// A small spec on the built-in digits.
pub(crate) fn digits(extra: &Value) -> Value {
    let mut spec = json!({
        "dataset": {"name": "digits"},
        "model": {"name": "resnet_preact", "depth": 8, "initial_channels": 4},
        "batch_size": 64,
        "epochs": 2,
        "optimizer": {"lr": 0.05, "weight_decay": 5e-4},
        "schedule": {"name": "cosine"},
        "seed": 7,
    });
    merge(&mut spec, extra);
    spec
}

fn merge(target: &mut Value, extra: &Value) {
    match (target, extra) {
        (Value::Object(target), Value::Object(extra)) => {
            for (key, value) in extra {
                merge(target.entry(key).or_insert(Value::Null), value);
            }
        }
        (target, extra) => *target = extra.clone(),
    }
}

/// Writes a spec and returns its path.
pub(crate) fn write_spec(directory: &Path, spec: &Value) -> PathBuf {
    let path = directory.join("spec.json");
    std::fs::write(&path, spec.to_string()).unwrap();
    path
}

/// A tensor of a safetensors file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Array {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

impl Array {
    /// Its values, which must be f32.
    pub(crate) fn floats(&self) -> Vec<f32> {
        assert_eq!(self.dtype, Dtype::F32);
        let chunks = self.bytes.as_chunks::<4>().0.iter();
        chunks.map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }

    /// Its values, which must be f32 or f64.
    pub(crate) fn values(&self) -> Vec<f64> {
        if self.dtype == Dtype::F32 {
            return self.floats().into_iter().map(f64::from).collect();
        }
        assert_eq!(self.dtype, Dtype::F64);
        let chunks = self.bytes.as_chunks::<8>().0.iter();
        chunks.map(|bytes| f64::from_le_bytes(*bytes)).collect()
    }

    /// Its first `count` rows.
    pub(crate) fn first(&self, count: usize) -> Self {
        let length = self.bytes.len() / self.shape[0] * count;
        let mut first = self.clone();
        first.shape[0] = count;
        first.bytes.truncate(length);
        first
    }
}

/// The tensors of a safetensors file.
pub(crate) type Arrays = BTreeMap<String, Array>;

/// Reads a safetensors file.
pub(crate) fn read(path: &Path) -> Arrays {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    tensors
        .iter()
        .map(|(name, view)| {
            let array = Array {
                dtype: view.dtype(),
                shape: view.shape().to_vec(),
                bytes: view.data().to_vec(),
            };
            (name.to_owned(), array)
        })
        .collect()
}

/// Writes a safetensors file.
pub(crate) fn write(path: &Path, arrays: &Arrays) {
    let views = arrays.iter().map(|(name, array)| {
        let view = TensorView::new(array.dtype, array.shape.clone(), &array.bytes);
        (name, view.unwrap())
    });
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// The tensors under `prefix`, by their names without it.
pub(crate) fn under(arrays: &Arrays, prefix: &str) -> Arrays {
    arrays
        .iter()
        .filter_map(|(name, array)| Some((name.strip_prefix(prefix)?.to_owned(), array.clone())))
        .collect()
}
