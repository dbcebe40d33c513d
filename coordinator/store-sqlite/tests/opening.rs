//! Who may open which file, and what the others are told.

use std::os::unix::fs::symlink;
use std::path::Path;

use sqlx::{Connection, SqliteConnection};
use swath_store::{Changes, Store, StoreError, Term};
use swath_store_sqlite::{SqliteStore, holder, is_held, snapshot};

async fn open(path: &Path) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(path).await
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
    assert_eq!(store.leader().await.unwrap(), None);
    let term = store.lead("127.0.0.1:7070").await.unwrap();
    let leader = store.leader().await.unwrap();
    assert_eq!(leader.as_deref(), Some("127.0.0.1:7070"));
    store.renew(term).await.unwrap();
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
    let nobodys = store.commit(Term(0), Changes::default()).await;
    assert!(matches!(nobodys, Err(StoreError::InUse(_))), "{nobodys:?}");
    let term = store.lead("here").await.unwrap();
    store.close().await.unwrap();
    let refused = [
        store.lead("here").await.err(),
        store.commit(term, Changes::default()).await.err(),
        store.start().await.err(),
    ];
    for refused in refused {
        let text = refused.unwrap().to_string();
        assert!(text.contains("closed"), "{text}");
    }
    assert_eq!(store.leader().await.unwrap(), None);
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

/// The complaint about a file that somebody has open, which names that process.
async fn complaint_about_use(path: &Path) -> String {
    let error = open(path).await.err().unwrap();
    assert!(matches!(error, StoreError::InUse(_)), "{error:?}");
    let text = error.to_string();
    let pid = format!("process {} on ", std::process::id());
    assert!(text.contains(&pid), "{text}");
    text
}

#[tokio::test]
async fn every_way_to_a_file_meets_its_one_lock() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("swath.db");
    let others = folder.path().join("elsewhere");
    std::fs::create_dir(&others).unwrap();
    let link = others.join("link.db");
    // The link leads to nothing yet: what it leads to is made.
    symlink(&path, &link).unwrap();
    let store = open(&link).await.unwrap();
    assert!(path.metadata().unwrap().len() > 0);
    assert!(is_held(&path) && is_held(&link));
    store.lead("http://here:1").await.unwrap();
    assert_eq!(holder(&link).as_deref(), Some("http://here:1"));
    for way in [&path, &link] {
        let text = complaint_about_use(way).await;
        assert!(text.contains("listens on http://here:1"), "{text}");
    }
    // Nothing of it lies beside the link.
    assert_eq!(std::fs::read_dir(&others).unwrap().count(), 1);

    // The lock is not in the note, and the note comes back.
    let note = folder.path().join("swath.db.lock");
    std::fs::remove_file(&note).unwrap();
    complaint_about_use(&path).await;
    let term = store.lead("http://here:2").await.unwrap();
    std::fs::remove_file(&note).unwrap();
    store.renew(term).await.unwrap();
    let text = complaint_about_use(&path).await;
    assert!(text.contains("listens on http://here:2"), "{text}");

    store.close().await.unwrap();
    assert!(!is_held(&path) && !is_held(&link));
    open(&path).await.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn a_file_with_two_names_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("swath.db");
    let store = open(&path).await.unwrap();
    let second = folder.path().join("second.db");
    std::fs::hard_link(&path, &second).unwrap();
    complaint_about_use(&second).await;
    store.close().await.unwrap();
    for name in [&path, &second] {
        let text = complaint(name).await;
        assert!(text.contains("2 names") && text.contains("cp"), "{text}");
        let unseen = snapshot(name).await.err().unwrap().to_string();
        assert!(unseen.contains("2 names"), "{unseen}");
    }
    std::fs::remove_file(&second).unwrap();
    open(&path).await.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn a_new_store_is_known_as_new() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("swath.db");
    let store = open(&path).await.unwrap();
    assert!(store.is_new());
    store.close().await.unwrap();
    let store = open(&path).await.unwrap();
    assert!(!store.is_new());
    store.close().await.unwrap();
    // Whoever removes it wants another.
    std::fs::remove_file(&path).unwrap();
    let store = open(&path).await.unwrap();
    assert!(store.is_new());
    store.close().await.unwrap();
    // An empty file that never was one is as good as none.
    let path = folder.path().join("empty.db");
    std::fs::write(&path, "").unwrap();
    let store = open(&path).await.unwrap();
    assert!(store.is_new());
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_store_that_was_cut_off_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("swath.db");
    open(&path).await.unwrap().close().await.unwrap();
    let whole = std::fs::read(&path).unwrap();
    for length in [0, 1, 50, 100, 511, 512, 4096, 8192, whole.len() - 4096] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let text = complaint(&path).await;
        assert!(text.contains("backup"), "{length}: {text}");
        let left = std::fs::metadata(&path).unwrap().len();
        assert_eq!(left, length as u64, "{length}: {text}");
    }
}

#[tokio::test]
async fn commits_without_their_file_are_not_thrown_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("swath.db");
    let journal = folder.path().join("swath.db-wal");
    for empty in [false, true] {
        std::fs::write(&journal, "commits").unwrap();
        if empty {
            std::fs::write(&path, "").unwrap();
        }
        let text = complaint(&path).await;
        assert!(text.contains("swath.db-wal holds commits"), "{text}");
        assert_eq!(path.exists(), empty);
        assert_eq!(std::fs::read(&journal).unwrap(), b"commits");
    }
}
