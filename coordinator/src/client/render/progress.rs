//! The progress of a sweep, in one line.

use std::time::Duration;

use swath_coordinator::api::Status;
use swath_coordinator::eta::{is_there, of_sweep, slots_at_work};
use swath_core::time::Timestamp;
use swath_core::view::{SweepState, SweepView, WorkerState};
use swath_report::Style;

/// A sweep's bar and counts and, if it waits, what it waits for.
pub(crate) fn line(status: &Status, sweep: &SweepView, style: &Style) -> String {
    let now = Timestamp::from_ms(status.now_ms);
    let slots = slots_at_work(&status.workers, now);
    let eta = estimate(status, sweep, now, slots);
    let waits = match sweep.state {
        SweepState::Paused if !sweep.reason.is_empty() => {
            let reason = sweep.reason.as_str();
            format!(": {}", reason.strip_prefix("paused ").unwrap_or(reason))
        }
        SweepState::Active if slots == 0 && sweep.counts.leased == 0 => {
            missing(status, now).to_owned()
        }
        _ => String::new(),
    };
    let taken = waits.chars().count();
    let style = Style {
        width: style.width.map(|width| width.saturating_sub(taken)),
        ..*style
    };
    swath_report::progress(sweep, u64::from(slots), eta, now, &style) + &waits
}

/// Why nothing trains, where no worker that is there takes jobs.
fn missing(status: &Status, now: Timestamp) -> &'static str {
    let there = || status.workers.iter().filter(|it| is_there(it, now));
    if there().next().is_none() {
        ", no worker is connected"
    } else if there().all(|worker| worker.state == WorkerState::Cordoned) {
        ", every worker is cordoned"
    } else if there().all(|worker| worker.state == WorkerState::Draining) {
        ", every worker is draining"
    } else {
        ", every worker is cordoned or draining"
    }
}

fn estimate(status: &Status, sweep: &SweepView, now: Timestamp, slots: u32) -> Option<Duration> {
    match status.eta_seconds.get(&sweep.digest) {
        Some(seconds) => Duration::try_from_secs_f64(*seconds).ok(),
        None => of_sweep(sweep, status.mean_job_seconds, &status.open, slots, now),
    }
}
