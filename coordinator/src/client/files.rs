//! Sweep files and their recipes, read from disk.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use swath_model::limits::FILE_BYTES_MAX;
use swath_model::message::Files;
use swath_report::visible;
use swath_sweep::{Expansion, SweepFile};

use super::failure::{Failure, Outcome};
use super::inputs;
use super::ship::Shipment;
use crate::settings::Context;

/// A sweep file with everything that it names.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) file: SweepFile,
    /// Its text and that of its recipes, by the names that it uses.
    pub(crate) files: Files,
    /// What travels with it.
    pub(crate) shipment: Option<Shipment>,
    /// What is most likely a slip, for people.
    pub(crate) warnings: Vec<String>,
    /// What the file leaves open, and how it is taken.
    pub(crate) notes: Vec<String>,
}

impl Loaded {
    /// Warns of what is most likely a slip, and says how the file is taken.
    pub(crate) fn warn(&self, context: &Context) {
        for warning in &self.warnings {
            context.printer.warn(warning);
        }
        for note in &self.notes {
            context.printer.note(note);
        }
    }
}

/// Reads and parses a sweep file. Recipes are read relative to it.
pub(crate) fn load(path: &Path) -> Outcome<Loaded> {
    let main = path.to_string_lossy().into_owned();
    let text = swath_files::read_text(path, FILE_BYTES_MAX as u64)
        .map_err(|error| Failure::usage(format!("cannot read {main}: {error}")))?;
    let directory = path.parent().unwrap_or(Path::new(""));
    let files = RefCell::new(BTreeMap::new());
    let read = |name: &str| {
        let text = swath_files::read_text(&directory.join(name), FILE_BYTES_MAX as u64)
            .map_err(|error| error.to_string());
        if let Ok(text) = &text {
            files.borrow_mut().insert(name.to_owned(), text.clone());
        }
        text
    };
    let parsed = SweepFile::parse(&main, &text, &read);
    let mut file = parsed.map_err(|errors| Failure::files(&errors))?;
    let mut files = files.into_inner();
    files.insert(main.clone(), text);
    let found = inputs::find(&file, directory).map_err(|error| Failure::files(&[error]))?;
    file.found(&found.inputs, &found.executable, found.directory.clone());
    let mut warnings = found.missed;
    warnings.extend(found.misplaced.map(|word| {
        format!(
            "`{word}` is beside {main}, but `trainer.command` is started in the directory of its \
             worker; name the program in [program], which starts it beside the file, or write the \
             whole path"
        )
    }));
    let notes = unranked(&file).into_iter().collect();
    Ok(Loaded {
        file,
        warnings,
        notes,
        shipment: found.shipment,
        files: Files {
            main,
            files,
            replicates: None,
            inputs: found.inputs,
            directory: found.directory,
            executable: found.executable,
        },
    })
}

/// Says which values of the metric count as better, where nothing tells that.
fn unranked(file: &SweepFile) -> Option<String> {
    let metric = visible(file.unranked_metric()?);
    let place = match file.program {
        Some(_) => "under [program]",
        None => "in `trainer`",
    };
    Some(format!(
        "the least `{metric}` counts as the best, because neither its name nor a `goal` says \
         otherwise; `goal = \"maximize\"` {place} turns that"
    ))
}

