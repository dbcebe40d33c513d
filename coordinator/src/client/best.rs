//! `best`: the best cell of a sweep, and a file that trains it again.

use std::io::Write;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use swath_coordinator::api::{Jobs, ReadQuery, SweepResults};
use swath_model::id::{CellDigest, SweepDigest};
use swath_model::metrics::Goal;
use swath_model::program::{Facts, Launch, argv};
use swath_model::spec::{JobSpec, Work};
use swath_model::view::{JobView, SCHEMA_VERSION, SweepRecord};
use swath_report::Format;
use swath_results::table::{ResultRow, Results, Unfit};
use swath_sweep::Single;

use super::connection::Connection;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::output::into_file;
use super::read::json;
use super::render;
use super::sources::Asked;
use crate::cli;
use crate::settings::{Context, quoted};

/// The best cell of a sweep, as programs get it.
#[derive(Serialize)]
pub(crate) struct Document<'a> {
    pub(crate) schema_version: u32,
    pub(crate) sweep: &'a str,
    pub(crate) digest: SweepDigest,
    /// Says which cells were compared, if they are not all.
    pub(crate) chosen: Option<&'a str>,
    pub(crate) metric: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unit: Option<&'a str>,
    pub(crate) goal: Goal,
    pub(crate) measure: String,
    /// How many cells were compared, those that take no part included.
    pub(crate) cells: usize,
    pub(crate) unfit: Unfit,
    pub(crate) best: ResultRow<'a>,
    /// The other cells with the same median.
    pub(crate) ties: Vec<ResultRow<'a>>,
    pub(crate) spec: &'a Value,
    /// The program that it runs, if it runs one, for a shell.
    pub(crate) command: Option<String>,
    /// Commands that write a file of this cell and train it.
    pub(crate) again: [String; 2],
}

pub(crate) async fn best(context: &Context, arguments: cli::Best) -> Outcome {
    if let Some(path) = &context.file {
        check(path)?;
    }
    let selector = arguments.selector;
    let mut connection = Connection::open(context).await?;
    let query = ReadQuery::Results {
        selector: selector.clone(),
    };
    let mut found: SweepResults = connection.read(&query).await?;
    let cells = found.take_cells();
    let results = Results::new(&found.sweep, cells).map_err(Failure::error)?;
    let places = results.best();
    let Some(place) = places.first() else {
        connection.close().await?;
        return Err(none(context, &results));
    };
    let rows = places.iter().filter_map(|place| results.row_at(*place));
    let mut rows: Vec<ResultRow<'_>> = rows.collect();
    let best = rows.remove(0);
    let job = job(&mut connection, &best).await?;
    let spec = &job.spec;
    let file = context.file.as_deref();
    let asked = Asked::of(&mut connection, found.sweep.digest).await?;
    connection.close().await?;
    let document = Document {
        schema_version: SCHEMA_VERSION,
        sweep: results.name(),
        digest: found.sweep.digest,
        chosen: found.chosen.as_deref(),
        metric: results.metric(),
        unit: results.definition().sign(),
        goal: results.definition().goal(),
        measure: results.definition().measure.to_string(),
        cells: results.cells().len(),
        unfit: Unfit::of(&results),
        best,
        ties: rows,
        spec,
        command: command(&job, &asked.launch),
        again: again(context, &selector),
    };
    let Some(path) = file else {
        return print(context, &results, &places, &document);
    };
    let about = render::best::text(&results, &document);
    let text = single(&found.sweep, &results, spec, &asked, &about)?;
    into_file(path, |out| Ok(out.write_all(text.as_bytes())?))?;
    let (shown, at) = (path.display(), results.describe(*place));
    let figure = render::best::figure(&results, &document.best);
    let printer = context.printer;
    printer.note(format!("{shown} trains the best cell ({figure} at {at})"));
    for note in render::best::notes(&results, &document) {
        printer.note(note);
    }
    Ok(Exit::Ok)
}

fn print(
    context: &Context,
    results: &Results,
    places: &[usize],
    document: &Document<'_>,
) -> Outcome {
    let text = match context.format {
        Format::Table | Format::Wide => render::best::text(results, document),
        Format::Json | Format::Jsonl => json(context, document)?.unwrap_or_default() + "\n",
        other => {
            let best = results.only(places);
            let text = swath_report::results(&best, other, &context.style);
            text.map_err(|error| Failure::new(Exit::NotAllowed, error))?
        }
    };
    context.printer.data(&text)?;
    Ok(Exit::Ok)
}

fn check(path: &Path) -> Outcome<()> {
    let ending = path.extension().unwrap_or_default();
    if ending.eq_ignore_ascii_case("toml") {
        return Ok(());
    }
    let path = path.display();
    Err(Failure::usage(format!(
        "`{path}`: `best` writes a sweep file; name it .toml, or print with `-o json`"
    )))
}

/// Why no cell is the best.
fn none(context: &Context, results: &Results) -> Failure {
    let (name, cells) = (results.name(), results.cells().len());
    let why = Unfit::of(results).words(cells).join("; ");
    let message = format!("no cell of {name} has every run: {why}");
    let (word, asked) = (quoted(name), &context.asked);
    Failure::new(Exit::NotFound, message).hint(format!(
        "`coordinator table {word}{asked}` shows what there is; a median of the runs that are left \
         would be too good"
    ))
}

/// A job of a cell.
async fn job(connection: &mut Connection, row: &ResultRow<'_>) -> Outcome<JobView> {
    let jobs = row.cell.replicates.iter().map(|it| it.job).collect();
    let found: Jobs = connection.read(&ReadQuery::Named { jobs }).await?;
    let job = found.jobs.into_iter().next();
    job.ok_or_else(|| {
        let cell: CellDigest = row.cell.cell;
        Failure::error(format!("no job of cell {} is known", cell.short()))
    })
}

/// The file that trains the cell of this spec.
fn single(
    sweep: &SweepRecord,
    results: &Results,
    spec: &Value,
    asked: &Asked,
    about: &str,
) -> Outcome<String> {
    let definition = results.definition();
    let single = Single {
        name: results.name(),
        about,
        replicates: sweep.replicates,
        replicates_max: sweep.replication.map(|it| it.max),
        measure: definition.measure,
        goal: definition.goal,
        needs: &asked.needs,
        launch: &asked.launch,
        keep: definition.keep,
        unit: definition.unit.as_deref(),
        spec,
        axes: results.axes(),
    };
    single
        .file()
        .map_err(|error| Failure::new(Exit::NotAllowed, error))
}

/// The command line of a job's program. What only an attempt has stays in
/// braces.
fn command(job: &JobView, launch: &Launch) -> Option<String> {
    let spec = JobSpec::from_value(&job.spec).ok()?;
    let Work::Command(command) = spec.work() else {
        return None;
    };
    let facts = Facts {
        seed: job.seed,
        out: "{out}".to_owned(),
        job: job.digest.to_string(),
        attempt: job.attempt.0,
        sweep: job.sweeps.last().cloned().unwrap_or_default(),
        replicate: job.replicate.0,
        device: "{device}".to_owned(),
    };
    let words = argv(command, &job.spec, launch, &facts).ok()?;
    let words: Vec<String> = words.iter().map(|it| quoted(it)).collect();
    Some(words.join(" "))
}

fn again(context: &Context, selector: &[String]) -> [String; 2] {
    let words: Vec<String> = selector.iter().map(|it| quoted(it)).collect();
    let (words, asked) = (words.join(" "), &context.asked);
    [
        format!("coordinator best {words} -o best.toml{asked}"),
        format!("coordinator submit best.toml{asked}"),
    ]
}
