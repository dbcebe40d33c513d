//! The progress of a sweep on one line.

use std::time::Duration;

use swath_model::text::{count, counted, duration};
use swath_model::time::Timestamp;
use swath_model::view::{ReplicationView, SweepState, SweepView};

use crate::Style;
use crate::style::{Tone, cut, width};

/// The most columns of the bar.
const BAR_MOST: usize = 24;
const BAR_LEAST: usize = 8;

/// The progress of `sweep` at `now` on one line: `[====>   ] 24/36 jobs, 3
/// training, 1 diverged, ETA 42 s`. Of the leased jobs no more than `slots` can
/// be training; workers have fetched the others ahead. `eta` is the time that
/// is left, if it is known.
pub fn progress(
    sweep: &SweepView,
    slots: u64,
    eta: Option<Duration>,
    now: Timestamp,
    style: &Style,
) -> String {
    let text = words(sweep, slots, eta, now);
    let Some(most) = style.width else {
        return format!("{} {text}", bar(sweep, BAR_MOST));
    };
    let room = most.saturating_sub(width(&text) + 3);
    if room < BAR_LEAST {
        return cut(&text, most, *style).into_owned();
    }
    let bar = bar(sweep, room.min(BAR_MOST));
    format!("{} {text}", style.paint(Tone::Strong, &bar))
}

/// The bar: `size` columns between its brackets.
fn bar(sweep: &SweepView, size: usize) -> String {
    let (done, total) = (sweep.counts.done(), sweep.counts.total());
    // Rounded down: the bar is full when everything is done, and not before.
    let full = match total {
        0 => size,
        _ => (u128::from(done) * size as u128 / u128::from(total)) as usize,
    };
    let mut bar = String::with_capacity(size + 2);
    bar.push('[');
    bar.extend(std::iter::repeat_n('=', full));
    if full < size {
        bar.push('>');
        bar.extend(std::iter::repeat_n(' ', size - full - 1));
    }
    bar.push(']');
    bar
}

/// How far the number of replicates is decided.
fn replication(it: &ReplicationView) -> String {
    let spent = match it.rounds {
        0 => "no round yet".to_owned(),
        rounds => format!("round {rounds}, {} added", counted(it.seeds, "seed")),
    };
    match it.settled {
        None => spent,
        Some(settled) if settled.undecided == 0 => format!("{spent}, settled"),
        Some(settled) => format!(
            "{spent}, settled with {} of {} undecided",
            settled.undecided,
            counted(settled.pairs, "pair")
        ),
    }
}

fn words(sweep: &SweepView, slots: u64, eta: Option<Duration>, now: Timestamp) -> String {
    let counts = &sweep.counts;
    let training = counts.leased.min(slots);
    let mut text = format!("{}/{} jobs", count(counts.done()), count(counts.total()));
    let parts = [
        (training, "training"),
        (counts.leased - training, "fetched"),
        (counts.suspect, "out of touch"),
        (counts.diverged, "diverged"),
        (counts.failed, "failed"),
        (counts.cancelled, "cancelled"),
    ];
    for (jobs, word) in parts {
        if jobs > 0 {
            put!(text, ", {} {word}", count(jobs));
        }
    }
    if let Some(it) = &sweep.replication {
        put!(text, ", {}", replication(it));
    }
    let end = sweep.finished_at.unwrap_or(now);
    let took = duration(end.since(sweep.submitted_at).as_secs_f64());
    match (sweep.state, eta) {
        (SweepState::Paused, _) => text.push_str(", paused"),
        (SweepState::Finished | SweepState::Cancelled, _) => put!(text, ", took {took}"),
        (SweepState::Active, Some(eta)) => put!(text, ", ETA {}", duration(eta.as_secs_f64())),
        (SweepState::Active, None) => put!(text, ", {took} so far"),
    }
    text
}
