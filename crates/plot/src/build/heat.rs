//! The cells of a sweep as a field of colours.

use swath_core::table::Results;

use super::axes::{Axes, Axis};
use super::grid::{FACTOR, Place, best, choice, left_out, named, replicates, spread};
use super::{PlotError, Request, axis_title, imports, measure, places, progress, title};
use crate::chart::{Axis as ChartAxis, Body, Cell, Chart, Heat};

pub(super) fn heat(results: &Results, request: &Request) -> Result<Chart, PlotError> {
    let axes = Axes::of(results);
    let missing = |needs| PlotError::NoAxis {
        needs,
        axes: axes.names(),
    };
    let x = match &request.x {
        Some(path) => named(&axes, path)?,
        None => axes
            .lr()
            .or_else(|| axes.shared(None))
            .ok_or_else(|| missing("two axes"))?,
    };
    let other = |axis: &&Axis| axis.path != x.path;
    let y = match request.by.as_slice() {
        [] => axes
            .batch()
            .filter(other)
            .or_else(|| axes.shared(Some(&x.path))),
        [path] => Some(named(&axes, path)?).filter(other),
        _ => return Err(missing("one axis in `--by`, whose values are the rows")),
    };
    let y = y.ok_or_else(|| missing("two axes"))?;
    let all: Vec<Place<'_>> = results.cells().collect();
    let mark = imports::some(results);
    let mut crowded = false;
    let mut cells = Vec::new();
    // The greatest above, as on an axis.
    for row in (0..y.values.len()).rev() {
        let mut line = Vec::new();
        for column in 0..x.values.len() {
            let here =
                |cell: &usize| x.places[*cell] == Some(column) && y.places[*cell] == Some(row);
            let here: Vec<usize> = (0..all.len()).filter(here).collect();
            crowded |= here.len() > 1;
            let best = best(&here, &all);
            line.push(best.map_or_else(Cell::default, |cell| heat_cell(all[cell], mark)));
        }
        if results.definition().metric.is_none() {
            mark_best(&mut line);
        }
        cells.push(line);
    }
    let note = choice(results, &axes, &[x, y], crowded)?;
    let texts = |axis: &Axis| -> Vec<String> {
        axis.values
            .iter()
            .map(swath_core::summary::text::parameter)
            .collect()
    };
    let values: Vec<f64> = cells.iter().flatten().filter_map(|it| it.value).collect();
    let n = replicates(results);
    let mut caption = vec![match n {
        1 => "One run per field (n = 1).".to_owned(),
        n => format!("Median of {n} runs per field (n = {n}) unless it says how many of them."),
    }];
    caption.extend(note);
    if cells.iter().flatten().any(|it| it.best) {
        caption.push("Framed: the least of its row among fields with every run.".to_owned());
    }
    if cells
        .iter()
        .flatten()
        .any(|it| it.value.is_none() && it.note.is_empty())
    {
        caption.push("Empty: not in the sweep.".to_owned());
    }
    caption.extend(left_out(&[x, y]));
    caption.extend(imports::notes(results, "A corner"));
    caption.extend(progress(results));
    Ok(Chart {
        title: title(results),
        caption,
        x: ChartAxis {
            title: axis_title(&x.path),
            log: false,
        },
        y: ChartAxis {
            title: axis_title(&y.path),
            log: spread(&values, FACTOR),
        },
        body: Body::Heat(Heat {
            columns: texts(x),
            rows: texts(y).into_iter().rev().collect(),
            measure: measure(results),
            places: places(results.definition().unit()),
            cells,
        }),
    })
}

fn heat_cell((cell, summary): Place<'_>, mark: bool) -> Cell {
    let (figure, tally) = (&summary.measured, summary.tally());
    let note = match (figure.median(), figure.is_complete()) {
        (Some(_), true) => String::new(),
        (Some(_), false) => format!("{} of {}", figure.n(), figure.of()),
        (None, _) if tally.diverged == tally.of => "diverged".to_owned(),
        (None, _) if tally.open > 0 => "not yet".to_owned(),
        (None, _) => "failed".to_owned(),
    };
    Cell {
        value: figure.median(),
        note,
        best: false,
        imported: mark && imports::has(cell),
    }
}

/// Marks the least of a row among those with every run, when it has company.
fn mark_best(line: &mut [Cell]) {
    let complete = |cell: &Cell| cell.value.filter(|_| cell.note.is_empty());
    let values: Vec<f64> = line.iter().filter_map(complete).collect();
    let least = values.iter().copied().reduce(f64::min);
    for cell in line.iter_mut().filter(|_| values.len() > 1) {
        cell.best = complete(cell).is_some() && complete(cell) == least;
    }
}
