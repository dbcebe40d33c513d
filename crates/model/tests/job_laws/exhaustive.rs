//! Every order of events within small bounds.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use swath_model::id::{Attempt, SessionId};
use swath_model::job::{Event, Job, State, StateName};
use swath_model::outcome::{Fault, Outcome};
use swath_model::time::Timestamp;

use crate::ghost::Ghost;
use crate::{START, failed, measured, owner, policy};

/// How many attempts the exhaustive check makes: one more than a job gets at
/// once, so that a retry is included.
const ATTEMPTS: u32 = 4;

/// A time at which every lease and grace is over.
const LATE: Timestamp = Timestamp::from_ms(1_000_000_000);

/// Every order of every event, with every attempt and speaker: two workers, two
/// sessions each. Messages may be lost, repeated and reordered, because any may
/// come at any time and any number of times. Leases may pass at any time,
/// because their remaining time is forgotten after each step.
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
        Event::Forget,
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
                events.extend([false, true].map(|uncounted| Event::Release {
                    attempt,
                    owner: owner(),
                    uncounted,
                }));
                events.extend(outcomes.iter().map(|outcome| Event::Finish {
                    attempt,
                    owner: owner(),
                    outcome,
                    unit: 0.0,
                }));
            }
        }
    }
    for attempt in (0..=ATTEMPTS).map(Attempt) {
        events.extend([false, true].map(|uncounted| Event::TakeBack { attempt, uncounted }));
    }
    events
}
