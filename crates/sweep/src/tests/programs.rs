//! Programs of users', as their files name them.

use swath_model::keep::Keep;
use swath_model::program::Arguments;
use swath_model::seed::Seeds;

use super::*;

const HEAD: &str = "[sweep]\nname = \"x\"\n[program]\ncommand = [\"t\", \"{lr}\"]\n";

/// The cell texts of a file with a program.
fn texts(rest: &str) -> Vec<String> {
    let cells = cells(&format!("{HEAD}{rest}"));
    cells.into_iter().map(|cell| cell.text).collect()
}

fn wrong(rest: &str) -> String {
    errors(&format!("{HEAD}{rest}"))
}

#[test]
fn bare_keys_are_parameters_and_keep_their_kinds() {
    let rest = "[fixed]\nhalf = \"= 0.5 * lr\"\ndouble = \"= 2 * n\"\nn = 3\n\
                [[grid]]\nlr = [1.0, 1, \"1\", true]\nexclude = \"lr == 1 && half == 0.5 && n > 3\"\n";
    let wrong = errors(&format!("{HEAD}{rest}"));
    assert!(wrong.contains("`params.half`"), "{wrong}");
    let rest = "[fixed]\ndouble = \"= 2 * lr\"\n[[grid]]\nlr = [1.0, 1, 0.5]\nexclude = \"lr > 0.9 && double > 9\"\n";
    insta::assert_snapshot!(texts(rest).join("\n"), @r#"
{"params":{"double":2.0,"lr":1.0},"trainer":{"arguments":"template","command":["t","{lr}"],"seeds":"distinct"}}
{"params":{"double":2,"lr":1},"trainer":{"arguments":"template","command":["t","{lr}"],"seeds":"distinct"}}
{"params":{"double":1.0,"lr":0.5},"trainer":{"arguments":"template","command":["t","{lr}"],"seeds":"distinct"}}
"#);
    let both =
        texts("arguments = \"flags\"\n[fixed]\nparams.a = 1\nb.c = 2\n[[grid]]\nparams.lr = [1]\n");
    insta::assert_snapshot!(both.join("\n"), @r#"{"params":{"a":1,"b":{"c":2},"lr":1},"trainer":{"arguments":"flags","command":["t","{lr}"],"seeds":"distinct"}}"#);
    let mixed = texts("arguments = \"flags\"\n[[grid]]\nlr = [1, \"1\", true, \"true\", [1, 2]]\n");
    assert_eq!(mixed.len(), 5);
}

#[test]
fn a_program_of_an_older_file_is_the_same_with_the_spec_on_stdin() {
    let text = "[sweep]\nname = \"x\"\n[fixed]\ntrainer = { command = [\"t\", \"{lr}\"] }\n[[grid]]\nparams.lr = [1.0]\n";
    let cells = cells(text);
    let Work::Command(command) = cells[0].spec.work() else {
        panic!("{:?}", cells[0].spec);
    };
    assert_eq!(
        (command.arguments, &command.seeds),
        (None, &Seeds::Distinct)
    );
    insta::assert_snapshot!(cells[0].text, @r#"{"params":{"lr":1},"trainer":{"command":["t","{lr}"],"seeds":"distinct"}}"#);
}

#[test]
fn a_section_is_read_whole() {
    let file = parsed(
        "[sweep]\nname = \"x\"\n[program]\ncommand = [\"python\", \"t.py\"]\narguments = \"overrides\"\n\
         metric = \"val/acc\"\ngoal = \"maximize\"\nread = { stdout = '(?<val/acc>.*)' }\n\
         inputs = [\"t.py\", \"conf/*.yaml\"]\nenvironment = { A = \"1\" }\ndirectory = \"..\"\n\
         needs = { cuda = 1 }\ntimeout = \"6h\"\nsilence = \"30m\"\nseeds = [5, 7, 9]\n\
         keep = \"last\"\n\
         [local]\ndata_dir = \"/data\"\n[[grid]]\nlr = [0.1]\n[table]\nrows = \"lr\"\n",
    );
    assert_eq!(file.replicates, 3);
    assert_eq!(file.keep, Keep::Last);
    assert_eq!(file.needs.device, Some(DeviceKind::Cuda));
    assert_eq!(file.launch.timeout_ms, Some(21_600_000));
    assert_eq!(file.launch.silence_ms, Some(1_800_000));
    assert_eq!(file.launch.local["data_dir"], "\"/data\"");
    assert_eq!(file.layout.parameters().collect::<Vec<_>>(), ["params.lr"]);
    let program = file.program.as_ref().unwrap();
    assert_eq!(program.directory.path, "..");
    assert_eq!(program.inputs.as_ref().map(Vec::len), Some(2));
    let expansion = expand(&file).unwrap();
    let cell = expansion.cells().next().unwrap();
    let Work::Command(command) = cell.spec.work() else {
        panic!("{:?}", cell.spec);
    };
    assert_eq!(command.arguments, Some(Arguments::Overrides));
    let seeds: Vec<u64> = cell.jobs(3).map(|job| job.seed).collect();
    assert_eq!(seeds, [5, 7, 9]);
}

#[test]
fn what_is_kept_has_four_names() {
    insta::assert_snapshot!(
        wrong("keep = \"newest\"\n[[grid]]\nlr = [1]\n"),
        @r#"s/x.toml:5:8: `program.keep`: must be "all", "last", "best" or "none""#
    );
}

#[test]
fn a_name_in_a_command_without_a_parameter_is_told_where_the_command_is() {
    let text = "[sweep]\nname = \"x\"\n[program]\ncommand = [\"t\", \"{lrr}\", \"{lr}\"]\n[[grid]]\nlr = [1]\n";
    insta::assert_snapshot!(errors(text), @"s/x.toml:4:11: `program.command`: `{lrr}` names no parameter; did you mean `{lr}`?");
}

#[test]
fn what_changes_nothing_that_is_computed_is_no_part_of_a_jobs_name() {
    let grid = "[[grid]]\nlr = [0.1]\n";
    let plain = texts(grid);
    for rest in [
        "timeout = \"1h\"\n",
        "directory = \"sub\"\n",
        "keep = \"none\"\n",
        "goal = \"maximize\"\n",
        "unit = \"ms\"\n",
        "[local]\nx = 1\n",
    ] {
        assert_eq!(texts(&format!("{rest}{grid}")), plain, "{rest}");
    }
    for rest in [
        "environment = { A = \"1\" }\n",
        "seeds = \"common\"\n",
        "metric = \"m\"\n",
    ] {
        assert_ne!(texts(&format!("{rest}{grid}")), plain, "{rest}");
    }
    let digest = |rest: &str| {
        let file = parsed(&format!("{HEAD}{rest}{grid}"));
        expand(&file).unwrap().digest()
    };
    assert_eq!(digest(""), digest("keep = \"all\"\n"));
    assert_ne!(digest(""), digest("keep = \"best\"\n"));
    assert_ne!(digest(""), digest("timeout = \"1h\"\n"));
}

#[test]
fn a_unit_is_a_short_text() {
    let with = |unit: &str| format!("{HEAD}unit = {unit}\n[[grid]]\nlr = [0.1]\n");
    let whole = crate::expand_whole(&parsed(&with("\"µs/image\"")));
    assert_eq!(whole.unwrap().unit.as_deref(), Some("µs/image"));
    let seventeen = format!("\"{}\"", "m".repeat(17));
    for wrong in ["\"\"", "\" ms\"", "\"m\\u001b\"", "1", &seventeen] {
        let said = errors(&with(wrong));
        let wanted = "`program.unit`: must be a text of 1 to 16 printable characters";
        assert!(said.contains(wanted), "{wrong}: {said}");
    }
}

#[test]
fn the_files_of_a_program_are_part_of_a_jobs_name() {
    let text = format!("{HEAD}[[grid]]\nlr = [0.1]\n");
    let with = |content: Option<&[u8]>| {
        let mut file = parsed(&text);
        let inputs = content.map(|it| ("t.py".to_owned(), swath_model::program::input_digest(it)));
        file.found(
            &inputs.into_iter().collect(),
            &BTreeSet::new(),
            Some("/x".to_owned()),
        );
        assert_eq!(file.launch.directory.as_deref(), Some("/x"));
        let cell = expand(&file).unwrap().cells().next().unwrap();
        cell.digest
    };
    assert_ne!(with(None), with(Some(b"1")));
    assert_ne!(with(Some(b"2")), with(Some(b"1")));
    assert_eq!(with(Some(b"1")), with(Some(b"1")));
}

#[test]
fn files_travel_where_the_file_says_so() {
    let shipped = |lines: &str| {
        let mut file = parsed(&format!("{HEAD}{lines}\n[[grid]]\nlr = [0.1]\n"));
        let executable = BTreeSet::from(["run.sh".to_owned()]);
        let digest = swath_model::program::input_digest(b"");
        let inputs = ["run.sh", "a.py"].map(|path| (path.to_owned(), digest));
        file.found(&inputs.into(), &executable, Some("/x".to_owned()));
        file.launch.shipped
    };
    assert_eq!(shipped(""), None);
    assert_eq!(shipped("ship = false"), None);
    let found = shipped("ship = true").unwrap();
    assert_eq!(found.directory, "");
    assert_eq!(found.executable.len(), 1);
    // The place of the directory is kept, as far as it is below the sweep file.
    for (directory, place) in [
        ("./a//b/.", "a/b"),
        ("../a", ""),
        ("/a/b", ""),
        ("a/../b", ""),
    ] {
        let found = shipped(&format!("ship = true\ndirectory = \"{directory}\""));
        assert_eq!(found.unwrap().directory, place, "{directory}");
    }
    let text = format!("{HEAD}ship = 1\n[[grid]]\nlr = [0.1]\n");
    insta::assert_snapshot!(errors(&text), @"s/x.toml:5:8: `program.ship`: must be true or false");
}

#[test]
fn ranges_are_axes() {
    let axis = |range: &str| {
        let text = format!("{HEAD}[[grid]]\nlr = {range}\n");
        let file = parsed(&text);
        let grid = expand(&file).unwrap().grid().clone();
        grid.axes[0]
            .values
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        axis("{ log = [1e-4, 1e-1], points = 4 }"),
        "0.0001 0.001 0.01 0.1"
    );
    assert_eq!(axis("{ log = [1, 1000], points = 4 }"), "1 10 100 1000");
    assert_eq!(axis("{ log = [1.0, 100], points = 3 }"), "1.0 10.0 100.0");
    assert_eq!(
        axis("{ linear = [0, 1], points = 5 }"),
        "0.0 0.25 0.5 0.75 1.0"
    );
    assert_eq!(axis("{ from = 1, to = 10, step = 3 }"), "1 4 7 10");
    assert_eq!(axis("{ from = 0.1, to = 0.3, step = 0.1 }"), "0.1 0.2 0.3");
    assert_eq!(axis("{ from = 3, to = 1, step = -1 }"), "3 2 1");
    // Of the built-in trainer too, and zipped.
    let both = cells(&with_head(
        "[[grid]]\nbatch_size = { from = 2, to = 4, step = 1 }\n",
    ));
    assert_eq!(both.len(), 3);
    let zipped = texts(
        "arguments = \"flags\"\n[[grid]]\nzip = { a = { from = 1, to = 2, step = 1 }, b = [3, 4] }\nlr = 1\n",
    );
    assert_eq!(zipped.len(), 2);
}

#[test]
fn mistakes_are_told_where_they_are() {
    let grid = "[[grid]]\nlr = [0.1]\n";
    let mut told = Vec::new();
    for rest in [
        "[[grid]]\nlr = { min = 0, max = 1 }\n".to_owned(),
        "[[grid]]\nlr = { values = [1, 2] }\n".to_owned(),
        "[[grid]]\nlr = { logspace = [-4, -1], num = 4 }\n".to_owned(),
        "[[grid]]\nlr = { choice = [1, 2] }\n".to_owned(),
        "[[grid]]\nlr = \"1e-4..1e-1\"\n".to_owned(),
        "[[grid]]\nlr = [\"tune.loguniform(1e-4, 1e-1)\"]\n".to_owned(),
        "[[grid]]\nlr = { log = [0, 1], points = 3 }\n".to_owned(),
        "[[grid]]\nlr = { linear = [0, 1] }\n".to_owned(),
        "[[grid]]\nlr = [1]\nmomentum = [0, 1]\n".to_owned(),
        "[[grid]]\nlearning_rate = [1]\n".to_owned(),
        "[[grid]]\nlr = [1]\nseed = [1]\n".to_owned(),
        format!("[fixed]\nwarmup = \"lr * 2\"\n{grid}"),
        format!("arguments = \"flags\"\n{grid}[table]\nrows = [\"lrr\"]\n"),
        format!("arguments = \"flags\"\n{grid}[table]\nrows = [\"params.zzz\", \"batch_size\"]\n"),
        format!(
            "arguments = \"flags\"\n{grid}[table]\ncolumns = [\"lrr\", \"test_eror\", \"zzz\"]\n"
        ),
        format!(
            "arguments = \"flags\"\n{grid}[table]\nrows = \"lr\"\ncolumns = \"z\"\ncell = \"loss\"\n"
        ),
        "arguments = \"flags\"\n[[grid]]\nlr = [0.1]\nlabel = \"at {lrr}\"\n".to_owned(),
        format!("[fixed]\ntrainer.command = [\"x\"]\n{grid}"),
        format!("timeout = 5\n{grid}"),
        format!("inputs = \"../x.py\"\n{grid}"),
        format!("seeds = [1, 1]\n{grid}"),
        format!("read = {{ stdout = \"a\" }}\n{grid}"),
        format!("metric = \"m\"\nread = {{ stdout = \"(?<n>.)\" }}\n{grid}"),
        format!("argments = \"flags\"\n{grid}"),
    ] {
        told.push(wrong(&rest));
    }
    told.push(errors(
        "[sweep]\nname = \"x\"\n[program]\ncommand = \"python t.py\"\n[[grid]]\nlr = [1]\n",
    ));
    told.push(errors("[sweep]\nname = \"x\"\n[program]\ncommand = [\"~/t.py\"]\narguments = \"flags\"\n[[grid]]\nlr = [1]\n"));
    told.push(errors("[sweep]\nname = \"x\"\nreplicates = 4\n[program]\ncommand = [\"t\"]\narguments = \"flags\"\nseeds = [1, 2]\n[[grid]]\nlr = [1]\n"));
    told.push(errors(
        "[sweep]\nname = \"x\"\n[[grid]]\nparams.lr = [1]\nparams.wd = [1]\n",
    ));
    told.push(errors(
        "[sweep]\nname = \"x\"\n[local]\na = 1\n[[grid]]\nepochs = [1]\n",
    ));
    insta::assert_snapshot!(told.join("\n"), @r#"
s/x.toml:6:6: `params.lr`: `min`, `max` cannot make a range; write { log = [1e-4, 0.1], points = 4 }, { linear = [0, 1], points = 5 }, { from = 1, to = 10, step = 3 }, or a list of the values
s/x.toml:6:6: `params.lr`: `values` cannot make a range; write { log = [1e-4, 0.1], points = 4 }, { linear = [0, 1], points = 5 }, { from = 1, to = 10, step = 3 }, or a list of the values
s/x.toml:6:6: `params.lr`: `logspace`, `num` cannot make a range; write { log = [1e-4, 0.1], points = 4 }, { linear = [0, 1], points = 5 }, { from = 1, to = 10, step = 3 }, or a list of the values
s/x.toml:6:6: `params.lr`: `choice` cannot make a range; write { log = [1e-4, 0.1], points = 4 }, { linear = [0, 1], points = 5 }, { from = 1, to = 10, step = 3 }, or a list of the values
s/x.toml:6:6: `params.lr`: "1e-4..1e-1" looks like a range: write { log = [1e-4, 0.1], points = 4 }, { linear = [0, 1], points = 5 }, { from = 1, to = 10, step = 3 }, or a list of the values, or write "= '1e-4..1e-1'" if the program is to get this text
s/x.toml:6:7: `params.lr`: "tune.loguniform(1e-4, 1e-1)" looks like a range: write { log = [1e-4, 0.1], points = 4 }, { linear = [0, 1], points = 5 }, { from = 1, to = 10, step = 3 }, or a list of the values, or write "= 'tune.loguniform(1e-4, 1e-1)'" if the program is to get this text
s/x.toml:6:6: `params.lr`: `log` must be between two numbers greater than 0
s/x.toml:6:6: `params.lr`: is no whole range; write { log = [1e-4, 0.1], points = 4 }, { linear = [0, 1], points = 5 }, { from = 1, to = 10, step = 3 }, or a list of the values
s/x.toml:5:1: `params.momentum`: never reaches the program: no word of its command has `{momentum}`; add one, or hand over all parameters by `arguments = "flags"` ("overrides", "none")
s/x.toml:5:1: `params.learning_rate`: never reaches the program: no word of its command has `{learning_rate}`; add one, or hand over all parameters by `arguments = "flags"` ("overrides", "none")
s/x.toml:7:1: `seed`: Swath gives each replicate its own: write `{seed}` in the command, and `seeds = [0, 1, 2]` or `seeds = "common"` in [program] to choose them
s/x.toml:6:10: `params.warmup`: "lr * 2" looks like an expression: write "= lr * 2" to compute it, or write "= 'lr * 2'" if the program is to get this text
s/x.toml:9:9: `table.rows`: `lrr`: no parameter of this sweep; did you mean `lr`? the parameters are `lr`
s/x.toml:9:9: `table.rows`: `zzz`: no parameter of this sweep; the parameters are `lr`
s/x.toml:9:23: `table.rows`: `batch_size`: no parameter of this sweep; the parameters are `lr`
s/x.toml:9:12: `table.columns`: `lrr`: no such parameter or measure; did you mean `lr`?
s/x.toml:9:19: `table.columns`: `test_eror`: no such parameter or measure; did you mean `test_error`?
s/x.toml:9:32: `table.columns`: `zzz`: no such parameter or measure; the measures are `test_error`, `test_loss`, `best_test_error`, `train_time`, `median_test_error`, `train_loss`, `train_error`, `images_per_second`, `distance`, and `metrics.NAME` for any other number that trainings send
s/x.toml:10:11: `table.columns`: `z`: no parameter of this sweep; the parameters are `lr`
s/x.toml:11:8: `table.cell`: `loss`: no such measure; the measures are `test_error`, `test_loss`, `best_test_error`, `train_time`, `median_test_error`, `train_loss`, `train_error`, `images_per_second`, `distance`, and `metrics.NAME` for any other number that trainings send
s/x.toml:8:9: `label`: `lrr`: no parameter of this sweep; did you mean `lr`? the parameters are `lr`
s/x.toml:6:1: `trainer`: the program is named by [program] already; remove one of the two
s/x.toml:5:11: `program.timeout`: must be a time, like "90s", "30m", "6h" or "1h30m"
s/x.toml:5:10: `program.inputs`: must be a list of files and patterns under the program's directory, like ["train.py", "model/**/*.py"]
s/x.toml:5:9: `program.seeds`: must be "distinct", "common" or a list of different whole numbers below 2147483648
s/x.toml:3:1: `program.metric`: is missing; name the metric that `read` finds
s/x.toml:6:8: `program.read`: no group of `stdout` is called `m`, the metric; name it like (?<m>\S+)
s/x.toml:5:1: `program.argments`: unknown key; did you mean `arguments`?
s/x.toml:4:11: `program.command`: must be a list of words, like ["python", "t.py"]; no shell takes it apart
s/x.toml:4:12: `program.command`: `~` is for shells; write the whole path
s/x.toml:3:14: `sweep.replicates`: is more than the 2 `seeds` of [program]; name more seeds
s/x.toml:3:1: `params.lr`: is a parameter of a program, and the sweep names none; add
  [program]
  command = ["python", "train.py"]
s/x.toml:3:2: `local`: holds parameters of a program; there is no [program]
"#);
}
