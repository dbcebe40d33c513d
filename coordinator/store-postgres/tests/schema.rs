//! The schema refuses what must never be written, whoever writes it.

mod support;

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, PgConnection};
use swath_store::Store;
use swath_store_conformance::schema::{self, Tables};

use support::Database;

struct Server(PgConnection);

#[async_trait(?Send)]
impl Tables for Server {
    const OWN: &'static str = "
        CREATE FUNCTION zeroblob(bytes int) RETURNS bytea IMMUTABLE
        RETURN decode(repeat('00', bytes), 'hex');
        CREATE FUNCTION printf(format text, number bigint) RETURNS text IMMUTABLE
        RETURN lpad(to_hex(number), 64, '0');
        CREATE FUNCTION unhex(digits text) RETURNS bytea IMMUTABLE RETURN decode(digits, 'hex');
        INSERT INTO provenance (id, digest, device, driver, libtorch, trainer, threads, determinism)
        VALUES (1, zeroblob(32), '', '', '', '', 0, '');
    ";
    const MEASURED: (&'static str, &'static str) = ("test_error, train_seconds", "8.25, 1.0");
    const IS_SQLITE: bool = false;

    async fn run(&mut self, sql: &str) -> Result<(), String> {
        let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.0).await;
        done.map(drop).map_err(|error| error.to_string())
    }

    async fn numbers(&mut self, sql: &str) -> Vec<i64> {
        let query = sqlx::query_scalar(AssertSqlSafe(sql));
        query.fetch_all(&mut self.0).await.unwrap()
    }
}

/// A database with the tables; none without a server.
async fn tables() -> Option<(Server, Database)> {
    let database = Database::new().await?;
    database.store().await.close().await.unwrap();
    Some((Server(database.connect().await), database))
}

swath_store_conformance::schema_suite!(tables);

/// What SQLite leaves to the store.
#[test]
fn rows_keep_what_they_are_named_by() {
    let statements = [
        (
            "UPDATE attempt SET worker = 2 WHERE job = 2",
            "a grant never changes",
        ),
        (
            "INSERT INTO attempt (job, attempt, worker, session, granted_at)
             VALUES (1, 1, 9, 1, 0)",
            "no such worker",
        ),
        (
            "INSERT INTO attempt (job, attempt, worker, session, granted_at)
             VALUES (99, 1, 1, 1, 0)",
            "no such job",
        ),
        (
            "INSERT INTO outcome (job, attempt, test_error, train_seconds, provenance, recorded_at,
                                  weights)
             VALUES (2, 1, 1.0, 1.0, 1, 0, 'short')",
            "outcome_weights_check",
        ),
        ("TRUNCATE job CASCADE", "jobs are never deleted"),
        ("TRUNCATE outcome", "outcomes are never deleted"),
        (
            "DELETE FROM cell",
            "a cell of a sweep, or with jobs, is never deleted",
        ),
        (
            "UPDATE worker SET id = 2",
            "the name of a worker never changes",
        ),
        (
            "UPDATE cell SET spec = 'x'",
            "what a cell computes never changes",
        ),
        (
            "UPDATE sweep_cell SET cell = 2",
            "the cells of a sweep never change",
        ),
        ("UPDATE leader SET term = -1", "the term only rises"),
        ("DELETE FROM leader", "there is always a term"),
        (
            "UPDATE sweep SET priority = 3000000000",
            "sweep_priority_check",
        ),
        (
            "INSERT INTO job (id, digest, cell, replicate, seed, state, not_before, granted_at)
             VALUES (7, sha256('x'), 2, 9, 7, 'queued', 0, 0)",
            "no such cell",
        ),
        (
            "INSERT INTO job (id, digest, cell, replicate, seed, state, ended_at, granted_at)
             VALUES (7, sha256('x'), 1, 9, 7, 'cancelled', 0, 0)",
            "a new job is queued",
        ),
        (
            "INSERT INTO sweep_cell (sweep, position, cell, axes) VALUES (1, 1, 2, '[]')",
            "no such cell",
        ),
        (
            "INSERT INTO sweep_cell (sweep, position, cell, axes) VALUES (2, 1, 1, '[]')",
            "no such sweep",
        ),
    ];
    schema::refuses(tables, &statements);
}

/// Requests are unsigned: the greatest are below 0.
#[test]
fn the_greatest_requests_are_kept() {
    schema::run(tables, async |on| {
        let requests = "INSERT INTO grant_request (worker, session, request, grants)
                        SELECT 1, 1, n, '[]' FROM generate_series(-3, 16) n WHERE n <> 0";
        on.run(requests).await.unwrap();
        let kept = "SELECT request FROM grant_request ORDER BY request";
        let wanted: Vec<i64> = (-3..=-1).chain(4..=16).collect();
        assert_eq!(on.numbers(kept).await, wanted);
    });
}
