//! The PyTorch that the trainer is compared with.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::text::progress;

/// The series of PyTorch with the libtorch that Swath is built on. A comparison
/// with any other would not be fair.
const SERIES: &str = "2.13";

/// A Python with PyTorch.
pub(crate) struct Pytorch {
    python: PathBuf,
    /// The version of PyTorch.
    pub(crate) version: String,
}

/// What one process measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// The median of the timed steps.
    pub(crate) images_per_second: f64,
    /// Largest resident memory, in bytes.
    pub(crate) peak_bytes: f64,
}

impl Pytorch {
    /// The Python that `SWATH_BENCH_PYTHON` names, else `python3`, if it can
    /// import torch.
    pub(crate) fn find() -> Option<Self> {
        let named = std::env::var_os("SWATH_BENCH_PYTHON").map(PathBuf::from);
        let python = named.unwrap_or_else(|| PathBuf::from("python3"));
        let probe = Command::new(&python)
            .args(["-c", "import torch; print(torch.__version__)"])
            .output()
            .ok();
        if let Some(probe) = probe.filter(|probe| probe.status.success()) {
            let version = String::from_utf8_lossy(&probe.stdout).trim().to_owned();
            progress(&format!("{} has PyTorch {version}", python.display()));
            return Some(Self { python, version });
        }
        progress("PyTorch is not installed: the trainer is measured alone");
        None
    }

    /// Whether its version is in [`SERIES`].
    pub(crate) fn is_comparable(&self) -> bool {
        is_comparable(&self.version)
    }

    /// The Python, and the path of a script in `benches/` for it.
    pub(crate) fn script(&self, name: &str) -> (&Path, PathBuf) {
        let benches = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches");
        (&self.python, benches.join(name))
    }

    /// Times `model` at `batch` in its own process; `None` if it fails.
    pub(crate) fn run(&self, model: &str, batch: usize, how: &str, steps: usize) -> Option<Run> {
        let (python, script) = self.script("pytorch_train.py");
        let output = Command::new(python)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .arg(script)
            .args(["--model", model, "--batch", &batch.to_string()])
            .args(["--how", how, "--steps", &steps.to_string()])
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let found: Option<Value> = text
            .lines()
            .last()
            .and_then(|line| serde_json::from_str(line).ok());
        let Some(found) = found else {
            let errors = String::from_utf8_lossy(&output.stderr);
            let last = errors.lines().last().unwrap_or("it printed nothing");
            progress(&format!("PyTorch {how} of {model} failed: {last}"));
            return None;
        };
        Some(Run {
            images_per_second: found["images_per_second"].as_f64()?,
            peak_bytes: found["peak_bytes"].as_f64()?,
        })
    }
}

fn is_comparable(version: &str) -> bool {
    version
        .strip_prefix(SERIES)
        .is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_series_of_the_libtorch_is_held_to() {
        for version in ["2.13.0", "2.13.1+cu130", "2.13"] {
            assert!(is_comparable(version), "{version}");
        }
        for version in ["2.12.1", "2.1", "2.130.0", "3.0"] {
            assert!(!is_comparable(version), "{version}");
        }
    }
}
