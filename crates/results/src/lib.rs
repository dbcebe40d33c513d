//! What results come to: summaries of cells, tables and comparisons, which cells
//! need another replicate, where imported numbers belong, what jobs will cost,
//! and the lock file that holds a table's ground.
//!
//! Nothing here does IO, reads a clock, the environment or a global random
//! generator, and the order in which results arrived does not matter.
//! `clippy.toml` beside this crate holds the rule.

pub mod eta;
pub mod fit;
pub mod import;
pub mod lock;
pub mod price;
pub mod replay;
pub mod replication;
pub mod steering;
pub mod summary;
pub mod table;
