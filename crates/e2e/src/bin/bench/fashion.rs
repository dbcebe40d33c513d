//! The same training on Fashion-MNIST by Swath's trainer and by a PyTorch
//! script: test errors and wall times.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};
use swath_e2e::{Site, binary};

use crate::pytorch::Pytorch;
use crate::text::{Figure, progress, quantile};

const SEEDS: u64 = 5;
/// The p below which two sets of errors count as different.
const SIGNIFICANT: f64 = 0.05;

/// One finished training.
#[derive(Clone, Copy, Debug)]
struct Trained {
    /// Its test error in percent.
    error: f64,
    /// Seconds from the start of the process to its end.
    seconds: f64,
}

/// Measures both in turn, seed by seed.
pub(crate) fn measure() -> Vec<Figure> {
    let name = "Fashion-MNIST, ResNet-preact-8, 8 channels, 3 epochs";
    let Some(pytorch) = Pytorch::find() else {
        return vec![Figure::plain(name, "PyTorch is not installed")];
    };
    let Some(data) = files() else {
        return vec![Figure::plain(name, "Fashion-MNIST is not there")];
    };
    let site = Site::new();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for seed in 1..=SEEDS {
        progress(&format!("{name}, seed {seed} of {SEEDS}"));
        ours.extend(swath(&site, seed));
        let script = pytorch.script("pytorch_fashion_mnist.py");
        theirs.extend(trained(
            Command::new(script.0)
                .arg(script.1)
                .arg("--data")
                .arg(&data)
                .args(["--seed", &seed.to_string()]),
        ));
    }
    if ours.len() as u64 != SEEDS || theirs.len() as u64 != SEEDS {
        return vec![Figure::plain(name, "a training failed")];
    }
    let errors = |runs: &[Trained]| runs.iter().map(|run| run.error).collect::<Vec<_>>();
    let seconds = |runs: &[Trained]| {
        quantile(
            &mut runs.iter().map(|run| run.seconds).collect::<Vec<_>>(),
            0.5,
        )
    };
    let p = permutation_test(&errors(&ours), &errors(&theirs));
    vec![
        Figure::plain(
            format!("{name}: Swath, test errors"),
            listed(&errors(&ours)),
        ),
        Figure::plain(
            format!("{name}: PyTorch {}, test errors", pytorch.version),
            listed(&errors(&theirs)),
        ),
        Figure::at_least(
            format!("{name}: p of the same mean, exact permutation test"),
            p,
            SIGNIFICANT,
            "",
        ),
        Figure::plain(
            format!("{name}: Swath, whole process, median wall"),
            format!("{:.1} s", seconds(&ours)),
        ),
        Figure::plain(
            format!("{name}: PyTorch, whole process, median wall"),
            format!("{:.1} s", seconds(&theirs)),
        ),
    ]
}

/// The directory where the trainer and the script find Fashion-MNIST.
fn files() -> Option<PathBuf> {
    let named = |variable: &str| {
        let value = env::var_os(variable).filter(|value| !value.is_empty());
        value.map(PathBuf::from)
    };
    let own = named("SWATH_DATA_DIR").or_else(|| {
        let cache = named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")));
        Some(cache?.join("swath/data"))
    });
    let places = own
        .map(|own| own.join("fashion_mnist"))
        .into_iter()
        .chain([Path::new("/usr/share/datasets/fashion-mnist").to_owned()]);
    let mut places = places.filter(|place| place.join("train-images-idx3-ubyte.gz").is_file());
    places.next()
}

fn swath(site: &Site, seed: u64) -> Option<Trained> {
    let spec = json!({
        "dataset": {"name": "fashion_mnist"},
        "model": {"name": "resnet_preact", "depth": 8, "initial_channels": 8},
        "batch_size": 128,
        "epochs": 3,
        "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": true, "weight_decay": 1e-4},
        "schedule": {"name": "cosine"},
        "augmentation": {"random_crop": {"padding": 4}, "horizontal_flip": true},
        "seed": seed,
    });
    let path = site.write("fashion.json", &spec.to_string());
    trained(
        Command::new(binary("trainer"))
            .arg("train")
            .arg("--spec")
            .arg(path),
    )
}

/// Reads the last line of a program, and measures how long the program ran.
fn trained(command: &mut Command) -> Option<Trained> {
    let started = Instant::now();
    let output = command.env("PYTHONDONTWRITEBYTECODE", "1").output().ok()?;
    let seconds = started.elapsed().as_secs_f64();
    let text = String::from_utf8_lossy(&output.stdout);
    let last: Value = serde_json::from_str(text.lines().last()?).ok()?;
    Some(Trained {
        error: last["test_error"].as_f64()?,
        seconds,
    })
}

fn listed(errors: &[f64]) -> String {
    let texts: Vec<String> = errors.iter().map(|error| format!("{error:.2}")).collect();
    texts.join(" ")
}

/// The share of all ways to deal the values into two groups of these sizes
/// whose means differ at least as much as those of `a` and `b` (Fisher 1935).
fn permutation_test(a: &[f64], b: &[f64]) -> f64 {
    let all = [a, b].concat();
    let total: f64 = all.iter().sum();
    let gap = |sum: f64| (sum / a.len() as f64 - (total - sum) / b.len() as f64).abs();
    let found = gap(a.iter().sum());
    let (mut as_far, mut ways) = (0_u32, 0_u32);
    for chosen in 0_u32..1 << all.len() {
        if chosen.count_ones() as usize != a.len() {
            continue;
        }
        let picked = all
            .iter()
            .enumerate()
            .filter(|(at, _)| chosen >> at & 1 == 1);
        ways += 1;
        as_far += u32::from(gap(picked.map(|(_, value)| value).sum()) >= found - 1e-9);
    }
    f64::from(as_far) / f64::from(ways)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permutation_test_counts_the_ways() {
        // The most extreme of 20 splits, and its mirror image.
        let p = permutation_test(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]);
        assert!((p - 0.1).abs() < 1e-12, "{p}");
        let p = permutation_test(&[1.0, 2.0], &[1.0, 2.0]);
        assert!((p - 1.0).abs() < 1e-12, "{p}");
    }
}
