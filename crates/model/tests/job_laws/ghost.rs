//! A ghost watches a job from outside. It notes what was granted to whom and
//! what ended, and from that alone knows which reports must be accepted and
//! which must not.

use swath_model::id::{Attempt, Owner};
use swath_model::job::{Applied, Event, Job, Refusal, State, StateName};
use swath_model::outcome::{Fault, Outcome};
use swath_model::policy::Policy;
use swath_model::time::Timestamp;

use crate::policy;

/// What an observer of every event knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Ghost {
    /// The newest granted attempt, and who may speak for it.
    pub(crate) newest: Option<(Attempt, Owner)>,
    /// The attempt reported its end, or was taken away.
    ended: bool,
    /// Measurements that count: not of forgotten attempts.
    measurements: u32,
    /// Grants and charged faults since the job last started over.
    grants: u32,
    charged: u32,
}

impl Ghost {
    /// Whether a report about this attempt must be accepted.
    fn may_speak(&self, before: &Job, attempt: Attempt, speaker: &Owner, claim: bool) -> bool {
        let Some((newest, owner)) = &self.newest else {
            return false;
        };
        let same = if claim {
            owner.worker == speaker.worker && owner.session <= speaker.session
        } else {
            owner == speaker
        };
        *newest == attempt && same && !self.ended && !before.state_name().is_final()
    }

    /// Checks one step against the laws, and notes it.
    pub(crate) fn watch(
        &mut self,
        before: &Job,
        event: &Event<'_>,
        now: Timestamp,
        result: Result<Applied, Refusal>,
        after: &Job,
    ) -> Result<(), String> {
        let law = |holds: bool, law: &str| {
            let said = || format!("{law}\n{before:?}\n{event:?} at {now}: {result:?}\n{after:?}");
            if holds { Ok(()) } else { Err(said()) }
        };
        let ok = result.is_ok();
        law(
            result == Ok(Applied::Changed) || before == after,
            "what is refused, or does not concern it, leaves a job as it is",
        )?;
        let granted = ok && matches!(event, Event::Grant { .. });
        law(
            after.attempt.0 == before.attempt.0 + u32::from(granted),
            "I2: the attempt grows by one per grant, and only then",
        )?;
        law(
            self.heard(before, event)
                .is_none_or(|heard| heard == heard_of(result)),
            "I3: the newest attempt's owner is heard until it ended, nobody else",
        )?;
        law(final_stays(before, event, after), "I4: a final state stays")?;
        law(
            !ok || acceptable(before, event),
            "only finite measurements and newest leases count",
        )?;
        law(
            stop_stays(before, event, after),
            "a stop is withdrawn only by a want",
        )?;
        law(
            extended_enough(before, event, now, after),
            "an extension gives each lease at least one ttl and shortens none",
        )?;
        law(
            leases_are_given(before, event, now, after),
            "I1: leases come from grants, heartbeats and claims, and pass in two steps",
        )?;
        let success = after.state == State::Succeeded && before.state != State::Succeeded;
        let measurement = ok
            && matches!(
                event,
                Event::Finish {
                    outcome: Outcome::Measured(_),
                    ..
                }
            );
        law(success == measurement, "I4: success is a measurement")?;
        self.note(before, event, ok, after);
        let counting = u32::from(after.state == State::Succeeded);
        law(
            self.measurements == counting,
            "one measurement counts of a succeeded job, and none of another",
        )?;
        law(
            self.grants <= policy().attempts_max && self.charged <= policy().charged_max,
            "I5: attempts and charged faults are bounded",
        )?;
        law(after.check(&policy()) == Ok(()), "Job::check")
    }

    /// Whether this event must be accepted, if it is a worker's report.
    fn heard(&self, before: &Job, event: &Event<'_>) -> Option<bool> {
        match event {
            Event::Heartbeat { attempt, owner }
            | Event::Release { attempt, owner, .. }
            | Event::Finish { attempt, owner, .. } => {
                Some(self.may_speak(before, *attempt, owner, false))
            }
            Event::Claim { attempt, owner } => Some(self.may_speak(before, *attempt, owner, true)),
            _ => None,
        }
    }

