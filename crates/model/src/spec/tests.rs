use serde_json::json;

use super::*;

fn tree() -> Value {
    json!({
        "dataset": { "name": "digits" },
        "model": { "name": "resnet_preact", "depth": 8 },
        "batch_size": 32,
        "epochs": 2,
        "optimizer": { "name": "sgd", "lr": 0.1 },
    })
}

fn with(path: &str, value: Value) -> Value {
    let mut tree = tree();
    set(&mut tree, path, value);
    tree
}

fn errors(tree: &Value) -> String {
    let errors = JobSpec::from_value(tree).expect_err("a wrong spec");
    errors
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn defaults_are_filled_in() {
    let spec = JobSpec::from_value(&tree()).unwrap();
    insta::assert_snapshot!(spec.cell_text(), @r#"{"augmentation":{},"batch_size":32,"dataset":{"name":"digits"},"drop_last":true,"epochs":2,"init":{"conv":"kaiming_fan_out","linear":"framework","zero_gamma":false},"loss":{"label_smoothing":0},"model":{"add_last_bn":false,"block_type":"basic","depth":8,"initial_channels":16,"name":"resnet_preact","preact_stage":[true,true,true],"remove_first_relu":false},"optimizer":{"lr":0.1,"momentum":0.9,"name":"sgd","nesterov":true,"weight_decay":0,"weight_decay_on":"all"},"precision":"fp32","schedule":{"name":"constant"},"shuffle":true}"#);
}

#[test]
fn a_spec_reads_back_from_its_own_text() {
    let spec = JobSpec::from_value(&with("seed", json!(7))).unwrap();
    let again = JobSpec::from_json(&spec.job_text()).unwrap();
    assert_eq!(spec, again);
    assert_eq!(spec.job_digest(), again.job_digest());
    assert_eq!(again.training().map(|training| training.seed), Some(7));
}

#[test]
fn what_is_written_otherwise_is_the_same_job() {
    let spec = |tree: &Value| JobSpec::from_value(tree).unwrap().job_digest();
    let plain = spec(&tree());
    assert_eq!(plain, spec(&with("optimizer.momentum", json!(0.9))));
    assert_eq!(plain, spec(&with("init.bn", json!("ones"))));
    assert_ne!(plain, spec(&with("init.bn", json!("uniform"))));
    assert_eq!(plain, spec(&with("batch_size", json!(32.0))));
    assert_eq!(
        plain,
        spec(&with("augmentation.random_crop.padding", json!(0)))
    );
    assert_eq!(plain, spec(&with("schedule.name", json!("constant"))));
    assert_ne!(plain, spec(&with("seed", json!(1))));
    assert_ne!(plain, spec(&with("epochs", json!(3))));
}

#[test]
fn a_missing_optimizer_name_means_sgd() {
    let mut tree = tree();
    tree["optimizer"].as_object_mut().unwrap().remove("name");
    let spec = JobSpec::from_value(&tree).unwrap();
    assert_eq!(spec.get("optimizer.name"), Some(&json!("sgd")));
}

#[test]
fn no_nesterov_is_true_of_every_optimizer() {
    for name in ["lars", "adam", "adamw"] {
        let plain = with("optimizer", json!({ "name": name, "lr": 0.1 }));
        let mut denied = plain.clone();
        denied["optimizer"]["nesterov"] = json!(false);
        let (plain, denied) = (JobSpec::from_value(&plain), JobSpec::from_value(&denied));
        assert_eq!(plain.unwrap(), denied.unwrap());
    }
    // For SGD it means something.
    let sgd = JobSpec::from_value(&with("optimizer.nesterov", json!(false))).unwrap();
    assert_eq!(sgd.get("optimizer.nesterov"), Some(&json!(false)));
    let lars = json!({ "name": "lars", "lr": 0.1, "nesterov": true });
    insta::assert_snapshot!(errors(&with("optimizer", lars)), @"`optimizer.nesterov`: `lars` has no such option; it takes: lr, momentum, weight_decay, weight_decay_on, adapt_on, trust_coefficient, threshold, eps");
}

#[test]
fn errors_name_the_key_and_the_remedy() {
    insta::assert_snapshot!(errors(&with("model.dept", json!(20))), @"`model.dept`: unknown key; did you mean `model.depth`?");
    insta::assert_snapshot!(errors(&with("batch_sizes", json!(20))), @"`batch_sizes`: unknown key; did you mean `batch_size`?");
    insta::assert_snapshot!(errors(&with("model.growth_rate", json!(20))), @"`model.growth_rate`: `resnet_preact` has no such option; it takes: depth, initial_channels, block_type, remove_first_relu, add_last_bn, preact_stage");
    insta::assert_snapshot!(errors(&with("epochs", json!("ten"))), @r#"`epochs`: must be a whole number from 1 to 2147483648, not "ten""#);
    insta::assert_snapshot!(errors(&with("model.depth", json!(19))), @"`model.depth`: must be 6n+2 for this block, not 19; 14 would do");
    insta::assert_snapshot!(errors(&with("schedule.name", json!("cosin"))), @r#"`schedule.name`: must be one of constant, multistep, cosine, linear, polynomial, sgdr, not "cosin"; did you mean "cosine"?"#);
    insta::assert_snapshot!(errors(&with("batch_size", json!(2000))), @"`batch_size`: 2000 is more than the 1347 training images, and `drop_last` drops what is no whole batch; nothing is left to train on");
    let mut whole = with("batch_size", json!(2000));
    whole["drop_last"] = json!(false);
    assert!(JobSpec::from_value(&whole).is_ok());
    insta::assert_snapshot!(errors(&with("steps", json!(5))), @"`steps`: excludes `epochs`; the budget is one of them");
    let mixed = with(
        "augmentation",
        json!({"mixup": {"alpha": 1}, "cutmix": {"alpha": 1}}),
    );
    insta::assert_snapshot!(errors(&mixed), @"`augmentation.cutmix`: contradicts `augmentation.mixup`; a batch is mixed in one way");
}

#[test]
fn every_error_is_reported_at_once() {
    let tree = json!({ "batch_size": 0, "epoch": 3 });
    assert_eq!(JobSpec::from_value(&tree).unwrap_err().len(), 2);
}

#[test]
fn programs_keep_their_own_parameters() {
    let tree = json!({ "trainer": { "command": ["python3", "t.py"] }, "params": { "x": { "y": 1.0 } }, "seed": 3 });
    let spec = JobSpec::from_value(&tree).unwrap();
    let Work::Command(command) = spec.work() else {
        panic!("a program")
    };
    assert_eq!(command.metric, "test_error");
    assert_eq!(
        spec.job_text(),
        r#"{"params":{"x":{"y":1}},"seed":3,"trainer":{"command":["python3","t.py"]}}"#
    );
}

#[test]
fn extra_test_sets_are_checked_against_the_data_set() {
    let sets = json!(["digits", "tensors:mine.safetensors"]);
    assert!(JobSpec::from_value(&with("extra_test_sets", sets)).is_ok());
    insta::assert_snapshot!(errors(&with("extra_test_sets", json!(["cifar10.1", "cifar10.2"]))), @"
    `extra_test_sets`: `cifar10.1` has images of 3×32×32 in 10 classes, the training set 1×8×8 in 10 classes
    `extra_test_sets`: `cifar10.2`: no such test set; did you mean `cifar10.1`?
    ");
}

#[test]
fn augmentations_that_contradict_each_other_are_errors() {
    let augmented = |augmentation: Value, smoothing: f64| {
        let mut tree = with("augmentation", augmentation);
        tree["loss"] = json!({ "label_smoothing": smoothing });
        tree
    };
    let wrong = |augmentation, smoothing| errors(&augmented(augmentation, smoothing));
    insta::assert_snapshot!(wrong(json!({"mixup": {}, "ricap": {}}), 0.0), @"`augmentation.ricap`: contradicts `augmentation.mixup`; a batch is mixed in one way");
    insta::assert_snapshot!(wrong(json!({"ricap": {}, "cutmix": {}, "dual_cutout": {"size": 4}}), 0.0), @r"
    `augmentation.cutmix`: contradicts `augmentation.ricap`; a batch is mixed in one way
    `augmentation.dual_cutout`: contradicts `augmentation.ricap`; a batch is mixed in one way
    ");
    insta::assert_snapshot!(wrong(json!({"cutout": {"size": 4}, "dual_cutout": {"size": 4}}), 0.0), @"`augmentation.cutout`: contradicts `augmentation.dual_cutout`, which cuts out of both of its views; drop one of them");
    insta::assert_snapshot!(wrong(json!({"cutmix": {}}), 0.1), @"`loss.label_smoothing`: contradicts `augmentation.cutmix`, whose targets are mixed already; set it to 0");
    insta::assert_snapshot!(wrong(json!({"dual_cutout": {"size": 4}}), 0.1), @"`loss.label_smoothing`: contradicts `augmentation.dual_cutout`, whose loss is of two views and plain labels; set it to 0");
    let mut alone = augmented(json!({"mixup": {}}), 0.0);
    alone["batch_size"] = json!(1);
    insta::assert_snapshot!(errors(&alone), @"`augmentation.mixup`: mixes the images of a batch with each other; `batch_size` = 1 leaves none to mix with");

    // Everything that may be combined can be.
    let together = json!({
        "random_crop": {"padding": 1}, "horizontal_flip": true, "random_erasing": {},
        "cutout": {"size": 3}, "cutmix": {},
    });
    for (augmentation, smoothing) in [
        (together, 0.0),
        (json!({"cutout": {"size": 3}, "random_erasing": {}}), 0.1),
        (
            json!({"dual_cutout": {"size": 3}, "random_erasing": {}}),
            0.0,
        ),
        // An option that is off contradicts nothing.
        (
            json!({"cutout": {"size": 0}, "dual_cutout": {"size": 3}}),
            0.0,
        ),
    ] {
        JobSpec::from_value(&augmented(augmentation, smoothing)).unwrap();
    }
}

#[test]
fn augmentations_outside_their_sense_are_errors() {
    let wrong = |path: &str, value: Value| errors(&with(&format!("augmentation.{path}"), value));
    let erasing = |options: Value| wrong("random_erasing", options);
    insta::assert_snapshot!(erasing(json!({"min_area": 0.5})), @"`augmentation.random_erasing.min_area`: 0.5 is above `max_area` = 0.4");
    insta::assert_snapshot!(erasing(json!({"min_area": 1, "max_area": 1})), @"`augmentation.random_erasing.min_area`: must be below 1: a rectangle is smaller than the image");
    insta::assert_snapshot!(erasing(json!({"min_area": 0, "max_area": 0})), @"`augmentation.random_erasing.max_area`: 0 erases nothing; drop `random_erasing`, or set `probability` to 0");
    insta::assert_snapshot!(erasing(json!({"min_aspect": 3.3})), @"`augmentation.random_erasing.min_aspect`: must be at most 1, not 3.3: aspect ratios reach from it to its inverse");
    insta::assert_snapshot!(erasing(json!({"min_aspect": 0})), @"`augmentation.random_erasing.min_aspect`: must be a number from 0.000000000001 to 1000000, not 0");
    insta::assert_snapshot!(erasing(json!({"probability": 1.5})), @"`augmentation.random_erasing.probability`: must be a number from 0 to 1, not 1.5");
    insta::assert_snapshot!(erasing(json!({"max_attempts": 100_000})), @"`augmentation.random_erasing.max_attempts`: must be at most 1000, not 100000");
    insta::assert_snapshot!(wrong("mixup.alpha", json!(0)), @"`augmentation.mixup.alpha`: must be a number from 0.000000000001 to 1000000, not 0");
    insta::assert_snapshot!(wrong("random_crop.padding", json!(8)), @"`augmentation.random_crop.padding`: 8 leaves crops of 8×8 images that show nothing but padding; at most 7 would do");
    insta::assert_snapshot!(wrong("cutout.size", json!(16)), @"`augmentation.cutout.size`: 16 hides 8×8 images whole, wherever the square lies; at most 14 would do");
    insta::assert_snapshot!(wrong("dual_cutout", json!({})), @"`augmentation.dual_cutout.size`: 16 hides 8×8 images whole, wherever the square lies; at most 14 would do");
    insta::assert_snapshot!(errors(&with("loss.label_smoothing", json!(1))), @"`loss.label_smoothing`: must be below 1: at 1 the target no longer depends on the label");
    for (size, fits) in [(13, true), (14, true), (15, false)] {
        let tree = with("augmentation.cutout.size", json!(size));
        assert_eq!(JobSpec::from_value(&tree).is_ok(), fits, "{size}");
    }
    assert!(JobSpec::from_value(&with("augmentation.random_crop.padding", json!(7))).is_ok());
}

#[test]
fn a_folder_has_a_size_and_channels() {
    let folder = |size: Value| {
        with(
            "dataset",
            json!({ "name": "folder", "path": "images", "size": size, "channels": 1 }),
        )
    };
    let square = JobSpec::from_value(&folder(json!([32, 32]))).unwrap();
    let side = JobSpec::from_value(&folder(json!(32.0))).unwrap();
    assert_eq!(square.job_digest(), side.job_digest());
    let oblong = JobSpec::from_value(&folder(json!([24, 32]))).unwrap();
    assert_eq!(oblong, JobSpec::from_json(&oblong.job_text()).unwrap());
    for wrong in [json!([32]), json!("32"), json!(0), json!([32, 1.5])] {
        assert!(errors(&folder(wrong)).contains("dataset.size"));
    }
    let mut two = folder(json!(32));
    set(&mut two, "dataset.channels", json!(2));
    assert!(errors(&two).contains("must be 1 or 3"));
    let tensors = json!({ "name": "tensors", "path": "x", "size": 32 });
    assert!(errors(&with("dataset", tensors)).contains("dataset.size"));
}

#[test]
fn batches_divide_into_micro_batches_and_those_into_chunks() {
    let tree = |batch: u32, parts: u32, ghost: u32, later: u32| {
        let mut tree = with("accumulation_steps", json!(parts));
        tree["batch_size"] = json!(batch);
        tree["ghost_batch_size"] = json!(ghost);
        tree["batch_schedule"] = json!([{"epoch": 1, "batch_size": later}]);
        tree
    };
    let wrong = |batch, parts, ghost, later| errors(&tree(batch, parts, ghost, later));
    insta::assert_snapshot!(wrong(64, 3, 8, 96), @"`accumulation_steps`: 3 does not divide `batch_size` = 64");
    insta::assert_snapshot!(wrong(64, 4, 16, 98), @"`accumulation_steps`: 4 does not divide `batch_schedule` = 98");
    insta::assert_snapshot!(wrong(64, 2, 16, 112), @"`ghost_batch_size`: 16 does not divide the micro-batches of `batch_schedule` = 112");
    insta::assert_snapshot!(wrong(64, 1, 16, 1400), @r"
    `ghost_batch_size`: 16 does not divide `batch_schedule` = 1400
    `batch_schedule`: 1400 is more than the 1347 training images, and `drop_last` drops what is no whole batch; nothing is left to train on
    ");
    let ghost = |tree: &Value| {
        let spec = JobSpec::from_value(tree).unwrap();
        spec.training().unwrap().ghost_batch_size
    };
    // A chunk may be larger than some micro-batches; if it is larger than all
    // of them, it is dropped.
    assert_eq!(ghost(&tree(16, 2, 32, 128)), Some(32));
    assert_eq!(ghost(&tree(16, 2, 64, 128)), None);
}

#[test]
fn pure_half_precision_is_for_sgd() {
    let mut tree = with("precision", json!("fp16_pure"));
    assert!(JobSpec::from_value(&tree).is_ok());
    tree["optimizer"] = json!({"name": "lars", "lr": 0.1});
    insta::assert_snapshot!(errors(&tree), @"`precision`: `fp16_pure` updates the weights in half precision, where this optimizer's state vanishes; use `sgd`, or the precision `fp16`");
}

#[test]
fn models_without_sense_are_errors() {
    let wrong = |model: Value| errors(&with("model", model));
    insta::assert_snapshot!(wrong(json!({"name": "vgg"})), @"`model.n_channels`: its 5 stages halve the map each, and 8×8 images can be halved 3 times; at most 3 numbers would do, and as many in `model.n_layers`");
    insta::assert_snapshot!(wrong(json!({"name": "vgg", "n_channels": [], "n_layers": []})), @"`model.n_channels`: must have a number of channels for at least one stage");
    insta::assert_snapshot!(wrong(json!({"name": "vgg", "n_channels": [8, 8], "n_layers": [1]})), @"`model.n_layers`: must be as long as `model.n_channels`");
    insta::assert_snapshot!(wrong(json!({"name": "resnet", "depth": 11, "initial_channels": 3, "block_type": "bottleneck"})), @"`model.initial_channels`: must be at least 4 for bottlenecks, whose inner width is a quarter of it, not 3");
    insta::assert_snapshot!(wrong(json!({"name": "se_resnet_preact", "depth": 8, "initial_channels": 8})), @"`model.se_reduction`: 16 leaves no hidden unit for the 8 channels of the first stage; at most 8 would do");
    insta::assert_snapshot!(wrong(json!({"name": "shake_shake", "depth": 8, "initial_channels": 7})), @"`model.initial_channels`: must be even, as shortcuts are made of two halves, not 7");
    insta::assert_snapshot!(wrong(json!({"name": "wrn", "depth": 12, "widening_factor": 2, "drop_rate": 1})), @r"
    `model.depth`: must be 6n+4 for this block, not 12; 10 would do
    `model.drop_rate`: must be below 1: at 1 nothing passes
    ");
    insta::assert_snapshot!(wrong(json!({"name": "densenet", "depth": 41, "compression_rate": 0})), @r"
    `model.depth`: must be 6n+4 for this block, not 41; 40 would do
    `model.compression_rate`: must be above 0: at 0 a transition keeps no channel
    ");
    for right in [
        json!({"name": "vgg", "n_channels": [8, 8, 8], "n_layers": [1, 1, 1]}),
        json!({"name": "shake_shake", "depth": 8, "initial_channels": 7, "legacy": true}),
        json!({"name": "densenet", "depth": 100}),
        json!({"name": "wrn", "depth": 28, "widening_factor": 10, "drop_rate": 0.3}),
        json!({"name": "pyramidnet", "depth": 272, "alpha": 200}),
    ] {
        JobSpec::from_value(&with("model", right)).unwrap();
    }
}

#[test]
fn sizes_of_a_vgg_have_bounds() {
    let vgg = |n_channels: Value, n_layers: Value| {
        let model = json!({"name": "vgg", "n_channels": n_channels, "n_layers": n_layers});
        let mut tree = with("model", model);
        set(
            &mut tree,
            "dataset",
            json!({"name": "tensors", "path": "x"}),
        );
        tree
    };
    for (tree, what) in [
        (vgg(json!([8]), json!([2_147_483_648_u32])), "from 1 to 100"),
        (vgg(json!([4097]), json!([1])), "from 1 to 4096"),
        (
            vgg(json!(vec![8; 17]), json!(vec![1; 17])),
            "17 stages; at most 16",
        ),
    ] {
        let errors = errors(&tree);
        assert!(errors.contains(what), "{errors}");
    }
    assert!(JobSpec::from_value(&vgg(json!(vec![4096; 16]), json!(vec![100; 16]))).is_ok());
}

#[test]
fn betas_are_below_one() {
    for name in ["adam", "adamw"] {
        for beta in ["beta1", "beta2"] {
            let tree =
                |value: f64| with("optimizer", json!({"name": name, "lr": 0.1, beta: value}));
            let errors = errors(&tree(1.0));
            assert!(
                errors.contains(&format!("`optimizer.{beta}`: must be below 1")),
                "{errors}"
            );
            assert!(JobSpec::from_value(&tree(0.0)).is_ok());
        }
    }
}

#[test]
fn adam_never_divides_by_zero() {
    for name in ["adam", "adamw"] {
        let tree = |eps: f64| with("optimizer", json!({"name": name, "lr": 0.1, "eps": eps}));
        let errors = errors(&tree(0.0));
        assert!(
            errors.contains("`optimizer.eps`: must be greater than 0"),
            "{errors}"
        );
        assert!(JobSpec::from_value(&tree(1e-12)).is_ok());
    }
}

#[test]
fn every_batch_has_images_to_mix() {
    let tree = |own: u32, epoch: u32, later: u32| {
        let mut tree = with("augmentation", json!({"mixup": {}}));
        tree["batch_size"] = json!(own);
        tree["batch_schedule"] = json!([{"epoch": epoch, "batch_size": later}]);
        tree
    };
    let wrong = errors(&tree(32, 1, 1));
    assert!(
        wrong.contains("`batch_schedule` = 1 leaves none to mix with"),
        "{wrong}"
    );
    let wrong = errors(&tree(1, 1, 32));
    assert!(
        wrong.contains("`batch_size` = 1 leaves none to mix with"),
        "{wrong}"
    );
    // No epoch has the spec's own size.
    assert!(JobSpec::from_value(&tree(1, 0, 32)).is_ok());
}
