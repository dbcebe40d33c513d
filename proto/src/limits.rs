//! Limits of the wire, the same on both sides: those of the messages between
//! workers and coordinator, and those that only the wire has.

use std::time::Duration;

pub use swath_model::limits::*;

/// The largest answer to a command, in bytes: a table of 65,000 replicates as
/// JSON.
pub const CONTROL_MESSAGE_BYTES: usize = 256 << 20;
/// The largest request of a command, in bytes: a sweep file and its recipes, or
/// the digests that a plan asks for.
pub const CONTROL_REQUEST_BYTES: usize = 16 << 20;
/// The deadline of a call that reads, long enough for large tables.
pub const CONTROL_DEADLINE: Duration = Duration::from_mins(1);
/// The deadline of a call that changes something: a change to millions of jobs goes
/// on in parts, beside all other calls. That a coordinator is gone is noticed by
/// [`KEEPALIVE_TIMEOUT`].
pub const CHANGE_DEADLINE: Duration = Duration::from_hours(1);
/// The deadline of an upload or of the fetch of a file: 64 MiB at 1 MiB/s.
pub const FILES_DEADLINE: Duration = Duration::from_mins(2);
/// The deadline of a connection attempt.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(3);
/// Time between two HTTP/2 pings on an idle connection.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// How long a ping may stay unanswered.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// The most calls in flight on one connection, of those that are work: not
/// what only waits, nor heartbeats.
pub const CONCURRENCY_PER_CONNECTION: usize = 64;
/// The most HTTP/2 streams open on one connection.
pub const STREAMS_PER_CONNECTION: u32 = 256;
/// How many of them are left to heartbeats and what else is answered at once.
pub const STREAMS_KEPT: usize = 32;
/// The most bytes of the headers of a request.
pub const HEADER_BYTES: u32 = 16 << 10;
/// The most streams that were opened and reset before a call of them began;
/// beyond it the connection ends.
pub const RESETS_PENDING: usize = 20;
/// The most streams of a connection that ended because of its errors; beyond it
/// the connection ends.
pub const RESETS_OF_ERRORS: usize = 256;
/// The most text of what a worker may run, in bytes.
pub const PROGRAMS_BYTES: usize = 64 << 10;
/// The longest text about a worker's host that is kept with an outcome, in bytes.
pub const PROVENANCE_BYTES: usize = 1000;
/// The longest path in a message, in bytes.
pub const PATH_BYTES: usize = 4096;
/// How many lines a worker answers orders on at once, besides the one that
/// waits for the next.
pub const LINES_BUSY_MAX: usize = 8;
