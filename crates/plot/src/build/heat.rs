//! The cells of a sweep as a field of colours.

use swath_model::metrics::Goal;
use swath_results::summary::{Unit, alike};
use swath_results::table::Results;

use super::axes::{Axes, Axis};
use super::grid::{FACTOR, Place, best, choice, left_out, named, replicates, spread};
use super::{PlotError, Request, axis_title, imports, measure, progress, title};
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
    let goal = results.definition().goal();
    let (mut crowded, mut tied) = (false, false);
    let mut cells = Vec::new();
    // The greatest value is at the top, as on an axis.
    for row in (0..y.values.len()).rev() {
        let mut line = Vec::new();
        for column in 0..x.values.len() {
            let here =
                |cell: &usize| x.places[*cell] == Some(column) && y.places[*cell] == Some(row);
            let here: Vec<usize> = (0..all.len()).filter(here).collect();
            crowded |= here.len() > 1;
            let best = best(&here, &all, goal);
            tied |= best.is_some_and(|it| it.tied);
            line.push(best.map_or_else(Cell::default, |it| heat_cell(all[it.cell], mark)));
        }
        cells.push(line);
    }
    let framed = mark_best(&mut cells, goal);
    write(&mut cells, results.definition().unit());
    let note = choice(results, &axes, &[x, y], crowded, tied);
    let texts = |axis: &Axis| -> Vec<String> {
        axis.values
            .iter()
            .map(swath_model::text::parameter)
            .collect()
    };
    let values: Vec<f64> = cells.iter().flatten().filter_map(|it| it.value).collect();
    let n = replicates(results);
    let mut caption = vec![match n {
        1 => "One run per field (n = 1).".to_owned(),
        n => format!("Median of {n} runs per field (n = {n}) unless it says how many of them."),
    }];
    caption.extend(note);
    caption.extend(framed);
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
        text: String::new(),
        note,
        best: false,
        imported: mark && imports::has(cell),
    }
}

/// Marks the best value of each row, among the fields with every run, if there
/// are several. If no field of the map has every run and all have equally many,
/// it compares all. Returns what the caption says about it, if any field is
/// marked.
fn mark_best(cells: &mut [Vec<Cell>], goal: Goal) -> Option<String> {
    let measured = || cells.iter().flatten().filter(|it| it.value.is_some());
    let first = measured().next()?.note.clone();
    let equal = measured().all(|it| it.note == first);
    let note = if equal { first } else { String::new() };
    let comparable = |cell: &Cell| cell.value.filter(|_| cell.note == note);
    let mut tied = false;
    for line in cells.iter_mut() {
        let values: Vec<f64> = line.iter().filter_map(comparable).collect();
        let best = goal.best(values.iter().copied());
        for cell in line.iter_mut().filter(|_| values.len() > 1) {
            let both = comparable(cell).zip(best);
            cell.best = both.is_some_and(|(value, best)| alike(value, best));
        }
        tied |= line.iter().filter(|it| it.best).count() > 1;
    }
    let runs = match note.as_str() {
        "" => "every run".to_owned(),
        note => format!("{note} runs"),
    };
    let any = cells.iter().flatten().any(|it| it.best);
    let best = goal.superlative();
    let tie = if tied {
        ", all of them where several tie"
    } else {
        ""
    };
    any.then(|| format!("Framed: the {best} of its row among fields with {runs}{tie}."))
}

/// Writes the medians, with as many decimals as tell the framed ones from the
/// others in their rows.
fn write(cells: &mut [Vec<Cell>], unit: Unit) {
    let pairs = cells.iter().flat_map(|line| {
        let best = line.iter().find(|it| it.best).and_then(|it| it.value);
        let values = line.iter().filter_map(|it| it.value);
        values.filter_map(move |value| Some([value, best?]))
    });
    let more = unit.telling_apart(pairs);
    for cell in cells.iter_mut().flatten() {
        let text = cell.value.map(|value| unit.text_to(value, more));
        cell.text = text.unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(value: f64, note: &str) -> Cell {
        Cell {
            value: Some(value),
            note: note.to_owned(),
            ..Cell::default()
        }
    }

    #[test]
    fn the_least_of_a_row_is_framed_among_fields_of_equally_many_runs() {
        let best = |rows: &[&[(f64, &str)]]| {
            let mut cells: Vec<Vec<Cell>> = Vec::new();
            for row in rows {
                let fields = row.iter().map(|(value, note)| field(*value, note));
                cells.push(fields.collect());
            }
            let said = mark_best(&mut cells, Goal::Minimize);
            let marks = cells.iter().flatten().map(|it| it.best);
            (marks.collect::<Vec<_>>(), said.unwrap_or_default())
        };
        let (marks, said) = best(&[&[(3.0, ""), (2.0, ""), (1.0, "1 of 3")], &[(1.0, "")]]);
        assert_eq!(marks, [false, true, false, false]);
        assert!(said.ends_with("with every run."), "{said}");
        let (marks, said) = best(&[&[(3.0, "1 of 3"), (2.0, "1 of 3")]]);
        assert_eq!(marks, [false, true]);
        assert!(said.ends_with("with 1 of 3 runs."), "{said}");
        let (marks, said) = best(&[&[(0.3, ""), (0.1 + 0.2, ""), (1.0, "")]]);
        assert_eq!(marks, [true, true, false]);
        assert!(
            said.ends_with("with every run, all of them where several tie."),
            "{said}"
        );
        let (marks, said) = best(&[&[(3.0, "1 of 3"), (2.0, "2 of 3")]]);
        assert_eq!((marks, said.as_str()), (vec![false, false], ""));
        assert_eq!(best(&[]).1, "");
    }

    #[test]
    fn no_median_reads_as_nought_or_as_the_best() {
        let fields = [(1.3e-6, ""), (2.0, ""), (2.000_04, "")];
        let fields = fields.map(|(value, note)| field(value, note));
        let mut cells = vec![fields.to_vec()];
        mark_best(&mut cells, Goal::Maximize);
        write(&mut cells, Unit::Percent);
        let texts: Vec<&str> = cells[0].iter().map(|it| it.text.as_str()).collect();
        assert_eq!(texts, ["1.3e-6", "2.00000", "2.00004"]);
    }
}
