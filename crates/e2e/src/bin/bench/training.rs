//! Images per second of the trainer, beside eager PyTorch in the same run.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use swath_e2e::{Site, binary};

use crate::text::{Figure, progress, quantile};

const TRAIN_IMAGES: usize = 4096;
const TEST_IMAGES: usize = 64;
const PIXELS: usize = 3 * 32 * 32;
/// The series of PyTorch that holds the libtorch which Swath is built on: no
/// other one is a fair comparison.
const SERIES: &str = "2.13";
/// Rounds of Swath and PyTorch in turn, so that a noisy neighbour hits both.
const ROUNDS: usize = 3;

/// ResNet-preact-20 on 32×32×3 images at two batch sizes.
pub(crate) fn measure() -> Vec<Figure> {
    let site = Site::new();
    let data = site.path().join("bench.safetensors");
    if let Err(error) = write_data(&data) {
        return vec![Figure::plain("training", format!("not measured: {error}"))];
    }
    let python = python();
    let mut figures = Vec::new();
    let cases = [(128, 1.3), (1024, 2.0)];
    for (batch, goal) in cases {
        let mut ours = Vec::new();
        let mut default = Vec::new();
        let mut channels_last = Vec::new();
        for round in 1..=ROUNDS {
            progress(&format!(
                "ResNet-preact-20, batch {batch}, round {round} of {ROUNDS}"
            ));
            ours.extend(swath(&site, &data, batch));
            if let Some((python, _)) = &python {
                default.extend(torch(python, batch, "default"));
                channels_last.extend(torch(python, batch, "channels_last"));
            }
        }
        let name = format!("ResNet-preact-20, batch {batch}");
        let swath = quantile(&mut ours, 0.5);
        figures.push(Figure::plain(
            format!("{name}: Swath"),
            format!("{swath:.0} images/s"),
        ));
        match &python {
            Some((_, version)) if !default.is_empty() => {
                let torch = quantile(&mut default, 0.5);
                let last = quantile(&mut channels_last, 0.5);
                figures.extend(compared(&name, version, goal, swath, [torch, last]));
            }
            Some((_, version)) => {
                figures.push(Figure::plain(
                    format!("{name}: PyTorch {version}"),
                    "not measured: it failed",
                ));
            }
            None => {
                figures.push(Figure::plain(format!("{name}: PyTorch"), "not installed"));
            }
        }
    }
    figures
}

/// Images per second of PyTorch `version` (default layout, channels last) and
/// Swath's over them. Only PyTorch of [`SERIES`] is something to be held to.
fn compared(name: &str, version: &str, goal: f64, swath: f64, torch: [f64; 2]) -> Vec<Figure> {
    let layouts = ["default layout", "channels_last"];
    let comparable = version
        .strip_prefix(SERIES)
        .is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()));
    let mark = if comparable {
        String::new()
    } else {
        format!(" (not comparable: Swath is built on {SERIES})")
    };
    let mut figures = Vec::new();
    for (layout, speed) in layouts.into_iter().zip(torch) {
        figures.push(Figure::plain(
            format!("{name}: PyTorch {version} eager, {layout}{mark}"),
            format!("{speed:.0} images/s"),
        ));
    }
    for (layout, speed) in layouts.into_iter().zip(torch) {
        let what = format!("{name}: Swath over PyTorch {version}, {layout}{mark}");
        let ratio = swath / speed;
        figures.push(if comparable && layout == layouts[0] {
            Figure::at_least(what, ratio, goal, "×")
        } else {
            Figure::plain(what, format!("{ratio:.2}×"))
        });
    }
    figures
}

/// Random images in a safetensors file: a length, a JSON header, the bytes.
fn write_data(path: &Path) -> std::io::Result<()> {
    let mut header = serde_json::Map::new();
    let mut bytes: Vec<u8> = Vec::new();
    let mut state: u32 = 1;
    let mut random = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    for (part, count) in [("train", TRAIN_IMAGES), ("test", TEST_IMAGES)] {
        let start = bytes.len();
        bytes.extend((0..count * PIXELS).map(|_| random()));
        let entry = json!({"dtype": "U8", "shape": [count, 3, 32, 32], "data_offsets": [start, bytes.len()]});
        header.insert(format!("{part}_images"), entry);
        let start = bytes.len();
        bytes.extend((0..count).flat_map(|index| (index as i64 % 10).to_le_bytes()));
        let entry = json!({"dtype": "I64", "shape": [count], "data_offsets": [start, bytes.len()]});
        header.insert(format!("{part}_labels"), entry);
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut file = std::fs::File::create(path)?;
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(&header)?;
    file.write_all(&bytes)
}

/// Images per second of each epoch but the first.
fn swath(site: &Site, data: &Path, batch: usize) -> Vec<f64> {
    let spec = json!({
        "dataset": {"name": "tensors", "path": data, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
        "model": {"name": "resnet_preact", "depth": 20},
        "batch_size": batch,
        "epochs": 3,
        "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": true, "weight_decay": 1e-4},
        "augmentation": {"random_crop": {"padding": 4}, "horizontal_flip": true},
    });
    let path = site.write("bench.json", &spec.to_string());
    let output = Command::new(binary("trainer"))
        .arg("train")
        .arg("--spec")
        .arg(path)
        .output();
    let text = output
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let epochs = lines.filter(|event| event["event"] == "epoch").skip(1);
    epochs
        .filter_map(|event| event["images_per_second"].as_f64())
        .collect()
}

/// A Python that can import torch, and the version of that.
fn python() -> Option<(PathBuf, String)> {
    let named = std::env::var_os("SWATH_BENCH_PYTHON").map(PathBuf::from);
    let python = named.unwrap_or_else(|| PathBuf::from("python3"));
    let probe = Command::new(&python)
        .args(["-c", "import torch; print(torch.__version__)"])
        .output()
        .ok();
    if let Some(probe) = probe.filter(|probe| probe.status.success()) {
        let version = String::from_utf8_lossy(&probe.stdout).trim().to_owned();
        progress(&format!("{} has PyTorch {version}", python.display()));
        return Some((python, version));
    }
    progress("PyTorch is not installed: the trainer is measured alone");
    None
}

fn torch(python: &Path, batch: usize, layout: &str) -> Vec<f64> {
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/benches/pytorch_resnet_preact.py"
    );
    let output = Command::new(python)
        .args([script, "--batch", &batch.to_string(), "--layout", layout])
        .args(["--images", &TRAIN_IMAGES.to_string()])
        .output();
    let text = output
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    text.lines()
        .filter_map(|line| line.trim().parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_series_of_the_libtorch_is_held_to() {
        for version in ["2.13.0", "2.13.1+cu130", "2.13"] {
            let figures = compared("R", version, 1.3, 300.0, [200.0, 250.0]);
            assert!(figures.iter().all(|figure| figure.what.contains(version)));
            assert!(
                !figures
                    .iter()
                    .any(|figure| figure.what.contains("not comparable"))
            );
            let met: Vec<_> = figures.iter().map(|figure| figure.met).collect();
            assert_eq!(met, [None, None, Some(true), None]);
        }
        for version in ["2.12.1", "2.1", "2.130.0", "3.0"] {
            let figures = compared("R", version, 1.3, 300.0, [200.0, 250.0]);
            for figure in &figures {
                assert!(figure.what.contains(version), "{figure:?}");
                assert!(figure.what.contains("not comparable"), "{figure:?}");
                assert_eq!(figure.met, None, "{figure:?}");
            }
        }
    }
}
