//! Charts over the cells of a sweep.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use swath_core::summary::text::{counted, decimals};
use swath_core::summary::{Summary, Unit};
use swath_core::table::{Results, label};

use super::axes::{Axes, Axis};
use super::{LINES_MOST, PlotError, Request, axis_title, measure, progress, title};
use crate::chart::{Axis as ChartAxis, Body, Boxes, Cell, Chart, Grid, Heat, Point, Row, Series};

/// Lines that are chosen unasked.
const LINES_UNASKED: usize = 8;
/// Values of x that get a tick each.
const TICKS_MOST: usize = 10;
/// Boxes in one picture.
const BOXES_MOST: usize = 60;

pub(super) fn against_lr(results: &Results, request: &Request) -> Result<Chart, PlotError> {
    let axes = Axes::of(results);
    let x = chosen(
        &axes,
        request,
        axes.lr().or_else(|| axes.numeric()),
        "an axis of learning rates",
    )?;
    let mut wanted: Vec<&Axis> = axes.batch().into_iter().chain(axes.budget()).collect();
    wanted.extend(&axes.all);
    let by = lines_by(&axes, request, x, &wanted)?;
    lines(results, &axes, x, &by)
}

pub(super) fn against_batch(results: &Results, request: &Request) -> Result<Chart, PlotError> {
    let axes = Axes::of(results);
    let x = chosen(&axes, request, axes.batch(), "an axis of batch sizes")?;
    let lr = axes.lr().map(|it| it.path.as_str());
    let mut wanted: Vec<&Axis> = axes.budget().into_iter().collect();
    wanted.extend(axes.all.iter().filter(|it| Some(it.path.as_str()) != lr));
    let by = lines_by(&axes, request, x, &wanted)?;
    lines(results, &axes, x, &by)
}

/// The axis to the right: the one asked for, else the kind's own.
fn chosen<'a>(
    axes: &'a Axes,
    request: &Request,
    own: Option<&'a Axis>,
    needs: &'static str,
) -> Result<&'a Axis, PlotError> {
    let Some(path) = &request.x else {
        let missing = || PlotError::NoAxis {
            needs,
            axes: axes.names(),
        };
        return own.ok_or_else(missing);
    };
    let axis = named(axes, path)?;
    if axis.numeric {
        Ok(axis)
    } else {
        Err(PlotError::NoAxis {
            needs: "an axis of numbers to the right",
            axes: axes.names(),
        })
    }
}

fn named<'a>(axes: &'a Axes, path: &str) -> Result<&'a Axis, PlotError> {
    axes.find(path).ok_or_else(|| PlotError::UnknownAxis {
        axis: path.to_owned(),
        axes: axes.names(),
    })
}

/// The axes that tell lines apart: those asked for, else the wanted ones as
/// long as the lines stay few.
fn lines_by<'a>(
    axes: &'a Axes,
    request: &Request,
    x: &Axis,
    wanted: &[&'a Axis],
) -> Result<Vec<&'a Axis>, PlotError> {
    if !request.by.is_empty() {
        return request.by.iter().map(|path| named(axes, path)).collect();
    }
    let mut by: Vec<&Axis> = Vec::new();
    for axis in wanted.iter().filter(|it| it.path != x.path) {
        let new = !by.iter().any(|it| it.path == axis.path);
        let mut more = by.clone();
        more.push(axis);
        if new && groups(x, &more).len() <= LINES_UNASKED && !depends(axis, x, &by) {
            by = more;
        }
    }
    Ok(by)
}

/// Whether an axis says nothing that x and the others do not say already.
fn depends(axis: &Axis, x: &Axis, by: &[&Axis]) -> bool {
    let mut seen: BTreeMap<Vec<Option<usize>>, Option<usize>> = BTreeMap::new();
    (0..x.places.len()).all(|cell| {
        let mut key = vec![x.places[cell]];
        key.extend(by.iter().map(|it| it.places[cell]));
        *seen.entry(key).or_insert(axis.places[cell]) == axis.places[cell]
    })
}

/// The cells of each line, by the places of their values.
fn groups(x: &Axis, by: &[&Axis]) -> BTreeMap<Vec<Option<usize>>, Vec<usize>> {
    let mut groups: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for cell in (0..x.places.len()).filter(|cell| x.places[*cell].is_some()) {
        let key = by.iter().map(|it| it.places[cell]).collect();
        groups.entry(key).or_default().push(cell);
    }
    groups
}

/// Of the cells that share a point the one with the least median; complete
/// ones go first, because a median of the lucky runs is too good.
fn best<'a>(cells: &[usize], summaries: &[&'a Summary]) -> Option<(usize, &'a Summary)> {
    let rank = |cell: &&usize| {
        let figure = &summaries[**cell].measured;
        (
            !figure.is_complete(),
            figure.median().unwrap_or(f64::INFINITY),
        )
    };
    let least = cells.iter().min_by(|left, right| {
        let (left, right) = (rank(left), rank(right));
        left.0.cmp(&right.0).then(left.1.total_cmp(&right.1))
    });
    least.map(|cell| (*cell, summaries[*cell]))
}

