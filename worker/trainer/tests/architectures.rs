//! Every architecture in a training: it learns, and gives the same bytes again.

mod support;

use serde_json::{Value, json};
use support::{digits, lines, succeed, trainer, write_spec};

/// A small network of each architecture, and the error in percent that it must
/// stay below after three epochs on digits. Guessing gives 90.
fn networks() -> Vec<(Value, f64)> {
    vec![
        (
            json!({"name": "resnet", "depth": 8, "initial_channels": 8}),
            15.0,
        ),
        (
            json!({"name": "resnet_preact", "depth": 8, "initial_channels": 8}),
            12.0,
        ),
        (
            json!({"name": "se_resnet_preact", "depth": 8, "initial_channels": 8,
                   "se_reduction": 2}),
            16.0,
        ),
        (
            json!({"name": "wrn", "depth": 10, "initial_channels": 4, "widening_factor": 2,
                   "drop_rate": 0.1}),
            15.0,
        ),
        (
            json!({"name": "densenet", "depth": 16, "growth_rate": 8, "drop_rate": 0.1}),
            30.0,
        ),
        (
            json!({"name": "pyramidnet", "depth": 8, "initial_channels": 8, "alpha": 8,
                   "block_type": "basic"}),
            12.0,
        ),
        (
            json!({"name": "resnext", "depth": 11, "initial_channels": 8, "cardinality": 2,
                   "base_channels": 4}),
            12.0,
        ),
        (
            json!({"name": "shake_shake", "depth": 8, "initial_channels": 8}),
            15.0,
        ),
        (
            json!({"name": "vgg", "n_channels": [8, 16, 16], "n_layers": [1, 1, 1]}),
            16.0,
        ),
    ]
}

/// A spec of three epochs whose `model` replaces that of [`digits`].
fn spec(model: &Value, more: &Value) -> Value {
    let mut spec = digits(&json!({"epochs": 3, "batch_size": 32}));
    spec["model"] = model.clone();
    let more = more.as_object().unwrap();
    let tree = spec.as_object_mut().unwrap();
    tree.extend(more.clone());
    if more.contains_key("steps") {
        tree.remove("epochs");
    }
    spec
}

fn trained(spec: &Value) -> (Vec<Value>, Vec<u8>) {
    let root = tempfile::tempdir().unwrap();
    let mut command = trainer(root.path());
    command.arg("train").arg("--spec");
    command.arg(write_spec(root.path(), spec));
    let events = lines(&succeed(command.arg("--out").arg(root.path())));
    let weights = std::fs::read(root.path().join("weights.safetensors")).unwrap();
    (events, weights)
}

#[test]
fn every_architecture_learns_digits() {
    let mut errors = Vec::new();
    for (model, bound) in networks() {
        let (events, _) = trained(&spec(&model, &json!({})));
        let finished = events.last().unwrap();
        assert_eq!(finished["event"], "finished");
        let error = finished["test_error"].as_f64().unwrap();
        if error >= bound {
            errors.push(format!("{}: {error}", model["name"]));
        }
    }
    assert!(errors.is_empty(), "{errors:?}");
}

/// Nothing is left to chance, whatever the number format and however a batch is
/// divided.
#[test]
fn every_architecture_gives_the_same_bytes_again() {
    for (model, _) in networks() {
        let more = json!({
            "steps": 3, "precision": "bf16", "accumulation_steps": 2, "ghost_batch_size": 8,
        });
        let spec = spec(&model, &more);
        let (events, weights) = trained(&spec);
        assert_eq!(events.last().unwrap()["event"], "finished", "{model}");
        assert!(weights == trained(&spec).1, "{model}");
    }
}

/// The loss of an epoch of one step whose weights hardly move, so that a
/// difference between steps comes from the random draws.
#[test]
fn random_parts_differ_from_step_to_step_and_seed_to_seed() {
    for model in [
        json!({"name": "wrn", "depth": 10, "widening_factor": 1, "drop_rate": 0.3}),
        json!({"name": "densenet", "depth": 10, "drop_rate": 0.3}),
        json!({"name": "shake_shake", "depth": 8, "initial_channels": 4}),
        json!({"name": "shake_shake", "depth": 8, "initial_channels": 4, "shake_forward": false}),
        json!({"name": "wrn", "depth": 10, "widening_factor": 1}),
    ] {
        let still = json!({"batch_size": 1347, "epochs": 2, "shuffle": false,
                           "optimizer": {"lr": 1e-12}});
        let (events, _) = trained(&spec(&model, &still));
        let losses: Vec<f64> = events
            .iter()
            .filter(|event| event["event"] == "epoch")
            .map(|event| event["train_loss"].as_f64().unwrap())
            .collect();
        let differs = (losses[0] - losses[1]).abs() > 1e-4;
        let random = model.get("drop_rate").is_some()
            || (model["name"] == "shake_shake" && model.get("shake_forward").is_none());
        assert_eq!(differs, random, "{model}: {losses:?}");
    }
}
