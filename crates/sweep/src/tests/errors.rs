//! The errors for wrong files.

use super::*;

macro_rules! wrong {
    ($text:expr, @$expected:literal) => {
        insta::assert_snapshot!(errors(&with_head($text)), @$expected)
    };
}

#[test]
fn unknown_keys_name_the_nearest() {
    wrong!("[[grid]]\nbatch_szie = [1]\n", @"s/x.toml:5:1: `batch_szie`: unknown key; did you mean `batch_size`?");
    wrong!("[[grid]]\nepochs = 5\n[fixed]\n  model.dept = 20\n", @"s/x.toml:7:9: `model.dept`: unknown key; did you mean `model.depth`?");
    wrong!("[[grid]]\nepochs = 5\n[fixed]\nmodel.growth_rate = 20\n", @"s/x.toml:7:21: `model.growth_rate`: `resnet_preact` has no such option; it takes: depth, initial_channels, block_type, remove_first_relu, add_last_bn, preact_stage");
    wrong!("seeds = 3\n[[grid]]\nepochs = 5\n", @"s/x.toml:4:1: `sweep.seeds`: unknown key; `replicates = 3` trains each cell so often, each time with a seed of its own, and `seeds` in [program] names the seeds");
    wrong!("replicate = 3\n[[grid]]\nepochs = 5\n", @"s/x.toml:4:1: `sweep.replicate`: unknown key; did you mean `replicates`?");
    wrong!("[[grid]]\nepochs = 5\n[tabel]\nrows = []\n", @"s/x.toml:6:2: `tabel`: unknown key; did you mean `table`?");
    wrong!("[[grid]]\nepochs = 5\n[optimizer]\nlr = 0.1\n", @"s/x.toml:6:2: `optimizer`: belongs under [fixed] or in a [[grid]]");
    wrong!("[[grid]]\nepochs = 5\n[table]\nrow = []\n", @"s/x.toml:7:1: `table.row`: unknown key; did you mean `rows`?");
    wrong!("[[grid]]\nzipp = { epochs = [5] }\n", @"s/x.toml:5:1: `zipp`: unknown key; did you mean `zip`?");
}

#[test]
fn a_null_is_left_out() {
    for (text, at) in [
        ("[[grid]]\nparams.x = null\n", "5:12"),
        ("[[grid]]\nparams.x = None\n", "5:12"),
        ("[[grid]]\nparams.x = [0.1, null]\n", "5:18"),
        ("[fixed]\nparams = { x = nil }\n", "5:16"),
    ] {
        let told = errors(&with_head(text));
        let expected = format!(
            "s/x.toml:{at}: TOML has no null: leave the parameter out in place of it, in a [[grid]] \
             block of its own where other cells have it"
        );
        assert_eq!(told, expected, "{text}");
    }
    let other = errors(&with_head("[[grid]]\nparams.x = nulls\n"));
    assert!(!other.contains("no null"), "{other}");
}

