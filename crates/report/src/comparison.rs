//! Two sweeps beside each other, in every format.

use swath_core::table::Comparison;

use crate::listing::lines;
use crate::results::json;
use crate::{Format, Markup, Style, table};

/// A comparison in a format; the JSON formats have one row per pair with numbers
/// in full.
pub fn comparison(comparison: &Comparison<'_>, format: Format, style: &Style) -> String {
    let narrow = |markup| table(&comparison.table(false), markup, style);
    match format {
        Format::Table => narrow(Markup::Plain),
        Format::Wide => table(&comparison.table(true), Markup::Plain, style),
        Format::Markdown => narrow(Markup::Markdown),
        Format::Latex => narrow(Markup::Latex),
        Format::Html => narrow(Markup::Html),
        Format::Csv => table(&comparison.table(true), Markup::Csv, style),
        Format::Json => json(comparison, style.width.is_some()),
        Format::Jsonl => comparison.rows().map(|row| json(&row, false)).collect(),
        Format::Ids => lines(comparison.ids().map(Into::into)),
    }
}
