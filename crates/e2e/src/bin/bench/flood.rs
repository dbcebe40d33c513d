//! A program that never stops to talk.

use swath_e2e::Flood;

use crate::text::{Figure, progress};

/// How many bytes it writes to stderr for each line that it prints.
const STDERR_BYTES_PER_LINE: u64 = 100;

/// One job that prints so many lines.
pub(crate) fn measure(lines: u32) -> Vec<Figure> {
    let lines = u64::from(lines.next_multiple_of(2));
    let bytes = lines * STDERR_BYTES_PER_LINE;
    let gigabytes = bytes as f64 / 1e9;
    progress(&format!(
        "a job that prints {lines} lines, and {gigabytes} GB on stderr"
    ));
    let flood = Flood::run(lines, bytes);
    assert!(flood.is_accounted_for(), "{flood:?}");
    vec![
        Figure::plain(
            format!("{lines} lines and {gigabytes} GB on stderr: its result"),
            flood
                .result
                .map_or("lost".to_owned(), |value| value.to_string()),
        ),
        Figure::plain("time", format!("{:.1} s", flood.seconds)),
        Figure::at_most("memory of the worker", flood.worker_mb, 50.0, " MB"),
        Figure::at_most(
            "memory of the coordinator",
            flood.coordinator_mb,
            100.0,
            " MB",
        ),
        Figure::plain(
            "kept in the log, and counted there as left out",
            format!(
                "{:.1} MB and {:.1} MB, of {:.1} MB that it wrote",
                flood.kept_bytes as f64 / 1e6,
                flood.left_out_bytes as f64 / 1e6,
                flood.written_bytes as f64 / 1e6
            ),
        ),
    ]
}
