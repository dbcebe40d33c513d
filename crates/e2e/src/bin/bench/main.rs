//! Measures Swath's speed on this machine: `cargo xtask bench`.
//!
//! Every figure comes from real processes, release builds, over gRPC and SQLite
//! with `synchronous=FULL`. Absolute figures depend on the disk, so its sync
//! time is printed beside them.

mod commands;
mod disk;
mod fashion;
mod kills;
mod pytorch;
mod queue;
mod store;
mod text;
mod training;

use std::process::ExitCode;

/// The parts, and the goal of each.
const HELP: &str = "\
Measures Swath on this machine and prints a table.

usage: bench [queue] [commands] [store] [train] [fashion]     all when none is named
       bench kills …                               what holds through kills and outages

queue    the store and the queue: a coordinator and workers as processes
commands what a job of a real program costs beside the start of its process
store    commands that read a store of 1,000 sweeps, a million jobs and 20 million
         observations; a minute or two and 2 GB of disk to fill it first, in
         the temporary directory (SWATH_BENCH_STORE=small: seconds)
train    images per second and memory of the trainer on four networks, beside
         PyTorch (eager, channels last, torch.compile) and the networks'
         convolutions alone, where `python3 -c 'import torch'` works
         (SWATH_BENCH_PYTHON names the Python); about 15 minutes
fashion  the same training of Fashion-MNIST by Swath and by a PyTorch script,
         five seeds each: test errors and wall times
";

#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    // The program of the latency benchmark prints when it started.
    if words.first().is_some_and(|word| word == "stamp") {
        print!("{}", queue::stamp());
        return ExitCode::SUCCESS;
    }
    if let Some((first, rest)) = words.split_first()
        && first == "kills"
    {
        return kills::run(rest);
    }
    let known =
        |word: &String| ["queue", "commands", "store", "train", "fashion"].contains(&word.as_str());
    if !words.iter().all(known) {
        print!("{HELP}");
        return ExitCode::from(2);
    }
    let wanted = |part: &str| words.is_empty() || words.iter().any(|word| word == part);
    let mut figures = Vec::new();
    if wanted("queue") {
        figures.extend(queue::measure());
    }
    if wanted("commands") {
        figures.extend(commands::measure());
    }
    if wanted("store") {
        figures.extend(store::measure());
    }
    if wanted("train") {
        figures.extend(training::measure());
    }
    if wanted("fashion") {
        figures.extend(fashion::measure());
    }
    print!("{}", text::table(&figures));
    ExitCode::SUCCESS
}
