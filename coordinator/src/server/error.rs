//! Why a call did not succeed, whatever transport it came by. Only the edge
//! turns this into a gRPC status.

use std::fmt::Display;

pub(crate) use swath_model::error::causes;
use swath_model::limits::ERROR_BYTES_MAX;
use swath_model::text::cut;
use swath_proto::refusal::{Reason, not_leader};
use swath_store::StoreError;
use tonic::{Code, Status};

/// Why a call did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ApiError {
    /// The thing does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The call contradicts what exists.
    #[error("{0}")]
    Conflict(String),
    /// The call asks for something invalid: one problem per line.
    #[error("{0}")]
    Invalid(String),
    /// The caller may not do that.
    #[error("{0}")]
    Denied(String),
    /// The session is not the newest of its worker.
    #[error("stale session: {0}")]
    Stale(String),
    /// Another worker is alive under this name.
    #[error("{0}")]
    NameTaken(String),
    /// Another coordinator leads, or none does at the moment.
    #[error("{message}")]
    NotLeader {
        /// The text for people.
        message: String,
        /// The address of the leader.
        leader: Option<String>,
    },
    /// The worker that has what was asked for is not connected.
    #[error("{0}")]
    WorkerAway(String),
    /// The store failed; nothing of the call was kept.
    #[error("{0}")]
    StoreFailed(String),
    /// The coordinator failed.
    #[error("{0}")]
    Internal(String),
}

impl ApiError {
    pub(crate) fn not_found(why: impl Display) -> Self {
        Self::NotFound(why.to_string())
    }

    pub(crate) fn conflict(why: impl Display) -> Self {
        Self::Conflict(why.to_string())
    }

    pub(crate) fn invalid(why: impl Display) -> Self {
        Self::Invalid(why.to_string())
    }

    pub(crate) fn internal(why: impl Display) -> Self {
        Self::Internal(why.to_string())
    }

    /// Whether it is about the thing that was to be changed, so that others can
    /// be changed all the same.
    const fn is_of_one_thing(&self) -> bool {
        matches!(self, Self::NotFound(_) | Self::Conflict(_))
    }

    /// Notes a refusal of one thing among several.
    ///
    /// # Errors
    ///
    /// Any other error: the rest would meet it too.
    pub(crate) fn set_aside(self, refusals: &mut Vec<Self>) -> Result<(), Self> {
        if !self.is_of_one_thing() {
            return Err(self);
        }
        refusals.push(self);
        Ok(())
    }

    /// The error where everything was refused; none where nothing was.
    pub(crate) fn together(refusals: &[Self]) -> Option<Self> {
        let lines: Vec<String> = refusals.iter().map(ToString::to_string).collect();
        let lines = lines.join("\n");
        refusals.first().map(|first| match first {
            Self::NotFound(_) => Self::NotFound(lines),
            _ => Self::Conflict(lines),
        })
    }

    /// The status for a worker. If the store failed, it tells the worker to try
    /// again later.
    pub(crate) fn for_worker(self) -> Status {
        match self {
            Self::StoreFailed(why) => Reason::StoreFailed.status_as(Code::Unavailable, why),
            other => other.into(),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::StaleSession { .. } => Self::Stale(error.to_string()),
            StoreError::NameTaken { .. } => Self::NameTaken(error.to_string()),
            StoreError::NotFound(_) => Self::NotFound(error.to_string()),
            StoreError::Conflict(_) => Self::Conflict(error.to_string()),
            StoreError::NotLeader { ref leader } => Self::NotLeader {
                leader: leader.clone(),
                message: error.to_string(),
            },
            StoreError::InUse(_) | StoreError::Failed { .. } => {
                let why = causes(&error);
                tracing::error!(error = %why, "store call failed");
                Self::StoreFailed(why)
            }
        }
    }
}

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Self {
        let message = cut(error.to_string(), ERROR_BYTES_MAX);
        match error {
            ApiError::NotFound(_) => Reason::NotFound.status(message),
            ApiError::Conflict(_) => Reason::Conflict.status(message),
            ApiError::Invalid(_) => Self::invalid_argument(message),
            ApiError::Denied(_) => Self::permission_denied(message),
            ApiError::Stale(_) => Reason::StaleSession.status(message),
            ApiError::NameTaken(_) => Reason::NameTaken.status(message),
            ApiError::NotLeader { leader, .. } => not_leader(message, leader.as_deref()),
            ApiError::WorkerAway(_) => Reason::WorkerAway.status(message),
            ApiError::StoreFailed(_) => Reason::StoreFailed.status(message),
            ApiError::Internal(_) => Self::internal(message),
        }
    }
}

/// The status for a worker whose call the engine refused.
pub(crate) fn worker_status(error: StoreError) -> Status {
    ApiError::from(error).for_worker()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk_full() -> StoreError {
        StoreError::Failed {
            message: "disk full".to_owned(),
            source: None,
        }
    }

    #[test]
    fn a_failed_store_is_an_error_to_people_and_a_pause_to_workers() {
        let status = Status::from(ApiError::from(disk_full()));
        assert_eq!(status.code(), Code::Internal);
        let status = worker_status(disk_full());
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.message().contains("disk full"));
        let error = StoreError::NotFound("worker `w`".to_owned());
        assert_eq!(worker_status(error).code(), Code::NotFound);
    }

    #[test]
    fn programs_read_the_reason_and_not_the_words() {
        let taken = || StoreError::NameTaken {
            worker: "gpu1".parse().unwrap(),
            host: "lab3".to_owned(),
            pid: 4711,
            silent_s: 2,
            free_after_s: 60,
        };
        insta::assert_snapshot!(worker_status(taken()).message(), @"another worker is connected under the name `gpu1` (from lab3, process 4711, last heard of 2 s ago); give this one a name of its own: --name. If the other one is gone, its name is free 60 s after its last word, or at once with --take-name");
        let cases: [(fn() -> StoreError, Reason); 5] = [
            (taken, Reason::NameTaken),
            (disk_full, Reason::StoreFailed),
            (|| StoreError::NotFound("job".to_owned()), Reason::NotFound),
            (|| StoreError::Conflict("no".to_owned()), Reason::Conflict),
            (|| StoreError::NotLeader { leader: None }, Reason::NotLeader),
        ];
        for (error, reason) in cases {
            let status = Status::from(ApiError::from(error()));
            assert_eq!(Reason::of(&status), Some(reason));
            assert_eq!(Reason::of(&worker_status(error())), Some(reason));
        }
    }
}
