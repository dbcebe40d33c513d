//! Which cells are the best, and with how many digits that is told.

use proptest::prelude::*;
use serde_json::json;
use swath_model::id::CellDigest;
use swath_model::view::CellResults;

use super::{cell, list, results, texts};
use crate::table::{Comparison, Results};

/// A sweep over learning rates that measured these values.
fn listed(values: &[f64]) -> Results {
    let cells = values.iter().zip(1..).map(|(value, at)| {
        let axes = [("batch_size", json!(64)), ("optimizer.lr", json!(at))];
        cell(at, &axes, *value)
    });
    let definition = list(&["optimizer.lr"], &["test_error"]);
    results(definition, cells.collect::<Vec<CellResults>>())
}

fn shown(results: &Results) -> (Vec<String>, String) {
    let table = results.table().unwrap();
    let rows = texts(&table).into_iter().skip(1);
    let rows = rows.map(|row| row.rsplit(" | ").next().unwrap_or_default().to_owned());
    (rows.collect(), table.best.unwrap_or_default())
}

const ALONE: &str = "the least of its column among cells with every run";

#[test]
fn cells_that_tie_are_all_starred_and_counted() {
    let (rows, said) = shown(&listed(&[7.0, 8.0, 9.0]));
    assert_eq!(rows, ["7.00*", "8.00", "9.00"]);
    assert_eq!(said, ALONE);
    let (rows, said) = shown(&listed(&[7.0, 8.0, 7.0]));
    assert_eq!(rows, ["7.00*", "8.00", "7.00*"]);
    assert_eq!(said, format!("{ALONE}; 2 cells tie"));
    assert_eq!(listed(&[7.0, 8.0, 7.0]).best(), [0, 2]);
    // A mean of two that rounds otherwise is the same number.
    let (rows, _) = shown(&listed(&[0.3, 0.1 + 0.2]));
    assert_eq!(rows, ["0.30*", "0.30*"]);
}

#[test]
fn ties_of_several_columns_name_them() {
    let pivot = json!({"layout": {"pivot": {
        "rows": ["batch_size"], "columns": "optimizer.lr", "cell": "test_error",
    }}});
    let values = [7.0, 8.0, 7.0, 7.5].into_iter().zip(0_u64..);
    let cells: Vec<CellResults> = values
        .map(|(value, at)| {
            let axes = [
                ("batch_size", json!(at / 2)),
                ("optimizer.lr", json!(at % 2)),
            ];
            cell(at, &axes, value)
        })
        .collect();
    let table = results(pivot, cells.clone()).table().unwrap();
    assert_eq!(
        table.best.unwrap(),
        format!("{ALONE}; ties: 2 cells in lr 0")
    );
    let two = list(
        &["batch_size", "optimizer.lr"],
        &["test_error", "test_loss"],
    );
    let best = results(two, cells).table().unwrap().best.unwrap();
    assert_eq!(
        best,
        format!("{ALONE}; ties: 2 cells in test error, 2 cells in test loss")
    );
}

#[test]
fn the_best_reads_differently_from_the_rest() {
    let (rows, said) = shown(&listed(&[8.2131, 8.2134, 12.0]));
    assert_eq!(rows, ["8.2131*", "8.2134", "12.0000"]);
    assert!(!said.contains("tie"), "{said}");
    let (rows, _) = shown(&listed(&[1.3e-6, 2.0]));
    assert_eq!(rows, ["1.3e-6*", "2.00"]);
    let left = listed(&[8.2131, 9.0]);
    let mut right = listed(&[8.2134, 9.0]);
    for cell in &mut right.cells {
        cell.cell = CellDigest::from_bytes([cell.index as u8 + 100; 32]);
    }
    let table = Comparison::new(&left, &right).unwrap().table(false);
    let rows = texts(&table);
    assert!(rows[1].contains("8.2131 | 8.2134 | +0.0003 |"), "{rows:?}");
    assert!(rows[2].contains("9.0000 | 9.0000 | 0.0000 |"), "{rows:?}");
}

#[test]
fn a_comparison_tells_that_its_best_cell_is_one_of_several() {
    let left = listed(&[7.0, 7.0, 8.0]);
    let right = listed(&[7.0, 8.0, 9.0]);
    let comparison = Comparison::new(&left, &right).unwrap();
    let notes = comparison.table(false).notes;
    assert!(
        notes[1].contains("7.00 at lr 1 (another cell ties), "),
        "{notes:?}"
    );
    let document = serde_json::to_value(&comparison).unwrap();
    assert_eq!(document["best_cells"], json!([2, 1]));
}

proptest! {
    /// The stars are on the cells that are the best, and no other reads like
    /// them.
    #[test]
    fn a_star_is_told_by_its_text(
        values in proptest::collection::vec((0..2000_i32).prop_map(|it| f64::from(it) / 700.0), 2..12),
    ) {
        let results = listed(&values);
        let (rows, said) = shown(&results);
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let wanted: Vec<usize> = (0..values.len()).filter(|at| values[*at] <= least).collect();
        prop_assert_eq!(results.best(), wanted.clone());
        let best = rows[wanted[0]].clone();
        prop_assert!(best.ends_with('*'), "{:?}", rows);
        for (at, row) in rows.iter().enumerate() {
            prop_assert_eq!(*row == best, wanted.contains(&at), "{:?}", rows);
            prop_assert!(best != format!("{row}*"), "{:?}", rows);
        }
        prop_assert_eq!(said.contains("tie"), wanted.len() > 1);
    }
}
