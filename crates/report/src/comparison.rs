//! Two sweeps beside each other, in every format.

use std::borrow::Cow;

use serde_json::Value;
use swath_model::text::bare_parameter;
use swath_results::table::{Comparison, PairRow, PairSide};

use crate::listing::lines;
use crate::results::{exact, json};
use crate::{Format, Markup, Style, csv, table};

/// A comparison in a format. The formats for programs have one row per pair,
/// with numbers in full.
pub fn comparison(comparison: &Comparison<'_>, format: Format, style: &Style) -> String {
    let narrow = |markup| table(&comparison.table(false), markup, style);
    match format {
        Format::Table => narrow(Markup::Plain),
        Format::Wide => table(&comparison.table(true), Markup::Plain, style),
        Format::Markdown => narrow(Markup::Markdown),
        Format::Latex => narrow(Markup::Latex),
        Format::Html => narrow(Markup::Html),
        Format::Csv => records(comparison),
        Format::Json => json(comparison, style.width.is_some()),
        Format::Jsonl => comparison.rows().map(|row| json(&row, false)).collect(),
        Format::Ids => lines(comparison.ids().map(Into::into)),
    }
}

/// The columns for either cell, after the axes.
const OF_CELL: [&str; 6] = ["cell", "n", "of", "median", "values", "imported"];

/// The columns for the pair, after those.
const OF_PAIR: [&str; 6] = [
    "difference",
    "p",
    "p_corrected",
    "p_least",
    "exact",
    "outcome",
];

fn records(comparison: &Comparison<'_>) -> String {
    let mut out = String::new();
    let of_cells = ["left", "right"].map(|side| OF_CELL.map(|name| format!("{side}_{name}")));
    let heads = comparison.axes().map(Cow::from);
    let heads = heads.chain(of_cells.as_flattened().iter().map(|it| it.as_str().into()));
    csv::record(&mut out, heads.chain(OF_PAIR.map(Cow::from)));
    for row in comparison.rows() {
        let axes = comparison.axes().map(|axis| axis_of(&row, axis));
        let cells = [row.left, row.right].into_iter().flat_map(|it| cell(&it));
        csv::record(&mut out, axes.chain(cells).chain(pair(&row)));
    }
    out
}

/// The value of an axis; where both cells have it, it is the same.
fn axis_of<'a>(row: &PairRow<'a>, axis: &str) -> Cow<'a, str> {
    let both = [row.left, row.right].into_iter();
    let mut values = both.flat_map(|it| &it.cell.axes);
    match values.find(|(path, _)| path == axis) {
        None | Some((_, Value::Null)) => Cow::Borrowed(""),
        Some((_, value)) => bare_parameter(value).into(),
    }
}

fn number(value: Option<f64>) -> Cow<'static, str> {
    value.map_or_else(String::new, exact).into()
}

/// The fields of [`OF_CELL`].
fn cell(side: &PairSide<'_>) -> [Cow<'static, str>; OF_CELL.len()] {
    let figure = &side.summary.measured;
    let values = side.summary.values.iter();
    let values: Vec<String> = values.map(|(_, value)| exact(*value)).collect();
    [
        side.cell.cell.to_string().into(),
        figure.n().to_string().into(),
        figure.of().to_string().into(),
        number(figure.median()),
        values.join(";").into(),
        side.imported().to_string().into(),
    ]
}

/// The fields of [`OF_PAIR`].
fn pair(row: &PairRow<'_>) -> [Cow<'static, str>; OF_PAIR.len()] {
    let exactly = row.test.map(|it| it.exact.to_string());
    [
        number(row.difference),
        number(row.test.map(|it| it.p)),
        number(row.corrected),
        number(row.test.map(|it| it.least)),
        exactly.unwrap_or_default().into(),
        row.outcome.name().into(),
    ]
}
