//! What must hold of a whole ledger at any time: one function per invariant.

use super::{Ledger, Sweep};
use swath_model::id::{Attempt, JobDigest};
use swath_model::job::{State, StateName};
use swath_model::outcome::Outcome;

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{invariant} (job {job:?})")]
pub struct Broken {
    /// The invariant, by number and in words.
    pub invariant: &'static str,
    /// The job that it does not hold for.
    pub job: Option<JobDigest>,
}

impl Ledger {
    /// Checks every invariant over the whole ledger.
    ///
    /// # Errors
    ///
    /// The first invariant that does not hold.
    pub fn check(&self) -> Result<(), Broken> {
        self.every_job_alone()?;
        self.at_most_one_open_attempt()?;
        self.attempts_without_gaps()?;
        self.leases_belong_to_newest_sessions()?;
        self.final_states_have_their_reason()?;
        self.whoever_waits_is_needed()?;
        self.outcomes_are_kept()?;
        self.references_hold()
    }

    /// Checks I1 to I5 as far as one job alone can show them.
    ///
    /// # Errors
    ///
    /// A job for which one does not hold.
    pub fn every_job_alone(&self) -> Result<(), Broken> {
        for row in &self.jobs {
            row.job.check(&self.policy).map_err(|invariant| Broken {
                invariant,
                job: Some(row.digest),
            })?;
        }
        Ok(())
    }

    /// I1: at most one open attempt per job, the newest.
    ///
    /// # Errors
    ///
    /// A job for which it does not hold.
    pub fn at_most_one_open_attempt(&self) -> Result<(), Broken> {
        self.all("I1: an attempt that ended is open", |at| {
            let row = &self.jobs[at];
            let newest_ended = row.newest_attempt().is_some_and(|row| row.end.is_some());
            !newest_ended || (row.job.closed && row.job.lease().is_none())
        })
    }

    /// I2: attempt numbers grow by one per grant, from 1.
    ///
    /// # Errors
    ///
    /// A job for which it does not hold.
    pub fn attempts_without_gaps(&self) -> Result<(), Broken> {
        self.all("I2: attempts with gaps", |at| {
            let row = &self.jobs[at];
            let in_order = row
                .attempts
                .is_sorted_by(|earlier, later| earlier.sequence < later.sequence);
            in_order && row.job.attempt == Attempt(row.attempts.len() as u32)
        })
    }

    /// I3: only the newest session of a worker holds leases.
    ///
    /// # Errors
    ///
    /// A job for which it does not hold.
    pub fn leases_belong_to_newest_sessions(&self) -> Result<(), Broken> {
        self.all("I3: a lease of a session that is not the newest", |at| {
            self.jobs[at].job.lease().is_none_or(|lease| {
                let worker = self.workers.get(&lease.owner.worker);
                worker.is_some_and(|worker| worker.session == lease.owner.session)
            })
        })
    }

    /// I4: a job has succeeded if, and only if, its newest attempt brought a
    /// measurement, and no other attempt did. The time of its end is set if,
    /// and only if, it is final.
    ///
    /// # Errors
    ///
    /// A job for which it does not hold.
    pub fn final_states_have_their_reason(&self) -> Result<(), Broken> {
        self.all(
            "I4: a measurement without its state, or the reverse",
            |at| {
                let row = &self.jobs[at];
                let measured = |outcome: &&Outcome| matches!(outcome, Outcome::Measured(_));
                let outcomes = row.attempts.iter().filter_map(|row| row.outcome());
                let measurements = outcomes.filter(measured).count();
                let succeeded = row.job.state == State::Succeeded;
                measurements == usize::from(succeeded)
                    && row.measurement().is_some() == succeeded
                    && row.ended_at.is_some() == row.job.state_name().is_final()
            },
        )
    }

    /// I5: a job that waits or trains and is not to stop is needed by a live
    /// sweep, so no job waits for ever.
    ///
    /// # Errors
    ///
    /// A job for which it does not hold.
    pub fn whoever_waits_is_needed(&self) -> Result<(), Broken> {
        self.all("I5: a job waits that nobody needs", |at| {
            let job = &self.jobs[at].job;
            job.state_name().is_final() || job.stopping() || self.needed(at)
        })
    }

    /// I9: what was acknowledged is kept. A job that failed by a fault that
    /// ends it has that outcome, and an attempt that ended keeps what it ended
    /// with.
    ///
    /// # Errors
    ///
    /// A job for which it does not hold.
    pub fn outcomes_are_kept(&self) -> Result<(), Broken> {
        self.all("I9: a failed job without its outcome", |at| {
            let row = &self.jobs[at];
            let State::Failed(fault) = row.job.state else {
                return true;
            };
            let newest = row.newest_attempt().and_then(|row| row.outcome());
            match newest.and_then(Outcome::fault) {
                Some(recorded) => recorded == fault,
                // The job has no attempts left, and the last one was lost.
                None => fault == swath_model::outcome::Fault::Lost,
            }
        })
    }

    /// Checks that the references between the parts of the ledger are right.
    ///
    /// # Errors
    ///
    /// A job for which they are not.
    pub fn references_hold(&self) -> Result<(), Broken> {
        let whole = |sweep: &Sweep| {
            let jobs: u32 = sweep.counts.iter().sum();
            let enough = sweep.counts.iter().all(|count| *count >= sweep.replicates);
            enough && sweep.counts.len() == sweep.cells.len() && sweep.jobs.len() == jobs as usize
        };
        if !self.sweeps.iter().all(whole) || self.job_index.len() != self.jobs.len() {
            return Err(Broken {
                invariant: "a sweep without all of its jobs",
                job: None,
            });
        }
        self.all(
            "a job that is not where its sweeps and its cell say",
            |at| {
                let row = &self.jobs[at];
                let held = |sweep: &usize| self.sweeps[*sweep].jobs.contains(&at);
                let cell = self.cells.get(&row.cell);
                self.job_index.get(&row.digest) == Some(&at)
                    && !row.sweeps.is_empty()
                    && row.sweeps.iter().all(held)
                    && cell.is_some_and(|cell| {
                        swath_model::spec::job_digest(&cell.text, row.seed) == row.digest
                    })
            },
        )
    }

