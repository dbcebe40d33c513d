use serde_json::{Value, json};
use swath_model::spec::JobSpec;
use tch::Device;

use super::*;
use crate::data::Facts;
use crate::loss::Target;

/// A spec of a small network on 1×8×8 images.
fn job(extra: &Value) -> JobSpec {
    let mut tree = json!({
        "dataset": {"name": "digits"},
        "model": {"name": "resnet_preact", "depth": 8, "initial_channels": 4},
        "batch_size": 16, "epochs": 1, "optimizer": {"lr": 0.1}, "seed": 3,
    });
    let entries = tree.as_object_mut().unwrap();
    entries.extend(extra.as_object().unwrap().clone());
    JobSpec::from_value(&tree).unwrap()
}

/// The model of a spec with its initial weights.
fn network(spec: &TrainingSpec) -> (Model, Weights) {
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
    (model, weights.prepared(spec))
}

/// Some images: the same ones for the same number.
fn batch(number: i64, count: i64) -> Batch {
    let options = (Kind::Float, Device::Cpu);
    let pixels = Tensor::arange(count * 64, options) * 0.37 + number;
    Batch {
        views: vec![pixels.sin().view([count, 8, 8, 1]).permute([0, 3, 1, 2])],
        target: Target::Labels(
            (Tensor::arange(count, (Kind::Int64, Device::Cpu)) + number).remainder(10),
        ),
    }
}

/// Everything that a step changes.
fn bytes(weights: &Weights, stepper: &Stepper) -> Vec<Vec<f64>> {
    let state = stepper.state();
    let state = state.iter().map(|(_, tensor)| tensor);
    std::iter::once(weights.flat())
        .chain(weights.buffers())
        .chain(state)
        .map(|tensor| Vec::<f64>::try_from(tensor.to_kind(Kind::Double).view(-1)).unwrap())
        .collect()
}

#[test]
fn a_restored_stepper_goes_on_bit_for_bit() {
    for extra in [
        json!({}),
        json!({"optimizer": {"name": "lars", "lr": 0.1}}),
        json!({"optimizer": {"name": "adamw", "lr": 0.1, "weight_decay": 0.1}}),
        json!({"accumulation_steps": 4, "ghost_batch_size": 2, "gradient_clip_norm": 0.5}),
        json!({"precision": "bf16", "optimizer": {"name": "adam", "lr": 0.01}}),
        json!({"precision": "fp16"}),
        json!({"precision": "fp16_pure"}),
    ] {
        let job = job(&extra);
        let spec = job.training().unwrap();
        let (model, weights) = network(spec);
        let mut stepper = Stepper::new(spec, &model, &weights);
        for step in 0..3 {
            stepper.step(step, &batch(step as i64, 16), 0.1);
        }
        let saved: Vec<_> = stepper.state();
        let saved: Vec<_> = saved.into_iter().map(|(n, t)| (n, t.copy())).collect();
        let (model, again) = network(spec);
        no_grad(|| again.flat().shallow_clone().copy_(weights.flat()));
        for (from, to) in weights.buffers().iter().zip(again.buffers()) {
            to.shallow_clone().copy_(from);
        }
        let mut restored = Stepper::new(spec, &model, &again);
        restored.restore(&saved).unwrap();
        for step in 3..6 {
            stepper.step(step, &batch(step as i64, 16), 0.1);
            restored.step(step, &batch(step as i64, 16), 0.1);
        }
        assert_eq!(
            bytes(&weights, &stepper),
            bytes(&again, &restored),
            "{extra}"
        );
    }
}

#[test]
fn a_state_of_another_training_is_refused() {
    let job = job(&json!({}));
    let spec = job.training().unwrap();
    let (model, weights) = network(spec);
    let mut stepper = Stepper::new(spec, &model, &weights);
    let error = stepper.restore(&[]).unwrap_err().to_string();
    assert!(error.contains("optimizer.velocity"), "{error}");
    let short = Tensor::zeros([3], (Kind::Float, Device::Cpu));
    let state = [("optimizer.velocity".to_owned(), short)];
    let error = stepper.restore(&state).unwrap_err().to_string();
    assert!(error.contains("[3]"), "{error}");
}

