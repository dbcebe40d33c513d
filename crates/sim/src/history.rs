//! What must hold of a whole history, beside the ledger's own invariants.

use std::collections::BTreeMap;

use swath_core::id::{Attempt, JobDigest, Owner};
use swath_core::job::{Job, StateName};
use swath_core::ledger::Ledger;
use swath_core::message::{Ack, Exchange, Exchanged, Held};
use swath_core::outcome::Outcome;

use crate::worker::error_of;

/// What was seen so far.
#[derive(Debug, Default)]
pub(crate) struct History {
    jobs: BTreeMap<JobDigest, Job>,
    /// Every outcome whose recording was acknowledged.
    acknowledged: BTreeMap<(JobDigest, Attempt), Outcome>,
    /// What each request of a session was granted when it first was.
    granted: BTreeMap<(Owner, u64), Vec<Held>>,
}

impl History {
    /// Notes what the coordinator answers when it does, whether or not it
    /// arrives.
    pub(crate) fn exchange(
        &mut self,
        asked: &Exchange,
        exchanged: &Exchanged,
    ) -> Result<(), String> {
        let grants: Vec<Held> = exchanged.grants.iter().map(|grant| grant.held).collect();
        let request = (asked.owner.clone(), asked.request);
        if let Some(first) = self.granted.get(&request) {
            if grants.iter().any(|held| !first.contains(held)) {
                return Err(format!("a repeated request is granted more: {asked:?}"));
            }
        } else if !grants.is_empty() {
            self.granted.insert(request, grants);
        }
        self.acknowledge(asked, exchanged)
    }

    fn acknowledge(&mut self, asked: &Exchange, exchanged: &Exchanged) -> Result<(), String> {
        for (finish, ack) in asked.finishes.iter().zip(&exchanged.acks) {
            let key = (finish.held.job, finish.held.attempt);
            let before = self.acknowledged.get(&key);
            match ack {
                Ack::Recorded if before.is_some() => {
                    return Err(format!("recorded twice: {finish:?}"));
                }
                Ack::Recorded => {
                    self.acknowledged.insert(key, finish.outcome.clone());
                }
                Ack::AlreadyRecorded if before != Some(&finish.outcome) => {
                    return Err(format!("not recorded before: {finish:?}"));
                }
                Ack::Stale if before == Some(&finish.outcome) => {
                    return Err(format!("I4: a repeat is not acknowledged: {finish:?}"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Compares the ledger with what was seen before this step. An operator may
    /// bring back what failed or was cancelled, nobody else.
    pub(crate) fn check(&mut self, ledger: &Ledger, by_operator: bool) -> Result<(), String> {
        ledger.check().map_err(|broken| broken.to_string())?;
        for ((job, attempt), outcome) in &self.acknowledged {
            if ledger.outcome(*job, *attempt) != Some(outcome) {
                return Err(format!(
                    "I9: the acknowledged outcome of {job:?} attempt {attempt} is lost"
                ));
            }
        }
        for view in ledger.states() {
            let (digest, after) = view;
            if let Some(before) = self.jobs.get(&digest) {
                step_keeps_the_laws(before, after, by_operator)
                    .map_err(|law| format!("{law}: {digest:?}\n{before:?}\n{after:?}"))?;
            }
            if self.jobs.get(&digest) != Some(after) {
                self.jobs.insert(digest, after.clone());
            }
        }
        Ok(())
    }

    /// What must hold when everything is over.
    pub(crate) fn end(&self, ledger: &Ledger) -> Result<(), String> {
        let mut measurements: BTreeMap<JobDigest, usize> = BTreeMap::new();
        for ((job, attempt), outcome) in &self.acknowledged {
            let Outcome::Measured(measured) = outcome else {
                continue;
            };
            *measurements.entry(*job).or_default() += 1;
            if measured.test_error.to_bits() != error_of(*job, attempt.0).to_bits() {
                return Err(format!("{job:?} has the number of another attempt"));
            }
        }
        for (job, state) in ledger.states() {
            let measured = measurements.get(&job).copied().unwrap_or(0);
            let wanted = usize::from(state.state_name() == StateName::Succeeded);
            if measured != wanted {
                return Err(format!("{job:?} has {measured} measurements: {state:?}"));
            }
        }
        Ok(())
    }
}

fn step_keeps_the_laws(before: &Job, after: &Job, by_operator: bool) -> Result<(), &'static str> {
    let grown = after.attempt.0.checked_sub(before.attempt.0);
    if !matches!(grown, Some(0 | 1)) {
        return Err("I2: an attempt number was left out or came back");
    }
    let succeeded = before.state_name() == StateName::Succeeded;
    if succeeded && before != after {
        return Err("I4: a measured job changed");
    }
    if before.state_name().is_final() && before != after && !by_operator {
        return Err("I4: a final state changed");
    }
    Ok(())
}
