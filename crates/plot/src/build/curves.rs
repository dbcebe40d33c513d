//! Learning curves of one or many jobs.

use std::collections::BTreeMap;

use swath_model::metrics::{TEST_ERROR, TRAIN_ERROR};
use swath_model::outcome::Observation;
use swath_model::text::counted;

use super::{PlotError, range};
use crate::chart::{Axis, Body, Chart, Grid, Point, Series};

/// The curve of one job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    /// Its name; curves of the same name are replicates of each other.
    pub name: String,
    /// Its epochs, each once.
    pub points: Vec<Observation>,
}

/// The most names in one picture: there is a colour for each.
const NAMES_MOST: usize = 7;

/// Error over epochs: for each name the median over its jobs, for test and
/// training, and how far the jobs differ. `legend` says what the names consist
/// of.
///
/// # Errors
///
/// When no curve has a point.
pub fn curves(title: &str, legend: &str, curves: &[Curve]) -> Result<Chart, PlotError> {
    let mut groups: Vec<(&str, Vec<&Curve>)> = Vec::new();
    for curve in curves.iter().filter(|it| !it.points.is_empty()) {
        match groups.iter_mut().find(|(name, _)| *name == curve.name) {
            Some((_, group)) => group.push(curve),
            None => groups.push((&curve.name, vec![curve])),
        }
    }
    let all = groups.len();
    if all > NAMES_MOST {
        // The best at the end of training are the most interesting; the sort is
        // stable, so ties keep their order.
        groups.sort_by(|(_, left), (_, right)| last(left).total_cmp(&last(right)));
        groups.truncate(NAMES_MOST);
    }
    let (mut test, mut train) = (Vec::new(), Vec::new());
    let mut most = 0;
    for (look, (name, group)) in groups.iter().enumerate() {
        most = most.max(group.len());
        let series = |name: &str, faint, metric| Series {
            name: name.to_owned(),
            look,
            faint,
            band: !faint,
            points: points(group, metric),
            ..Series::default()
        };
        test.push(series(name, false, TEST_ERROR));
        train.push(series("", true, TRAIN_ERROR));
    }
    let has = |series: &[Series]| series.iter().any(|it| !it.points.is_empty());
    let (has_test, has_train) = (has(&test), has(&train));
    if !has_test && !has_train {
        return Err(PlotError::NoCurves);
    }
    if !has_test {
        // Otherwise their names would appear nowhere.
        for (train, test) in train.iter_mut().zip(&test) {
            train.name.clone_from(&test.name);
        }
    }
    let mut caption = vec![match (has_test, has_train) {
        (true, true) => "Thick: test error. Thin: training error.".to_owned(),
        (true, false) => "Test error.".to_owned(),
        _ => "Training error.".to_owned(),
    }];
    caption.push(match most {
        1 => "One run each (n = 1).".to_owned(),
        _ => format!(
            "Median of {} each (n up to {most}); band of the test error: {}",
            counted(most as u64, "run"),
            range(
                test.iter()
                    .flat_map(|it| &it.points)
                    .map(|it| it.values.len())
            )
        ),
    });
    if all > NAMES_MOST {
        caption.push(format!(
            "The {NAMES_MOST} of {all} with the least error at their last epoch."
        ));
    }
    let grid = Grid {
        legend: legend.to_owned(),
        series: train.into_iter().chain(test).collect(),
        ticks: Vec::new(),
    };
    let mut chart = Chart {
        title: title.to_owned(),
        caption,
        x: Axis {
            title: "epoch".to_owned(),
            log: false,
        },
        y: Axis {
            title: "error (%)".to_owned(),
            log: false,
        },
        body: Body::default(),
    };
    let (_, up) = grid.numbers(&chart.x, &chart.y);
    let positive = || up.iter().copied().filter(|it| *it > 0.0);
    let least = positive().fold(f64::INFINITY, f64::min);
    let greatest = positive().fold(0.0, f64::max);
    chart.y.log = greatest / least >= 20.0;
    if chart.y.log && up.iter().any(|it| *it <= 0.0) {
        let sentence = "On the lower edge: an error of 0.".to_owned();
        chart.caption.push(sentence);
    }
    chart.body = Body::Lines(grid);
    Ok(chart)
}

/// The median of the last test errors of a name; infinite if there are none.
fn last(group: &[&Curve]) -> f64 {
    let of = |curve: &&Curve| {
        curve
            .points
            .iter()
            .rev()
            .find_map(|it| it.values.get(TEST_ERROR))
    };
    let mut values: Vec<f64> = group.iter().filter_map(of).collect();
    median(&mut values).unwrap_or(f64::INFINITY)
}

fn points(group: &[&Curve], metric: &str) -> Vec<Point> {
    let mut by_epoch: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for point in group.iter().flat_map(|curve| &curve.points) {
        if let Some(value) = point.values.get(metric) {
            by_epoch.entry(point.epoch).or_default().push(value);
        }
    }
    let of = |(epoch, mut values): (u32, Vec<f64>)| Point {
        x: f64::from(epoch),
        y: median(&mut values),
        n: values.len() as u32,
        complete: values.len() == group.len(),
        values,
        diverged: 0,
        imported: false,
    };
    by_epoch.into_iter().map(of).collect()
}

/// The median; this sorts the values.
pub(crate) fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get((values.len() - 1) / 2)?;
    Some(f64::midpoint(lower, upper))
}
