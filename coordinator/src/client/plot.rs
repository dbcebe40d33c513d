//! `plot`: results and learning curves as pictures.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use serde_json::Value;
use swath_coordinator::api::{JobCurve, JobCurves, ReadQuery, SweepDocument, SweepResults, Sweeps};
use swath_model::metrics::{self, Goal, TEST_ERROR};
use swath_model::outcome::Observation;
use swath_model::text::parameter;
use swath_model::view::CurvePoint;
use swath_plot::{Chart, Curve, Kind, Metric, PlotError, Request};
use swath_report::newest;
use swath_results::table::{Definition, Results, label};

use super::connection::Connection;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::output::into_file;
use crate::cli;
use crate::settings::Context;

/// Columns of a plot where no terminal says how many there are.
const COLUMNS: usize = 80;

/// The form in which a picture is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Svg,
    Png,
}

impl Form {
    fn of_file(path: &Path) -> Outcome<Self> {
        let ending = path.extension().unwrap_or_default().to_string_lossy();
        match ending.to_lowercase().as_str() {
            "svg" => Ok(Self::Svg),
            "png" => Ok(Self::Png),
            other => Err(Failure::usage(format!(
                "`{}`: a plot is no `.{other}`; name it .svg or .png",
                path.display()
            ))),
        }
    }
}

pub(crate) async fn plot(context: &Context, arguments: cli::Plot) -> Outcome {
    let file = context.file.as_deref();
    let file = file.map(|path| Form::of_file(path).map(|form| (path, form)));
    let file = file.transpose()?;
    let mut connection = Connection::open(context).await?;
    let chart = chart(&mut connection, arguments).await?;
    connection.close().await?;
    let Some((path, form)) = file else {
        let width = context.style.width.unwrap_or(COLUMNS);
        let text = swath_plot::text(&chart, width, context.style.unicode);
        context.printer.data(&text)?;
        return Ok(Exit::Ok);
    };
    let bytes = match form {
        Form::Svg => swath_plot::svg(&chart).into_bytes(),
        Form::Png => swath_plot::png(&chart).map_err(Failure::error)?,
    };
    into_file(path, |out| Ok(out.write_all(&bytes)?))?;
    context
        .printer
        .note(format!("the plot is in {}", path.display()));
    Ok(Exit::Ok)
}

async fn chart(connection: &mut Connection, arguments: cli::Plot) -> Outcome<Chart> {
    let selector = arguments.selector;
    let kind = arguments.kind;
    let request = Request {
        x: arguments.x,
        by: arguments.by,
        target: arguments.target,
    };
    if kind == Some(Kind::Curves) || arguments.metric.is_some() {
        return curves(connection, selector, arguments.metric).await;
    }
    let query = ReadQuery::Results {
        selector: selector.clone(),
    };
    let mut found: SweepResults = connection.read(&query).await?;
    let cells = found.take_cells();
    let chosen = found.chosen;
    let results = Results::new(&found.sweep, cells).map_err(Failure::error)?;
    let kind = kind.unwrap_or_else(|| Kind::suited(&results));
    let chart = if kind == Kind::Steps {
        let curves = observations(connection, selector).await?;
        swath_plot::steps(&results, &curves, &request)
    } else {
        swath_plot::results(&results, kind, &request)
    };
    let mut chart = chart.map_err(|error| failure(&error))?;
    chart.caption.extend(chosen);
    Ok(chart)
}

/// A name that does not exist is a mistake in what was typed.
fn failure(error: &PlotError) -> Failure {
    let exit = if error.is_unknown_name() {
        Exit::Usage
    } else {
        Exit::NotAllowed
    };
    Failure::new(exit, error)
}

