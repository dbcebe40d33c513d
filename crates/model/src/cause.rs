//! Why a sweep is paused or a worker cordoned, as facts. [`std::fmt::Display`]
//! turns them into English text; no decision depends on that text.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::outcome::Fault;

/// Why a sweep is paused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PauseCause {
    /// An operator paused it.
    Operator,
    /// None of its jobs succeeded, and the first jobs that ended all failed
    /// alike.
    FailedAlike {
        /// How many jobs had failed by then.
        jobs: u64,
        /// The fault of each of these jobs.
        fault: Fault,
        /// The first line of the message of each of these faults.
        headline: String,
    },
    /// Its jobs failed; an older version of Swath stored this as text.
    Noted {
        /// That text.
        text: String,
    },
}

impl PauseCause {
    /// Whether its own failures paused it: then resuming alone would leave the
    /// failed jobs behind.
    pub const fn is_failure(&self) -> bool {
        !matches!(self, Self::Operator)
    }
}

impl fmt::Display for PauseCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator => f.write_str("paused by an operator"),
            Self::FailedAlike {
                jobs,
                fault,
                headline,
            } => write!(
                f,
                "its first {jobs} jobs all failed alike: {fault}: {headline}"
            ),
            Self::Noted { text } => f.write_str(text),
        }
    }
}

/// Why a worker is cordoned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CordonCause {
    /// An operator cordoned it.
    Operator,
    /// Different jobs failed on it in a row.
    FailedInARow {
        /// How many jobs.
        jobs: u64,
        /// The first line of what the last of them said; empty if an older version
        /// of Swath stored this.
        #[serde(default)]
        headline: String,
    },
    /// A cause that an older version of Swath stored as text.
    Noted {
        /// That text.
        text: String,
    },
}

impl fmt::Display for CordonCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator => f.write_str("cordoned by an operator"),
            Self::FailedInARow { jobs, headline } => {
                write!(f, "{jobs} different jobs failed on it in a row")?;
                if !headline.is_empty() {
                    write!(f, ", the last with: {headline}")?;
                }
                f.write_str("; look at its logs, then activate it")
            }
            Self::Noted { text } => f.write_str(text),
        }
    }
}
