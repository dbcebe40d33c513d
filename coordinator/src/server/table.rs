//! The table of a sweep as text.

use swath_model::view::{CellResults, SweepRecord};
use swath_report::{Format, Style};
use swath_results::table::{
    Check, Comparison, Definition, Named, Results, TableError, choose, chosen,
};
use swath_store::Store;
use swath_sweep::{Filter, Layout};

use super::error::ApiError;
use crate::api::{Look, Shape};

/// The cells of a sweep that pass the filters, with as many last epochs as its table needs.
pub(crate) async fn cells_of(
    store: &dyn Store,
    sweep: &SweepRecord,
    filters: &[Filter],
) -> Result<Vec<CellResults>, ApiError> {
    let definition = Definition::read(&sweep.definition).map_err(ApiError::internal)?;
    let cells = store
        .results(sweep.digest, definition.epochs())
        .await
        .map_err(ApiError::from)?;
    choose(&definition, cells, filters).map_err(ApiError::invalid)
}

/// Reads a sweep's results and renders them. Rendering a large table occupies a
/// core for a while, so it runs outside the runtime's threads.
pub(crate) async fn table_text(
    store: &dyn Store,
    sweep: &SweepRecord,
    filters: &[Filter],
    mut shape: Shape,
    format: &str,
    look: Look,
) -> Result<(String, Option<Check>), ApiError> {
    let format: Format = format.parse().map_err(ApiError::invalid)?;
    let cells = cells_of(store, sweep, filters).await?;
    let mut sweep = sweep.clone();
    whole_names(&sweep, &cells, &mut shape)?;
    lay_out(&mut sweep, &shape)?;
    if let Some(chosen) = chosen(filters) {
        sweep.view.title = match sweep.title.trim_end_matches('.') {
            "" => chosen,
            title => format!("{title}. {chosen}"),
        };
    }
    let style = style(look);
    let drawn = tokio::task::spawn_blocking(move || {
        let mut results = Results::new(&sweep, cells)?;
        check(&results, &shape)?;
        if let Some(by) = &shape.sort {
            let name = by.strip_prefix('-').unwrap_or(by);
            results.sort(name, name.len() < by.len())?;
        }
        let text = swath_report::results(&results, format, &style)?;
        Ok((text, results.check()))
    });
    drawn
        .await
        .map_err(ApiError::internal)?
        .map_err(|error: TableError| match error {
            TableError::Unknown { .. } => ApiError::invalid(error.to_string()),
            other => ApiError::conflict(other.to_string()),
        })
}

/// Checks the names that were asked for; those of the sweep file were checked
/// with it.
fn check(results: &Results, shape: &Shape) -> Result<(), TableError> {
    let is_pivot = matches!(results.definition().layout, Layout::Pivot { .. });
    let columns = if is_pivot {
        Named::Parameter
    } else {
        Named::Either
    };
    for name in &shape.rows {
        results.check_name(name, Named::Parameter)?;
    }
    for name in &shape.columns {
        results.check_name(name, columns)?;
    }
    if let Some(name) = &shape.cell {
        results.check_name(name, Named::Measure)?;
    }
    if let Some(by) = &shape.sort {
        let name = by.strip_prefix('-').unwrap_or(by);
        results.check_name(name, Named::Either)?;
    }
    Ok(())
}

/// Gives the parameters that are named without their table their whole names.
fn whole_names(
    sweep: &SweepRecord,
    cells: &[CellResults],
    shape: &mut Shape,
) -> Result<(), ApiError> {
    let definition = Definition::read(&sweep.definition).map_err(ApiError::internal)?;
    let axes = cells.first().map_or(&[][..], |cell| &cell.axes);
    let shown = definition.parameters.iter().map(|it| &it.path);
    let known: Vec<&String> = axes.iter().map(|(path, _)| path).chain(shown).collect();
    let whole = |name: &mut String| {
        let falling = if name.starts_with('-') { "-" } else { "" };
        let path = definition.path(&name[falling.len()..]);
        if known.contains(&&path) {
            *name = format!("{falling}{path}");
        }
    };
    let names = shape.rows.iter_mut().chain(&mut shape.columns);
    names.chain(&mut shape.sort).for_each(whole);
    Ok(())
}

/// Replaces the layout of a sweep's table by the one that was asked for.
fn lay_out(sweep: &mut SweepRecord, shape: &Shape) -> Result<(), ApiError> {
    let Shape {
        rows,
        columns,
        cell,
        ..
    } = shape;
    if rows.is_empty() && columns.is_empty() && cell.is_none() {
        return Ok(());
    }
    let definition = Definition::read(&sweep.definition).map_err(ApiError::internal)?;
    let (own_rows, own_columns, own_cell) = match definition.layout {
        Layout::List { rows, columns } => (rows, columns, None),
        Layout::Pivot {
            rows,
            columns,
            cell,
        } => (rows, vec![columns], Some(cell)),
    };
    let given =
        |given: &Vec<String>, own: Vec<String>| if given.is_empty() { own } else { given.clone() };
    // Columns without a cell mean a list.
    let cell = cell.clone().or(own_cell.filter(|_| columns.is_empty()));
    let rows = given(rows, own_rows);
    let columns = given(columns, own_columns);
    let layout = match (cell, columns.as_slice()) {
        (None, _) => Layout::List { rows, columns },
        (Some(cell), [column]) => Layout::Pivot {
            rows,
            columns: column.clone(),
            cell,
        },
        (Some(_), _) => {
            let message = "a pivot has one parameter as its columns; give one with `--columns`";
            return Err(ApiError::invalid(message));
        }
    };
    let layout = serde_json::to_value(layout);
    sweep.definition["layout"] = layout.map_err(ApiError::internal)?;
    Ok(())
}

/// Reads the results of two sweeps and renders them beside each other.
pub(crate) async fn comparison_text(
    store: &dyn Store,
    sweeps: [&SweepRecord; 2],
    format: &str,
    look: Look,
) -> Result<String, ApiError> {
    let format: Format = format.parse().map_err(ApiError::invalid)?;
    let mut read = Vec::new();
    for sweep in sweeps {
        read.push((sweep.clone(), cells_of(store, sweep, &[]).await?));
    }
    let style = style(look);
    let drawn = tokio::task::spawn_blocking(move || {
        let mut results = Vec::new();
        for (sweep, cells) in read {
            results.push(Results::new(&sweep, cells)?);
        }
        let comparison = Comparison::new(&results[0], &results[1])?;
        Ok(swath_report::comparison(&comparison, format, &style))
    });
    drawn
        .await
        .map_err(ApiError::internal)?
        .map_err(|error: TableError| match error {
            TableError::Incomparable(_) => ApiError::invalid(error.to_string()),
            other => ApiError::conflict(other.to_string()),
        })
}

fn style(look: Look) -> Style {
    Style {
        color: look.color,
        width: look.width.map(usize::from),
        unicode: look.unicode,
    }
}