#[test]
fn wrong_values_say_what_is_right() {
    wrong!("[[grid]]\nbatch_size = [1, 2.5, true]\nepochs = 5\n", @r#"
s/x.toml:5:18: `batch_size`: must be a whole number from 1 to 2147483648, not 2.5
s/x.toml:5:23: `batch_size`: must be a whole number from 1 to 2147483648, not true
"#);
    wrong!("[[grid]]\n\"schedule.name\" = [\"cosin\"]\n", @r#"s/x.toml:5:20: `schedule.name`: must be one of constant, multistep, cosine, linear, polynomial, sgdr, not "cosin"; did you mean "cosine"?"#);
    wrong!("[[grid]]\nmodel = \"resnet\"\n", @r#"s/x.toml:5:9: `model`: must be a table with `name`, `depth`, `initial_channels`, `block_type`, `remove_first_relu`, `add_last_bn`, `preact_stage`, `se_reduction`, `widening_factor`, `drop_rate`, `growth_rate`, `compression_rate`, `alpha`, `cardinality`, `base_channels`, `shake_forward`, `shake_backward`, `shake_image`, `legacy`, `n_channels`, `n_layers`, `use_bn`, not "resnet""#);
    wrong!("[[grid]]\nepochs = { a = 1 }\n", @"s/x.toml:5:10: `epochs`: must be a whole number from 1 to 2147483648, not a table");
    wrong!("[[grid]]\n\"schedule.milestones\" = [80, 120]\n", @"s/x.toml:5:25: `schedule.milestones`: each value of this axis is itself a list; write a list of lists, like [[1, 2], [3, 4]]");
    wrong!("[[grid]]\nepochs = 5\n[fixed]\nseed = 7\n", @"s/x.toml:7:1: `seed`: is derived from the cell and the replicate; raise `replicates` to train under more seeds");
    wrong!("[[grid]]\nepochs = 2020-01-01\n", @"s/x.toml:5:10: no key takes a date; quote it if it is a text");
    wrong!("replicates = 0\nmeasure = \"first\"\ntitle = 3\n[[grid]]\nepochs = 5\n", @r#"
s/x.toml:4:14: `sweep.replicates`: must be a whole number from 1 to 10000, not 0
s/x.toml:5:11: `sweep.measure`: must be "last", "best" or { median_of_last = k } with 1 <= k <= 1000, not "first"
s/x.toml:6:9: `sweep.title`: must be a text of at most 1000 bytes
"#);
    wrong!("measure = { median_of_last = 0 }\n[[grid]]\nepochs = 5\n", @r#"s/x.toml:4:11: `sweep.measure`: must be "last", "best" or { median_of_last = k } with 1 <= k <= 1000, not "median_of_last = 0""#);
    insta::assert_snapshot!(errors("[sweep]\nname = \"No spaces\"\n[[grid]]\nepochs = 5\n"), @"s/x.toml:2:8: `sweep.name`: must be 1 to 64 of a-z 0-9 _ -");
}

#[test]
fn needs_are_of_one_kind_of_device_and_one_host() {
    wrong!("needs = { cuda = 2 }\n[[grid]]\nepochs = 5\n", @"s/x.toml:4:9: `sweep.needs.cuda`: 2 GPUs are for programs; the built-in trainer trains on one: `cuda = 1`");
    wrong!("needs = { cuda = 1, cpu = true }\n[[grid]]\nepochs = 5\n", @"s/x.toml:4:27: `sweep.needs.cpu`: a job runs on devices of one kind, and `cuda` is set too");
    wrong!("needs = \"cuda\"\n[[grid]]\nepochs = 5\n", @r#"s/x.toml:4:9: `sweep.needs`: must be a table, like { cuda = 1, memory = "10GiB", cpus = 4 }"#);
    wrong!("needs = { cuda = 0, memory = 10, cpus = 0, gpu = 1 }\n[[grid]]\nepochs = 5\n", @r#"
s/x.toml:4:18: `sweep.needs.cuda`: must be a number of GPUs from 1 to 1024, not 0; leave it out for none
s/x.toml:4:30: `sweep.needs.memory`: must be a size like "10GiB" or "512MiB", not 10
s/x.toml:4:41: `sweep.needs.cpus`: must be a whole number from 1 to 65536, not 0
s/x.toml:4:44: `sweep.needs.gpu`: unknown key; did you mean `cpu`?
"#);
}

#[test]
fn expressions_are_checked_before_anything_starts() {
    wrong!("[[grid]]\n\"optimizer.lr\" = \"0.1 * batch_szie / 128\"\n", @r#"s/x.toml:5:25: `optimizer.lr`: in "0.1 * batch_szie / 128": `batch_szie`: unknown key; did you mean `batch_size`?"#);
    wrong!("[[grid]]\n\"optimizer.lr\" = [0.1, \"0.1 * (2\"]\n", @r#"s/x.toml:5:33: `optimizer.lr`: in "0.1 * (2": ends where an operator or `)` should be"#);
    wrong!("[[grid]]\nepochs = \"batch_size / 5\"\nbatch_size = [10, 12]\n", @r#"s/x.toml:5:11: `epochs`: "batch_size / 5" must be a whole number from 1 to 2147483648, not 2.4 (in the cell epochs = "batch_size / 5", batch_size = 12)"#);
    wrong!("[[grid]]\nepochs = \"'ten'\"\n", @r#"s/x.toml:5:11: `epochs`: "'ten'" must be a whole number from 1 to 2147483648, not "ten""#);
    wrong!("[[grid]]\nepochs = \"steps * 2\"\n", @r#"s/x.toml:5:11: `epochs`: in "steps * 2": `steps` has no value here; set it in the recipe, [fixed] or an axis"#);
    wrong!("[[grid]]\nepochs = \"batch_size\"\nbatch_size = \"2 * epochs\"\n", @"s/x.toml:5:11: `epochs`: depends on itself: epochs -> batch_size -> epochs");
    wrong!("[[grid]]\n\"optimizer.lr\" = \"optimizer.lr * 2\"\n", @"s/x.toml:5:19: `optimizer.lr`: depends on itself: optimizer.lr -> optimizer.lr");
    wrong!("[[grid]]\n\"optimizer.lr\" = \"model.preact_stage * 2\"\n", @r#"s/x.toml:5:19: `optimizer.lr`: in "model.preact_stage * 2": `model.preact_stage` is a list, which no expression reads"#);
    wrong!("[[grid]]\nepochs = [5, 6]\nexclude = [\"epochs\", \"epoch == 5\", \"epochs = 5\", 7]\n", @r#"
s/x.toml:6:23: `exclude`: in "epoch == 5": `epoch`: unknown key; did you mean `epochs`?
s/x.toml:6:44: `exclude`: in "epochs = 5": `=` compares nothing; write `==`
s/x.toml:6:50: `exclude`: must be an expression, like "batch_size > 64"
"#);
    wrong!("[[grid]]\nepochs = [5, 6]\nexclude = \"epochs + 1\"\n", @r#"
s/x.toml:6:12: `exclude`: "epochs + 1" must be true or false, not 6 (in the cell epochs = 5)
s/x.toml:6:12: `exclude`: "epochs + 1" must be true or false, not 7 (in the cell epochs = 6)
"#);
    // Escapes shift columns, so the place of the whole text is named.
    wrong!("[[grid]]\n\"optimizer.lr\" = \"0.1\\t* batch_szie\"\n", @r#"s/x.toml:5:18: `optimizer.lr`: in "0.1	* batch_szie": `batch_szie`: unknown key; did you mean `batch_size`?"#);
}

#[test]
fn grids_must_make_sense() {
    wrong!("", @"s/x.toml: `grid`: is missing; add a [[grid]] block with at least one axis");
    wrong!("[[grid]]\n", @"s/x.toml:4:1: `grid`: has no axis; give at least one key with its values, like epochs = [10]");
    wrong!("[[grid]]\nexclude = \"epochs == 5\"\n", @"s/x.toml:4:1: `grid`: has no axis; give at least one key with its values, like epochs = [10]");
    wrong!("[[grid]]\nepochs = []\n", @"s/x.toml:5:10: `epochs`: is an axis without values; give some, or remove it");
    wrong!("grid = 5\n", @r#"
s/x.toml: `grid`: is missing; add a [[grid]] block with at least one axis
s/x.toml:4:1: `sweep.grid`: unknown key; the keys are `name`, `title`, `recipe`, `replicates`, `measure`, `needs`
"#);
    wrong!("[[grid]]\noptimizer.lr = [0.1]\n\"optimizer.lr\" = [0.2]\nzip = { optimizer.lr = [1] }\n", @r#"
s/x.toml:6:1: `optimizer.lr`: is an axis of this block already; join the two, or begin another [[grid]]
s/x.toml:7:7: `optimizer.lr`: is an axis of this block already; join the two, or begin another [[grid]]
"#);
    wrong!("[[grid]]\nepochs = 5\nepochs = 6\n", @"s/x.toml:6:1: `epochs`: duplicate key");
    wrong!("[[grid]]\nzip = { epochs = [1, 2], batch_size = [1, 2, 3] }\n", @"s/x.toml:5:39: `batch_size`: has 3 values, but `epochs` in the same zip has 2");
    wrong!("[[grid]]\nzip = { epochs = [1, 2], batch_size = \"epochs * 2\" }\n", @"s/x.toml:5:39: `batch_size`: must be a list here; one value or expression for all goes beside `zip`, as an axis of its own");
    wrong!("[[grid]]\nzip = {}\n", @"s/x.toml:5:7: `zip`: pairs nothing; give it two keys or more");
    wrong!("[[grid]]\nzip = [1, 2]\n", @r#"
s/x.toml:5:8: `zip`: must be a table of keys with equally long lists
s/x.toml:5:11: `zip`: must be a table of keys with equally long lists
"#);
    wrong!("[[grid]]\nepochs = [5, 6]\nexclude = \"epochs > 1\"\n", @"s/x.toml:6:12: `exclude`: removes every cell; nothing is left to train");
    wrong!("[fixed]\nepochs = 5\n\"epochs\" = 6\n[[grid]]\nbatch_size = 5\n", @"s/x.toml:6:1: `epochs`: duplicate key");
    wrong!("[fixed]\noptimizer.lr = 5\n\"optimizer.lr\" = 6\n[[grid]]\nbatch_size = 5\n", @"s/x.toml:6:1: `optimizer.lr`: is set twice; first in line 5");
}

#[test]
fn a_grid_is_counted_before_it_is_made() {
    let values = (1..=1001)
        .map(|n| n.to_string())
        .collect::<Vec<_>>()
        .join(", ");
    let axis = |key: &str| format!("{key} = [{values}]\n");
    let text = format!(
        "[[grid]]\n{}{}{}",
        axis("batch_size"),
        axis("epochs"),
        axis("model.depth")
    );
    wrong!(&text, @"s/x.toml:4:1: `grid`: makes 3009009003 jobs, 1003003001 cells x 3 replicates; a sweep has at most 1000000, counted before `exclude`");
    let huge = ["params.a", "params.b", "params.c", "params.d", "params.e"]
        .map(axis)
        .concat();
    let many: String = (0..20).map(|n| axis(&format!("params.p{n}"))).collect();
    assert!(
        errors(&with_head(&format!(
            "[fixed]\ntrainer.null = true\n[[grid]]\n{huge}{many}"
        )))
        .contains("at most 1000000")
    );
}

#[test]
fn cells_that_cannot_be_trained_are_reported_at_what_set_the_key() {
    wrong!("[[grid]]\n\"model.depth\" = [8, 19]\nbatch_size = [1, 2]\n", @"s/x.toml:5:21: `model.depth`: must be 6n+2 for this block, not 19; 14 would do (in 2 cells, first model.depth = 19, batch_size = 1)");
    wrong!("[fixed]\nmodel.depth = 19\n[[grid]]\nbatch_size = [1, 2]\n", @"s/x.toml:5:15: `model.depth`: must be 6n+2 for this block, not 19; 14 would do");
    wrong!("[fixed]\nghost_batch_size = 8\n[[grid]]\nbatch_size = [16, 20, 30]\n", @r#"
s/x.toml:5:20: `ghost_batch_size`: 8 does not divide `batch_size` = 20 (in the cell batch_size = 20)
s/x.toml:5:20: `ghost_batch_size`: 8 does not divide `batch_size` = 30 (in the cell batch_size = 30)
"#);
    wrong!("[fixed.augmentation]\nmixup.alpha = 1\ncutmix.alpha = 1\n[[grid]]\nbatch_size = [16]\n", @"s/x.toml:6:16: `augmentation.cutmix`: contradicts `augmentation.mixup`; a batch is mixed in one way");
    wrong!("[[grid]]\n\"model.name\" = [\"resnet_preact\", \"wrn\"]\n", @r#"s/x.toml:3:10: `model.widening_factor`: is missing; set it in the recipe, [fixed] or an axis (in the cell model.name = "wrn")"#);
    wrong!("[[grid]]\nbatch_size = 8\n\"schedule.gamma\" = [0.1]\n\"schedule.name\" = [\"cosine\", \"multistep\"]\n\"schedule.milestones\" = [[1, 2]]\n", @r#"
s/x.toml:6:21: `schedule.gamma`: `cosine` has no such option; it takes: min_lr (in the cell batch_size = 8, schedule.gamma = 0.1, schedule.name = "cosine", schedule.milestones = [1,2])
s/x.toml:8:26: `schedule.milestones`: `cosine` has no such option; it takes: min_lr (in the cell batch_size = 8, schedule.gamma = 0.1, schedule.name = "cosine", schedule.milestones = [1,2])
"#);
    insta::assert_snapshot!(errors("[sweep]\nname = \"x\"\n[[grid]]\nepochs = 5\n"), @r#"
s/x.toml:1:2: `dataset.name`: is missing; set it in the recipe, [fixed] or an axis
s/x.toml:1:2: `model.name`: is missing; set it in the recipe, [fixed] or an axis
s/x.toml:1:2: `batch_size`: is missing; set it in the recipe, [fixed] or an axis
s/x.toml:1:2: `optimizer.lr`: is missing; set it in the recipe, [fixed] or an axis
"#);
}

#[test]
fn a_fixed_budget_contradicts_an_axis_over_the_other() {
    wrong!("[fixed]\nepochs = 5\n[[grid]]\nsteps = [10]\n", @"s/x.toml:7:10: `steps`: excludes `epochs`; the budget is one of them");
}

#[test]
fn an_option_that_no_name_takes_is_not_dropped_silently() {
    wrong!("[fixed]\nschedule.power = 2\n[[grid]]\n\"schedule.name\" = [\"cosine\", \"constant\"]\n", @"s/x.toml:5:18: `schedule.power`: no value of `schedule.name` in this sweep takes it; it is an option of: polynomial");
}

#[test]
fn after_twenty_errors_the_rest_is_left_out() {
    let values: Vec<_> = (1..500).map(|n| (6 * n + 3).to_string()).collect();
    let text = format!("[[grid]]\n\"model.depth\" = [{}]\n", values.join(", "));
    assert_eq!(errors(&with_head(&text)).lines().count(), 20);
}

#[test]
fn recipes_are_named_when_they_are_wrong() {
    let with = |recipe: &str| {
        errors(&format!(
            "[sweep]\nname = \"x\"\nrecipe = \"{recipe}\"\n[[grid]]\nbatch_size = 5\n"
        ))
    };
    insta::assert_snapshot!(with("wrong.toml"), @"s/wrong.toml:3:7: `model.dept`: unknown key; did you mean `model.depth`?");
    insta::assert_snapshot!(with("loop.toml"), @"s/loop2.toml:2:10: `parent`: is its own parent: loop.toml -> loop2.toml -> loop.toml");
    insta::assert_snapshot!(with("none.toml"), @"s/x.toml:3:10: `sweep.recipe`: cannot read `s/none.toml`: no such file");
    wrong!("[[grid]]\nepochs = 5\n[reference]\nfile = \"none.csv\"\n", @"s/x.toml:7:8: `reference.file`: cannot read `s/none.csv`: no such file");
    wrong!("[[grid]]\nepochs = 5\n[reference]\npath = \"none.csv\"\n", @r#"
s/x.toml:6:1: `reference.file`: must be the path of a file
s/x.toml:7:1: `reference.path`: unknown key; the keys are `file`
"#);
}

#[test]
fn tables_are_held_to_parameters_and_measures() {
    wrong!("[[grid]]\nepochs = 5\n[table]\nrows = [\"epoch\", 3]\ncolumns = [\"tset_error\", \"colour\"]\n", @r#"
s/x.toml:7:9: `table.rows`: `epoch`: unknown key; did you mean `epochs`?
s/x.toml:7:18: `table.rows`: must be a name or a list of names
s/x.toml:8:12: `table.columns`: `tset_error`: no such parameter or measure; did you mean `test_error`?
s/x.toml:8:26: `table.columns`: `colour`: no such parameter or measure; the measures are `test_error`, `test_loss`, `best_test_error`, `train_time`, `median_test_error`, `train_loss`, `train_error`, `images_per_second`, `distance`, and `metrics.NAME` for any other number that trainings send
"#);
    wrong!("[[grid]]\nepochs = 5\n[table]\nrows = \"epochs\"\ncell = \"train_tim\"\n", @r#"
s/x.toml:8:8: `table.cell`: `train_tim`: no such measure; did you mean `train_time`?
s/x.toml:8:8: `table.cell`: makes a pivot, which needs `rows` and `columns` too
"#);
    wrong!("[[grid]]\nepochs = 5\n[table]\nrows = \"epochs\"\ncell = \"test_error\"\n", @"s/x.toml:8:8: `table.cell`: makes a pivot, which needs `rows` and `columns` too");
    wrong!("[[grid]]\nepochs = 5\n[table]\nrows = []\ncolumns = [\"batch_size\", \"epochs\"]\ncell = \"test_error\"\n", @r#"
s/x.toml:7:8: `table.rows`: is empty
s/x.toml:8:11: `table.columns`: must be one parameter in a pivot; `rows` may be several
"#);
}

#[test]
fn broken_toml_is_reported_where_it_breaks() {
    wrong!("[[grid]\n", @"s/x.toml:4:8: unclosed array table, expected `]`");
    wrong!("[[grid]]\nepochs = [1, 2\n", @"s/x.toml:5:15: unclosed array, expected `]`");
    wrong!("[[grid]]\n\"optimizer.lr\" = [inf]\n", @"s/x.toml:5:19: a number must be finite");
    insta::assert_snapshot!(errors("ä = 1\n\"ö\" = é\n"), @"s/x.toml:1:1: invalid unquoted key, expected letters, numbers, `-`, `_`");
    insta::assert_snapshot!(errors(""), @r#"
s/x.toml: `sweep`: is missing; a sweep file begins with [sweep] and its name
s/x.toml: `grid`: is missing; add a [[grid]] block with at least one axis
"#);
}
