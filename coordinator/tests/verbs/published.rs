//! A store filled from the published tables shows them number for number.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::{Serving, Site, json};

const SWEEPS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sweeps");

/// The sweeps that stand for published tables.
const NAMES: [&str; 16] = [
    "models",
    "resnet_preact20_wide",
    "wrn_shake_shake",
    "wrn_multi_gpu",
    "fashion_mnist_published",
    "mnist",
    "kmnist",
    "residual_units",
    "regularization",
    "linear_scaling",
    "initial_lr",
    "longer_training",
    "lars",
    "ghost_bn",
    "weight_decay_bn",
    "precision",
];

/// The test error of each line that has one, and its table.
fn lines(name: &str) -> BTreeMap<u64, (f64, String)> {
    let path = format!("{SWEEPS}/reference/{name}.csv");
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = (1..).zip(text.lines());
    let (_, header) = lines.next().unwrap();
    let place = |column| header.split(',').position(|it| it == column).unwrap();
    let (error, table) = (place("test_error"), place("table"));
    let read = |(line, text): (u64, &str)| {
        // What may be quoted stands behind, but for lists.
        let quoted = text.split('"').enumerate().map(|(at, part)| match at % 2 {
            0 => part.to_owned(),
            _ => part.replace(',', ";"),
        });
        let text: String = quoted.collect();
        let fields: Vec<&str> = text.split(',').collect();
        Some((
            line,
            (fields[error].parse().ok()?, fields[table].to_owned()),
        ))
    };
    lines.filter_map(read).collect()
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[test]
fn imported_references_reproduce_the_published_tables() {
    let site = Site::new();
    let serving = Serving::start(&site, "sqlite:swath.db");
    let ask = |line: String| {
        let done = site.run(&format!("{line} --coordinator {}", serving.url));
        assert_eq!(done.code, 0, "{line}: {}", done.stderr);
        done.stdout
    };
    let mut numbers = 0;
    for name in NAMES {
        ask(format!("submit {SWEEPS}/{name}.toml"));
        ask(format!("import {SWEEPS}/reference/{name}.csv"));
        let table = json(&ask(format!("table {name} -o json")));
        let lines = lines(name);
        let mut seen = BTreeSet::new();
        for row in table["rows"].as_array().unwrap() {
            let replicates = row["replicates"].as_array().unwrap().iter();
            let imported = replicates.filter_map(|it| it["imported"]["line"].as_u64());
            let of_cell: BTreeSet<u64> = imported.collect();
            if of_cell.is_empty() {
                assert!(row["median"].is_null(), "{name}: {row}");
                continue;
            }
            let errors: Vec<f64> = of_cell.iter().map(|line| lines[line].0).collect();
            let shown = row["median"].as_f64().unwrap();
            let off = (shown - median(&errors)).abs();
            assert!(off < 1e-9, "{name}: {shown}, but {errors:?} in {of_cell:?}");
            seen.extend(of_cell);
        }
        // A line that says what another table has said already is not shown twice.
        let twice = |line: &u64| {
            let (error, table) = &lines[line];
            let same = |other: &&u64| {
                let (shown, elsewhere) = &lines[*other];
                shown.to_bits() == error.to_bits() && elsewhere != table
            };
            seen.iter().any(|other| same(&other))
        };
        let missing: Vec<_> = lines.keys().filter(|line| !seen.contains(line)).collect();
        assert!(
            missing.iter().all(|line| twice(line)),
            "{name}: {missing:?}"
        );
        numbers += seen.len();
    }
    assert!(numbers > 340, "{numbers}");
}

#[test]
fn a_plan_is_priced_by_published_times() {
    let site = Site::new();
    let done = site.local(&format!("plan {SWEEPS}/initial_lr.toml -o json"));
    assert_eq!(done.code, 0, "{}", done.stderr);
    let price = &json(&done.stdout)["totals"]["price"];
    assert_eq!(price["jobs_by_published_times"], 117);
    assert_eq!(price["jobs_without_a_price"], 0);
    // Three times the minutes of its file.
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
