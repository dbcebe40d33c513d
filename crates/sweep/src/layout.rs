//! How a sweep's table is laid out: its `[table]` section.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use swath_model::metrics;
use swath_model::outcome::COLUMNS;
use swath_model::protocol::FINISHED;
use swath_model::spec::keys;
use swath_model::suggest::nearest;

use super::error::Errors;
use super::naming::LABEL;
use super::program::unset;
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
            columns: Self::measures(metric),
        }
    }

    /// Reads `[table]`. `axes` name the rows by default, among them [`LABEL`]
    /// where cells have labels; `params` are the parameters that the file sets;
    /// `metric` is what a program reports instead of `test_error`.
    pub(super) fn read(
        node: &Node,
        axes: &[String],
        params: &BTreeSet<&str>,
        metric: Option<&str>,
        bare: Bare,
        errors: &mut Errors,
    ) -> Self {
        let section = Section::open("table", node, &["rows", "columns", "cell"], errors);
        let is_label = axes.iter().any(|axis| axis == LABEL);
        let key = |name: &str| match name {
            LABEL if is_label => Ok(()),
            LABEL => Err("`label`: no [[grid]] block has one".to_owned()),
            name => unset(&bare.path(name), params).map_or_else(|| key(name), Err),
        };
        let shown = |name: &str| match name {
            LABEL => key(name),
            name if name.starts_with("metrics.") => measure(name, metric),
            name if measure(name, metric).is_ok() || key(name).is_ok() => Ok(()),
            name => {
                let parameter = match bare {
                    Bare::Params => nearest(name, params.iter().copied()),
                    Bare::Spec => keys::meant(name),
                };
                Err(no_column(name, metric, parameter))
            }
        };
        let meant = |name: &str| meant(name, axes, params, metric, bare);
        let mut list = |key: &'static str, check: &dyn Fn(&str) -> Result<(), String>| {
            list(&section, key, meant, check, errors)
        };
        let cell = list("cell", &|name| measure(name, metric));
        let rows = list("rows", &key);
        let columns = match cell {
            Some(_) => list("columns", &key),
            None => list("columns", &shown),
        };
        let metric = metric.unwrap_or("test_error");
        let Some(cell) = cell.map(|cell| cell.into_iter().next().unwrap_or_default()) else {
            return Self::List {
                rows: rows.unwrap_or_else(|| axes.to_vec()),
                columns: columns.unwrap_or_else(|| Self::measures(metric)),
            };
        };
        let Some(sides) = rows.zip(columns) else {
            let message = "makes a pivot, which needs `rows` and `columns` too";
            errors.push(section.place_of("cell").error("table.cell", message));
            return Self::plain(axes.to_vec(), &cell);
        };
        Self::pivot(&section, sides, cell, errors)
    }

    fn pivot(
        section: &Section<'_>,
        (rows, mut columns): (Vec<String>, Vec<String>),
        cell: String,
        errors: &mut Errors,
    ) -> Self {
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

    /// What a table shows of each cell by default.
    fn measures(metric: &str) -> Vec<String> {
        vec![metric.to_owned(), "train_time".to_owned()]
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

/// The names in a list of the section, as they are meant, of those that `check` lets
/// pass; none where the section has no such list.
fn list(
    section: &Section<'_>,
    key: &'static str,
    meant: impl Fn(&str) -> String,
    check: &dyn Fn(&str) -> Result<(), String>,
    errors: &mut Errors,
) -> Option<Vec<String>> {
    let node = section.get(key)?;
    let (path, before) = (format!("table.{key}"), errors.len());
    let mut names = Vec::new();
    for item in node.items() {
        let name = item.text().map(&meant);
        match name.as_deref().map_or(Err(NAME.to_owned()), check) {
            Ok(()) => names.extend(name),
            Err(message) => errors.push(item.place.error(path.clone(), message)),
        }
    }
    if names.is_empty() && errors.len() == before {
        errors.push(node.place.error(path, "is empty"));
    }
    Some(names)
}

/// What `name` stands for: a parameter of a program may be named without
/// `params.`, unless a measure has that name and no axis.
fn meant(
    name: &str,
    axes: &[String],
    params: &BTreeSet<&str>,
    metric: Option<&str>,
    bare: Bare,
) -> String {
    let path = bare.path(name);
    let is_measure = || measure(name, metric).is_ok();
    if axes.contains(&path) || params.contains(name) && !is_measure() {
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
    let near = nearest(name, metric.into_iter().chain(MEASURES));
    let hint = near.map_or_else(
        || measures(metric),
        |near| format!("did you mean `{near}`?"),
    );
    Err(format!("`{name}`: no such measure; {hint}"))
}

/// What to say of a column that is neither a measure nor one of the parameters; `parameter` is the one that was likely
/// meant.
fn no_column(name: &str, metric: Option<&str>, parameter: Option<&str>) -> String {
    let near = nearest(name, metric.into_iter().chain(MEASURES)).or(parameter);
    let hint = near.map_or_else(
        || measures(metric),
        |near| format!("did you mean `{near}`?"),
    );
    format!("`{name}`: no such parameter or measure; {hint}")
}

fn measures(metric: Option<&str>) -> String {
    format!(
        "the measures are {}, and `metrics.NAME` for any other number that trainings send",
        names(metric.into_iter().chain(MEASURES))
    )
}
