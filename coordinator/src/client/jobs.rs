//! Verbs about jobs: the list, and one job's reasons, logs and curves.

use std::borrow::Cow;
use std::io::Write;
use std::time::Duration;

use swath_coordinator::api::{Curves, Explanation, Logs, ReadQuery};
use swath_model::metrics::{self, TEST_ERROR};
use swath_model::suggest::did_you_mean;
use swath_model::terminal;
use swath_report::{Format, Given, curve, curve_listing, metrics_of};
use tokio::time::Instant;

use super::connection::Connection;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::printer::Printer;
use super::read::{json, print_listing};
use super::render;
use super::wait::{Interrupts, patiently};
use crate::cli;
use crate::settings::Context;

/// Pause between two looks at a log that is followed.
const FOLLOW_POLL: Duration = Duration::from_millis(500);

pub(crate) async fn jobs(context: &Context, arguments: cli::Jobs) -> Outcome {
    let mut connection = Connection::open(context).await?;
    let cli::Jobs { selector, limit } = arguments;
    let jobs = connection.jobs(selector, limit).await?;
    connection.close().await?;
    let listing = match context.format {
        Format::Csv => render::jobs::records(&jobs),
        _ => render::jobs::listing(&jobs),
    };
    print_listing(context, &listing, "no job matches")
}

pub(crate) async fn explain(context: &Context, arguments: cli::Explain) -> Outcome {
    let mut connection = Connection::open(context).await?;
    let selector = arguments.selector;
    let document: Explanation = connection.read(&ReadQuery::Explain { selector }).await?;
    connection.close().await?;
    if let Some(text) = json(context, &document)? {
        context.printer.data(&text)?;
        return Ok(Exit::Ok);
    }
    let wide = context.format == Format::Wide;
    let text = match context.format {
        Format::Table | Format::Wide => render::explain::text(&document, wide, &context.style),
        Format::Ids => format!("{}\n", document.detail.job.digest),
        format => {
            render::explain::attempts(&document.detail.attempts).render(format, &context.style)
        }
    };
    context.printer.data(&text)?;
    context
        .printer
        .hint(render::explain::next(&document, &context.asked));
    Ok(Exit::Ok)
}

pub(crate) async fn curves(context: &Context, arguments: cli::Curves) -> Outcome {
    let mut connection = Connection::open(context).await?;
    let selector = arguments.selector;
    let document: Curves = connection.read(&ReadQuery::Curves { selector }).await?;
    connection.close().await?;
    if context.format == Format::Json {
        // The document names its job; the list of points does not.
        let text = json(context, &document)?.unwrap_or_default();
        context.printer.data(&text)?;
        return Ok(Exit::Ok);
    }
    let metric = metric_of(&document, arguments.metric)?;
    let given = document.unit.as_deref().map(|unit| Given {
        metric: metrics::own(&document.job.spec),
        unit,
    });
    let listing = curve_listing(&document.points, given);
    if context.format.is_for_terminals() && !document.points.is_empty() {
        let job = &document.job;
        let (name, state) = (render::jobs::name(job, &[]), render::jobs::state(job));
        let plot = curve(&document.points, metric.as_deref(), given, &context.style);
        context
            .printer
            .data(&format!("{name}  {state}\n\n{plot}\n"))?;
    }
    print_listing(context, &listing, "no epoch of this job is done yet")
}

/// The metric to draw: the one that was asked for, or else the job's own, if
/// epochs have it. None stands for the test error.
fn metric_of(document: &Curves, asked: Option<String>) -> Outcome<Option<String>> {
    let recorded = metrics_of(&document.points);
    let own = metrics::own(&document.job.spec);
    match asked {
        Some(asked) if recorded.contains(&*asked) => Ok(Some(asked)),
        Some(asked) if !recorded.is_empty() => {
            let there = did_you_mean(&asked, recorded, "those recorded are");
            Err(Failure::usage(format!(
                "no epoch has a metric `{asked}`; {there}"
            )))
        }
        None if own != TEST_ERROR && recorded.contains(own) => Ok(Some(own.to_owned())),
        _ => Ok(None),
    }
}

pub(crate) async fn logs(context: &Context, arguments: cli::Logs) -> Outcome {
    let mut interrupts = Interrupts::listen(arguments.follow)?;
    let mut connection = if arguments.follow {
        let asked = &context.asked;
        let instead = format!(
            "`coordinator logs` without --follow prints what there is, \
             `coordinator run SWEEP{asked}` trains"
        );
        Connection::open_to_stay(context, "nothing would come", &instead).await?
    } else {
        Connection::open(context).await?
    };
    let mut position = 0;
    let mut shown = render::logs::Shown::default();
    let mut followed = false;
    let mut selector = arguments.selector;
    loop {
        let query = ReadQuery::Logs { selector, position };
        let read = async |connection: &mut Connection| connection.read::<Logs>(&query).await;
        // What never answered is no coordinator, and a look is taken at once.
        let give_up = (!followed).then(Instant::now);
        let document = tokio::select! {
            () = interrupts.next() => break,
            document = patiently(context, &mut connection, give_up, read) => document?,
        };
        for chunk in &document.chunks {
            position = position.max(chunk.position);
        }
        print_chunks(context, arguments.raw, &document, &mut shown)?;
        let over = document.job.state.is_final() && document.chunks.is_empty();
        if !arguments.follow || over {
            break;
        }
        followed = true;
        // A retry could make other jobs match: stay with this one.
        selector = vec![document.job.digest.to_string()];
        tokio::select! {
            () = interrupts.next() => break,
            () = tokio::time::sleep(FOLLOW_POLL) => {}
        }
    }
    connection.close().await?;
    if position == 0 {
        context
            .printer
            .note("this job's trainers have written nothing");
    }
    if !shown.is_empty() {
        let mut out = context.printer.stdout();
        out.write_all(shown.close().as_bytes())?;
        out.flush()?;
    }
    Ok(Exit::Ok)
}

fn print_chunks(
    context: &Context,
    raw: bool,
    document: &Logs,
    shown: &mut render::logs::Shown,
) -> Outcome<()> {
    let mut out: Box<dyn Write + Send> = if raw {
        Box::new(Printer::raw())
    } else {
        context.printer.stdout()
    };
    match context.format {
        Format::Json => {
            let text = json(context, document)?.unwrap_or_default();
            writeln!(out, "{text}")?;
        }
        Format::Jsonl => {
            for chunk in &document.chunks {
                serde_json::to_writer(&mut out, chunk).map_err(std::io::Error::from)?;
                writeln!(out)?;
            }
        }
        _ => {
            for chunk in &document.chunks {
                let text = shown.text(chunk);
                let text = if raw {
                    Cow::Borrowed(&*text)
                } else {
                    terminal::shown(&text, false)
                };
                out.write_all(text.as_bytes())?;
            }
        }
    }
    out.flush()?;
    Ok(())
}