/// An error when several cells fall on a point and there is no best.
fn choice(
    results: &Results,
    axes: &Axes,
    shown: &[&Axis],
    crowded: bool,
) -> Result<Option<String>, PlotError> {
    if !crowded {
        return Ok(None);
    }
    let rest = axes
        .all
        .iter()
        .filter(|axis| !shown.iter().any(|it| it.path == axis.path));
    let rest: Vec<&Axis> = rest.collect();
    if results.definition().metric.is_some() {
        return Err(PlotError::NoBest {
            axes: rest.iter().map(|it| it.path.clone()).collect(),
            metric: label(results.metric()),
        });
    }
    let names: Vec<String> = rest.iter().map(|axis| axis_title(&axis.path)).collect();
    Ok(Some(format!(
        "At each point the {} with the least median, one with every run if there is one.",
        names.join(", ")
    )))
}

fn lines(results: &Results, axes: &Axes, x: &Axis, by: &[&Axis]) -> Result<Chart, PlotError> {
    let groups = groups(x, by);
    if groups.len() > LINES_MOST {
        return Err(PlotError::TooMany {
            lines: groups.len(),
        });
    }
    let summaries: Vec<&Summary> = results.cells().map(|(_, summary)| summary).collect();
    let mut crowded = false;
    let mut series = Vec::new();
    for (look, cells) in groups.values().enumerate() {
        let mut at: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for cell in cells {
            let place = x.places[*cell].unwrap_or_default();
            at.entry(place).or_default().push(*cell);
        }
        crowded |= at.values().any(|cells| cells.len() > 1);
        let points = at.values().filter_map(|cells| {
            let (cell, summary) = best(cells, &summaries)?;
            Some(point(x.number(cell)?, summary))
        });
        let first = cells.first().copied().unwrap_or_default();
        let name: Vec<String> = by.iter().map(|axis| axis.text(first)).collect();
        series.push(Series {
            name: name.join(", "),
            look,
            markers: true,
            points: points.collect(),
            ..Series::default()
        });
    }
    let shown: Vec<&Axis> = by.iter().copied().chain([x]).collect();
    let note = choice(results, axes, &shown, crowded)?;
    let legend: Vec<String> = by.iter().map(|axis| label(&axis.path)).collect();
    let grid = Grid {
        legend: legend.join(", "),
        ticks: ticks(x),
        series,
    };
    let mut chart = Chart {
        title: title(results),
        x: ChartAxis {
            title: axis_title(&x.path),
            log: spread(
                &x.values
                    .iter()
                    .filter_map(serde_json::Value::as_f64)
                    .collect::<Vec<_>>(),
                4.0,
            ),
        },
        y: ChartAxis {
            title: measure(results),
            log: false,
        },
        caption: caption(results, &grid, note),
        body: Body::default(),
    };
    let (_, up) = grid.numbers(&chart.x, &chart.y);
    chart.y.log = spread(&up, 8.0);
    chart.body = Body::Lines(grid);
    Ok(chart)
}

fn ticks(x: &Axis) -> Vec<f64> {
    let numbers: Vec<f64> = x
        .values
        .iter()
        .filter_map(serde_json::Value::as_f64)
        .collect();
    if numbers.len() <= TICKS_MOST {
        numbers
    } else {
        Vec::new()
    }
}

/// Whether positive numbers lie so far apart that factors tell more.
fn spread(values: &[f64], factor: f64) -> bool {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(0.0, f64::max);
    low > 0.0 && high / low >= factor && low.is_finite()
}

fn point(x: f64, summary: &Summary) -> Point {
    let mut values: Vec<f64> = summary.values.iter().map(|(_, value)| *value).collect();
    values.sort_by(f64::total_cmp);
    Point {
        x,
        y: summary.measured.median(),
        values,
        complete: summary.measured.is_complete(),
        diverged: summary.tally().diverged,
    }
}

/// That some numbers are from elsewhere.
fn imported(results: &Results) -> Option<String> {
    let rows = results.rows();
    let (runs, known_by_medians) = rows.fold((0, 0), |(runs, medians), row| {
        let of_medians = u64::from(row.summary.summarised);
        (runs + u64::from(row.imported()), medians + of_medians)
    });
    let medians = match known_by_medians {
        0 => String::new(),
        count => format!("; of {} only medians are known", counted(count, "run")),
    };
    (runs > 0).then(|| {
        format!(
            "Imported, not trained here: {}{medians}.",
            counted(runs, "run")
        )
    })
}

