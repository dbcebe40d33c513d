//! Opens the store that `--database` names.

use std::sync::Arc;

use swath_store::Store;
use swath_store_postgres::{Options, PostgresStore};
use swath_store_sqlite::SqliteStore;

use super::ServeError;
use crate::database::Database;

/// Opens the store.
pub(crate) async fn open(database: &Database) -> Result<Arc<dyn Store>, ServeError> {
    match database {
        Database::Sqlite(path) => {
            let store = SqliteStore::open(path).await;
            Ok(Arc::new(store.map_err(|error| ServeError::of(&error))?))
        }
        Database::Postgres(url) => {
            let store = PostgresStore::open(url, Options::default()).await;
            Ok(Arc::new(store.map_err(|error| ServeError::of(&error))?))
        }
    }
}
