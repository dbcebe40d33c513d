//! What coordinator and worker are to the machine on which they run for months: a service
//! that its supervisor starts, watches and stops.

pub mod log;
mod supervisor;

pub use log::LogFormat;
pub use supervisor::{VARIABLES, Watchdog, ready, stopping};
