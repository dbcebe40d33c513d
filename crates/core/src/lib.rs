//! The pure heart of Swath: what a job is, how a grid expands, how a job
//! lives and ends, and how results become a table.
//!
//! Nothing here does IO, reads a clock, the environment or a global random
//! generator: time is an argument, and every decision is a function over
//! state. `clippy.toml` beside this crate holds the rule.

pub mod cause;
pub mod error;
pub mod eta;
pub mod event;
pub mod id;
pub mod import;
pub mod job;
pub mod judge;
pub mod limits;
pub mod lock;
pub mod markup;
pub mod message;
pub mod metrics;
pub mod outcome;
pub mod policy;
pub mod price;
pub mod probe;
pub mod protocol;
pub mod replay;
pub mod replication;
pub mod schedule;
pub mod seed;
pub mod spec;
pub mod stats;
pub mod suggest;
pub mod summary;
pub mod sweep;
pub mod table;
pub mod time;
pub mod view;
