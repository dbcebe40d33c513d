//! The laws of a job's life (I1 to I5), over random sequences of events and
//! over every order of events within small bounds.
//!
//! A ghost watches from outside: it notes who was granted what and what ended,
//! and from that alone knows which words must be heard and which must not.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use swath_core::id::{Attempt, Owner, SessionId};
use swath_core::job::{Applied, Event, Job, Refusal, State, StateName};
use swath_core::outcome::{Fault, Measurement, Outcome};
use swath_core::policy::Policy;
use swath_core::time::Timestamp;

const START: Timestamp = Timestamp::from_ms(1_000_000);

fn policy() -> Policy {
    Policy {
        attempts_max: 3,
        charged_max: 2,
        workers_max: 2,
        ..Policy::default()
    }
}

fn owner(worker: u8, session: u64) -> Owner {
    let name = ["a", "b", "c"][worker as usize];
    Owner {
        worker: name.parse().unwrap(),
        session: SessionId(session),
    }
}

fn measured(test_error: f64) -> Outcome {
    Outcome::Measured(Measurement {
        test_error,
        test_loss: None,
        best_test_error: None,
        train_seconds: 1.0,
    })
}

fn failed(fault: Fault) -> Outcome {
    Outcome::Failed {
        fault,
        message: String::new(),
    }
}

/// What an observer of every event knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Ghost {
    /// The newest granted attempt, and who may speak for it.
    newest: Option<(Attempt, Owner)>,
    /// It reported its end, or was taken away.
    ended: bool,
    measurements: u32,
    /// Grants and charged faults since the job last started over.
    grants: u32,
    charged: u32,
}

impl Ghost {
    /// Whether a word about this attempt must be heard.
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

    /// Holds one step to the laws, and takes note of it.
    fn watch(
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
        law(self.measurements <= 1, "at most one measurement per job")?;
        law(
            self.grants <= policy().attempts_max && self.charged <= policy().charged_max,
            "I5: attempts and charged faults are bounded",
        )?;
        law(after.check(&policy()) == Ok(()), "Job::check")
    }

    /// Whether this event must be heard, if it is a word of a worker.
    fn heard(&self, before: &Job, event: &Event<'_>) -> Option<bool> {
        match event {
            Event::Heartbeat { attempt, owner }
            | Event::Release { attempt, owner }
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
            Event::Release { .. } | Event::TakeBack { .. } => self.ended = true,
            Event::SessionLost { .. } if before != after => self.ended = true,
            Event::Uncharge { .. } if before != after => {
                self.charged = self.charged.saturating_sub(1);
            }
            _ => {}
        }
    }
}

/// Whether a worker's word was heard: also when what it said was refused for
/// its content.
fn heard_of(result: Result<Applied, Refusal>) -> bool {
    result != Err(Refusal::Stale)
}

fn final_stays(before: &Job, event: &Event<'_>, after: &Job) -> bool {
    before == after
        || match before.state {
            State::Succeeded => false,
            State::Failed(_) => matches!(event, Event::Retry),
            State::Cancelled => matches!(event, Event::Retry | Event::Want),
            _ => true,
        }
}

/// Whether what the event says may be taken over, whoever says it.
fn acceptable(before: &Job, event: &Event<'_>) -> bool {
    match event {
        Event::Finish {
            outcome: Outcome::Measured(measurement),
            ..
        } => measurement.is_finite(),
        Event::TakeBack { attempt } => *attempt == before.attempt && before.lease().is_some(),
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
    },
    Restart,
    Extend,
    Cancel,
    Want,
    Retry,
    Uncharge(u8),
}

#[derive(Clone, Debug)]
enum Word {
    Heartbeat,
    Release,
    Finish(Outcome),
}

