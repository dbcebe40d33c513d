//! What happened, as a sequence of events. An event is written in the commit
//! that causes it, kept for a while, and streamed to watchers.
//!
//! Events about sweeps and workers hold their state after the change, so seeing
//! one twice does no harm. Events about jobs say what happened to them.

use serde::{Deserialize, Serialize};

use crate::cause::{CordonCause, PauseCause};
use crate::id::{Attempt, JobDigest, SweepDigest, WorkerName};
use crate::job::StateName;
use crate::outcome::{Fault, Observation};
use crate::time::Timestamp;
use crate::view::{Counts, ReplicationView, SweepState, WorkerState};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The number of the event. Events are numbered from 1 without gaps.
    pub seq: u64,
    /// When it happened, on the coordinator's clock.
    pub at: Timestamp,
    /// The sweep that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sweep: Option<SweepDigest>,
    /// The job that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobDigest>,
    /// The attempt of that job, if it has had any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<Attempt>,
    /// The worker that it is about, or that had the attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerName>,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "body", rename_all = "snake_case")]
pub enum What {
    /// A sweep was submitted. An event with its state follows.
    SweepSubmitted,
    /// A sweep changed.
    SweepChanged {
        /// Its state before; absent if no event held it.
        was: Option<SweepState>,
        /// The sweep after the change.
        now: SweepNow,
    },
    /// What is said of a sweep changed: its name, its tags and the like.
    SweepLabelled,
    /// A sweep is gone, with the jobs that no other sweep holds.
    SweepDeleted,
    /// Jobs are gone, which no sweep holds any more: those of them that had an attempt.
    JobsDeleted {
        /// Which.
        jobs: Vec<JobDigest>,
    },
    /// A worker got a job.
    JobGranted,
    /// The lease of a job has passed; its attempt may still come back.
    JobSuspected,
    /// The attempt of a job came back after its lease was over.
    JobRecovered,
    /// A job is queued again.
    JobQueued(Requeued),
    /// A job succeeded.
    JobMeasured {
        /// Seconds that its training took.
        train_seconds: f64,
    },
    /// A job failed for good.
    JobFailed(Failed),
    /// A job was cancelled: no sweep wants it any more.
    JobCancelled,
    /// An attempt is to be stopped because no sweep wants its job any more, or
    /// is not to be stopped after all.
    JobStopping {
        /// Whether it is to be stopped.
        stop: bool,
    },
    /// The newest epoch that an attempt has reported.
    JobObserved(Observation),
    /// A worker began a session. An event with its state follows.
    WorkerJoined,
    /// A worker has ended its session. An event with its state follows.
    WorkerLeft,
    /// A worker that is gone is left out from now on.
    WorkerForgotten,
    /// A worker changed.
    WorkerChanged {
        /// The worker before; absent if no event held that.
        was: Option<WorkerNow>,
        /// The worker after the change.
        now: WorkerNow,
    },
}

impl What {
    /// The state of the job after this event, if the event says it.
    pub const fn job_state(&self) -> Option<StateName> {
        match self {
            Self::JobGranted | Self::JobRecovered => Some(StateName::Leased),
            Self::JobSuspected => Some(StateName::Suspect),
            Self::JobQueued(_) => Some(StateName::Queued),
            Self::JobMeasured { .. } => Some(StateName::Succeeded),
            Self::JobFailed(_) => Some(StateName::Failed),
            Self::JobCancelled => Some(StateName::Cancelled),
            Self::SweepSubmitted
            | Self::SweepLabelled
            | Self::SweepDeleted
            | Self::JobsDeleted { .. }
            | Self::SweepChanged { .. }
            | Self::JobStopping { .. }
            | Self::JobObserved(_)
            | Self::WorkerJoined
            | Self::WorkerLeft
            | Self::WorkerForgotten
            | Self::WorkerChanged { .. } => None,
        }
    }
}

/// The part of a sweep's view that can change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SweepNow {
    /// The state of the sweep.
    pub state: SweepState,
    /// Why it is paused; absent while it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<PauseCause>,
    /// The sweep's priority; sweeps with a greater one go first.
    pub priority: i32,
    /// How many of the sweep's jobs are in each state.
    pub counts: Counts,
    /// When its last job became final; absent while one is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// How far its replicates are decided, if results decide them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication: Option<ReplicationView>,
}

/// The part of a worker's view that can change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerNow {
    /// Whether it gets jobs.
    pub state: WorkerState,
    /// Why it is cordoned; absent while it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cordoned: Option<CordonCause>,
    /// How many attempts it holds.
    pub held: u64,
    /// How many slots these have; 0 in events that are older than this.
    #[serde(default)]
    pub slots_held: u64,
    /// How many different jobs failed on it in a row.
    pub failed_in_a_row: u32,
    /// Whether it is gone: it said goodbye, or has been silent for longer than a
    /// lease lasts.
    pub silent: bool,
}

/// Why a job is queued again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Requeued {
    /// Its attempt failed, and another one may do better.
    Faulted(Failed),
    /// Its worker was silent until the grace was over, or came back without it.
    Lost,
    /// Its worker gave it back.
    Released,
    /// Its worker never mentioned it.
    NeverMentioned,
    /// An operator retried it, or a sweep wants it again.
    Wanted,
    /// Its outcome was thrown away.
    Forgotten,
}

/// How an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// The fault.
    pub fault: Fault,
    /// The first line of its message.
    pub headline: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_reads_back_from_what_readers_get() {
        let event = Event {
            seq: 7,
            at: Timestamp::from_ms(12),
            sweep: None,
            job: Some(JobDigest::from_bytes([3; 32])),
            attempt: Some(Attempt(2)),
            worker: Some("node-1".parse().unwrap()),
            what: What::JobQueued(Requeued::Faulted(Failed {
                fault: Fault::Crashed,
                headline: "no data".to_owned(),
            })),
        };
        let text = serde_json::to_value(&event).unwrap();
        let job = "03".repeat(32);
        let wanted = serde_json::json!({
            "seq": 7, "at": 12, "job": job, "attempt": 2, "worker": "node-1",
            "kind": "job_queued",
            "body": { "why": "faulted", "fault": "crashed", "headline": "no data" },
        });
        assert_eq!(text, wanted);
        assert_eq!(serde_json::from_value::<Event>(text).unwrap(), event);
        let plain = Event {
            what: What::JobGranted,
            ..event
        };
        let text = serde_json::to_string(&plain).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), plain);
    }
}
