//! A status that the events of a coordinator keep up to date, so that not
//! everything has to be read again.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use swath_model::event::{Event, Failed, Requeued, What};
use swath_model::id::{JobDigest, SweepDigest};
use swath_model::job::StateName;
use swath_model::time::Timestamp;
use swath_model::view::{JobView, SweepView};

use crate::api::{FAILED_SHOWN, OPEN_SHOWN, Pace, Status};
use crate::eta;

/// What a watcher receives: what happened since the last time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct News {
    /// The schema version of the document.
    pub schema_version: u32,
    /// The events, in order.
    pub events: Vec<Event>,
    /// The number of the newest event up to which everything has been sent.
    pub last: u64,
    /// Whether earlier events are no longer kept or were too many, so that what
    /// they changed has to be read.
    pub gone: bool,
    /// The time on the coordinator's clock.
    pub now_ms: i64,
}

/// What to do after some news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folded {
    /// The status is up to date, except perhaps for the [`Live::unknown`] jobs.
    Known,
    /// The status has no place for something that happened: read it again.
    Reread,
}

/// A status that is kept up to date with the events after it.
#[derive(Clone, Debug)]
pub struct Live {
    status: Status,
    /// Whether it is about every sweep, including future ones.
    all: bool,
    /// Jobs that belong in the status and have not been read yet.
    unknown: BTreeSet<JobDigest>,
}

impl Live {
    /// Starts from this status, which is of every sweep or of some.
    pub const fn new(status: Status, all: bool) -> Self {
        Self {
            status,
            all,
            unknown: BTreeSet::new(),
        }
    }

    /// The status now.
    pub const fn status(&self) -> &Status {
        &self.status
    }

    /// The number of the newest event that the status contains.
    pub const fn last(&self) -> u64 {
        self.status.last_event
    }

    /// Jobs that belong in the status but are known only by their digest. They
    /// must be read, and then [learnt](Self::learn).
    pub fn unknown(&self) -> Vec<JobDigest> {
        self.unknown.iter().copied().collect()
    }

    /// Applies what happened. An event that was applied before changes nothing.
    pub fn fold(&mut self, news: &News) -> Folded {
        let mut folded = if news.gone {
            Folded::Reread
        } else {
            Folded::Known
        };
        for event in &news.events {
            if event.seq > self.status.last_event && self.take(event) == Folded::Reread {
                folded = Folded::Reread;
            }
        }
        self.status.last_event = self.status.last_event.max(news.last);
        self.status.now_ms = news.now_ms;
        self.estimate();
        folded
    }

    /// Moves the clock on when nothing happened.
    pub fn wait(&mut self, now_ms: i64) {
        self.status.now_ms = self.status.now_ms.max(now_ms);
    }

    fn take(&mut self, event: &Event) -> Folded {
        match (&event.what, event.job) {
            (What::SweepSubmitted, _) if self.all => return Folded::Reread,
            // What the worker reports about itself may be new.
            (What::WorkerJoined | What::WorkerForgotten, _) => return Folded::Reread,
            (What::SweepLabelled | What::SweepDeleted, _) => {
                let mut sweeps = self.status.sweeps.iter();
                if sweeps.any(|view| Some(view.digest) == event.sweep) {
                    return Folded::Reread;
                }
            }
            // Events about their sweeps follow.
            (What::SweepSubmitted | What::JobsDeleted { .. }, _) => {}
            (What::SweepChanged { now, .. }, _) => {
                let mut sweeps = self.status.sweeps.iter_mut();
                if let Some(view) = sweeps.find(|view| Some(view.digest) == event.sweep) {
                    view.state = now.state;
                    view.paused.clone_from(&now.paused);
                    view.priority = now.priority;
                    view.counts = now.counts;
                    view.finished_at = now.finished_at;
                    view.replication = now.replication;
                }
            }
            // An event with its state follows.
            (What::WorkerLeft, _) => {}
            // Other jobs may wait in vain now.
            (
                What::WorkerChanged {
                    was: Some(was),
                    now,
                },
                _,
            ) if (was.state, was.silent) != (now.state, now.silent) => {
                return Folded::Reread;
            }
            (What::WorkerChanged { now, .. }, _) => {
                let mut workers = self.status.workers.iter_mut();
                if let Some(view) = workers.find(|view| Some(&view.name) == event.worker.as_ref()) {
                    view.state = now.state;
                    view.cordoned.clone_from(&now.cordoned);
                    view.held = now.held;
                    view.slots_held = Some(now.slots_held.max(now.held));
                    // Events do not tell it, and it may be another one.
                    view.kept = None;
                    view.failed_in_a_row = now.failed_in_a_row;
                    view.silent = now.silent;
                }
            }
            (What::JobGranted | What::JobRecovered | What::JobSuspected, Some(job)) => {
                self.opened(event, job);
            }
            (What::JobObserved(observation), Some(job)) => {
                if let Some(view) = self.open_mut(job) {
                    view.progress = Some(observation.clone());
                }
            }
            (What::JobStopping { stop }, Some(job)) => {
                if let Some(view) = self.open_mut(job) {
                    view.stop = *stop;
                }
            }
            (What::JobFailed(failed), Some(job)) => self.failed(event, job, failed),
            (What::JobMeasured { train_seconds }, Some(job)) => {
                if let Some(view) = self.closed(job) {
                    self.took(&view.holders, *train_seconds);
                }
            }
            (What::JobQueued(why), Some(job)) => {
                self.closed(job);
                // It may have been among the last failures, or taught how long they take.
                let failed = self.status.failed.iter().any(|view| view.digest == job);
                if failed || *why == Requeued::Forgotten {
                    return Folded::Reread;
                }
            }
            (What::JobCancelled, Some(job)) => {
                self.closed(job);
            }
            (_, None) => {}
        }
        Folded::Known
    }

