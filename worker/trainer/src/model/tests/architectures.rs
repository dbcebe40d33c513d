//! Laws that hold for every architecture.

use super::super::blocks::lies_channels_last;
use super::*;

/// One small network of each architecture and block.
fn small() -> Vec<Value> {
    vec![
        json!({"name": "resnet", "depth": 8, "initial_channels": 8}),
        json!({"name": "resnet", "depth": 11, "initial_channels": 8, "block_type": "bottleneck"}),
        json!({"name": "resnet_preact", "depth": 8, "initial_channels": 8}),
        json!({"name": "resnet_preact", "depth": 11, "initial_channels": 8,
               "block_type": "bottleneck", "add_last_bn": true}),
        json!({"name": "se_resnet_preact", "depth": 8, "initial_channels": 8, "se_reduction": 4,
               "add_last_bn": true, "remove_first_relu": true,
               "preact_stage": [true, false, false]}),
        json!({"name": "wrn", "depth": 10, "initial_channels": 8, "widening_factor": 2,
               "drop_rate": 0.3}),
        json!({"name": "densenet", "depth": 10, "growth_rate": 4, "drop_rate": 0.2}),
        json!({"name": "densenet", "depth": 10, "growth_rate": 4, "block_type": "basic",
               "compression_rate": 1}),
        json!({"name": "pyramidnet", "depth": 8, "alpha": 7, "block_type": "basic"}),
        json!({"name": "pyramidnet", "depth": 11, "alpha": 7}),
        json!({"name": "resnext", "depth": 11, "initial_channels": 8, "cardinality": 4,
               "base_channels": 2}),
        json!({"name": "shake_shake", "depth": 8, "initial_channels": 8}),
        json!({"name": "shake_shake", "depth": 8, "initial_channels": 8, "legacy": true}),
        json!({"name": "vgg", "n_channels": [4, 8, 8], "n_layers": [1, 2, 1]}),
        json!({"name": "vgg", "n_channels": [4, 8, 8], "n_layers": [1, 2, 2], "legacy": true}),
        json!({"name": "vgg", "n_channels": [4, 8], "n_layers": [2, 1], "use_bn": false}),
    ]
}

fn images([channels, height, width]: [i64; 3]) -> Tensor {
    let count = 4 * height * width * channels;
    let values: Vec<f32> = (0..count).map(|at| (at as f32 * 0.7).sin()).collect();
    let images = Tensor::from_slice(&values).view([4, height, width, channels]);
    images.permute([0, 3, 1, 2])
}

#[test]
fn convolutions_and_their_gradients_lie_channels_last() {
    for options in small() {
        for image in [CIFAR, [1, 8, 8]] {
            let model = model(&options, image);
            let weights = model.initial(&Init::default(), 1, Device::Cpu).unwrap();
            // Every convolution asserts that its input is channels last.
            let logits = model.forward(&weights, &images(image), training());
            let loss = logits.square().mean(Kind::Float);
            let gradients = Tensor::run_backward(&[loss], weights.parameters(), false, false);
            for (index, parameter) in weights.parameters().iter().enumerate() {
                if parameter.dim() == 4 {
                    assert!(lies_channels_last(parameter), "{options}: {index}");
                    assert!(lies_channels_last(&gradients[index]), "{options}: {index}");
                }
            }
        }
    }
}

#[test]
fn images_may_be_small_odd_and_oblong() {
    for options in small() {
        for image in [[1, 8, 8], [3, 9, 13], [1, 28, 28], [2, 30, 8]] {
            let model = model(&options, image);
            let weights = model.initial(&Init::default(), 1, Device::Cpu).unwrap();
            for pass in [training(), Pass::Evaluation] {
                let logits = model.forward(&weights, &images(image), pass);
                assert_eq!(logits.size(), [4, 10], "{options}: {image:?}");
                let finite = logits.isfinite().all().int64_value(&[]);
                assert_eq!(finite, 1, "{options}: {image:?}");
            }
        }
    }
}

