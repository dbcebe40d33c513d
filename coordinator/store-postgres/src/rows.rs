//! Conversion between columns and the types of the model.

use swath_model::id::{Owner, SessionId};
use swath_model::job::{Job, Lease, State, StateName};
use swath_model::outcome::{Fault, Provenance};
use swath_model::placement::Placement;
use swath_model::time::Timestamp;
pub(crate) use swath_store::rows::*;

use crate::error::{Failure, Result};

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
    Ok(devices.map(swath_store::rows::placement).transpose()?)
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

pub(crate) fn fault(name: Option<&str>) -> Result<Option<Fault>> {
    Ok(name.map(swath_store::rows::fault).transpose()?)
}

/// The digest by which a provenance is found in its table.
pub(crate) fn provenance_digest(provenance: &Provenance) -> [u8; 32] {
    *blake3::hash(json(provenance).as_bytes()).as_bytes()
}
