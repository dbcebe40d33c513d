//! Many seeds of the simulation. A failing one is printed with what happened
//! last; `SWATH_SIM_SEED=<seed>` replays it alone, `SWATH_SIM_SEEDS=<count>`
//! runs more of them.

use std::num::NonZero;
use std::thread;

use swath_sim::{Faults, Report, run};

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

/// Runs the seeds on every core; the first failing one is what counts.
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
    let reports = runs.into_iter().flatten().map(|run| match run {
        Ok(report) => report,
        Err(failure) => panic!("{failure}\nreplay with SWATH_SIM_SEED={}", failure.seed),
    });
    reports.collect()
}

#[test]
fn every_fault_is_survived() {
    let reports = run_all(300, &Faults::all());
    if reports.len() < 100 {
        return;
    }
    // Faults must bite, and most of the work must be done in spite of them.
    let sum = |field: fn(&Report) -> u64| reports.iter().map(field).sum::<u64>();
    let (jobs, attempts) = (sum(|run| run.jobs), sum(|run| run.attempts));
    let succeeded = sum(|run| run.succeeded);
    assert!(
        attempts * 10 > jobs * 14,
        "{attempts} attempts of {jobs} jobs"
    );
    assert!(succeeded * 10 > jobs * 5, "{succeeded} of {jobs} jobs");
}

/// A coordinator that is away, or whose clock jumps, re-runs nothing.
#[test]
fn absences_of_the_coordinator_rerun_nothing() {
    let reports = run_all(60, &Faults::absences());
    for (seed, report) in seeds(60).into_iter().zip(reports) {
        assert_eq!(report.succeeded, report.jobs, "seed {seed}");
        assert_eq!(report.attempts, report.jobs, "seed {seed}");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [1, 2, 3] {
        let first = run(seed, &Faults::all()).expect("a run without failure");
        let again = run(seed, &Faults::all()).expect("a run without failure");
        assert_eq!(first, again);
    }
    let other = run(4, &Faults::all()).expect("a run without failure");
    let first = run(1, &Faults::all()).expect("a run without failure");
    assert_ne!(first.trace, other.trace);
}
