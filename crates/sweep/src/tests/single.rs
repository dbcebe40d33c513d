//! Files that are written for one cell.

use std::sync::LazyLock;

use proptest::prelude::*;
use swath_model::keep::Keep;
use swath_model::metrics::Goal;
use swath_model::needs::Needs;
use swath_model::program::Launch;

use super::*;

static AS_IS: LazyLock<Launch> = LazyLock::new(Launch::default);

fn single<'a>(spec: &'a Value, axes: &'a [String], needs: &'a Needs) -> Single<'a> {
    Single {
        launch: &AS_IS,
        keep: Keep::All,
        unit: None,
        name: "x",
        about: "",
        replicates: 3,
        replicates_max: None,
        measure: Measure::Last,
        goal: None,
        needs,
        spec,
        axes,
    }
}

/// The file of a cell makes the cell again, with the same jobs.
fn check(whole: &Whole) {
    let axes: Vec<String> = whole.grid.axes.iter().map(|it| it.path.clone()).collect();
    for cell in &whole.cells {
        let text = Single {
            replicates: whole.replicates,
            ..single(cell.spec.cell_tree(), &axes, &whole.needs)
        };
        let text = text.file().unwrap();
        let again = expand_whole(&parsed(&text)).unwrap();
        let digests: Vec<_> = again.cells.iter().map(|it| it.digest).collect();
        assert_eq!(digests, [cell.digest], "{text}");
        assert_eq!(again.needs, whole.needs, "{text}");
    }
}

#[test]
fn a_program_with_values_of_every_kind_is_written_and_read_again() {
    let text = r#"
        [sweep]
        name = "all_kinds"
        replicates = { min = 3, max = 5, until = "ranked" }
        measure = { median_of_last = 2 }
        needs = { cuda = 1, memory = "1.5GiB", cpus = 4 }
        [fixed]
        trainer.command = ["python", "train.py", "it's \"quoted\"\n"]
        trainer.metric = "val/acc"
        trainer.goal = "maximize"
        params.ratio = 1.0
        params.tiny = 1.3e-300
        params.deep.list = [1, 2.5, "x", [true]]
        params.deep."odd key" = { a = 1 }
        params."ü" = "é\t"
        params.none = {}
        [[grid]]
        params.lr = [1e-4, 0.1]
        params.shape = [[1, 2], [3]]
    "#;
    let whole = expand_whole(&parsed(text)).unwrap();
    check(&whole);
    let axes = ["params.lr", "params.shape", "params.absent"].map(str::to_owned);
    let cell = &whole.cells[0];
    let file = Single {
        name: &"n".repeat(NAME_MAX),
        about: "The best cell.\n\nTwo lines.",
        replicates_max: whole.replicates_max,
        measure: whole.measure,
        goal: Some(Goal::Maximize),
        ..single(cell.spec.cell_tree(), &axes, &whole.needs)
    };
    insta::assert_snapshot!(file.file().unwrap());
    let again = parsed(&file.file().unwrap());
    assert_eq!(again.name.len(), NAME_MAX);
    assert_eq!(again.measure, whole.measure);
    assert_eq!(again.replicates_max, Some(5));
    // A goal changes the sweep and no job, but must not be lost.
    let again = expand_whole(&again).unwrap();
    assert_eq!(
        format!("{:?}", again.cells[0].spec.work()),
        format!("{:?}", cell.spec.work())
    );
}

