//! What a sweep stores for its table, so that it can be drawn without the file.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use swath_model::keep::Keep;
use swath_model::metrics::{Goal, TEST_ERROR};
use swath_model::spec::Work;
use swath_model::view::{CellResults, Epochs};
use swath_sweep::reference::{Published, Reference};
use swath_sweep::{LABEL, Layout, Measure, Whole};

use super::TableError;
use crate::summary::{Objective, Quantity, Unit};

/// The part of a sweep's definition that its table needs. It is read from, and
/// written as, a JSON object that may have other keys as well.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// How the table is laid out.
    pub layout: Layout,
    /// Which of a training's values of the metric counts.
    #[serde(default)]
    pub measure: Measure,
    /// The metric that a program reports in place of the test error; absent for
    /// the built-in trainer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// Which values of the metric are better, where the sweep says so; see
    /// [`Definition::goal`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal: Option<Goal>,
    /// The unit of the metric, where the sweep says so; see [`Definition::sign`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Which directories of its program's attempts are kept.
    #[serde(default, skip_serializing_if = "Keep::is_default")]
    pub keep: Keep,
    /// Whether bare names are parameters of the program: `lr` is `params.lr`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bare: bool,
    /// Whether programs of users measure its jobs; they need not tell their best
    /// epoch.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub program: bool,
    /// Parameters that the table shows and that are not axes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
    /// What was published about its cells.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<Published>,
}

/// A parameter that is not an axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// The parameter's path.
    pub path: String,
    /// Its one value, or one for each cell in canonical order; null for a cell
    /// that has none.
    pub values: Vec<Value>,
}

impl Definition {
    /// The definition of a sweep that is about to be submitted.
    pub fn new(sweep: &Whole) -> Self {
        let missing = |path: &&str| sweep.grid.axis(path).is_none();
        let mut parameters: Vec<Parameter> = Vec::new();
        for path in sweep.layout.parameters().filter(missing) {
            if !parameters.iter().any(|seen| seen.path == path) {
                parameters.push(Parameter {
                    path: path.to_owned(),
                    values: Vec::new(),
                });
            }
        }
        let (mut metric, mut goal, mut bare, mut program) = (None, None, false, false);
        for cell in &sweep.cells {
            if let Work::Command(command) = cell.spec.work() {
                program = true;
                metric = Some(command.metric.clone());
                goal = command.goal;
                bare = command.arguments.is_some();
            }
            for parameter in &mut parameters {
                let value = match &*parameter.path {
                    LABEL => cell.label.as_deref().map(Value::from),
                    path => cell.spec.get(path).cloned(),
                };
                parameter.values.push(value.unwrap_or_default());
            }
            if parameters.is_empty() {
                break;
            }
        }
        for parameter in &mut parameters {
            let values = &mut parameter.values;
            if values.iter().all(|value| Some(value) == values.first()) {
                values.truncate(1);
            }
        }
        Self {
            layout: sweep.layout.clone(),
            measure: sweep.measure,
            metric: metric.filter(|metric| metric != TEST_ERROR),
            goal,
            unit: sweep.unit.clone(),
            keep: sweep.keep,
            bare,
            program,
            parameters,
            published: published(sweep),
        }
    }

    /// Reads the definition that was stored with a sweep.
    ///
    /// # Errors
    ///
    /// When it is not a definition.
    pub fn read(stored: &Value) -> Result<Self, TableError> {
        Self::deserialize(stored).map_err(|error| TableError::Definition(error.to_string()))
    }

    /// Which values of which epochs a result needs besides its measurement: the
    /// built-in trainer measures its best one itself.
    pub fn epochs(&self) -> Option<Epochs> {
        let last = match (self.measure, &self.metric) {
            (Measure::MedianOfLast(count), _) => count,
            (Measure::Best, metric) if metric.is_some() || self.program => u32::MAX,
            (Measure::Best | Measure::Last, _) => return None,
        };
        let metric = self.metric().to_owned();
        Some(Epochs { metric, last })
    }

    /// The whole path of a parameter that may be named without its table.
    pub fn path(&self, name: &str) -> String {
        let is_whole = |table: &str| name.starts_with(table);
        if !self.bare || name == LABEL || ["params.", "trainer."].into_iter().any(is_whole) {
            return name.to_owned();
        }
        format!("params.{name}")
    }

    /// What a sweep file calls a parameter.
    pub(super) fn name<'a>(&self, path: &'a str) -> &'a str {
        let bare = path.strip_prefix("params.").filter(|_| self.bare);
        bare.unwrap_or(path)
    }

    /// The metric by which jobs are compared.
    pub fn metric(&self) -> &str {
        self.metric.as_deref().unwrap_or(TEST_ERROR)
    }

    /// Which values of the metric are better: as the sweep says, or else as the
    /// metric's name does; the smaller ones where neither does.
    pub fn goal(&self) -> Goal {
        let implied = || Goal::implied(self.metric());
        self.goal.or_else(implied).unwrap_or_default()
    }

    /// What is measured of each job.
    pub fn quantity(&self) -> Quantity {
        Quantity::Measured(Objective {
            metric: self.metric().to_owned(),
            goal: self.goal(),
            measure: self.measure,
        })
    }

    /// What stands beside the name of what is measured: the unit that the sweep
    /// gives it, or the one that it is known to have.
    pub fn sign(&self) -> Option<&str> {
        self.unit.as_deref().or_else(|| self.unit().sign())
    }

    /// How what is measured is written.
    pub const fn unit(&self) -> Unit {
        match self.metric {
            None => Unit::Percent,
            Some(_) => Unit::Plain,
        }
    }

    /// The value of a parameter in a cell; none where the cell has none.
    pub(super) fn value<'a>(&'a self, path: &str, cell: &'a CellResults) -> Option<&'a Value> {
        let of_axis = || {
            let mut axes = cell.axes.iter();
            axes.find(|(axis, _)| axis == path).map(|(_, value)| value)
        };
        let of_parameter = || {
            let parameter = self.parameters.iter().find(|it| it.path == path)?;
            match parameter.values.as_slice() {
                [value] => Some(value),
                values => values.get(cell.index as usize),
            }
        };
        of_axis()
            .or_else(of_parameter)
            .filter(|value| !value.is_null())
    }
}

/// The lines of the sweep's reference, which was checked when it was read.
fn published(sweep: &Whole) -> Vec<Published> {
    let reference = sweep.reference.as_ref();
    let reference = reference.and_then(|it| Reference::read(&it.file, &it.text).ok());
    reference.map_or_else(Vec::new, |it| it.published(&sweep.cells))
}
