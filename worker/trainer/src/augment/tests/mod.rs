//! Batches against a loop over images, draws against their distributions.

mod batches;
mod cost;
mod draws;
mod naive;
mod sharing;

use serde_json::{Value, json};
use swath_model::spec::{JobSpec, TrainingSpec};

use super::*;
use crate::data::{Facts, Split};

fn spec(augmentation: &Value, seed: u64) -> TrainingSpec {
    let tree = json!({
        "dataset": {"name": "tensors", "path": "none.safetensors"},
        "model": {"name": "resnet_preact", "depth": 8},
        "batch_size": 4, "epochs": 1, "optimizer": {"lr": 0.1},
        "augmentation": augmentation, "seed": seed,
    });
    let job = JobSpec::from_value(&tree).unwrap();
    job.training().unwrap().clone()
}

fn facts(channels: i64, height: i64, width: i64) -> Facts {
    Facts {
        channels,
        height,
        width,
        classes: 10,
        train_images: 0,
        mean: vec![0.4; channels as usize],
        std: vec![0.2; channels as usize],
        class_names: Vec::new(),
    }
}

/// Images whose pixels all differ from 0 and, mostly, from each other.
fn split(facts: &Facts, count: usize) -> Split {
    let pixels = count * (facts.channels * facts.height * facts.width) as usize;
    Split {
        images: (0..pixels).map(|i| (i * 37 % 255) as u8 + 1).collect(),
        labels: (0..count as i64).map(|i| i * 7 % 10).collect(),
    }
}
