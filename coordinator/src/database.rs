//! The database that `--database` names.

use std::path::PathBuf;

/// Where a coordinator keeps its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A Postgres database, by its URL.
    Postgres(String),
}

/// A text that does not name a database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a database address; write `sqlite:PATH` or `postgres://USER@HOST/NAME`")]
pub struct DatabaseError(String);

impl Database {
    /// The database if none is named.
    pub const DEFAULT: &str = "sqlite:swath.db";

    /// Reads `sqlite:PATH`, a bare path, or the URL of a Postgres database.
    ///
    /// # Errors
    ///
    /// When it names another kind of database, or no path.
    pub fn parse(text: &str) -> Result<Self, DatabaseError> {
        let (scheme, place) = match text.split_once(':') {
            Some((scheme, place)) if !scheme.contains('/') => (scheme, place),
            _ => ("sqlite", text),
        };
        match scheme {
            "sqlite" => match place.strip_prefix("//").unwrap_or(place) {
                "" => Err(DatabaseError(text.to_owned())),
                path => Ok(Self::Sqlite(path.into())),
            },
            "postgres" | "postgresql" if place.starts_with("//") => {
                Ok(Self::Postgres(text.to_owned()))
            }
            _ => Err(DatabaseError(text.to_owned())),
        }
    }

    /// The text from which [`Self::parse`] reads this database.
    pub fn url(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("sqlite:{}", path.display()),
            Self::Postgres(url) => url.clone(),
        }
    }

    /// Whether it may exist already: a file is looked for, a server is not
    /// asked.
    pub fn exists(&self) -> bool {
        match self {
            Self::Sqlite(path) => path.is_file(),
            Self::Postgres(_) => true,
        }
    }

    /// The path of a file that belongs to it: its own path with `ending` added
    /// to the name.
    pub fn beside(&self, ending: &str) -> PathBuf {
        let mut path = match self {
            Self::Sqlite(path) => path.clone().into_os_string(),
            Self::Postgres(_) => "swath".into(),
        };
        path.push(ending);
        path.into()
    }

    /// The address of the coordinator that has the file open, or had it last.
    pub fn holder(&self) -> Option<String> {
        match self {
            Self::Sqlite(path) => swath_store_sqlite::holder(path),
            Self::Postgres(_) => None,
        }
    }
}

impl std::fmt::Display for Database {
    /// The name in messages: the path, or the URL without its password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Postgres(url) => f.write_str(&without_password(url)),
        }
    }
}

/// The URL without its password.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let authority = rest.find(['/', '?']).unwrap_or(rest.len());
    // A password may contain an `@` that should have been escaped.
    let Some(end) = rest[..authority].rfind('@') else {
        return url.to_owned();
    };
    let user = rest[..end].split(':').next().unwrap_or_default();
    format!("{scheme}://{user}{}", &rest[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_sqlite() {
        let sqlite = |path: &str| Ok(Database::Sqlite(path.into()));
        assert_eq!(Database::parse("sqlite:a/b.db"), sqlite("a/b.db"));
        assert_eq!(Database::parse("sqlite:///srv/b.db"), sqlite("/srv/b.db"));
        assert_eq!(Database::parse("b.db"), sqlite("b.db"));
        assert_eq!(Database::parse("./a:b.db"), sqlite("./a:b.db"));
        for wrong in ["", "sqlite:", "sqlite://", "mysql://h/db", "postgres:db"] {
            let unknown = DatabaseError(wrong.to_owned());
            assert_eq!(Database::parse(wrong), Err(unknown));
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let shown = |url: &str| Database::parse(url).unwrap().to_string();
        assert_eq!(shown("postgres://u:p@h/db"), "postgres://u@h/db");
        assert_eq!(
            shown("postgresql://u:p@w@h:5432/db?sslmode=require"),
            "postgresql://u@h:5432/db?sslmode=require"
        );
        assert_eq!(shown("postgres://u@h/db"), "postgres://u@h/db");
        assert_eq!(shown("postgres:///db"), "postgres:///db");
        assert_eq!(
            Database::parse("postgres://u:p@h/db").unwrap().url(),
            "postgres://u:p@h/db"
        );
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
