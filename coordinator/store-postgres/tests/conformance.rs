//! The suite that every store is held to, on a database.
#![expect(clippy::exit, reason = "without a server there is nothing to run")]

mod support;

use support::Database;
use swath_model::policy::Policy;
use swath_store_postgres::PostgresStore;

async fn fresh(_policy: Policy) -> (PostgresStore, Database) {
    let Some(database) = Database::new().await else {
        // Nothing of the suite runs without a server; it says what to do.
        std::process::exit(0);
    };
    let store = database.store().await;
    (store, database)
}

swath_store_conformance::conformance_suite!(fresh);
swath_store_conformance::keeping_suite!(fresh);
