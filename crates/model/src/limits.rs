//! Limits, the same on all sides: of what workers and the coordinator tell each
//! other, and of what people submit and ask. Those of the wire alone are in
//! `swath-proto`, beside it. For people they are listed in `docs/limits.md`.

use std::time::Duration;

/// The largest message of a worker, in bytes.
pub const DISPATCH_MESSAGE_BYTES: usize = 4 << 20;
/// The deadline of a call that does not wait on purpose.
pub const CALL_DEADLINE: Duration = Duration::from_secs(5);
/// The longest that an exchange may wait for a job.
pub const EXCHANGE_WAIT_MAX: Duration = Duration::from_secs(30);
/// The most attempts that one heartbeat or hello may name.
pub const HELD_MAX: usize = 4096;
/// The most outcomes that one exchange may carry.
pub const FINISHES_MAX: usize = 1024;
/// The most jobs that one exchange may ask for.
pub const WANT_MAX: u32 = 1024;
/// The most devices of one worker.
pub const DEVICES_MAX: usize = 1024;
/// The most observations of one report.
pub const OBSERVATIONS_MAX: usize = 512;
/// The most epochs at the end of a training that a result may be computed from:
/// so many are never left out, however many there are.
pub const LAST_EPOCHS_MAX: usize = 1000;
/// The largest log chunk, in bytes.
pub const LOG_CHUNK_BYTES: usize = 64 << 10;
/// The longest fault message, in bytes; the tail of stderr is in it.
pub const MESSAGE_BYTES: usize = 64 << 10;

/// The most levels of a spec, and of a sweep file: names, tables and lists
/// within each other. Readers of JSON take 127 and those of protobuf 100, and a
/// spec lies some levels deep in what holds it.
pub const LEVELS_MAX: usize = 64;
/// The longest name of a key, in bytes; dots in it included.
pub const KEY_BYTES_MAX: usize = 1024;
/// The most keys and values of a file together: two axes of 100,000 values each
/// fit.
pub const FILE_VALUES_MAX: usize = 250_000;
/// The most operators of an expression.
pub const OPERATORS_MAX: usize = 256;

// What a document adds around a spec must fit too.
const _: () = assert!(LEVELS_MAX + 20 < 100);
// A wait must be over well before keepalive or a proxy gives up on the call.
const _: () = assert!(EXCHANGE_WAIT_MAX.as_secs() >= CALL_DEADLINE.as_secs());
const _: () = assert!(FINISHES_MAX <= HELD_MAX);
