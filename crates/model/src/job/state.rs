//! The states of a job.

use serde::{Deserialize, Serialize};

use crate::id::Owner;
use crate::outcome::Fault;
use crate::time::Timestamp;

/// Where a job is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waiting for a worker, from `not_before` on.
    Queued {
        /// The end of its backoff.
        not_before: Timestamp,
    },
    /// An attempt is under way.
    Leased(Lease),
    /// Its lease has passed; the attempt may still come back until `deadline`.
    Suspect(Lease),
    /// It has a measurement. It leaves this state only when its outcome is
    /// forgotten.
    Succeeded,
    /// It has no measurement and will get none; only an operator's retry leaves
    /// this state, or that its outcome is forgotten.
    Failed(Fault),
    /// No sweep needs it; only a retry or a new submit leaves this state.
    Cancelled,
}

/// The right of one worker session to run one attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The worker session that holds it.
    pub owner: Owner,
    /// When it was granted.
    pub granted_at: Timestamp,
    /// When it passes (leased), or when its grace is over (suspect).
    pub deadline: Timestamp,
    /// Whether the worker is to stop the attempt; it learns so at its next
    /// heartbeat.
    pub stop: bool,
}

/// The states without their data, for queries and counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateName {
    /// [`State::Queued`].
    Queued,
    /// [`State::Leased`].
    Leased,
    /// [`State::Suspect`].
    Suspect,
    /// [`State::Succeeded`].
    Succeeded,
    /// [`State::Failed`].
    Failed,
    /// [`State::Cancelled`].
    Cancelled,
}

impl StateName {
    /// Every state, in the order of a job's life.
    pub const ALL: [Self; 6] = [
        Self::Queued,
        Self::Leased,
        Self::Suspect,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Its name in the store, on the wire and in selectors.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Leased => "leased",
            Self::Suspect => "suspect",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether nothing but an operator changes it.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}
