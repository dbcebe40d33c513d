//! Errors of the store as gRPC statuses.

pub(crate) use swath_core::error::causes;
use swath_store::StoreError;
use tonic::{Code, Status};

/// What a store error means for a command: whether it asked for something that
/// is not there or not allowed, or whether the store failed.
pub(crate) fn status(error: &StoreError) -> Status {
    match error {
        StoreError::StaleSession { .. } => {
            Status::failed_precondition(format!("stale session: {error}"))
        }
        StoreError::NotFound(_) => Status::not_found(error.to_string()),
        StoreError::Conflict(_) => Status::failed_precondition(error.to_string()),
        StoreError::NotLeader { leader } => not_leader(error, leader.as_deref()),
        StoreError::InUse(_) | StoreError::Failed { .. } => {
            tracing::error!(error = %causes(error), "store call failed");
            Status::internal(causes(error))
        }
    }
}

/// That another coordinator is to be asked, and which.
fn not_leader(error: &StoreError, leader: Option<&str>) -> Status {
    let mut status = Status::unavailable(error.to_string());
    if let Some(Ok(leader)) = leader.map(str::parse) {
        status.metadata_mut().insert(swath_proto::LEADER, leader);
    }
    status
}

/// What a store error means for a worker: whether to say hello again, to give
/// up, or, when the store failed, to try again later.
pub(crate) fn worker_status(error: &StoreError) -> Status {
    let status = status(error);
    match status.code() {
        Code::Internal => Status::unavailable(status.message()),
        _ => status,
    }
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
}
