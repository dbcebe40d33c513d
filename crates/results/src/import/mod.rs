//! From a file of numbers from elsewhere to the sweeps and cells that they are
//! for; what they are, and how they count, is [`swath_model::import`].

mod find;
mod read;
mod rows;
mod target;
#[cfg(test)]
mod tests;
mod value;

pub use self::read::{Candidate, CandidateCell, ImportError, ROWS_MAX, read};
pub use self::target::{NoTarget, targets};
