//! Tables with one field per cell: the values of one parameter are the columns.

use std::collections::BTreeMap;

use serde_json::Value;
use swath_model::spec::canonical;
use swath_model::text::parameter;

use super::best::mark_best;
use super::known::Named;
use super::label::{label, labels};
use super::notes::{Marks, caption, footnotes};
use super::{Column, Field, Kind, Results, Row, Shown, Table, TableError};
use crate::summary::Quantity;

/// The values of one parameter over all cells.
struct Scale {
    /// For each cell the index of its value.
    places: Vec<usize>,
    /// The values, in the order in which people read them; none for cells
    /// without one.
    texts: Vec<Option<String>>,
}

impl Results {
    pub(super) fn pivot(
        &self,
        rows: &[String],
        columns: &str,
        shown: &str,
    ) -> Result<Table, TableError> {
        let measured = self
            .measured(shown)
            .ok_or_else(|| self.unknown(shown, Named::Measure))?;
        let scales: Vec<Scale> = rows.iter().map(|path| self.scale(path)).collect();
        let across = self.scale(columns);
        let mut grid: BTreeMap<Vec<usize>, BTreeMap<usize, usize>> = BTreeMap::new();
        for place in 0..self.cells.len() {
            let row = scales.iter().map(|scale| scale.places[place]).collect();
            let column = across.places[place];
            let row: &mut BTreeMap<usize, usize> = grid.entry(row).or_default();
            if let Some(other) = row.insert(column, place) {
                return Err(self.overlap(other, rows, columns));
            }
        }
        let is_measured = matches!(measured.quantity, Quantity::Measured(..));
        let marks = Marks::of_figures(self, is_measured);
        let mut body = Vec::with_capacity(grid.len());
        for row in grid.values() {
            let Some(place) = row.values().next() else {
                continue;
            };
            let names = rows.iter().map(|path| self.parameter(path, *place));
            let mut fields: Vec<Field> = names.collect();
            for column in 0..across.texts.len() {
                fields.push(match row.get(&column) {
                    None => Field::Blank,
                    Some(place) => Field::Figure(Shown {
                        figure: self.figure(*place, &measured.quantity, measured.unit)?,
                        best: false,
                        marks: marks.of(*place),
                        brief: false,
                    }),
                });
            }
            body.push(Row { fields });
        }
        let mut table = Table {
            title: self.title.clone(),
            notes: caption(self, [&measured].into_iter()),
            columns: heads(rows, columns, &across),
            rows: body,
            footnotes: footnotes(self, [&measured].into_iter(), &marks),
            best: None,
            advice: self.border(),
        };
        if let Some(goal) = measured.goal {
            let columns = rows.len()..table.columns.len();
            mark_best(
                &mut table,
                &columns.map(|at| (at, goal)).collect::<Vec<_>>(),
            );
        }
        Ok(table)
    }

    /// The values of a parameter, in order of first appearance. Numbers that do
    /// not appear in order are sorted: rising, unless the first two fall.
    fn scale(&self, path: &str) -> Scale {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let mut values: Vec<Option<&Value>> = Vec::new();
        let mut places = Vec::with_capacity(self.cells.len());
        for cell in &self.cells {
            let value = self.definition.value(path, cell);
            let key = value.map_or_else(String::new, canonical);
            let place = *seen.entry(key).or_insert_with(|| {
                values.push(value);
                values.len() - 1
            });
            places.push(place);
        }
        let texts = values.iter().map(|value| value.map(parameter));
        let mut texts: Vec<Option<String>> = texts.collect();
        let numbers: Option<Vec<f64>> =
            values.iter().map(|it| it.and_then(Value::as_f64)).collect();
        if let Some(order) = numbers.and_then(|numbers| in_order(&numbers)) {
            let mut place_of = vec![0; order.len()];
            for (new, old) in order.iter().enumerate() {
                place_of[*old] = new;
            }
            for place in &mut places {
                *place = place_of[*place];
            }
            texts = order.iter().map(|old| texts[*old].clone()).collect();
        }
        Scale { places, texts }
    }

    /// The error for a place on which several cells fall.
    fn overlap(&self, place: usize, rows: &[String], columns: &str) -> TableError {
        let shown: Vec<&str> = rows.iter().map(String::as_str).chain([columns]).collect();
        let value = |path: &str, place: usize| self.definition.value(path, &self.cells[place]);
        let here = |other: &usize| {
            shown
                .iter()
                .all(|path| value(path, *other) == value(path, place))
        };
        let alike: Vec<usize> = (0..self.cells.len()).filter(here).collect();
        let differ = self.axes.iter().filter(|axis| {
            let differs = |other: &usize| value(axis, *other) != value(axis, place);
            alike.iter().any(differs)
        });
        let differ: Vec<String> = differ.map(|axis| format!("`{axis}`")).collect();
        let at = shown.iter().map(|path| {
            let text = value(path, place).map_or_else(|| "none".to_owned(), parameter);
            format!("{} = {text}", label(path))
        });
        TableError::Overlap {
            count: alike.len(),
            place: at.collect::<Vec<_>>().join(", "),
            differ: differ.join(" and "),
        }
    }
}

/// The order in which numbers should stand, if it differs from the present one.
fn in_order(numbers: &[f64]) -> Option<Vec<usize>> {
    let falls = matches!(numbers, [first, second, ..] if second < first);
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    order.sort_by(|left, right| {
        let rising = numbers[*left].total_cmp(&numbers[*right]);
        if falls { rising.reverse() } else { rising }
    });
    (!order.is_sorted()).then_some(order)
}

fn heads(rows: &[String], columns: &str, across: &Scale) -> Vec<Column> {
    let all = rows.iter().map(String::as_str).chain([columns]);
    let mut names = labels(all);
    let group = names.pop().unwrap_or_default();
    let head = |name: String, group: Option<String>, kind: Kind| Column {
        name,
        group,
        unit: None,
        kind,
    };
    let rows = names.into_iter().map(|name| head(name, None, Kind::Name));
    let across = across.texts.iter().map(|text| {
        let name = text.clone().unwrap_or_else(|| "none".to_owned());
        head(name, Some(group.clone()), Kind::Measure)
    });
    rows.chain(across).collect()
}
