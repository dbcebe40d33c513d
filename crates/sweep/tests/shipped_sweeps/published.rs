//! The shipped sweeps and their references against the published tables, row
//! by row.

use std::collections::{BTreeMap, BTreeSet};

use swath_model::id::CellDigest;
use swath_model::spec::keys;
use swath_sweep::Cell;

use super::files::{Line, Lines, read, same, sweep, sweeps, value};
use super::matched::{CELLS, ROWS, TABLES, matched, one, table};
use super::rows::of_job;

#[test]
fn every_published_row_is_one_cell_and_every_cell_a_published_row() {
    let matched = matched();
    assert_eq!(matched.len(), 362);
    for (name, first, last) in TABLES {
        let rows = matched
            .iter()
            .filter(|(row, _)| (first..=last).contains(&table(*row)));
        let seen: BTreeSet<_> = rows.map(|(_, cell)| cell.digest).collect();
        let all: BTreeSet<_> = CELLS[name].iter().map(|cell| cell.digest).collect();
        assert_eq!(seen, all, "{name}");
    }
}

#[test]
fn rows_of_model_tables_are_named_as_published() {
    let plain = |text: &str| {
        text.replace(',', ", ")
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    let matched = matched();
    let named = matched.iter().filter(|(row, _)| table(*row) <= 10);
    let mut count = 0;
    for (row, cell) in named {
        let label = cell.label.as_deref().unwrap_or_default();
        assert_eq!(plain(label), plain(row.get("model")), "T{}", table(*row));
        count += 1;
    }
    assert_eq!(count, 118);
}

#[test]
fn tables_10_to_45_are_the_181_published_jobs() {
    let jobs = Lines::of("reference/published_jobs.csv");
    let mut rows: BTreeMap<CellDigest, Vec<u32>> = BTreeMap::new();
    for (row, cell) in matched().into_iter().filter(|(row, _)| table(*row) >= 10) {
        rows.entry(cell.digest).or_default().push(table(row));
    }
    let distinct: BTreeMap<_, _> = TABLES
        .iter()
        .filter(|(_, first, _)| *first >= 10)
        .flat_map(|(name, ..)| &CELLS[name])
        .map(|cell| (cell.digest, cell.clone()))
        .collect();
    let cells: Vec<_> = distinct.into_values().collect();
    assert_eq!((rows.values().flatten().count(), cells.len()), (260, 181));
    let mut seen = BTreeSet::new();
    for job in jobs.iter() {
        let listed = job.get("cells (table:err(runs,time))");
        let cell = one(&of_job(job), &cells, listed);
        assert!(seen.insert(cell.digest), "{listed}: twice");
        let tables: Vec<u32> = listed
            .split(" ; ")
            .map(|place| place[1..].split(':').next().unwrap().parse().unwrap())
            .collect();
        assert_eq!(rows[&cell.digest], tables, "{listed}");
        let training = cell.spec.training().unwrap();
        let steps = 50_000 / training.batch_size * training.epochs.unwrap();
        assert_eq!(job.get("total_steps"), steps.to_string(), "{listed}");
    }
    assert_eq!(seen.len(), 181);
}

/// What a line of a reference must say, as the published row does.
const VALUES: [(&str, &str); 5] = [
    ("test_error", "err"),
    ("n", "runs"),
    ("minutes", "minutes"),
    ("best", "best"),
    ("paper", "paper"),
];

/// Whether a field of a reference matches what the cell has: a blank field
/// matches anything.
fn is_about(field: &str, found: &str) -> bool {
    match field {
        "" => true,
        "none" => found.is_empty(),
        field => same(field, found),
    }
}

#[test]
fn references_hold_every_published_value_at_its_cell() {
    let matched = matched();
    let mut rows = matched.iter();
    for (name, ..) in TABLES {
        let file = sweep(&format!("{name}.toml"));
        assert_eq!(
            file.reference.unwrap().file,
            format!("reference/{name}.csv")
        );
        let reference = Lines::of(&format!("reference/{name}.csv"));
        let keys: Vec<_> = reference
            .columns()
            .iter()
            .filter(|column| keys::find(column).is_some())
            .collect();
        for line in reference.iter() {
            let (row, cell) = rows.next().unwrap();
            let place = format!("{name}.csv, T{}, line {}", table(*row), row.get("line"));
            assert_eq!(line.get("table"), row.get("table"), "{place}");
            let about: Vec<_> = CELLS[name]
                .iter()
                .filter(|cell| {
                    keys.iter()
                        .all(|key| is_about(line.get(key), &value(cell, key)))
                })
                .map(|cell| cell.digest)
                .collect();
            assert_eq!(about, [cell.digest], "{place}");
            for (ours, theirs) in VALUES {
                let theirs = match row.get(theirs) {
                    "N/A" => "",
                    // No training of a row without a value.
                    "0" if ours == "n" => "",
                    text => text,
                };
                assert!(same(line.get(ours), theirs), "{place}: {ours}");
            }
            let valued = !line.get("test_error").is_empty();
            assert!(valued || line.get("caveat").contains("published blank"));
            assert!(valued || line.get("tolerance").is_empty(), "{place}");
        }
    }
    assert!(rows.next().is_none());
}

#[test]
fn where_table_and_figure_disagree_the_reference_has_both() {
    let mut found = Vec::new();
    for (name, ..) in TABLES {
        for line in Lines::of(&format!("reference/{name}.csv")).iter() {
            if !line.get("figure_error").is_empty() {
                let columns = ["batch_size", "optimizer.lr", "epochs"].map(|it| line.get(it));
                let errors = ["test_error", "figure_error"].map(|it| line.get(it));
                let (table, cell, errors) =
                    (line.get("table"), columns.join(" "), errors.join(" "));
                found.push(format!("T{table} {cell}: {errors}"));
            }
        }
    }
    let text = found.join("\n");
    insta::assert_snapshot!(text, @r"
    T14 4096 3.2 800: 8.14 9.14
    T17 1024 0.8 200: 8.08 8.49
    T17 1024 0.4 200: 8.49 9.15
    T18 512 3.2 200: 8.51 8.1
    T23 1024 0.8 200: 8.08 8.49
    T28 4096 0.02 200: 8.21 8.44
    T29 2048 0.02 200: 8.05 7.86
    T30 1024 0.8 200: 8.08 8.49
    T30 1024 0.4 200: 8.49 9.15
    T31 512 3.2 200: 8.51 8.1
    T34 4096 0.02 200: 8.21 8.44
    T39 4096 1.6 200: 8.78 9.79
    T41 1024 1.6 200: 8.53 8.57
    T43 512 0.8 200: 7.89 8.4
    ");
}

#[test]
fn medians_are_those_of_the_runs_behind_them() {
    let mut checked = 0;
    for (name, ..) in TABLES {
        for line in Lines::of(&format!("reference/{name}.csv")).iter() {
            let runs = line.get("runs").split_whitespace();
            let mut runs: Vec<f64> = runs.map(|run| run.parse().unwrap()).collect();
            if runs.is_empty() {
                continue;
            }
            runs.sort_by(f64::total_cmp);
            assert_eq!(line.get("n"), runs.len().to_string());
            let middle = runs[runs.len() / 2];
            assert!(
                same(&middle.to_string(), line.get("test_error")),
                "{runs:?}"
            );
            checked += 1;
        }
    }
    assert_eq!(checked, 21);
}

/// Hours of one training of each cell; one that was published several times
/// counts with the mean.
fn hours<'a>(rows: impl Iterator<Item = &'a (Line<'static>, &'static Cell)>) -> f64 {
    let mut minutes: BTreeMap<CellDigest, Vec<f64>> = BTreeMap::new();
    for (row, cell) in rows.filter(|(row, _)| !row.get("minutes").is_empty()) {
        let of_cell = minutes.entry(cell.digest).or_default();
        of_cell.push(row.get("minutes").parse().unwrap());
    }
    let means = minutes
        .values()
        .map(|them| them.iter().sum::<f64>() / them.len() as f64);
    means.sum::<f64>() / 60.0
}

#[test]
fn the_readme_counts_rows_cells_jobs_and_hours() {
    let readme = read("README.md").unwrap();
    let line_of = |name: &str| {
        let start = format!("| `{name}` |");
        let line = readme.lines().find(|line| line.starts_with(&start));
        line.unwrap_or_else(|| panic!("{name}"))
    };
    for path in sweeps() {
        line_of(path);
    }
    let matched = matched();
    for (name, first, last) in TABLES {
        let path = format!("{name}.toml");
        let fields: Vec<_> = line_of(&path).split('|').map(str::trim).collect();
        let range: Vec<_> = fields[2].split(['–', ',']).map(str::trim).collect();
        let ends = [first, last].map(|table| format!("T{table}"));
        assert_eq!(range, ends[usize::from(first == last)..], "{name}");
        let rows = || {
            let mut rows = matched.iter();
            std::iter::from_fn(move || rows.find(|(row, _)| (first..=last).contains(&table(*row))))
        };
        let jobs = CELLS[name].len() * sweep(&path).replicates as usize;
        let counts = [rows().count(), CELLS[name].len(), jobs].map(|count| count.to_string());
        assert_eq!(counts, fields[3..6], "{name}");
        assert_eq!(fields[6], format!("{:.0}", hours(rows())), "{name}");
    }
    let distinct: BTreeSet<_> = matched.iter().map(|(_, cell)| cell.digest).collect();
    let all = format!("{} different cells, 1,617 hours", distinct.len());
    assert!(readme.contains(&all), "{all}");
    assert_eq!(format!("{:.0}", hours(matched.iter())), "1617");
    let single = ROWS.iter().filter(|row| row.get("runs") == "1").count();
    assert!(readme.contains(&format!("- {single} rows are single trainings")));
}
