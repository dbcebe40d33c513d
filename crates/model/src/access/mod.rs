//! Who may do what at a coordinator that others reach over a network.
//!
//! A person shows a token, a worker a certificate that it got for one. What each
//! may do follows from its role alone, and for what belongs to somebody from the
//! owner: [`Principal::reach`] is the whole rule.

mod credential;
mod token;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use self::credential::{Credential, CredentialId, Invalid, Secret, Standing};
pub use self::token::{TokenText, TokenTextError};
use crate::id::WorkerName;

/// What the holder of a credential may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads everything, changes nothing.
    Viewer,
    /// Reads everything, submits sweeps, and changes its own.
    Submitter,
    /// Does everything that people do.
    Admin,
    /// Trains. A token of this role is good for a certificate, and for nothing
    /// else.
    Worker,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Submitter, Self::Admin, Self::Worker];

    /// Its name, in commands and documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Submitter => "submitter",
            Self::Admin => "admin",
            Self::Worker => "worker",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that names no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no role; there are viewer, submitter, admin and worker")]
pub struct NoRole(String);

impl FromStr for Role {
    type Err = NoRole;

    fn from_str(text: &str) -> Result<Self, NoRole> {
        let found = Self::ALL.into_iter().find(|role| role.name() == text);
        found.ok_or_else(|| NoRole(text.to_owned()))
    }
}

/// What a call does, as far as it matters for who may make it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Deed {
    /// Asks whether the coordinator is there, or who one is oneself.
    Ask,
    /// Reads sweeps, jobs, results, logs, files and workers.
    Read,
    /// Sends a sweep, or files that are to travel with one.
    Submit,
    /// Changes sweeps or their jobs, which have an owner.
    ChangeSweep,
    /// Changes what everybody shares: workers.
    ChangeLab,
    /// Gives or takes access, or reads who has it.
    GiveAccess,
    /// Takes jobs and reports on them.
    Work,
    /// Gets a certificate for a token, or a new one for one that is about to
    /// expire.
    Enrol,
}

impl Deed {
    /// All deeds.
    pub const ALL: [Self; 8] = [
        Self::Ask,
        Self::Read,
        Self::Submit,
        Self::ChangeSweep,
        Self::ChangeLab,
        Self::GiveAccess,
        Self::Work,
        Self::Enrol,
    ];
}

/// How far a permission goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To what one owns.
    Own,
    /// To everything.
    All,
}

/// Who makes a call. It follows from the connection and the token, never from what
/// a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// Somebody on this machine, at a coordinator that only this machine reaches.
    Local,
    /// Somebody who has shown nothing.
    Anonymous,
    /// A person with a token.
    Person {
        /// The person's name.
        name: String,
        /// What the person may do.
        role: Role,
    },
    /// A worker with a certificate.
    Worker(WorkerName),
    /// A worker that has a token and no certificate yet.
    Newcomer {
        /// The token.
        token: CredentialId,
        /// The only name for which it is good, if it is bound to one.
        name: Option<WorkerName>,
    },
}

impl Principal {
    /// How far it may do something; none if it may not at all.
    pub fn reach(&self, deed: Deed) -> Option<Reach> {
        let all = Some(Reach::All);
        match (self, deed) {
            (_, Deed::Ask) | (Self::Local, _) => all,
            (Self::Anonymous, _) => None,
            (Self::Newcomer { .. }, Deed::Enrol) => all,
            (Self::Newcomer { .. }, _) => None,
            (Self::Worker(_), Deed::Work | Deed::Enrol) => Some(Reach::Own),
            (Self::Worker(_), _) => None,
            (Self::Person { role, .. }, deed) => role.reach(deed),
        }
    }

    /// Whether something of `owner` is its own. What has no owner is everybody's
    /// who is on this machine, and nobody's elsewhere.
    pub fn owns(&self, owner: &str) -> bool {
        match self {
            Self::Local => true,
            Self::Person { name, .. } => name == owner,
            Self::Anonymous | Self::Worker(_) | Self::Newcomer { .. } => false,
        }
    }

    /// Whether it may speak for a worker of this name.
    pub fn is_worker(&self, worker: &WorkerName) -> bool {
        match self {
            Self::Local => true,
            Self::Worker(name) => name == worker,
            Self::Anonymous | Self::Person { .. } | Self::Newcomer { .. } => false,
        }
    }

    /// The person's name, where there is one.
    pub fn person(&self) -> Option<&str> {
        match self {
            Self::Person { name, .. } => Some(name),
            _ => None,
        }
    }
}

impl Role {
    /// How far a person of this role may do something. A worker is no person.
    const fn reach(self, deed: Deed) -> Option<Reach> {
        match (self, deed) {
            (_, Deed::Ask) => Some(Reach::All),
            (Self::Worker, _) | (_, Deed::Work | Deed::Enrol) => None,
            (Self::Admin, _) | (_, Deed::Read) | (Self::Submitter, Deed::Submit) => {
                Some(Reach::All)
            }
            (Self::Submitter, Deed::ChangeSweep) => Some(Reach::Own),
            (Self::Submitter | Self::Viewer, _) => None,
        }
    }
}

/// For people and logs: who it is.
impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("somebody on this machine"),
            Self::Anonymous => f.write_str("somebody without a token or certificate"),
            Self::Person { name, role } => write!(f, "{name} ({role})"),
            Self::Worker(name) => write!(f, "worker {name}"),
            Self::Newcomer { token, .. } => write!(f, "a worker with the token {token}"),
        }
    }
}

#[cfg(test)]
mod tests;
