use serde_json::{Value, json};
use swath_core::spec::JobSpec;
use tch::{Device, Kind, Tensor};

use super::*;

fn model(options: &Value, image: [i64; 3]) -> Model {
    let mut options = options.clone();
    options["name"] = json!("resnet_preact");
    let tree = json!({
        "dataset": {"name": "cifar10"}, "model": options,
        "batch_size": 8, "epochs": 1, "optimizer": {"lr": 0.1},
    });
    let job = JobSpec::from_value(&tree).unwrap();
    let [channels, height, width] = image;
    let facts = Facts {
        channels,
        height,
        width,
        classes: 10,
        train_images: 8,
        mean: Vec::new(),
        std: Vec::new(),
        class_names: Vec::new(),
    };
    Model::new(&job.training().unwrap().model, &facts).unwrap()
}

const CIFAR: [i64; 3] = [3, 32, 32];

/// The counts of the reference implementation.
#[test]
fn sizes_are_the_published_ones() {
    let cases = [
        (json!({"depth": 20}), 272_282, 40.8),
        (json!({"depth": 50}), 758_362, 111.6),
        (json!({"depth": 56}), 855_578, 125.7),
        (json!({"depth": 56, "add_last_bn": true}), 857_594, 125.7),
        (json!({"depth": 110}), 1_730_522, 253.1),
        (
            json!({"depth": 164, "block_type": "bottleneck"}),
            1_619_290,
            169.0,
        ),
        (
            json!({"depth": 1001, "block_type": "bottleneck"}),
            9_850_906,
            1024.0,
        ),
        (
            json!({"depth": 20, "initial_channels": 64}),
            4_326_986,
            647.7,
        ),
    ];
    for (options, parameters, mega_macs) in cases {
        let model = model(&options, CIFAR);
        assert_eq!(model.layout().parameter_count(), parameters, "{options}");
        let found = model.layout().macs as f64 / 1e6;
        // Published to four digits.
        assert!(
            (found / mega_macs - 1.0).abs() < 1.3e-3,
            "{options}: {found}"
        );
    }
}

#[test]
fn sizes_of_28x28_variants_are_the_published_ones() {
    let cases = [
        (json!({"depth": 20}), 271_994),
        (json!({"depth": 20, "initial_channels": 64}), 4_325_834),
        (json!({"depth": 50}), 758_074),
        (json!({"depth": 50, "initial_channels": 64}), 12_076_234),
    ];
    for (options, parameters) in cases {
        let model = model(&options, [1, 28, 28]);
        assert_eq!(model.layout().parameter_count(), parameters, "{options}");
    }
}

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
fn zero_gamma_makes_every_block_its_shortcut() {
    let options = json!({"depth": 14, "initial_channels": 4, "add_last_bn": true});
    let model = model(&options, [1, 8, 8]);
    let init = Init {
        zero_gamma: true,
        ..Init::default()
    };
    let weights = model.initial(&init, 1, Device::Cpu).unwrap();
    let zeros: Vec<String> = weights
        .named(model.layout())
        .into_iter()
        .filter(|(name, tensor)| {
            name.contains("bn")
                && name.ends_with("weight")
                && tensor.sum(Kind::Float).double_value(&[]) == 0.0
        })
        .map(|(name, _)| name)
        .collect();
    assert_eq!(zeros.len(), 6);
    assert!(
        zeros.iter().all(|name| name.ends_with("bn3.weight")),
        "{zeros:?}"
    );
}

#[test]
fn convolutions_and_their_gradients_lie_channels_last() {
    let model = model(&json!({"depth": 8}), CIFAR);
    let weights = model.initial(&Init::default(), 1, Device::Cpu).unwrap();
    let images = Tensor::rand([2, 32, 32, 3], (Kind::Float, Device::Cpu)).permute([0, 3, 1, 2]);
    let logits = model.forward(&weights, &images, training());
    assert_eq!(logits.size(), [2, 10]);
    let loss = logits.square().mean(Kind::Float);
    let gradients = Tensor::run_backward(&[loss], weights.parameters(), false, false);
    for (parameter, gradient) in weights.parameters().iter().zip(&gradients) {
        if let Ok((_, channels, height, width)) = parameter.size4()
            && height * width > 1
        {
            let expected = vec![channels * height * width, 1, channels * width, channels];
            assert_eq!(parameter.stride(), expected);
            assert_eq!(gradient.stride(), expected);
        }
    }
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

fn training() -> Pass {
    Pass::Training(Noise {
        seed: 1,
        step: 0,
        chunk: 0,
    })
}
