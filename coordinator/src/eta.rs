//! When sweeps will end, estimated from what readers see of them.

use std::time::Duration;

use swath_model::placement::Placement;
use swath_model::time::Timestamp;
use swath_model::view::{JobView, SweepView, WorkerState, WorkerView};
use swath_results::eta::{Pace, remaining};

/// The workers that get jobs.
pub fn at_work(workers: &[WorkerView]) -> impl Iterator<Item = &WorkerView> {
    let active = |worker: &&WorkerView| worker.state == WorkerState::Active && !worker.silent;
    workers.iter().filter(active)
}

/// How many slots would take a job.
pub fn slots_at_work(workers: &[WorkerView]) -> u32 {
    let slots = at_work(workers).map(|worker| worker.about.offer.slots.len());
    slots.sum::<usize>() as u32
}

/// How long until the last job of `sweep` ends, if its jobs take `mean_seconds`
/// on average and those jobs of `open` that belong to it are running.
pub fn of_sweep(
    sweep: &SweepView,
    mean_seconds: Option<f64>,
    open: &[JobView],
    slots: u32,
    now: Timestamp,
) -> Option<Duration> {
    let own = || {
        open.iter()
            .filter(|job| job.holders.contains(&sweep.digest))
    };
    // A job may have several slots, and those that wait are like it.
    let each = own().filter_map(|job| job.devices.as_ref().map(Placement::count));
    let each = each.max().unwrap_or(1) as u32;
    let elapsed: Vec<f64> = own()
        .filter_map(|job| Some(now.since(job.granted_at?).as_secs_f64()))
        .collect();
    let took: Vec<f64> = mean_seconds.into_iter().collect();
    remaining(&Pace {
        took: &took,
        queued: sweep.counts.queued,
        elapsed: &elapsed,
        slots: if slots == 0 { 0 } else { (slots / each).max(1) },
    })
}
