//! A selection of the cells of a sweep, by filters over its parameters.

use serde_json::{Map, Value};
use swath_model::spec::{keys, set};
use swath_model::view::CellResults;
use swath_sweep::{Filter, LABEL, Missed, SubjectView};

use super::{Definition, TableError, label::label};

/// The cells that pass every filter, in their original order.
///
/// # Errors
///
/// When a filter names a parameter or a value that no cell has, or all of them
/// together let no cell through.
pub fn choose(
    definition: &Definition,
    cells: Vec<CellResults>,
    filters: &[Filter],
) -> Result<Vec<CellResults>, TableError> {
    if filters.is_empty() {
        return Ok(cells);
    }
    // Cells have no state, nor anything else that only jobs have.
    let of_jobs = filters.iter().find(|it| keys::find(&it.field).is_none());
    if let Some(filter) = of_jobs {
        let field = filter.field.clone();
        return Err(TableError::JobFilter { field });
    }
    let mut missed = Missed::new(filters);
    let mut chosen = Vec::new();
    for cell in cells {
        let spec = parameters(definition, &cell);
        let subject = SubjectView {
            spec: Some(&spec),
            ..SubjectView::default()
        };
        missed.see(&subject);
        if filters.iter().all(|filter| filter.matches(&subject)) {
            chosen.push(cell);
        }
    }
    missed.verdict()?;
    Ok(chosen)
}

/// What tells a cell from others, and what its table shows of it, as a spec.
fn parameters(definition: &Definition, cell: &CellResults) -> Value {
    let mut spec = Value::Object(Map::new());
    let axes = cell.axes.iter().map(|(path, _)| path);
    let shown = definition.parameters.iter().map(|it| &it.path);
    for path in axes.chain(shown).filter(|path| *path != LABEL) {
        if let Some(value) = definition.value(path, cell) {
            set(&mut spec, path, value.clone());
        }
    }
    spec
}

/// The sentence for a caption that says which cells are shown.
pub fn chosen(filters: &[Filter]) -> Option<String> {
    let texts: Vec<String> = filters
        .iter()
        .map(|it| format!("{} {} {}", label(&it.field), it.operator.sign(), it.text))
        .collect();
    (!texts.is_empty()).then(|| format!("Only {}.", texts.join(", ")))
}
