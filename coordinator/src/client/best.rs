//! `best`: the best cell of a sweep, and a file that trains it again.

use std::io::Write;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use swath_coordinator::api::{Jobs, ReadQuery, SweepResults, SweepSources};
use swath_model::id::{CellDigest, SweepDigest};
use swath_model::message::Sources;
use swath_model::metrics::Goal;
use swath_model::needs::Needs;
use swath_model::spec::lookup;
use swath_model::view::{SCHEMA_VERSION, SweepRecord};
use swath_report::Format;
use swath_results::table::{ResultRow, Results, Unfit};
use swath_sweep::{Single, SweepFile};

use super::connection::Connection;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::output::into_file;
use super::read::json;
use super::render;
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
    let spec = spec(&mut connection, &best).await?;
    let file = context.file.as_deref();
    let needs = match file {
        Some(_) => needs(&mut connection, &found.sweep).await?,
        None => Needs::default(),
    };
    connection.close().await?;
    let document = Document {
        schema_version: SCHEMA_VERSION,
        sweep: results.name(),
        digest: found.sweep.digest,
        chosen: found.chosen.as_deref(),
        metric: results.metric(),
        goal: results.definition().goal(),
        measure: results.definition().measure.to_string(),
        cells: results.cells().len(),
        unfit: Unfit::of(&results),
        best,
        ties: rows,
        spec: &spec,
        command: command(&spec),
        again: again(context, &selector),
    };
    let Some(path) = file else {
        return print(context, &results, &places, &document);
    };
    let about = render::best::text(&results, &document);
    let text = single(&found.sweep, &results, &spec, &needs, &about)?;
    into_file(path, |out| Ok(out.write_all(text.as_bytes())?))?;
    let (shown, at) = (path.display(), results.describe(*place));
    let figure = best.summary.measured;
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

/// The spec of a cell, which its jobs have.
async fn spec(connection: &mut Connection, row: &ResultRow<'_>) -> Outcome<Value> {
    let jobs = row.cell.replicates.iter().map(|it| it.job).collect();
    let found: Jobs = connection.read(&ReadQuery::Named { jobs }).await?;
    let job = found.jobs.into_iter().next();
    job.map(|job| job.spec).ok_or_else(|| {
        let cell: CellDigest = row.cell.cell;
        Failure::error(format!("no job of cell {} is known", cell.short()))
    })
}

/// What the jobs of a sweep need, as its file says.
async fn needs(connection: &mut Connection, sweep: &SweepRecord) -> Outcome<Needs> {
    let query = ReadQuery::Sources {
        selector: vec![sweep.digest.to_string()],
    };
    let sources: SweepSources = connection.read(&query).await?;
    match sources.sources {
        Sources::Cells(list) => Ok(list.needs),
        Sources::Files(files) => {
            let text = files.files.get(&files.main).map_or("", String::as_str);
            let known = |path: &str| files.files.get(path).cloned();
            let read = |path: &str| known(path).ok_or_else(|| "is not stored".to_owned());
            let file = SweepFile::parse(&files.main, text, &read);
            Ok(file.map_err(|errors| Failure::files(&errors))?.needs)
        }
    }
}

/// The file that trains the cell of this spec.
fn single(
    sweep: &SweepRecord,
    results: &Results,
    spec: &Value,
    needs: &Needs,
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
        needs,
        spec,
        axes: results.axes(),
    };
    single
        .file()
        .map_err(|error| Failure::new(Exit::NotAllowed, error))
}

/// The program of a spec with its arguments.
fn command(spec: &Value) -> Option<String> {
    let words = lookup(spec, "trainer.command")?.as_array()?;
    let words = words.iter().filter_map(Value::as_str).map(quoted);
    Some(words.collect::<Vec<_>>().join(" "))
}

fn again(context: &Context, selector: &[String]) -> [String; 2] {
    let words: Vec<String> = selector.iter().map(|it| quoted(it)).collect();
    let (words, asked) = (words.join(" "), &context.asked);
    [
        format!("coordinator best {words} -o best.toml{asked}"),
        format!("coordinator submit best.toml{asked}"),
    ]
}
