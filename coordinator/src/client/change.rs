//! Verbs that change sweeps, jobs or workers.

use swath_coordinator::api::{ChangeOrder, Changed};

use super::connection::Connection;
use super::exit::Exit;
use super::failure::Outcome;
use super::read::json;
use super::run;
use crate::cli;
use crate::settings::Context;

pub(crate) async fn cancel(context: &Context, arguments: cli::Cancel) -> Outcome {
    let selector = arguments.selector;
    order(context, ChangeOrder::Cancel { selector }).await
}

pub(crate) async fn pause(context: &Context, arguments: cli::Pause) -> Outcome {
    let selector = arguments.selector;
    order(context, ChangeOrder::Pause { selector }).await
}

pub(crate) async fn resume(context: &Context, arguments: cli::Resume) -> Outcome {
    let selector = arguments.selector;
    order(context, ChangeOrder::Resume { selector }).await
}

pub(crate) async fn retry(context: &Context, arguments: cli::Retry) -> Outcome {
    let cli::Retry {
        selector,
        failed,
        missing,
        diverged,
    } = arguments;
    let retry = ChangeOrder::Retry {
        selector,
        failed,
        missing,
        diverged,
    };
    order(context, retry).await
}

pub(crate) async fn cordon(context: &Context, arguments: cli::Cordon) -> Outcome {
    let worker = arguments.worker;
    order(context, ChangeOrder::Cordon { worker }).await
}

pub(crate) async fn activate(context: &Context, arguments: cli::Activate) -> Outcome {
    let worker = arguments.worker;
    order(context, ChangeOrder::Activate { worker }).await
}

pub(crate) async fn drain(context: &Context, arguments: cli::Drain) -> Outcome {
    let worker = arguments.worker;
    order(context, ChangeOrder::Drain { worker }).await
}

pub(crate) async fn extend(context: &Context, arguments: &cli::Extend) -> Outcome {
    let order = ChangeOrder::Extend {
        selector: arguments.selector.clone(),
        replicates: arguments.replicates,
    };
    if arguments.run {
        return run::extended(context, &order, &arguments.local).await;
    }
    let mut connection = Connection::open(context).await?;
    let changed = connection.change(&order).await?;
    let local = connection.is_local();
    connection.close().await?;
    print(context, &changed)?;
    if local && changed.jobs > 0 {
        let name = arguments.selector.join(" ");
        let asked = &context.asked;
        context.printer.hint(format!(
            "nothing trains yet; `coordinator run {name}{asked}` trains the new jobs here, \
             `coordinator serve{asked}` hands them to workers"
        ));
    }
    Ok(Exit::Ok)
}

/// Carries out one order and says what it changed.
pub(crate) async fn order(context: &Context, order: ChangeOrder) -> Outcome {
    let mut connection = Connection::open(context).await?;
    let changed = connection.change(&order).await?;
    connection.close().await?;
    print(context, &changed)?;
    Ok(Exit::Ok)
}

/// A change prints only the JSON document that programs may ask for.
fn print(context: &Context, changed: &Changed) -> Outcome<()> {
    match json(context, changed)? {
        Some(text) => context.printer.data(&text)?,
        None => context.printer.note(&changed.message),
    }
    Ok(())
}
