use proptest::prelude::*;
use serde_json::json;
use swath_model::probe::probes;
use swath_model::spec::JobSpec;
use swath_model::view::SweepKind;

use super::*;
use crate::{SweepFile, expand};

fn options() -> impl Strategy<Value = JobSpec> {
    let batch = prop::sample::select(vec![16, 32, 64, 128]);
    let models = prop::sample::select(vec![
        json!({"name": "resnet_preact", "depth": 20}),
        json!({"name": "vgg", "n_channels": [8, 16, 32], "n_layers": [1, 1, 2]}),
        json!({"name": "wrn", "depth": 16, "widening_factor": 2, "drop_rate": 0.25}),
    ]);
    let optimizers = prop::sample::select(vec!["sgd", "lars", "adam"]);
    let data = prop::sample::select(vec![
        json!({"name": "cifar10"}),
        json!({"name": "digits"}),
        json!({"name": "tensors", "path": "a \"quoted\" name.st", "mean": [0.5], "std": [0.25]}),
    ]);
    let augmentation = prop::sample::select(vec![
        json!({}),
        json!({"horizontal_flip": true, "random_crop": {"padding": 1}}),
        json!({"mixup": {"alpha": 0.3}}),
    ]);
    let budget = 1_u32..400;
    (batch, models, optimizers, data, augmentation, budget).prop_map(
        |(batch, model, optimizer, data, augmentation, epochs)| {
            let tree = json!({
                "batch_size": batch,
                "model": model,
                "optimizer": {"name": optimizer, "lr": 0.1},
                "dataset": data,
                "augmentation": augmentation,
                "epochs": epochs,
            });
            JobSpec::from_value(&tree).unwrap()
        },
    )
}

proptest! {
    /// The file of probes expands to these probes and nothing else.
    #[test]
    fn a_file_of_probes_holds_them(cells in prop::collection::vec(options(), 1..6)) {
        let wanted: Vec<Probe> = cells.iter().flat_map(probes).collect();
        prop_assert_eq!(wanted.len(), cells.len());
        let text = sweep_text("probe-of_x", "Steps of \"x\"", &wanted).unwrap();
        let read = |path: &str| Err(format!("no file {path}"));
        let file = SweepFile::parse("probe.toml", &text, &read)
            .map_err(|errors| TestCaseError::fail(format!("{errors:?}\n{text}")))?;
        let expansion = expand(&file)
            .map_err(|errors| TestCaseError::fail(format!("{errors:?}\n{text}")))?;
        prop_assert_eq!(expansion.kind(), SweepKind::Probe);
        let mut found: Vec<_> = expansion.cells().map(|cell| cell.digest).collect();
        let mut wanted: Vec<_> = wanted.iter().map(|it| it.spec.cell_digest()).collect();
        found.sort_unstable();
        wanted.sort_unstable();
        wanted.dedup();
        prop_assert_eq!(found, wanted);
    }
}

#[test]
fn probes_and_trainings_need_a_sweep_each() {
    let text = "\
[sweep]
name = \"mixed\"
[fixed]
trainer.command = [\"x\"]
steps = 20
[[grid]]
probe = [true, false]
";
    let read = |path: &str| Err(format!("no file {path}"));
    let file = SweepFile::parse("mixed.toml", text, &read).unwrap();
    let errors = expand(&file).unwrap_err();
    let message = errors[0].to_string();
    assert!(message.contains("1 of 2 cells"), "{message}");
}
