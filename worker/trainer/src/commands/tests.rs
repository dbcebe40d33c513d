//! The law of checkpoints: a training that was stopped after any step and
//! continued from its files ends with the same bytes as one that was not.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use swath_model::outcome::Measurement;
use swath_model::spec::JobSpec;
use tch::{Device, Kind, Tensor};

use super::attempt::{Kept, Order, attempt};
use super::clerk::Pace;
use crate::checkpoint::Mode;
use crate::cli::{Compute, Measures};
use crate::failure::Failure;
use crate::rng::{Purpose, Stream};
use crate::session::Session;
use crate::tensor_file;

const STEPS: u64 = 50;

/// 58 images in batches of 8 make epochs of 8 steps with a last batch of 2;
/// 50 steps are six of them and a partial one.
fn job(root: &Path, extra: &Value) -> JobSpec {
    let data = root.join("data.safetensors");
    if !data.exists() {
        write_data(&data);
    }
    let mut tree = json!({
        "dataset": {"name": "tensors", "path": data, "mean": [0.4], "std": [0.3]},
        "model": {"name": "resnet_preact", "depth": 8, "initial_channels": 4},
        "batch_size": 8, "steps": STEPS, "drop_last": false,
        "optimizer": {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-4},
        "schedule": {"name": "cosine"},
        "augmentation": {
            "random_crop": {"padding": 1}, "horizontal_flip": true, "cutout": {"size": 2},
        },
        "seed": 5,
    });
    for (key, value) in extra.as_object().unwrap() {
        tree[key] = value.clone();
    }
    JobSpec::from_value(&tree).unwrap()
}

fn write_data(path: &Path) {
    let images = |count: i64, epoch| {
        let stream = Stream::new(1, Purpose::Crop, epoch);
        let pixels: Vec<u8> = (0..count as u64 * 64)
            .map(|at| stream.below(at, 256) as u8)
            .collect();
        Tensor::from_slice(&pixels).view([count, 1, 8, 8])
    };
    let labels = |count| Tensor::arange(count, (Kind::Int64, Device::Cpu)).remainder(3);
    let tensors = [
        ("train_images".to_owned(), images(58, 0)),
        ("train_labels".to_owned(), labels(58)),
        ("test_images".to_owned(), images(10, 1)),
        ("test_labels".to_owned(), labels(10)),
    ];
    tensor_file::write(path, &tensors).unwrap();
}

fn session() -> Session {
    Session::new(Compute {
        device: Device::Cpu,
        threads: Some(1),
    })
    .unwrap()
}

fn train(
    session: &mut Session,
    job: &JobSpec,
    out: &Path,
    stop_after: Option<u64>,
) -> Result<Measurement, Failure> {
    let order = Order {
        weights: None,
        out: Some(out),
        mode: Mode::Resume,
        pace: Pace {
            stop_after,
            ..Pace::default()
        },
        kept: Kept::Result,
        measures: &Measures::default(),
    };
    attempt(session, job, &order)
}