    fn open_mut(&mut self, job: JobDigest) -> Option<&mut JobView> {
        self.status.open.iter_mut().find(|view| view.digest == job)
    }

    fn opened(&mut self, event: &Event, job: JobDigest) {
        let state = event.what.job_state().unwrap_or(StateName::Leased);
        let granted = event.what == What::JobGranted;
        if let Some(view) = self.open_mut(job) {
            view.state = state;
            if granted {
                view.granted_at = Some(event.at);
                view.worker.clone_from(&event.worker);
                view.devices = None;
                view.attempt = event.attempt.unwrap_or(view.attempt);
                view.progress = None;
            }
        } else {
            self.unknown.insert(job);
        }
    }

    /// Removes a job that is not running any more.
    fn closed(&mut self, job: JobDigest) -> Option<JobView> {
        self.unknown.remove(&job);
        let place = self
            .status
            .open
            .iter()
            .position(|view| view.digest == job)?;
        Some(self.status.open.remove(place))
    }

    fn failed(&mut self, event: &Event, job: JobDigest, failed: &Failed) {
        let Some(view) = self.closed(job) else {
            self.unknown.insert(job);
            return;
        };
        self.note_failed(JobView {
            state: StateName::Failed,
            fault: Some(failed.fault),
            message: failed.headline.clone(),
            ended_at: Some(event.at),
            deadline: None,
            stop: false,
            ..view
        });
    }

    fn note_failed(&mut self, view: JobView) {
        let failed = &mut self.status.failed;
        failed.retain(|known| known.digest != view.digest);
        let later = failed.partition_point(|known| known.ended_at > view.ended_at);
        failed.insert(later, view);
        failed.truncate(FAILED_SHOWN as usize);
    }

    /// Records how long a training of these sweeps took.
    fn took(&mut self, holders: &[SweepDigest], seconds: f64) {
        for holder in holders {
            let known = self.status.sweeps.iter().any(|view| view.digest == *holder);
            if known && seconds.is_finite() {
                let pace = self.status.paces.entry(*holder).or_default();
                *pace = pace.and(seconds);
            }
        }
    }

    /// Adds jobs that were unknown. A job that is gone meanwhile is left out.
    pub fn learn(&mut self, views: Vec<JobView>) {
        self.unknown.clear();
        for view in views {
            let sweeps = &self.status.sweeps;
            let held = |sweep: &SweepView| view.holders.contains(&sweep.digest);
            if !sweeps.iter().any(held) {
                continue;
            }
            match view.state {
                StateName::Leased | StateName::Suspect => {
                    let most = OPEN_SHOWN as usize;
                    if self.open_mut(view.digest).is_none() && self.status.open.len() < most {
                        self.status.open.push(view);
                    }
                }
                StateName::Failed => self.note_failed(view),
                StateName::Queued | StateName::Succeeded | StateName::Cancelled => {}
            }
        }
        self.estimate();
    }

    /// Estimates when sweeps will be finished, from what is known now.
    fn estimate(&mut self) {
        let status = &self.status;
        let now = Timestamp::from_ms(status.now_ms);
        let slots = eta::slots_at_work(&status.workers);
        let estimate = |sweep: &SweepView| {
            let Pace { seconds, .. } = status.paces.get(&sweep.digest)?;
            if status.lacks.contains_key(&sweep.digest) {
                return None;
            }
            let eta = eta::of_sweep(sweep, Some(*seconds), &status.open, slots, now)?;
            Some((sweep.digest, eta.as_secs_f64()))
        };
        let open = status.sweeps.iter().filter(|sweep| sweep.is_open());
        self.status.eta_seconds = open.filter_map(estimate).collect();
    }
}

#[cfg(test)]
mod tests;
