//! Verbs that print one list, and what all verbs that read share.

use serde::Serialize;
use swath_coordinator::api::{Decisions, ReadQuery, Sweeps, Workers};
use swath_model::view::{SweepKind, SweepView};
use swath_report::{Format, Listing, counted};

use super::connection::Connection;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::render;
use crate::cli;
use crate::settings::Context;
use crate::user;

pub(crate) async fn sweeps(context: &Context, arguments: &cli::Sweeps) -> Outcome {
    let mut connection = Connection::open(context).await?;
    let owner = match &arguments.owner {
        None if arguments.mine => match connection.myself().await?.name {
            // A coordinator that asks nobody believes what one says.
            nobody if nobody.is_empty() => Some(user::name()?),
            name => Some(name),
        },
        owner => owner.clone(),
    };
    let document: Sweeps = connection.read(&ReadQuery::Sweeps).await?;
    connection.close().await?;
    let asked = &context.asked;
    let mut sweeps = document.sweeps;
    sweeps.retain(|sweep| {
        let has = |tag| sweep.label.tags.contains(tag);
        owner
            .as_ref()
            .is_none_or(|owner| *owner == sweep.label.owner)
            && arguments.tag.iter().all(has)
    });
    if !arguments.all {
        hide_archived(context, &mut sweeps);
    }
    let before = sweeps.len();
    if context.format == Format::Table {
        sweeps.retain(|sweep| sweep.kind == SweepKind::Training);
    }
    let hidden = (before - sweeps.len()) as u64;
    if hidden > 0 {
        let probes = counted(hidden, "probe sweep");
        let note = format!("{probes} not shown; `coordinator sweeps -o wide{asked}` lists all");
        context.printer.note(note);
    }
    let listing = render::sweeps::listing(&sweeps);
    let hint = format!("no sweep yet; `coordinator submit FILE{asked}` queues one");
    print_listing(context, &listing, &hint)
}

/// Leaves archived sweeps out of a list, and says so.
pub(crate) fn hide_archived(context: &Context, sweeps: &mut Vec<SweepView>) {
    let before = sweeps.len();
    sweeps.retain(|sweep| !sweep.label.archived);
    let hidden = (before - sweeps.len()) as u64;
    if hidden > 0 && context.format == Format::Table {
        let archived = counted(hidden, "archived sweep");
        let note = format!("{archived} not shown; `--all` lists all");
        context.printer.note(note);
    }
}

pub(crate) async fn workers(context: &Context) -> Outcome {
    let mut connection = Connection::open(context).await?;
    let document: Workers = connection.read(&ReadQuery::Workers).await?;
    let url = connection.url().to_owned();
    connection.close().await?;
    let listing = match context.format {
        Format::Csv => render::workers::records(&document),
        _ => render::workers::listing(&document),
    };
    let hint = format!("no worker yet; `worker --coordinator {url}` starts one");
    print_listing(context, &listing, &hint)
}

pub(crate) async fn decisions(context: &Context, arguments: cli::Decisions) -> Outcome {
    let mut connection = Connection::open(context).await?;
    let query = ReadQuery::Decisions {
        selector: arguments.selector,
    };
    let document: Decisions = connection.read(&query).await?;
    connection.close().await?;
    let listing = render::decisions::listing(&document, context.format != Format::Ids);
    let sweep = &document.sweep;
    let hint = match sweep.replication {
        Some(it) if it.settled.is_some() => "no cell needed more replicates".to_owned(),
        Some(_) => "nothing is decided yet: jobs are open".to_owned(),
        None => format!(
            "every cell of {} has {} replicates; a file decides by \
             `replicates = {{ min = 3, max = 10, until = \"ranked\" }}`",
            sweep.name, sweep.replicates
        ),
    };
    print_listing(context, &listing, &hint)
}

/// Prints a list; an empty list prints `empty` instead.
pub(crate) fn print_listing(context: &Context, listing: &Listing, empty: &str) -> Outcome {
    if listing.rows.is_empty() && context.format.is_for_terminals() {
        context.printer.note(empty);
        return Ok(Exit::Ok);
    }
    context
        .printer
        .data(&listing.render(context.format, &context.style))?;
    Ok(Exit::Ok)
}

/// A document in one of the JSON formats; none when another format is asked
/// for.
pub(crate) fn json(context: &Context, document: &impl Serialize) -> Outcome<Option<String>> {
    let text = match context.format {
        Format::Json if context.style.width.is_some() => serde_json::to_string_pretty(document),
        Format::Json | Format::Jsonl => serde_json::to_string(document),
        _ => return Ok(None),
    };
    text.map(Some).map_err(Failure::error)
}
