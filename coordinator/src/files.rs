//! What an attempt left, as a document.

use serde::{Deserialize, Serialize};
use swath_model::files::AttemptFiles;
use swath_model::id::{Attempt, WorkerName};
use swath_model::view::JobView;

/// Where the newest attempt of a job has its directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// The attempt.
    pub attempt: Attempt,
    /// Its worker.
    pub worker: WorkerName,
    /// The worker's host.
    pub host: String,
    /// The directory on that host.
    pub directory: String,
}

impl Left {
    /// In words.
    pub fn text(&self) -> String {
        let Self {
            attempt,
            worker,
            host,
            directory,
        } = self;
        format!(
            "attempt {attempt} leaves its files in {directory} on worker `{worker}` (host {host})"
        )
    }
}

/// What an attempt of one job left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Files {
    /// The version of the document.
    pub schema_version: u32,
    /// The job.
    pub job: JobView,
    /// Its attempts.
    pub attempts: Vec<Attempt>,
    /// What the attempt that was asked for left; absent where no attempt has
    /// begun.
    pub found: Option<AttemptFiles>,
    /// The time on the coordinator's clock.
    pub now_ms: i64,
}