/// Warns of what is most likely a slip in a file that can be trained as it is.
pub(crate) fn warn(context: &Context, expansion: &Expansion<'_>) {
    for stray in expansion.strays() {
        context.printer.warn(stray.to_string());
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::client::exit::Exit;

    const SWEEP: &str = "\
[sweep]
name = \"small\"
recipe = \"recipes/base.toml\"

[[grid]]
\"optimizer.lr\" = [0.1, 0.2]
";

    #[test]
    fn recipes_travel_under_the_names_that_the_file_uses() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("recipes")).unwrap();
        let path = directory.path().join("small.toml");
        fs::write(&path, SWEEP).unwrap();
        let recipe = "epochs = 3\n";
        fs::write(directory.path().join("recipes/base.toml"), recipe).unwrap();
        let loaded = load(&path).unwrap();
        assert_eq!(loaded.files.main, path.to_string_lossy());
        assert_eq!(loaded.files.files["recipes/base.toml"], recipe);
        assert_eq!(loaded.files.files.len(), 2);
    }

    #[test]
    fn a_missing_file_is_named() {
        let failure = load(Path::new("no/such.toml")).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.lines[0].starts_with("cannot read no/such.toml: "));
    }

    /// A sweep file of a program in `code`, with these lines.
    fn program(directory: &Path, lines: &str) -> Outcome<Loaded> {
        let path = directory.join("small.toml");
        let text = format!(
            "[sweep]\nname = \"small\"\n[program]\ncommand = [\"sh\", \"run.sh\", \"{{x}}\"]\n\
             directory = \"code\"\n{lines}\n[[grid]]\nx = [1]\n"
        );
        fs::write(&path, text).unwrap();
        load(&path)
    }

    #[test]
    fn what_an_attempt_would_not_find_is_told_before() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        for (name, text) in [
            ("run.sh", ". lib/a.sh"),
            ("lib/a.sh", ""),
            ("train.py", "import model, os\nfrom lib import b\n"),
            ("model.py", ""),
            ("lib/__init__.py", ""),
            ("conf.yaml", ""),
        ] {
            let path = directory.join("code").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let refused = |lines: &str| {
            let failure = program(directory, lines).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage, "{failure:?}");
            failure.lines[0].replace(&*directory.to_string_lossy(), "/dir")
        };
        insta::assert_snapshot!(refused("ship = true\ninputs = [\"lib/*\"]"), @r#"/dir/small.toml:7:11: `program.inputs`: they leave out `run.sh`, which the command starts: each attempt runs in a copy of the inputs alone; add "run.sh" to them, or start a program that every worker has"#);
        insta::assert_snapshot!(refused("inputs = [\"lib/*.txt\"]"), @"/dir/small.toml:6:11: `program.inputs`: `lib/*.txt` matches no file in /dir/code");
        // However its path is written, and whatever does not travel.
        for lines in [
            "inputs = [\"lib/*\"]",
            "ship = true\ninputs = [\"lib/*\", \"./run.sh\"]",
            "ship = true",
        ] {
            assert_eq!(
                program(directory, lines).unwrap().warnings.len(),
                0,
                "{lines}"
            );
        }
        let told = |command: &str, lines: &str| {
            let path = directory.join("py.toml");
            let text = format!(
                "[sweep]\nname = \"py\"\n[program]\ncommand = {command}\ndirectory = \"code\"\n\
                 {lines}\n[[grid]]\nx = [1]\n"
            );
            fs::write(&path, text).unwrap();
            load(&path).map(|loaded| loaded.warnings.join("\n"))
        };
        let python = "[\"python3\", \"./train.py\", \"conf.yaml\", \"{x}\"]";
        insta::assert_snapshot!(told(python, "").unwrap(), @r#"
        `./train.py` imports lib/, which is none of its inputs, so an edit of it makes no new jobs; add `inputs = ["train.py", "lib/**/*.py"]` in [program]
        `./train.py` imports model.py, which is none of its inputs, so an edit of it makes no new jobs; add `inputs = ["train.py", "model.py"]` in [program]
        "#);
        insta::assert_snapshot!(told(python, "ship = true\ninputs = [\"train.py\", \"lib/**\"]").unwrap(), @r#"
        `./train.py` imports model.py, which does not travel with the sweep; add "model.py" to `inputs` in [program]
        `conf.yaml` of the command is a file here that does not travel with the sweep; if the program reads it, add it to `inputs`
        "#);
        let all = "ship = true\ninputs = [\"*.py\", \"lib/*\", \"conf.yaml\"]";
        assert_eq!(told(python, all).unwrap(), "");
        // An interpreter of this directory is none on a worker.
        let own = "[\"./run.sh\", \"train.py\", \"{x}\"]";
        let failure = told(own, "ship = true\ninputs = [\"train.py\"]").unwrap_err();
        assert!(
            failure.lines[0].contains("they leave out `./run.sh`"),
            "{failure:?}"
        );
    }

    #[test]
    fn a_script_that_is_not_there_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        fs::create_dir(directory.join("lib")).unwrap();
        for name in ["train.py", "lib/train.R", "run.sh"] {
            fs::write(directory.join(name), "").unwrap();
        }
        let told = |command: &str, lines: &str| {
            let path = directory.join("py.toml");
            let text = format!(
                "[sweep]\nname = \"py\"\n[program]\ncommand = {command}\narguments = \"flags\"\n\
                 {lines}\n[[grid]]\nx = [1]\n"
            );
            fs::write(&path, text).unwrap();
            let warnings = load(&path).unwrap().warnings.join("\n");
            warnings.replace(
                &*directory.canonicalize().unwrap().to_string_lossy(),
                "/dir",
            )
        };
        insta::assert_snapshot!(told("[\"python3\", \"trian.py\"]", ""), @"there is no file `trian.py` in /dir, where the program is started: its content takes no part in the names of jobs, and workers must have it; did you mean `train.py`?");
        insta::assert_snapshot!(told("[\"python3\", \"-u\", \"other.py\", \"gone.py\"]", ""), @"there is no file `other.py` in /dir, where the program is started: its content takes no part in the names of jobs, and workers must have it");
        insta::assert_snapshot!(told("[\"Rscript\", \"lib/trian.R\"]", ""), @"there is no file `lib/trian.R` in /dir, where the program is started: its content takes no part in the names of jobs, and workers must have it; did you mean `lib/train.R`?");
        insta::assert_snapshot!(told("[\"./rum.sh\"]", ""), @"there is no file `./rum.sh` in /dir, where the program is started: its content takes no part in the names of jobs, and workers must have it; did you mean `./run.sh`?");
        insta::assert_snapshot!(told("[\"python3\", \"trian.py\"]", "ship = true\ninputs = [\"*.py\"]"), @"there is no file `trian.py` in /dir, so none travels with the sweep: no attempt will find it; did you mean `train.py`?");
        for command in [
            "[\"python3\", \"train.py\", \"gone.py\"]",
            "[\"./run.sh\", \"gone.py\"]",
            "[\"python3\", \"-m\", \"train\"]",
            "[\"python3\", \"-c\", \"import os.py\"]",
            "[\"sh\", \"-c\", \"python3 gone.py\"]",
            "[\"python3.11\", \"{x}.py\"]",
            "[\"my_tool.py\"]",
        ] {
            assert_eq!(told(command, ""), "", "{command}");
        }
    }

    #[test]
    fn a_direction_that_nothing_tells_is_told() {
        let told = |lines: &str| {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("py.toml");
            let text = format!("[sweep]\nname = \"py\"\n{lines}\n[[grid]]\nparams.x = [1]\n");
            fs::write(&path, text).unwrap();
            load(&path).unwrap().notes.join("\n")
        };
        let program = |lines: &str| {
            told(&format!(
                "[program]\ncommand = [\"prog\"]\narguments = \"flags\"\n{lines}"
            ))
        };
        insta::assert_snapshot!(program("metric = \"speed\""), @r#"the least `speed` counts as the best, because neither its name nor a `goal` says otherwise; `goal = "maximize"` under [program] turns that"#);
        insta::assert_snapshot!(told("[fixed]\ntrainer = { command = [\"prog\"], metric = \"speed\" }"), @r#"the least `speed` counts as the best, because neither its name nor a `goal` says otherwise; `goal = "maximize"` in `trainer` turns that"#);
        for lines in [
            "",
            "metric = \"val/acc\"",
            "metric = \"neg_log_likelihood\"",
            "metric = \"speed\"\ngoal = \"minimize\"",
        ] {
            assert_eq!(program(lines), "", "{lines}");
        }
    }

    #[test]
    fn what_travels_lies_in_the_directory_of_the_program() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        fs::create_dir_all(directory.join("code/lib")).unwrap();
        fs::write(directory.join("code/run.sh"), "echo 1").unwrap();
        fs::write(directory.join("code/lib/a.py"), "a").unwrap();
        fs::write(directory.join("other.py"), "b").unwrap();
        // Its own file, as it is found without `inputs`.
        let loaded = program(directory, "ship = true").unwrap();
        let shipment = loaded.shipment.unwrap();
        assert_eq!((shipment.count, shipment.bytes), (1, 6));
        assert_eq!(shipment.size(), "1 file (6 B)");
        assert_eq!(loaded.file.launch.shipped.unwrap().directory, "code");
        let loaded = program(directory, "ship = true\ninputs = [\"**/*\"]").unwrap();
        assert_eq!(loaded.shipment.unwrap().count, 2);
        assert_eq!(loaded.files.executable.len(), 0);
        // Nothing travels unless the file says so.
        let loaded = program(directory, "inputs = [\"**/*\"]").unwrap();
        assert_eq!((loaded.shipment, loaded.file.launch.shipped), (None, None));
        assert_eq!(loaded.warnings.len(), 0);

        let refused = |lines: &str| {
            let failure = program(directory, lines).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage, "{failure:?}");
            failure.lines[0].replace(&*directory.to_string_lossy(), "/dir")
        };
        let link = directory.join("code/lib/link.py");
        std::os::unix::fs::symlink("../../other.py", &link).unwrap();
        insta::assert_snapshot!(refused("ship = true\ninputs = [\"run.sh\", \"lib/*\"]"), @"/dir/small.toml:6:8: `program.ship`: `lib/link.py` is /dir/other.py, outside of /dir/code; only what lies in that directory travels with a sweep");
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink("a.py", &link).unwrap();
        let loaded = program(directory, "ship = true\ninputs = [\"run.sh\", \"lib/*\"]").unwrap();
        assert_eq!(loaded.shipment.unwrap().count, 3);
        let large = fs::File::create(directory.join("code/large.bin")).unwrap();
        large.set_len((64 << 20) + 1).unwrap();
        insta::assert_snapshot!(refused("ship = true\ninputs = [\"**/*\"]"), @"/dir/small.toml:7:11: `program.inputs`: the files are more than 10000, or larger than 64 MiB together; name the code only, and data in [local]");
        fs::remove_file(directory.join("code/run.sh")).unwrap();
        insta::assert_snapshot!(refused("ship = true"), @r#"/dir/small.toml:6:8: `program.ship`: there is nothing to ship: the command names no file in /dir/code; name the files that the program is made of, like inputs = ["train.py", "model/**/*.py"]"#);
        insta::assert_snapshot!(refused("ship = \"yes\""), @"/dir/small.toml:6:8: `program.ship`: must be true or false");
    }
}
