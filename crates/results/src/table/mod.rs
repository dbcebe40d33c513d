//! The result table of a sweep, not yet rendered.
//!
//! [`Results`] joins a sweep with the results of its cells; it is also the
//! machine-readable form, one row per cell. [`Results::table`] lays it out as
//! the sweep file asks: one row per cell, or a pivot. Everything is computed
//! from the facts alone, so the same results give the same table, in whatever
//! order they arrived.

mod best;
mod border;
mod choose;
mod compared;
mod comparison;
mod definition;
mod imported;
mod known;
mod label;
mod list;
mod notes;
mod pivot;
mod results;
mod sort;
#[cfg(test)]
mod tests;
mod verdict;

use serde::{Deserialize, Serialize};

pub use self::best::Unfit;
pub use self::choose::{choose, chosen};
pub use self::compared::{Check, Compared};
pub use self::comparison::{Comparison, Outcome, PAIRS_MAX, Pair, PairRow, PairSide};
pub use self::definition::{Definition, Parameter};
pub use self::known::Named;
pub use self::label::label;
pub use self::results::{Document, ResultRow, Results};
pub use self::verdict::{Judgement, Side, Verdict, judge, ordinary_deviation};
use swath_model::id::CellDigest;
use swath_sweep::FilterError;

use crate::summary::Figure;

/// A table of fields, for people.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The table's title; may be empty.
    pub title: String,
    /// Sentences for its caption: what is shown, and how it was measured.
    pub notes: Vec<String>,
    /// The table's columns.
    pub columns: Vec<Column>,
    /// Its rows, each with one field per column.
    pub rows: Vec<Row>,
    /// What a reader must know to read the fields correctly.
    pub footnotes: Vec<Footnote>,
    /// What marks a field as best, if any field is marked.
    pub best: Option<String>,
    /// What the reader may try next: for a terminal, not for a paper.
    pub advice: Vec<String>,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The heading.
    pub name: String,
    /// What it has in common with its neighbours: in a pivot, the parameter
    /// whose value `name` is.
    pub group: Option<String>,
    /// The unit of its numbers, if they share one that is not part of their
    /// text.
    pub unit: Option<String>,
    /// Whether it names rows or shows what was measured.
    pub kind: Kind,
}

impl Column {
    /// Its name with its unit: `test error (%)`.
    pub fn heading(&self) -> String {
        headed(&self.name, self.unit.as_deref())
    }
}

/// A name with its unit behind it.
pub fn headed(name: &str, unit: Option<&str>) -> String {
    match unit {
        Some(unit) => format!("{name} ({unit})"),
        None => name.to_owned(),
    }
}

/// What a column is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Its fields name their rows.
    Name,
    /// Its fields are measured.
    Measure,
}

/// One row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// One field per column.
    pub fields: Vec<Field>,
}

/// The content at one row and column.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    /// Nothing: there is no cell here, or the cell has no such parameter.
    Blank,
    /// Words.
    Text(String),
    /// A number that needs no n: a parameter's value, or a count.
    Number(String),
    /// An imported number, or one that others published: as text, with what
    /// follows in brackets, and the marks of its footnotes.
    Noted {
        /// The number; several are separated by a slash.
        text: String,
        /// What follows in brackets.
        behind: Option<String>,
        /// The marks of its footnotes, as in [`Shown`].
        marks: Vec<String>,
    },
    /// What was measured.
    Figure(Shown),
}

/// A figure as shown in a field.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// The figure.
    pub figure: Figure,
    /// Whether it is the best of its column; see [`Table::best`].
    pub best: bool,
    /// The marks of its footnotes.
    pub marks: Vec<String>,
    /// Whether a neighbour in its row already says what became of the
    /// replicates that it does not cover.
    pub brief: bool,
}

impl Shown {
    /// Its text in two parts; see [`Figure::parts`].
    pub fn parts(&self) -> (String, Option<String>) {
        if self.brief {
            self.figure.brief()
        } else {
            self.figure.parts()
        }
    }
}

/// One footnote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footnote {
    /// The mark that fields carry; none when the note is about the whole table.
    pub mark: Option<String>,
    /// A sentence without its full stop.
    pub text: String,
}

/// Why there is no table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// A stored number is not finite.
    #[error("cell {cell} has a recorded number that is not finite")]
    NotFinite {
        /// The cell that has it.
        cell: CellDigest,
    },
    /// The sweep was stored without what its table needs.
    #[error("the sweep's definition cannot be read: {0}")]
    Definition(String),
    /// A row, a column or an order names something that no cell has, and that
    /// nothing measures.
    #[error("`{name}` is no {what} here; {there}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What it should have been.
        what: &'static str,
        /// Which one was meant, and which there are.
        there: String,
    },
    /// A filter names something that is not there.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// A filter over what only jobs have.
    #[error("`{field}` chooses jobs, and a table has cells; filter by parameters")]
    JobFilter {
        /// What the filter names.
        field: String,
    },
    /// The two sweeps have nothing to compare.
    #[error("{0}")]
    Incomparable(String),
    /// Two cells of a pivot fall on the same place.
    #[error(
        "the table cannot be drawn: {count} cells fall on the same place, {place}, and differ in \
         {differ}; name {differ} in `rows`, or fix it"
    )]
    Overlap {
        /// How many cells fall there.
        count: usize,
        /// The place, such as `lr = 0.1, batch size = 128`.
        place: String,
        /// The parameters in which those cells differ.
        differ: String,
    },
}
