//! Real coordinators, workers and trainers as processes, for tests and
//! benchmarks: started, watched, killed, and never left behind.

mod flood;
mod process;
mod random;
mod site;
pub mod usage;

pub use self::flood::Flood;
pub use self::process::{Output, Process, binary, wait_until};
pub use self::random::Random;
pub use self::site::{Site, SweepText, free_address, rows};
