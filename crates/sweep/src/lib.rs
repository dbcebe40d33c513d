//! Sweeps: a file becomes cells, cells become jobs.
//!
//! [`SweepFile::parse`] reads the TOML and reports every mistake at its line
//! and column; [`expand`] turns it into a stream of [`Cell`]s in canonical
//! order; each cell names its jobs. The same file gives the same cells,
//! digests, order and seeds. Growing an axis or `replicates` leaves the
//! existing jobs as they were.
//!
//! A sweep may also be given by its cells: [`list_whole`] checks them as
//! strictly. Both ways make a [`Whole`], under the same rules.

mod error;
mod expand;
mod expression;
mod file;
mod grid;
mod layout;
mod list;
mod missed;
mod naming;
mod needs;
mod program;
mod range;
mod recipe;
pub mod reference;
mod replicates;
mod resolve;
mod section;
mod select;
mod settings;
mod single;
mod source;
#[cfg(test)]
mod tests;
mod whole;

pub use self::error::{FileError, Place};
pub use self::expand::{
    Cell, Cells, Expansion, JOBS_MAX, PlannedJob, Totals, expand, expand_whole,
};
pub use self::expression::{
    EvaluationError, Expression, ExpressionError, NoValue, Quantity, rounded,
};
pub use self::file::{Measure, NAME_MAX, Reference, SweepFile};
pub use self::layout::{Layout, MEASURES, metric_of};
pub use self::list::{ListError, list_whole};
pub use self::missed::{FilterError, Missed};
pub use self::naming::LABEL;
pub use self::program::{Named, Program};
pub use self::recipe::Read;
pub use self::replicates::REPLICATES_DEFAULT;
pub use self::select::{FIELDS, Filter, Operator, Selector, SelectorError, SubjectView, Target};
pub use self::single::Single;
pub use self::source::check_extent;
pub use self::whole::{Grid, GridAxis, Whole};
