//! What coordinator and worker are to the machine on which they run for months: a service
//! that its supervisor starts, watches and stops.

mod supervisor;

pub use supervisor::{VARIABLES, Watchdog, ready, stopping};
