use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn tree() -> Value {
    json!({
        "dataset": {"name": "cifar10"},
        "model": {"name": "resnet_preact", "depth": 20},
        "batch_size": 128,
        "optimizer": {"lr": 0.1},
        "epochs": 10,
    })
}

fn spec(changes: &[(&str, Value)]) -> JobSpec {
    let mut tree = tree();
    for (path, value) in changes {
        if value.is_null() {
            tree.as_object_mut().unwrap().remove(*path);
        } else {
            crate::spec::set(&mut tree, path, value.clone());
        }
    }
    JobSpec::from_value(&tree).unwrap()
}

fn digests(spec: &JobSpec) -> Vec<String> {
    let probes = probes(spec).into_iter();
    probes
        .map(|probe| probe.spec.cell_digest().to_string())
        .collect()
}

#[test]
fn what_learns_otherwise_at_the_same_cost_shares_a_probe() {
    let plain = spec(&[]);
    let alike = [
        spec(&[("optimizer.lr", json!(3.2))]),
        spec(&[("epochs", json!(400))]),
        spec(&[("epochs", Value::Null), ("steps", json!(70))]),
        spec(&[("schedule.name", json!("cosine"))]),
        spec(&[("optimizer.momentum", json!(0.5))]),
        spec(&[("init.zero_gamma", json!(true))]),
        spec(&[("loss.label_smoothing", json!(0.1))]),
    ];
    for other in alike {
        assert_eq!(digests(&plain), digests(&other), "{}", other.cell_text());
        assert_eq!(workload(plain.cell_tree()), workload(other.cell_tree()));
    }
    let unlike = [
        spec(&[("batch_size", json!(64))]),
        spec(&[("model.depth", json!(32))]),
        spec(&[("precision", json!("bf16"))]),
        spec(&[("optimizer.name", json!("lars"))]),
        spec(&[
            ("optimizer.momentum", json!(0)),
            ("optimizer.nesterov", json!(false)),
        ]),
        spec(&[("augmentation.cutout.size", json!(8))]),
        spec(&[("accumulation_steps", json!(2))]),
        spec(&[("ghost_batch_size", json!(32))]),
        spec(&[("dataset.name", json!("cifar100"))]),
    ];
    for other in unlike {
        assert_ne!(digests(&plain), digests(&other), "{}", other.cell_text());
        assert_ne!(workload(plain.cell_tree()), workload(other.cell_tree()));
    }
    let [mnist, fashion] = ["mnist", "fashion_mnist"].map(|name| {
        let name = [("dataset.name", json!(name))];
        digests(&spec(&name))
    });
    assert_eq!(mnist, fashion);
}

#[test]
fn a_probe_is_no_training_and_has_the_workload_of_its_cell() {
    let cell = spec(&[]);
    let [probe] = probes(&cell).try_into().unwrap();
    assert!(probe.spec.is_probe() && !cell.is_probe());
    let training = probe.spec.training().unwrap();
    assert_eq!((training.steps, training.epochs), (Some(20), None));
    assert_eq!(workload(probe.spec.cell_tree()), workload(cell.cell_tree()));
    assert_ne!(probe.spec.cell_digest(), cell.cell_digest());
    // A probe of a probe is itself.
    assert_eq!(digests(&probe.spec), digests(&cell));
    let epochs = [("probe", json!(true))];
    let mut wrong = tree();
    crate::spec::set(&mut wrong, epochs[0].0, epochs[0].1.clone());
    let errors = JobSpec::from_value(&wrong).unwrap_err();
    assert!(errors[0].message.contains("`steps`"), "{errors:?}");
}

#[test]
fn specs_without_a_probe_keep_their_names() {
    let denied = spec(&[("probe", json!(false))]);
    assert_eq!(denied, spec(&[]));
    assert!(!denied.cell_text().contains("probe"));
    let program = json!({"trainer": {"command": ["x"], "probe": false}, "probe": false});
    let plain = json!({"trainer": {"command": ["x"]}});
    let [program, plain] = [program, plain].map(|tree| JobSpec::from_value(&tree).unwrap());
    assert_eq!(program.cell_digest(), plain.cell_digest());
}

