//! Measures Swath's speed on this machine: `cargo xtask bench`.
//!
//! Every figure comes from real processes, release builds, over gRPC and databases that sync every commit. Absolute figures
//! depend on the disk, so its sync time is printed beside them.

mod commands;
mod depth;
mod disk;
mod fashion;
mod flood;
mod kills;
mod large;
mod parts;
mod peers;
mod pytorch;
mod queue;
mod restart;
mod server;
mod sessions;
mod store;
mod stub;
mod text;
mod tls;
mod training;

use std::process::ExitCode;

#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    // The program of the latency benchmark prints when it started.
    if words.first().is_some_and(|word| word == "stamp") {
        print!("{}", queue::stamp());
        return ExitCode::SUCCESS;
    }
    match words.split_first() {
        Some((first, rest)) if first == "kills" => kills::run(rest),
        _ => parts::run(&words),
    }
}
