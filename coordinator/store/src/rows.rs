//! Conversion between columns and the types of the model, as far as every
//! database has the same.

use serde::Serialize;
use serde::de::DeserializeOwned;
use swath_model::access::{CredentialId, Role, Secret};
use swath_model::id::{
    Attempt, CellDigest, InputDigest, JobDigest, SessionId, SweepDigest, WeightsDigest, WorkerName,
};
use swath_model::job::StateName;
use swath_model::outcome::Fault;
use swath_model::placement::Placement;
use swath_model::view::{SweepKind, WorkerState};

/// Something in a database that no version writes, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Damaged(pub String);

/// A value from columns.
pub type Result<T, E = Damaged> = std::result::Result<T, E>;

impl From<serde_json::Error> for Damaged {
    fn from(error: serde_json::Error) -> Self {
        Self(format!("a JSON column cannot be read: {error}"))
    }
}

fn unknown(what: &str, name: &str) -> Damaged {
    Damaged(format!("it holds the {what} `{name}`, which cannot be"))
}

/// A cause that is stored as JSON; `None` if the column is empty.
pub fn cause<T: DeserializeOwned>(text: &str) -> Result<Option<T>> {
    let some = (!text.is_empty()).then_some(text);
    Ok(some.map(serde_json::from_str).transpose()?)
}

/// The stored form of a cause.
pub fn cause_text<T: Serialize>(cause: Option<&T>) -> String {
    cause.map_or_else(String::new, json)
}

/// The id of a credential.
pub fn credential_id(key: i64) -> Result<CredentialId> {
    CredentialId::from_key(key).ok_or_else(|| Damaged(format!("{key} is no id of a credential")))
}

/// What the holder of a credential may do.
pub fn role(name: &str) -> Result<Role> {
    name.parse().map_err(|_| unknown("role", name))
}

/// The digest of a token's secret; none where the column is empty.
pub fn secret(bytes: Option<&[u8]>) -> Result<Option<Secret>> {
    let read = |bytes: &[u8]| {
        let bytes = bytes.try_into().ok().map(Secret::from_bytes);
        bytes.ok_or_else(|| Damaged("the digest of a token is not 32 bytes".to_owned()))
    };
    bytes.map(read).transpose()
}

/// What a stored sweep is for.
pub fn sweep_kind(name: &str) -> Result<SweepKind> {
    SweepKind::from_name(name).ok_or_else(|| Damaged(format!("`{name}` is no kind of sweep")))
}

/// The number of an attempt.
pub const fn attempt(number: i64) -> Attempt {
    Attempt(number as u32)
}

/// The state of a job.
pub fn state_name(name: &str) -> Result<StateName> {
    StateName::from_name(name).ok_or_else(|| unknown("state", name))
}

/// A fault.
pub fn fault(name: &str) -> Result<Fault> {
    Fault::from_name(name).ok_or_else(|| unknown("fault", name))
}

/// Where an attempt was granted to run.
pub fn placement(devices: &str) -> Result<Placement> {
    devices.parse().map_err(|_| unknown("device", devices))
}

/// The state of a worker.
pub fn worker_state(name: &str) -> Result<WorkerState> {
    WorkerState::from_name(name).ok_or_else(|| unknown("state of a worker", name))
}

/// The name of a worker.
pub fn worker_name(name: &str) -> Result<WorkerName> {
    name.parse().map_err(|_| unknown("worker", name))
}

/// The digest of a job.
pub fn job_digest(bytes: &[u8]) -> Result<JobDigest> {
    JobDigest::from_slice(bytes).ok_or_else(|| short("job"))
}

/// The digest of a file.
pub fn input_digest(bytes: &[u8]) -> Result<InputDigest> {
    InputDigest::from_slice(bytes).ok_or_else(|| short("file"))
}

/// The digest of a cell.
pub fn cell_digest(bytes: &[u8]) -> Result<CellDigest> {
    CellDigest::from_slice(bytes).ok_or_else(|| short("cell"))
}

/// The digest of a sweep.
pub fn sweep_digest(bytes: &[u8]) -> Result<SweepDigest> {
    SweepDigest::from_slice(bytes).ok_or_else(|| short("sweep"))
}

fn short(what: &str) -> Damaged {
    Damaged(format!("a {what} digest is not 32 bytes long"))
}

/// The digest of weights in a column, if there is one.
pub fn weights(bytes: Option<&[u8]>) -> Option<WeightsDigest> {
    bytes.and_then(WeightsDigest::from_slice)
}

/// The JSON text of a value that always has one: numbers, texts, and what is made
/// of them.
pub fn json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// A column of yes and no; SQLite has numbers for that.
pub fn flag(column: impl Into<i64>) -> bool {
    column.into() != 0
}

/// A session as a column; if it does not fit, a number above every possible
/// session.
pub fn session(session: SessionId) -> i64 {
    i64::try_from(session.0).unwrap_or(i64::MAX)
}
