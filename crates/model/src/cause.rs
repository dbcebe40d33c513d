//! Why a sweep or a worker rests: facts. [`std::fmt::Display`] puts them into
//! English for whoever shows them; nothing decides by those words.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::outcome::Fault;

/// Why a sweep is paused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PauseCause {
    /// An operator said so.
    Operator,
    /// None of its jobs succeeded, and the first that came to an outcome all
    /// failed alike.
    FailedAlike {
        /// How many had failed by then.
        jobs: u64,
        /// The fault of each.
        fault: Fault,
        /// The first line of the message of each.
        headline: String,
    },
    /// Its jobs failed, as an older version of Swath noted it in words.
    Noted {
        /// Those words.
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
    /// An operator said so.
    Operator,
    /// Different jobs failed on it in a row.
    FailedInARow {
        /// How many.
        jobs: u64,
    },
    /// As an older version of Swath noted it in words.
    Noted {
        /// Those words.
        text: String,
    },
}

impl fmt::Display for CordonCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator => f.write_str("cordoned by an operator"),
            Self::FailedInARow { jobs } => write!(
                f,
                "{jobs} different jobs failed on it in a row; look at its logs, then activate it"
            ),
            Self::Noted { text } => f.write_str(text),
        }
    }
}
