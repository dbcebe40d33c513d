//! How fast the store is in a Postgres database, on the server that SWATH_TEST_POSTGRES names: a
//! large submission, null jobs in commits of sixty, and the results of the large sweep.
//!
//! `SWATH_TEST_POSTGRES=… cargo run --release -p swath-store-postgres --example postgres_throughput`

#![expect(clippy::print_stdout, reason = "figures are what it is for")]

#[path = "../../tests/support/mod.rs"]
mod support;
mod work;

use support::Database;
use swath_store::Store;

#[tokio::main]
async fn main() {
    let Some(database) = Database::new().await else {
        return;
    };
    for pooler in ["", "?pooler=transaction"] {
        let url = format!("{}{pooler}", database.url);
        let options = swath_store_postgres::Options::default();
        let store = swath_store_postgres::PostgresStore::open(&url, options)
            .await
            .unwrap();
        println!(
            "{}",
            if pooler.is_empty() {
                "prepared statements"
            } else {
                pooler
            }
        );
        work::measure(&store, true).await;
        store.close().await.unwrap();
    }
}
