//! Sweep files as people write them.

mod adaptive;
mod errors;
mod labels;
mod laws;
mod limits;
mod lists;
mod missed;
mod programs;
mod selectors;
mod single;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use swath_model::device::DeviceKind;
use swath_model::metrics::Goal;
use swath_model::needs::Needs;
use swath_model::program::Launch;
use swath_model::spec::Work;

use super::*;

/// The recipe `base.toml` of these tests: everything but axes.
const BASE: &str = r#"
batch_size = 32
epochs = 5
dataset.name = "digits"
model = { name = "resnet_preact", depth = 8 }
optimizer.lr = 0.1
"#;

const HEAD: &str = "[sweep]\nname = \"x\"\nrecipe = \"base.toml\"\n";

/// `[sweep]` with the base recipe, then `rest`.
fn with_head(rest: &str) -> String {
    format!("{HEAD}{rest}")
}

fn read(path: &str) -> Result<String, String> {
    match path {
        "base.toml" => Ok(BASE.to_owned()),
        "child.toml" => Ok("parent = \"base.toml\"\nepochs = 7\n".to_owned()),
        "deep/er.toml" => Ok("parent = \"../child.toml\"\noptimizer.lr = 0.2\n".to_owned()),
        "loop.toml" => Ok("parent = \"loop2.toml\"\n".to_owned()),
        "loop2.toml" => Ok("epochs = 7\nparent = \"loop.toml\"\n".to_owned()),
        "wrong.toml" => Ok("parent = \"base.toml\"\nepochs = 7\nmodel.dept = 20\n".to_owned()),
        "cosine.toml" => Ok(
            "parent = \"base.toml\"\nschedule = { name = \"cosine\", min_lr = 0.001 }\n".to_owned(),
        ),
        "values.csv" => Ok("batch_size,test_error\n".to_owned()),
        _ => Err("no such file".to_owned()),
    }
}

fn parsed(text: &str) -> SweepFile {
    SweepFile::parse("s/x.toml", text, &read).unwrap_or_else(|errors| panic!("{errors:#?}"))
}