#[test]
fn a_program_with_its_section_keeps_how_it_is_started() {
    let text = r#"
        [sweep]
        name = "section"
        replicates = 3
        [program]
        command = ["python", "train.py", "--lr", "{lr}", "--data={data}", "{mode}", "{note}"]
        metric = "val/acc"
        goal = "maximize"
        read = { stdout = 'acc[=:](?<val/acc>[0-9.]+)' }
        environment = { A = "b c" }
        timeout = "1h30m"
        silence = "90s"
        seeds = "common"
        keep = "best"
        unit = "µs"
        [fixed]
        scale = 1.0
        mode = "= 'lr * 2'"
        note = "= '=x'"
        [local]
        data = "/data"
        loaders = 4
        [[grid]]
        lr = [1e-4, 1.0]
    "#;
    let mut file = parsed(text);
    let digest = swath_model::program::input_digest(b"print(1)");
    let inputs = [("train.py", digest), ("a/[x].py", digest)];
    let inputs = inputs
        .map(|(path, digest)| (path.to_owned(), digest))
        .into();
    file.found(&inputs, &BTreeSet::new(), Some("/here".to_owned()));
    let whole = expand_whole(&file).unwrap();
    let axes = ["params.lr".to_owned()];
    for cell in &whole.cells {
        let single = Single {
            launch: &whole.launch,
            keep: whole.keep,
            unit: whole.unit.as_deref(),
            goal: Some(Goal::Maximize),
            ..single(cell.spec.cell_tree(), &axes, &whole.needs)
        };
        let text = single.file().unwrap();
        let mut again = parsed(&text);
        again.found(&inputs, &BTreeSet::new(), Some("/here".to_owned()));
        let again = expand_whole(&again).unwrap();
        assert_eq!(again.cells[0].digest, cell.digest, "{text}");
        assert_eq!(again.launch, whole.launch);
        assert_eq!((again.keep, &again.unit), (whole.keep, &whole.unit));
        if cell.index == 0 {
            insta::assert_snapshot!(text);
        }
    }
}

#[test]
fn a_program_that_travels_does_so_again() {
    let mut file = parsed(
        "[sweep]\nname = \"x\"\n[program]\ncommand = [\"sh\", \"t.sh\", \"{lr}\"]\nship = true\n\
         directory = \"code\"\n[[grid]]\nlr = [1]\n",
    );
    let digest = swath_model::program::input_digest(b"echo");
    let inputs = [("t.sh".to_owned(), digest)].into();
    let executable = BTreeSet::from(["t.sh".to_owned()]);
    file.found(&inputs, &executable, Some("/here/code".to_owned()));
    let whole = expand_whole(&file).unwrap();
    let axes = ["params.lr".to_owned()];
    let single = Single {
        launch: &whole.launch,
        ..single(whole.cells[0].spec.cell_tree(), &axes, &whole.needs)
    };
    let text = single.file().unwrap();
    let mut again = parsed(&text);
    again.found(&inputs, &executable, Some("/here/code".to_owned()));
    let shipped = again.launch.shipped.unwrap();
    // Its only file may be executed.
    assert_eq!(shipped.directory, "");
    assert!(shipped.all_executable, "{shipped:?}");
}

#[test]
fn a_cell_without_axes_gets_one() {
    let whole = expand_whole(&parsed(
        "[sweep]\nname = \"x\"\n[fixed]\ntrainer.null = true\n[[grid]]\nparams.x = [1]\n",
    ));
    let cell = &whole.unwrap().cells[0];
    let needs = Needs::default();
    let text = single(cell.spec.cell_tree(), &[], &needs).file().unwrap();
    assert_eq!(
        expand_whole(&parsed(&text)).unwrap().cells[0].digest,
        cell.digest
    );
}

#[test]
fn what_no_file_can_say_is_refused() {
    // A text that would be read as an expression, and cannot be quoted.
    let spec = json!({"trainer": {"null": true}, "params": {"x": 1, "formula": "='1' + 1"}});
    let needs = Needs::default();
    let refused = single(&spec, &["params.x".to_owned()], &needs).file();
    assert!(refused.is_err(), "{spec}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn the_file_of_any_cell_makes_that_cell(axes in super::laws::axes()) {
        let text = super::laws::file(&[&axes]);
        check(&expand_whole(&parsed(&text)).unwrap());
    }
}
