//! Writes the events that matter to an operator to the log.

use swath_model::event::{Event, Requeued, What};
use swath_model::id::{JobDigest, SweepDigest, WorkerName};
use swath_model::outcome::Fault;
use swath_model::view::{SweepState, WorkerState};

/// Those of a batch's events for which [`log`] writes a line. That a worker is gone
/// which said goodbye is no news. An event about a job is no sweep's; `sweep_of` names one that
/// holds the job, because people look for it by that.
pub(crate) fn told(
    events: &[Event],
    sweep_of: impl Fn(JobDigest) -> Option<SweepDigest>,
) -> Vec<Event> {
    let left = |worker: &Option<WorkerName>| {
        let mut left = events.iter().filter(|it| it.what == What::WorkerLeft);
        left.any(|it| it.worker == *worker)
    };
    let is_news = |event: &&Event| match event.what {
        What::WorkerChanged { .. } => is_told(event) && !left(&event.worker),
        _ => is_told(event),
    };
    let told = events.iter().filter(is_news).cloned();
    let named = told.map(|event| Event {
        sweep: event.sweep.or_else(|| sweep_of(event.job?)),
        ..event
    });
    named.collect()
}

fn is_told(event: &Event) -> bool {
    match &event.what {
        What::JobSuspected | What::JobRecovered => true,
        What::JobQueued(why) => matches!(why, Requeued::Lost | Requeued::NeverMentioned),
        What::JobFailed(failed) => failed.fault != Fault::Diverged,
        What::SweepChanged { was, now } => {
            *was != Some(now.state) && now.state != SweepState::Active
        }
        What::WorkerChanged { was, now } => was.as_ref().is_some_and(|was| {
            was.silent != now.silent || (was.state != now.state && now.cordoned.is_some())
        }),
        What::SweepSubmitted
        | What::SweepLabelled
        | What::SweepDeleted
        | What::JobsDeleted { .. }
        | What::JobGranted
        | What::JobMeasured { .. }
        | What::JobCancelled
        | What::JobStopping { .. }
        | What::JobObserved(_)
        | What::WorkerJoined
        | What::WorkerLeft
        | What::WorkerForgotten => false,
    }
}

/// Writes an event to the log, in one line with all names.
pub(crate) fn log(event: &Event) {
    let job = event.job.as_ref().map(JobDigest::short);
    let sweep = event.sweep.as_ref().map(SweepDigest::short);
    let (job, sweep) = (job.as_deref(), sweep.as_deref());
    let attempt = event.attempt.map(|attempt| attempt.0);
    let worker = event.worker.as_ref().map(WorkerName::as_str);
    match &event.what {
        What::JobSuspected => {
            let why = "the worker has not renewed it in time";
            tracing::warn!(
                sweep,
                job,
                attempt,
                worker,
                why,
                "the lease is over; the attempt may come back"
            );
        }
        What::JobRecovered => {
            tracing::info!(sweep, job, attempt, worker, "the attempt came back");
        }
        What::JobQueued(Requeued::NeverMentioned) => {
            tracing::warn!(
                sweep,
                job,
                attempt,
                worker,
                "the worker never mentioned the job; it waits again"
            );
        }
        What::JobQueued(_) => {
            let why = "its worker was not heard from before lease and grace were over";
            tracing::warn!(
                sweep,
                job,
                attempt,
                worker,
                why,
                "the attempt is lost; the job waits again"
            );
        }
        What::JobFailed(failed) => {
            let (fault, why) = (failed.fault.name(), &*failed.headline);
            tracing::warn!(sweep, job, attempt, worker, fault, why, "the job failed");
        }
        What::SweepChanged { now, .. } => match (now.state, &now.paused) {
            (SweepState::Paused, Some(why)) => tracing::warn!(sweep, %why, "the sweep is paused"),
            (state, _) => tracing::info!(sweep, ?state, "the sweep is over"),
        },
        What::WorkerChanged { was, now } => {
            let was_silent = was.as_ref().is_some_and(|was| was.silent);
            match (now.state, &now.cordoned) {
                _ if now.silent && !was_silent => {
                    tracing::warn!(worker, "the worker is not heard from");
                }
                _ if was_silent && !now.silent => {
                    tracing::info!(worker, "the worker is heard from again");
                }
                (WorkerState::Cordoned, Some(why)) => {
                    tracing::warn!(worker, %why, "the worker is cordoned");
                }
                _ => {}
            }
        }
        What::SweepSubmitted
        | What::SweepLabelled
        | What::SweepDeleted
        | What::JobsDeleted { .. }
        | What::JobGranted
        | What::JobMeasured { .. }
        | What::JobCancelled
        | What::JobStopping { .. }
        | What::JobObserved(_)
        | What::WorkerJoined
        | What::WorkerLeft
        | What::WorkerForgotten => {}
    }
}
