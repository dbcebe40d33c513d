//! One line of the spool: a checksum and a JSON record.

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use swath_model::id::{Attempt, JobDigest};
use swath_model::message::{Finish, Held, Report};
use swath_model::outcome::{Observation, Outcome, Provenance};

use swath_agent::Entry;

/// Hex digits of the checksum before each record.
const CHECKSUM_DIGITS: usize = 16;

/// The content of a line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub(super) enum Record {
    /// An attempt ended.
    Outcome(Box<Ended>),
    /// The coordinator has the outcome.
    Acknowledged {
        job: JobDigest,
        attempt: Attempt,
        /// The time by the worker's clock; it only decides how long the outcome
        /// is kept.
        at_ms: u64,
    },
    /// No content: checks whether the disk can be written again.
    Probe,
}

/// An outcome, with what was not yet reported about its attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Ended {
    job: JobDigest,
    attempt: Attempt,
    outcome: Outcome,
    #[serde(default)]
    provenance: Provenance,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reports: Vec<Kept>,
    /// What proves that the attempt was this worker's, in hex digits.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    lease: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Kept {
    #[serde(default)]
    observations: Vec<Observation>,
    #[serde(default)]
    log_sequence: u64,
    #[serde(default)]
    log: String,
}

impl Ended {
    /// An outcome with the lease of its attempt, which may be empty.
    pub(super) fn new(entry: &Entry, lease: &[u8]) -> Self {
        let finish = &entry.finish;
        let kept = |report: &Report| Kept {
            observations: report.observations.clone(),
            log_sequence: report.log_sequence,
            log: report.log.clone(),
        };
        Self {
            job: finish.held.job,
            attempt: finish.held.attempt,
            outcome: finish.outcome.clone(),
            provenance: finish.provenance.clone(),
            reports: entry.reports.iter().map(kept).collect(),
            lease: HEXLOWER.encode(lease),
        }
    }

    /// The lease of its attempt; empty where there is none.
    pub(super) fn lease(&self) -> Vec<u8> {
        HEXLOWER.decode(self.lease.as_bytes()).unwrap_or_default()
    }

    pub(super) fn into_entry(self) -> Entry {
        let held = Held {
            job: self.job,
            attempt: self.attempt,
        };
        let report = |kept: Kept| Report {
            held,
            observations: kept.observations,
            log_sequence: kept.log_sequence,
            log: kept.log,
        };
        Entry {
            finish: Finish {
                held,
                outcome: self.outcome,
                provenance: self.provenance,
            },
            reports: self.reports.into_iter().map(report).collect(),
        }
    }
}

/// Appends the record's line to `out`.
pub(super) fn write(record: &Record, out: &mut Vec<u8>) -> serde_json::Result<()> {
    let json = serde_json::to_vec(record)?;
    out.extend_from_slice(checksum(&json).as_bytes());
    out.push(b' ');
    out.extend_from_slice(&json);
    out.push(b'\n');
    Ok(())
}

/// Reads a line without its newline; none if it is damaged.
pub(super) fn read(line: &[u8]) -> Option<Record> {
    let (sum, rest) = line.split_at_checked(CHECKSUM_DIGITS)?;
    let json = rest.strip_prefix(b" ")?;
    if checksum(json).as_bytes() != sum {
        return None;
    }
    serde_json::from_slice(json).ok()
}

fn checksum(json: &[u8]) -> String {
    let mut digits = blake3::hash(json).to_hex().to_string();
    digits.truncate(CHECKSUM_DIGITS);
    digits
}