/// The weights and buffers after steps along `batches`, and the state.
fn trained(extra: &Value, batches: &[Batch]) -> Vec<Vec<f64>> {
    let job = job(extra);
    let spec = job.training().unwrap();
    let (model, weights) = network(spec);
    let mut stepper = Stepper::new(spec, &model, &weights);
    for (step, batch) in batches.iter().enumerate() {
        stepper.step(step as u64, batch, 0.1);
    }
    bytes(&weights, &stepper)
}

/// The largest difference of two results over the largest number.
fn distance(left: &[f64], right: &[f64]) -> f64 {
    let pairs = left.iter().zip(right);
    let difference = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    difference / right.iter().map(|b| b.abs()).fold(1e-9, f64::max)
}

#[test]
fn one_chunk_is_the_whole_batch_bit_for_bit() {
    let batches = [batch(0, 16), batch(1, 16)];
    let ghost = json!({"batch_size": 32, "ghost_batch_size": 16});
    assert_eq!(trained(&ghost, &batches), trained(&json!({}), &batches));
}

#[test]
fn chunks_and_micro_batches_compute_the_same() {
    let batches = [batch(0, 16), batch(1, 16)];
    let plain = trained(&json!({}), &batches);
    let ghost = trained(&json!({"ghost_batch_size": 4}), &batches);
    let accumulated = trained(&json!({"accumulation_steps": 4}), &batches);
    let both = json!({"accumulation_steps": 2, "ghost_batch_size": 4});
    let both = trained(&both, &batches);
    for (index, ghost) in ghost.iter().enumerate() {
        assert!(distance(&accumulated[index], ghost) < 1e-4);
        assert!(distance(&both[index], ghost) < 1e-4);
    }
    assert!(distance(&plain[0], &ghost[0]) > 1e-3);
}

/// Where every chunk holds the same images, its statistics are those of the
/// batch, so nothing but rounding may differ.
#[test]
fn chunks_alike_are_the_plain_step() {
    let one = batch(5, 4);
    let Target::Labels(labels) = &one.target else {
        unreachable!()
    };
    let batches = [Batch {
        views: vec![Tensor::cat(&[&one.views[0]; 4], 0)],
        target: Target::Labels(labels.repeat([4])),
    }];
    let plain = trained(&json!({}), &batches);
    for extra in [
        json!({"ghost_batch_size": 4}),
        json!({"accumulation_steps": 4}),
    ] {
        let found = trained(&extra, &batches);
        assert!(distance(&found[0], &plain[0]) < 1e-5, "{extra}");
    }
}

#[test]
fn running_statistics_move_once_per_chunk() {
    let job = job(&json!({}));
    let (model, weights) = network(job.training().unwrap());
    let all = batch(0, 16);
    for start in [0, 4, 8, 12] {
        let noise = Noise {
            seed: 3,
            step: 0,
            chunk: 0,
        };
        let _ = model.forward(
            &weights,
            &all.chunk(start, 4).views[0],
            Pass::Training(noise),
        );
    }
    let expected = weights.buffers().iter();
    let expected = expected.map(|buffer| Vec::<f64>::try_from(buffer.to_kind(Kind::Double)));
    let found = trained(&json!({"ghost_batch_size": 4}), &[all]);
    for (found, expected) in found[1..].iter().zip(expected) {
        assert!(distance(found, &expected.unwrap()) < 1e-5);
    }
}

/// How far one step of plain SGD at rate 1 moves each element of the weights.
fn moved(extra: &Value) -> Vec<f64> {
    let mut options = json!({"optimizer": {"lr": 1.0, "momentum": 0.0, "nesterov": false}});
    let entries = options.as_object_mut().unwrap();
    entries.extend(extra.as_object().unwrap().clone());
    let job = job(&options);
    let spec = job.training().unwrap();
    let (model, weights) = network(spec);
    let before = weights.flat().copy();
    Stepper::new(spec, &model, &weights).step(0, &batch(0, 16), 1.0);
    Vec::try_from((before - weights.flat()).to_kind(Kind::Double)).unwrap()
}

