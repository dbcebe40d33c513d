//! What filters name that is not there.

use std::collections::BTreeSet;

use serde_json::Value;
use swath_model::suggest::{did_you_mean, nearest_value};
use swath_model::text::{cut, parameter};

use super::select::{Filter, SubjectView};

/// The most different values of a parameter that are remembered.
const VALUES_MOST: usize = 1000;
/// So much of each is remembered, in bytes.
const VALUE_BYTES: usize = 200;
/// The most names of parameters that are remembered.
const NAMES_MOST: usize = 10_000;

/// Why filters let nothing through: they name a parameter that nothing has, or a
/// value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Nothing has the parameter.
    #[error("`{field}` is no parameter here; {there}")]
    Unknown {
        /// What the filter names.
        field: String,
        /// Which one was meant, and which there are.
        there: String,
    },
    /// No value of the parameter passes.
    #[error("nothing has `{filter}`; {there}")]
    NoValue {
        /// The filter as text.
        filter: String,
        /// Which values there are.
        there: String,
    },
    /// Each filter lets something through, and all of them nothing.
    #[error("nothing has all of {filters}")]
    NoneTogether {
        /// The filters as text.
        filters: String,
    },
}

/// Looks at what filters are asked about, and says what they name in vain.
#[derive(Clone, Debug)]
pub struct Missed<'a> {
    seen: Vec<Seen<'a>>,
    /// The names of all parameters.
    names: BTreeSet<String>,
    any: bool,
    together: bool,
}

#[derive(Clone, Debug)]
struct Seen<'a> {
    filter: &'a Filter,
    values: BTreeSet<String>,
    passes: bool,
}

impl<'a> Missed<'a> {
    /// About these filters. Those over a state are left out, because no state is
    /// a mistake, only one that nothing is in.
    pub fn new(filters: &'a [Filter]) -> Self {
        let asked = filters.iter().filter(|it| it.field != "state");
        let seen = asked.map(|filter| Seen {
            filter,
            values: BTreeSet::new(),
            passes: false,
        });
        Self {
            seen: seen.collect(),
            names: BTreeSet::new(),
            any: false,
            together: false,
        }
    }

    /// Takes note of one subject.
    pub fn see(&mut self, subject: &SubjectView<'_>) {
        self.any = true;
        if let Some(spec) = subject.spec
            && self.names.len() < NAMES_MOST
        {
            leaves(spec, "", &mut self.names);
        }
        let mut together = true;
        for seen in &mut self.seen {
            let passes = seen.filter.matches(subject);
            together &= passes;
            seen.passes |= passes;
            if let Some(value) = seen.filter.value(subject)
                && seen.values.len() < VALUES_MOST
            {
                seen.values.insert(cut(parameter(&value), VALUE_BYTES));
            }
        }
        self.together |= together;
    }

    /// What is wrong with the filters, if anything is. Where nothing was seen,
    /// nothing is known.
    pub fn verdict(&self) -> Result<(), FilterError> {
        if !self.any {
            return Ok(());
        }
        for Seen { filter, values, .. } in &self.seen {
            if values.is_empty() {
                let names = self.names.iter().map(String::as_str);
                return Err(FilterError::Unknown {
                    field: filter.field.clone(),
                    there: did_you_mean(&filter.field, names, "there are"),
                });
            }
        }
        if let Some(seen) = self.seen.iter().find(|it| !it.passes) {
            let mut values: Vec<String> = seen.values.iter().cloned().collect();
            // As numbers, where they are.
            values.sort_by(|left, right| {
                let number = |text: &str| text.parse().unwrap_or(f64::INFINITY);
                number(left).total_cmp(&number(right))
            });
            return Err(FilterError::NoValue {
                filter: seen.filter.to_string(),
                there: nearest_value(&seen.filter.text, &values),
            });
        }
        if !self.together {
            let filters = self.seen.iter().map(|it| format!("`{}`", it.filter));
            return Err(FilterError::NoneTogether {
                filters: filters.collect::<Vec<_>>().join(" and "),
            });
        }
        Ok(())
    }
}

/// The dotted paths of the values of a tree.
fn leaves(tree: &Value, prefix: &str, names: &mut BTreeSet<String>) {
    for (name, value) in tree.as_object().into_iter().flatten() {
        let path = match prefix {
            "" => name.clone(),
            prefix => format!("{prefix}.{name}"),
        };
        if path == "trainer" {
            // How a program is run is rarely what is asked for.
            continue;
        }
        if value.is_object() {
            leaves(value, &path, names);
        } else {
            names.insert(path);
        }
    }
}
