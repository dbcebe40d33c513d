//! Lines over the cells of a sweep.

use std::collections::BTreeMap;

use swath_model::metrics::Goal;
use swath_model::text::counted;
use swath_model::view::CellResults;
use swath_results::summary::{Summary, alike};
use swath_results::table::Results;

use super::axes::{Axes, Axis, depends};
use super::names::Names;
use super::{LINES_MOST, PlotError, Request, axis_title, imports, measure, progress, range, title};
use crate::chart::{Axis as ChartAxis, Body, Chart, Grid, Point, Series};

/// A cell with its summary.
pub(super) type Place<'a> = (&'a CellResults, &'a Summary);

/// The most lines if the user chose none.
const LINES_UNASKED: usize = 12;
/// Up to this many values of x get a tick each.
const TICKS_MOST: usize = 10;
/// If the greatest value is more than this many times the least, the axis is
/// logarithmic.
pub(super) const FACTOR: f64 = 4.0;

pub(super) fn against_lr(results: &Results, request: &Request) -> Result<Chart, PlotError> {
    let axes = Axes::of(results);
    let x = chosen(
        &axes,
        request,
        axes.lr().or_else(|| axes.numeric()),
        "an axis of learning rates",
    )?;
    let mut wanted: Vec<&Axis> = axes.batch().into_iter().collect();
    // The best of several methods belongs to no method's line; the best of
    // several budgets is a fair comparison.
    wanted.extend(axes.all.iter().filter(|axis| !axis.numeric));
    wanted.extend(axes.budget());
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

/// The horizontal axis: the one asked for, otherwise the kind's own.
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

pub(super) fn named<'a>(axes: &'a Axes, path: &str) -> Result<&'a Axis, PlotError> {
    axes.find(path).ok_or_else(|| PlotError::UnknownAxis {
        axis: path.to_owned(),
        axes: axes.names(),
    })
}

/// The axes that separate lines: those asked for, otherwise the wanted ones as
/// long as there are few lines.
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
        // What depends on x makes no line of its own, but a line must not join
        // different methods.
        let from_x = axis.numeric.then_some(x);
        let known: Vec<&Axis> = by.iter().copied().chain(from_x).collect();
        let new = !by.iter().any(|it| it.path == axis.path);
        let mut more = by.clone();
        more.push(axis);
        if new && groups(x, &more).len() <= LINES_UNASKED && !depends(axis, &known) {
            by = more;
        }
    }
    Ok(by)
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

/// The cell that a point shows, of those that fall on it.
#[derive(Clone, Copy)]
pub(super) struct Shown {
    pub(super) cell: usize,
    /// Whether another one is as good.
    pub(super) tied: bool,
}

