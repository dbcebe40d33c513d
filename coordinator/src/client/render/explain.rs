//! One job: its state and the reason, its attempts, and what can be done.

use std::fmt::Write;

use swath_coordinator::api::Explanation;
use swath_model::judge::headline;
use swath_model::metrics::{BEST_TEST_ERROR, TEST_LOSS};
use swath_model::outcome::COLUMNS;
use swath_model::spec::canonical;
use swath_model::text::compact;
use swath_model::view::{AttemptView, JobView};
use swath_report::{
    Format, Listing, ListingColumn as Column, Style, counted, duration, utc, visible,
};

use super::{document, jobs, moment};

/// Everything about a job, for reading.
pub(crate) fn text(explanation: &Explanation, wide: bool, style: &Style) -> String {
    let job = &explanation.detail.job;
    let mut out = String::new();
    let _ = writeln!(out, "job {}  {}", job.digest, jobs::state(job));
    let (sweeps, cell) = (job.sweeps.join(", "), job.cell.short());
    let (replicate, seed) = (job.replicate, job.seed);
    let _ = writeln!(
        out,
        "sweep {sweeps}, cell {cell}, replicate {replicate}, seed {seed}\n"
    );
    if let Some(why) = job.unreadable {
        let _ = writeln!(
            out,
            "- {why}; `coordinator delete` removes it with its sweep"
        );
    }
    for item in &explanation.items {
        let _ = writeln!(out, "- {}", visible(&item.text(job.digest)));
    }
    if let Some(left) = &explanation.left {
        let _ = writeln!(out, "- {}", visible(&left.text()));
    }
    let attempts = attempts(&explanation.detail.attempts);
    if !explanation.detail.attempts.is_empty() {
        let format = if wide { Format::Wide } else { Format::Table };
        let _ = write!(out, "\n{}", attempts.render(format, style));
    }
    let late = explanation.detail.late_outcomes;
    if late > 0 {
        let outcomes = counted(late, "outcome");
        let _ = writeln!(out, "\n{outcomes} came too late to count");
    }
    message(job, &mut out);
    metrics(job, &mut out);
    if wide && job.unreadable.is_none() {
        let _ = writeln!(out, "\nspec {}", canonical(&job.spec));
    }
    out
}

/// The last fault's message, if it says more than its first line.
fn message(job: &JobView, out: &mut String) {
    let text = job.message.trim();
    if text.lines().count() < 2 {
        return;
    }
    out.push_str("\nthe last fault said\n");
    for line in text.lines() {
        let _ = writeln!(out, "  {}", visible(line));
    }
}

/// What was measured besides the test error.
fn metrics(job: &JobView, out: &mut String) {
    let Some(measured) = &job.measurement else {
        return;
    };
    let (values, others) = (&measured.values, measured.values.without(&COLUMNS));
    let fields = [TEST_LOSS, BEST_TEST_ERROR].into_iter();
    let fields = fields.filter_map(|name| Some((name, values.get(name)?)));
    let fields = fields.chain([("train_seconds", measured.train_seconds)]);
    let all: Vec<(&str, f64)> = fields.chain(others.iter()).collect();
    let width = all.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    out.push_str("\nit measured\n");
    for (name, value) in all {
        let _ = writeln!(out, "  {name:width$}  {}", compact(value));
    }
    if let Some(weights) = measured.weights {
        let _ = writeln!(out, "  {:width$}  {weights}", "weights");
    }
}

/// Where a reader can look next; `asked` follows the words of a command.
pub(crate) fn next(explanation: &Explanation, asked: &str) -> String {
    let id = explanation.detail.job.digest.short();
    let files = match explanation.left {
        Some(_) => format!(", `coordinator files {id} -o DIR{asked}` fetches its files"),
        None => String::new(),
    };
    format!("`coordinator logs {id}{asked}`, `coordinator curves {id}{asked}`{files}")
}

/// A job's attempts.
pub(crate) fn attempts(attempts: &[AttemptView]) -> Listing {
    let columns = [
        Column::number("attempt"),
        Column::text("worker"),
        Column::text("granted"),
        Column::number("took"),
        Column::text("ended"),
        Column::text("message"),
        Column::text("ended at").wide(),
        Column::text("device").wide(),
        Column::text("trainer").wide(),
        Column::text("libtorch").wide(),
        Column::number("session").wide(),
    ];
    let mut listing = Listing::new("attempts", columns);
    for attempt in attempts {
        listing.push(
            attempt.attempt.to_string(),
            fields(attempt),
            document(attempt),
        );
    }
    listing
}

fn fields(attempt: &AttemptView) -> Vec<String> {
    let took = attempt
        .ended_at
        .map(|ended| duration(ended.since(attempt.granted_at).as_secs_f64()));
    let ended = match attempt.ended.as_str() {
        "" => "open".to_owned(),
        ended => ended.replace('_', " "),
    };
    let forgotten = match attempt.forgotten_at {
        Some(_) => ", forgotten",
        None => "",
    };
    let provenance = attempt.provenance.clone().unwrap_or_default();
    vec![
        attempt.attempt.to_string(),
        attempt.worker.to_string(),
        utc(attempt.granted_at),
        took.unwrap_or_default(),
        format!("{ended}{forgotten}"),
        headline(&attempt.message).to_owned(),
        moment(attempt.ended_at),
        provenance.device,
        provenance.trainer,
        provenance.libtorch,
        attempt.session.to_string(),
    ]
}
