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
/// The largest file of a submit, in bytes.
pub const FILE_BYTES_MAX: usize = 4 << 20;
/// The most files of a submit: the sweep file, its recipes and its reference.
pub const FILES_MAX: usize = 64;
/// The largest file of published values, in bytes.
pub const REFERENCE_BYTES_MAX: usize = 1 << 20;
/// The longest title of a sweep, in bytes.
pub const TITLE_BYTES_MAX: usize = 1000;
/// The longest label of a cell, in bytes; as it is written and as it is shown.
pub const LABEL_BYTES_MAX: usize = 1000;
/// The largest canonical spec of a job, in bytes: a grant with it fits into a
/// message to a worker.
pub const SPEC_BYTES_MAX: usize = 1 << 20;
/// The most values of a spec: twice as many as a program has files.
pub const SPEC_VALUES_MAX: usize = 20_000;
/// The longest that it may take to say how a program is started, in bytes of JSON:
/// its directory, its local parameters, which of its files may be executed.
pub const LAUNCH_BYTES_MAX: usize = 64 << 10;
/// The most bytes of grants in one answer to a worker; further ones wait for the
/// next.
pub const GRANTS_BYTES_MAX: usize = DISPATCH_MESSAGE_BYTES - (1 << 20);
/// The most cells of a sweep.
pub const CELLS_MAX: usize = 100_000;
/// The largest specs of all cells of a sweep together, in bytes.
pub const SWEEP_BYTES_MAX: usize = 64 << 20;
/// The most values of all cells of a sweep together. Each takes a hundred bytes
/// while the sweep is built.
pub const SWEEP_VALUES_MAX: usize = 2_000_000;
/// The most axes of a sweep.
pub const AXES_MAX: usize = 1000;
/// The largest definition of a sweep, in bytes of JSON: the values of its axes,
/// what its table shows of each cell, the published values.
pub const DEFINITION_BYTES_MAX: usize = 4 << 20;
/// The longest selector, in bytes: a target and filters.
pub const SELECTOR_BYTES_MAX: usize = 4096;
/// The longest text of one mistake, in bytes; what is longer is cut.
pub const MISTAKE_BYTES_MAX: usize = 1000;
/// The most mistakes of a file that are told; the rest are counted.
pub const MISTAKES_TOLD_MAX: usize = 20;
/// The longest error that a command is answered with, in bytes: it travels in a
/// header, of which HTTP/2 libraries take 16 KiB.
pub const ERROR_BYTES_MAX: usize = 8 << 10;

// What a document adds around a spec must fit too.
const _: () = assert!(LEVELS_MAX + 20 < 100);
const _: () = assert!(SPEC_BYTES_MAX + LAUNCH_BYTES_MAX < GRANTS_BYTES_MAX);
const _: () = assert!(SPEC_VALUES_MAX >= 2 * crate::program::INPUTS_MAX);
// A wait must be over well before keepalive or a proxy gives up on the call.
const _: () = assert!(EXCHANGE_WAIT_MAX.as_secs() >= CALL_DEADLINE.as_secs());
const _: () = assert!(FINISHES_MAX <= HELD_MAX);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_the_limits_of_what_people_submit_and_ask() {
        macro_rules! named {
            ($($name:ident)*) => {
                [$((stringify!($name), $name)),*]
            };
        }
        let limits = named!(
            LEVELS_MAX
            KEY_BYTES_MAX
            FILE_VALUES_MAX
            FILE_BYTES_MAX
            FILES_MAX
            REFERENCE_BYTES_MAX
            OPERATORS_MAX
            TITLE_BYTES_MAX
            LABEL_BYTES_MAX
            AXES_MAX
            CELLS_MAX
            SPEC_BYTES_MAX
            SPEC_VALUES_MAX
            LAUNCH_BYTES_MAX
            SWEEP_BYTES_MAX
            SWEEP_VALUES_MAX
            DEFINITION_BYTES_MAX
            SELECTOR_BYTES_MAX
            MISTAKE_BYTES_MAX
            MISTAKES_TOLD_MAX
            ERROR_BYTES_MAX
        );
        let page = include_str!("../../../docs/limits.md");
        let rows: Vec<&str> = page.lines().filter(|line| line.contains("_MAX`")).collect();
        assert_eq!(rows.len(), limits.len());
        for (name, limit) in limits {
            let end = format!("| {limit} | `{name}` |");
            assert!(rows.iter().any(|row| row.ends_with(&end)), "{end}");
        }
    }
}
