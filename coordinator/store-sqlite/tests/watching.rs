//! Files that are looked after while they are in use: what is committed moves into
//! the file in pauses, and nothing is acknowledged that nobody would find.

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use swath_store::{Store, Term};
use swath_store_sqlite::{SqliteStore, snapshot};
use tempfile::TempDir;

use self::support::{bare, sweeps};

/// A store with one sweep, in a directory of its own.
struct Kept {
    folder: TempDir,
    path: PathBuf,
    store: SqliteStore,
    term: Term,
}

impl Kept {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("data");
        fs::create_dir(&directory).unwrap();
        let path = directory.join("swath.db");
        let store = SqliteStore::open(&path).await.unwrap();
        let term = store.lead("here").await.unwrap();
        store.commit(term, bare(1)).await.unwrap();
        Self {
            folder,
            path,
            store,
            term,
        }
    }

    /// How many sweeps the file has without its journal.
    async fn alone(&self) -> usize {
        let copy = self.folder.path().join("copy.db");
        fs::copy(&self.path, &copy).unwrap();
        let store = SqliteStore::open(&copy).await.unwrap();
        let found = sweeps(&store).await.len();
        store.close().await.unwrap();
        fs::remove_file(&copy).unwrap();
        found
    }

    fn journal(&self) -> PathBuf {
        self.path.with_extension("db-wal")
    }
}

#[tokio::test]
async fn in_a_pause_commits_move_into_the_file() {
    let kept = Kept::new().await;
    // There was a commit since it was looked after last: that is no pause.
    kept.store.renew(kept.term).await.unwrap();
    let before = fs::metadata(&kept.path).unwrap().len();
    assert!(before <= 4096, "{before}");
    kept.store.renew(kept.term).await.unwrap();
    assert_eq!(kept.alone().await, 1);
    kept.store.commit(kept.term, bare(2)).await.unwrap();
    kept.store.renew(kept.term).await.unwrap();
    kept.store.renew(kept.term).await.unwrap();
    assert_eq!(kept.alone().await, 2);
    kept.store.close().await.unwrap();
}

#[tokio::test]
async fn at_a_stop_commits_move_although_somebody_reads() {
    let kept = Kept::new().await;
    let reader = snapshot(&kept.path).await.unwrap();
    kept.store.close().await.unwrap();
    assert_eq!(kept.alone().await, 1);
    reader.close().await.unwrap();
}

/// Does something to the files of a store; afterwards nothing is acknowledged,
/// and what is in their place now stays as it is.
async fn stops_after(deed: impl FnOnce(&Path), says: &str) {
    let kept = Kept::new().await;
    deed(&kept.path);
    let journal = || fs::metadata(kept.journal()).ok().map(|found| found.ino());
    let before = journal();
    let refused = kept.store.commit(kept.term, bare(2)).await.unwrap_err();
    let text = refused.to_string();
    assert!(text.contains(says) && text.contains("7 days"), "{text}");
    let later = [
        kept.store.commit(kept.term, bare(3)).await.err(),
        kept.store.renew(kept.term).await.err(),
        kept.store.start().await.err(),
        kept.store.lead("here").await.err(),
    ];
    for later in later {
        assert_eq!(later.unwrap().to_string(), text);
    }
    assert!(text.ends_with(&kept.store.lost().unwrap()), "{text}");
    kept.store.close().await.unwrap();
    assert_eq!(journal(), before, "the journal went with the store");
}

#[tokio::test]
async fn a_file_that_is_removed_stops_the_store() {
    let removed = "swath.db was removed or replaced";
    stops_after(|path| fs::remove_file(path).unwrap(), removed).await;
    let directory = |path: &Path| fs::remove_dir_all(path.parent().unwrap()).unwrap();
    stops_after(directory, removed).await;
    let moved = |path: &Path| {
        let directory = path.parent().unwrap();
        fs::rename(directory, directory.with_file_name("moved")).unwrap();
    };
    stops_after(moved, removed).await;
}

#[tokio::test]
async fn a_file_that_is_replaced_stops_the_store() {
    let another = |path: &Path| {
        let draft = path.with_file_name("draft");
        fs::write(&draft, "of somebody else").unwrap();
        fs::rename(&draft, path).unwrap();
        fs::remove_file(path.with_extension("db-wal")).unwrap();
        fs::write(path.with_extension("db-wal"), "of somebody else").unwrap();
    };
    stops_after(another, "swath.db was removed or replaced").await;
    let linked = |path: &Path| {
        let elsewhere = path.with_file_name("elsewhere.db");
        fs::rename(path, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, path).unwrap();
    };
    stops_after(linked, "swath.db was removed or replaced").await;
    let emptied = |path: &Path| fs::write(path, "").unwrap();
    stops_after(emptied, "swath.db was emptied").await;
}

#[tokio::test]
async fn a_journal_that_is_replaced_stops_the_store() {
    let another = |path: &Path| {
        let journal = path.with_extension("db-wal");
        fs::remove_file(&journal).unwrap();
        fs::write(&journal, "of somebody else").unwrap();
    };
    stops_after(another, "swath.db-wal was removed or replaced").await;
}

#[tokio::test]
async fn a_journal_that_is_removed_is_saved() {
    let kept = Kept::new().await;
    fs::remove_file(kept.journal()).unwrap();
    let refused = kept.store.commit(kept.term, bare(2)).await.unwrap_err();
    let text = refused.to_string();
    assert!(text.contains("what it held was saved"), "{text}");
    assert_eq!(kept.store.lost().as_deref(), text.strip_prefix("store: "));
    // The second was not acknowledged, but it was written as well.
    assert_eq!(kept.alone().await, 2);
}
