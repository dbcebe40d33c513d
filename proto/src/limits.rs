//! Limits of the wire, the same on both sides.

use std::time::Duration;

/// The largest message of a worker, in bytes.
pub const DISPATCH_MESSAGE_BYTES: usize = 4 << 20;
/// The largest answer to a command, in bytes: a table of 65,000 replicates as
/// JSON.
pub const CONTROL_MESSAGE_BYTES: usize = 256 << 20;
/// The largest request of a command, in bytes: a sweep file and its recipes, or
/// the digests that a plan asks for.
pub const CONTROL_REQUEST_BYTES: usize = 16 << 20;
/// The deadline of a call that does not wait on purpose.
pub const CALL_DEADLINE: Duration = Duration::from_secs(5);
/// The deadline of a command's call; large tables take their time.
pub const CONTROL_DEADLINE: Duration = Duration::from_mins(1);
/// The deadline of a connection attempt.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(3);
/// The longest that an exchange may wait for a job.
pub const EXCHANGE_WAIT_MAX: Duration = Duration::from_secs(30);
/// Between two HTTP/2 pings on an idle connection.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// How long a ping may stay unanswered.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Calls in flight on one connection.
pub const CONCURRENCY_PER_CONNECTION: usize = 64;
/// HTTP/2 streams open on one connection.
pub const STREAMS_PER_CONNECTION: u32 = 256;
/// The most attempts that one heartbeat or hello may name.
pub const HELD_MAX: usize = 4096;
/// The most outcomes that one exchange may carry.
pub const FINISHES_MAX: usize = 1024;
/// The most jobs that one exchange may ask for.
pub const WANT_MAX: u32 = 1024;
/// The most observations of one report.
pub const OBSERVATIONS_MAX: usize = 512;
/// The largest log chunk, in bytes.
pub const LOG_CHUNK_BYTES: usize = 64 << 10;
/// The longest fault message, in bytes; the tail of stderr is in it.
pub const MESSAGE_BYTES: usize = 64 << 10;

// A wait must be over well before keepalive or a proxy gives up on the call.
const _: () = assert!(EXCHANGE_WAIT_MAX.as_secs() >= CALL_DEADLINE.as_secs());
const _: () = assert!(FINISHES_MAX <= HELD_MAX);
