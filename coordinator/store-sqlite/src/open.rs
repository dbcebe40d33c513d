//! Opening a database file: whether it is ours, undamaged and of a schema that
//! this build knows, and how its connections are configured.

use std::fs::Metadata;
use std::path::Path;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection, SqlitePool};
use swath_model::probe::WorkloadKey;
use swath_store::Result;

use crate::error::{cannot_open, failed, refused};
use crate::{place, rows};

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/sqlite");

/// How long a statement waits while a foreign process has the file locked.
const BUSY: Duration = Duration::from_secs(5);
/// For larger files a check of the whole file would delay a start by seconds.
const CHECKED_BYTES: u64 = 256 << 20;
/// How many readers there are at a time; each has its own page cache.
const READERS: u32 = 4;
/// Rows cross a thread boundary; a long channel saves switches.
const ROW_BUFFER: usize = 1024;
/// Marks a file as ours; the first migration sets it.
const APPLICATION_ID: i64 = 1_400_337_512;

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        // An acknowledged outcome must survive a power cut, not only a crash.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY)
        .auto_vacuum(SqliteAutoVacuum::None)
        .statement_cache_capacity(200)
        // A bounded cache per connection (in KiB): many jobs must not make the coordinator
        // large.
        .pragma("cache_size", "-16384")
        // Fewer and longer checkpoints: each costs two more waits for the disk.
        .pragma("wal_autocheckpoint", "4000")
        .pragma("journal_size_limit", "67108864")
        .pragma("temp_store", "memory")
}

/// Opens the one connection that writes, with the newest schema in place.
pub(crate) async fn writer(path: &Path) -> Result<SqliteConnection> {
    let options = options(path).row_buffer_size(ROW_BUFFER);
    let mut conn = SqliteConnection::connect_with(&options)
        .await
        .map_err(|error| cannot_open(path, error))?;
    check_ours(&mut conn, path).await?;
    check_whole(&mut conn, path).await?;
    check_version(&mut conn, path).await?;
    check_writable(&mut conn, path).await?;
    MIGRATIONS.run(&mut conn).await.map_err(|error| {
        let message = format!("cannot bring {} to the newest schema", path.display());
        failed(message, error)
    })?;
    name_workloads(&mut conn).await.map_err(|error| {
        let message = format!("cannot sort the cells of {} by cost", path.display());
        failed(message, error)
    })?;
    Ok(conn)
}

/// For how many cells the workload is found at once.
const NAMED_AT_ONCE: i64 = 4096;

