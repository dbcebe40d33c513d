use serde_json::{Value, json};
use swath_model::spec::JobSpec;
use tch::{Device, Kind, Tensor};

use super::*;

mod architectures;
mod sizes;

/// The options of a model, with the spec's defaults.
fn parsed(options: &Value) -> Options {
    let tree = json!({
        "dataset": {"name": "cifar10"}, "model": options,
        "batch_size": 8, "epochs": 1, "optimizer": {"lr": 0.1},
    });
    let job = JobSpec::from_value(&tree).unwrap();
    job.training().unwrap().model.clone()
}

/// What a model needs to know of a data set.
fn facts([channels, height, width]: [i64; 3], classes: i64) -> Facts {
    Facts {
        channels,
        height,
        width,
        classes,
        train_images: 8,
        mean: Vec::new(),
        std: Vec::new(),
        class_names: Vec::new(),
    }
}

/// A model for ten classes; ResNet-preact where `options` name none.
fn model(options: &Value, image: [i64; 3]) -> Model {
    let mut options = options.clone();
    if options.get("name").is_none() {
        options["name"] = json!("resnet_preact");
    }
    Model::new(&parsed(&options), &facts(image, 10)).unwrap()
}

const CIFAR: [i64; 3] = [3, 32, 32];

#[test]
fn initial_weights_depend_on_the_seed_alone() {
    let model = model(&json!({"depth": 8}), [1, 8, 8]);
    let flat = |seed| {
        let weights = model.initial(&Init::default(), seed, Device::Cpu).unwrap();
        Vec::<f32>::try_from(weights.flat()).unwrap()
    };
    assert_eq!(flat(1), flat(1));
    assert_ne!(flat(1), flat(2));
}

#[test]
fn weights_survive_a_file_and_other_models_refuse_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weights.safetensors");
    let file = || TensorFile::read(&path).unwrap();
    let small = model(&json!({"depth": 8, "initial_channels": 4}), CIFAR);
    let weights = small.initial(&Init::default(), 5, Device::Cpu).unwrap();
    weights.write(small.layout(), &path).unwrap();
    let read = small.load(&file(), Device::Cpu).unwrap();
    assert_eq!(read.flat(), weights.flat());
    let wide = model(&json!({"depth": 8, "initial_channels": 8}), CIFAR);
    let error = wide.load(&file(), Device::Cpu).err().unwrap().to_string();
    assert!(
        error.contains("weights.safetensors") && error.contains("conv.weight"),
        "{error}"
    );
    let deep = model(&json!({"depth": 14, "initial_channels": 4}), CIFAR);
    let error = deep.load(&file(), Device::Cpu).err().unwrap().to_string();
    assert!(error.contains("stage1.block2"), "{error}");
    let shallow = small;
    deep.initial(&Init::default(), 5, Device::Cpu)
        .unwrap()
        .write(deep.layout(), &path)
        .unwrap();
    let error = shallow
        .load(&file(), Device::Cpu)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("no tensor `stage1.block2"), "{error}");
}

#[test]
fn a_model_too_large_to_be_counted_is_refused() {
    let refused = |options: Value, classes: i64| {
        let model = Model::new(&parsed(&options), &facts(CIFAR, classes));
        match model.err() {
            Some(Failure::Invalid(what)) => assert!(what.contains("smaller"), "{what}"),
            other => panic!("{other:?}"),
        }
    };
    let wide = json!({
        "name": "wrn", "depth": 10_000, "initial_channels": 4096, "widening_factor": 1024,
    });
    refused(wide, 10);
    refused(json!({"name": "resnet", "depth": 8}), i64::MAX);
    // It can be counted, but not in bytes.
    refused(json!({"name": "resnet", "depth": 8}), i64::MAX / 100);
}

fn training() -> Pass {
    Pass::Training(Noise {
        seed: 1,
        step: 0,
        chunk: 0,
    })
}
