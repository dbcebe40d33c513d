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
    let reports = run_all(40, &Faults::all());
    for r in &reports { eprintln!("{r:?}"); }
}

/// A coordinator that is away, or whose clock jumps, re-runs nothing.
#[test]
fn absences_of_the_coordinator_rerun_nothing() {
    let reports = run_all(10, &Faults::absences());
    for (seed, report) in seeds(10).into_iter().zip(reports) {
        eprintln!("{report:?}");
        assert_eq!(report.succeeded, report.jobs, "seed {seed}");
        let once = report.jobs - report.slotless;
        assert_eq!(report.executions, once, "seed {seed}");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [1, 2, 3] {
        let first = lawful(run(seed, &Faults::all()));
        let again = lawful(run(seed, &Faults::all()));
        assert_eq!(first, again);
    }
}
#[test]
fn forgetful() {
    let faults = Faults { away: 0, refused: 0.0, ..Faults::all() };
    for seed in [1, 2, 3] {
        let first = lawful(run(seed, &faults));
        let again = lawful(run_forgetful(seed, &faults));
        assert_eq!(first, again);
    }
}
