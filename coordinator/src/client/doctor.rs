//! `doctor`: how a coordinator, its machine and its workers are.

use std::pin::pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use swath_coordinator::api::ReadQuery;
use swath_coordinator::health::{Check, Grade, Health, examine};
use swath_model::time::Timestamp;
use swath_report::{Listing, ListingColumn as Column};

use super::connection::Connection;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::read::print_listing;
use super::render::document;
use crate::settings::Context;

/// After how long people want to know that something is still done.
const PATIENCE: Duration = Duration::from_secs(1);

pub(crate) async fn doctor(context: &Context) -> Outcome {
    let checks = match health(context).await {
        Ok(health) => examine(&health, here(), env!("CARGO_PKG_VERSION")),
        // What cannot be asked is what is wrong; what may not be asked is not.
        Err(failure) if matches!(failure.exit, Exit::Usage | Exit::NotAllowed) => {
            return Err(failure);
        }
        Err(failure) => vec![unanswered(&failure)],
    };
    let failed = checks.iter().any(|check| check.grade == Grade::Fail);
    print_listing(context, &listing(&checks), "nothing was looked at")?;
    Ok(if failed { Exit::Error } else { Exit::Ok })
}

async fn health(context: &Context) -> Outcome<Health> {
    let mut connection = Connection::open(context).await?;
    let health = {
        let mut reading = pin!(connection.read(&ReadQuery::Health));
        if let Ok(health) = tokio::time::timeout(PATIENCE, &mut reading).await {
            health?
        } else {
            context.printer.note("the coordinator is still looking");
            reading.await?
        }
    };
    connection.close().await?;
    Ok(health)
}

/// The time of this machine.
fn here() -> Timestamp {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH);
    let passed = passed.unwrap_or_default().as_millis();
    Timestamp::from_ms(i64::try_from(passed).unwrap_or(i64::MAX))
}

fn unanswered(failure: &Failure) -> Check {
    let mut lines = failure.lines.iter();
    let found = lines.next().cloned().unwrap_or_default();
    let remedy: Vec<&str> = lines.map(String::as_str).collect();
    Check::fail("coordinator", found, remedy.join("; "))
}

fn listing(checks: &[Check]) -> Listing {
    let columns = ["check", "state", "found", "what to do"];
    let mut listing = Listing::new("checks", columns.map(Column::text));
    for check in checks {
        let fields = vec![
            check.part.clone(),
            check.grade.name().to_owned(),
            check.found.clone(),
            check.remedy.clone(),
        ];
        listing.push(check.part.as_str(), fields, document(check));
    }
    listing
}
