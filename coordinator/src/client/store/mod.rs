//! `store`: verify, back up and copy databases.

mod backup;
mod copy;
mod progress;
mod verify;

use swath_coordinator::database::Database;
use swath_model::error::causes;
use swath_model::policy::Policy;
use swath_store::verify::Verified;
use swath_store::{Snapshot, StoreError};
use swath_store_postgres::{Options, PostgresStore};

use self::progress::Progress;
use super::failure::{Failure, Outcome};
use crate::cli::{Store, StoreVerb};
use crate::settings::Context;

pub(crate) async fn store(context: &Context, arguments: &Store) -> Outcome {
    match &arguments.verb {
        StoreVerb::Verify(_) => verify::verify(context).await,
        StoreVerb::Backup(arguments) => backup::backup(context, arguments).await,
        StoreVerb::Copy(arguments) => copy::copy(context, arguments).await,
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self {
            in_use: matches!(error, StoreError::InUse(_)),
            ..Self::error(causes(&error))
        }
    }
}

/// A snapshot of a database, whoever has it open.
async fn snapshot(database: &Database) -> Outcome<Box<dyn Snapshot>> {
    match database {
        Database::Sqlite(path) => Ok(swath_store_sqlite::snapshot(path).await?),
        Database::Postgres(url) => {
            let options = Options { readers: 1 };
            let store = PostgresStore::open(url, options).await?;
            Ok(swath_store::Store::snapshot(&store).await?)
        }
    }
}

/// Verifies one state of a database.
async fn verified(context: &Context, snapshot: &mut dyn Snapshot) -> Outcome<Verified> {
    let mut progress = Progress::new(context.printer, "verifying");
    let policy = context.policy_over(Policy::default())?;
    let verified =
        swath_store::verify::verify(snapshot, &policy, &mut |part, rows| progress.at(part, rows))
            .await;
    progress.end();
    Ok(verified?)
}

/// Prints every finding on stderr.
fn tell(context: &Context, found: &Verified) {
    for finding in &found.findings {
        context.printer.say(finding.to_string());
    }
    if found.untold > 0 {
        context.printer.say(format!("and {} more", found.untold));
    }
}

/// Whether a coordinator writes to a database.
async fn is_led(database: &Database) -> Outcome<bool> {
    match database {
        Database::Sqlite(path) => Ok(swath_store_sqlite::is_held(path)),
        Database::Postgres(url) => {
            let store = PostgresStore::open(url, Options { readers: 1 }).await?;
            let leader = swath_store::Store::leader(&store).await?;
            swath_store::Store::close(&store).await?;
            Ok(leader.is_some())
        }
    }
}
