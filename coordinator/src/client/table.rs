//! `table`: the results of a sweep.

use swath_coordinator::api::{Look, ReadQuery, Shape, TableText};
use swath_model::view::SweepView;

use super::check::checked;
use super::connection::Connection;
use super::exit::Exit;
use super::failure::Outcome;
use super::lock;
use crate::cli;
use crate::settings::Context;

pub(crate) async fn table(context: &Context, arguments: cli::Table) -> Outcome {
    if let Some(path) = &arguments.lock {
        return lock::table(context, path, arguments.check);
    }
    let mut connection = Connection::open(context).await?;
    let shape = Shape {
        rows: arguments.rows,
        columns: arguments.columns,
        cell: arguments.cell,
        sort: arguments.sort,
    };
    let TableText { sweep, check, .. } =
        read(context, &mut connection, arguments.selector, shape).await?;
    connection.close().await?;
    let open = sweep.counts.total() - sweep.counts.done();
    if open > 0 {
        let (of, name) = (sweep.counts.total(), &sweep.name);
        let asked = &context.asked;
        context.printer.note(format!(
            "{open} of {of} jobs are not done yet (`coordinator status {name}{asked}`)"
        ));
    }
    if open == 0 && sweep.is_open() {
        let name = &sweep.name;
        context.printer.note(format!(
            "cells of {name} may still get more replicates, as their results need"
        ));
    }
    if arguments.check {
        return checked(context, &sweep.name, check.as_ref());
    }
    Ok(Exit::Ok)
}

/// Prints the table of one sweep. The coordinator draws it, so that the same
/// store gives every reader the same bytes.
pub(crate) async fn print(
    context: &Context,
    connection: &mut Connection,
    selector: Vec<String>,
    shape: Shape,
) -> Outcome<SweepView> {
    Ok(read(context, connection, selector, shape).await?.sweep.view)
}

async fn read(
    context: &Context,
    connection: &mut Connection,
    selector: Vec<String>,
    shape: Shape,
) -> Outcome<TableText> {
    let query = ReadQuery::Table {
        selector,
        shape,
        format: context.format.name().to_owned(),
        look: look(context),
    };
    let document: TableText = connection.read(&query).await?;
    context.printer.data(&document.text)?;
    Ok(document)
}

pub(super) fn look(context: &Context) -> Look {
    let style = context.style;
    Look {
        width: style.width.and_then(|width| u16::try_from(width).ok()),
        color: style.color,
        unicode: style.unicode,
    }
}
