//! Finds the cell of a shipped sweep that each published row is about.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use swath_sweep::Cell;

use super::files::{Line, Lines, cells};
use super::rows::{Conditions, of_row};

/// The sweep of each published table.
pub(crate) const TABLES: [(&str, u32, u32); 16] = [
    ("models", 1, 1),
    ("resnet_preact20_wide", 2, 2),
    ("wrn_shake_shake", 3, 3),
    ("wrn_multi_gpu", 4, 4),
    ("fashion_mnist_published", 5, 6),
    ("mnist", 7, 7),
    ("kmnist", 8, 8),
    ("residual_units", 9, 9),
    ("regularization", 10, 10),
    ("linear_scaling", 11, 14),
    ("initial_lr", 15, 22),
    ("longer_training", 23, 27),
    ("lars", 28, 34),
    ("ghost_bn", 35, 38),
    ("weight_decay_bn", 39, 41),
    ("precision", 42, 45),
];

/// The cells of each of these sweeps.
pub(crate) static CELLS: LazyLock<BTreeMap<&str, Vec<Cell>>> = LazyLock::new(|| {
    let sweeps = TABLES.iter().map(|(name, ..)| *name);
    sweeps
        .map(|name| (name, cells(&format!("{name}.toml"))))
        .collect()
});

/// Every published row.
pub(crate) static ROWS: LazyLock<Lines> =
    LazyLock::new(|| Lines::of("reference/published_cells.csv"));

/// The number of the table that a row is of.
pub(crate) fn table(row: Line<'_>) -> u32 {
    row.get("table").parse().unwrap()
}

pub(crate) fn sweep_of(table: u32) -> &'static str {
    let found = TABLES
        .iter()
        .find(|(_, first, last)| (*first..=*last).contains(&table));
    found.unwrap().0
}

/// The one cell among `cells` that meets the conditions.
pub(crate) fn one<'a>(wanted: &Conditions, cells: &'a [Cell], row: &str) -> &'a Cell {
    let found: Vec<_> = cells.iter().filter(|cell| wanted.hold(cell)).collect();
    assert_eq!(found.len(), 1, "cells of {row}");
    found[0]
}

/// Each published row with its cell.
pub(crate) fn matched() -> Vec<(Line<'static>, &'static Cell)> {
    let rows = ROWS.iter().map(|row| {
        let cells = &CELLS[sweep_of(table(row))];
        let name = format!("T{}, line {}", table(row), row.get("line"));
        (row, one(&of_row(row), cells, &name))
    });
    rows.collect()
}
