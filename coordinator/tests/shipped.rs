//! The sweep files that ship with Swath, through the real command.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

/// The files of tables 10 to 45.
const GRIDS: [&str; 8] = [
    "regularization",
    "linear_scaling",
    "initial_lr",
    "longer_training",
    "lars",
    "ghost_bn",
    "weight_decay_bn",
    "precision",
];

/// Every sweep file of the repository, in the order of a shell.
fn files() -> Vec<String> {
    let directory = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../sweeps"));
    let entries = std::fs::read_dir(directory).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|it| it == "toml"))
        .map(|path| path.to_str().unwrap().to_owned())
        .collect();
    files.sort();
    files
}

/// What `coordinator plan FILES -o json` says where nothing was trained yet.
fn plan(files: &[String]) -> Value {
    let directory = TempDir::new().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_coordinator"));
    command
        .args(["--database", "sqlite:swath.db", "plan", "-o", "json"])
        .args(files)
        .current_dir(directory.path());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SWATH_") {
            command.env_remove(name);
        }
    }
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_plan_of_all_shipped_files_counts_each_job_once() {
    let plan = plan(&files());
    assert_eq!(plan["totals"]["cells"], 381);
    assert_eq!(plan["totals"]["jobs"], 1127);
    assert_eq!(plan["totals"]["distinct_jobs"], 920);
    let (mut cells, mut jobs) = (0, BTreeSet::new());
    for sweep in plan["sweeps"].as_array().unwrap() {
        let name = sweep["sweep"].as_str().unwrap();
        if !GRIDS.contains(&name) {
            continue;
        }
        for cell in sweep["cells"].as_array().unwrap() {
            cells += 1;
            jobs.insert(cell["jobs"][0]["digest"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!((cells, jobs.len()), (250, 181));
}
