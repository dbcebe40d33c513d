//! Learning curves of one or many jobs.

use std::collections::{BTreeMap, BTreeSet};

use swath_model::metrics::{Goal, TEST_ERROR, TRAIN_ERROR, Unit, kind};
use swath_model::outcome::Observation;
use swath_model::text::counted;
use swath_results::table::headed;

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

/// The metric that curves show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// Which of its values are better.
    pub goal: Goal,
    /// Its unit, where its sweep says so.
    pub unit: Option<String>,
}

/// What is drawn, and what it is called.
struct Shown<'a> {
    thick: &'a str,
    /// What is drawn behind it.
    thin: Option<&'a str>,
    goal: Goal,
    /// The title of the axis.
    axis: String,
    /// Its name in a sentence.
    said: String,
}

impl<'a> Shown<'a> {
    fn of(metric: Option<&'a Metric>) -> Self {
        let Some(metric) = metric else {
            return Self {
                thick: TEST_ERROR,
                thin: Some(TRAIN_ERROR),
                goal: Goal::Minimize,
                axis: "error (%)".to_owned(),
                said: "test error".to_owned(),
            };
        };
        let known = kind(&metric.name);
        let said = match known {
            Some(_) => metric.name.replace('_', " "),
            None => metric.name.clone(),
        };
        let own = metric.unit.as_deref();
        let unit = own.or(match known.map(|it| it.unit) {
            Some(Unit::Percent) => Some("%"),
            Some(Unit::Seconds) => Some("s"),
            _ => None,
        });
        Self {
            thick: &metric.name,
            thin: None,
            goal: metric.goal,
            axis: headed(&said, unit),
            said,
        }
    }
}

/// The most names in one picture: there is a colour for each.
const NAMES_MOST: usize = 7;

/// A metric over epochs: for each name the median over its jobs, and how far the
/// jobs differ. Without a metric, test and training error. `legend` says what the
/// names consist of.
///
/// # Errors
///
/// When no curve has a point, or none of the metric.
pub fn curves(
    title: &str,
    legend: &str,
    curves: &[Curve],
    metric: Option<&Metric>,
) -> Result<Chart, PlotError> {
    let shown = Shown::of(metric);
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
        groups.sort_by(|(_, left), (_, right)| {
            let ends = [left, right].map(|it| last(it, shown.thick));
            match ends {
                [Some(left), Some(right)] => shown.goal.order(left, right),
                [left, right] => right.is_some().cmp(&left.is_some()),
            }
        });
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
        test.push(series(name, false, shown.thick));
        train.extend(shown.thin.map(|thin| series("", true, thin)));
    }
    let has = |series: &[Series]| series.iter().any(|it| !it.points.is_empty());
    let (has_test, has_train) = (has(&test), has(&train));
    if !has_test && !has_train {
        return Err(missing(shown.thick, curves, metric.is_some()));
    }
    if !has_test {
        // Otherwise their names would appear nowhere.
        for (train, test) in train.iter_mut().zip(&test) {
            train.name.clone_from(&test.name);
        }
    }
    let mut caption = vec![match (has_test, has_train) {
        (true, true) => "Thick: test error. Thin: training error.".to_owned(),
        (true, false) => format!("{}.", capital(&shown.said)),
        _ => "Training error.".to_owned(),
    }];
    caption.push(match most {
        1 => "One run each (n = 1).".to_owned(),
        _ => format!(
            "Median of {} each (n up to {most}); band of the {}: {}",
            counted(most as u64, "run"),
            shown.said,
            range(
                test.iter()
                    .flat_map(|it| &it.points)
                    .map(|it| it.values.len())
            )
        ),
    });
    if all > NAMES_MOST {
        caption.push(format!(
            "The {NAMES_MOST} of {all} with the {} {} at their last epoch.",
            shown.goal.superlative(),
            shown.said
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
            title: shown.axis,
            log: false,
        },
        body: Body::default(),
    };
    let (_, up) = grid.numbers(&chart.x, &chart.y);
    let positive = || up.iter().copied().filter(|it| *it > 0.0);
    let least = positive().fold(f64::INFINITY, f64::min);
    let greatest = positive().fold(0.0, f64::max);
    // What is to grow, or is negative, has no place on a logarithmic axis.
    let falls = shown.goal == Goal::Minimize && up.iter().all(|it| *it >= 0.0);
    chart.y.log = falls && greatest / least >= 20.0;
    if chart.y.log && up.iter().any(|it| *it <= 0.0) {
        chart
            .caption
            .push("On the lower edge: values of 0.".to_owned());
    }
    chart.body = Body::Lines(grid);
    Ok(chart)
}

/// Why nothing can be drawn.
fn missing(metric: &str, curves: &[Curve], asked: bool) -> PlotError {
    let points = curves.iter().flat_map(|it| &it.points);
    let names: BTreeSet<&str> = points
        .flat_map(|it| it.values.iter().map(|(name, _)| name))
        .collect();
    if names.is_empty() || !asked {
        return PlotError::NoCurves;
    }
    PlotError::UnknownMetric {
        metric: metric.to_owned(),
        recorded: names.into_iter().map(str::to_owned).collect(),
    }
}

fn capital(text: &str) -> String {
    // The name of a metric of a program stays as it is.
    match text.strip_prefix("test error") {
        Some(rest) => format!("Test error{rest}"),
        None => text.to_owned(),
    }
}

/// The median of the last values of a name, if there are any.
fn last(group: &[&Curve], metric: &str) -> Option<f64> {
    let of = |curve: &&Curve| {
        curve
            .points
            .iter()
            .rev()
            .find_map(|it| it.values.get(metric))
    };
    let mut values: Vec<f64> = group.iter().filter_map(of).collect();
    median(&mut values)
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
