//! What must hold of a whole history, besides the invariants of ledger and
//! rows.

use std::collections::{BTreeMap, BTreeSet};

use swath_agent::{Entry, Reply};
use swath_model::id::{Attempt, JobDigest, Owner};
use swath_model::job::{Job, StateName};
use swath_model::message::{Ack, Exchange, Grant, Held, Verdict};
use swath_model::metrics::TEST_ERROR;
use swath_model::outcome::Outcome;
use swath_store::{Store, StoredCell, StoredJob};

use crate::cells::Plan;
use crate::coordinator::at_once;
use crate::disk::Disk;
use crate::trainer::Execution;

/// What was seen so far.
#[derive(Debug, Default)]
pub(crate) struct History {
    jobs: BTreeMap<JobDigest, Job>,
    /// Every execution of a job on a slot, in order.
    pub(crate) executions: Vec<Execution>,
    /// The longest execution that was lost although the coordinator had said to
    /// keep it.
    pub(crate) lost_ms: u64,
    /// Attempts of a job that a worker was told of and has not begun.
    heard: BTreeMap<(usize, JobDigest), BTreeSet<Held>>,
    /// Every attempt that a worker was told of.
    known: BTreeSet<Held>,
    /// Attempts that the coordinator has said to keep.
    kept: BTreeSet<Held>,
    /// Executions, by the bits of the error that they measure.
    by_error: BTreeMap<u64, usize>,
    /// The attempt that an execution turned out to be, once that is known.
    attempts: BTreeMap<usize, Held>,
    /// The outcomes that agents reported for an attempt.
    told: BTreeMap<Held, Vec<Outcome>>,
    /// Every outcome that was ever in the store; none once it was forgotten.
    recorded: BTreeMap<JobDigest, BTreeMap<Attempt, Option<Outcome>>>,
    /// Attempts whose outcome was acknowledged as recorded.
    acknowledged: BTreeSet<Held>,
    /// What each request of a session was granted when it first was.
    granted: BTreeMap<(Owner, u64), Vec<Held>>,
    /// The owner that an attempt was granted to.
    grantees: BTreeMap<Held, Owner>,
}

type Checked = Result<(), String>;

fn ensure(holds: bool, broken: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(broken()) }
}

impl History {
    /// A child of this worker begins with a job.
    pub(crate) fn begin(&mut self, worker: usize, mut execution: Execution) -> usize {
        let number = self.executions.len();
        // A worker begins attempts in the order in which they came.
        let heard = self.heard.get_mut(&(worker, execution.planned.job));
        execution.held = heard.and_then(BTreeSet::pop_first);
        self.by_error.insert(execution.error.to_bits(), number);
        self.executions.push(execution);
        number
    }

    /// A worker receives grants.
    pub(crate) fn heard(&mut self, worker: usize, reply: &Reply) {
        let Reply::Exchanged { grants, .. } = reply else {
            return;
        };
        for Grant { held, .. } in grants {
            // A repeated answer tells nothing new.
            if self.known.insert(*held) {
                let heard = self.heard.entry((worker, held.job)).or_default();
                heard.insert(*held);
            }
        }
    }

    /// A worker gives attempts back.
    pub(crate) fn released(&mut self, worker: usize, held: &[Held]) {
        for held in held {
            if let Some(heard) = self.heard.get_mut(&(worker, held.job)) {
                heard.remove(held);
            }
        }
    }

    /// The coordinator answers a heartbeat with what to do with the attempts.
    pub(crate) fn beaten(&mut self, held: &[Held], reply: &Reply) {
        let Reply::Beaten { verdicts, .. } = reply else {
            return;
        };
        for (held, verdict) in held.iter().zip(verdicts) {
            if *verdict == Verdict::Keep {
                self.kept.insert(*held);
            }
        }
    }

    /// An execution is lost.
    pub(crate) fn lost(&mut self, at: u64, execution: usize) {
        let Execution { held, begun, .. } = self.executions[execution];
        if held.is_some_and(|held| self.kept.contains(&held)) {
            self.lost_ms = self.lost_ms.max(at - begun);
        }
    }

