//! Sweeps: a file becomes cells, cells become jobs.
//!
//! [`SweepFile::parse`] reads the TOML and reports every mistake at its line
//! and column; [`expand`] turns it into a stream of [`Cell`]s in canonical
//! order; each cell names its jobs. The same file gives the same cells,
//! digests, order and seeds. Growing an axis or `replicates` leaves the
//! existing jobs as they were.

mod error;
mod expand;
mod expression;
mod file;
mod grid;
mod layout;
mod naming;
pub mod probe;
mod recipe;
pub mod reference;
mod replicates;
mod resolve;
mod section;
mod select;
mod settings;
mod source;
#[cfg(test)]
mod tests;

pub use self::error::{FileError, Place};
pub use self::expand::{
    Cell, Cells, Expansion, Grid, GridAxis, JOBS_MAX, PlannedJob, Totals, expand, expand_whole,
};
pub use self::expression::{
    EvaluationError, Expression, ExpressionError, NoValue, Quantity, rounded,
};
pub use self::file::{Measure, Reference, SweepFile};
pub use self::layout::{Layout, MEASURES, metric_of};
pub use self::naming::LABEL;
pub use self::recipe::Read;
pub use self::replicates::REPLICATES_DEFAULT;
pub use self::select::{Filter, Operator, Selector, SelectorError, SubjectView, Target};
