//! Random lives.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use swath_model::id::{Attempt, Owner, SessionId};
use swath_model::job::{Event, Job, State};
use swath_model::outcome::{Fault, Outcome};
use swath_model::time::Timestamp;

use crate::ghost::Ghost;
use crate::{START, failed, measured, owner, policy};

/// An event for sequences: attempts and speakers relative to what is newest.
#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Grant {
        worker: u8,
        session: u64,
    },
    Speak {
        back: u32,
        ahead: bool,
        as_other: Option<(u8, u64)>,
        word: Word,
    },
    Claim {
        back: u32,
        worker: Option<u8>,
        later: u64,
    },
    SessionLost(u64),
    Tick,
    TakeBack {
        back: u32,
        uncounted: bool,
    },
    Restart,
    Extend,
    Cancel,
    Want,
    Retry,
    Forget,
    Uncharge(u8),
}

#[derive(Clone, Debug)]
enum Word {
    Heartbeat,
    Release,
    ReleaseLacking,
    Finish(Outcome),
}

fn word() -> impl Strategy<Value = Word> {
    let fault = select(&Fault::ALL[..]).prop_map(failed);
    prop_oneof![
        3 => Just(Word::Heartbeat),
        2 => Just(Word::Release),
        2 => Just(Word::ReleaseLacking),
        4 => fault.prop_map(Word::Finish),
        1 => Just(Word::Finish(measured(8.25))),
        1 => Just(Word::Finish(measured(f64::NAN))),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let back = || prop_oneof![6 => Just(0_u32), 1 => 1..3_u32];
    let speaker = prop::option::weighted(0.2, (0..3_u8, 1..4_u64));
    let speak = (back(), prop::bool::weighted(0.05), speaker, word()).prop_map(
        |(back, ahead, as_other, word)| Step::Speak {
            back,
            ahead,
            as_other,
            word,
        },
    );
    let claim = (back(), prop::option::weighted(0.2, 0..3_u8), 0..3_u64).prop_map(
        |(back, worker, later)| Step::Claim {
            back,
            worker,
            later,
        },
    );
    prop_oneof![
        4 => prop_oneof![Just(1), Just(60_000), Just(1_000_000)].prop_map(Step::Pass),
        6 => (0..3_u8, 1..4_u64).prop_map(|(worker, session)| Step::Grant { worker, session }),
        8 => speak,
        2 => claim,
        1 => (1..6_u64).prop_map(Step::SessionLost),
        6 => Just(Step::Tick),
        1 => (back(), any::<bool>()).prop_map(|(back, uncounted)| Step::TakeBack { back, uncounted }),
        1 => Just(Step::Restart),
        1 => Just(Step::Extend),
        1 => Just(Step::Cancel),
        1 => Just(Step::Want),
        1 => Just(Step::Retry),
        1 => Just(Step::Forget),
        1 => (0..3_u8).prop_map(Step::Uncharge),
    ]
}

/// A job with its ghost and its clock.
struct Life {
    job: Job,
    ghost: Ghost,
    now: Timestamp,
}

impl Life {
    fn new() -> Self {
        Self {
            job: Job::new(START),
            ghost: Ghost::default(),
            now: START,
        }
    }

    fn apply(&mut self, event: &Event<'_>) -> Result<(), String> {
        let before = self.job.clone();
        let result = self.job.apply(event, self.now, &policy());
        self.ghost
            .watch(&before, event, self.now, result, &self.job)
    }

    fn newest_owner(&self) -> Owner {
        let newest = self.ghost.newest.clone();
        newest.map_or_else(|| owner(0, 1), |(_, owner)| owner)
    }

    fn attempt(&self, back: u32) -> Attempt {
        Attempt(self.job.attempt.0.saturating_sub(back))
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Pass(ms) => {
                self.now = self.now + Duration::from_millis(*ms);
                Ok(())
            }
            Step::Grant { worker, session } => self.apply(&Event::Grant {
                owner: owner(*worker, *session),
            }),
            Step::Speak {
                back,
                ahead,
                as_other,
                word,
            } => {
                let attempt = Attempt(self.attempt(*back).0 + u32::from(*ahead));
                let own = self.newest_owner();
                let owner = as_other.map_or(own, |(worker, session)| owner(worker, session));
                self.speak(attempt, owner, word)
            }
            Step::Claim {
                back,
                worker,
                later,
            } => {
                let mut claimant = self.newest_owner();
                claimant.session.0 += later;
                if let Some(worker) = worker {
                    claimant.worker = owner(*worker, 1).worker;
                }
                self.apply(&Event::Claim {
                    attempt: self.attempt(*back),
                    owner: claimant,
                })
            }
            Step::SessionLost(newer) => self.apply(&Event::SessionLost {
                newer: SessionId(*newer),
            }),
            Step::TakeBack { back, uncounted } => self.apply(&Event::TakeBack {
                attempt: self.attempt(*back),
                uncounted: *uncounted,
            }),
            Step::Uncharge(worker) => self.apply(&Event::Uncharge {
                worker: owner(*worker, 1).worker,
            }),
            Step::Tick => self.apply(&Event::Tick),
            Step::Restart => self.apply(&Event::Restart),
            Step::Extend => self.apply(&Event::Extend),
            Step::Cancel => self.apply(&Event::Cancel),
            Step::Want => self.apply(&Event::Want),
            Step::Retry => self.apply(&Event::Retry),
            Step::Forget => self.apply(&Event::Forget),
        }
    }

    fn speak(&mut self, attempt: Attempt, owner: Owner, word: &Word) -> Result<(), String> {
        self.apply(&match word {
            Word::Heartbeat => Event::Heartbeat { attempt, owner },
            Word::Release => Event::Release {
                attempt,
                owner,
                uncounted: false,
            },
            Word::ReleaseLacking => Event::Release {
                attempt,
                owner,
                uncounted: true,
            },
            Word::Finish(outcome) => Event::Finish {
                attempt,
                owner,
                outcome,
                unit: 0.5,
            },
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn random_lives_keep_the_laws(steps in prop::collection::vec(step(), 1..80)) {
        let mut life = Life::new();
        for step in &steps {
            life.step(step).map_err(TestCaseError::fail)?;
        }
    }

    /// I5: from any state, a job that nobody ever answers for ends after no
    /// more grants than allowed.
    #[test]
    fn every_job_ends(steps in prop::collection::vec(step(), 1..40)) {
        let mut life = Life::new();
        for step in &steps {
            life.step(step).map_err(TestCaseError::fail)?;
        }
        let granted = life.job.attempt.0;
        for _ in 0..3 * policy().attempts_max + 3 {
            life.step(&Step::Pass(1_000_000)).map_err(TestCaseError::fail)?;
            life.step(&Step::Tick).map_err(TestCaseError::fail)?;
            life.step(&Step::Grant { worker: 2, session: 9 }).map_err(TestCaseError::fail)?;
        }
        prop_assert!(life.job.state_name().is_final(), "{:?}", life.job);
        prop_assert!(life.job.attempt.0 - granted <= policy().attempts_max);
    }

    /// Adoption: whatever happened to its lease, the newest attempt's
    /// measurement counts as long as the attempt has not ended and the job is
    /// still wanted.
    #[test]
    fn a_late_measurement_is_adopted(
        silence in prop::collection::vec(
            prop_oneof![
                Just(Step::Pass(1_000_000)),
                Just(Step::Tick),
                Just(Step::Restart),
                Just(Step::Extend),
                Just(Step::Want),
            ],
            0..20,
        ),
    ) {
        let mut life = Life::new();
        life.step(&Step::Grant { worker: 0, session: 1 }).map_err(TestCaseError::fail)?;
        for step in &silence {
            life.step(step).map_err(TestCaseError::fail)?;
        }
        life.speak(Attempt(1), owner(0, 1), &Word::Finish(measured(1.0)))
            .map_err(TestCaseError::fail)?;
        prop_assert_eq!(life.job.state, State::Succeeded);
    }
}