/// Fills in the workload of cells that were stored by a build without
/// workloads.
async fn name_workloads(conn: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    loop {
        let mut tx = conn.begin().await?;
        let unnamed = sqlx::query!(
            r#"SELECT id AS "id!", spec FROM cell INDEXED BY cell_by_workload
               WHERE workload IS NULL LIMIT ?1"#,
            NAMED_AT_ONCE
        )
        .fetch_all(&mut *tx)
        .await?;
        if unnamed.is_empty() {
            return Ok(());
        }
        let ids: Vec<i64> = unnamed.iter().map(|cell| cell.id).collect();
        let ids = rows::json(&ids);
        let keys = unnamed
            .iter()
            .flat_map(|cell| WorkloadKey::of_cell(&cell.spec).0);
        let keys: Vec<u8> = keys.collect();
        sqlx::query!(
            "UPDATE cell SET workload = substr(?2, line.key * 16 + 1, 16)
             FROM json_each(?1) AS line WHERE cell.id = line.value",
            ids,
            keys
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
    }
}

/// Connections that only read.
pub(crate) async fn readers(path: &Path) -> Result<SqlitePool> {
    SqlitePoolOptions::new()
        .max_connections(READERS)
        .acquire_timeout(Duration::from_secs(30))
        .connect_with(
            options(path)
                .read_only(true)
                // The kernel's copy serves all readers: a large table would evict
                // itself from each reader's own cache.
                .pragma("cache_size", "-4096")
                .row_buffer_size(ROW_BUFFER),
        )
        .await
        .map_err(|error| cannot_open(path, error))
}

/// A connection that only looks at a file which another process may be writing.
/// The file must exist, be ours, and have the schema of this build.
pub(crate) async fn looker(path: &Path) -> Result<SqliteConnection> {
    let found = std::fs::metadata(path).ok().filter(Metadata::is_file);
    let found = found.ok_or_else(|| refused(path, "there is no such file"))?;
    place::check_names(path, &found)?;
    let options = SqliteConnectOptions::new()
        .filename(place::resolve(path))
        .read_only(true)
        .busy_timeout(BUSY)
        .statement_cache_capacity(200)
        .pragma("cache_size", "-16384")
        .row_buffer_size(ROW_BUFFER);
    let mut conn = SqliteConnection::connect_with(&options)
        .await
        .map_err(|error| cannot_open(path, error))?;
    check_ours(&mut conn, path).await?;
    if version(&mut conn, path).await? == Some(newest()) {
        return Ok(conn);
    }
    check_version(&mut conn, path).await?;
    let problem = "its schema is that of an older build; `coordinator serve` of this build, started \
                   once, brings it to the newest";
    Err(refused(path, problem))
}

/// An empty file is as good as none; any other file must have our mark.
async fn check_ours(conn: &mut SqliteConnection, path: &Path) -> Result<()> {
    let error = |error| cannot_open(path, error);
    let mark: i64 = sqlx::query_scalar("PRAGMA application_id")
        .fetch_one(&mut *conn)
        .await
        .map_err(error)?;
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
        .fetch_one(&mut *conn)
        .await
        .map_err(error)?;
    if mark == APPLICATION_ID || tables == 0 {
        return Ok(());
    }
    let problem = "it is a SQLite database of another program; name another file";
    Err(refused(path, problem))
}

/// It is better not to start than to find damage in the middle of a sweep.
async fn check_whole(conn: &mut SqliteConnection, path: &Path) -> Result<()> {
    let size = std::fs::metadata(path).map_or(0, |file| file.len());
    if size > CHECKED_BYTES {
        tracing::info!(path = %path.display(), size, "too large for a check at every start");
        return Ok(());
    }
    let found: String = sqlx::query_scalar("PRAGMA quick_check(1)")
        .fetch_one(conn)
        .await
        .map_err(|error| cannot_open(path, error))?;
    if found == "ok" {
        return Ok(());
    }
    let problem = format!("it is damaged ({found}); restore it from a backup");
    Err(refused(path, &problem))
}

/// It is better not to start than to refuse the first outcome. Sets what it is
/// already, which is a commit like any other.
async fn check_writable(conn: &mut SqliteConnection, path: &Path) -> Result<()> {
    let version: i64 = sqlx::query_scalar("PRAGMA user_version")
        .fetch_one(&mut *conn)
        .await
        .map_err(|error| cannot_open(path, error))?;
    let statement = format!("PRAGMA user_version = {version}");
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(conn)
        .await
        .map_err(|error| cannot_open(path, error))?;
    Ok(())
}

/// The greatest version of a schema that this build knows.
fn newest() -> i64 {
    let versions = MIGRATIONS.iter().map(|step| step.version);
    versions.max().unwrap_or(0)
}

/// The version of the schema in the file, if there is one.
async fn version(conn: &mut SqliteConnection, path: &Path) -> Result<Option<i64>> {
    let error = |error| cannot_open(path, error);
    let has_any: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = '_sqlx_migrations')",
    )
    .fetch_one(&mut *conn)
    .await
    .map_err(error)?;
    if !has_any {
        return Ok(None);
    }
    let version: i64 = sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations")
        .fetch_one(&mut *conn)
        .await
        .map_err(error)?;
    Ok(Some(version))
}

/// Refuses another version: a newer build may have changed what columns mean.
async fn check_version(conn: &mut SqliteConnection, path: &Path) -> Result<()> {
    let version = version(conn, path).await?.unwrap_or(0);
    let newest = newest();
    if version <= newest {
        return Ok(());
    }
    let problem = format!(
        "its schema has version {version}, and this build knows versions up to {newest}; use the \
         build that wrote it, or a newer one"
    );
    Err(refused(path, &problem))
}
