//! A database of its own for each test, on the server that SWATH_TEST_POSTGRES
//! names.
#![expect(clippy::print_stderr, reason = "a test that skips says so")]
#![allow(dead_code, reason = "each test file uses some of this")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use swath_store_postgres::{Options, PostgresStore};

/// The name of the variable with the server's address.
const SERVER: &str = "SWATH_TEST_POSTGRES";

/// A database that is dropped together with this value.
pub(crate) struct Database {
    server: String,
    name: String,
    /// Where it is.
    pub(crate) url: String,
}

impl Database {
    /// A new database without tables; none where there is no server, and then
    /// says so.
    pub(crate) async fn new() -> Option<Self> {
        let Ok(server) = std::env::var(SERVER) else {
            eprintln!(
                "SKIP a test of the Postgres store: {SERVER} names no server; `cargo xtask test` \
                 starts one, or set it to `postgres://USER@HOST:PORT/postgres`"
            );
            return None;
        };
        static MADE: AtomicU32 = AtomicU32::new(0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let name = format!(
            "swath_test_{}_{}_{}",
            std::process::id(),
            MADE.fetch_add(1, Ordering::Relaxed),
            now.as_nanos() % 1_000_000_000
        );
        run(&server, &format!("CREATE DATABASE {name}")).await;
        let url = with_database(&server, &name);
        Some(Self { server, name, url })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its store.
    pub(crate) async fn store(&self) -> PostgresStore {
        PostgresStore::open(&self.url, Options::default())
            .await
            .unwrap()
    }

    /// A connection beside the store.
    pub(crate) async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let server = self.server.clone();
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(run(&server, &drop));
        });
        // A test must not fail because of what it left behind.
        let _left_behind = dropping.join();
    }
}

async fn run(server: &str, sql: &str) {
    let mut conn = PgConnection::connect(server).await.unwrap();
    // Several tests make databases from one template, but the server allows one
    // at a time.
    for _ in 0..100 {
        match sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&mut conn)
            .await
        {
            Ok(_) => return,
            Err(error) => {
                let code = error
                    .as_database_error()
                    .and_then(sqlx::error::DatabaseError::code);
                assert_eq!(code.as_deref(), Some("55006"), "{sql}: {error}");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
    panic!("{sql}: the template stayed in use");
}

/// The same server's address with another database.
fn with_database(server: &str, name: &str) -> String {
    let (base, query) = match server.split_once('?') {
        Some((base, query)) => (base, format!("?{query}")),
        None => (server, String::new()),
    };
    let host = base.find("://").map_or(0, |at| at + 3);
    let end = base[host..].find('/').map_or(base.len(), |at| host + at);
    format!("{}/{name}{query}", &base[..end])
}