/// The names of the scales that start at 0.
fn zeros(model: &Model) -> Vec<String> {
    let init = Init {
        zero_gamma: true,
        ..Init::default()
    };
    let weights = model.initial(&init, 1, Device::Cpu).unwrap();
    let parameters = model.layout().parameters.iter().zip(weights.parameters());
    parameters
        .filter(|(parameter, tensor)| {
            matches!(parameter.role, layout::Role::Scale { .. })
                && tensor.sum(Kind::Float).double_value(&[]) == 0.0
        })
        .map(|(parameter, _)| parameter.name.clone())
        .collect()
}

#[test]
fn zero_gamma_is_that_of_the_last_bn_of_each_branch() {
    // One block per stage; shake-shake's blocks have two branches.
    let last = |name: &str, bn: &str| -> Vec<String> {
        let stage = |stage: u32| format!("stage{stage}.block1.{name}{bn}.weight");
        (1..=3).map(stage).collect()
    };
    let branches: Vec<String> = (1..=3)
        .flat_map(|stage| {
            (1..=2).map(move |path| format!("stage{stage}.block1.residual_path{path}.bn2.weight"))
        })
        .collect();
    for options in small() {
        let name = options["name"].as_str().unwrap();
        let bottleneck = options["block_type"] == "bottleneck" || options["depth"] == 11;
        let expected = match name {
            "resnet" | "resnext" => last("", if bottleneck { "bn3" } else { "bn2" }),
            "resnet_preact" if bottleneck => last("", "bn4"),
            "resnet_preact" | "wrn" => last("", "bn2"),
            "se_resnet_preact" => last("", "bn3"),
            "pyramidnet" => last("", if bottleneck { "bn4" } else { "bn3" }),
            "shake_shake" => branches.clone(),
            _ => Vec::new(),
        };
        assert_eq!(zeros(&model(&options, CIFAR)), expected, "{options}");
    }
}

/// Where a BN ends the branches, they start as zero, and learn.
#[test]
fn zero_gamma_gets_a_gradient() {
    let init = Init {
        zero_gamma: true,
        ..Init::default()
    };
    for options in small() {
        let name = options["name"].as_str().unwrap();
        // There is a warning for pre-activation without a last BN.
        if name == "wrn" || (name == "resnet_preact" && options.get("add_last_bn").is_none()) {
            continue;
        }
        let model = model(&options, CIFAR);
        let weights = model.initial(&init, 1, Device::Cpu).unwrap();
        let logits = model.forward(&weights, &images(CIFAR), training());
        let loss = logits.square().mean(Kind::Float);
        let gradients = Tensor::run_backward(&[loss], weights.parameters(), false, false);
        for zero in zeros(&model) {
            let mut parameters = model.layout().parameters.iter();
            let index = parameters.position(|parameter| parameter.name == zero);
            let size = gradients[index.unwrap()].abs().max().double_value(&[]);
            assert!(size > 0.0, "{options}: {zero}");
        }
    }
}

#[test]
fn evaluation_draws_nothing() {
    for options in small() {
        let model = model(&options, [1, 8, 8]);
        let weights = model.initial(&Init::default(), 1, Device::Cpu).unwrap();
        let logits = || model.forward(&weights, &images([1, 8, 8]), Pass::Evaluation);
        assert_eq!(logits(), logits(), "{options}");
    }
}

#[test]
fn poolings_that_images_do_not_bear_are_named() {
    let options = parsed(&json!({"name": "vgg"}));
    let error = Model::new(&options, &facts([3, 28, 40], 10)).err().unwrap();
    let message = error.to_string();
    assert!(matches!(error, Failure::Invalid(_)), "{message}");
    assert!(
        message.contains("model.n_channels") && message.contains("28×40"),
        "{message}"
    );
    let options = parsed(&json!({"name": "densenet", "depth": 10}));
    let error = Model::new(&options, &facts([3, 3, 3], 10)).err().unwrap();
    let message = error.to_string();
    assert!(message.contains("dataset.path"), "{message}");
    let squeezed = json!({"name": "densenet", "depth": 10, "compression_rate": 0.001});
    let error = Model::new(&parsed(&squeezed), &facts(CIFAR, 10))
        .err()
        .unwrap();
    let message = error.to_string();
    assert!(message.contains("model.compression_rate"), "{message}");
}
