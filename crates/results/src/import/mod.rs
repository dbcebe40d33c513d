//! Assigns the numbers of a file from elsewhere to sweeps and cells.
//! [`swath_model::import`] says what such numbers are and how they count.

mod find;
mod read;
mod rows;
mod target;
#[cfg(test)]
mod tests;
mod value;

pub use self::read::{Candidate, CandidateCell, ImportError, ROWS_MAX, read};
pub use self::target::{NoTarget, targets};