    fn note(&mut self, before: &Job, event: &Event<'_>, ok: bool, after: &Job) {
        let started_over = before.state_name().is_final() && !after.state_name().is_final();
        if started_over {
            self.ended = true;
            self.grants = 0;
            self.charged = 0;
        }
        if !ok {
            return;
        }
        match event {
            Event::Forget => self.measurements = 0,
            Event::Grant { owner } => {
                self.newest = Some((after.attempt, owner.clone()));
                self.ended = false;
                self.grants += 1;
            }
            Event::Claim { attempt, owner } => self.newest = Some((*attempt, owner.clone())),
            Event::Finish { outcome, .. } => {
                self.ended = true;
                self.measurements += u32::from(outcome.fault().is_none());
                self.charged += u32::from(outcome.fault().is_some_and(Policy::charges));
            }
            Event::Release { uncounted, .. } => {
                self.ended = true;
                self.grants -= u32::from(*uncounted);
            }
            Event::TakeBack { uncounted, .. } => {
                self.ended = true;
                self.grants -= u32::from(*uncounted);
            }
            Event::SessionLost { .. } if before != after => self.ended = true,
            Event::Uncharge { .. } if before != after => {
                self.charged = self.charged.saturating_sub(1);
            }
            _ => {}
        }
    }
}

/// Whether a worker's report was accepted, including when its content was
/// refused.
fn heard_of(result: Result<Applied, Refusal>) -> bool {
    result != Err(Refusal::Stale)
}

fn final_stays(before: &Job, event: &Event<'_>, after: &Job) -> bool {
    before == after
        || match before.state {
            State::Succeeded => matches!(event, Event::Forget),
            State::Failed(Fault::Diverged) => matches!(event, Event::Retry | Event::Forget),
            State::Failed(_) => matches!(event, Event::Retry),
            State::Cancelled => matches!(event, Event::Retry | Event::Want),
            _ => true,
        }
}

/// Whether the content of the event is acceptable, whoever sends it.
fn acceptable(before: &Job, event: &Event<'_>) -> bool {
    match event {
        Event::Finish {
            outcome: Outcome::Measured(measurement),
            ..
        } => measurement.is_finite(),
        Event::TakeBack { attempt, .. } => *attempt == before.attempt && before.lease().is_some(),
        _ => true,
    }
}

fn stop_stays(before: &Job, event: &Event<'_>, after: &Job) -> bool {
    let withdrawn = before.stopping() && after.lease().is_some() && !after.stopping();
    // A stopped attempt that ends without a measurement does not wait again.
    let waits = before.stopping() && after.state_name() == StateName::Queued;
    !waits && (!withdrawn || matches!(event, Event::Want))
}

fn extended_enough(before: &Job, event: &Event<'_>, now: Timestamp, after: &Job) -> bool {
    let (Some(was), Some(is)) = (before.lease(), after.lease()) else {
        return !matches!(event, Event::Extend | Event::Restart) || before == after;
    };
    match event {
        Event::Extend | Event::Restart => {
            let least = now + policy().ttl();
            is.deadline >= was.deadline
                && is.deadline >= least
                && before.state_name() == after.state_name()
        }
        _ => true,
    }
}

fn leases_are_given(before: &Job, event: &Event<'_>, now: Timestamp, after: &Job) -> bool {
    let gives = matches!(
        event,
        Event::Grant { .. } | Event::Heartbeat { .. } | Event::Claim { .. }
    );
    let over = before.lease().is_some_and(|lease| lease.deadline <= now);
    let in_steps = match (before.state_name(), event) {
        (StateName::Leased, Event::Tick) if over => after.state_name() == StateName::Suspect,
        (StateName::Suspect, Event::Tick) if over => after.lease().is_none(),
        (_, Event::Tick) => before == after,
        _ => true,
    };
    in_steps && (gives || before.lease().is_some() || after.lease().is_none())
}
