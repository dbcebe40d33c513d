//! Opens the store that `--database` names.

use std::sync::Arc;

use swath_store::Store;
use swath_store_postgres::{Options, PostgresStore};
use swath_store_sqlite::SqliteStore;

use super::ServeError;
use crate::database::Database;

/// A store, and whether it was made just now.
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) is_new: bool,
}

/// Opens the store.
pub(crate) async fn open(database: &Database) -> Result<Opened, ServeError> {
    match database {
        Database::Sqlite(path) => {
            let store = SqliteStore::open(path).await;
            let store = store.map_err(|error| ServeError::of(&error))?;
            let is_new = store.is_new();
            let store = Arc::new(store);
            Ok(Opened { store, is_new })
        }
        Database::Postgres(url) => {
            let store = PostgresStore::open(url, Options::default()).await;
            let store = Arc::new(store.map_err(|error| ServeError::of(&error))?);
            // A person made it and named it, and no path leads to it by mistake.
            let is_new = false;
            Ok(Opened { store, is_new })
        }
    }
}
