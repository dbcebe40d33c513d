//! Turns documents into what people read. Nothing here prints, waits or asks.

pub(crate) mod best;
pub(crate) mod decisions;
pub(crate) mod explain;
pub(crate) mod failures;
pub(crate) mod files;
pub(crate) mod jobs;
pub(crate) mod logs;
pub(crate) mod progress;
pub(crate) mod status;
pub(crate) mod sweeps;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod workers;

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;
use swath_model::metrics::{self, TEST_ERROR};
use swath_model::time::Timestamp;
use swath_model::view::JobView;
use swath_report::utc;
use swath_results::summary::Unit;

/// An optional point in time; empty when it is absent.
pub(crate) fn moment(at: Option<Timestamp>) -> String {
    at.map(utc).unwrap_or_default()
}

/// A cause as text for a list; empty when there is none.
pub(crate) fn words(cause: Option<&impl std::fmt::Display>) -> String {
    cause.map(ToString::to_string).unwrap_or_default()
}

/// What a column of the jobs' own metric is called: as they name it, if they
/// agree.
pub(crate) fn metric_head(jobs: &[JobView]) -> String {
    let names: BTreeSet<&str> = jobs.iter().map(|job| metrics::own(&job.spec)).collect();
    match (names.first(), names.len()) {
        (Some(&name), 1) if name != TEST_ERROR => name.to_owned(),
        (_, 0 | 1) => "test error [%]".to_owned(),
        _ => "measured".to_owned(),
    }
}

/// A value of a job's own metric for a list, with so many more decimals than
/// usual; empty when it is absent.
pub(crate) fn metric(job: &JobView, value: Option<f64>, more: usize) -> String {
    value
        .map(|value| unit(job).text_to(value, more))
        .unwrap_or_default()
}

/// How many more decimals than usual tell the least and the greatest value of a
/// list from all others.
pub(crate) fn more_decimals(jobs: &[JobView], value: impl Fn(&JobView) -> Option<f64>) -> usize {
    let Some(unit) = jobs.first().map(unit) else {
        return 0;
    };
    let values: Vec<f64> = jobs.iter().filter_map(value).collect();
    let ends = [f64::min, f64::max].map(|pick| values.iter().copied().reduce(pick));
    let ends = ends.into_iter().flatten();
    unit.telling_apart(ends.flat_map(|end| values.iter().map(move |it| [*it, end])))
}

fn unit(job: &JobView) -> Unit {
    if metrics::own(&job.spec) == TEST_ERROR {
        Unit::Percent
    } else {
        Unit::Plain
    }
}

/// A view as JSON for programs.
pub(crate) fn document(view: &impl Serialize) -> Value {
    // Views are plain data with text keys, which always have a JSON form.
    serde_json::to_value(view).unwrap_or_default()
}
