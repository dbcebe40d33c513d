//! Conversion between columns and the types of the model.

use swath_model::id::{
    Attempt, CellDigest, InputDigest, JobDigest, Owner, SessionId, SweepDigest, WeightsDigest,
    WorkerName,
};
use swath_model::job::{Job, Lease, State, StateName};
use swath_model::outcome::{Fault, Provenance};
use swath_model::placement::Placement;
use swath_model::time::Timestamp;
use swath_model::view::{SweepKind, WorkerState};

use crate::error::{Failure, Result};

/// A cause that is stored as JSON; `None` if the column is empty.
pub(crate) fn cause<T: serde::de::DeserializeOwned>(text: &str) -> Result<Option<T>> {
    let some = (!text.is_empty()).then_some(text);
    Ok(some.map(serde_json::from_str).transpose()?)
}

/// The stored form of a cause.
pub(crate) fn cause_text<T: serde::Serialize>(cause: Option<&T>) -> String {
    cause.map_or_else(String::new, json)
}

/// What a stored sweep is for.
pub(crate) fn sweep_kind(name: &str) -> Result<SweepKind> {
    let damaged = || Failure::Damaged(format!("`{name}` is no kind of sweep"));
    SweepKind::from_name(name).ok_or_else(damaged)
}

/// The columns of a job on which its life depends.
#[derive(Debug)]
pub(crate) struct JobRow {
    pub(crate) id: i64,
    pub(crate) digest: Vec<u8>,
    pub(crate) cell: i64,
    pub(crate) state: String,
    pub(crate) not_before: Option<i64>,
    pub(crate) deadline: Option<i64>,
    pub(crate) stop: bool,
    pub(crate) fault: Option<String>,
    pub(crate) attempt: i64,
    pub(crate) worker: Option<String>,
    pub(crate) session: Option<i64>,
    pub(crate) granted_at: i64,
    pub(crate) grants: i64,
    pub(crate) charged: i64,
    pub(crate) failed_on: Option<String>,
    pub(crate) closed: bool,
    pub(crate) unmentioned: i64,
    pub(crate) faulted: Option<i64>,
    pub(crate) ended_at: Option<i64>,
    pub(crate) device: Option<String>,
}

/// Where an attempt was granted to run.
pub(crate) fn placement(devices: Option<&str>) -> Result<Option<Placement>> {
    let wrong = |text| unknown("device", text);
    devices
        .map(|text| text.parse().map_err(|_| wrong(text)))
        .transpose()
}

impl JobRow {
    /// Where its newest attempt was granted to run.
    pub(crate) fn placement(&self) -> Result<Option<Placement>> {
        placement(self.device.as_deref())
    }

    /// The job as the model knows it.
    pub(crate) fn job(&self) -> Result<Job> {
        let owner = match (&self.worker, self.session) {
            (Some(worker), Some(session)) => Some(Owner {
                worker: worker_name(worker)?,
                session: SessionId(session as u64),
            }),
            _ => None,
        };
        let failed_on = match &self.failed_on {
            Some(names) => serde_json::from_str(names)?,
            None => std::collections::BTreeSet::new(),
        };
        Ok(Job {
            state: self.state(owner.as_ref())?,
            attempt: attempt(self.attempt),
            owner,
            granted_at: Timestamp::from_ms(self.granted_at),
            grants: self.grants as u32,
            charged: self.charged as u32,
            failed_on,
            closed: self.closed,
        })
    }

    fn state(&self, owner: Option<&Owner>) -> Result<State> {
        let lease = || {
            Some(Lease {
                owner: owner?.clone(),
                granted_at: Timestamp::from_ms(self.granted_at),
                deadline: Timestamp::from_ms(self.deadline?),
                stop: self.stop,
            })
        };
        let state = match state_name(&self.state)? {
            StateName::Queued => self.not_before.map(|at| State::Queued {
                not_before: Timestamp::from_ms(at),
            }),
            StateName::Leased => lease().map(State::Leased),
            StateName::Suspect => lease().map(State::Suspect),
            StateName::Succeeded => Some(State::Succeeded),
            StateName::Failed => fault(self.fault.as_deref())?.map(State::Failed),
            StateName::Cancelled => Some(State::Cancelled),
        };
        state.ok_or_else(|| Failure::Damaged(format!("job {} lacks columns", self.id)))
    }
}

pub(crate) const fn attempt(number: i64) -> Attempt {
    Attempt(number as u32)
}

pub(crate) fn state_name(name: &str) -> Result<StateName> {
    StateName::from_name(name).ok_or_else(|| unknown("state", name))
}

pub(crate) fn fault(name: Option<&str>) -> Result<Option<Fault>> {
    let read = |name| Fault::from_name(name).ok_or_else(|| unknown("fault", name));
    name.map(read).transpose()
}

pub(crate) fn worker_name(name: &str) -> Result<WorkerName> {
    name.parse().map_err(|_| unknown("worker", name))
}

pub(crate) fn worker_state(name: &str) -> Result<WorkerState> {
    WorkerState::from_name(name).ok_or_else(|| unknown("state of a worker", name))
}

fn unknown(what: &str, name: &str) -> Failure {
    Failure::Damaged(format!("it holds the {what} `{name}`, which cannot be"))
}

pub(crate) fn job_digest(bytes: &[u8]) -> Result<JobDigest> {
    JobDigest::from_slice(bytes).ok_or_else(|| short("job"))
}

pub(crate) fn input_digest(bytes: &[u8]) -> Result<InputDigest> {
    InputDigest::from_slice(bytes).ok_or_else(|| short("file"))
}

pub(crate) fn cell_digest(bytes: &[u8]) -> Result<CellDigest> {
    CellDigest::from_slice(bytes).ok_or_else(|| short("cell"))
}

pub(crate) fn sweep_digest(bytes: &[u8]) -> Result<SweepDigest> {
    SweepDigest::from_slice(bytes).ok_or_else(|| short("sweep"))
}

fn short(what: &str) -> Failure {
    Failure::Damaged(format!("a {what} digest is not 32 bytes long"))
}

/// The JSON text of a value that always has one: numbers, texts, and what is
/// made of them.
pub(crate) fn json<T: serde::Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// The digest in a column, if there is one.
pub(crate) fn weights(bytes: Option<&[u8]>) -> Option<WeightsDigest> {
    bytes.and_then(WeightsDigest::from_slice)
}

/// The digest by which a provenance is found in its table.
pub(crate) fn provenance_digest(provenance: &Provenance) -> [u8; 32] {
    *blake3::hash(json(provenance).as_bytes()).as_bytes()
}

/// A session as a column; if it does not fit, a number above every possible
/// session.
pub(crate) fn session(session: SessionId) -> i64 {
    i64::try_from(session.0).unwrap_or(i64::MAX)
}
