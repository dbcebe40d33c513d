//! The progress line of a long download: pure formatting, and a meter that decides when to print it.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// A terminal gets one line that is rewritten; a log gets a new line for every
/// tenth.
pub(crate) struct Meter {
    label: String,
    started: Instant,
    /// How much there already was when this process began. It does not count in the
    /// speed.
    resumed_at: Option<u64>,
    terminal: bool,
    tenths_told: u64,
}

impl Meter {
    pub(crate) fn new(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            started: Instant::now(),
            resumed_at: None,
            terminal: std::io::stderr().is_terminal(),
            tenths_told: 0,
        }
    }

    pub(crate) fn tell(&mut self, done: u64, total: u64) {
        let resumed_at = *self.resumed_at.get_or_insert(done);
        let line = line(
            &self.label,
            done,
            total,
            done - resumed_at.min(done),
            self.started.elapsed(),
        );
        if self.terminal {
            eprint!("\r\x1b[K{line}");
            // A progress line that cannot be written is no reason to stop.
            let _ = std::io::stderr().flush();
        } else if done * 10 / total.max(1) > self.tenths_told {
            self.tenths_told = done * 10 / total.max(1);
            eprintln!("{line}");
        }
    }

    pub(crate) fn finish(&self) {
        if self.terminal && self.resumed_at.is_some() {
            eprintln!();
        }
    }
}

fn line(label: &str, done: u64, total: u64, fresh: u64, elapsed: Duration) -> String {
    let percent = done * 100 / total.max(1);
    let line = format!(
        "{label}: {} of {} MB ({percent} %)",
        megabytes(done),
        megabytes(total)
    );
    let seconds = elapsed.as_secs_f64();
    if fresh > 0 && seconds > 0.0 {
        let per_second = fresh as f64 / seconds;
        let left = (total.saturating_sub(done)) as f64 / per_second;
        let speed = per_second / 1e6;
        return format!("{line}, {speed:.1} MB/s, {} left", time(left));
    }
    line
}

fn megabytes(bytes: u64) -> u64 {
    (bytes + 500_000) / 1_000_000
}

fn time(seconds: f64) -> String {
    let seconds = seconds.ceil() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_bytes_percent_speed_and_time_left() {
        let text = line(
            "libtorch",
            250_000_000,
            500_000_000,
            250_000_000,
            Duration::from_secs(25),
        );
        assert_eq!(text, "libtorch: 250 of 500 MB (50 %), 10.0 MB/s, 25 s left");
    }

    #[test]
    fn what_was_there_before_does_not_count_as_speed() {
        let text = line(
            "libtorch",
            400_000_000,
            500_000_000,
            10_000_000,
            Duration::from_secs(10),
        );
        assert_eq!(
            text,
            "libtorch: 400 of 500 MB (80 %), 1.0 MB/s, 1 min 40 s left"
        );
    }

    #[test]
    fn nothing_new_means_no_estimate() {
        assert_eq!(
            line("x", 0, 2_000_000, 0, Duration::from_secs(3)),
            "x: 0 of 2 MB (0 %)"
        );
        assert_eq!(line("x", 0, 0, 0, Duration::ZERO), "x: 0 of 0 MB (0 %)");
    }

    #[test]
    fn long_waits_are_in_hours() {
        assert_eq!(time(0.2), "1 s");
        assert_eq!(time(7260.0), "2 h 1 min");
    }
}
