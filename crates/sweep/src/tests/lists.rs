//! Sweeps that are given by their cells.

use proptest::prelude::*;
use swath_model::message::CellList;
use swath_model::needs::Needs;
use swath_model::probe::probes;
use swath_model::spec::JobSpec;
use swath_model::view::SweepKind;

use super::*;

fn training(batch_size: u32, lr: f64) -> Value {
    json!({
        "dataset": {"name": "digits"},
        "model": {"name": "resnet_preact", "depth": 8},
        "batch_size": batch_size,
        "optimizer": {"lr": lr},
        "epochs": 5,
    })
}

fn list(kind: SweepKind, cells: Vec<Value>) -> CellList {
    CellList {
        name: "x".to_owned(),
        title: "x".to_owned(),
        kind,
        replicates: 3,
        needs: Needs::default(),
        cells,
    }
}

fn trainings(cells: Vec<Value>) -> CellList {
    list(SweepKind::Training, cells)
}

fn whole(list: &CellList) -> Whole {
    list_whole(list).unwrap_or_else(|errors| panic!("{errors:#?}"))
}

fn wrong(list: &CellList) -> String {
    let errors = list_whole(list).expect_err("a wrong list");
    let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

#[test]
fn cells_make_the_sweep_that_a_file_of_them_makes() {
    let cells = [(64, 0.1), (64, 0.2), (32, 0.1), (32, 0.2)];
    let list = trainings(cells.map(|(size, lr)| training(size, lr)).to_vec());
    let given = whole(&list);
    // The axes come as a cell's text has them: in the order of the alphabet,
    // and the model always.
    let text = with_head(
        "[[grid]]\nbatch_size = [64, 32]\nmodel.name = \"resnet_preact\"\n\"optimizer.lr\" = [0.1, 0.2]\n",
    );
    let written = expand_whole(&parsed(&text)).unwrap();
    assert_eq!(given.digest, written.digest);
    assert_eq!(given.cells, written.cells);
    assert_eq!(given.grid, written.grid);
    assert_eq!(given.layout, written.layout);
    assert_eq!(given.kind, SweepKind::Training);
    assert_eq!(whole(&list).digest, given.digest);
    let mut others = [(); 5].map(|()| list.clone());
    others[0].name = "y".to_owned();
    others[1].title = "y".to_owned();
    others[2].replicates = 4;
    others[3].cells.swap(0, 1);
    others[4].cells.truncate(3);
    for other in others {
        assert_ne!(whole(&other).digest, given.digest, "{other:?}");
    }
}

#[test]
fn a_lone_cell_has_a_name_in_its_table() {
    let program = json!({"trainer": {"command": ["x"], "metric": "perplexity"}});
    let lone = whole(&trainings(vec![program]));
    let axes = [("trainer.metric".to_owned(), json!("perplexity"))];
    assert_eq!(lone.cells[0].axes, axes);
    let Layout::List { rows, columns } = lone.layout else {
        panic!("{:?}", lone.layout);
    };
    assert_eq!(rows, ["trainer.metric"]);
    assert_eq!(columns, ["perplexity", "train_time"]);
}

#[test]
fn a_wrong_list_is_refused_by_cell_and_key() {
    let unknown = json!({"trainer": {"command": ["x"]}, "epoch": 3});
    let mut seeded = training(32, 0.1);
    seeded["seed"] = json!(3);
    let mut probe = training(32, 0.1);
    probe["probe"] = json!(true);
    probe["steps"] = json!(20);
    probe.as_object_mut().unwrap().remove("epochs");
    let cells = vec![
        training(32, 0.1),
        training(0, -1.0),
        json!([3]),
        unknown,
        seeded,
        probe.clone(),
    ];
    let wrong_cells = wrong(&trainings(cells));
    insta::assert_snapshot!(wrong_cells, @"
    cell 2: `batch_size`: must be a whole number from 1 to 2147483648, not 0
    cell 2: `optimizer.lr`: must be a number from 0 to 1000000, not -1.0
    cell 3: must be a table of keys, not a list
    cell 4: `epoch`: unknown key; did you mean `epochs`?
    cell 5: `seed`: is derived from the cell and the replicate; raise `replicates` to train under more seeds
    cell 6: `probe`: is set, in a sweep of trainings; trainings and probes need a sweep each
    ");
    let mixed = wrong(&list(SweepKind::Probe, vec![probe, training(32, 0.1)]));
    assert_eq!(
        mixed,
        "cell 2: `probe`: is not set, in a sweep of probes; trainings and probes need a sweep each"
    );
    // The same in other words.
    let mut alike = training(32, 0.1);
    alike["optimizer"]["momentum"] = json!(0.9);
    let twice = trainings(vec![training(64, 0.1), training(32, 0.1), alike]);
    assert_eq!(wrong(&twice), "cell 3: is the same as cell 2");
    let empty = CellList {
        name: "No".to_owned(),
        needs: Needs {
            memory_bytes: Some(0),
            cpus: Some(0),
            ..Needs::default()
        },
        ..CellList::default()
    };
    insta::assert_snapshot!(wrong(&empty), @"
    the list of cells: `name`: must be 1 to 64 of a-z 0-9 _ -
    the list of cells: `title`: must be a text of at most 1000 bytes
    the list of cells: `replicates`: must be a whole number from 1 to 10000, not 0
    the list of cells: `needs.memory_bytes`: must be at least 1
    the list of cells: `needs.cpus`: must be a whole number from 1 to 65536, not 0
    the list of cells: `cells`: has no cell
    ");
    let large = CellList {
        replicates: 10_000,
        ..trainings(vec![json!({}); 101])
    };
    let message = wrong(&large);
    let first = message.lines().next().unwrap();
    assert_eq!(
        first,
        "the list of cells: `cells`: makes 1010000 jobs, 101 cells x 10000 replicates; a sweep \
         has at most 1000000"
    );
    assert!(message.lines().count() < 30, "{message}");
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
    let message = errors(text);
    assert!(message.contains("1 of 2 cells"), "{message}");
}

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
        json!({"name": "tensors", "path": "a \"quoted\" name.st", "mean": [0.5], "std": [0.25]}),
    ]);
    let augmentation = prop::sample::select(vec![
        json!({}),
        json!({"horizontal_flip": true, "random_crop": {"padding": 1}}),
    ]);
    (batch, models, optimizers, data, augmentation).prop_map(
        |(batch, model, optimizer, data, augmentation)| {
            let tree = json!({
                "batch_size": batch,
                "model": model,
                "optimizer": {"name": optimizer, "lr": 0.1},
                "dataset": data,
                "augmentation": augmentation,
                "epochs": 9,
            });
            JobSpec::from_value(&tree).unwrap()
        },
    )
}

