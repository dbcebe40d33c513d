//! The life of a job. [`Job::apply`] is the only code that changes one.
//!
//! The attempt number rises at a grant and nowhere else, so it fences: what an
//! older attempt or an older session says changes nothing. A late report of the
//! newest attempt counts as long as no newer one was granted, even after its
//! lease has passed: a cut-off worker must not cost a 16-hour training.

mod event;
mod state;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub use self::event::{Applied, Event, Refusal};
pub use self::state::{Lease, State, StateName};
use crate::id::{Attempt, Owner, SessionId, WorkerName};
use crate::outcome::{Fault, Outcome};
use crate::policy::Policy;
use crate::time::Timestamp;

/// A job's state, and everything that its next transitions depend on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Where it is.
    pub state: State,
    /// The newest granted attempt; 0 before the first.
    pub attempt: Attempt,
    /// Who holds or held that attempt.
    pub owner: Option<Owner>,
    /// When that attempt was granted.
    pub granted_at: Timestamp,
    /// Attempts granted since the job was created or started over: retried by an
    /// operator, wanted again, or forgotten.
    pub grants: u32,
    /// Faults that were charged to the job.
    pub charged: u32,
    /// The workers on which those faults happened.
    pub failed_on: BTreeSet<WorkerName>,
    /// Whether the newest attempt has reported its end already; no later report
    /// of it can be adopted then.
    pub closed: bool,
}

impl Job {
    /// A job that waits for a worker from `now` on.
    pub const fn new(now: Timestamp) -> Self {
        Self {
            state: State::Queued { not_before: now },
            attempt: Attempt(0),
            owner: None,
            granted_at: now,
            grants: 0,
            charged: 0,
            failed_on: BTreeSet::new(),
            closed: true,
        }
    }

    /// Its state's name.
    pub const fn state_name(&self) -> StateName {
        match self.state {
            State::Queued { .. } => StateName::Queued,
            State::Leased(_) => StateName::Leased,
            State::Suspect(_) => StateName::Suspect,
            State::Succeeded => StateName::Succeeded,
            State::Failed(_) => StateName::Failed,
            State::Cancelled => StateName::Cancelled,
        }
    }

    /// The open lease, if an attempt is under way.
    pub const fn lease(&self) -> Option<&Lease> {
        match &self.state {
            State::Leased(lease) | State::Suspect(lease) => Some(lease),
            _ => None,
        }
    }

    /// Whether the owner of the newest attempt is told to stop it.
    pub fn stopping(&self) -> bool {
        self.lease().is_some_and(|lease| lease.stop)
    }

    /// Applies one event at the time `now`.
    ///
    /// # Errors
    ///
    /// A [`Refusal`]; the job is unchanged then.
    pub fn apply(
        &mut self,
        event: &Event<'_>,
        now: Timestamp,
        policy: &Policy,
    ) -> Result<Applied, Refusal> {
        match event {
            Event::Grant { owner } => self.grant(owner, now, policy),
            Event::Heartbeat { attempt, owner } => self.heartbeat(*attempt, owner, now, policy),
            Event::Claim { attempt, owner } => self.claim(*attempt, owner, now, policy),
            Event::SessionLost { newer } => Ok(self.session_lost(*newer, now, policy)),
            Event::Tick => Ok(self.tick(now, policy)),
            Event::Finish {
                attempt,
                owner,
                outcome,
                unit,
            } => {
                self.owned(*attempt, owner)?;
                self.finish(owner, outcome, *unit, now, policy)
            }
            Event::Release {
                attempt,
                owner,
                uncounted,
            } => {
                self.owned(*attempt, owner)?;
                self.grants -= u32::from(*uncounted && self.grants > 0);
                self.give_back(now, policy);
                Ok(Applied::Changed)
            }
            Event::TakeBack { attempt, uncounted } => {
                if *attempt != self.attempt || self.lease().is_none() {
                    return Err(Refusal::Stale);
                }
                self.grants -= u32::from(*uncounted && self.grants > 0);
                self.give_back(now, policy);
                Ok(Applied::Changed)
            }
            Event::Restart => {
                let grace = policy.grace(now.since(self.granted_at));
                Ok(self.extend(now + policy.ttl() + grace))
            }
            Event::Extend => Ok(self.extend(now + policy.ttl())),
            Event::Cancel => Ok(self.cancel()),
            Event::Want => Ok(self.want(now)),
            Event::Retry => self.retry(now),
            Event::Forget => self.forget(now),
            Event::Uncharge { worker } => Ok(self.uncharge(worker)),
        }
    }

