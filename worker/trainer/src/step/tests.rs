use serde_json::{Value, json};
use swath_core::spec::JobSpec;
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
    (model, weights)
}

/// Some images: the same for the same number.
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
