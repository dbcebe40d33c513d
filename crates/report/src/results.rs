//! The result table of a sweep in every format.

use std::borrow::Cow;

use serde::Serialize;
use swath_model::text::bare_parameter;
use swath_model::view::SCHEMA_VERSION;
use swath_results::table::{Compared, ResultRow, Results, TableError, Verdict};

use crate::listing::lines;
use crate::{Format, Markup, Style, csv, table};

/// The results of a sweep in a format. For people they are laid out as the
/// sweep file asks, and `wide` shows everything; for programs there is one row
/// per cell, with numbers in full.
///
/// # Errors
///
/// When the layout cannot be drawn; the formats for programs do not need it.
pub fn results(results: &Results, format: Format, style: &Style) -> Result<String, TableError> {
    Ok(match format {
        Format::Table => table(&results.table()?, Markup::Plain, style),
        Format::Wide => table(&results.wide()?, Markup::Plain, style),
        Format::Markdown => table(&results.table()?, Markup::Markdown, style),
        Format::Latex => table(&results.table()?, Markup::Latex, style),
        Format::Html => table(&results.table()?, Markup::Html, style),
        Format::Csv => records(results),
        Format::Json => json(&results.document(), style.width.is_some()),
        Format::Jsonl => documents(results),
        Format::Ids => lines(results.rows().map(|row| row.id().into())),
    })
}

/// `value` as JSON with a line end. A document made of maps with text keys and
/// finite numbers can always be written.
pub(crate) fn json(value: &impl Serialize, pretty: bool) -> String {
    let text = if pretty {
        serde_json::to_string_pretty(value)
    } else {
        serde_json::to_string(value)
    };
    let mut text = text.unwrap_or_default();
    text.push('\n');
    text
}

#[derive(Serialize)]
struct Line<'a> {
    schema_version: u32,
    sweep: &'a str,
    #[serde(flatten)]
    row: ResultRow<'a>,
}

fn documents(results: &Results) -> String {
    let mut out = String::new();
    for row in results.rows() {
        out.push_str(&json(
            &Line {
                schema_version: SCHEMA_VERSION,
                sweep: results.name(),
                row,
            },
            false,
        ));
    }
    out
}

/// The columns after the axes in a record.
const FIELDS: [&str; 16] = [
    "n",
    "of",
    "median",
    "min",
    "max",
    "range_coverage",
    "values",
    "succeeded",
    "diverged",
    "failed",
    "cancelled",
    "open",
    "train_seconds_median",
    "cell",
    "imported",
    "imported_from",
];

/// The columns after those where there are published values; several values of
/// one cell are separated by semicolons.
const REFERENCE: [&str; 6] = [
    "published",
    "published_figure",
    "published_n",
    "published_minutes",
    "difference",
    "verdict",
];

fn records(results: &Results) -> String {
    let axes = results.axes();
    let reference = if results.has_reference() {
        &REFERENCE[..]
    } else {
        &[]
    };
    let mut out = String::new();
    let labelled = results.rows().any(|row| row.label().is_some());
    let heads = axes.iter().map(String::as_str).chain(FIELDS);
    let heads = heads.chain(labelled.then_some("label"));
    let heads = heads.chain(reference.iter().copied());
    csv::record(&mut out, heads.map(Cow::Borrowed));
    for row in results.rows() {
        let (cell, summary) = (row.cell, row.summary);
        let value = |axis: &String| {
            let mut all = cell.axes.iter();
            all.find(|(path, _)| path == axis).map(|(_, value)| value)
        };
        let named = axes.iter().map(|axis| match value(axis) {
            None | Some(serde_json::Value::Null) => Cow::Borrowed(""),
            Some(value) => bare_parameter(value).into(),
        });
        let (figure, tally) = (&summary.measured, summary.tally());
        let number = |value: Option<f64>| Cow::from(value.map_or_else(String::new, exact));
        let count = |value: u32| Cow::from(value.to_string());
        let values: Vec<String> = summary.values.iter().map(|(_, it)| exact(*it)).collect();
        let measured: [Cow<'_, str>; FIELDS.len()] = [
            count(figure.n()),
            count(figure.of()),
            number(figure.median()),
            number(figure.min()),
            number(figure.max()),
            number(summary.range_coverage()),
            values.join(";").into(),
            count(tally.succeeded),
            count(tally.diverged),
            count(tally.failed),
            count(tally.cancelled),
            count(tally.open),
            number(summary.train_time.median()),
            row.id().into(),
            count(row.imported()),
            row.imported_from().join("; ").into(),
        ];
        let compared = if results.has_reference() {
            published(row)
        } else {
            Vec::new()
        };
        let label = labelled.then(|| row.label().unwrap_or_default().into());
        csv::record(&mut out, named.chain(measured).chain(label).chain(compared));
    }
    out
}

/// The fields of [`REFERENCE`].
fn published(row: ResultRow<'_>) -> Vec<Cow<'static, str>> {
    let compared = row.compared();
    let joined = |value: fn(&Compared<'_>) -> Option<f64>| {
        let texts = compared
            .iter()
            .map(|it| value(it).map_or_else(String::new, exact));
        Cow::from(texts.collect::<Vec<_>>().join(";"))
    };
    let verdict = match row.verdict() {
        Some(Verdict::Reproduced) => "reproduced",
        Some(Verdict::NotReproduced) => "not_reproduced",
        Some(Verdict::Undecided) => "undecided",
        Some(Verdict::Imported) => "imported",
        None => "",
    };
    vec![
        joined(|it| it.published.test_error),
        joined(|it| it.published.figure_error),
        joined(|it| Some(f64::from(it.published.n))),
        joined(|it| it.published.minutes),
        joined(|it| it.difference),
        verdict.into(),
    ]
}

/// With as many digits as are needed to read the same double back.
pub(crate) fn exact(value: f64) -> String {
    format!("{value}")
}