    fn grant(
        &mut self,
        owner: &Owner,
        now: Timestamp,
        policy: &Policy,
    ) -> Result<Applied, Refusal> {
        let State::Queued { not_before } = self.state else {
            return Err(Refusal::NotQueued);
        };
        if not_before > now {
            return Err(Refusal::BackingOff);
        }
        self.attempt = self.attempt.next();
        self.owner = Some(owner.clone());
        self.granted_at = now;
        self.grants += 1;
        self.closed = false;
        self.lease_again(now, policy, false);
        Ok(Applied::Changed)
    }

    /// Whether a report of `owner` about this attempt still counts: it is the
    /// newest attempt, it has not ended, and the job is not final. That is also
    /// so when its lease has passed, as long as nobody else was granted the
    /// job.
    pub fn holds(&self, attempt: Attempt, owner: &Owner) -> bool {
        self.owned(attempt, owner).is_ok()
    }

    /// Whether nobody has renewed the lease of the newest attempt: it is the one
    /// that the grant gave, so the worker has never mentioned the attempt. Where
    /// the coordinator was away and extended it, nobody can tell any more, and the
    /// attempt is taken for mentioned.
    pub fn is_unheard_of(&self, policy: &Policy) -> bool {
        let given = self.granted_at + policy.ttl();
        matches!(&self.state, State::Leased(lease) if lease.deadline == given)
    }

    /// Checks that `owner` speaks of the newest attempt, and that this has not
    /// ended.
    fn owned(&self, attempt: Attempt, owner: &Owner) -> Result<(), Refusal> {
        let newest = attempt == self.attempt && self.owner.as_ref() == Some(owner);
        if newest && !self.closed && !self.state_name().is_final() {
            Ok(())
        } else {
            Err(Refusal::Stale)
        }
    }

    fn heartbeat(
        &mut self,
        attempt: Attempt,
        owner: &Owner,
        now: Timestamp,
        policy: &Policy,
    ) -> Result<Applied, Refusal> {
        self.owned(attempt, owner)?;
        self.lease_again(now, policy, self.stopping());
        Ok(Applied::Changed)
    }

    fn claim(
        &mut self,
        attempt: Attempt,
        owner: &Owner,
        now: Timestamp,
        policy: &Policy,
    ) -> Result<Applied, Refusal> {
        let older = self
            .owner
            .clone()
            .filter(|held| held.worker == owner.worker && held.session <= owner.session)
            .ok_or(Refusal::Stale)?;
        self.owned(attempt, &older)?;
        self.owner = Some(owner.clone());
        self.lease_again(now, policy, self.stopping());
        Ok(Applied::Changed)
    }

    fn session_lost(&mut self, newer: SessionId, now: Timestamp, policy: &Policy) -> Applied {
        let fenced = self
            .lease()
            .is_some_and(|lease| lease.owner.session < newer);
        if !fenced {
            return Applied::Unchanged;
        }
        self.give_back(now, policy);
        Applied::Changed
    }

    fn tick(&mut self, now: Timestamp, policy: &Policy) -> Applied {
        match &self.state {
            State::Leased(lease) if lease.deadline <= now => {
                let grace = policy.grace(now.since(lease.granted_at));
                self.state = State::Suspect(Lease {
                    deadline: now + grace,
                    ..lease.clone()
                });
                Applied::Changed
            }
            State::Suspect(lease) if lease.deadline <= now => {
                // The attempt stays open: until a newer one is granted, a late
                // report of it is adopted.
                self.requeue_or_end(lease.stop, Fault::Lost, now, policy);
                Applied::Changed
            }
            _ => Applied::Unchanged,
        }
    }

    fn finish(
        &mut self,
        owner: &Owner,
        outcome: &Outcome,
        unit: f64,
        now: Timestamp,
        policy: &Policy,
    ) -> Result<Applied, Refusal> {
        let fault = match outcome {
            Outcome::Measured(measurement) if !measurement.is_finite() => {
                return Err(Refusal::NotFinite);
            }
            // A measurement counts even if the job was to be stopped.
            Outcome::Measured(_) => {
                self.closed = true;
                self.state = State::Succeeded;
                return Ok(Applied::Changed);
            }
            Outcome::Failed { fault, .. } => *fault,
        };
        let stop = self.stopping();
        self.closed = true;
        if Policy::charges(fault) {
            self.charged += 1;
            self.failed_on.insert(owner.worker.clone());
        }
        let exhausted = self.charged >= policy.charged_max
            || self.failed_on.len() >= policy.workers_max as usize;
        if Policy::ends(fault) || (Policy::charges(fault) && exhausted && !stop) {
            self.state = State::Failed(fault);
        } else if Policy::charges(fault) {
            let not_before = now + policy.backoff(self.charged, unit);
            self.requeue_or_end(stop, fault, not_before, policy);
        } else {
            self.requeue_or_end(stop, fault, now, policy);
        }
        Ok(Applied::Changed)
    }

