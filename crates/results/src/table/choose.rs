//! A selection of the cells of a sweep, by filters over its parameters.

use serde_json::{Map, Value};
use swath_model::view::CellResults;
use swath_sweep::{Filter, SubjectView};

use super::{Definition, TableError, label::label};

/// The cells that pass every filter, in their original order.
///
/// # Errors
///
/// When a filter is over something that does not vary in this sweep.
pub fn choose(
    definition: &Definition,
    cells: Vec<CellResults>,
    filters: &[Filter],
) -> Result<Vec<CellResults>, TableError> {
    for filter in filters {
        let is_axis = |cell: &CellResults| cell.axes.iter().any(|(path, _)| *path == filter.field);
        let is_shown = definition
            .parameters
            .iter()
            .any(|it| it.path == filter.field);
        if !is_shown && !cells.iter().any(is_axis) {
            let mut axes: Vec<String> = Vec::new();
            for (path, _) in cells.iter().flat_map(|cell| &cell.axes) {
                if !axes.contains(path) {
                    axes.push(path.clone());
                }
            }
            return Err(TableError::UnknownFilter {
                field: filter.field.clone(),
                axes: axes.join(", "),
            });
        }
    }
    let passes = |cell: &CellResults| {
        let mut spec = Value::Object(Map::new());
        for filter in filters {
            if let Some(value) = definition.value(&filter.field, cell) {
                set(&mut spec, &filter.field, value);
            }
        }
        let subject = SubjectView {
            spec: Some(&spec),
            ..SubjectView::default()
        };
        filters.iter().all(|filter| filter.matches(&subject))
    };
    Ok(cells.into_iter().filter(passes).collect())
}

/// Puts a value at a dotted path of a tree of tables.
fn set(tree: &mut Value, path: &str, value: &Value) {
    let mut at = tree;
    for part in path.split('.') {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        at = &mut at[part];
    }
    *at = value.clone();
}

/// The sentence for a caption that says which cells are shown.
pub fn chosen(filters: &[Filter]) -> Option<String> {
    let texts: Vec<String> = filters
        .iter()
        .map(|it| format!("{} {} {}", label(&it.field), it.operator.sign(), it.text))
        .collect();
    (!texts.is_empty()).then(|| format!("Only {}.", texts.join(", ")))
}
