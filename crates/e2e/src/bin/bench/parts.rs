//! What is measured, part by part.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use crate::text::{Figure, say, table, words_of};
use crate::{
    commands, depth, fashion, flood, large, queue, restart, sessions, store, tls, training,
};

/// The parts, and what each is about.
const HELP: &str = "\
Measures Swath on this machine and prints a table for each part. `NO` marks a figure that misses its goal.

usage: bench [PART[=SIZE]]…                        all parts when none is named
       bench kills …                               what holds through kills and outages

queue           the store and the queue: a coordinator and workers as processes
postgres        the same on a Postgres server, started for it, with 4 workers of 4 slots
commands        what a job of a real program costs beside the start of its process; jobs of a second also by
                Optuna, Ray Tune and W&B, where SWATH_BENCH_PYTHON, or else python3, has them
flood=10000000  a program that prints so many lines, and 100 times as many bytes on stderr
sessions=1000   so many workers of one coordinator, scripted: their heartbeats, each with a job held and
                an exchange parked; and half as many that register at once
restart=100000  a coordinator with so many open jobs is killed and started again, until it answers;
                and half of its jobs are cancelled
large=1000000   a sweep of so many jobs is submitted, cancelled, submitted again and deleted, while 100 workers
                are alive: their heartbeats
depth=1000000   what a null job costs with 1,000, 10,000, … up to so many jobs queued, and the
                coordinator's memory
store=50        commands that read a store of so many sweeps on SQLite and, where a server is installed, on
                Postgres; store=1000 is a million jobs and 20 million observations, 2 GB of disk and as
                much again for Postgres, in the temporary directory, and many minutes to fill both
tls             null jobs per second over TLS and in the open, by turns
tls-sessions=1000
                as `sessions`, over TLS: each session has a certificate and a connection of its own
train           images per second and memory of the trainer on four networks, beside PyTorch (eager,
                channels last, torch.compile) and the networks' convolutions alone, where
                `python3 -c 'import torch'` works (SWATH_BENCH_PYTHON names the Python); about 15 minutes
fashion         the same training of Fashion-MNIST by Swath and by a PyTorch script, five seeds each:
                test errors and wall times
";

/// How a part is measured.
#[derive(Clone, Copy)]
enum Measure {
    AsItIs(fn() -> Vec<Figure>),
    /// By its size, which is this one unless another is asked for.
    Sized(u32, fn(u32) -> Vec<Figure>),
}

const PARTS: [(&str, Measure); 13] = [
    ("queue", Measure::AsItIs(queue::on_sqlite)),
    ("postgres", Measure::AsItIs(queue::on_postgres)),
    ("commands", Measure::AsItIs(commands::measure)),
    ("flood", Measure::Sized(10_000_000, flood::measure)),
    ("sessions", Measure::Sized(1_000, sessions::measure)),
    ("restart", Measure::Sized(100_000, restart::measure)),
    ("large", Measure::Sized(1_000_000, large::measure)),
    ("depth", Measure::Sized(1_000_000, depth::measure)),
    ("store", Measure::Sized(50, store::measure)),
    ("tls", Measure::AsItIs(tls::measure)),
    (
        "tls-sessions",
        Measure::Sized(1_000, sessions::measure_secured),
    ),
    ("train", Measure::AsItIs(training::measure)),
    ("fashion", Measure::AsItIs(fashion::measure)),
];

/// Measures the parts that are named.
pub(crate) fn run(words: &[String]) -> ExitCode {
    let Some(wanted) = read(words) else {
        say(HELP);
        return ExitCode::from(2);
    };
    for (index, size) in wanted {
        let (name, measure) = PARTS[index];
        let measured = catch_unwind(AssertUnwindSafe(|| match measure {
            Measure::AsItIs(measure) => measure(),
            Measure::Sized(_, measure) => measure(size),
        }));
        // What the other parts measure must not be lost with this one.
        let figures =
            measured.unwrap_or_else(|panic| vec![Figure::failed(name, words_of(&*panic))]);
        say(&table(&figures));
    }
    ExitCode::SUCCESS
}

/// The parts that are asked for, in their order, each with its size.
fn read(words: &[String]) -> Option<Vec<(usize, u32)>> {
    let mut sizes = [None; PARTS.len()];
    for word in words {
        let (name, size) = match word.split_once('=') {
            Some((name, size)) => (name, Some(size.parse().ok()?)),
            None => (word.as_str(), None),
        };
        let index = PARTS.iter().position(|(part, _)| *part == name)?;
        sizes[index] = match (PARTS[index].1, size) {
            (Measure::Sized(usual, _), size) => Some(size.unwrap_or(usual)).filter(|it| *it > 0),
            (Measure::AsItIs(_), None) => Some(0),
            (Measure::AsItIs(_), Some(_)) => None,
        };
        sizes[index]?;
    }
    if words.is_empty() {
        sizes = PARTS.map(|(_, measure)| match measure {
            Measure::Sized(usual, _) => Some(usual),
            Measure::AsItIs(_) => Some(0),
        });
    }
    let wanted = sizes.iter().enumerate();
    Some(
        wanted
            .filter_map(|(index, size)| Some((index, (*size)?)))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> Option<Vec<(&'static str, u32)>> {
        let words: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
        let wanted = read(&words)?.into_iter();
        Some(wanted.map(|(index, size)| (PARTS[index].0, size)).collect())
    }

    #[test]
    fn parts_are_chosen_and_sized() {
        assert_eq!(asked("").unwrap().len(), PARTS.len());
        let some = asked("depth=10000 queue restart").unwrap();
        assert_eq!(
            some,
            [("queue", 0), ("restart", 100_000), ("depth", 10_000)]
        );
        assert_eq!(asked("nonsense"), None);
        assert_eq!(asked("queue=3"), None, "it has no size");
        assert_eq!(asked("depth=0"), None);
    }
}