    fn all(&self, invariant: &'static str, holds: impl Fn(usize) -> bool) -> Result<(), Broken> {
        let broken = (0..self.jobs.len()).find(|at| !holds(*at));
        broken.map_or(Ok(()), |at| {
            Err(Broken {
                invariant,
                job: Some(self.jobs[at].digest),
            })
        })
    }

    /// Whether every job is in a final state.
    pub fn is_done(&self) -> bool {
        let open = |state: StateName| !state.is_final();
        !self.jobs.iter().any(|row| open(row.job.state_name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::End;
    use swath_model::id::{CellDigest, SessionId, SweepDigest};
    use swath_model::message::{
        Exchange, Files, Finish, Held, Hello, Sources, Submission, SubmittedCell,
    };
    use swath_model::offer::Free;
    use swath_model::outcome::{Measurement, Provenance};
    use swath_model::policy::Policy;
    use swath_model::time::Timestamp;
    use swath_model::view::WorkerAbout;

    fn measured() -> Outcome {
        Outcome::Measured(Measurement {
            train_seconds: 1.0,
            values: [("test_error", 8.25)].into(),
            weights: None,
        })
    }

    /// Two jobs of one sweep: the first measured, the second under way.
    fn ledger() -> Ledger {
        let now = Timestamp::from_ms(1000);
        let mut ledger = Ledger::new(Policy::default());
        let cell = SubmittedCell {
            digest: CellDigest::from_bytes([1; 32]),
            axes: Vec::new(),
            spec: "{}".to_owned(),
            needs: swath_model::needs::Needs::default(),
        };
        let submission = Submission {
            digest: SweepDigest::from_bytes([1; 32]),
            name: "s".to_owned(),
            title: String::new(),
            replicates: 2,
            replicates_max: None,
            kind: swath_model::view::SweepKind::Training,
            priority: 0,
            sources: Sources::Files(Files::default()),
            definition: serde_json::Value::Null,
            cells: vec![cell],
            owner: String::new(),
            tags: Vec::new(),
            ships: Vec::new(),
        };
        ledger.submit(now, submission).unwrap();
        let hello = Hello {
            worker: "w".parse().unwrap(),
            about: WorkerAbout::default(),
            held: Vec::new(),
            takes_name: false,
        };
        let owner = swath_model::id::Owner {
            worker: hello.worker.clone(),
            session: ledger.hello(now, hello).unwrap().session,
        };
        let mut exchange = Exchange {
            owner,
            request: 1,
            finishes: Vec::new(),
            free: Free::cpu(2),
        };
        let grants = ledger.exchange(now, exchange.clone()).unwrap().grants;
        exchange.finishes.push(Finish {
            held: Held {
                job: grants[0].held.job,
                attempt: grants[0].held.attempt,
            },
            outcome: measured(),
            provenance: Provenance::default(),
        });
        ledger.exchange(now, exchange).unwrap();
        ledger
    }

    /// The invariant that the check finds broken after `damage`.
    fn broken(damage: impl FnOnce(&mut Ledger)) -> &'static str {
        let mut ledger = ledger();
        assert_eq!(ledger.check(), Ok(()));
        damage(&mut ledger);
        ledger.check().unwrap_err().invariant
    }

    #[test]
    fn every_invariant_sees_its_damage() {
        let end = |outcome| {
            let outcome = End::Outcome(Box::new(outcome), Provenance::default());
            Some((Timestamp::from_ms(0), outcome))
        };
        let damages: Vec<(&str, &'static str)> = vec![
            ("I1", broken(|all| all.jobs[1].job.closed = true)),
            (
                "I1",
                broken(|all| all.jobs[1].attempts[0].end = end(measured())),
            ),
            ("I2", broken(|all| all.jobs[1].attempts.clear())),
            ("I2", broken(|all| all.jobs[1].job.attempt = Attempt(2))),
            ("I3", broken(|all| all.jobs[1].job.owner = None)),
            (
                "I3",
                broken(|all| {
                    for worker in all.workers.values_mut() {
                        worker.session = SessionId(9);
                    }
                }),
            ),
            ("I4", broken(|all| all.jobs[0].ended_at = None)),
            ("I4", broken(|all| all.jobs[0].attempts[0].end = None)),
            ("I4", broken(|all| all.jobs[0].job.state = State::Cancelled)),
            ("I5", broken(|all| all.sweeps[0].live = false)),
            ("I5", broken(|all| all.jobs[1].job.charged = 5)),
            (
                "I9",
                broken(|all| {
                    let row = &mut all.jobs[1];
                    row.job.state = State::Failed(swath_model::outcome::Fault::Diverged);
                    row.ended_at = Some(Timestamp::from_ms(0));
                }),
            ),
            ("a job that", broken(|all| all.jobs[0].sweeps.clear())),
            (
                "a sweep without",
                broken(|all| {
                    all.sweeps[0].jobs.pop();
                }),
            ),
        ];
        for (wanted, said) in damages {
            assert!(said.starts_with(wanted), "{wanted}: {said}");
        }
    }
}
