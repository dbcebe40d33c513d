//! The same training on Fashion-MNIST by Swath's trainer and by a PyTorch
//! script: test errors and wall times.

use std::process::Command;

use serde_json::{Value, json};
use swath_e2e::{Site, binary};

use crate::pytorch::Pytorch;
use crate::text::{Figure, progress, quantile};

const SEEDS: u64 = 5;
/// Below it, two sets of errors count as different.
const SIGNIFICANT: f64 = 0.05;

/// One finished training.
#[derive(Clone, Copy, Debug)]
struct Trained {
    /// In percent.
    error: f64,
    seconds: f64,
}

/// Both in turn, seed by seed.
pub(crate) fn measure() -> Vec<Figure> {
    let name = "Fashion-MNIST, ResNet-preact-8, 8 channels, 3 epochs";
    let Some(pytorch) = Pytorch::find() else {
        return vec![Figure::plain(name, "PyTorch is not installed")];
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
                .args(["--seed", &seed.to_string()]),
        ));
    }
    if ours.len() as u64 != SEEDS || theirs.len() as u64 != SEEDS {
        return vec![Figure::plain(
            name,
            "a training failed; is Fashion-MNIST there?",
        )];
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
            format!("{name}: Swath, median wall"),
            format!("{:.1} s", seconds(&ours)),
        ),
        Figure::plain(
            format!("{name}: PyTorch, median wall"),
            format!("{:.1} s", seconds(&theirs)),
        ),
    ]
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

/// What the last line of a program says.
fn trained(command: &mut Command) -> Option<Trained> {
    let output = command.env("PYTHONDONTWRITEBYTECODE", "1").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let last: Value = serde_json::from_str(text.lines().last()?).ok()?;
    Some(Trained {
        error: last["test_error"].as_f64()?,
        seconds: last["train_seconds"].as_f64()?,
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
        // The most extreme split of 20: itself and its mirror image.
        let p = permutation_test(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]);
        assert!((p - 0.1).abs() < 1e-12, "{p}");
        let p = permutation_test(&[1.0, 2.0], &[1.0, 2.0]);
        assert!((p - 1.0).abs() < 1e-12, "{p}");
    }
}
