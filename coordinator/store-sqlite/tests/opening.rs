//! Who may open which file, and what the others are told.

use std::path::Path;

use sqlx::{Connection, SqliteConnection};
use swath_core::policy::Policy;
use swath_core::probe::WorkloadKey;
use swath_store::{JobQuery, Store, StoreError};
use swath_store_sqlite::SqliteStore;

async fn open(path: &Path) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(path, Policy::default()).await
}

/// What somebody reads who could not open `path`: it must name the file.
async fn complaint(path: &Path) -> String {
    let error = open(path).await.err().unwrap();
    let text = error.to_string();
    assert!(text.contains(&path.display().to_string()), "{text}");
    text
}

#[tokio::test]
async fn a_second_coordinator_is_told_who_has_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("swath.db");
    let store = open(&path).await.unwrap();
    let pid = format!("process {} on ", std::process::id());
    assert!(complaint(&path).await.contains(&pid));
    store.set_holder_note("127.0.0.1:7070").await.unwrap();
    let error = open(&path).await.err().unwrap();
    assert!(matches!(error, StoreError::InUse(_)), "{error:?}");
    assert!(
        error.to_string().contains("listens on 127.0.0.1:7070"),
        "{error}"
    );

    store.close().await.unwrap();
    let again = open(&path).await.unwrap();
    again.close().await.unwrap();
}

#[tokio::test]
async fn a_store_that_is_dropped_gives_the_file_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("swath.db");
    drop(open(&path).await.unwrap());
    // Not at once: the writer ends first.
    for _ in 0..1000 {
        if open(&path).await.is_ok() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the file is still in use");
}

#[tokio::test]
async fn a_closed_store_refuses_calls() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("swath.db")).await.unwrap();
    store.close().await.unwrap();
    let now = swath_core::time::Timestamp::from_ms(0);
    assert!(
        store
            .tick(now)
            .await
            .unwrap_err()
            .to_string()
            .contains("closed")
    );
    assert!(store.sweeps().await.is_err());
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_missing_directory_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let text = complaint(&folder.path().join("none/swath.db")).await;
    assert!(text.contains("there is no directory"), "{text}");
    assert!(complaint(folder.path()).await.contains("name a file"));
}

#[tokio::test]
async fn another_file_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    let notes = "not a database, but somebody's notes\n".repeat(200);
    std::fs::write(&path, &notes).unwrap();
    let text = complaint(&path).await;
    assert!(text.contains("not a SQLite database"), "{text}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), notes);
}

#[tokio::test]
async fn another_programs_database_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db");
    let url = format!("sqlite:{}?mode=rwc", path.display());
    let mut other = SqliteConnection::connect(&url).await.unwrap();
    sqlx::query("CREATE TABLE songs (title TEXT)")
        .execute(&mut other)
        .await
        .unwrap();
    let text = complaint(&path).await;
    assert!(text.contains("of another program"), "{text}");
}

#[tokio::test]
async fn a_damaged_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("swath.db");
    open(&path).await.unwrap().close().await.unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    // The second half of every page but the first: no tree survives that.
    for page in bytes.chunks_mut(4096).skip(1) {
        page[..2048].fill(0xa5);
    }
    std::fs::write(&path, bytes).unwrap();
    let text = complaint(&path).await;
    assert!(
        text.contains("damaged") && text.contains("backup"),
        "{text}"
    );
}

#[tokio::test]
async fn an_older_schema_is_brought_to_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("swath.db");
    open(&path).await.unwrap().close().await.unwrap();
    let url = format!("sqlite:{}", path.display());
    let mut conn = SqliteConnection::connect(&url).await.unwrap();
    // What the second migration added, with what was written before it.
    sqlx::raw_sql(
        "DELETE FROM _sqlx_migrations WHERE version = 2;
         ALTER TABLE outcome DROP COLUMN metrics;
         ALTER TABLE observation DROP COLUMN distance;
         ALTER TABLE observation DROP COLUMN loss_scale;
         ALTER TABLE observation DROP COLUMN skipped_steps;
         INSERT INTO worker (id, name, state, session, seen_at, about, programs)
         VALUES (1, 'w', 'active', 1, 0, '{}', '[]');
         INSERT INTO provenance (id, device, driver, libtorch, trainer, threads, determinism)
         VALUES (1, '', '', '', '', 0, '');
         INSERT INTO cell (id, digest, spec) VALUES (1, zeroblob(32), '{}');
         INSERT INTO job (id, digest, cell, replicate, seed, state, deadline, attempt, worker,
                          session, granted_at, grants, closed)
         VALUES (1, zeroblob(32), 1, 1, 7, 'leased', 9, 1, 1, 1, 0, 1, 0);
         INSERT INTO attempt (job, attempt, worker, session, granted_at) VALUES (1, 1, 1, 1, 0);
         INSERT INTO observation (job, attempt, epoch, step, test_error) VALUES (1, 1, 1, 5, 9.5);
         INSERT INTO outcome
             (job, attempt, test_error, train_seconds, bits, provenance, recorded_at)
         VALUES (1, 1, 8.25, 1.0, zeroblob(32), 1, 0);
         UPDATE attempt SET ended = 'measured', ended_at = 1, provenance = 1;
         UPDATE job SET state = 'succeeded', deadline = NULL, closed = 1, ended_at = 1;",
    )
    .execute(&mut conn)
    .await
    .unwrap();
    conn.close().await.unwrap();
    let store = open(&path).await.unwrap();
    let job = store.jobs(JobQuery::default()).await.unwrap().remove(0);
    let measured = job.measurement.unwrap();
    assert_eq!((measured.test_error, measured.metrics.len()), (8.25, 0));
    let seen = job.progress.unwrap();
    assert_eq!((seen.test_error, seen.distance), (Some(9.5), None));
    // What no older build knew of its cell is worked out.
    let alike = store.alike(WorkloadKey::of_cell("{}"), 9).await.unwrap();
    let seconds = alike.iter().map(|alike| alike.train_seconds);
    assert_eq!(seconds.collect::<Vec<_>>(), [1.0]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_newer_schema_is_refused_with_the_versions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("swath.db");
    open(&path).await.unwrap().close().await.unwrap();
    let url = format!("sqlite:{}", path.display());
    let mut conn = SqliteConnection::connect(&url).await.unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'from the future', 1, x'00', 0)",
    )
    .execute(&mut conn)
    .await
    .unwrap();
    conn.close().await.unwrap();
    let text = complaint(&path).await;
    assert!(text.contains("version 9999"), "{text}");
    assert!(text.contains("versions up to "), "{text}");
}
