//! Steps until an error is reached, against the batch size, as drawn by Shallue
//! et al. ("Measuring the Effects of Data Parallelism on Neural Network
//! Training", JMLR 20, 2019): at each batch size with the best choice of
//! everything else.

use std::collections::BTreeMap;

use swath_model::id::JobDigest;
use swath_model::metrics::TEST_ERROR;
use swath_model::outcome::Observation;
use swath_model::text::{approximate, counted};
use swath_results::table::Results;

use super::axes::{Axes, Axis};
use super::curves::median;
use super::{PlotError, Request, axis_title, progress, range, title};
use crate::chart::{Axis as ChartAxis, Body, Chart, Grid, Point, Series};

/// Steps until the test error is at most the target, over all batch sizes.
/// Without a target, it is the least error that every batch size reaches.
///
/// # Errors
///
/// When the sweep has no axis of batch sizes, or no curves.
pub fn steps(
    results: &Results,
    curves: &BTreeMap<JobDigest, Vec<Observation>>,
    request: &Request,
) -> Result<Chart, PlotError> {
    let axes = Axes::of(results);
    let missing = || PlotError::NoAxis {
        needs: "an axis of batch sizes",
        axes: axes.names(),
    };
    let x = match &request.x {
        Some(path) => axes.find(path).filter(|it| it.numeric),
        None => axes.batch(),
    };
    let x = x.ok_or_else(missing)?;
    let reached = Reached::new(results, curves, x);
    let (target, chosen) = match request.target {
        Some(target) => (target, false),
        None => (reached.target().ok_or(PlotError::NoCurves)?, true),
    };
    let mut points = Vec::new();
    for place in 0..x.values.len() {
        points.extend(reached.point(place, target));
    }
    let measured = points.iter().filter(|it| it.y.is_some());
    let ideal = measured
        .clone()
        .next()
        .and_then(|first| Some((first.x, first.y?)));
    let ideal = ideal.map_or_else(Vec::new, |(batch, steps)| {
        let at = |point: &Point| Point {
            x: point.x,
            y: Some(steps * batch / point.x),
            ..Point::default()
        };
        measured.map(at).collect()
    });
    let n = results
        .cells()
        .map(|(_, it)| it.tally().of)
        .max()
        .unwrap_or(0);
    let mut caption = vec![format!(
        "Optimizer steps until the end of the first epoch with a test error of at most {} %{}.",
        approximate(target),
        if chosen {
            ", the least that every batch size reaches"
        } else {
            ""
        }
    )];
    caption.push(format!(
        "Markers: median over {} of the cell that needs fewest (n = {n}; hollow: some runs did \
         not reach it). Dots: every run that did. Bars: {} Dashed: half the steps for twice the \
         batch.",
        counted(u64::from(n), "run"),
        range(points.iter().map(|it| it.values.len()))
    ));
    let unreached = points.iter().filter(|it| it.y.is_none()).count();
    if unreached > 0 {
        caption.push(format!(
            "{} never reached it.",
            counted(unreached as u64, "batch size")
        ));
    }
    caption.extend(progress(results));
    let series = vec![
        Series {
            name: "perfect scaling".to_owned(),
            look: 6,
            faint: true,
            points: ideal,
            ..Series::default()
        },
        Series {
            name: "measured".to_owned(),
            look: 0,
            markers: true,
            points,
            ..Series::default()
        },
    ];
    let ticks = x
        .values
        .iter()
        .filter_map(serde_json::Value::as_f64)
        .collect();
    Ok(Chart {
        title: title(results),
        caption,
        x: ChartAxis {
            title: axis_title(&x.path),
            log: true,
        },
        y: ChartAxis {
            title: format!("steps to {} % test error", approximate(target)),
            log: true,
        },
        body: Body::Lines(Grid {
            legend: String::new(),
            series,
            ticks,
        }),
    })
}

/// The curves of every cell, by batch size.
struct Reached<'a> {
    x: &'a Axis,
    /// For each cell: its place on the axis, and its curves.
    cells: Vec<(usize, Vec<&'a [Observation]>)>,
}

impl<'a> Reached<'a> {
    fn new(
        results: &Results,
        curves: &'a BTreeMap<JobDigest, Vec<Observation>>,
        x: &'a Axis,
    ) -> Self {
        let of = |(at, (cell, _)): (usize, (&swath_model::view::CellResults, _))| {
            let jobs = cell.replicates.iter().filter_map(|it| curves.get(&it.job));
            Some((x.places[at]?, jobs.map(Vec::as_slice).collect()))
        };
        Self {
            x,
            cells: results.cells().enumerate().filter_map(of).collect(),
        }
    }

    /// The least error that, at each batch size, some cell reaches in all its
    /// runs; rounded up to two digits.
    fn target(&self) -> Option<f64> {
        let least = |curve: &&[Observation]| {
            let errors = curve.iter().filter_map(|it| it.values.get(TEST_ERROR));
            errors.fold(f64::INFINITY, f64::min)
        };
        let mut by_place: BTreeMap<usize, f64> = BTreeMap::new();
        for (place, curves) in self.cells.iter().filter(|(_, curves)| !curves.is_empty()) {
            let worst = curves.iter().map(least).fold(0.0, f64::max);
            let best = by_place.entry(*place).or_insert(f64::INFINITY);
            *best = best.min(worst);
        }
        let hardest = by_place
            .into_values()
            .filter(|it| it.is_finite())
            .reduce(f64::max)?;
        if hardest <= 0.0 {
            return Some(0.0);
        }
        let power = hardest.log10().floor() as i32 - 1;
        let digits = (hardest / 10f64.powi(power)).ceil() as i64;
        format!("{digits}e{power}").parse().ok()
    }

    /// The cell that needs the fewest steps at a batch size; a cell that
    /// reaches the target in every run is preferred.
    fn point(&self, place: usize, target: f64) -> Option<Point> {
        let x = self.x.values[place].as_f64()?;
        let mut best: Option<Point> = None;
        for (_, curves) in self
            .cells
            .iter()
            .filter(|(at, curves)| *at == place && !curves.is_empty())
        {
            let first = |curve: &&[Observation]| {
                let error = |it: &Observation| it.values.get(TEST_ERROR);
                let hit = |it: &&Observation| error(it).is_some_and(|error| error <= target);
                curve.iter().find(hit).map(|it| it.step as f64)
            };
            let mut values: Vec<f64> = curves.iter().filter_map(first).collect();
            let point = Point {
                x,
                y: median(&mut values),
                n: values.len() as u32,
                complete: values.len() == curves.len(),
                values,
                diverged: 0,
                imported: false,
            };
            let rank = |it: &Point| (!it.complete, it.y.unwrap_or(f64::INFINITY));
            let better = best.as_ref().is_none_or(|best| {
                let (new, old) = (rank(&point), rank(best));
                new.0.cmp(&old.0).then(new.1.total_cmp(&old.1)).is_lt()
            });
            if better {
                best = Some(point);
            }
        }
        best
    }
}
