//! The suite that every store is held to, on a file.

use swath_model::policy::Policy;
use swath_store_sqlite::SqliteStore;
use tempfile::TempDir;

async fn fresh(_policy: Policy) -> (SqliteStore, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("swath.db"))
        .await
        .unwrap();
    (store, folder)
}

swath_store_conformance::conformance_suite!(fresh);
swath_store_conformance::keeping_suite!(fresh);
