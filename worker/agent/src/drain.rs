//! The end of a worker: it takes no new jobs, stops trainers, gives attempts
//! back and delivers outcomes.

use std::time::Duration;

use swath_model::id::Owner;

use super::Agent;
use super::event::{Effect, Exit};

/// The share of the drain's time that trainers have to stop; the rest is for
/// delivering.
const TRAINERS_SHARE: f64 = 0.8;

/// After this many failed calls in a row, a drain does not wait for the
/// coordinator.
const FAILURES_MAX: u32 = 2;

/// A drain under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drain {
    deadline: Duration,
}

impl Agent {
    pub(super) fn signal(&mut self) {
        if self.drain.is_some() {
            tracing::warn!("a second signal: ending at once");
            self.exit(Exit::Interrupted);
        } else {
            self.begin_drain("signal");
        }
    }

    pub(super) fn ordered_to_drain(&mut self, ordered: bool) {
        if ordered && self.drain.is_none() {
            self.begin_drain("ordered by the operator");
        }
    }

    pub(super) fn begin_drain(&mut self, reason: &str) {
        tracing::info!(reason, outcomes = self.outbox.len(), "draining");
        self.drain = Some(Drain {
            deadline: self.now + self.drain_time,
        });
        self.withdraw_fetch();
        while let Some(job) = self.waiting.pop_front() {
            self.releases.push(job.held.into());
        }
        let grace = self.drain_time.mul_f64(TRAINERS_SHARE);
        for slot in &mut self.slots {
            if let Some(running) = slot.running.as_mut() {
                running.stopping = true;
            }
            let Some(child) = slot.child.as_mut().filter(|child| !child.ending) else {
                continue;
            };
            child.ending = true;
            self.effects.push(Effect::Stop {
                child: child.id,
                grace,
            });
        }
    }

    /// The session to end when the worker has ended and its children are gone, so
    /// that what it still holds waits again at once. None where an outcome is left
    /// to be delivered: the next start claims its attempt. None either where nobody
    /// would hear it.
    pub fn parting(&self) -> Option<Owner> {
        let owner = self.owner()?;
        let heard = self.away.is_none();
        (self.exited && heard && self.outbox.is_empty()).then_some(owner)
    }

    /// Ends when everything is done, or when it cannot be done in time.
    pub(super) fn drained(&mut self) {
        let Some(drain) = self.drain else { return };
        if self.exited {
            return;
        }
        let stopped = self.slots.iter().all(|slot| slot.child.is_none());
        let delivered = self.outbox.is_empty() && !self.gives_back();
        let asking = self.fetching.is_some() || self.delivering.is_some();
        let failures = [
            &self.hello,
            &self.fetch,
            &self.deliver,
            &self.release,
            &self.observe,
        ]
        .into_iter()
        .map(|lane| lane.failures)
        .max();
        let away = failures.unwrap_or(0) >= FAILURES_MAX && self.outbox.is_safe();
        let done = stopped && ((delivered && !asking) || away);
        if !done && self.now < drain.deadline {
            return;
        }
        if !stopped {
            tracing::warn!("trainers did not stop in time; killing them");
        }
        if !self.outbox.is_empty() {
            tracing::warn!(
                outcomes = self.outbox.len(),
                "undelivered outcomes stay in the spool; the next start delivers them"
            );
        }
        self.exit(Exit::Done);
    }
}
