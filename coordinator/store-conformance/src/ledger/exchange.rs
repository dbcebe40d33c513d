//! Records outcomes, judges them, and grants jobs.

use super::room::Left;
use super::{AttemptRow, End, LateOutcome, Ledger, LedgerError, Standing, stale};
use swath_model::id::{Attempt, Owner, WorkerName};
use swath_model::job::{Event, Refusal};
use swath_model::judge::{self, LastFault};
use swath_model::message::{Ack, Exchange, Exchanged, Finish, Grant, Held};
use swath_model::needs::Needs;
use swath_model::offer::Free;
use swath_model::outcome::{Measurement, Outcome};
use swath_model::placement::Placement;
use swath_model::time::Timestamp;
use swath_model::view::WorkerState;

impl Ledger {
    /// Records outcomes and grants jobs.
    ///
    /// # Errors
    ///
    /// [`LedgerError::StaleSession`] for a session that was never given, and
    /// for an older one that brings no outcomes.
    pub fn exchange(
        &mut self,
        now: Timestamp,
        exchange: Exchange,
    ) -> Result<Exchanged, LedgerError> {
        let owner = exchange.owner;
        let newest = match self.standing(&owner) {
            Standing::Newest => true,
            Standing::Older if !exchange.finishes.is_empty() => false,
            Standing::Older | Standing::NeverGiven => return Err(stale(&owner)),
        };
        let mut acks = Vec::with_capacity(exchange.finishes.len());
        for finish in exchange.finishes {
            acks.push(self.finish(now, &owner, newest, finish));
        }
        let grants = if newest {
            let state = self.heard(&owner, now)?;
            self.grants(now, &owner, exchange.request, exchange.free, state)
        } else {
            Vec::new()
        };
        Ok(Exchanged { acks, grants })
    }

    fn finish(&mut self, now: Timestamp, owner: &Owner, newest: bool, finish: Finish) -> Ack {
        let Held { job, attempt } = finish.held;
        let Some(&index) = self.job_index.get(&job) else {
            return Ack::Stale;
        };
        if self.recorded(index, attempt, &owner.worker, &finish.outcome) {
            return Ack::AlreadyRecorded;
        }
        let event = Event::Finish {
            attempt,
            owner: owner.clone(),
            outcome: &finish.outcome,
            unit: judge::backoff_unit(job, attempt),
        };
        let applied = if newest {
            let urgency = self.urgency(index);
            let fault = finish.outcome.fault();
            let policy = judge::policy_for(&self.policy, urgency, fault);
            self.apply_by(&policy, index, &event, now)
        } else {
            Err(Refusal::Stale)
        };
        match applied {
            Ok(_) => {
                self.record(index, now, finish);
                // A worker that has run a job lacks nothing of it.
                let needs = self.needs(index);
                if let Some(worker) = self.workers.get_mut(&owner.worker) {
                    worker.lacks.remove(&needs);
                }
                self.judge(index, &owner.worker, now);
                Ack::Recorded
            }
            Err(Refusal::NotFinite) => Ack::Refused,
            Err(_) => {
                self.keep_aside(index, attempt, &owner.worker, finish.outcome);
                Ack::Stale
            }
        }
    }

    fn recorded(
        &self,
        index: usize,
        attempt: Attempt,
        worker: &WorkerName,
        outcome: &Outcome,
    ) -> bool {
        let place = (attempt.0 as usize).checked_sub(1);
        let row = place.and_then(|place| self.jobs[index].attempts.get(place));
        row.is_some_and(|row| row.owner.worker == *worker && row.outcome() == Some(outcome))
    }

    fn record(&mut self, index: usize, now: Timestamp, finish: Finish) {
        let row = &mut self.jobs[index];
        row.fault = match &finish.outcome {
            Outcome::Measured(_) => None,
            Outcome::Failed { fault, message } => {
                let headline = judge::headline(message).to_owned();
                let fault = LastFault {
                    fault: *fault,
                    headline,
                };
                Some((fault, message.clone()))
            }
        };
        if let Some(attempt) = row.attempts.last_mut() {
            attempt.end = Some((
                now,
                End::Outcome(Box::new(finish.outcome), finish.provenance),
            ));
        }
    }