/// The files that must be equal.
fn bytes(out: &Path) -> [Vec<u8>; 2] {
    ["weights.safetensors", "history.jsonl"].map(|name| fs::read(out.join(name)).unwrap())
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Stops after each of `stops`, and after each of them goes on to the end in
/// a copy of the directory and to the next stop in the directory itself.
fn stop_and_go(extra: &Value, stops: impl Iterator<Item = u64>) {
    let root = tempfile::tempdir().unwrap();
    let job = job(root.path(), extra);
    let mut session = session();
    let whole = root.path().join("whole");
    let expected = train(&mut session, &job, &whole, None).unwrap();
    let chain = root.path().join("chain");
    for stop in stops {
        let stopped = train(&mut session, &job, &chain, Some(stop));
        assert_eq!(stopped, Err(Failure::Stopped), "{stop}");
        let branch = root.path().join(format!("branch-{stop}"));
        copy(&chain, &branch);
        let found = train(&mut session, &job, &branch, None).unwrap();
        assert!(
            bytes(&branch) == bytes(&whole),
            "{extra}: stop after {stop}"
        );
        let lasting = |it: &Measurement| it.values.without(&["images_per_second"]);
        assert_eq!(lasting(&found), lasting(&expected));
    }
}

#[test]
fn a_training_stopped_after_any_step_gives_the_same_bytes() {
    stop_and_go(&json!({}), 1..=STEPS);
}

#[test]
fn one_stop_is_enough_and_the_clock_goes_on() {
    let root = tempfile::tempdir().unwrap();
    let job = job(root.path(), &json!({}));
    let mut session = session();
    let whole = root.path().join("whole");
    train(&mut session, &job, &whole, None).unwrap();
    for stop in [1, 7, 8, 9, 31, 49] {
        let out = root.path().join(format!("{stop}"));
        let stopped = train(&mut session, &job, &out, Some(stop));
        assert_eq!(stopped, Err(Failure::Stopped));
        let before = fs::read_to_string(out.join("history.jsonl")).unwrap();
        // The measurement of an epoch comes after its last step.
        assert_eq!(before.lines().count() as u64, (stop - 1) / 8);
        train(&mut session, &job, &out, None).unwrap();
        assert!(bytes(&out) == bytes(&whole), "stop after {stop}");
        let timing = fs::read_to_string(out.join("timing.jsonl")).unwrap();
        let seconds: Vec<f64> = timing
            .lines()
            .map(|line| {
                serde_json::from_str::<Value>(line).unwrap()["seconds"]
                    .as_f64()
                    .unwrap()
            })
            .collect();
        assert!(seconds.is_sorted(), "{seconds:?}");
        assert_eq!(seconds.len(), 7);
    }
}

/// In the middle of an epoch, before and after its measurement, after most of
/// the training.
const SOME: [u64; 5] = [1, 8, 9, 21, 43];

#[test]
fn every_optimizer_goes_on_bit_for_bit() {
    for optimizer in [
        json!({"name": "sgd", "lr": 0.05, "momentum": 0.0, "nesterov": false}),
        json!({"name": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": false}),
        json!({"name": "lars", "lr": 0.5, "weight_decay": 1e-4}),
        json!({"name": "adam", "lr": 0.01}),
        json!({"name": "adamw", "lr": 0.01, "weight_decay": 0.01}),
    ] {
        stop_and_go(&json!({"optimizer": optimizer}), SOME.into_iter());
    }
}

#[test]
fn mixed_batches_and_two_views_go_on_bit_for_bit() {
    for augmentation in [
        json!({"mixup": {"alpha": 1.0}, "horizontal_flip": true}),
        json!({"cutmix": {"alpha": 1.0}, "random_erasing": {"probability": 0.5}}),
        json!({"ricap": {"beta": 0.3}}),
        json!({"dual_cutout": {"size": 2, "alpha": 0.1}}),
    ] {
        stop_and_go(&json!({"augmentation": augmentation}), SOME.into_iter());
    }
}

#[test]
fn noise_inside_of_models_goes_on_bit_for_bit() {
    for model in [
        json!({"name": "wrn", "depth": 10, "initial_channels": 4, "widening_factor": 1,
            "drop_rate": 0.3}),
        json!({"name": "shake_shake", "depth": 8, "initial_channels": 4}),
    ] {
        stop_and_go(&json!({"model": model}), SOME.into_iter());
    }
}

#[test]
fn number_formats_and_parts_of_batches_go_on_bit_for_bit() {
    for extra in [
        json!({"precision": "bf16"}),
        json!({"precision": "fp16"}),
        json!({"precision": "fp16_pure"}),
        json!({"ghost_batch_size": 4, "gradient_clip_norm": 0.5, "drop_last": true}),
        json!({"accumulation_steps": 2, "drop_last": true}),
    ] {
        stop_and_go(&extra, SOME.into_iter());
    }
}
