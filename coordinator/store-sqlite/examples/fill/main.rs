//! Fills a store with years of work in a minute or two, for measurements. It takes a
//! database with two submitted sweeps and no workers, clones the newer sweep, and
//! lets every job end except those of the last clone.
//!
//! `cargo run --release -p swath-store-sqlite --example fill DATABASE CLONES EPOCHS`
//!
//! Every job has an observation per epoch. A power cut during the run leaves a
//! useless file, because it is written without a journal.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection, SqliteConnection};
use swath_model::device::Device;
use swath_model::id::SessionId;
use swath_model::offer::Offer;
use swath_model::time::Timestamp;
use swath_model::view::{WorkerAbout, WorkerState};
use swath_store::{Changes, Store, WorkerKey, WorkerRow};
use swath_store_sqlite::SqliteStore;

const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);
const USAGE: &str = "usage: fill DATABASE CLONES EPOCHS";

const TABLES: &str = "CREATE TEMP TABLE clone (n INTEGER PRIMARY KEY);
    CREATE TEMP TABLE epoch (n INTEGER PRIMARY KEY)";
const CLONES: &str = "WITH RECURSIVE number (n) AS (
        SELECT 1 WHERE ?1 > 0 UNION ALL SELECT n + 1 FROM number WHERE n < ?1)
    INSERT INTO temp.clone SELECT n FROM number";
const EPOCHS: &str = "WITH RECURSIVE number (n) AS (
        SELECT 1 WHERE ?1 > 0 UNION ALL SELECT n + 1 FROM number WHERE n < ?1)
    INSERT INTO temp.epoch SELECT n FROM number";

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [database, clones, epochs] = &words[..] else {
        return Err(USAGE.into());
    };
    let (clones, epochs) = (number(clones)?, number(epochs)?);
    let database = Path::new(database);
    hello(database).await?;
    let options = SqliteConnectOptions::new()
        .filename(database)
        .journal_mode(SqliteJournalMode::Off)
        .synchronous(SqliteSynchronous::Off)
        // The keys come from the rows to which they refer.
        .foreign_keys(false)
        .pragma("cache_size", "-524288")
        .pragma("temp_store", "memory");
    let mut conn = SqliteConnection::connect_with(&options).await?;
    sqlx::raw_sql(TABLES).execute(&mut conn).await?;
    for (insert, last) in [(CLONES, clones), (EPOCHS, epochs)] {
        sqlx::query(insert).bind(last).execute(&mut conn).await?;
    }
    let mut transaction = conn.begin().await?;
    sqlx::raw_sql(include_str!("fill.sql"))
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    conn.close().await?;
    Ok(())
}

fn number(word: &str) -> Result<i64, Error> {
    word.parse()
        .map_err(|error: std::num::ParseIntError| format!("{USAGE}: `{word}`: {error}").into())
}

/// Brings the schema up to date and registers a worker, as the real store does.
async fn hello(database: &Path) -> Result<(), Error> {
    let store = SqliteStore::open(database).await?;
    let term = store.lead("").await?;
    let filler = WorkerRow {
        key: WorkerKey(1),
        name: "filler".parse()?,
        state: WorkerState::Active,
        cordoned: None,
        session: SessionId(1),
        seen_at: NOW,
        about: WorkerAbout {
            host: "host".to_owned(),
            pid: 1,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            offer: Offer {
                slots: vec![Device::Cpu],
                ..Offer::default()
            },
            state_id: None,
            out: None,
            protocol: None,
        },
        failed: Vec::new(),
        silent: false,
        forgotten: false,
    };
    let changes = Changes {
        workers: vec![filler],
        ..Changes::default()
    };
    store.commit(term, changes).await?;
    store.close().await?;
    Ok(())
}
