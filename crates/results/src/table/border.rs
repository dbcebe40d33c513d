//! Whether the best cell lies at the edge of the values that were tried.

use serde_json::Value;
use swath_model::text::parameter;
use swath_model::view::CellResults;

use super::{Results, label};

impl Results {
    /// A sentence for each numeric axis at whose end the best cell lies: a
    /// better cell may lie beyond. A least value of 0 is no such end. Axes with
    /// fewer than three values at the best cell have no inside and are left out.
    /// None while a replicate is open, or where several cells are the best.
    pub(super) fn border(&self) -> Vec<String> {
        let is_final = self.summaries.iter().all(|it| it.tally().open == 0);
        if !is_final {
            return Vec::new();
        }
        let [best] = self.best()[..] else {
            return Vec::new();
        };
        let cell = &self.cells[best];
        let edges = cell.axes.iter().filter_map(|(axis, value)| {
            let end = self.end(cell, axis, value.as_f64()?)?;
            Some((axis, value, end))
        });
        let edges = edges.map(|(axis, value, end)| {
            let (word, beyond) = if end == End::Least {
                ("least", "below")
            } else {
                ("greatest", "above")
            };
            let (figure, value) = (self.summaries[best].measured, parameter(value));
            format!(
                "The best cell ({figure} at {}) has the {word} {} that was tried; to look further, \
                 add a value {beyond} {value} to `{}` in the sweep file and submit it again: \
                 what is measured stays",
                self.describe(best),
                label(axis),
                self.definition.name(axis),
            )
        });
        edges.collect()
    }

    /// The axes that vary, as `batch size 128, lr 0.1`.
    pub fn describe(&self, place: usize) -> String {
        let cell = &self.cells[place];
        let varies = |(axis, value): &&(String, Value)| {
            let mut others = self.cells.iter();
            others.any(|other| of(other, axis) != Some(value))
        };
        let axes = cell.axes.iter().filter(varies);
        let texts = axes.map(|(axis, value)| format!("{} {}", label(axis), parameter(value)));
        texts.collect::<Vec<_>>().join(", ")
    }

    /// Whether `value` is at an end of `axis` among the cells that agree with
    /// `cell` on every other axis.
    fn end(&self, cell: &CellResults, axis: &str, value: f64) -> Option<End> {
        let beside = self.cells.iter().filter(|other| {
            other.axes.len() == cell.axes.len()
                && cell
                    .axes
                    .iter()
                    .all(|(path, value)| path == axis || of(other, path) == Some(value))
        });
        let mut values: Vec<f64> = beside
            .filter_map(|other| of(other, axis)?.as_f64())
            .collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        let [least, _, .., greatest] = values.as_slice() else {
            return None;
        };
        if value <= *least {
            // Many parameters cannot be negative, and 0 turns them off.
            Some(End::Least).filter(|_| value != 0.0)
        } else if value >= *greatest {
            Some(End::Greatest)
        } else {
            None
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Least,
    Greatest,
}

/// The value of an axis in a cell.
pub(super) fn of<'a>(cell: &'a CellResults, axis: &str) -> Option<&'a Value> {
    let mut axes = cell.axes.iter();
    axes.find(|(path, _)| path == axis).map(|(_, value)| value)
}