fn caption(results: &Results, grid: &Grid, note: Option<String>) -> Vec<String> {
    let points = || grid.series.iter().flat_map(|it| &it.points);
    let n = replicates(results);
    let mut caption = Vec::new();
    if n == 1 {
        caption.push("One run per point (n = 1).".to_owned());
    } else {
        let each = counted(u64::from(n), "run");
        caption.push(format!(
            "Markers: median of {each} (n = {n}). Dots: every run. Bars: least to greatest."
        ));
    }
    caption.extend(note);
    let fewer = points().filter(|it| it.y.is_some() && !it.complete).count();
    if fewer > 0 {
        let points = counted(fewer as u64, "point");
        caption.push(format!("Hollow: fewer than {n} runs ({points})."));
    }
    let none = points().filter(|it| it.y.is_none()).count();
    if none > 0 {
        let points = counted(none as u64, "point");
        caption.push(format!("{points} without any run are not drawn."));
    }
    let diverged: u32 = points().map(|it| it.diverged).sum();
    if diverged > 0 {
        let runs = counted(u64::from(diverged), "run");
        caption.push(format!("× above the plot: {runs} diverged there."));
    }
    caption.extend(imported(results));
    caption.extend(progress(results));
    caption
}

/// Replicates per cell.
fn replicates(results: &Results) -> u32 {
    results
        .cells()
        .map(|(_, it)| it.tally().of)
        .max()
        .unwrap_or(0)
}

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
            .or(axes.all.first())
            .ok_or_else(|| missing("two axes"))?,
    };
    let other = |axis: &&Axis| axis.path != x.path;
    let y = match request.by.as_slice() {
        [] => axes
            .batch()
            .filter(other)
            .or_else(|| axes.all.iter().find(other)),
        [path] => Some(named(&axes, path)?).filter(other),
        _ => return Err(missing("one axis in `--by`, whose values are the rows")),
    };
    let y = y.ok_or_else(|| missing("two axes"))?;
    let summaries: Vec<&Summary> = results.cells().map(|(_, summary)| summary).collect();
    let mut crowded = false;
    let mut cells = Vec::new();
    // The greatest above, as on an axis.
    for row in (0..y.values.len()).rev() {
        let mut line = Vec::new();
        for column in 0..x.values.len() {
            let here =
                |cell: &usize| x.places[*cell] == Some(column) && y.places[*cell] == Some(row);
            let all: Vec<usize> = (0..summaries.len()).filter(here).collect();
            crowded |= all.len() > 1;
            line.push(best(&all, &summaries).map_or_else(Cell::default, |(_, it)| heat_cell(it)));
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
    caption.extend(imported(results));
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
            log: spread(&values, 8.0),
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

const fn places(unit: Unit) -> usize {
    match unit {
        Unit::Percent => 2,
        Unit::Plain => 4,
        Unit::Seconds => 0,
    }
}

fn heat_cell(summary: &Summary) -> Cell {
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

pub(super) fn boxes(results: &Results) -> Chart {
    let axes = Axes::of(results);
    let unit = results.definition().unit();
    let mut rows = Vec::new();
    for (cell, (_, summary)) in results.cells().enumerate().take(BOXES_MOST) {
        let names: Vec<String> = axes.all.iter().map(|axis| axis.text(cell)).collect();
        let (figure, tally) = (&summary.measured, summary.tally());
        let point = point(0.0, summary);
        let mut note = match figure.median() {
            Some(median) => format!("{}  n = {}", decimals(median, places(unit)), figure.n()),
            None => "n = 0".to_owned(),
        };
        if tally.diverged > 0 {
            let _ = write!(note, ", {} div.", tally.diverged);
        }
        rows.push(Row {
            name: names.join(", "),
            // Of imported medians no run is known: they are drawn alone.
            values: match point.y {
                Some(median) if point.values.is_empty() => vec![median],
                _ => point.values,
            },
            note,
        });
    }
    let legend: Vec<String> = axes.all.iter().map(|axis| label(&axis.path)).collect();
    let mut caption = vec![
        "Thick line: median, its value at the right with its n. Dots: every run. Thin line: \
         least to greatest."
            .to_owned(),
    ];
    if rows.iter().any(|row| row.values.len() > 4) {
        caption.push("Box: quartiles, from five runs on.".to_owned());
    }
    let cells = results.cells().len();
    if cells > BOXES_MOST {
        caption.push(format!(
            "The first {BOXES_MOST} of {cells} cells; choose others with filters."
        ));
    }
    caption.extend(imported(results));
    caption.extend(progress(results));
    let values: Vec<f64> = rows
        .iter()
        .flat_map(|it| it.values.iter().copied())
        .collect();
    Chart {
        title: title(results),
        caption,
        x: ChartAxis {
            title: measure(results),
            log: spread(&values, 8.0),
        },
        y: ChartAxis::default(),
        body: Body::Boxes(Boxes {
            legend: legend.join(", "),
            rows,
        }),
    }
}
