//! Opens the store that `--database` names.

use std::sync::Arc;

use swath_store::Store;
use swath_store_sqlite::SqliteStore;

use super::ServeError;
use super::status::causes;
use crate::database::Database;

/// Opens it.
pub(crate) async fn open(database: &str) -> Result<Arc<dyn Store>, ServeError> {
    let Database::Sqlite(path) =
        Database::parse(database).map_err(|error| ServeError::new(causes(&error)))?;
    let store = SqliteStore::open(&path).await;
    let store = store.map_err(|error| ServeError::new(causes(&error)))?;
    Ok(Arc::new(store))
}
