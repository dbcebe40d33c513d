//! What can happen to a job, and what follows.

use crate::id::{Attempt, Owner, SessionId, WorkerName};
use crate::outcome::Outcome;

/// What can happen to a job.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// A worker session takes the job.
    Grant {
        /// The worker in its session.
        owner: Owner,
    },
    /// The owner says that it is running this attempt.
    Heartbeat {
        /// The attempt.
        attempt: Attempt,
        /// The worker session that reports it.
        owner: Owner,
    },
    /// The worker, in a new session, says that it still holds this attempt.
    Claim {
        /// The attempt.
        attempt: Attempt,
        /// The worker in its new session.
        owner: Owner,
    },
    /// The worker that holds it came back in a newer session, without it.
    SessionLost {
        /// The new session.
        newer: SessionId,
    },
    /// The sweeper checks what is due.
    Tick,
    /// The owner reports the attempt's outcome.
    Finish {
        /// The attempt.
        attempt: Attempt,
        /// The worker session that reports it.
        owner: Owner,
        /// The outcome of the attempt.
        outcome: &'a Outcome,
        /// A random number in 0..1, for the backoff.
        unit: f64,
    },
    /// The owner gives the attempt back: drained, told to stop, or not able to
    /// run it.
    Release {
        /// The attempt.
        attempt: Attempt,
        /// The worker session that reports it.
        owner: Owner,
        /// Whether the grant does not count: its host lacks something of the job,
        /// and hosts that cannot run a job could use up its attempts; or the
        /// worker never heard of it.
        uncounted: bool,
    },
    /// The coordinator takes back a grant that its worker does not mention.
    TakeBack {
        /// The attempt of that grant.
        attempt: Attempt,
        /// Whether the grant does not count: the worker has never mentioned it, so
        /// it has not arrived, and what a network loses could use up the attempts
        /// of a job that was never started.
        uncounted: bool,
    },
    /// The coordinator starts: no lease may pass for the time it was away.
    Restart,
    /// The coordinator or its store was away for a while: the lease lives on
    /// for at least one ttl.
    Extend,
    /// No live sweep needs the job any more.
    Cancel,
    /// A sweep needs the job (again).
    Want,
    /// An operator wants the job to be tried again.
    Retry,
    /// Its owner throws its outcome away, which is of something else than its
    /// name says.
    Forget,
    /// A charged fault turned out to be its worker's, not the job's.
    Uncharge {
        /// The worker that was cordoned.
        worker: WorkerName,
    },
}

/// What an event did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The job changed, or was confirmed in its state.
    Changed,
    /// Nothing was to be done: the event does not concern the state that the
    /// job is in.
    Unchanged,
}

/// Why an event was refused. The job is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The attempt or the session is not the newest, or the job has moved on
    /// without it.
    #[error("stale: a newer attempt, a newer session or a final state stands")]
    Stale,
    /// The job is not waiting.
    #[error("not waiting for a worker")]
    NotQueued,
    /// The job waits for the end of its backoff.
    #[error("waiting for the end of its backoff")]
    BackingOff,
    /// A succeeded job is never trained again, unless its outcome is forgotten.
    #[error("already succeeded")]
    Succeeded,
    /// The job has no outcome that counts: it failed otherwise than by
    /// divergence, or was cancelled.
    #[error("no outcome that counts")]
    NoOutcome,
    /// The job is still under way.
    #[error("not final yet")]
    NotFinal,
    /// The measurement is not finite.
    #[error("a measurement that is not finite")]
    NotFinite,
}