proptest! {
    /// A list of probes is a sweep of these probes and nothing else, in whose
    /// table no two rows have the same name.
    #[test]
    fn a_list_of_probes_holds_them(cells in prop::collection::vec(options(), 1..6)) {
        let mut wanted: Vec<JobSpec> = Vec::new();
        for probe in cells.iter().flat_map(probes) {
            if !wanted.contains(&probe.spec) {
                wanted.push(probe.spec);
            }
        }
        let trees = wanted.iter().map(|it| it.cell_tree().clone()).collect();
        let made = whole(&list(SweepKind::Probe, trees));
        prop_assert_eq!(made.kind, SweepKind::Probe);
        let found: Vec<_> = made.cells.iter().map(|cell| cell.spec.clone()).collect();
        prop_assert_eq!(found, wanted);
        let named: std::collections::BTreeSet<String> =
            made.cells.iter().map(|cell| format!("{:?}", cell.axes)).collect();
        prop_assert_eq!(named.len(), made.cells.len());
        let Layout::List { rows, columns } = made.layout else {
            return Err(TestCaseError::fail("a pivot"));
        };
        prop_assert!(rows.iter().all(|row| made.grid.axis(row).is_some()));
        prop_assert_eq!(columns, ["metrics.probe.step_seconds", "metrics.probe.memory_bytes"]);
    }
}
