//! Turns documents into what people read. Nothing here prints, waits or asks.

pub(crate) mod decisions;
pub(crate) mod explain;
pub(crate) mod failures;
pub(crate) mod jobs;
pub(crate) mod progress;
pub(crate) mod status;
pub(crate) mod sweeps;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod workers;

use serde::Serialize;
use serde_json::Value;
use swath_model::time::Timestamp;
use swath_report::utc;

/// An optional point in time; empty when it is absent.
pub(crate) fn moment(at: Option<Timestamp>) -> String {
    at.map(utc).unwrap_or_default()
}

/// A cause as text for a list; empty when there is none.
pub(crate) fn words(cause: Option<&impl std::fmt::Display>) -> String {
    cause.map(ToString::to_string).unwrap_or_default()
}

/// A percentage for a list; empty when it is absent.
pub(crate) fn percent(value: Option<f64>) -> String {
    value.map(|value| format!("{value:.2}")).unwrap_or_default()
}

/// A view as JSON for programs.
pub(crate) fn document(view: &impl Serialize) -> Value {
    // Views are plain data with text keys, which always have a JSON form.
    serde_json::to_value(view).unwrap_or_default()
}
