//! Limits of the wire, the same on both sides: those of what workers and the
//! coordinator tell each other, and those that only the wire knows.

use std::time::Duration;

pub use swath_model::limits::*;

/// The largest answer to a command, in bytes: a table of 65,000 replicates as
/// JSON.
pub const CONTROL_MESSAGE_BYTES: usize = 256 << 20;
/// The largest request of a command, in bytes: a sweep file and its recipes, or
/// the digests that a plan asks for.
pub const CONTROL_REQUEST_BYTES: usize = 16 << 20;
/// The deadline of a command's call; large tables take their time.
pub const CONTROL_DEADLINE: Duration = Duration::from_mins(1);
/// The deadline of a connection attempt.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(3);
/// Between two HTTP/2 pings on an idle connection.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// How long a ping may stay unanswered.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Calls in flight on one connection.
pub const CONCURRENCY_PER_CONNECTION: usize = 64;
/// HTTP/2 streams open on one connection.
pub const STREAMS_PER_CONNECTION: u32 = 256;
