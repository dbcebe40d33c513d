//! Imported numbers beside published ones.

use serde_json::json;
use swath_model::import::{Imported, fill};
use swath_model::job::StateName;
use swath_model::view::CellResults;

use super::{cells, list, pivot, results, with_reference};
use crate::table::{Comparison, Field, Outcome, Table, Verdict};

fn number(line: u32, runs: u32) -> Imported {
    Imported {
        test_error: 10.0,
        seconds: None,
        runs,
        replicate: None,
        seed: None,
        source: "a paper".to_owned(),
        file: "a.csv".to_owned(),
        line,
    }
}

/// The marks of the figures, by row.
fn marks(table: &Table) -> Vec<String> {
    let figure = |field: &Field| match field {
        Field::Figure(shown) => Some(shown.marks.join(" ")),
        _ => None,
    };
    let rows = table.rows.iter();
    let rows = rows.map(|row| row.fields.iter().filter_map(figure).collect::<Vec<_>>());
    rows.map(|row| row.join(",")).collect()
}

fn notes(table: &Table) -> Vec<String> {
    let notes = table.footnotes.iter();
    let marked = notes.filter_map(|it| Some(format!("{}: {}", it.mark.as_ref()?, it.text)));
    marked.collect()
}

/// The first two cells are imported medians, the third in part.
fn with_imports() -> Vec<CellResults> {
    let mut cells = cells();
    for (cell, line) in cells.iter_mut().zip([2, 3]) {
        cell.replicates.clear();
        fill(&mut cell.replicates, [number(line, 3)]);
    }
    fill(&mut cells[2].replicates, [number(7, 1), number(9, 1)]);
    cells
}

#[test]
fn every_cell_of_imported_numbers_is_marked_and_says_who_said_so() {
    let results = results(list(&["batch_size"], &["test_error"]), with_imports());
    let table = results.table().unwrap();
    assert_eq!(marks(&table), ["a", "a", "b", ""]);
    assert_eq!(
        notes(&table),
        [
            "a: Imported, not trained here: the median of 3 runs that are not known one by one, \
             from a paper (a.csv:2-3)",
            "b: 2 of 3 runs imported, not trained here: 2 runs, from a paper (a.csv:7, 9)",
        ]
    );
    let document = serde_json::to_value(results.document()).unwrap();
    let rows = document["rows"].as_array().unwrap();
    let counts: Vec<_> = rows.iter().map(|row| row["imported"].as_u64()).collect();
    assert_eq!(counts, [Some(3), Some(3), Some(2), Some(0)]);
    let from = ["a paper (a.csv:7)", "a paper (a.csv:9)"];
    assert_eq!(rows[2]["imported_from"], json!(from));
    assert!(rows[3].get("imported_from").is_none());
    assert_eq!(rows[0]["values"], json!([]));
    assert!(rows[0]["min"].is_null() && rows[0]["deviation"].is_null());
}

#[test]
fn medians_from_elsewhere_are_compared_and_not_tested() {
    let ours = results(pivot(), cells());
    let theirs = results(pivot(), with_imports());
    let comparison = Comparison::new(&ours, &theirs).unwrap();
    let outcomes: Vec<Outcome> = comparison.rows().map(|row| row.outcome).collect();
    // Both sides show the same cell but other numbers; only the last is the
    // same jobs.
    let untold = Outcome::Untold;
    assert_eq!(outcomes, [untold, untold, Outcome::TooFew, Outcome::Same]);
    let table = comparison.table(false);
    assert_eq!(marks(&table), [",a", ",a", ",b", ","]);
    assert_eq!(notes(&table).len(), 2);
}

#[test]
fn imported_numbers_alone_reproduce_nothing() {
    let published = json!([{"line": 2, "cells": [0], "test_error": 10.0, "n": 1}]);
    let mut cells = cells();
    let replicates = &mut cells[0].replicates;
    let mut open = replicates[0].clone();
    (open.state, open.measurement) = (StateName::Queued, None);
    replicates.clear();
    fill(replicates, [number(2, 1)]);
    open.replicate = swath_model::id::Replicate(2);
    replicates.push(open);
    let checked = |cells| {
        let results = results(with_reference(pivot(), &published), cells);
        results.check().unwrap()
    };
    let check = checked(cells.clone());
    // The number equals the published one, and was not trained here.
    assert_eq!(
        check.words(),
        "0 reproduced, 0 not reproduced, 0 undecided, 1 imported"
    );
    assert_eq!(check.verdict(), Verdict::Undecided);
    let listed = list(&["batch_size"], &["test_error"]);
    let listed = results(with_reference(listed, &published), cells.clone());
    let row = serde_json::to_value(listed.document()).unwrap()["rows"][0].clone();
    assert_eq!(row["verdict"], "imported");
    assert_eq!(row["reference"][0]["verdict"], "imported");
    let shown = super::texts(&listed.table().unwrap());
    assert!(shown[1].ends_with(" | 0.00 | imported"), "{shown:?}");
    // One more number is on its way.
    cells[0].replicates[1].state = StateName::Leased;
    let check = checked(cells);
    assert_eq!((check.reproduced, check.undecided), (0, 1));
}