    fn keep_aside(
        &mut self,
        index: usize,
        attempt: Attempt,
        worker: &WorkerName,
        outcome: Outcome,
    ) {
        let finite = match &outcome {
            Outcome::Measured(measurement) => Measurement::is_finite(measurement),
            Outcome::Failed { .. } => true,
        };
        let late = LateOutcome {
            attempt,
            worker: worker.clone(),
            outcome,
        };
        let row = &mut self.jobs[index];
        let named = (attempt.0 as usize).checked_sub(1);
        let named = named.and_then(|place| row.attempts.get(place));
        let forgotten = named.is_some_and(|attempt| attempt.forgotten.is_some());
        if finite && !forgotten && !row.late.contains(&late) {
            row.late.push(late);
        }
    }

    fn grants(
        &mut self,
        now: Timestamp,
        owner: &Owner,
        request: u64,
        free: Vec<Free>,
        state: WorkerState,
    ) -> Vec<Grant> {
        if let Some(again) = self.granted_before(owner, request) {
            return again;
        }
        if state != WorkerState::Active {
            return Vec::new();
        }
        let mut room = Left::new(free);
        let mut grants = Vec::new();
        for index in self.waiting(now) {
            if !self.allows(&owner.worker, index, now) {
                continue;
            }
            let Some(placement) = self.place(&owner.worker, index, &room) else {
                self.keep(&owner.worker, index, &mut room, now);
                continue;
            };
            let granted = self.grant(index, owner, (request, placement.clone()), now);
            if let Some(grant) = granted {
                room.take(&self.needs(index), &placement);
                grants.push(grant);
            }
        }
        grants
    }

    /// The grants of this request that the session still has, oldest first.
    /// `None` if nothing was ever granted to the request.
    fn granted_before(&self, owner: &Owner, request: u64) -> Option<Vec<Grant>> {
        let mut attempts: Vec<(u64, usize, Attempt)> = Vec::new();
        for (index, row) in self.jobs.iter().enumerate() {
            for (place, attempt) in row.attempts.iter().enumerate() {
                if attempt.request == request && attempt.owner == *owner {
                    attempts.push((attempt.sequence, index, Attempt(place as u32 + 1)));
                }
            }
        }
        if attempts.is_empty() {
            return None;
        }
        attempts.sort_unstable();
        let held = attempts.into_iter().filter(|(_, index, attempt)| {
            let job = &self.jobs[*index].job;
            job.attempt == *attempt && job.lease().is_some_and(|lease| lease.owner == *owner)
        });
        Some(held.map(|(_, index, _)| self.grant_of(index)).collect())
    }

    /// Whether the worker meets this job's needs, as far as is known now.
    pub(super) fn allows(&self, worker: &WorkerName, index: usize, now: Timestamp) -> bool {
        let cell = self.cells.get(&self.jobs[index].cell);
        let worker = self.workers.get(worker);
        let lack = cell.zip(worker);
        lack.is_some_and(|(cell, worker)| {
            let lacks = worker.lacks.get(&cell.needs);
            let rests = lacks.is_some_and(|(until, _)| now < *until);
            !rests && cell.needs.lacking(&worker.about.offer).is_none()
        })
    }

    pub(super) fn needs(&self, index: usize) -> Needs {
        let cell = self.cells.get(&self.jobs[index].cell);
        cell.map_or_else(Needs::default, |cell| cell.needs.clone())
    }

    fn grant(
        &mut self,
        index: usize,
        owner: &Owner,
        (request, placement): (u64, Placement),
        now: Timestamp,
    ) -> Option<Grant> {
        let grant = Event::Grant {
            owner: owner.clone(),
        };
        // This is refused while its backoff lasts.
        self.apply(index, &grant, now).ok()?;
        self.grants += 1;
        self.jobs[index].attempts.push(AttemptRow {
            owner: owner.clone(),
            request,
            placement,
            sequence: self.grants,
            granted_at: now,
            missed: 0,
            end: None,
            lost: None,
            forgotten: None,
            observations: std::collections::BTreeMap::new(),
        });
        Some(self.grant_of(index))
    }

    fn grant_of(&self, index: usize) -> Grant {
        let row = &self.jobs[index];
        let text = self.cells.get(&row.cell).map_or("{}", |cell| &cell.text);
        Grant {
            held: Held {
                job: row.digest,
                attempt: row.job.attempt,
            },
            // A submission is refused if the text of a cell has no place for a
            // seed.
            spec: swath_model::spec::job_text(text, row.cell, row.replicate).unwrap_or_default(),
            placement: row
                .newest_attempt()
                .map(|it| it.placement.clone())
                .unwrap_or_default(),
            replicate: row.replicate,
            launch: self.needs(index).launch.clone(),
        }
    }
}
