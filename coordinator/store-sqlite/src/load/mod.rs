//! What the engine reads: what it begins with, and what it asks for later. On
//! the connection that writes, so that nothing is on its way meanwhile.

mod cells;
mod said;
mod start;

pub(crate) use self::cells::{load, open_cells, specs};
pub(crate) use self::said::said;
pub(crate) use self::start::{copying, start};
