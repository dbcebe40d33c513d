//! Errors inside an operation, and what its caller gets to see.

use swath_model::id::SweepDigest;
use swath_store::StoreError;
use swath_store::rows::Damaged;

/// Why an operation ended without a result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The call was not valid; nothing of it may be kept.
    Refused(StoreError),
    /// The database refused, or could not be asked.
    Database(sqlx::Error),
    /// No answer came in time.
    Late,
    /// The database contains something that this code never writes.
    Damaged(String),
}

/// A result of an operation.
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
            Failure::Database(error) => failed(remedy(&error), error),
            Failure::Late => told("the database did not answer in time; check it and its network"),
            Failure::Damaged(message) => told(format!(
                "the database is not as this program writes it: {message}; restore it from a backup"
            )),
        }
    }
}

/// What to tell the caller to do about this error.
fn remedy(error: &sqlx::Error) -> &'static str {
    match sql_state(error).as_deref() {
        Some(state::NO_SUCH_STATEMENT | state::STATEMENT_EXISTS) => {
            "the database is behind a pooler that passes on transactions, not sessions; add \
             `pooler=transaction` to its address, after a `?` or a `&`"
        }
        Some(state::DISK_FULL) => "the database has no room left; make some",
        Some(state::READ_ONLY) => "the database is read-only: it is a standby, or set to be so",
        Some(state::TOO_MANY_CONNECTIONS) => {
            "the database takes no more connections; raise its max_connections, or end some"
        }
        Some(state::NO_SUCH_TABLE | state::NO_SUCH_COLUMN) => {
            "the database changed under this program; start it again"
        }
        _ if is_lost(error) => "the connection to the database was lost",
        _ => "the database refused the operation",
    }
}

/// An error of the store without a cause.
pub(crate) fn told(message: impl Into<String>) -> StoreError {
    StoreError::Failed {
        message: message.into(),
        source: None,
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

/// The error for an unknown sweep.
pub(crate) fn unknown(sweep: SweepDigest) -> Failure {
    Failure::Refused(StoreError::NotFound(format!("sweep {}", sweep.short())))
}

/// The SQLSTATE, if the error came from the server.
pub(crate) fn sql_state(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

/// Whether the connection is gone, as far as this error shows.
pub(crate) fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed => true,
        other => sql_state(other).is_some_and(|state| {
            state.starts_with("08") || state.starts_with("57P") || state == state::IDLE_TOO_LONG
        }),
    }
}

/// Whether the same transaction may well succeed when it is tried again, and
/// nothing of it was kept.
pub(crate) fn is_passing(error: &sqlx::Error) -> bool {
    is_lost(error)
        || sql_state(error).is_some_and(|state| {
            [
                state::NOT_SERIAL,
                state::DEADLOCK,
                state::LOCKED,
                state::TOO_MANY_CONNECTIONS,
            ]
            .contains(&state.as_str())
        })
}

/// SQLSTATE codes:
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
pub(crate) mod state {
    pub(crate) const IDLE_TOO_LONG: &str = "25P03";
    pub(crate) const READ_ONLY: &str = "25006";
    pub(crate) const NO_SUCH_STATEMENT: &str = "26000";
    pub(crate) const BAD_ROLE: &str = "28000";
    pub(crate) const BAD_PASSWORD: &str = "28P01";
    pub(crate) const NO_SUCH_DATABASE: &str = "3D000";
    pub(crate) const NOT_SERIAL: &str = "40001";
    pub(crate) const DEADLOCK: &str = "40P01";
    pub(crate) const DENIED: &str = "42501";
    pub(crate) const NO_SUCH_COLUMN: &str = "42703";
    pub(crate) const NO_SUCH_TABLE: &str = "42P01";
    pub(crate) const STATEMENT_EXISTS: &str = "42P05";
    pub(crate) const DISK_FULL: &str = "53100";
    pub(crate) const TOO_MANY_CONNECTIONS: &str = "53300";
    pub(crate) const LOCKED: &str = "55P03";
    pub(crate) const STARTING: &str = "57P03";
}
