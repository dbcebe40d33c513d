//! Conversion between columns and the types of the model.

use serde::Deserialize;
use swath_model::id::{Attempt, JobDigest, Owner, SessionId, WeightsDigest, WorkerName};
use swath_model::job::{Job, Lease, State, StateName};
use swath_model::outcome::{COLUMNS, Measurement};
use swath_model::placement::Placement;
use swath_model::time::Timestamp;
use swath_store::columns;
pub(crate) use swath_store::rows::*;

use crate::error::{Failure, Result};

/// The columns of a job on which its life depends, in the order of the JSON
/// array.
#[derive(Debug, Deserialize)]
pub(crate) struct JobRow {
    pub(crate) id: i64,
    pub(crate) replicate: u32,
    pub(crate) digest: JobDigest,
    state: String,
    not_before: Option<Timestamp>,
    deadline: Option<Timestamp>,
    stop: u8,
    fault: Option<String>,
    pub(crate) attempt: u32,
    worker: Option<WorkerName>,
    session: Option<SessionId>,
    granted_at: Timestamp,
    grants: u32,
    charged: u32,
    /// The workers, as a JSON array.
    failed_on: Option<String>,
    closed: u8,
    pub(crate) unmentioned: u32,
    pub(crate) faulted: Option<Attempt>,
    pub(crate) ended_at: Option<Timestamp>,
    pub(crate) placement: Option<Placement>,
}

impl JobRow {
    /// The job as the model knows it.
    pub(crate) fn job(&self) -> Result<Job> {
        let owner = match (&self.worker, self.session) {
            (Some(worker), Some(session)) => Some(Owner {
                worker: worker.clone(),
                session,
            }),
            _ => None,
        };
        let failed_on = match &self.failed_on {
            Some(names) => serde_json::from_str(names)?,
            None => std::collections::BTreeSet::new(),
        };
        Ok(Job {
            state: self.state(owner.as_ref())?,
            attempt: Attempt(self.attempt),
            owner,
            granted_at: self.granted_at,
            grants: self.grants,
            charged: self.charged,
            failed_on,
            closed: self.closed != 0,
        })
    }

    fn state(&self, owner: Option<&Owner>) -> Result<State> {
        let lease = || {
            Some(Lease {
                owner: owner?.clone(),
                granted_at: self.granted_at,
                deadline: self.deadline?,
                stop: self.stop != 0,
            })
        };
        let state = match state_name(&self.state)? {
            StateName::Queued => self
                .not_before
                .map(|not_before| State::Queued { not_before }),
            StateName::Leased => lease().map(State::Leased),
            StateName::Suspect => lease().map(State::Suspect),
            StateName::Succeeded => Some(State::Succeeded),
            StateName::Failed => self
                .fault
                .as_deref()
                .map(fault)
                .transpose()?
                .map(State::Failed),
            StateName::Cancelled => Some(State::Cancelled),
        };
        state.ok_or_else(|| Failure::Damaged(format!("job {} lacks columns", self.id)))
    }
}

/// Digests as one JSON array of hex texts, so that many fit into one statement.
pub(crate) fn hex_array<T: std::fmt::Display>(digests: impl IntoIterator<Item = T>) -> String {
    let texts: Vec<String> = digests
        .into_iter()
        .map(|digest| digest.to_string())
        .collect();
    json(&texts)
}

/// A measurement as four big-endian doubles: the numbers of [`COLUMNS`], with
/// NaN for an absent one, and the seconds.
pub(crate) fn measurement_bits(measurement: &Measurement) -> [u8; 32] {
    let columns = COLUMNS.map(|name| measurement.values.get(name).unwrap_or(f64::NAN));
    let numbers = columns.into_iter().chain([measurement.train_seconds]);
    let mut bits = [0; 32];
    for (place, number) in bits.chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_be_bytes());
    }
    bits
}

/// The measurement from these bits, its other metrics and weights.
pub(crate) fn measurement(
    bits: &[u8],
    others: Option<&str>,
    weights: Option<WeightsDigest>,
) -> Result<Measurement> {
    let [columns @ .., train_seconds] = numbers(bits)?;
    Ok(columns::measurement(
        train_seconds,
        columns,
        others,
        weights,
    )?)
}

/// The seconds in the measurement with these bits.
pub(crate) fn train_seconds(bits: &[u8]) -> Result<f64> {
    numbers(bits).map(|numbers| numbers[3])
}

fn numbers(bits: &[u8]) -> Result<[f64; 4]> {
    let (numbers, rest) = bits.as_chunks::<8>();
    match numbers {
        [a, b, c, d] if rest.is_empty() => Ok([*a, *b, *c, *d].map(f64::from_be_bytes)),
        _ => Err(Failure::Damaged(
            "a measurement is not four numbers".to_owned(),
        )),
    }
}
