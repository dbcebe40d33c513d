//! Errors of the store as gRPC statuses.

use swath_store::StoreError;
use tonic::Status;

/// The status that tells a caller what a store error means for it: whether to
/// say hello again, to give up, or to try again later.
pub(crate) fn status(error: &StoreError) -> Status {
    match error {
        StoreError::StaleSession { .. } => {
            Status::failed_precondition(format!("stale session: {error}"))
        }
        StoreError::NotFound(_) => Status::not_found(error.to_string()),
        StoreError::Conflict(_) => Status::failed_precondition(error.to_string()),
        StoreError::InUse(_) | StoreError::Failed { .. } => {
            tracing::error!(error = %causes(error), "store call failed");
            Status::unavailable(causes(error))
        }
    }
}

/// An error and its causes in one line.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