    /// An agent writes outcomes to its disk. What it measured must belong to
    /// the job that it names, and to that attempt alone.
    pub(crate) fn told(&mut self, entries: &[Entry]) -> Checked {
        for entry in entries {
            let held = entry.finish.held;
            let outcome = &entry.finish.outcome;
            if let Outcome::Measured(measured) = outcome
                && let Some(error) = measured.values.get(TEST_ERROR)
                && let Some(number) = self.by_error.get(&error.to_bits())
            {
                let job = self.executions[*number].planned.job;
                let attempt = *self.attempts.entry(*number).or_insert(held);
                ensure(job == held.job && attempt == held, || {
                    format!("{held:?} has what {attempt:?} of {job:?} measured")
                })?;
            }
            let told = self.told.entry(held).or_default();
            if !told.contains(outcome) {
                told.push(outcome.clone());
            }
        }
        Ok(())
    }

    /// The coordinator answers an exchange, whether or not that arrives.
    pub(crate) fn exchanged(&mut self, asked: &Exchange, reply: &Reply) -> Checked {
        let Reply::Exchanged { acks, grants, .. } = reply else {
            return Ok(());
        };
        ensure(acks.len() == asked.finishes.len(), || {
            format!("{} acks: {asked:?}", acks.len())
        })?;
        self.grants(asked, grants)?;
        for (finish, ack) in asked.finishes.iter().zip(acks) {
            let held = finish.held;
            let recorded = self.recorded.get(&held.job);
            let recorded = recorded.and_then(|it| it.get(&held.attempt));
            let same = recorded.is_some_and(|it| it.as_ref() == Some(&finish.outcome));
            // It may be forgotten by the time that its worker hears of it.
            let was_same = same || recorded == Some(&None);
            let holds = match ack {
                Ack::Recorded => was_same && self.acknowledged.insert(held),
                Ack::AlreadyRecorded => was_same,
                // A repeated outcome is acknowledged as a success.
                Ack::Stale => !same,
                Ack::Refused => false,
            };
            ensure(holds, || {
                format!("I4, I9: {ack:?} to {finish:?}, and recorded is {recorded:?}")
            })?;
        }
        Ok(())
    }

    fn grants(&mut self, asked: &Exchange, grants: &[Grant]) -> Checked {
        let held: Vec<Held> = grants.iter().map(|grant| grant.held).collect();
        for held in &held {
            let grantee = self.grantees.entry(*held).or_insert(asked.owner.clone());
            ensure(*grantee == asked.owner, || {
                format!("I1: {held:?} is granted to {grantee:?} and {asked:?}")
            })?;
        }
        let request = (asked.owner.clone(), asked.request);
        if let Some(first) = self.granted.get(&request) {
            return ensure(held.iter().all(|held| first.contains(held)), || {
                format!("a repeated request is granted more: {asked:?}")
            });
        }
        if !held.is_empty() {
            self.granted.insert(request, held);
        }
        Ok(())
    }

    /// Compares the rows with what was seen before. `may_revive`: somebody may
    /// bring back what failed or was cancelled.
    pub(crate) fn check(&mut self, cells: &[StoredCell], may_revive: bool) -> Checked {
        for stored in cells.iter().flat_map(|cell| &cell.jobs) {
            let (digest, after) = (stored.digest, &stored.job);
            self.outcomes(stored, may_revive)?;
            match self.jobs.get_mut(&digest) {
                Some(before) if before == after => {}
                Some(before) => {
                    let forgotten = is_forgotten(stored, before.attempt);
                    step_keeps_the_laws(before, after, may_revive, forgotten)
                        .map_err(|law| format!("{law}: {digest:?}\n{before:?}\n{after:?}"))?;
                    *before = after.clone();
                }
                None => {
                    self.jobs.insert(digest, after.clone());
                }
            }
        }
        Ok(())
    }

