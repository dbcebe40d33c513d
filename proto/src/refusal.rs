//! Why a call did not succeed, in a form that programs can read: a reason in
//! the metadata of the status, beside the message for people.

use std::error::Error;
use std::io;

use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use crate::LEADER;
use crate::secure::why_not;

/// The metadata key of a status that carries the [`Reason`].
pub const REASON: &str = "swath-reason";

/// Why a coordinator refuses a call, where the status code alone does not say
/// so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The session is not its worker's newest: the worker must say hello again.
    StaleSession,
    /// Another worker is alive under this name.
    NameTaken,
    /// Worker and coordinator use different protocols; trying again does not
    /// help.
    Protocol,
    /// The caller's certificate is taken no more: trying again does not help.
    Revoked,
    /// There is no such thing.
    NotFound,
    /// The request contradicts what exists.
    Conflict,
    /// Another coordinator leads, or none does at the moment.
    NotLeader,
    /// The worker that has what was asked for is not connected.
    WorkerAway,
    /// The store failed; nothing of the call was kept.
    StoreFailed,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 9] = [
        Self::StaleSession,
        Self::NameTaken,
        Self::Protocol,
        Self::Revoked,
        Self::NotFound,
        Self::Conflict,
        Self::NotLeader,
        Self::WorkerAway,
        Self::StoreFailed,
    ];

    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::StaleSession => "stale-session",
            Self::NameTaken => "name-taken",
            Self::Protocol => "protocol",
            Self::Revoked => "revoked",
            Self::NotFound => "not-found",
            Self::Conflict => "conflict",
            Self::NotLeader => "not-leader",
            Self::WorkerAway => "worker-away",
            Self::StoreFailed => "store-failed",
        }
    }

    /// The status code that goes with it.
    pub const fn code(self) -> Code {
        match self {
            Self::StaleSession | Self::NameTaken | Self::Protocol | Self::Conflict => {
                Code::FailedPrecondition
            }
            Self::Revoked => Code::Unauthenticated,
            Self::NotFound => Code::NotFound,
            Self::NotLeader | Self::WorkerAway => Code::Unavailable,
            Self::StoreFailed => Code::Internal,
        }
    }

    /// A status with this reason; `message` is for people.
    pub fn status(self, message: impl Into<String>) -> Status {
        self.status_as(self.code(), message)
    }

    /// A status with this reason and another code.
    pub fn status_as(self, code: Code, message: impl Into<String>) -> Status {
        let mut status = Status::new(code, message);
        let name = MetadataValue::from_static(self.name());
        status.metadata_mut().insert(REASON, name);
        status
    }

    /// The reason that a status carries; none if this version does not know it,
    /// or if the status did not come from a coordinator.
    pub fn of(status: &Status) -> Option<Self> {
        let name = status.metadata().get(REASON)?.to_str().ok()?;
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

/// The status of a coordinator that stands by. `leader` is the URL of the one
/// that leads.
pub fn not_leader(message: impl Into<String>, leader: Option<&str>) -> Status {
    let mut status = Reason::NotLeader.status(message);
    if let Some(Ok(leader)) = leader.map(str::parse) {
        status.metadata_mut().insert(LEADER, leader);
    }
    status
}

/// The result of a call that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No coordinator answered, for the reason in the text; another one may.
    Unanswered(String),
    /// The coordinator that answered stands by.
    Elsewhere {
        /// The URL of the one that leads, if this one knows it.
        leader: Option<String>,
        /// The message of the refusal.
        message: String,
    },
    /// A coordinator refused the call.
    Refused(Option<Reason>),
}

impl Refusal {
    /// Reads a status that is not a success.
    pub fn of(status: &Status) -> Self {
        // A coordinator's own answer comes without a cause.
        if status.source().is_some() {
            return Self::Unanswered(innermost(status));
        }
        let reason = Reason::of(status);
        match (reason, status.code()) {
            (Some(Reason::NotLeader), _) => Self::Elsewhere {
                leader: leader(status),
                message: status.message().to_owned(),
            },
            (Some(_), _) => Self::Refused(reason),
            // Something in between answered, such as a proxy without a
            // coordinator behind it.
            (None, Code::Unavailable) => Self::Unanswered(status.message().to_owned()),
            (None, Code::DeadlineExceeded | Code::Cancelled) => {
                Self::Unanswered("it did not answer in time".to_owned())
            }
            (None, _) => Self::Refused(None),
        }
    }
}

fn leader(status: &Status) -> Option<String> {
    let leader = status.metadata().get(LEADER)?.to_str().ok()?;
    Some(leader.to_owned())
}

/// The innermost reason of a broken connection: the outer ones only say
/// "transport error".
pub fn innermost(error: &(dyn Error + 'static)) -> String {
    if let Some(why) = why_not(error) {
        return why;
    }
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let ended = |error: &io::Error| error.kind() == io::ErrorKind::UnexpectedEof;
    match innermost.downcast_ref::<Status>() {
        Some(status) => status.message().to_owned(),
        // TLS has more to say of it, for programmers.
        None if innermost.downcast_ref().is_some_and(ended) => {
            "it closed the connection".to_owned()
        }
        None => innermost.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn reasons_keep_their_names() {
        for reason in Reason::ALL {
            let status = reason.status("words");
            assert_eq!(Reason::of(&status), Some(reason));
            assert_eq!(status.message(), "words");
        }
        assert_eq!(Reason::of(&Status::unavailable("not-leader")), None);
    }

    #[test]
    fn a_standby_names_the_leader() {
        let message = "another coordinator leads".to_owned();
        let told = Refusal::of(&not_leader(message.as_str(), Some("http://b:1")));
        let leader = Some("http://b:1".to_owned());
        assert_eq!(told, Refusal::Elsewhere { leader, message });
        let told = Refusal::of(&not_leader("none leads", None));
        assert!(matches!(told, Refusal::Elsewhere { leader: None, .. }));
    }

    #[test]
    fn who_broke_off_did_not_answer() {
        let reset = std::io::Error::from_raw_os_error(104);
        let mut broken = Status::unknown("transport error");
        broken.set_source(Arc::new(std::io::Error::other(reset)));
        let Refusal::Unanswered(why) = Refusal::of(&broken) else {
            panic!("{broken:?}");
        };
        assert!(why.contains("reset"), "{why}");
        let proxy = Refusal::of(&Status::unavailable("no upstream"));
        assert_eq!(proxy, Refusal::Unanswered("no upstream".to_owned()));
        let own = Reason::StoreFailed.status_as(Code::Unavailable, "disk full");
        let refused = Refusal::Refused(Some(Reason::StoreFailed));
        assert_eq!(Refusal::of(&own), refused);
        let wrong = Refusal::of(&Status::invalid_argument("field `x`"));
        assert_eq!(wrong, Refusal::Refused(None));
    }
}
