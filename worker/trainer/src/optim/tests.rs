use serde_json::{Value, json};
use swath_model::spec::{JobSpec, WeightDecayOn};
use tch::{Device, Kind};

use super::*;
use crate::data::Facts;
use crate::model::Model;

/// A parameter tensor as the formulas see it: in f64, with its state.
struct Naive {
    name: String,
    w: Vec<f64>,
    state: Vec<[f64; 2]>,
}

/// Whether PyTorch's parameter name belongs to the group.
fn is_of(name: &str, which: WeightDecayOn) -> bool {
    let norm = name.contains("bn");
    match which {
        WeightDecayOn::All => true,
        WeightDecayOn::AllButBn => !norm,
        WeightDecayOn::Weights => !norm && name.ends_with("weight"),
    }
}

fn floats(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.to_kind(Kind::Double).reshape(-1)).unwrap()
}

/// Takes four steps on a small network with the optimizer of `options`, and
/// with `naive` (tensor, its gradient, lr, step from 1) on the tensors one by
/// one. The weights must agree.
fn compare(options: &Value, naive: impl Fn(&mut Naive, &[f64], f64, i32)) {
    let tree = json!({
        "dataset": {"name": "digits"},
        "model": {"name": "resnet_preact", "depth": 8, "initial_channels": 4},
        "batch_size": 16, "epochs": 1, "optimizer": options, "seed": 3,
    });
    let job = JobSpec::from_value(&tree).unwrap();
    let spec = job.training().unwrap();
    let facts = Facts {
        channels: 1,
        height: 8,
        width: 8,
        classes: 10,
        train_images: 64,
        mean: Vec::new(),
        std: Vec::new(),
        class_names: Vec::new(),
    };
    let model = Model::new(&spec.model, &facts).unwrap();
    let weights = model.initial(&spec.init, spec.seed, Device::Cpu).unwrap();
    let names = model.layout().parameters.iter();
    let mut expected: Vec<Naive> = names
        .zip(weights.parameters())
        .map(|(parameter, tensor)| Naive {
            name: parameter.name.clone(),
            w: floats(tensor),
            state: vec![[0.0; 2]; tensor.numel()],
        })
        .collect();
    let mut optimizer = Optimizer::new(&spec.optimizer, &weights, spec.precision);
    for step in 1..=4 {
        let lr = 0.1 / f64::from(step);
        let shift = f64::from(step);
        let gradients: Vec<Tensor> = weights
            .parameters()
            .iter()
            .enumerate()
            .map(|(index, tensor)| {
                let count = Tensor::arange(tensor.numel() as i64, (Kind::Float, Device::Cpu));
                let scale = 0.02 * (1.0 + index as f64 % 3.0);
                ((count * 0.7 + shift).sin() * scale).view(tensor.size().as_slice())
            })
            .collect();
        optimizer.step(weights.flat(), &mut weights.flattened(&gradients), lr);
        for (tensor, gradient) in expected.iter_mut().zip(&gradients) {
            naive(tensor, &floats(gradient), lr, step);
        }
    }
    for (naive, tensor) in expected.iter().zip(weights.parameters()) {
        for (expected, found) in naive.w.iter().zip(floats(tensor)) {
            let error = (expected - found).abs();
            assert!(error < 2e-6, "{}: {expected} {found}", naive.name);
        }
    }
}

const GROUPS: [(&str, WeightDecayOn); 3] = [
    ("all", WeightDecayOn::All),
    ("all_but_bn", WeightDecayOn::AllButBn),
    ("weights", WeightDecayOn::Weights),
];

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

#[test]
fn sgd_decays_the_group() {
    for (name, which) in GROUPS {
        let options = json!({
            "name": "sgd", "lr": 0.1, "weight_decay": 0.1, "weight_decay_on": name,
        });
        compare(&options, |tensor, gradient, lr, _| {
            let decay = if is_of(&tensor.name, which) { 0.1 } else { 0.0 };
            let elements = tensor.w.iter_mut().zip(&mut tensor.state);
            for ((w, [v, _]), g) in elements.zip(gradient) {
                let g = g + decay * *w;
                *v = 0.9 * *v + g;
                *w -= lr * (g + 0.9 * *v);
            }
        });
    }
}

#[test]
fn lars_follows_the_formula() {
    for (name, decayed) in GROUPS {
        for (adapt_on, adapted) in GROUPS {
            let options = json!({
                "name": "lars", "lr": 0.1, "momentum": 0.8, "weight_decay": 0.1,
                "weight_decay_on": name, "adapt_on": adapt_on,
                "trust_coefficient": 0.5, "threshold": 0.05, "eps": 1e-3,
            });
            compare(&options, |tensor, gradient, lr, _| {
                let decay = if is_of(&tensor.name, decayed) {
                    0.1
                } else {
                    0.0
                };
                let size = norm(&tensor.w);
                let local = if is_of(&tensor.name, adapted) && size >= 0.05 {
                    0.5 * size / (1e-3 + norm(gradient) + decay * size)
                } else {
                    1.0
                };
                let elements = tensor.w.iter_mut().zip(&mut tensor.state);
                for ((w, [v, _]), g) in elements.zip(gradient) {
                    *v = 0.8 * *v + lr * local * (g + decay * *w);
                    *w -= *v;
                }
            });
        }
    }
}

#[test]
fn adam_and_adamw_follow_the_formula() {
    for (decay_on, decayed) in GROUPS {
        for name in ["adam", "adamw"] {
            let options = json!({
                "name": name, "lr": 0.1, "weight_decay": 0.1, "weight_decay_on": decay_on,
                "beta1": 0.8, "beta2": 0.95, "eps": 1e-2,
            });
            compare(&options, |tensor, gradient, lr, step| {
                let decay = if is_of(&tensor.name, decayed) {
                    0.1
                } else {
                    0.0
                };
                let elements = tensor.w.iter_mut().zip(&mut tensor.state);
                for ((w, [m, v]), g) in elements.zip(gradient) {
                    let g = if name == "adam" { g + decay * *w } else { *g };
                    if name == "adamw" {
                        *w -= lr * decay * *w;
                    }
                    *m = 0.8 * *m + 0.2 * g;
                    *v = 0.95 * *v + 0.05 * g * g;
                    let first = *m / (1.0 - 0.8_f64.powi(step));
                    let second = *v / (1.0 - 0.95_f64.powi(step));
                    *w -= lr * first / (second.sqrt() + 1e-2);
                }
            });
        }
    }
}