    /// What was recorded once stays, unless somebody may forget it, and no outcome
    /// exists that nobody reported.
    fn outcomes(&mut self, stored: &StoredJob, may_forget: bool) -> Checked {
        let job = stored.digest;
        let recorded = self.recorded.entry(job).or_default();
        for (attempt, _, outcome) in &stored.outcomes {
            let attempt = *attempt;
            let before = recorded.insert(attempt, outcome.clone());
            if outcome.is_none() && may_forget {
                continue;
            }
            if let Some(before) = before {
                ensure(before == *outcome, || {
                    format!("I4: attempt {attempt} of {job:?} had {before:?}, now {outcome:?}")
                })?;
                continue;
            }
            let told = self.told.get(&Held { job, attempt });
            let told = told.zip(outcome.as_ref());
            ensure(told.is_some_and(|(told, one)| told.contains(one)), || {
                format!("attempt {attempt} of {job:?} has {outcome:?}, which nobody told")
            })?;
        }
        ensure(recorded.len() == stored.outcomes.len(), || {
            format!("I9: a recorded outcome of {job:?} is lost: {recorded:?}")
        })
    }

    /// Every job that exists.
    pub(crate) fn every_job(&self) -> Vec<JobDigest> {
        self.jobs.keys().copied().collect()
    }

    /// Every job, as it is stored.
    pub(crate) fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.jobs.values()
    }

    /// Whether every job is final.
    pub(crate) fn is_over(&self) -> bool {
        self.jobs().all(|job| job.state_name().is_final())
    }

    /// Checks what must hold when everything is over.
    pub(crate) fn end(&self, plan: &Plan, disk: &Disk) -> Checked {
        for (job, state) in &self.jobs {
            let outcomes = self.recorded.get(job).into_iter().flatten();
            let measured = outcomes.filter_map(|(attempt, outcome)| match outcome {
                Some(Outcome::Measured(measured)) => {
                    Some((*attempt, measured.values.get(TEST_ERROR)?))
                }
                Some(Outcome::Failed { .. }) | None => None,
            });
            let measured: Vec<(Attempt, f64)> = measured.collect();
            let wanted = usize::from(state.state_name() == StateName::Succeeded);
            ensure(measured.len() == wanted, || {
                format!("{job:?} has the measurements {measured:?}: {state:?}")
            })?;
            if let Some((attempt, error)) = measured.first()
                && !plan.is_null(*job)
            {
                self.is_whole(*job, *attempt, *error, disk)?;
            }
        }
        Ok(())
    }

    /// A measurement comes from an execution, and every epoch of that execution
    /// was reported.
    fn is_whole(&self, job: JobDigest, attempt: Attempt, error: f64, disk: &Disk) -> Checked {
        let number = self.by_error.get(&error.to_bits());
        let number = number.ok_or_else(|| format!("nothing has measured {error} for {job:?}"))?;
        let epochs = self.executions[*number].epochs;
        let curve = at_once(disk.rows().curves(job)).map_err(|error| error.to_string())?;
        let own = curve.iter().filter(|point| point.attempt == attempt);
        let told: Vec<u32> = own.map(|point| point.observation.epoch).collect();
        let wanted: Vec<u32> = (1..=epochs).collect();
        ensure(told == wanted, || {
            format!("attempt {attempt} of {job:?} tells of the epochs {told:?} of {epochs}")
        })
    }
}

/// Whether the outcome of an attempt was forgotten.
fn is_forgotten(stored: &StoredJob, attempt: Attempt) -> bool {
    let mut outcomes = stored.outcomes.iter();
    outcomes.any(|(of, _, outcome)| *of == attempt && outcome.is_none())
}

fn step_keeps_the_laws(
    before: &Job,
    after: &Job,
    may_revive: bool,
    forgotten: bool,
) -> Result<(), &'static str> {
    if after.attempt < before.attempt {
        return Err("I2: an attempt number came back");
    }
    if before.state_name() == StateName::Succeeded && !forgotten {
        return Err("I4: a measured job changed");
    }
    if before.state_name().is_final() && !may_revive {
        return Err("I4: a final state changed");
    }
    Ok(())
}
