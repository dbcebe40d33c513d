//! Opens the store that `--database` names.

use std::net::SocketAddr;
use std::sync::Arc;

use swath_core::policy::Policy;
use swath_store::Store;
use swath_store_sqlite::SqliteStore;

use super::ServeError;
use super::status::causes;
use crate::database::Database;

/// Opens it; `address` is what a second coordinator is told.
pub(crate) async fn open(
    database: &str,
    policy: &Policy,
    address: SocketAddr,
) -> Result<Arc<dyn Store>, ServeError> {
    let Database::Sqlite(path) =
        Database::parse(database).map_err(|error| ServeError::new(causes(&error)))?;
    let failed = |error| ServeError::new(causes(&error));
    let store = SqliteStore::open(&path, policy.clone())
        .await
        .map_err(failed)?;
    store
        .set_holder_note(&format!("http://{address}"))
        .await
        .map_err(failed)?;
    Ok(Arc::new(store))
}
