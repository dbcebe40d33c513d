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
fn what_the_trainer_cannot_do_yet_is_named() {
    let spec = JobSpec::from_value(&with("precision", json!("bf16"))).unwrap();
    assert_eq!(
        unsupported(spec.training().unwrap()).unwrap().key,
        "precision"
    );
    let spec = JobSpec::from_value(&tree()).unwrap();
    assert_eq!(unsupported(spec.training().unwrap()), None);
}