/// Every error of a file, from reading it or from expanding it.
fn errors(text: &str) -> String {
    let errors = match SweepFile::parse("s/x.toml", text, &read) {
        Err(errors) => errors,
        Ok(file) => expand(&file).map(|_| ()).expect_err("a wrong file"),
    };
    let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

#[test]
fn needs_are_of_the_sweep_and_not_of_its_jobs() {
    let grid = "[[grid]]\nepochs = [5, 6]\n";
    let plain = with_head(grid);
    let needing = with_head(&format!(
        "needs = {{ cuda = 1, memory = \"1.5GiB\", cpus = 4 }}\n{grid}"
    ));
    assert_eq!(parsed(&plain).needs, Needs::default());
    assert_eq!(
        parsed(&needing).needs,
        Needs {
            device: Some(DeviceKind::Cuda),
            count: None,
            memory_bytes: Some(3 << 29),
            cpus: Some(4),
            program: None,
            data: None,
            launch: Launch::default(),
        }
    );
    let program = with_head(
        "needs = { cuda = 4 }\n[fixed]\ntrainer = { command = [\"t\"] }\n[[grid]]\nparams.x = [1]\n",
    );
    assert_eq!(parsed(&program).needs.count(), 4);
    assert_eq!(cells(&program).len(), 1);
    let digests = |text| cells(text).into_iter().map(|cell| cell.digest);
    assert!(digests(&plain).eq(digests(&needing)));
    let digest = |text| expand(&parsed(text)).unwrap().digest();
    assert_ne!(digest(&plain), digest(&needing));
}

fn cells(text: &str) -> Vec<Cell> {
    expand(&parsed(text))
        .unwrap_or_else(|errors| panic!("{errors:#?}"))
        .cells()
        .collect()
}

/// The axes of every cell, one line each.
fn axes(text: &str) -> String {
    let lines = cells(text).into_iter().map(|cell| {
        let axes = cell
            .axes
            .iter()
            .map(|(path, value)| format!("{path}={value}"));
        axes.collect::<Vec<_>>().join(" ") + "\n"
    });
    lines.collect()
}

#[test]
fn the_first_axis_varies_slowest() {
    let text =
        with_head("[[grid]]\nbatch_size = [64, 32]\n\"optimizer.lr\" = [0.1, 0.2]\nepochs = 5\n");
    insta::assert_snapshot!(axes(&text), @r#"
batch_size=64 optimizer.lr=0.1 epochs=5
batch_size=64 optimizer.lr=0.2 epochs=5
batch_size=32 optimizer.lr=0.1 epochs=5
batch_size=32 optimizer.lr=0.2 epochs=5
"#);
    let file = parsed(&text);
    assert_eq!((file.name.as_str(), file.title.as_str()), ("x", "x"));
    assert_eq!(
        (file.replicates, file.measure),
        (REPLICATES_DEFAULT, Measure::Last)
    );
    let expansion = expand(&file).unwrap();
    assert_eq!(
        expansion.totals(),
        Totals {
            cells: 4,
            jobs: 12,
            duplicates: 0,
            excluded: 0,
            probes: 0,
        }
    );
    assert_eq!(
        expansion.grid().axis("batch_size").unwrap().values,
        [json!(64), json!(32)]
    );
}

#[test]
fn dotted_keys_keep_their_written_place() {
    let text = with_head(
        "[[grid]]\noptimizer.lr = [0.1, 0.2]\nbatch_size = 32\noptimizer.momentum = [0, 0.9]\noptimizer.nesterov = false\n",
    );
    insta::assert_snapshot!(axes(&text), @r#"
optimizer.lr=0.1 batch_size=32 optimizer.momentum=0 optimizer.nesterov=false
optimizer.lr=0.1 batch_size=32 optimizer.momentum=0.9 optimizer.nesterov=false
optimizer.lr=0.2 batch_size=32 optimizer.momentum=0 optimizer.nesterov=false
optimizer.lr=0.2 batch_size=32 optimizer.momentum=0.9 optimizer.nesterov=false
"#);
}

#[test]
fn an_expression_follows_the_other_axes() {
    let text = with_head(
        "[fixed]\n\"optimizer.weight_decay\" = \"optimizer.lr / 1000\"\n\
         [[grid]]\n\"optimizer.lr\" = \"0.1 * batch_size / 128\"\nbatch_size = [96, 8]\n",
    );
    insta::assert_snapshot!(axes(&text), @r#"
optimizer.lr=0.075 batch_size=96
optimizer.lr=0.00625 batch_size=8
"#);
    let decay = |cell: &Cell| cell.spec.get("optimizer.weight_decay").cloned();
    let decays: Vec<_> = cells(&text).iter().filter_map(decay).collect();
    assert_eq!(decays, [json!(0.000_075), json!(0.000_006_25)]);
    let literal = with_head(
        "[fixed]\noptimizer.weight_decay = 7.5e-5\n[[grid]]\nbatch_size = 96\noptimizer.lr = 0.075\n",
    );
    assert_eq!(cells(&text)[0].digest, cells(&literal)[0].digest);
}

#[test]
fn an_expression_may_read_a_default() {
    let text = with_head("[[grid]]\n\"optimizer.lr\" = \"1 - optimizer.momentum\"\n");
    insta::assert_snapshot!(axes(&text), @"optimizer.lr=0.1");
}

#[test]
fn an_axis_may_mix_values_and_expressions() {
    let text = with_head(
        "[[grid]]\nbatch_size = [32, 64]\n\"optimizer.lr\" = [0.3, \"batch_size / 100\"]\n",
    );
    insta::assert_snapshot!(axes(&text), @r#"
batch_size=32 optimizer.lr=0.3
batch_size=32 optimizer.lr=0.32
batch_size=64 optimizer.lr=0.3
batch_size=64 optimizer.lr=0.64
"#);
}

#[test]
fn zipped_axes_vary_together() {
    let text = with_head(
        "[[grid]]\nzip = { batch_size = [64, 16], \"optimizer.lr\" = [0.4, \"batch_size / 160\"] }\nepochs = [5, 9]\n",
    );
    insta::assert_snapshot!(axes(&text), @r#"
batch_size=64 optimizer.lr=0.4 epochs=5
batch_size=64 optimizer.lr=0.4 epochs=9
batch_size=16 optimizer.lr=0.1 epochs=5
batch_size=16 optimizer.lr=0.1 epochs=9
"#);
}

#[test]
fn blocks_are_a_union_and_repetitions_are_dropped() {
    let text = with_head(
        "[[grid]]\nbatch_size = [32, 64]\n[[grid]]\nepochs = [5, 9]\nbatch_size = [64, 32.0]\n",
    );
    insta::assert_snapshot!(axes(&text), @r#"
batch_size=32 epochs=5
batch_size=64 epochs=5
batch_size=64 epochs=9
batch_size=32 epochs=9
"#);
    let file = parsed(&text);
    assert_eq!(expand(&file).unwrap().totals().duplicates, 2);
}

#[test]
fn exclusions_read_expressions_and_defaults() {
    let text = with_head(
        "[[grid]]\nbatch_size = [32, 64]\nepochs = [5, 9]\n\"optimizer.lr\" = \"batch_size / 320\"\n\
         exclude = [\"batch_size == 64 && epochs == 9\", \"optimizer.lr < 0.15 && optimizer.momentum == 0.9 && epochs == 5\"]\n",
    );
    insta::assert_snapshot!(axes(&text), @r#"
batch_size=32 epochs=9 optimizer.lr=0.1
batch_size=64 epochs=5 optimizer.lr=0.2
"#);
    let file = parsed(&text);
    assert_eq!(expand(&file).unwrap().totals().excluded, 2);
}

#[test]
fn options_follow_the_name_that_a_later_layer_chose() {
    // The example of the reference page: milestones apply where they can.
    let text = with_head(
        "[fixed]\nschedule.milestones = [0.5, 0.75]\n[[grid]]\n\"schedule.name\" = [\"cosine\", \"multistep\"]\n",
    );
    let milestones = |cell: &Cell| cell.spec.get("schedule.milestones").is_some();
    let found: Vec<_> = cells(&text).iter().map(milestones).collect();
    assert_eq!(found, [false, true]);
    // [fixed] replaces the recipe's schedule, its options included.
    let text = "[sweep]\nname = \"x\"\nrecipe = \"cosine.toml\"\n\
                [fixed]\nschedule = { name = \"multistep\", milestones = [2, 4] }\n\
                [[grid]]\nepochs = [5]\n";
    assert_eq!(cells(text)[0].spec.get("schedule.min_lr"), None);
}

#[test]
fn no_nesterov_goes_with_an_axis_over_every_optimizer() {
    let found = |text: &str| -> Vec<_> {
        let cells = cells(&with_head(text));
        let nesterov = cells.iter().map(|cell| cell.spec.get("optimizer.nesterov"));
        nesterov
            .map(|value| value.and_then(Value::as_bool))
            .collect()
    };
    let names = "[[grid]]\n\"optimizer.name\" = [\"sgd\", \"lars\", \"adam\"]\n";
    let axis = format!("{names}\"optimizer.nesterov\" = [false]\n");
    let fixed = format!("[fixed]\noptimizer.nesterov = false\n{names}");
    for text in [axis, fixed] {
        assert_eq!(found(&text), [Some(false), None, None], "{text}");
    }
    let text = "[fixed]\noptimizer.nesterov = false\n[[grid]]\n\"optimizer.name\" = [\"lars\"]\n";
    assert_eq!(found(text), [None]);
    let axis = format!("{names}\"optimizer.nesterov\" = [true]\n");
    let file = parsed(&with_head(&axis));
    assert_eq!(expand(&file).unwrap_err().len(), 2);
}

#[test]
fn steps_replace_the_epochs_of_a_recipe() {
    let text = with_head("[[grid]]\nsteps = [100, 200]\n");
    assert!(
        cells(&text)
            .iter()
            .all(|cell| cell.spec.get("epochs").is_none())
    );
    let text = with_head("[fixed]\nsteps = 100\n[[grid]]\nbatch_size = 8\n");
    assert!(
        cells(&text)
            .iter()
            .all(|cell| cell.spec.get("epochs").is_none())
    );
}

#[test]
fn recipes_have_parents() {
    let text = "[sweep]\nname = \"x\"\nrecipe = \"deep/er.toml\"\n[[grid]]\nbatch_size = 8\n";
    let cell = &cells(text)[0];
    let value = |path: &str| cell.spec.get(path).and_then(Value::as_f64);
    assert_eq!(value("optimizer.lr"), Some(0.2));
    assert_eq!(value("epochs"), Some(7.0));
    assert_eq!(value("model.depth"), Some(8.0));
}

#[test]
fn programs_and_their_parameters_can_be_swept() {
    let text = "[sweep]\nname = \"x\"\n\
        [fixed]\ntrainer = { command = [\"python3\", \"t.py\"], metric = \"loss\" }\n\
        [[grid]]\nparams.width = [1, 2]\nparams.kind.name = [\"a\", \"b\"]\n\
        params.rate = \"= 0.5 * params.width\"\n\
        exclude = \"params.kind.name == 'b' && params.width == 1\"\n";
    insta::assert_snapshot!(axes(text), @r#"
params.width=1 params.kind.name="a" params.rate=0.5
params.width=2 params.kind.name="a" params.rate=1
params.width=2 params.kind.name="b" params.rate=1
"#);
    let file = parsed(text);
    insta::assert_debug_snapshot!(file.layout, @r#"
List {
    rows: [
        "params.width",
        "params.kind.name",
        "params.rate",
    ],
    columns: [
        "loss",
        "train_time",
    ],
}
"#);
    let text = "[sweep]\nname = \"x\"\n[fixed]\ntrainer.null = true\n[[grid]]\nparams.i = [1, 2]\n";
    assert_eq!(cells(text).len(), 2);
}

#[test]
fn measures_have_one_spelling_each() {
    let measure =
        |text: &str| parsed(&format!("{HEAD}measure = {text}\n[[grid]]\nepochs = 5\n")).measure;
    assert_eq!(measure("\"last\""), Measure::Last);
    assert_eq!(measure("\"best\""), Measure::Best);
    for text in [
        "{ median_of_last = 3 }",
        "\"median_of_last = 3\"",
        "\"median_of_last=3\"",
    ] {
        assert_eq!(measure(text), Measure::MedianOfLast(3));
    }
    assert_eq!("median_of_last = 3".parse(), Ok(Measure::MedianOfLast(3)));
    assert_eq!(Measure::MedianOfLast(3).to_string(), "median_of_last = 3");
}

#[test]
fn tables_are_lists_or_pivots() {
    let layout = |table: &str| {
        parsed(&with_head(&format!(
            "[[grid]]\nbatch_size = [1, 2]\nepochs = 5\n{table}"
        )))
        .layout
    };
    insta::assert_debug_snapshot!(layout(""), @r#"
List {
    rows: [
        "batch_size",
        "epochs",
    ],
    columns: [
        "test_error",
        "train_time",
    ],
}
"#);
    insta::assert_debug_snapshot!(layout("[table]\nrows = \"epochs\"\ncolumns = [\"test_error\", \"optimizer.lr\"]\n"), @r#"
List {
    rows: [
        "epochs",
    ],
    columns: [
        "test_error",
        "optimizer.lr",
    ],
}
"#);
    let pivot =
        layout("[table]\nrows = \"epochs\"\ncolumns = \"batch_size\"\ncell = \"test_error\"\n");
    insta::assert_debug_snapshot!(pivot, @r#"
Pivot {
    rows: [
        "epochs",
    ],
    columns: "batch_size",
    cell: "test_error",
}
"#);
    assert_eq!(
        pivot.parameters().collect::<Vec<_>>(),
        ["epochs", "batch_size"]
    );
}

#[test]
fn the_digest_is_over_what_the_file_means() {
    let digest = |text: &str| expand(&parsed(text)).unwrap().digest();
    let plain = with_head("[[grid]]\nbatch_size = [32, 64]\n\"optimizer.lr\" = [0.1, 0.2]\n");
    let other = "# A comment.\nsweep = { recipe = \"base.toml\", name = \"x\", replicates = 3 }\n\
                 [[grid]]\nbatch_size = [ 32, 64.0 ]\noptimizer.lr = [1e-1, 2e-1]\n";
    assert_eq!(digest(&plain), digest(other));
    for (from, to) in [
        ("[32, 64]", "[64, 32]"),
        ("\"x\"", "\"y\""),
        ("[32, 64]", "[32, 63]"),
        ("[[grid]]", "title = \"T\"\n[[grid]]"),
        ("[[grid]]", "replicates = 4\n[[grid]]"),
        ("[[grid]]", "measure = \"best\"\n[[grid]]"),
        ("[[grid]]", "[table]\nrows = \"batch_size\"\n[[grid]]"),
        ("[[grid]]", "[reference]\nfile = \"values.csv\"\n[[grid]]"),
    ] {
        let changed = plain.replacen(from, to, 1);
        assert_ne!(changed, plain);
        assert_ne!(digest(&plain), digest(&changed), "{to}");
    }
}

/// The direction of a metric changes what a table says, and no job.
#[test]
fn a_goal_is_of_the_sweep_and_of_no_job() {
    let text = |goal: &str| {
        format!(
            "[sweep]\nname = \"x\"\n[fixed]\ntrainer.command = [\"a\"]\ntrainer.metric = \"b\"\n{goal}\n\
             [[grid]]\n\"params.x\" = [1, 2]\n"
        )
    };
    let whole = |goal: &str| expand_whole(&parsed(&text(goal))).unwrap();
    let plain = whole("");
    let less = whole("trainer.goal = \"minimize\"");
    let more = whole("trainer.goal = \"maximize\"");
    let digests = [plain.digest, less.digest, more.digest];
    assert_eq!(BTreeSet::from(digests).len(), 3);
    for other in [&less, &more] {
        for (one, cell) in plain.cells.iter().zip(&other.cells) {
            assert_eq!((one.digest, &one.text), (cell.digest, &cell.text));
        }
    }
    let Work::Command(command) = more.cells[0].spec.work() else {
        panic!("{:?}", more.cells[0].spec.work());
    };
    assert_eq!(command.goal, Some(Goal::Maximize));
    let wrong = text("trainer.goal = \"more\"");
    let said = SweepFile::parse("s/x.toml", &wrong, &read).unwrap_err()[0].to_string();
    assert!(
        said.contains("`trainer.goal`") && said.contains("maximize"),
        "{said}"
    );
}

/// A table compares cells by one number.
#[test]
fn cells_have_one_metric() {
    let text = "[sweep]\nname = \"x\"\n[fixed]\ntrainer.command = [\"a\"]\n\
                [[grid]]\n\"trainer.metric\" = [\"f1\", \"loss\"]\n";
    let said = expand(&parsed(text)).unwrap_err()[0].to_string();
    let wanted = "`trainer.metric`: some cells say `f1` and some `loss`; a table compares its \
                  cells by one metric";
    assert!(said.ends_with(wanted), "{said}");
}

#[test]
fn digests_stay_what_they_are() {
    let file = parsed(&with_head("[[grid]]\nbatch_size = [32, 64]\n"));
    let expansion = expand(&file).unwrap();
    let cell = expansion.cells().next().unwrap();
    let job = cell.jobs(1).next().unwrap();
    assert_eq!(cell.digest, cell.spec.cell_digest());
    assert_eq!(job.digest, cell.spec.with_seed(job.seed).job_digest());
    insta::assert_snapshot!(expansion.digest(), @"9ee135763fe8bf60176ae6021c28ed4564c72ff00c4e868ec81b565a64457aa7");
    insta::assert_snapshot!(cell.digest, @"dc974660684d1e076c64f6dd28cb75183ee8ee733581769c2ba20a8f049f5b1f");
    insta::assert_snapshot!(job.digest, @"1c9d82399b14a906b1fa42a61fe7c13661925584b8592349cfb249cf97691d67");
    insta::assert_snapshot!(job.seed, @"6270055973645252");
}