    /// The attempt ended without saying anything about the job itself.
    fn give_back(&mut self, now: Timestamp, policy: &Policy) {
        let stop = self.stopping();
        self.closed = true;
        self.requeue_or_end(stop, Fault::Lost, now, policy);
    }

    fn requeue_or_end(&mut self, stop: bool, fault: Fault, not_before: Timestamp, policy: &Policy) {
        self.state = if stop {
            State::Cancelled
        } else if self.grants >= policy.attempts_max {
            State::Failed(fault)
        } else {
            State::Queued { not_before }
        };
    }

    fn lease_again(&mut self, now: Timestamp, policy: &Policy, stop: bool) {
        if let Some(owner) = self.owner.clone() {
            let granted_at = self.granted_at;
            self.state = State::Leased(Lease {
                owner,
                granted_at,
                deadline: now + policy.ttl(),
                stop,
            });
        }
    }

    fn extend(&mut self, least: Timestamp) -> Applied {
        match &mut self.state {
            State::Leased(lease) | State::Suspect(lease) if lease.deadline < least => {
                lease.deadline = least;
                Applied::Changed
            }
            _ => Applied::Unchanged,
        }
    }

    fn cancel(&mut self) -> Applied {
        match &mut self.state {
            State::Queued { .. } => self.state = State::Cancelled,
            State::Leased(lease) | State::Suspect(lease) if !lease.stop => lease.stop = true,
            _ => return Applied::Unchanged,
        }
        Applied::Changed
    }

    fn want(&mut self, now: Timestamp) -> Applied {
        match &mut self.state {
            State::Cancelled => self.start_over(now),
            State::Leased(lease) | State::Suspect(lease) if lease.stop => lease.stop = false,
            _ => return Applied::Unchanged,
        }
        Applied::Changed
    }

    /// Queues the job again with nothing charged. A job that was stopped may
    /// have used up its attempts before; counting on from there would exceed
    /// every limit.
    fn start_over(&mut self, now: Timestamp) {
        self.grants = 0;
        self.charged = 0;
        self.failed_on.clear();
        self.closed = true;
        self.state = State::Queued { not_before: now };
    }

    fn retry(&mut self, now: Timestamp) -> Result<Applied, Refusal> {
        match self.state {
            State::Succeeded => Err(Refusal::Succeeded),
            State::Failed(_) | State::Cancelled => {
                self.start_over(now);
                Ok(Applied::Changed)
            }
            _ => Err(Refusal::NotFinal),
        }
    }

    fn forget(&mut self, now: Timestamp) -> Result<Applied, Refusal> {
        match self.state {
            // Divergence is a result like any number.
            State::Succeeded | State::Failed(Fault::Diverged) => {
                self.start_over(now);
                Ok(Applied::Changed)
            }
            State::Failed(_) | State::Cancelled => Err(Refusal::NoOutcome),
            _ => Err(Refusal::NotFinal),
        }
    }

    fn uncharge(&mut self, worker: &WorkerName) -> Applied {
        if self.state_name().is_final() || !self.failed_on.remove(worker) {
            return Applied::Unchanged;
        }
        self.charged = self.charged.saturating_sub(1);
        Applied::Changed
    }

    /// Checks what must hold for a job in any state: the part of I1 to I5 that
    /// one job can show.
    ///
    /// # Errors
    ///
    /// Names the invariant that does not hold.
    pub fn check(&self, policy: &Policy) -> Result<(), &'static str> {
        let leased = self.lease().is_some();
        let holds = [
            (
                !leased || self.attempt > Attempt(0),
                "I1: a lease without an attempt",
            ),
            (
                self.lease()
                    .is_none_or(|lease| self.owner.as_ref() == Some(&lease.owner)),
                "I3: a lease whose owner is not the newest attempt's",
            ),
            (
                !leased || !self.closed,
                "I1: a lease whose attempt has ended",
            ),
            (
                self.state != State::Succeeded || self.attempt > Attempt(0),
                "I4: a measurement without an attempt",
            ),
            (
                self.grants <= self.attempt.0,
                "I2: more grants than attempts",
            ),
            (
                self.grants <= policy.attempts_max,
                "I5: attempts without bound",
            ),
            (
                self.state_name().is_final() || self.charged < policy.charged_max,
                "I5: faults without bound",
            ),
        ];
        holds
            .iter()
            .find(|(holds, _)| !holds)
            .map_or(Ok(()), |(_, broken)| Err(broken))
    }
}
