//! The schema refuses what must never be written, whoever writes it.

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use swath_store::Store;
use swath_store_conformance::schema::{self, Tables};
use swath_store_sqlite::SqliteStore;
use tempfile::TempDir;

struct File(SqliteConnection);

#[async_trait(?Send)]
impl Tables for File {
    const OWN: &'static str = "
        INSERT INTO provenance (id, device, driver, libtorch, trainer, threads, determinism)
        VALUES (1, '', '', '', '', 0, '');
    ";
    const MEASURED: (&'static str, &'static str) = ("bits", "zeroblob(32)");
    const IS_SQLITE: bool = true;

    async fn run(&mut self, sql: &str) -> Result<(), String> {
        let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.0).await;
        done.map(drop).map_err(|error| error.to_string())
    }

    async fn numbers(&mut self, sql: &str) -> Vec<i64> {
        let query = sqlx::query_scalar(AssertSqlSafe(sql));
        query.fetch_all(&mut self.0).await.unwrap()
    }
}

async fn tables() -> Option<(File, TempDir)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("swath.db");
    let store = SqliteStore::open(&path).await.unwrap();
    store.close().await.unwrap();
    let url = format!("sqlite:{}", path.display());
    Some((File(SqliteConnection::connect(&url).await.unwrap()), folder))
}

swath_store_conformance::schema_suite!(tables);

/// What Postgres has types for.
#[test]
fn numbers_stay_within_their_range() {
    let statements = [
        (
            "INSERT INTO outcome (job, attempt, bits, provenance, recorded_at)
             VALUES (2, 1, zeroblob(31), 1, 0)",
            "CHECK",
        ),
        (
            "INSERT INTO outcome (job, attempt, bits, provenance, recorded_at)
             VALUES (2, 1, NULL, 1, 0)",
            "NOT NULL",
        ),
        ("UPDATE job SET stop = 2 WHERE id = 2", "CHECK"),
        ("UPDATE sweep SET live = 2", "CHECK"),
    ];
    schema::refuses(tables, &statements);
}