/// The curves of every matching job, each named by what tells it apart.
async fn curves(
    connection: &mut Connection,
    selector: Vec<String>,
    metric: Option<String>,
) -> Outcome<Chart> {
    let title = heading(connection, &selector).await?;
    let found = read(connection, selector).await?;
    let specs: Vec<BTreeMap<String, String>> =
        found.jobs.iter().map(|it| leaves(&it.job.spec)).collect();
    let mut differ: Vec<&String> = specs.iter().flat_map(BTreeMap::keys).collect();
    differ.sort();
    differ.dedup();
    differ.retain(|path| {
        let first = specs.first().and_then(|spec| spec.get(*path));
        specs.iter().any(|spec| spec.get(*path) != first)
    });
    let one = found.jobs.len() == 1;
    let name = |(curve, spec): (&JobCurve, &BTreeMap<String, String>)| Curve {
        name: match differ.as_slice() {
            [] if one => format!("replicate {}", curve.job.replicate.0),
            [] => "all runs".to_owned(),
            paths => {
                let values = paths
                    .iter()
                    .map(|path| spec.get(*path).map_or("none", String::as_str));
                values.collect::<Vec<_>>().join(", ")
            }
        },
        points: epochs(&curve.points),
    };
    let curves: Vec<Curve> = found.jobs.iter().zip(&specs).map(name).collect();
    let legend: Vec<String> = differ.iter().map(|path| label(path)).collect();
    let metric = metric_of(connection, &found, metric).await?;
    let chart = swath_plot::curves(&title, &legend.join(", "), &curves, metric.as_ref());
    chart.map_err(|error| failure(&error))
}

/// The metric to show: the one that was asked for, or else the jobs' own. None
/// where that is the test error.
async fn metric_of(
    connection: &mut Connection,
    found: &JobCurves,
    asked: Option<String>,
) -> Outcome<Option<Metric>> {
    let Some(first) = found.jobs.first() else {
        return Ok(asked.map(|name| Metric {
            name,
            goal: Goal::default(),
            unit: None,
        }));
    };
    let own = metrics::own(&first.job.spec);
    let name = match asked {
        Some(name) => name,
        None if own == TEST_ERROR => return Ok(None),
        None => own.to_owned(),
    };
    let (mut goal, mut unit) = (Goal::implied(&name).unwrap_or_default(), None);
    if name == own
        && let Some(sweep) = first.job.holders.last()
    {
        // Only the sweep knows the direction and the unit that its file gives.
        let selector = vec![sweep.to_string()];
        let found: SweepDocument = connection.read(&ReadQuery::Sweep { selector }).await?;
        let definition = Definition::read(&found.sweep.definition).map_err(Failure::error)?;
        goal = definition.goal();
        unit = definition.unit;
    }
    Ok(Some(Metric { name, goal, unit }))
}

/// The title of the sweep that was asked for, with the filters; otherwise the
/// selector itself.
async fn heading(connection: &mut Connection, selector: &[String]) -> Outcome<String> {
    let Sweeps { sweeps, .. } = connection.read(&ReadQuery::Sweeps).await?;
    let named = |word: &String| {
        let sweep = sweeps.iter().rev().find(|it| it.name == *word);
        sweep.map(|it| it.title.clone()).filter(|it| !it.is_empty())
    };
    let words = selector
        .iter()
        .map(|word| named(word).unwrap_or_else(|| word.clone()));
    Ok(words.collect::<Vec<_>>().join(", "))
}

async fn observations(
    connection: &mut Connection,
    selector: Vec<String>,
) -> Outcome<BTreeMap<swath_model::id::JobDigest, Vec<Observation>>> {
    let found = read(connection, selector).await?;
    let jobs = found.jobs.iter();
    Ok(jobs.map(|it| (it.job.digest, epochs(&it.points))).collect())
}

/// The curves of the matching jobs. Too many are refused: half of them would be
/// a picture of nothing.
async fn read(connection: &mut Connection, selector: Vec<String>) -> Outcome<JobCurves> {
    let query = ReadQuery::JobCurves {
        selector,
        limit: None,
    };
    let found: JobCurves = connection.read(&query).await?;
    if found.more {
        let jobs = found.jobs.len();
        return Err(Failure::usage(format!(
            "more than {jobs} jobs match; choose fewer with filters over parameters"
        )));
    }
    Ok(found)
}

fn epochs(points: &[CurvePoint]) -> Vec<Observation> {
    newest(points)
        .into_iter()
        .map(|it| it.observation.clone())
        .collect()
}

/// Every value of a spec by its path.
fn leaves(spec: &Value) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![(String::new(), spec)];
    while let Some((path, value)) = open.pop() {
        match value.as_object() {
            Some(table) => open.extend(table.iter().map(|(key, value)| {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                (path, value)
            })),
            None => {
                found.insert(path, parameter(value));
            }
        }
    }
    found
}
