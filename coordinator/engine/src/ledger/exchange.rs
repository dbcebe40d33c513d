//! Exchanges: outcomes come in, are judged, and jobs go out.

use swath_model::id::{Attempt, CellDigest, JobDigest, Owner, Replicate, WorkerName};
use swath_model::job::{Event, Refusal};
use swath_model::judge::{self, LastFault};
use swath_model::message::{Ack, Exchange, Finish, Held};
use swath_model::offer::Free;
use swath_model::outcome::{Measurement, Outcome};
use swath_model::placement::Placement;
use swath_model::program::Launch;
use swath_model::time::Timestamp;
use swath_model::view::WorkerState;
use swath_store::{
    AttemptEnd, CellKey, End, GrantRequest, JobKey, LateOutcome, NewAttempt, OutcomeRow,
    REQUESTS_KEPT, WorkerKey,
};

use super::hot::{Loc, OutcomeKey, Recorded};
use super::reserve::Walk;
use super::{Ledger, Result, stale};

/// The result of an exchange before the specs of its grants are filled in: the
/// ledger does not hold specs.
#[derive(Debug, PartialEq)]
pub struct Drafted {
    /// One acknowledgement per finish, in order.
    pub acks: Vec<Ack>,
    /// Jobs for the worker.
    pub grants: Vec<Draft>,
}

/// A grant without its spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The job and the attempt.
    pub held: Held,
    /// The cell that has the spec.
    pub cell: CellKey,
    /// The digest of the cell.
    pub digest: CellDigest,
    /// Which replicate of the cell the job is; its seed goes into the spec.
    pub replicate: Replicate,
    /// How its program is started.
    pub launch: Launch,
    /// Where to run it.
    pub placement: Placement,
}

/// The worker session that brings outcomes.
struct Bringer<'a> {
    owner: &'a Owner,
    worker: WorkerKey,
    /// Whether its session is the newest.
    newest: bool,
}

impl Ledger {
    /// Records outcomes and grants jobs. The cells of all jobs with outcomes
    /// must be held.
    ///
    /// # Errors
    ///
    /// [`StoreError::StaleSession`] for a session that was never given, and for
    /// an older one that brings no outcomes.
    pub fn exchange(&mut self, now: Timestamp, exchange: Exchange) -> Result<Drafted> {
        let owner = exchange.owner;
        let worker = self.worker_keys.get(&owner.worker).copied();
        let worker = worker.ok_or_else(|| stale(&owner))?;
        let session = self.workers[&worker].session;
        let newest = session == owner.session;
        let older = session > owner.session && owner.session.0 > 0;
        let acknowledges = older && !exchange.finishes.is_empty();
        if !newest && !acknowledges {
            return Err(stale(&owner));
        }
        let bringer = Bringer {
            owner: &owner,
            worker,
            newest,
        };
        let mut acks = Vec::with_capacity(exchange.finishes.len());
        for finish in exchange.finishes {
            acks.push(self.finish(now, &bringer, finish));
        }
        let mut grants = Vec::new();
        if newest {
            self.heard(&owner, now)?;
            grants = self.grants(now, &owner, worker, exchange.request, &exchange.free);
        }
        Ok(Drafted { acks, grants })
    }

    fn finish(&mut self, now: Timestamp, bringer: &Bringer<'_>, finish: Finish) -> Ack {
        let Held { job, attempt } = finish.held;
        let Some(at) = self.find_job(job) else {
            return Ack::Stale;
        };
        let outcome = OutcomeKey::of(&finish.outcome);
        if self.recorded(at, attempt, &bringer.owner.worker, outcome) {
            return Ack::AlreadyRecorded;
        }
        let event = Event::Finish {
            attempt,
            owner: bringer.owner.clone(),
            outcome: &finish.outcome,
            unit: judge::backoff_unit(job, attempt),
        };
        let applied = if bringer.newest {
            let fault = finish.outcome.fault();
            let policy = judge::policy_for(&self.policy, self.urgency(at), fault);
            self.apply_by(&policy, at, &event, now)
        } else {
            Err(Refusal::Stale)
        };
        match applied {
            Ok(_) => {
                let fault = finish.outcome.fault();
                self.record(at, now, bringer, finish, outcome);
                self.had_all(at, bringer.worker);
                self.judge(at, bringer.worker, fault, now);
                Ack::Recorded
            }
            Err(Refusal::NotFinite) => Ack::Refused,
            Err(_) => {
                self.keep_aside(at, now, bringer, finish);
                Ack::Stale
            }
        }
    }

