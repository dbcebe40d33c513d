//! `compare`: two sweeps, cell by cell.

use swath_coordinator::api::{CompareText, ReadQuery};

use super::connection::Connection;
use super::exit::Exit;
use super::failure::Outcome;
use super::table::look;
use crate::cli;
use crate::settings::Context;

pub(crate) async fn compare(context: &Context, arguments: cli::Compare) -> Outcome {
    let mut connection = Connection::open(context).await?;
    let query = ReadQuery::Compare {
        left: vec![arguments.left],
        right: vec![arguments.right],
        format: context.format.name().to_owned(),
        look: look(context),
    };
    let document: CompareText = connection.read(&query).await?;
    connection.close().await?;
    context.printer.data(&document.text)?;
    Ok(Exit::Ok)
}
