//! What holds through kills and outages: nothing that was acknowledged is lost or doubled, and service resumes by itself.
//!
//! The witness is a list beside the store: scripted workers note every outcome that was acknowledged, with its exact
//! numbers, and at the end the store must hold each of them once, bit by bit.

mod coordinator;
mod leaders;
mod list;
mod load;
mod outages;
mod place;
mod proxy;
mod volume;
mod worker;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use swath_e2e::Random;

use crate::text::{Checked, SKIPPED, say, words_of};

pub(crate) const HELP: &str = "\
usage: bench kills [PART[=COUNT]]… [seed=NUMBER]     all parts when none is named

coordinator=200    kill -9 of the coordinator on SQLite, under load
server=50          kill -9 of the whole Postgres server under a coordinator that stays
leaders=6          of two coordinators on Postgres the leader is killed and stopped in turn, over real trainings
network=60         the wire to Postgres is silent for so many seconds, then torn for 10
idle=10            the server ends transactions that are idle for a second, for so many seconds
backends=20        pg_terminate_backend on all connections, so many times
server-disk=2      Postgres's disk is full for 5 s, so many times (as root: it mounts a small disk)
disk=3             SQLite's disk, likewise

seed=NUMBER        the moments of another time
";

/// A part: its name, how often or how long by default, and what it does.
type Part = (&'static str, u64, fn(u64, &mut Random) -> Checked<String>);

const PARTS: [Part; 8] = [
    ("coordinator", 200, coordinator::on_sqlite),
    ("server", 50, outages::server),
    ("leaders", 6, leaders::in_turn),
    ("network", 60, outages::network),
    ("idle", 10, outages::idle),
    ("backends", 20, outages::backends),
    ("server-disk", 2, outages::server_disk),
    ("disk", 3, outages::disk),
];

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    seed: u64,
    /// How often each part is done, if it is.
    counts: [Option<u64>; PARTS.len()],
}

/// Does the parts that are named.
pub(crate) fn run(words: &[String]) -> ExitCode {
    let Some(wanted) = read(words) else {
        say(HELP);
        return ExitCode::from(2);
    };
    say(&format!("seed {}", wanted.seed));
    let mut failed = false;
    for (index, (name, _, part)) in PARTS.iter().enumerate() {
        let Some(count) = wanted.counts[index] else {
            continue;
        };
        say(&format!("{name}={count}"));
        let mut random = Random::new(wanted.seed.wrapping_add(index as u64));
        let began = Instant::now();
        let done = catch_unwind(AssertUnwindSafe(|| part(count, &mut random)));
        let done = done.unwrap_or_else(|panic| Err(words_of(&*panic)));
        let seconds = began.elapsed().as_secs();
        match done {
            Ok(what) => say(&format!("ok {name}={count} ({seconds} s): {what}")),
            Err(why) if why.starts_with(SKIPPED) => say(&format!("{name}={count} {why}")),
            Err(why) => {
                failed = true;
                say(&format!("FAILED {name}={count} ({seconds} s): {why}"));
            }
        }
    }
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn read(words: &[String]) -> Option<Wanted> {
    let mut wanted = Wanted {
        seed: 20_261_130,
        counts: [None; PARTS.len()],
    };
    for word in words {
        let (name, number) = match word.split_once('=') {
            Some((name, number)) => (name, Some(number.parse().ok()?)),
            None => (word.as_str(), None),
        };
        if name == "seed" {
            wanted.seed = number?;
            continue;
        }
        let index = PARTS.iter().position(|(part, _, _)| *part == name)?;
        wanted.counts[index] = Some(number.unwrap_or(PARTS[index].1));
    }
    if wanted.counts.iter().all(Option::is_none) {
        wanted.counts = PARTS.map(|(_, count, _)| Some(count));
    }
    Some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_chosen_and_counted() {
        let read = |text: &str| {
            let words: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
            read(&words)
        };
        let all = read("").unwrap();
        assert_eq!((all.counts[0], all.counts[1]), (Some(200), Some(50)));
        let some = read("seed=7 server=3 disk").unwrap();
        assert_eq!(some.seed, 7);
        let some = some.counts;
        assert_eq!((some[0], some[1], some[7]), (None, Some(3), Some(3)));
        assert_eq!(read("nonsense"), None);
        assert_eq!(read("server=many"), None);
    }
}
