//! The database that `--database` names.

use std::path::PathBuf;

use serde_json::Value;

/// Where a coordinator keeps its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// A SQLite file.
    Sqlite(PathBuf),
}

/// A text that names no database of this version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseError {
    /// One that this version has no store for.
    #[error("Postgres is not supported by this version; use `--database sqlite:PATH`")]
    Postgres,
    /// Something else, or nothing.
    #[error("`{0}` names no database; write `sqlite:PATH`")]
    Unknown(String),
}

impl Database {
    /// The database unless it is said otherwise.
    pub const DEFAULT: &str = "sqlite:swath.db";

    /// Reads `sqlite:PATH`; a bare path will do.
    ///
    /// # Errors
    ///
    /// When it is another database, or no path.
    pub fn parse(text: &str) -> Result<Self, DatabaseError> {
        let (scheme, place) = match text.split_once(':') {
            Some((scheme, place)) if !scheme.contains('/') => (scheme, place),
            _ => ("sqlite", text),
        };
        match scheme {
            "sqlite" => match place.strip_prefix("//").unwrap_or(place) {
                "" => Err(DatabaseError::Unknown(text.to_owned())),
                path => Ok(Self::Sqlite(path.into())),
            },
            "postgres" | "postgresql" => Err(DatabaseError::Postgres),
            _ => Err(DatabaseError::Unknown(text.to_owned())),
        }
    }

    /// What [`Self::parse`] reads as this one.
    pub fn url(&self) -> String {
        format!("sqlite:{self}")
    }

    /// Whether there is one already.
    pub fn exists(&self) -> bool {
        let Self::Sqlite(path) = self;
        path.is_file()
    }

    /// The path with `ending` after its name.
    pub fn beside(&self, ending: &str) -> PathBuf {
        let Self::Sqlite(path) = self;
        let mut path = path.clone().into_os_string();
        path.push(ending);
        path.into()
    }

    /// Where the coordinator that has it open listens, as it noted in the lock
    /// file.
    pub fn holder(&self) -> Option<String> {
        let note = std::fs::read(self.beside(".lock")).ok()?;
        let note: Value = serde_json::from_slice(&note).ok()?;
        let address = note["address"].as_str()?;
        (!address.is_empty()).then(|| address.to_owned())
    }
}

impl std::fmt::Display for Database {
    /// What messages call it: the path.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self::Sqlite(path) = self;
        path.display().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_sqlite() {
        let sqlite = |path: &str| Ok(Database::Sqlite(path.into()));
        assert_eq!(Database::parse("sqlite:a/b.db"), sqlite("a/b.db"));
        assert_eq!(Database::parse("sqlite:///srv/b.db"), sqlite("/srv/b.db"));
        assert_eq!(Database::parse("b.db"), sqlite("b.db"));
        assert_eq!(Database::parse("./a:b.db"), sqlite("./a:b.db"));
        for postgres in ["postgres://h/db", "postgresql://h/db"] {
            assert_eq!(Database::parse(postgres), Err(DatabaseError::Postgres));
        }
        for wrong in ["", "sqlite:", "sqlite://", "mysql://h/db"] {
            let unknown = DatabaseError::Unknown(wrong.to_owned());
            assert_eq!(Database::parse(wrong), Err(unknown));
        }
    }

    #[test]
    fn the_holder_is_who_noted_an_address() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::Sqlite(directory.path().join("a.db"));
        let lock = database.beside(".lock");
        let holder = |note: &str| {
            std::fs::write(&lock, note).unwrap();
            database.holder()
        };
        assert_eq!(holder(r#"{"pid":1,"host":"h"}"#), None);
        assert_eq!(holder(r#"{"pid":1,"host":"h","address":""}"#), None);
        assert_eq!(
            holder(r#"{"pid":1,"host":"h","address":"http://h:1"}"#),
            Some("http://h:1".to_owned())
        );
    }
}