    /// A worker that has run a job lacks nothing of it.
    fn had_all(&mut self, at: Loc, worker: WorkerKey) {
        let need = self.cell(at.cell).need;
        if let Some(worker) = self.workers.get_mut(&worker) {
            worker.lacks.remove(&need);
        }
    }

    fn recorded(
        &self,
        at: Loc,
        attempt: Attempt,
        worker: &WorkerName,
        outcome: OutcomeKey,
    ) -> bool {
        let outcomes = self.entry(at).lived().map_or(&[][..], |it| &it.outcomes);
        outcomes.iter().any(|known| {
            known.attempt == attempt && known.worker == *worker && known.outcome == Some(outcome)
        })
    }

    fn record(
        &mut self,
        at: Loc,
        now: Timestamp,
        bringer: &Bringer<'_>,
        finish: Finish,
        outcome: OutcomeKey,
    ) {
        let attempt = finish.held.attempt;
        let entry = self.entry_mut(at);
        let job = entry.key;
        entry.lived_mut().outcomes.push(Recorded {
            attempt,
            worker: bringer.owner.worker.clone(),
            outcome: Some(outcome),
        });
        let provenance = finish.provenance;
        let (end, fault) = match finish.outcome {
            Outcome::Measured(measurement) => {
                self.changes.outcomes.push(OutcomeRow {
                    job,
                    attempt,
                    measurement,
                    provenance: provenance.clone(),
                    recorded_at: now,
                });
                (End::Measured { provenance }, None)
            }
            Outcome::Failed { fault, message } => {
                let headline = judge::headline(&message).to_owned();
                let end = End::Failed {
                    fault,
                    message,
                    provenance,
                };
                (end, Some(LastFault { fault, headline }))
            }
        };
        self.changes.ends.push(AttemptEnd {
            job,
            attempt,
            at: now,
            end,
        });
        self.remember(at, fault.as_ref());
    }

    /// Keeps an outcome that came too late. One that was thrown away is not kept
    /// again, however often a worker offers it.
    fn keep_aside(&mut self, at: Loc, now: Timestamp, bringer: &Bringer<'_>, finish: Finish) {
        if self.entry(at).is_dropped(finish.held.attempt) {
            return;
        }
        let finite = match &finish.outcome {
            Outcome::Measured(measurement) => Measurement::is_finite(measurement),
            Outcome::Failed { .. } => true,
        };
        if finite {
            self.changes.late.push(LateOutcome {
                job: self.entry(at).key,
                attempt: finish.held.attempt,
                worker: bringer.worker,
                session: bringer.owner.session,
                outcome: finish.outcome,
                provenance: finish.provenance,
                recorded_at: now,
            });
        }
    }

    fn grants(
        &mut self,
        now: Timestamp,
        owner: &Owner,
        worker: WorkerKey,
        request: u64,
        free: &[Free],
    ) -> Vec<Draft> {
        let row = &self.workers[&worker];
        if let Some((_, granted)) = row.requests.iter().find(|(known, _)| *known == request) {
            let again = granted
                .iter()
                .filter_map(|held| self.still_held(owner, *held));
            return again.collect();
        }
        let mut walk = Walk::new(self, worker, free);
        if row.state != WorkerState::Active || !walk.room.is_open() {
            return Vec::new();
        }
        self.file_rested(now);
        let mut drafts = Vec::new();
        let mut granted = Vec::new();
        while let Some((at, placement)) = walk.next(self, now) {
            let draft = self.grant(at, owner, (worker, placement.clone()), now);
            if let Some((job, draft)) = draft {
                let need = self.cell(at.cell).need;
                walk.room.grant(self.needs_of(need), &placement);
                granted.push((job, draft.held.attempt));
                drafts.push(draft);
            }
        }
        if !drafts.is_empty() {
            self.note_request(owner, worker, request, &drafts, granted);
        }
        drafts
    }

