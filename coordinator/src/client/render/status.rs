//! How sweeps and workers are doing, on one screen.

use std::fmt::Write;

use swath_coordinator::api::Status;
use swath_model::judge::headline;
use swath_model::time::Timestamp;
use swath_model::view::{JobView, SweepKind, SweepState, SweepView, WorkerView};
use swath_report::{Format, Listing, ListingColumn as Column, Style, counted, duration, visible};

use super::sweeps::{names as sweep_names, state_name};
use super::workers::{reason, slots};
use super::{jobs, metric, metric_head, more_decimals, progress};

/// How many finished sweeps are shown beside the active ones, unless all are
/// asked for.
const FINISHED_MAX: usize = 3;
const OPEN_MAX: usize = 20;

/// The screen. `all` leaves nothing out.
pub(crate) fn screen(status: &Status, all: bool, asked: &str, style: &Style) -> String {
    let mut out = String::new();
    if status.sweeps.is_empty() {
        let _ = writeln!(
            out,
            "no sweep yet; `coordinator submit FILE{asked}` queues one"
        );
    }
    sweeps(status, all, style, &mut out);
    open(status, all, style, &mut out);
    failed(status, &mut out);
    workers(status, &mut out);
    out
}

fn is_over(sweep: &SweepView) -> bool {
    matches!(sweep.state, SweepState::Finished | SweepState::Cancelled)
}

fn sweeps(status: &Status, all: bool, style: &Style, out: &mut String) {
    if status.sweeps.is_empty() {
        return;
    }
    // What probes found is shown by `plan`.
    let shown = |(_, sweep): &(String, &SweepView)| {
        all || !is_over(sweep) || sweep.kind == SweepKind::Training
    };
    let named = sweep_names(&status.sweeps).into_iter().zip(&status.sweeps);
    let shown: Vec<(String, &SweepView)> = named.filter(shown).collect();
    let over = shown.iter().filter(|(_, sweep)| is_over(sweep)).count();
    let mut hidden = if all {
        0
    } else {
        over.saturating_sub(FINISHED_MAX)
    };
    if hidden > 0 {
        let sweeps = counted(hidden as u64, "older sweep");
        let _ = writeln!(out, "({sweeps} not shown; `coordinator sweeps` lists all)");
    }
    let widths = shown.iter().map(|(name, _)| name.chars().count());
    let width = widths.max().unwrap_or(0);
    let style = Style {
        width: style.width.map(|most| most.saturating_sub(width + 13)),
        ..*style
    };
    for (name, sweep) in shown {
        if hidden > 0 && is_over(sweep) {
            hidden -= 1;
            continue;
        }
        let state = state_name(sweep.state);
        let line = progress::line(status, sweep, &style);
        let _ = writeln!(out, "{name:<width$}  {state:<9}  {line}");
    }
}

fn open(status: &Status, all: bool, style: &Style, out: &mut String) {
    if status.open.is_empty() {
        return;
    }
    let now = Timestamp::from_ms(status.now_ms);
    let varying = jobs::varying(&status.open);
    let tail = [
        Column::number("replicate"),
        Column::number("epoch"),
        Column::number(&metric_head(&status.open)),
        Column::number("since"),
        Column::text("worker"),
    ];
    let head = [Column::text("training")].into_iter();
    let columns = head
        .chain(varying.iter().map(|path| Column::number(path)))
        .chain(tail);
    let mut listing = Listing::new("open", columns);
    let most = if all { usize::MAX } else { OPEN_MAX };
    let more = more_decimals(&status.open, JobView::observed);
    for job in status.open.iter().take(most) {
        let told = metric(job, job.observed(), more);
        let fields = open_fields(job, &varying, told, now);
        listing.push(job.digest.to_string(), fields, serde_json::Value::Null);
    }
    let _ = write!(out, "\n{}", listing.render(Format::Table, style));
    if status.open.len() > most {
        let _ = writeln!(out, "and {} more", status.open.len() - most);
    }
}

fn open_fields(job: &JobView, varying: &[String], told: String, now: Timestamp) -> Vec<String> {
    let elapsed = job
        .granted_at
        .map(|at| duration(now.since(at).as_secs_f64()));
    let mut fields = vec![job.digest.short()];
    fields.extend(jobs::values(job, varying));
    fields.extend([
        job.replicate.to_string(),
        jobs::epochs(job),
        told,
        elapsed.unwrap_or_default(),
        jobs::place(job),
    ]);
    fields
}

fn failed(status: &Status, out: &mut String) {
    if status.failed.is_empty() {
        return;
    }
    out.push_str("\nlast failures\n");
    let varying = jobs::varying(&status.failed);
    for job in &status.failed {
        let reason = visible(headline(&job.message));
        let colon = if reason.is_empty() { "" } else { ": " };
        let (name, state) = (jobs::name(job, &varying), jobs::state(job));
        let _ = writeln!(out, "  {name}  {state}{colon}{reason}");
    }
}

fn workers(status: &Status, out: &mut String) {
    let (silent, there): (Vec<_>, Vec<_>) = status.workers.iter().partition(|worker| worker.silent);
    out.push('\n');
    if there.is_empty() {
        out.push_str("no worker is connected\n");
    }
    for worker in there {
        out.push_str(&worker_line(worker));
    }
    if !silent.is_empty() {
        let count = counted(silent.len() as u64, "worker");
        let _ = writeln!(
            out,
            "{count} not connected; `coordinator workers` lists them"
        );
    }
}

fn worker_line(worker: &WorkerView) -> String {
    let (name, slots) = (&worker.name, slots(worker));
    let reason = match reason(worker) {
        reason if reason.is_empty() => reason,
        reason => format!(": {}", visible(&reason)),
    };
    let state = worker.state.name();
    format!(
        "worker {name}  {slots}, {} busy  {state}{reason}\n",
        worker.busy()
    )
}
