//! What the rows and columns of a table may name.

use std::collections::BTreeSet;

use swath_model::suggest::did_you_mean;
use swath_sweep::LABEL;

use super::{Results, TableError};
use crate::summary::Quantity;

/// What a name should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// A parameter.
    Parameter,
    /// Something measured.
    Measure,
    /// Either.
    Either,
}

impl Named {
    const fn words(self) -> &'static str {
        match self {
            Self::Parameter => "parameter",
            Self::Measure => "measure",
            Self::Either => "parameter and no measure",
        }
    }
}

impl Results {
    /// Checks that a name means something to these cells.
    ///
    /// # Errors
    ///
    /// When no cell has such a parameter, and none has such a measure.
    pub fn check_name(&self, name: &str, named: Named) -> Result<(), TableError> {
        let is_parameter = named != Named::Measure && self.has_parameter(name);
        let is_measure = named != Named::Parameter && self.has_measure(name);
        if is_parameter || is_measure || self.cells.is_empty() {
            return Ok(());
        }
        Err(self.unknown(name, named))
    }

    /// The error for a name that means nothing.
    pub(super) fn unknown(&self, name: &str, named: Named) -> TableError {
        let mut names: Vec<String> = Vec::new();
        if named != Named::Measure {
            names.extend(self.axes.iter().cloned());
            let shown = self.definition.parameters.iter().map(|it| it.path.clone());
            names.extend(shown);
        }
        if named != Named::Parameter {
            names.push(self.metric().to_owned());
            names.push("train_time".to_owned());
            names.extend(self.recorded().into_iter().map(str::to_owned));
        }
        let names = names.iter().map(String::as_str);
        TableError::Unknown {
            name: name.to_owned(),
            what: named.words(),
            there: did_you_mean(name, names, "there are"),
        }
    }

    fn has_parameter(&self, path: &str) -> bool {
        let mut cells = self.cells.iter();
        path == LABEL || cells.any(|cell| self.definition.value(path, cell).is_some())
    }

    /// Whether something of this name is measured; while nothing is, it may be
    /// yet.
    fn has_measure(&self, name: &str) -> bool {
        match self.measured(name).map(|it| it.quantity) {
            None => false,
            Some(Quantity::Metric(metric)) => {
                let recorded = self.recorded();
                recorded.is_empty() || recorded.contains(&*metric)
            }
            Some(Quantity::Measured(_) | Quantity::TrainSeconds) => true,
        }
    }

    /// The names of the metrics of all trainings.
    pub(super) fn recorded(&self) -> BTreeSet<&str> {
        let replicates = self.cells.iter().flat_map(|cell| &cell.replicates);
        let measured = replicates.filter_map(|it| it.measurement.as_ref());
        measured
            .flat_map(|it| it.values.iter().map(|(name, _)| name))
            .collect()
    }
}
