//! The sweep files that ship with Swath, through the real command. The tests of
//! whole processes check that a store of the published numbers shows each of them.

use std::collections::BTreeSet;

use crate::support::{Site, json};

const SWEEPS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sweeps");

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
fn files() -> String {
    let entries = std::fs::read_dir(SWEEPS).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|it| it == "toml"))
        .map(|path| path.to_str().unwrap().to_owned())
        .collect();
    files.sort();
    files.join(" ")
}

#[test]
fn a_plan_of_all_shipped_files_counts_each_job_once() {
    let site = Site::new();
    let done = site.local(&format!("plan -o json {}", files()));
    assert_eq!(done.code, 0, "{}", done.stderr);
    // Every published value belongs to a cell.
    assert!(!done.stderr.contains("warning"), "{}", done.stderr);
    let plan = json(&done.stdout);
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

#[test]
fn a_plan_is_priced_by_published_times() {
    let site = Site::new();
    let done = site.local(&format!("plan {SWEEPS}/initial_lr.toml -o json"));
    assert_eq!(done.code, 0, "{}", done.stderr);
    let price = &json(&done.stdout)["totals"]["price"];
    assert_eq!(price["jobs_by_published_times"], 117);
    assert_eq!(price["jobs_without_a_price"], 0);
    // These are three times the minutes of its file.
    let path = format!("{SWEEPS}/reference/initial_lr.csv");
    let text = std::fs::read_to_string(path).unwrap();
    let header = text.lines().next().unwrap();
    let at = header.split(',').position(|it| it == "minutes").unwrap();
    let minutes = text.lines().skip(1).map(|line| {
        let field = line.split(',').nth(at).unwrap();
        field.parse::<f64>().unwrap()
    });
    let seconds = 3.0 * 60.0 * minutes.sum::<f64>();
    assert_eq!(price["device_seconds"].as_f64(), Some(seconds));
    let text = site.local(&format!("plan {SWEEPS}/initial_lr.toml")).stdout;
    assert!(
        text.contains("device-hours to go (117 jobs by published times)"),
        "{text}"
    );
}