fn word() -> impl Strategy<Value = Word> {
    let fault = select(&Fault::ALL[..]).prop_map(failed);
    prop_oneof![
        3 => Just(Word::Heartbeat),
        2 => Just(Word::Release),
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
        1 => back().prop_map(|back| Step::TakeBack { back }),
        1 => Just(Step::Restart),
        1 => Just(Step::Extend),
        1 => Just(Step::Cancel),
        1 => Just(Step::Want),
        1 => Just(Step::Retry),
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
            Step::TakeBack { back } => self.apply(&Event::TakeBack {
                attempt: self.attempt(*back),
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
        }
    }

    fn speak(&mut self, attempt: Attempt, owner: Owner, word: &Word) -> Result<(), String> {
        self.apply(&match word {
            Word::Heartbeat => Event::Heartbeat { attempt, owner },
            Word::Release => Event::Release { attempt, owner },
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

    /// I5: from wherever it is, a job that nobody ever answers for ends, after
    /// no more grants than it may have.
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

    /// Adoption: whatever befell its lease, the newest attempt's measurement
    /// counts as long as it did not end and nobody stopped waiting for it.
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

/// Attempts in the exhaustive check: one more than a job gets at once, so that
/// a retry is part of it.
const ATTEMPTS: u32 = 4;

/// A time at which every lease and grace is over.
const LATE: Timestamp = Timestamp::from_ms(1_000_000_000);

/// Every order of every event, with every attempt and speaker: two workers,
/// two sessions each. Messages may be lost, repeated and reordered at will,
/// since any may come at any time, any number of times; leases may pass at any
/// time, since what is left of them is forgotten after each step.
#[test]
fn every_order_of_events_keeps_the_laws() {
    let outcomes = [
        measured(1.0),
        failed(Fault::Crashed),
        failed(Fault::Lost),
        failed(Fault::Diverged),
    ];
    let events = every_event(&outcomes);
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut ends: BTreeSet<StateName> = BTreeSet::new();
    let mut open = VecDeque::from([(Job::new(START), Ghost::default())]);
    let mut steps = 0_u64;
    while let Some((job, ghost)) = open.pop_front() {
        for event in &events {
            let grant = matches!(event, Event::Grant { .. });
            if grant && job.attempt == Attempt(ATTEMPTS) {
                continue;
            }
            let now = if matches!(event, Event::Tick) {
                LATE
            } else {
                START
            };
            let (mut job_after, mut ghost_after) = (job.clone(), ghost.clone());
            let result = job_after.apply(event, now, &policy());
            steps += 1;
            if let Err(broken) = ghost_after.watch(&job, event, now, result, &job_after) {
                panic!("{broken}");
            }
            forget_times(&mut job_after);
            if seen.insert(format!("{job_after:?}{ghost_after:?}")) {
                ends.insert(job_after.state_name());
                open.push_back((job_after, ghost_after));
            }
        }
    }
    assert_eq!(ends.len(), StateName::ALL.len(), "{ends:?}");
    // Fewer would mean that the search stopped early.
    assert!(seen.len() > 800, "{} states, {steps} steps", seen.len());
}

fn forget_times(job: &mut Job) {
    job.granted_at = START;
    match &mut job.state {
        State::Queued { not_before } => *not_before = START,
        State::Leased(lease) | State::Suspect(lease) => {
            lease.granted_at = START;
            lease.deadline = START + Duration::from_mins(1);
        }
        _ => {}
    }
}

fn every_event(outcomes: &[Outcome]) -> Vec<Event<'_>> {
    let mut events = vec![
        Event::Tick,
        Event::Restart,
        Event::Extend,
        Event::Cancel,
        Event::Want,
        Event::Retry,
    ];
    for session in 1..=3 {
        let newer = SessionId(session);
        events.push(Event::SessionLost { newer });
    }
    for worker in 0..2 {
        let name = owner(worker, 1).worker;
        events.push(Event::Uncharge { worker: name });
        for owner in [owner(worker, 1), owner(worker, 2)] {
            events.push(Event::Grant {
                owner: owner.clone(),
            });
            for attempt in (0..=ATTEMPTS).map(Attempt) {
                let owner = || owner.clone();
                events.push(Event::Heartbeat {
                    attempt,
                    owner: owner(),
                });
                events.push(Event::Claim {
                    attempt,
                    owner: owner(),
                });
                events.push(Event::Release {
                    attempt,
                    owner: owner(),
                });
                events.extend(outcomes.iter().map(|outcome| Event::Finish {
                    attempt,
                    owner: owner(),
                    outcome,
                    unit: 0.0,
                }));
            }
        }
    }
    events.extend((0..=ATTEMPTS).map(|attempt| Event::TakeBack {
        attempt: Attempt(attempt),
    }));
    events
}