#[test]
fn long_gradients_are_clipped_to_the_limit() {
    let norm = |update: &[f64]| update.iter().map(|u| u * u).sum::<f64>().sqrt();
    let plain = moved(&json!({}));
    let length = norm(&plain);
    let clipped = moved(&json!({"gradient_clip_norm": length / 3.0}));
    assert!((norm(&clipped) / (length / 3.0) - 1.0).abs() < 1e-4);
    let scaled: Vec<f64> = clipped.iter().map(|update| update * 3.0).collect();
    assert!(distance(&scaled, &plain) < 1e-4);
    assert_eq!(moved(&json!({"gradient_clip_norm": length * 1.01})), plain);
    let parts = json!({"gradient_clip_norm": length * 1.01, "accumulation_steps": 1});
    assert_eq!(moved(&parts), plain);
}

#[test]
fn low_precision_stays_near_single_precision() {
    let single = moved(&json!({}));
    let norm = |values: &[f64]| values.iter().map(|v| v * v).sum::<f64>().sqrt();
    // Formats with eight and eleven bits of precision, in a network of eight
    // layers.
    for (precision, tolerance) in [("bf16", 0.3), ("fp16", 0.04), ("fp16_pure", 0.04)] {
        let found = moved(&json!({"precision": precision}));
        let differences = found.iter().zip(&single).map(|(a, b)| a - b);
        let error = norm(&differences.collect::<Vec<_>>()) / norm(&single);
        assert!((1e-6..tolerance).contains(&error), "{precision}: {error}");
    }
}

#[test]
fn layers_compute_in_their_number_format() {
    for (precision, kind) in [
        ("fp32", Kind::Float),
        ("bf16", Kind::BFloat16),
        ("fp16", Kind::Half),
        ("fp16_pure", Kind::Half),
    ] {
        let job = job(&json!({"precision": precision}));
        let (model, weights) = network(job.training().unwrap());
        let logits = model.forward(&weights, &batch(0, 4).views[0], Pass::Evaluation);
        assert_eq!(logits.kind(), kind);
        for (name, tensor) in weights.named(model.layout()) {
            assert_eq!(tensor.kind(), Kind::Float, "{name}");
        }
    }
}

#[test]
fn an_overflow_changes_nothing_but_the_factor() {
    for optimizer in ["sgd", "lars", "adam"] {
        let optimizer = json!({"name": optimizer, "lr": 0.1, "weight_decay": 0.1});
        let job = job(&json!({"precision": "fp16", "optimizer": optimizer}));
        let spec = job.training().unwrap();
        let (model, weights) = network(spec);
        let mut stepper = Stepper::new(spec, &model, &weights);
        stepper.step(0, &batch(0, 16), 0.1);
        assert_eq!(stepper.skipped_steps(), Some(0));
        let mut state = stepper.state();
        for (name, tensor) in &mut state {
            *tensor = tensor.copy();
            if name == "scaler.scale" {
                let _ = tensor.fill_(2.0_f64.powi(100));
            }
        }
        stepper.restore(&state).unwrap();
        let scale = stepper.loss_scale().unwrap();
        let before = weights.flat().copy();
        stepper.step(1, &batch(1, 16), 0.1);
        assert_eq!(*weights.flat(), before);
        for ((name, now), (_, then)) in stepper.state().iter().zip(&state) {
            assert!(name.starts_with("scaler") || now == then, "{name}");
        }
        assert_eq!(stepper.loss_scale(), Some(scale / 2.0));
        assert_eq!(stepper.skipped_steps(), Some(1));
    }
}

#[test]
fn pure_half_precision_keeps_no_finer_weights() {
    let job = job(&json!({"precision": "fp16_pure"}));
    let spec = job.training().unwrap();
    let (model, weights) = network(spec);
    let mut stepper = Stepper::new(spec, &model, &weights);
    for step in 0..3 {
        stepper.step(step, &batch(step as i64, 16), 0.1);
    }
    let low = weights.low().unwrap();
    let front = weights.flat().narrow(0, 0, low.size()[0]);
    assert_eq!(front, low.to_kind(Kind::Float));
    let kinds: Vec<Kind> = stepper.state().iter().map(|(_, t)| t.kind()).collect();
    assert_eq!(kinds, [Kind::Half, Kind::Float]);
    assert_eq!(stepper.loss_scale(), None);
}
