//! Opens the store that `--database` names.

use std::path::PathBuf;
use std::sync::Arc;

use swath_store::Store;
use swath_store_sqlite::SqliteStore;

use super::ServeError;
use super::status::causes;

/// Where the database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// A SQLite file.
    Sqlite(PathBuf),
}

impl Database {
    /// Reads `sqlite:PATH`.
    ///
    /// # Errors
    ///
    /// When it is another database, or no path.
    pub fn parse(text: &str) -> Result<Self, ServeError> {
        let path = text
            .strip_prefix("sqlite://")
            .or_else(|| text.strip_prefix("sqlite:"))
            .filter(|path| !path.is_empty());
        match path {
            Some(path) => Ok(Self::Sqlite(PathBuf::from(path))),
            None if text.starts_with("postgres") => Err(ServeError::new(
                "--database: this version keeps its data in SQLite only; use `sqlite:PATH`",
            )),
            None => Err(ServeError::new(format!(
                "--database `{text}`: must be `sqlite:PATH`, like `sqlite:swath.db`"
            ))),
        }
    }
}

/// Opens it.
pub(crate) async fn open(database: &str) -> Result<Arc<dyn Store>, ServeError> {
    let Database::Sqlite(path) = Database::parse(database)?;
    let store = SqliteStore::open(&path).await;
    let store = store.map_err(|error| ServeError::new(causes(&error)))?;
    Ok(Arc::new(store))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_read() {
        let path = |text| match Database::parse(text) {
            Ok(Database::Sqlite(path)) => path.display().to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(path("sqlite:swath.db"), "swath.db");
        assert_eq!(path("sqlite:///var/lib/swath.db"), "/var/lib/swath.db");
        assert!(path("postgres://x/y").contains("SQLite only"));
        assert!(path("swath.db").contains("must be `sqlite:PATH`"));
    }
}
