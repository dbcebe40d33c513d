//! Sizes of the standard configurations compared with those of the reference
//! implementation. MACs are those of convolutions and linear layers, including
//! gates, per image.
//!
//! Well-known ones among them are also in the papers: WRN-28-10 has 36.5 M
//! parameters, DenseNet-BC-100-12 0.8 M, PyramidNet-110 with α = 270 28.3 M,
//! ResNeXt-29 8x64d 34.4 M, shake-shake 2x96d 26.2 M.

use super::*;

/// Model, parameters, and mega-MACs as printed.
type Row = (&'static str, i64, &'static str);

fn check(dataset: &str, image: [i64; 3], classes: i64, rows: &[Row]) {
    let mut wrong = Vec::new();
    for (options, parameters, printed) in rows {
        let options: Value = serde_json::from_str(options).unwrap();
        let model = Model::new(&parsed(&options), &facts(image, classes)).unwrap();
        let found = model.layout().parameter_count();
        let decimals = printed.split_once('.').map_or(0, |(_, after)| after.len());
        let macs = format!("{:.decimals$}", model.layout().macs as f64 / 1e6);
        if found != *parameters || (!printed.is_empty() && macs != *printed) {
            wrong.push(format!(
                "{options}: {found} parameters, {macs} MACs, not {parameters}, {printed}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{dataset}:\n{}", wrong.join("\n"));
}

#[test]
#[rustfmt::skip]
fn residual_networks_have_the_published_sizes() {
    check("CIFAR-10", CIFAR, 10, &[
        (r#"{"name": "resnet", "depth": 20}"#, 272_474, "40.8"),
        (r#"{"name": "resnet", "depth": 32}"#, 466_906, "69.1"),
        (r#"{"name": "resnet", "depth": 44}"#, 661_338, "97.4"),
        (r#"{"name": "resnet", "depth": 56}"#, 855_770, "125.7"),
        (r#"{"name": "resnet", "depth": 110}"#, 1_730_714, "253.1"),
        (r#"{"name": "resnet_preact", "depth": 20}"#, 272_282, "40.8"),
        (r#"{"name": "resnet_preact", "depth": 50}"#, 758_362, "111.6"),
        (r#"{"name": "resnet_preact", "depth": 56}"#, 855_578, "125.7"),
        (r#"{"name": "resnet_preact", "depth": 56, "add_last_bn": true}"#, 857_594, "125.7"),
        (r#"{"name": "resnet_preact", "depth": 110}"#, 1_730_522, "253.1"),
        (r#"{"name": "resnet_preact", "depth": 164, "block_type": "bottleneck"}"#, 1_619_290, "169.0"),
        (r#"{"name": "resnet_preact", "depth": 1001, "block_type": "bottleneck"}"#, 9_850_906, "1024"),
        (r#"{"name": "resnet_preact", "depth": 20, "initial_channels": 64}"#, 4_326_986, "647.7"),
        (r#"{"name": "se_resnet_preact", "depth": 110, "se_reduction": 16, "remove_first_relu": true,
             "add_last_bn": true, "preact_stage": [true, false, false]}"#, 1_748_792, "253.2"),
        (r#"{"name": "se_resnet_preact", "depth": 110, "se_reduction": 4, "remove_first_relu": true,
             "add_last_bn": true, "preact_stage": [true, false, false]}"#, 1_785_458, "253.2"),
        (r#"{"name": "wrn", "depth": 28, "widening_factor": 10}"#, 36_479_194, "5243"),
        (r#"{"name": "resnext", "depth": 29, "cardinality": 4, "base_channels": 64}"#, 17_562_442, "2736"),
        (r#"{"name": "resnext", "depth": 29, "cardinality": 8, "base_channels": 64}"#, 34_426_698, "5387"),
        (r#"{"name": "resnext", "depth": 29, "cardinality": 16, "base_channels": 64}"#, 68_155_210, "10689"),
    ]);
    check("CIFAR-100", CIFAR, 100, &[
        (r#"{"name": "wrn", "depth": 28, "widening_factor": 10}"#, 36_536_884, ""),
    ]);
}

#[test]
#[rustfmt::skip]
fn other_networks_have_the_published_sizes() {
    check("CIFAR-10", CIFAR, 10, &[
        (r#"{"name": "vgg"}"#, 14_728_266, "313.2"),
        (r#"{"name": "densenet", "depth": 100, "block_type": "basic", "growth_rate": 12, "compression_rate": 1}"#,
            7_083_538, "1817"),
        (r#"{"name": "densenet", "depth": 100, "block_type": "basic", "growth_rate": 24, "compression_rate": 1}"#,
            28_071_706, "7266"),
        (r#"{"name": "densenet", "depth": 100}"#, 769_162, "288"),
        (r#"{"name": "densenet", "depth": 250, "growth_rate": 24}"#, 15_324_406, "5419"),
        (r#"{"name": "densenet", "depth": 190, "growth_rate": 40}"#, 25_624_430, "9302"),
        (r#"{"name": "pyramidnet", "depth": 110, "block_type": "basic", "alpha": 84}"#, 3_904_446, "772.2"),
        (r#"{"name": "pyramidnet", "depth": 110, "block_type": "basic", "alpha": 270}"#, 28_485_477, "4718"),
        (r#"{"name": "pyramidnet", "depth": 164, "alpha": 270}"#, 27_216_021, "4570"),
        (r#"{"name": "pyramidnet", "depth": 272, "alpha": 200}"#, 26_210_842, "4489"),
        (r#"{"name": "shake_shake", "depth": 26, "initial_channels": 32}"#, 2_923_162, "427"),
        (r#"{"name": "shake_shake", "depth": 26, "initial_channels": 64}"#, 11_653_978, "1686"),
        (r#"{"name": "shake_shake", "depth": 26, "initial_channels": 96}"#, 26_192_922, "3777"),
        (r#"{"name": "shake_shake", "depth": 26, "initial_channels": 128}"#, 46_539_994, "6701"),
        (r#"{"name": "shake_shake", "depth": 26, "initial_channels": 32, "legacy": true}"#, 2_932_266, "436"),
        (r#"{"name": "shake_shake", "depth": 26, "initial_channels": 64, "legacy": true}"#, 11_709_514, "1742"),
        (r#"{"name": "shake_shake", "depth": 26, "initial_channels": 96, "legacy": true}"#, 26_331_754, "3919"),
        (r#"{"name": "shake_shake", "depth": 26, "initial_channels": 128, "legacy": true}"#, 46_798_986, "6966"),
    ]);
}

#[test]
#[rustfmt::skip]
fn networks_for_28x28_have_the_published_sizes() {
    check("MNIST", [1, 28, 28], 10, &[
        (r#"{"name": "resnet_preact", "depth": 20}"#, 271_994, ""),
        (r#"{"name": "resnet_preact", "depth": 20, "initial_channels": 64}"#, 4_325_834, ""),
        (r#"{"name": "resnet_preact", "depth": 50}"#, 758_074, ""),
        (r#"{"name": "resnet_preact", "depth": 50, "initial_channels": 64}"#, 12_076_234, ""),
        (r#"{"name": "pyramidnet", "depth": 110, "block_type": "basic", "alpha": 270}"#, 28_485_189, ""),
        (r#"{"name": "shake_shake", "depth": 26, "initial_channels": 32}"#, 2_922_874, ""),
        (r#"{"name": "shake_shake", "depth": 26, "initial_channels": 96}"#, 26_192_634, ""),
    ]);
}
