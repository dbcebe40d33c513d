//! What the engine reads: the rows with which it begins, and those that it asks
//! for later. It reads on the connection that writes, so that no write is under
//! way meanwhile.

mod cells;
mod said;
mod start;

pub(crate) use self::cells::{load, open_cells, specs, tail};
pub(crate) use self::said::said;
pub(crate) use self::start::{copying, start};
