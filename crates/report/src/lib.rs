//! Tables, lists, curves and progress as text: for terminals, Markdown, CSV,
//! JSON, LaTeX and HTML.
//!
//! Everything here is a function from facts and a [`Style`] to a string. Only
//! callers know what a terminal can show, what time it is and where the text
//! goes.

/// Appends formatted text to a String, which cannot fail.
macro_rules! put {
    ($out:expr, $($text:tt)*) => {{
        use std::fmt::Write as _;
        let _ = write!($out, $($text)*);
    }};
}

mod comparison;
mod csv;
mod curve;
mod fit;
mod format;
mod html;
mod latex;
mod listing;
mod markdown;
mod parquet;
mod progress;
mod records;
mod results;
mod sheet;
mod style;
mod terminal;
#[cfg(test)]
mod tests;
mod time;

pub use swath_model::text::{compact, count, counted, decimals, duration, parameter};

pub use self::comparison::comparison;
pub use self::csv::record as csv_record;
pub use self::curve::{Given, curve, curve_listing, metrics_of, newest};
pub use self::format::Format;
pub use self::listing::{Listing, ListingColumn};
pub use self::progress::progress;
pub use self::records::{Datum, Field, Kind, Records};
pub use self::results::results;
pub use self::style::{Style, clipped, padded, visible, width};
pub use self::time::{ago, utc};

use self::sheet::Sheet;
use swath_results::table::Table;

/// A table as text for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Markup {
    /// For a terminal, or a file that is read as it is.
    Plain,
    /// A Markdown table.
    Markdown,
    /// A LaTeX table for the package booktabs.
    Latex,
    /// One self-contained HTML page.
    Html,
    /// The table's texts as CSV.
    Csv,
}

/// Renders a table for people.
pub fn table(table: &Table, markup: Markup, style: &Style) -> String {
    Sheet::of_table(table).render(markup, style)
}
