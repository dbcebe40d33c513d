//! `export`: the results of a sweep in a file.

use std::io::Write;
use std::path::Path;

use swath_coordinator::api::{ReadQuery, SweepResults};
use swath_report::{Format, Records, Style, counted};
use swath_results::table::Results;

use super::connection::Connection;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::lock;
use super::output::into_file;
use crate::cli;
use crate::settings::Context;

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// One record per replicate.
    Csv,
    Jsonl,
    Parquet,
    /// The table.
    Table(Format),
}

/// The file endings, and what each means.
const ENDINGS: [(&str, Form); 7] = [
    ("parquet", Form::Parquet),
    ("csv", Form::Csv),
    ("jsonl", Form::Jsonl),
    ("html", Form::Table(Format::Html)),
    ("tex", Form::Table(Format::Latex)),
    ("md", Form::Table(Format::Markdown)),
    ("json", Form::Table(Format::Json)),
];

impl Form {
    fn of_file(path: &Path) -> Outcome<Self> {
        let ending = path.extension().unwrap_or_default().to_string_lossy();
        let ending = ending.to_lowercase();
        let known = ENDINGS.iter().find(|(known, _)| *known == ending);
        known.map(|(_, form)| *form).ok_or_else(|| {
            let all = ENDINGS.map(|(ending, _)| format!(".{ending}")).join(", ");
            let path = path.display();
            Failure::usage(format!(
                "`{path}`: `.{ending}` is not a known ending; the known ones are {all}"
            ))
        })
    }

    const fn of_format(format: Format) -> Self {
        match format {
            // What a reader of a pipe most likely expects.
            Format::Table | Format::Wide | Format::Csv => Self::Csv,
            Format::Jsonl => Self::Jsonl,
            other => Self::Table(other),
        }
    }
}

pub(crate) async fn export(context: &Context, arguments: cli::Export) -> Outcome {
    if let Some(path) = &arguments.lock {
        return lock::write(context, arguments.selector, path).await;
    }
    let form = match &context.file {
        Some(path) => Form::of_file(path)?,
        None => Form::of_format(context.format),
    };
    let mut connection = Connection::open(context).await?;
    let selector = arguments.selector;
    let mut found: SweepResults = connection.read(&ReadQuery::Results { selector }).await?;
    connection.close().await?;
    let cells = found.take_cells();
    let results = Results::new(&found.sweep, cells).map_err(Failure::error)?;
    let Some(path) = &context.file else {
        let format = match form {
            Form::Table(format) => format,
            _ => Format::Csv,
        };
        let mut out = context.printer.of(format).stdout();
        write(form, &results, &mut out)?;
        out.flush()?;
        return Ok(Exit::Ok);
    };
    into_file(path, |file| write(form, &results, file))?;
    let replicates = found.sweep.counts.total();
    context.printer.note(format!(
        "{} of {} are in {}",
        counted(replicates, "replicate"),
        found.sweep.name,
        path.display()
    ));
    Ok(Exit::Ok)
}

fn write(form: Form, results: &Results, out: &mut (impl Write + Send)) -> Outcome<()> {
    match form {
        Form::Csv => Records::new(results).write_csv(out)?,
        Form::Jsonl => Records::new(results).write_jsonl(out)?,
        Form::Parquet => Records::new(results).write_parquet(out)?,
        Form::Table(format) => {
            let text = swath_report::results(results, format, &Style::PIPE);
            let text = text.map_err(|error| Failure::new(Exit::NotAllowed, error))?;
            out.write_all(text.as_bytes())?;
        }
    }
    Ok(())
}
