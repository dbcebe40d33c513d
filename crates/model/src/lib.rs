//! What Swath is about, as data and as rules over it: what a job is and computes,
//! how it lives and ends, what workers and coordinator say to each other, and
//! what can be read of it.
//!
//! Nothing here does IO, reads a clock, the environment or a global random
//! generator: time is an argument, and every decision is a function over
//! state. `clippy.toml` beside this crate holds the rule.

pub mod access;
pub mod cause;
pub mod curve;
pub mod device;
pub mod error;
pub mod event;
pub mod extent;
pub mod files;
pub mod id;
pub mod import;
pub mod job;
pub mod judge;
pub mod keep;
pub mod label;
pub mod limits;
pub mod markup;
pub mod message;
pub mod metrics;
pub mod needs;
pub mod offer;
pub mod outcome;
pub mod placement;
pub mod policy;
pub mod probe;
pub mod program;
pub mod protocol;
pub mod replication;
pub mod schedule;
pub mod seed;
pub mod spec;
pub mod steering;
pub mod suggest;
pub mod terminal;
pub mod text;
pub mod time;
pub mod view;