/// Among the cells at one point, the one with the best median; the first, where
/// several tie. Complete cells are preferred, because a median of the surviving
/// runs is too good.
pub(super) fn best(here: &[usize], cells: &[Place<'_>], goal: Goal) -> Option<Shown> {
    let figure = |cell: usize| &cells[cell].1.measured;
    let best = *here.iter().min_by(|left, right| {
        let (left, right) = (figure(**left), figure(**right));
        let complete = right.is_complete().cmp(&left.is_complete());
        complete.then_with(|| match (left.median(), right.median()) {
            (Some(left), Some(right)) => goal.order(left, right),
            (left, right) => right.is_some().cmp(&left.is_some()),
        })
    })?;
    let as_good = |cell: &usize| {
        let (one, other) = (figure(*cell), figure(best));
        let medians = one.median().zip(other.median());
        one.is_complete() == other.is_complete()
            && medians.is_some_and(|(one, other)| alike(one, other))
    };
    let tied = here.iter().any(|cell| *cell != best && as_good(cell));
    Some(Shown { cell: best, tied })
}

/// Which cell a point shows, where several fall on it.
pub(super) fn choice(
    results: &Results,
    axes: &Axes,
    shown: &[&Axis],
    crowded: bool,
    tied: bool,
) -> Option<String> {
    if !crowded {
        return None;
    }
    let rest = axes
        .all
        .iter()
        .filter(|axis| !shown.iter().any(|it| it.path == axis.path));
    let rest: Vec<&Axis> = rest.collect();
    let names: Vec<String> = rest.iter().map(|axis| axis_title(&axis.path)).collect();
    let tie = if tied {
        ", the first where several tie"
    } else {
        ""
    };
    Some(format!(
        "At each point the {} with the {} median, one with every run if there is one{tie}.",
        names.join(", "),
        results.definition().goal().superlative()
    ))
}

fn lines(results: &Results, axes: &Axes, x: &Axis, by: &[&Axis]) -> Result<Chart, PlotError> {
    let groups = groups(x, by);
    if groups.len() > LINES_MOST {
        return Err(PlotError::TooMany {
            lines: groups.len(),
        });
    }
    let cells: Vec<Place<'_>> = results.cells().collect();
    let names = Names::new(by);
    let mark = imports::some(results);
    let goal = results.definition().goal();
    let (mut crowded, mut tied) = (false, false);
    let mut series = Vec::new();
    let mut taken = Vec::new();
    for (look, line) in groups.values().enumerate() {
        let mut at: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for cell in line {
            let place = x.places[*cell].unwrap_or_default();
            at.entry(place).or_default().push(*cell);
        }
        crowded |= at.values().any(|cells| cells.len() > 1);
        let points = at.values().filter_map(|here| {
            let shown = best(here, &cells, goal)?;
            tied |= shown.tied;
            let cell = shown.cell;
            taken.push(cell);
            Some(point(x.number(cell)?, cells[cell], mark))
        });
        let points = points.collect();
        let first = line.first().copied().unwrap_or_default();
        series.push(Series {
            name: if by.is_empty() {
                String::new()
            } else {
                names.of(first)
            },
            look,
            markers: true,
            points,
            ..Series::default()
        });
    }
    let shown: Vec<&Axis> = by.iter().copied().chain([x]).collect();
    let mut note = choice(results, axes, &shown, crowded, tied);
    if let (Some(note), [_]) = (&mut note, series.as_slice()) {
        note.push_str(&chosen_values(axes, x, &taken));
    }
    let grid = Grid {
        legend: names.heading(),
        ticks: ticks(x),
        series,
    };
    let mut chart = Chart {
        title: title(results),
        x: ChartAxis {
            title: axis_title(&x.path),
            log: spread(&numbers(x), FACTOR),
        },
        y: ChartAxis {
            title: measure(results),
            log: false,
        },
        caption: caption(results, &grid, note.into_iter().chain(names.note()), &[x]),
        body: Body::default(),
    };
    let (_, up) = grid.numbers(&chart.x, &chart.y);
    chart.y.log = spread(&up, FACTOR);
    chart.body = Body::Lines(grid);
    Ok(chart)
}

/// Which values the points of a line have on the one axis that is not shown.
fn chosen_values(axes: &Axes, x: &Axis, taken: &[usize]) -> String {
    let rest: Vec<&Axis> = axes.all.iter().filter(|axis| axis.path != x.path).collect();
    let [hidden] = rest.as_slice() else {
        return String::new();
    };
    if taken.len() > TICKS_MOST {
        return String::new();
    }
    let texts: Vec<String> = taken.iter().map(|cell| hidden.text(*cell)).collect();
    format!(" From left to right: {}.", texts.join(", "))
}

fn numbers(x: &Axis) -> Vec<f64> {
    x.values
        .iter()
        .filter_map(serde_json::Value::as_f64)
        .collect()
}

fn ticks(x: &Axis) -> Vec<f64> {
    let numbers = numbers(x);
    if numbers.len() <= TICKS_MOST {
        numbers
    } else {
        Vec::new()
    }
}

/// Whether positive numbers are so far apart that a logarithmic axis shows them
/// better.
pub(super) fn spread(values: &[f64], factor: f64) -> bool {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(0.0, f64::max);
    low > 0.0 && high / low >= factor && low.is_finite()
}

fn point(x: f64, cell: Place<'_>, mark: bool) -> Point {
    let (_, summary) = cell;
    Point {
        x,
        y: summary.measured.median(),
        n: summary.measured.n(),
        values: values(summary),
        complete: summary.measured.is_complete(),
        diverged: summary.tally().diverged,
        imported: mark && imports::has(cell.0),
    }
}

/// The values of all runs that are known one by one, rising.
pub(super) fn values(summary: &Summary) -> Vec<f64> {
    let mut values: Vec<f64> = summary.values.iter().map(|(_, value)| *value).collect();
    values.sort_by(f64::total_cmp);
    values
}

fn caption(
    results: &Results,
    grid: &Grid,
    notes: impl Iterator<Item = String>,
    shown: &[&Axis],
) -> Vec<String> {
    let points = || grid.series.iter().flat_map(|it| &it.points);
    let n = replicates(results);
    let mut caption = Vec::new();
    if n == 1 {
        caption.push("One run per point (n = 1).".to_owned());
    } else {
        let each = counted(u64::from(n), "run");
        caption.push(format!(
            "Markers: median of {each} (n = {n}). Dots: every run. Bars: {}",
            range(points().map(|it| it.values.len()))
        ));
    }
    caption.extend(notes);
    let fewer = || points().filter(|it| it.y.is_some() && !it.complete);
    if let Some(least) = fewer().map(|it| it.n).min() {
        let most = fewer().map(|it| it.n).max().unwrap_or(least);
        let range = match most {
            most if most == least => String::new(),
            most => format!(" to {most}"),
        };
        let points = counted(fewer().count() as u64, "point");
        caption.push(format!(
            "Hollow: fewer than {n} runs ({points}, n = {least}{range})."
        ));
    }
    let none = points().filter(|it| it.y.is_none()).count();
    if none > 0 {
        let points = counted(none as u64, "point");
        let verb = if none == 1 { "is" } else { "are" };
        caption.push(format!("{points} without any run {verb} not drawn."));
    }
    let diverged: u32 = points().map(|it| it.diverged).sum();
    if diverged > 0 {
        let runs = counted(u64::from(diverged), "run");
        caption.push(format!("× above the plot: {runs} diverged there."));
    }
    caption.extend(left_out(shown));
    caption.extend(imports::notes(results, "Ringed"));
    caption.extend(progress(results));
    caption
}

/// Says that cells without a value on an axis are not in the picture.
pub(super) fn left_out(shown: &[&Axis]) -> Option<String> {
    let cells = shown.first().map_or(0, |axis| axis.places.len());
    let out = (0..cells).filter(|cell| shown.iter().any(|axis| axis.places[*cell].is_none()));
    let out = out.count() as u64;
    let names: Vec<String> = shown.iter().map(|axis| axis_title(&axis.path)).collect();
    let verb = if out == 1 { "is" } else { "are" };
    (out > 0).then(|| {
        format!(
            "{} without {} {verb} not drawn.",
            counted(out, "cell"),
            names.join(" or ")
        )
    })
}

/// How many replicates a cell has.
pub(super) fn replicates(results: &Results) -> u32 {
    results
        .cells()
        .map(|(_, it)| it.tally().of)
        .max()
        .unwrap_or(0)
}
