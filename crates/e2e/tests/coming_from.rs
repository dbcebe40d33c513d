//! The pages in `docs/coming_from`: their code is that of the examples, what
//! they count is counted, and the ways that need nothing installed end with the
//! same table.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use swath_e2e::{Process, Site, binary, rows};

/// Stands for the script of scikit-learn: the same command line, and the same
/// last line.
const STAND_IN: &str = "\
import sys

words = dict(zip(sys.argv[1::2], sys.argv[2::2]))
value = float(words['--lr']) * int(words['--batch-size']) / 20 + int(words['--seed']) ** 2 / 1000
print(f'epoch 9: loss 0.1, val_acc = 0.5')
print(f'epoch 10: loss 0.1, val_acc = {value:.4f}')
";

/// The median of each cell: that of the third seed.
fn expected() -> BTreeMap<String, String> {
    let cells = ["0.001", "0.01", "0.1"].map(|lr| [32, 128].map(|batch_size| (lr, batch_size)));
    let median = |(lr, batch_size): (&str, i32)| {
        let value = lr.parse::<f64>().expect("a number") * f64::from(batch_size) / 20.0 + 0.004;
        (format!("{lr} {batch_size}"), format!("{value:.4}"))
    };
    cells.into_iter().flatten().map(median).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file below a directory of the checkout, with its content.
fn files(directory: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join(directory)).expect("a directory") {
        let entry = entry.expect("an entry");
        let path = format!("{directory}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.clone(), read(&path)));
        }
    }
    found
}

/// The fenced blocks of all pages: page, language, text.
fn blocks() -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for (page, text) in files("docs/coming_from") {
        // Outside and inside of a block take turns.
        let parts = text.split("```").skip(1).step_by(2);
        found.extend(parts.map(|part| {
            let (language, block) = part.split_once('\n').expect("a language");
            (page.clone(), language.to_owned(), block.to_owned())
        }));
    }
    assert!(found.len() > 20, "the pages have moved");
    found
}

#[test]
fn the_code_of_the_pages_is_that_of_the_examples() {
    let examples = files("examples");
    for (page, language, block) in blocks() {
        let shown = match language.as_str() {
            "toml" | "yaml" | "python" | "sh" => {
                examples.iter().any(|(_, text)| text.contains(&block))
            }
            "diff" => {
                let difference = "diff -w -U0 examples/argparse/train.py \
                     examples/coming_from/wandb/train.py | tail -n +3 | grep -v '^@@'";
                shell(difference) == block
            }
            "console" | "text" => continue,
            other => panic!("{page}: nobody checks a block of `{other}`"),
        };
        assert!(shown, "{page} shows what is in no example:\n{block}");
    }
}

/// What a command prints in the checkout.
fn shell(command: &str) -> String {
    let done = Command::new("sh")
        .args(["-c", command])
        .current_dir(root())
        .output()
        .expect("sh");
    String::from_utf8_lossy(&done.stdout).into_owned()
}

#[test]
fn what_the_pages_count_is_so() {
    let mut counted = 0;
    for (page, language, block) in blocks() {
        let mut lines = block.lines().filter(|_| language == "console").peekable();
        while let Some(line) = lines.next() {
            let Some(command) = line
                .strip_prefix("$ ")
                .filter(|it| it.starts_with("diff ") || it.starts_with("grep "))
            else {
                continue;
            };
            let told = lines.next().unwrap_or_default();
            assert_eq!(shell(command).trim(), told, "{page}: {command}");
            counted += 1;
        }
    }
    assert_eq!(counted, 12);
}

/// The examples of the pages in a site, with the stand-in for the script.
fn site() -> Site {
    let site = Site::new();
    for (path, text) in files("examples/coming_from") {
        site.write(&path, &text);
    }
    for directory in ["argparse", "coming_from/shell", "coming_from/slurm"] {
        site.write(&format!("examples/{directory}/train.py"), STAND_IN);
    }
    site
}

/// Starts a script of bash in its directory.
fn bash(site: &Site, script: &str) -> Command {
    let path = site.path().join("examples/coming_from").join(script);
    let mut command = Command::new("bash");
    command
        .arg(&path)
        .current_dir(path.parent().expect("a directory"));
    command
}

/// What a script prints: a cell and its median per line.
fn printed(mut command: Command) -> BTreeMap<String, String> {
    let done = command.output().expect("bash");
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{told}");
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let lines = text.lines().filter_map(|line| line.rsplit_once(' '));
    let lines = lines.map(|(cell, median)| (cell.to_owned(), median.to_owned()));
    lines.collect()
}

/// The same of a table.
fn table(site: &Site) -> BTreeMap<String, String> {
    let table = site.json(&["table", "digits"]);
    let cells = rows(&table).into_iter().map(|row| {
        let axes = &row["axes"];
        let cell = format!("{} {}", axes["params.lr"], axes["params.batch_size"]);
        let median = row["median"].as_f64().expect("a median");
        (cell, format!("{median:.4}"))
    });
    cells.collect()
}

#[test]
fn a_shell_loop_and_swath_print_the_same_medians() {
    let site = site();
    assert_eq!(printed(bash(&site, "shell/sweep.sh")), expected());
    let output = site.run(&["run", "examples/coming_from/digits.toml", "--slots", "2"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(table(&site), expected());
}

#[test]
fn an_array_of_slurm_and_workers_in_one_print_the_same_medians() {
    let mut site = site();
    fs::create_dir(site.path().join("examples/coming_from/slurm/logs")).expect("a directory");
    for index in 0..30 {
        let mut task = bash(&site, "slurm/array.sh");
        task.env("SLURM_ARRAY_TASK_ID", index.to_string());
        let log = format!("examples/coming_from/slurm/logs/{index}.log");
        let log = fs::File::create(site.path().join(log)).expect("a log");
        assert!(task.stdout(log).status().expect("bash").success());
    }
    assert_eq!(printed(bash(&site, "slurm/table.sh")), expected());

    let _coordinator = site.serve();
    let programs = binary("worker");
    let programs = programs.parent().expect("a directory").display();
    let start = |index: u32| {
        let mut worker = bash(&site, "slurm/worker.sh");
        worker
            .env(
                "PATH",
                format!("{programs}:{}", std::env::var("PATH").unwrap_or_default()),
            )
            .env("HOME", site.path())
            .env("SWATH_COORDINATOR", site.url())
            .env("SLURM_ARRAY_JOB_ID", "7")
            .env("SLURM_ARRAY_TASK_ID", index.to_string());
        Process::start("worker.sh", &mut worker)
    };
    let mut workers = [start(0), start(1)];
    site.ok(&["submit", "examples/coming_from/digits.toml"]);
    let output = site.run(&["wait", "digits"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(table(&site), expected());
    // What `--signal=B:TERM@60` does.
    for worker in &mut workers {
        worker.signal(libc::SIGTERM);
        assert_eq!(
            worker.wait(Duration::from_secs(30)),
            0,
            "{}",
            worker.stderr()
        );
    }
}

#[test]
fn every_sweep_file_of_the_pages_is_one() {
    let site = site();
    for (page, language, block) in blocks() {
        if language == "toml" {
            let directory = if block.contains("hydra") {
                "hydra/"
            } else {
                ""
            };
            let file = format!("examples/coming_from/{directory}of_page.toml");
            site.write(&file, &block);
            let plan = site.run(&["plan", &file, "-o", "json"]);
            assert_eq!(plan.code, Some(0), "{page}: {}", plan.stderr);
            assert!(
                plan.stdout.contains("\"jobs\":30") || plan.stdout.contains("\"jobs\": 30"),
                "{page}"
            );
        }
    }
}