    /// Grants that their worker will not hear of wait again, and do not count.
    pub fn put_back(&mut self, now: Timestamp, owner: &Owner, grants: &[Held]) {
        for Held { job, attempt } in grants {
            let Some(at) = self.find_job(*job) else {
                continue;
            };
            let release = Event::Release {
                attempt: *attempt,
                owner: owner.clone(),
                uncounted: true,
            };
            if self.apply(at, &release, now).is_ok() {
                self.changes.ends.push(AttemptEnd {
                    job: self.entry(at).key,
                    attempt: *attempt,
                    at: now,
                    end: End::Released,
                });
            }
        }
    }

    /// A grant of an earlier request, if the session still has its lease.
    fn still_held(&self, owner: &Owner, (job, attempt): (JobDigest, Attempt)) -> Option<Draft> {
        let at = self.find_job(job)?;
        let job = &self.entry(at).lived()?.job;
        let held = job.attempt == attempt && job.lease().is_some_and(|it| it.owner == *owner);
        held.then(|| self.draft(at, attempt))
    }

    fn note_request(
        &mut self,
        owner: &Owner,
        worker: WorkerKey,
        request: u64,
        drafts: &[Draft],
        granted: Vec<(JobKey, Attempt)>,
    ) {
        self.changes.requests.push(GrantRequest {
            worker,
            session: owner.session,
            request,
            grants: granted,
        });
        if let Some(row) = self.workers.get_mut(&worker) {
            let held = drafts.iter().map(|it| (it.held.job, it.held.attempt));
            row.requests.push_back((request, held.collect()));
            // The smallest numbers are dropped, as in the store.
            while row.requests.len() > REQUESTS_KEPT {
                let least = (0..row.requests.len()).min_by_key(|at| row.requests[*at].0);
                row.requests.remove(least.unwrap_or(0));
            }
        }
    }

    fn grant(
        &mut self,
        at: Loc,
        owner: &Owner,
        place: (WorkerKey, Placement),
        now: Timestamp,
    ) -> Option<(JobKey, Draft)> {
        let grant = Event::Grant {
            owner: owner.clone(),
        };
        let worker = place.0;
        // The place is noted first, because the lease is filed under it. A
        // refusal means that the backoff is not over.
        self.apply_grant(at, &grant, place, now).ok()?;
        let entry = self.entry_mut(at);
        let key = entry.key;
        let lived = entry.lived_mut();
        lived.unmentioned = 0;
        let attempt = lived.job.attempt;
        self.changes.attempts.push(NewAttempt {
            job: key,
            attempt,
            worker,
            session: owner.session,
            granted_at: now,
        });
        Some((key, self.draft(at, attempt)))
    }

    fn apply_grant(
        &mut self,
        at: Loc,
        grant: &Event<'_>,
        (worker, placement): (WorkerKey, Placement),
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let lived = self.entry_mut(at).lived_mut();
        let before = (
            lived.worker.replace(worker),
            lived.placement.replace(placement),
        );
        let applied = self.apply(at, grant, now);
        if applied.is_err() {
            let lived = self.entry_mut(at).lived_mut();
            (lived.worker, lived.placement) = before;
        }
        applied.map(drop)
    }

    fn draft(&self, at: Loc, attempt: Attempt) -> Draft {
        let cell = self.cell(at.cell);
        let lived = self.entry(at).lived();
        let placement = lived.and_then(|lived| lived.placement.clone());
        Draft {
            held: Held {
                job: self.entry(at).digest,
                attempt,
            },
            cell: cell.key,
            digest: cell.digest,
            replicate: at.replicate(),
            launch: self.needs_of(cell.need).launch.clone(),
            placement: placement.unwrap_or_default(),
        }
    }
}
