//! The axes of a sweep that vary, and the places of its cells on them.

use std::collections::BTreeMap;

use serde_json::Value;
use swath_model::text::parameter;
use swath_results::table::Results;

/// One axis.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub(super) path: String,
    /// Its values: numbers in rising order, others in order of first
    /// appearance.
    pub(super) values: Vec<Value>,
    /// For each cell the index of its value; none where it has none.
    pub(super) places: Vec<Option<usize>>,
    /// Whether every value is a number.
    pub(super) numeric: bool,
}

impl Axis {
    pub(super) fn number(&self, cell: usize) -> Option<f64> {
        self.values.get(self.places[cell]?)?.as_f64()
    }

    pub(super) fn text(&self, cell: usize) -> String {
        let value = self.places[cell].and_then(|place| self.values.get(place));
        value.map_or_else(|| "none".to_owned(), parameter)
    }

    /// Whether every cell has a value.
    pub(super) fn is_whole(&self) -> bool {
        self.places.iter().all(Option::is_some)
    }

    /// Cells without a value differ from those with one.
    fn varies(&self) -> bool {
        self.values.len() > 1 || (self.values.len() == 1 && !self.is_whole())
    }

    fn is_named(&self, names: &[&str]) -> bool {
        let last = self.path.rsplit('.').next().unwrap_or(&self.path);
        self.numeric && self.values.len() > 1 && names.contains(&last)
    }
}

/// Whether an axis only repeats what the others say.
pub(super) fn depends(axis: &Axis, others: &[&Axis]) -> bool {
    let mut seen: BTreeMap<Vec<Option<usize>>, Option<usize>> = BTreeMap::new();
    (0..axis.places.len()).all(|cell| {
        let key = others.iter().map(|it| it.places[cell]).collect();
        *seen.entry(key).or_insert(axis.places[cell]) == axis.places[cell]
    })
}

/// Every axis that varies.
#[derive(Clone, Debug)]
pub(super) struct Axes {
    pub(super) all: Vec<Axis>,
    /// Whether parameters of a program may be named without their table.
    bare: bool,
}

impl Axes {
    pub(super) fn of(results: &Results) -> Self {
        let axes = results.axes().iter().map(|path| read(results, path));
        Self {
            all: axes.filter(Axis::varies).collect(),
            bare: results.definition().bare,
        }
    }

    pub(super) fn find(&self, path: &str) -> Option<&Axis> {
        let is_bare = |axis: &Axis| axis.path.strip_prefix("params.") == Some(path);
        let named = |axis: &&Axis| axis.path == path || (self.bare && is_bare(axis));
        self.all.iter().find(named)
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.all.iter().map(|axis| axis.path.clone()).collect()
    }

    fn named(&self, names: &[&str]) -> Option<&Axis> {
        self.all.iter().find(|axis| axis.is_named(names))
    }

    pub(super) fn lr(&self) -> Option<&Axis> {
        self.named(&["lr", "learning_rate", "initial_lr", "base_lr"])
    }

    pub(super) fn batch(&self) -> Option<&Axis> {
        self.named(&["batch_size", "batch"])
    }

    pub(super) fn budget(&self) -> Option<&Axis> {
        self.named(&["epochs", "steps", "max_steps"])
    }

    /// An axis of numbers that every cell has, if there is one.
    pub(super) fn numeric(&self) -> Option<&Axis> {
        let several = || self.several().filter(|axis| axis.numeric);
        several().find(|axis| axis.is_whole()).or(several().next())
    }

    /// An axis with several values that every cell has, other than `taken`;
    /// otherwise one that most cells have.
    pub(super) fn shared(&self, taken: Option<&str>) -> Option<&Axis> {
        let others = || {
            self.several()
                .filter(|axis| Some(axis.path.as_str()) != taken)
        };
        let lacking = |axis: &&Axis| axis.places.iter().filter(|it| it.is_none()).count();
        others().min_by_key(lacking)
    }

    /// The axes with at least two values.
    pub(super) fn several(&self) -> impl Iterator<Item = &Axis> {
        self.all.iter().filter(|axis| axis.values.len() > 1)
    }
}

fn read(results: &Results, path: &str) -> Axis {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut values: Vec<Value> = Vec::new();
    let mut places = Vec::new();
    for (cell, _) in results.cells() {
        let value = cell.axes.iter().find(|(axis, _)| axis == path);
        let value = value.map(|(_, value)| value).filter(|it| !it.is_null());
        places.push(value.map(|value| {
            *seen.entry(parameter(value)).or_insert_with(|| {
                values.push(value.clone());
                values.len() - 1
            })
        }));
    }
    let numeric = values.iter().all(|it| it.as_f64().is_some());
    if numeric {
        let number = |place: &usize| values[*place].as_f64().unwrap_or_default();
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|left, right| number(left).total_cmp(&number(right)));
        let mut place_of = vec![0; order.len()];
        for (new, old) in order.iter().enumerate() {
            place_of[*old] = new;
        }
        values = order.iter().map(|old| values[*old].clone()).collect();
        for place in places.iter_mut().flatten() {
            *place = place_of[*place];
        }
    }
    Axis {
        path: path.to_owned(),
        values,
        places,
        numeric,
    }
}
