//! `store copy`.

use swath_coordinator::database::Database;
use swath_store::{Census, RENEW_EVERY, Snapshot, Store, Term};
use swath_store_postgres::{Options, PostgresStore};
use swath_store_sqlite::SqliteStore;

use super::progress::Progress;
use super::verify::counts;
use crate::cli::StoreCopy;
use crate::client::exit::Exit;
use crate::client::failure::{Failure, Outcome};
use crate::settings::Context;

pub(super) async fn copy(context: &Context, arguments: &StoreCopy) -> Outcome {
    let database = |text: &str| Database::parse(text).map_err(Failure::usage);
    let (from, to) = (database(&arguments.from)?, database(&arguments.to)?);
    if from == to {
        return Err(Failure::usage("FROM and TO are the same database"));
    }
    if super::is_led(&from).await? {
        context.printer.warn(format!(
            "a coordinator leads {from}; what it writes from now on will not be in the copy"
        ));
    }
    let mut source = super::snapshot(&from).await?;
    let target = open(&to).await?;
    let copied = whole(context, &mut *source, &*target).await;
    source.close().await?;
    target.close().await?;
    let (census, found) = copied?;
    context
        .printer
        .say(format!("copied {from} to {to}: {}", counts(&census)));
    context
        .printer
        .say(format!("both are the same: digest {}", census.digest()));
    if found.is_sound() {
        return Ok(Exit::Ok);
    }
    super::tell(context, &found);
    Err(Failure::error(format!(
        "{from} is damaged, and {to} with it"
    )))
}

async fn open(database: &Database) -> Outcome<Box<dyn Store>> {
    Ok(match database {
        Database::Sqlite(path) => Box::new(SqliteStore::open(path).await?),
        Database::Postgres(url) => Box::new(PostgresStore::open(url, Options::default()).await?),
    })
}

async fn whole(
    context: &Context,
    from: &mut dyn Snapshot,
    to: &dyn Store,
) -> Outcome<(Census, swath_store::verify::Verified)> {
    let census = between(context, from, to).await?;
    let mut copy = to.snapshot().await?;
    let found = super::verified(context, &mut *copy).await;
    copy.close().await?;
    Ok((census, found?))
}

/// Copies everything; leads the target while it does.
pub(super) async fn between(
    context: &Context,
    from: &mut dyn Snapshot,
    to: &dyn Store,
) -> Outcome<Census> {
    let term = to.lead("").await?;
    let mut progress = Progress::new(context.printer, "copying");
    let mut told = |part, rows| progress.at(part, rows);
    let census = tokio::select! {
        census = swath_store::copy::copy(from, to, term, &mut told) => census?,
        lost = lead_on(to, term) => return Err(lost),
    };
    progress.end();
    Ok(census)
}

/// Keeps renewing the lead; returns only when somebody else leads.
async fn lead_on(store: &dyn Store, term: Term) -> Failure {
    loop {
        tokio::time::sleep(RENEW_EVERY).await;
        if let Err(error) = store.renew(term).await {
            return error.into();
        }
    }
}
