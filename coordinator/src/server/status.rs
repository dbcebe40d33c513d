//! Errors of the store as gRPC statuses.

pub(crate) use swath_core::error::causes;
use swath_proto::PROTOCOL_VERSION;
use swath_proto::refusal::{Reason, not_leader};
use swath_store::StoreError;
use tonic::{Code, Status};

/// The status of a store error for a command: it asked for something that does
/// not exist or is not allowed, or the store failed.
pub(crate) fn status(error: &StoreError) -> Status {
    match error {
        StoreError::StaleSession { .. } => {
            Reason::StaleSession.status(format!("stale session: {error}"))
        }
        StoreError::NotFound(_) => Reason::NotFound.status(error.to_string()),
        StoreError::Conflict(_) => Reason::Conflict.status(error.to_string()),
        StoreError::NotLeader { leader } => not_leader(error.to_string(), leader.as_deref()),
        StoreError::InUse(_) | StoreError::Failed { .. } => {
            tracing::error!(error = %causes(error), "store call failed");
            Reason::StoreFailed.status(causes(error))
        }
    }
}

/// The status of a store error for a worker: it must say hello again, give up
/// or, if the store failed, try again later.
pub(crate) fn worker_status(error: &StoreError) -> Status {
    let status = status(error);
    match Reason::of(&status) {
        Some(reason @ Reason::StoreFailed) => reason.status_as(Code::Unavailable, status.message()),
        _ => status,
    }
}

/// The status for a worker that uses another protocol, `theirs`.
pub(crate) fn other_protocol(theirs: u32) -> Status {
    Reason::Protocol.status(format!(
        "protocol: this coordinator speaks version {PROTOCOL_VERSION}, the worker version \
         {theirs}; install the same release on both"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_store_is_an_error_to_people_and_a_pause_to_workers() {
        let error = StoreError::Failed {
            message: "disk full".to_owned(),
            source: None,
        };
        assert_eq!(status(&error).code(), Code::Internal);
        assert_eq!(worker_status(&error).code(), Code::Unavailable);
        assert!(worker_status(&error).message().contains("disk full"));
        let error = StoreError::NotFound("worker `w`".to_owned());
        assert_eq!(worker_status(&error).code(), Code::NotFound);
    }

    #[test]
    fn programs_read_the_reason_and_not_the_words() {
        let failed = StoreError::Failed {
            message: "disk full".to_owned(),
            source: None,
        };
        let cases = [
            (failed, Reason::StoreFailed),
            (StoreError::NotFound("job".to_owned()), Reason::NotFound),
            (StoreError::Conflict("no".to_owned()), Reason::Conflict),
            (StoreError::NotLeader { leader: None }, Reason::NotLeader),
        ];
        for (error, reason) in cases {
            assert_eq!(Reason::of(&status(&error)), Some(reason), "{error}");
            assert_eq!(Reason::of(&worker_status(&error)), Some(reason), "{error}");
        }
    }
}
