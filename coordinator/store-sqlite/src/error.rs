//! Errors inside an operation, and what its caller gets to see.

use std::io::{self, ErrorKind};
use std::path::Path;

use swath_store::StoreError;
use swath_store::rows::Damaged;

/// Why an operation inside a transaction ended without a result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The call was not valid; nothing of it may be kept.
    Refused(StoreError),
    /// The database refused.
    Database(sqlx::Error),
    /// The file contains something that this code never writes.
    Damaged(String),
}

/// A result inside a transaction.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<Damaged> for Failure {
    fn from(Damaged(message): Damaged) -> Self {
        Self::Damaged(message)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Damaged::from(error).into()
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(error) => error,
            Failure::Database(error) if is_full(&error) => failed(
                "the disk of the database is full, so nothing of this is kept; make room, and it \
                 goes on by itself",
                error,
            ),
            Failure::Database(error) => failed("the database refused the operation", error),
            Failure::Damaged(message) => Self::Failed {
                message: format!("{message}; restore the file from a backup"),
                source: None,
            },
        }
    }
}

/// An error of the store that keeps its cause.
pub(crate) fn failed(
    message: impl Into<String>,
    source: impl std::error::Error + Send + Sync + 'static,
) -> StoreError {
    StoreError::Failed {
        message: message.into(),
        source: Some(Box::new(source)),
    }
}

/// SQLite's primary result code, if the error came from SQLite.
pub(crate) fn sqlite_code(error: &sqlx::Error) -> Option<i32> {
    // The upper bits only refine the primary code.
    Some(extended_code(error)? & 0xff)
}

fn extended_code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

/// Whether there was no room for what was to be written.
pub(crate) fn is_full(error: &sqlx::Error) -> bool {
    let full = [code::FULL, code::IOERR_SHMSIZE];
    extended_code(error).is_some_and(|code| full.contains(&code))
}

/// SQLite's result codes: <https://www.sqlite.org/rescode.html>
pub(crate) mod code {
    pub(crate) const PERM: i32 = 3;
    pub(crate) const BUSY: i32 = 5;
    pub(crate) const READONLY: i32 = 8;
    pub(crate) const IOERR: i32 = 10;
    pub(crate) const CORRUPT: i32 = 11;
    pub(crate) const FULL: i32 = 13;
    pub(crate) const CANTOPEN: i32 = 14;
    pub(crate) const NOTADB: i32 = 26;
    /// The memory that connections share could not grow.
    pub(crate) const IOERR_SHMSIZE: i32 = IOERR | 19 << 8;
}

/// What is wrong with a file that does not begin like a database.
pub(crate) const NOT_SQLITE: &str = "it is not a SQLite database, or its beginning was cut off or \
                                     overwritten; name another file, or restore it from a backup";

/// The error for a file that cannot be opened, with what to do.
pub(crate) fn cannot_open(path: &Path, error: sqlx::Error) -> StoreError {
    let remedy = match sqlite_code(&error) {
        _ if is_full(&error) => "the disk is full; make room",
        Some(code::NOTADB) => NOT_SQLITE,
        Some(code::CORRUPT) => "it is damaged; restore it from a backup",
        Some(code::CANTOPEN | code::PERM | code::READONLY) => {
            "the file and its directory must be writable for this user"
        }
        Some(code::BUSY) => "another program has it locked; end that one",
        _ => "see the cause",
    };
    failed(format!("cannot open {}: {remedy}", path.display()), error)
}

/// The error for a file in which no store can be.
pub(crate) fn refused(path: &Path, problem: &str) -> StoreError {
    StoreError::Failed {
        message: format!("cannot open {}: {problem}", path.display()),
        source: None,
    }
}

/// The error for a file that cannot be opened to write to it, or not be made.
pub(crate) fn unwritable(path: &Path, error: io::Error) -> StoreError {
    let remedy = match error.kind() {
        ErrorKind::PermissionDenied => "the file and its directory must be writable for this user",
        ErrorKind::ReadOnlyFilesystem => "its file system is mounted read-only; mount it writable",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "the disk is full; make room",
        _ => "see the cause",
    };
    failed(format!("cannot write {}: {remedy}", path.display()), error)
}
