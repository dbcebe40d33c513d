//! How a sweep's table is laid out: its `[table]` section.

use serde::{Deserialize, Serialize};
use swath_model::metrics;
use swath_model::outcome::COLUMNS;
use swath_model::protocol::FINISHED;
use swath_model::spec::keys;
use swath_model::suggest::nearest;

use super::error::FileError;
use super::naming::LABEL;
use super::section::{Section, names};
use super::settings::Bare;
use super::source::Node;

/// What a column of the table may show, in addition to parameters and to any
/// other metric as `metrics.NAME`.
pub const MEASURES: [&str; 9] = [
    "test_error",
    "test_loss",
    "best_test_error",
    "train_time",
    "median_test_error",
    "train_loss",
    "train_error",
    "images_per_second",
    "distance",
];

/// The metric that the measure `name` shows: one that every training of the
/// built-in trainer sends, or any metric after `metrics.`.
pub fn metric_of(name: &str) -> Option<&str> {
    match name.strip_prefix("metrics.") {
        Some(metric) => Some(metric).filter(|metric| metrics::is_name(metric)),
        None => Some(name).filter(|name| FINISHED[COLUMNS.len()..].contains(name)),
    }
}

/// What the rows, columns and fields of a table show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// One row per cell.
    List {
        /// The parameters that name the row.
        rows: Vec<String>,
        /// What the columns show.
        columns: Vec<String>,
    },
    /// One field per cell.
    Pivot {
        /// The parameters that name the row.
        rows: Vec<String>,
        /// The parameter whose values are the columns.
        columns: String,
        /// What a field shows.
        cell: String,
    },
}

impl Layout {
    /// One row per cell, named by every axis.
    pub(super) fn plain(axes: Vec<String>, metric: &str) -> Self {
        Self::List {
            rows: axes,
            columns: vec![metric.to_owned(), "train_time".to_owned()],
        }
    }

    /// Reads `[table]`. `axes` name the rows by default, among them [`LABEL`]
    /// where cells have labels; `metric` is what a program reports instead of
    /// `test_error`.
    pub(super) fn read(
        node: &Node,
        axes: &[String],
        metric: Option<&str>,
        bare: Bare,
        errors: &mut Vec<FileError>,
    ) -> Self {
        let plain = Self::plain(axes.to_vec(), metric.unwrap_or("test_error"));
        let section = Section::open("table", node, &["rows", "columns", "cell"], errors);
        let mut list = |key: &'static str, check: &dyn Fn(&str) -> Result<(), String>| {
            let node = section.get(key)?;
            let before = errors.len();
            let items: Vec<String> = node
                .items()
                .iter()
                .filter_map(|item| {
                    let path = format!("table.{key}");
                    let name = item.text().map(|name| meant(name, axes, bare));
                    match name.as_deref().map_or(Err(NAME.to_owned()), check) {
                        Ok(()) => name,
                        Err(message) => {
                            errors.push(item.place.error(path, message));
                            None
                        }
                    }
                })
                .collect();
            if items.is_empty() && errors.len() == before {
                errors.push(node.place.error(format!("table.{key}"), "is empty"));
            }
            Some(items)
        };
        let is_label = axes.iter().any(|axis| axis == LABEL);
        let key = |name: &str| match name {
            LABEL if is_label => Ok(()),
            LABEL => Err("`label`: no [[grid]] block has one".to_owned()),
            name => key(name),
        };
        let shown = |name: &str| match name {
            LABEL => key(name),
            name => measure_or_key(name, metric),
        };
        let cell = list("cell", &|name| measure(name, metric));
        let rows = list("rows", &key);
        let columns = match cell {
            Some(_) => list("columns", &key),
            None => list("columns", &shown),
        };
        let Self::List {
            rows: axes,
            columns: measures,
        } = plain
        else {
            return plain;
        };
        let Some(cell) = cell.map(|cell| cell.into_iter().next().unwrap_or_default()) else {
            return Self::List {
                rows: rows.unwrap_or(axes),
                columns: columns.unwrap_or(measures),
            };
        };
        let (Some(rows), Some(mut columns)) = (rows, columns) else {
            let message = "makes a pivot, which needs `rows` and `columns` too";
            errors.push(section.place_of("cell").error("table.cell", message));
            return Self::plain(axes, &cell);
        };
        if columns.len() > 1 {
            let message = "must be one parameter in a pivot; `rows` may be several";
            errors.push(section.place_of("columns").error("table.columns", message));
        }
        Self::Pivot {
            rows,
            columns: columns.pop().unwrap_or_default(),
            cell,
        }
    }

    /// Every parameter that it reads.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        let (rows, columns) = match self {
            Self::List { rows, columns } => (rows, columns.as_slice()),
            Self::Pivot { rows, columns, .. } => (rows, std::slice::from_ref(columns)),
        };
        rows.iter()
            .chain(columns)
            .map(String::as_str)
            .filter(|name| *name == LABEL || keys::find(name).is_some())
    }
}

/// What `name` stands for: an axis that is a parameter of a program may be named
/// without `params.`.
fn meant(name: &str, axes: &[String], bare: Bare) -> String {
    let path = bare.path(name);
    if axes.contains(&path) {
        path
    } else {
        name.to_owned()
    }
}

const NAME: &str = "must be a name or a list of names";

fn key(name: &str) -> Result<(), String> {
    if keys::find(name).is_some() {
        return Ok(());
    }
    let why = keys::unknown(name).message;
    Err(format!("`{name}`: {why}"))
}

fn measure(name: &str, metric: Option<&str>) -> Result<(), String> {
    if MEASURES.contains(&name) || metric == Some(name) || metric_of(name).is_some() {
        return Ok(());
    }
    if name.starts_with("metrics.") {
        return Err(format!("`{name}`: {}", metrics::MetricError::Name));
    }
    let known = || metric.into_iter().chain(MEASURES);
    Err(match nearest(name, known()) {
        Some(near) => format!("`{name}`: no such measure; did you mean `{near}`?"),
        None => format!(
            "`{name}`: no such measure; the measures are {}",
            names(known())
        ),
    })
}

fn measure_or_key(name: &str, metric: Option<&str>) -> Result<(), String> {
    match (measure(name, metric), key(name)) {
        (Err(message), Err(why)) => Err(
            if message.contains("did you mean") || name.starts_with("metrics.") {
                message
            } else if why.contains("did you mean") {
                why
            } else {
                let known = metric.into_iter().chain(MEASURES);
                format!(
                    "`{name}`: no such parameter or measure; the measures are {}, and \
                 `metrics.NAME` for any other number that trainings send",
                    names(known)
                )
            },
        ),
        _ => Ok(()),
    }
}
