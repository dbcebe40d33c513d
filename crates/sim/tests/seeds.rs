//! Many seeds of the simulation. A failing one is printed with what happened
//! last; `SWATH_SIM_SEED=<seed>` replays it alone, `SWATH_SIM_SEEDS=<count>`
//! runs more of them.

use std::num::NonZero;
use std::thread;

use swath_sim::{Failure, Faults, Report, run, run_forgetful};

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}

fn seeds(count: u64) -> Vec<u64> {
    match number("SWATH_SIM_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("SWATH_SIM_SEEDS").unwrap_or(count)).collect(),
    }
}

/// Runs the seeds on every core. The first failing one is reported.
fn run_all(count: u64, faults: &Faults) -> Vec<Report> {
    let seeds = seeds(count);
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let shares = seeds.chunks(seeds.len().div_ceil(cores).max(1));
    let runs = thread::scope(|scope| {
        let start = |share: &'_ [u64]| {
            let share = share.to_vec();
            scope.spawn(move || {
                share
                    .iter()
                    .map(|seed| run(*seed, faults))
                    .collect::<Vec<_>>()
            })
        };
        let running: Vec<_> = shares.map(start).collect();
        let ended = running.into_iter().map(thread::ScopedJoinHandle::join);
        ended
            .map(|runs| runs.expect("a run that ends"))
            .collect::<Vec<_>>()
    });
    runs.into_iter().flatten().map(lawful).collect()
}

fn lawful(run: Result<Report, Failure>) -> Report {
    match run {
        Ok(report) => report,
        Err(failure) => panic!("{failure}\nreplay with SWATH_SIM_SEED={}", failure.seed),
    }
}

#[test]
fn every_fault_is_survived() {
    let reports = run_all(30, &Faults::all());
    if reports.len() < 30 {
        return;
    }
    // Faults must have effects, and most of the work must be done in spite of
    // them.
    let sum = |field: fn(&Report) -> u64| reports.iter().map(field).sum::<u64>();
    let (jobs, attempts) = (sum(|run| run.jobs), sum(|run| run.attempts));
    let succeeded = sum(|run| run.succeeded);
    assert!(
        attempts * 10 > jobs * 14,
        "{attempts} attempts of {jobs} jobs"
    );
    assert!(succeeded * 10 > jobs * 8, "{succeeded} of {jobs} jobs");
    let decided = sum(|run| run.decided);
    assert!(decided > 0, "results never asked for a replicate");
    let several = sum(|run| run.several);
    assert!(several > 30, "{several} of several devices");
    let lacking = sum(|run| run.lacking);
    assert!(lacking > 30, "{lacking} times a host lacked something");
}

/// Commits fail, or succeed while the reply is lost; leaders die or are
/// overtaken all the time.
#[test]
fn a_store_that_fails_is_survived() {
    let reports = run_all(8, &Faults::unreliable());
    let lives: u64 = reports.iter().map(|run| run.lives).sum();
    assert!(lives > 2 * reports.len() as u64, "{lives} lives");
}

/// A coordinator that is away, or whose clock jumps, re-runs nothing that it
/// has once said to keep. It may take back what it has just granted: heartbeats
/// that waited while it was frozen do not name that yet.
#[test]
fn absences_of_the_coordinator_rerun_nothing() {
    let reports = run_all(8, &Faults::absences());
    for (seed, report) in seeds(8).into_iter().zip(reports) {
        assert_eq!(report.succeeded, report.jobs, "seed {seed}");
        assert_eq!(report.lost_ms, 0, "seed {seed}");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [1, 2] {
        let first = lawful(run(seed, &Faults::all()));
        let again = lawful(run(seed, &Faults::all()));
        assert_eq!(first, again);
    }
    let first = lawful(run(1, &Faults::all()));
    let other = lawful(run(4, &Faults::all()));
    assert_ne!(first.trace, other.trace);
}

/// Only what is in the store survives: an engine that loads everything again at
/// each turn does the same, down to the last message.
#[test]
fn an_engine_that_forgets_everything_does_the_same() {
    // While the store is away, only what is in memory can be answered; and what
    // hosts lack is not stored.
    let faults = Faults {
        away: 0,
        lacking: 0.0,
        refused: 0.0,
        ..Faults::all()
    };
    for seed in [1, 2] {
        let first = lawful(run(seed, &faults));
        let again = lawful(run_forgetful(seed, &faults));
        assert_eq!(first, again);
    }
}
