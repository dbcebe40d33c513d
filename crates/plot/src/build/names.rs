//! Names of cells in a picture.

use std::collections::BTreeSet;

use swath_model::text::parameter;
use swath_results::table::label;

use super::axes::Axis;

/// The most axes whose names fit into a heading.
const HEADED_MOST: usize = 3;

/// Names the cells by their values on some axes. Usually there are only the
/// values, below a heading that names the axes. Where there are many axes, or
/// cells lack some, each value comes with its own name, and values that nearly
/// all cells share are left out.
pub(super) struct Names<'a> {
    axes: &'a [&'a Axis],
    told: bool,
    /// For each axis the value that is left out because most cells have it.
    usual: Vec<Option<usize>>,
}

impl<'a> Names<'a> {
    pub(super) fn new(axes: &'a [&'a Axis]) -> Self {
        let partial = axes.iter().any(|axis| !axis.is_whole());
        let mut names = Self {
            axes,
            told: axes.len() > 1 && (partial || axes.len() > HEADED_MOST),
            usual: vec![None; axes.len()],
        };
        if names.told {
            for at in 1..axes.len() {
                names.leave_out(at);
            }
        }
        names
    }

    /// Leaves out the value that most cells have on an axis, if the names still
    /// tell the same cells apart.
    fn leave_out(&mut self, at: usize) {
        let places = &self.axes[at].places;
        let count = |value: usize| places.iter().filter(|it| **it == Some(value)).count();
        let Some(most) = (0..self.axes[at].values.len()).max_by_key(|value| count(*value)) else {
            return;
        };
        let before = self.distinct();
        if count(most) * 2 > places.len() {
            self.usual[at] = Some(most);
            if self.distinct() < before {
                self.usual[at] = None;
            }
        }
    }

    fn distinct(&self) -> usize {
        let cells = self.axes.first().map_or(0, |axis| axis.places.len());
        let names: BTreeSet<String> = (0..cells).map(|cell| self.of(cell)).collect();
        names.len()
    }

    /// The names of the axes, if they are above the values.
    pub(super) fn heading(&self) -> String {
        if self.told {
            return String::new();
        }
        let names: Vec<String> = self.axes.iter().map(|axis| label(&axis.path)).collect();
        names.join(", ")
    }

    /// A note about the values that are left out.
    pub(super) fn note(&self) -> Option<String> {
        let usual = self.axes.iter().zip(&self.usual);
        let texts = usual.filter_map(|(axis, place)| named(axis, (*place)?));
        let texts: Vec<String> = texts.collect();
        (!texts.is_empty()).then(|| format!("Where nothing else is said: {}.", texts.join(", ")))
    }

    /// The name of a cell.
    pub(super) fn of(&self, cell: usize) -> String {
        if !self.told {
            let texts: Vec<String> = self.axes.iter().map(|axis| axis.text(cell)).collect();
            return texts.join(", ");
        }
        let named = self
            .axes
            .iter()
            .zip(&self.usual)
            .filter_map(|(axis, usual)| {
                let place = axis.places[cell]?;
                (Some(place) != *usual).then(|| named(axis, place))?
            });
        let texts: Vec<String> = named.collect();
        match texts.as_slice() {
            [] if self.usual.iter().any(Option::is_some) => "as usual".to_owned(),
            [] => "none".to_owned(),
            texts => texts.join(", "),
        }
    }
}

/// A value with the name of its axis; words need none.
fn named(axis: &Axis, place: usize) -> Option<String> {
    let value = axis.values.get(place)?;
    let text = parameter(value);
    if value.is_string() {
        return Some(text);
    }
    let name = label(&axis.path);
    let name = name.strip_prefix("model ").unwrap_or(&name);
    Some(format!("{name} {text}"))
}
