//! How far a sweep is, in one line.

use std::time::Duration;

use swath_coordinator::api::Status;
use swath_coordinator::eta::{of_sweep, slots_at_work};
use swath_model::cause::PauseCause;
use swath_model::time::Timestamp;
use swath_model::view::{SweepState, SweepView};
use swath_report::Style;

/// A sweep's bar and counts, and what it waits for if it waits.
pub(crate) fn line(status: &Status, sweep: &SweepView, style: &Style) -> String {
    let now = Timestamp::from_ms(status.now_ms);
    let slots = slots_at_work(&status.workers);
    let eta = estimate(status, sweep, now, slots);
    let waits = match sweep.state {
        SweepState::Paused => match &sweep.paused {
            Some(PauseCause::Operator) => ": by an operator".to_owned(),
            Some(cause) => format!(": {cause}"),
            None => String::new(),
        },
        SweepState::Active if slots == 0 && sweep.counts.leased == 0 => missing(status).to_owned(),
        SweepState::Active if status.lacks.contains_key(&sweep.digest) => {
            ", no ETA: no active worker can run what waits".to_owned()
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

/// Why nothing trains.
fn missing(status: &Status) -> &'static str {
    if status.workers.iter().any(|worker| !worker.silent) {
        ", no worker takes jobs"
    } else {
        ", no worker is connected"
    }
}

fn estimate(status: &Status, sweep: &SweepView, now: Timestamp, slots: u32) -> Option<Duration> {
    match status.eta_seconds.get(&sweep.digest) {
        Some(seconds) => Duration::try_from_secs_f64(*seconds).ok(),
        None if status.lacks.contains_key(&sweep.digest) => None,
        None => of_sweep(sweep, status.mean_job_seconds, &status.open, slots, now),
    }
}
