//! Verbs that change sweeps, jobs or workers.

use swath_coordinator::api::{ChangeOrder, Changed};

use super::ask::{Deed, confirmed};
use super::connection::Connection;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::read::json;
use super::run;
use super::stale;
use crate::cli;
use crate::settings::Context;

pub(crate) async fn cancel(context: &Context, arguments: cli::Cancel) -> Outcome {
    let deed = Deed {
        verb: "cancel",
        only_sweeps: false,
        always: false,
    };
    let order = |selector| ChangeOrder::Cancel { selector };
    bulk(context, deed, arguments.selector, arguments.ask, order).await
}

pub(crate) async fn pause(context: &Context, arguments: cli::Pause) -> Outcome {
    let deed = Deed {
        verb: "pause",
        only_sweeps: true,
        always: false,
    };
    let order = |selector| ChangeOrder::Pause { selector };
    bulk(context, deed, arguments.selector, arguments.ask, order).await
}

pub(crate) async fn resume(context: &Context, arguments: cli::Resume) -> Outcome {
    let selector = arguments.selector;
    order(context, ChangeOrder::Resume { selector }).await
}

pub(crate) async fn archive(context: &Context, arguments: cli::Archive) -> Outcome {
    let deed = Deed {
        verb: "archive",
        only_sweeps: true,
        always: false,
    };
    let undo = arguments.undo;
    let order = |selector| ChangeOrder::Archive { selector, undo };
    bulk(context, deed, arguments.selector, arguments.ask, order).await
}

pub(crate) async fn delete(context: &Context, arguments: cli::Delete) -> Outcome {
    let deed = Deed {
        verb: "delete",
        only_sweeps: true,
        always: true,
    };
    let cancel = arguments.cancel;
    let order = |selector| ChangeOrder::Delete { selector, cancel };
    bulk(context, deed, arguments.selector, arguments.ask, order).await
}

pub(crate) async fn forget_worker(context: &Context, arguments: cli::ForgetWorker) -> Outcome {
    let worker = arguments.worker;
    order(context, ChangeOrder::Forget { worker }).await
}

pub(crate) async fn rename(context: &Context, arguments: cli::Rename) -> Outcome {
    let cli::Rename { sweep, name } = arguments;
    let selector = vec![sweep];
    order(context, ChangeOrder::Rename { selector, name }).await
}

pub(crate) async fn tag(context: &Context, arguments: cli::Tag) -> Outcome {
    let cli::Tag { sweep, add, remove } = arguments;
    let tag = ChangeOrder::Tag {
        selector: vec![sweep],
        add,
        remove,
    };
    order(context, tag).await
}

pub(crate) async fn note(context: &Context, arguments: cli::Note) -> Outcome {
    let cli::Note { sweep, note } = arguments;
    let selector = vec![sweep];
    order(context, ChangeOrder::Note { selector, note }).await
}

pub(crate) async fn retry(context: &Context, arguments: cli::Retry) -> Outcome {
    if arguments.stale {
        return stale::retry(context, &arguments).await;
    }
    let cli::Retry {
        selector,
        failed,
        missing,
        diverged,
        stale: _,
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

/// Carries out one order for each thing that is meant, if nobody objects.
async fn bulk(
    context: &Context,
    deed: Deed,
    selector: Vec<String>,
    ask: cli::Ask,
    order: impl Fn(Vec<String>) -> ChangeOrder,
) -> Outcome {
    let mut connection = Connection::open(context).await?;
    let selectors = confirmed(context, &mut connection, deed, selector, ask.yes).await?;
    let changed = each(&mut connection, selectors.into_iter().map(order)).await;
    connection.close().await?;
    print(context, &changed?)?;
    Ok(Exit::Ok)
}

/// Carries out several orders. One that is refused holds up no other.
///
/// # Errors
///
/// The refusals, if nothing was done; or what the rest would meet too, with what
/// was done before.
pub(crate) async fn each(
    connection: &mut Connection,
    orders: impl Iterator<Item = ChangeOrder>,
) -> Outcome<Changed> {
    let mut all: Option<Changed> = None;
    let mut refused: Option<Failure> = None;
    for order in orders {
        match (connection.change(&order).await, &mut refused) {
            (Ok(changed), _) => all = Some(joined(all, changed)),
            (Err(failure), Some(first)) if failure.is_refusal() => {
                first.lines.extend(failure.lines);
            }
            (Err(failure), None) if failure.is_refusal() => refused = Some(failure),
            (Err(failure), _) => {
                return Err(match all {
                    Some(done) => failure.hint(format!("done before: {}", done.message)),
                    None => failure,
                });
            }
        }
    }
    match (all, refused) {
        (Some(mut all), refused) => {
            all.refused
                .extend(refused.into_iter().flat_map(|it| it.lines));
            Ok(all)
        }
        (None, Some(refused)) => Err(refused),
        (None, None) => Err(Failure::error("nothing is changed")),
    }
}

/// What several orders changed.
fn joined(all: Option<Changed>, next: Changed) -> Changed {
    let Some(mut all) = all else { return next };
    all.sweeps.extend(next.sweeps);
    all.jobs += next.jobs;
    all.refused.extend(next.refused);
    all.message = format!("{}\n{}", all.message, next.message);
    all
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
///
/// # Errors
///
/// What was refused of it, beside what was done.
pub(crate) fn print(context: &Context, changed: &Changed) -> Outcome<()> {
    match json(context, changed)? {
        Some(text) => context.printer.data(&text)?,
        None => context.printer.note(&changed.message),
    }
    if changed.refused.is_empty() {
        return Ok(());
    }
    Err(Failure::of(Exit::NotAllowed, changed.refused.clone()))
}