#[test]
fn a_program_is_probed_where_it_says_so() {
    let program = |probe: bool| {
        let trainer = json!({"command": ["python3", "t.py"], "probe": probe});
        let tree = json!({"trainer": trainer, "params": {"width": 3}, "epochs": 7});
        JobSpec::from_value(&tree).unwrap()
    };
    assert_eq!(probes(&program(false)), []);
    let [probe] = probes(&program(true)).try_into().unwrap();
    assert_eq!(
        probe.spec.cell_text(),
        r#"{"params":{"width":3},"probe":true,"steps":20,"trainer":{"command":["python3","t.py"],"probe":true}}"#
    );
    let timing = Timing {
        step_seconds: 0.5,
        evaluation_seconds: 2.0,
        ..Timing::default()
    };
    // How many steps an epoch has, only the program knows.
    assert_eq!(seconds(&program(true), |_| Some(&timing)), None);
    let timing = Timing {
        steps_per_epoch: Some(10.0),
        ..timing
    };
    assert_eq!(seconds(&program(true), |_| Some(&timing)), Some(49.0));
}

#[test]
fn each_batch_size_of_a_cell_has_its_probe_and_its_price() {
    let steps = json!([{"epoch": 2, "batch_size": 256}, {"epoch": 3, "batch_size": 128}]);
    let cell = spec(&[("batch_schedule", steps), ("epochs", json!(4))]);
    let sizes: Vec<u32> = probes(&cell).iter().map(|it| it.batch_size).collect();
    assert_eq!(sizes, [128, 256]);
    assert_eq!(digests(&cell)[0], digests(&spec(&[]))[0]);
    let timing = |step_seconds| Timing {
        step_seconds,
        evaluation_seconds: 1.0,
        ..Timing::default()
    };
    let (small, large) = (timing(0.5), timing(2.0));
    let both = |size| Some(if size == 128 { &small } else { &large });
    // 50,000 images are 390 whole batches of 128, or 195 of 256.
    let expected = 3.0 * 390.0 * 0.5 + 195.0 * 2.0 + 4.0;
    assert_eq!(seconds(&cell, both), Some(expected));
    assert_eq!(seconds(&cell, |size| (size == 128).then_some(&small)), None);
}

#[test]
fn what_a_probe_tells_reads_back() {
    let timing = Timing {
        step_seconds: 0.25,
        evaluation_seconds: 1.5,
        steps_per_epoch: Some(12.0),
        train_images: Some(1347.0),
        memory_bytes: Some(1e9),
    };
    assert_eq!(Timing::of(&timing.metrics()), Some(timing));
    assert_eq!(Timing::of(&Metrics::new()), None);
}

fn options() -> impl Strategy<Value = JobSpec> {
    let batch = prop::sample::select(vec![16, 32, 64, 128]);
    let data = prop::sample::select(vec![
        json!({"name": "cifar10"}),
        json!({"name": "digits"}),
        json!({"name": "tensors", "path": "a.st", "mean": [0.5], "std": [0.25]}),
    ]);
    let budget = 1_u32..400;
    (batch, data, budget).prop_map(|(batch, data, epochs)| {
        spec(&[
            ("batch_size", json!(batch)),
            ("dataset", data),
            ("epochs", json!(epochs)),
        ])
    })
}

proptest! {
    /// Each epoch of a training costs the same, and more of them cost more.
    #[test]
    fn seconds_grow_with_the_budget(
        cell in options(),
        step in 1e-6..100.0_f64,
        evaluation in 0.0..100.0_f64,
        more in 1_u32..100,
    ) {
        let timing = Timing {
            step_seconds: step,
            evaluation_seconds: evaluation,
            train_images: Some(1000.0),
            ..Timing::default()
        };
        let epochs = cell.training().unwrap().epochs.unwrap();
        let mut longer = cell.cell_tree().clone();
        longer["epochs"] = json!(epochs + more);
        let longer = JobSpec::from_value(&longer).unwrap();
        let timing = |_| Some(&timing);
        let (short, long) = (seconds(&cell, timing).unwrap(), seconds(&longer, timing).unwrap());
        prop_assert!(long > short);
        let each = |total: f64, epochs: u32| total / f64::from(epochs);
        let (short, long) = (each(short, epochs), each(long, epochs + more));
        prop_assert!((short / long - 1.0).abs() < 1e-9, "{} {}", short, long);
    }
}
