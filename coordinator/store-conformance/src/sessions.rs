//! Lives of workers: a newer session fences the older ones.

use swath_model::id::{Owner, SessionId, StateId};
use swath_model::job::StateName;
use swath_model::view::WorkerState;

use super::bench::Bench;
use super::script::{finish, held, job, measured, sweep, worker_about};
use crate::Verdict::{Fenced, Keep, Stop};
use crate::{Ack, Held, Hello, StoreError, Welcome, WorkerChange};

fn is_stale<T>(result: &crate::Result<T>) -> bool {
    matches!(result, Err(StoreError::StaleSession { .. }))
}

async fn taken(bench: &mut Bench, jobs: u32) -> (Owner, Vec<Held>) {
    let cells: Vec<u32> = (1..=jobs).collect();
    bench.submit(&sweep("s", &cells, 1)).await;
    let owner = bench.hello("w").await;
    let grants = bench.take(&owner, jobs).await;
    (owner, grants.iter().map(|grant| grant.held).collect())
}

/// Each hello gets a greater number, and what it does not claim is queued again
/// at once.
pub async fn sessions_grow_and_fence(bench: &mut Bench) {
    let (older, attempts) = taken(bench, 2).await;
    let other = bench.hello("other").await;
    assert_ne!(other.session, older.session);
    let (newer, welcome) = bench.hello_holding("w", &attempts[1..]).await;
    assert!(newer.session > older.session);
    assert_eq!(
        (welcome.verdicts.as_slice(), welcome.requeued),
        (&[Keep][..], 1)
    );
    assert_eq!(bench.state(attempts[0].job).await, StateName::Queued);
    assert!(is_stale(&bench.heartbeat(&older, &attempts).await));
    assert!(is_stale(&bench.release(&older, &attempts).await));
    assert_eq!(bench.beat(&newer, &attempts).await, [Fenced, Keep]);
    assert_eq!(bench.worker(&newer.worker).await.session, newer.session);
}

/// Outcomes of an older session are acknowledged, and change nothing.
pub async fn an_older_session_is_only_acknowledged(bench: &mut Bench) {
    let (older, attempts) = taken(bench, 3).await;
    bench.finish(&older, attempts[0], measured(1.0)).await;
    bench.hello_holding("w", &attempts[1..2]).await;
    let seen = bench.worker(&older.worker).await.seen_at;
    bench.pass_ms(10);
    let finishes = attempts
        .iter()
        .map(|attempt| finish(*attempt, measured(1.0)))
        .collect();
    let exchanged = bench.trade(&older, finishes, 5).await.unwrap();
    assert_eq!(
        exchanged.acks,
        [Ack::AlreadyRecorded, Ack::Stale, Ack::Stale]
    );
    assert_eq!(exchanged.grants, []);
    assert_eq!(bench.state(attempts[1].job).await, StateName::Leased);
    assert_eq!(bench.state(attempts[2].job).await, StateName::Queued);
    assert_eq!(bench.job(attempts[2].job).await.late_outcomes, 1);
    assert_eq!(bench.worker(&older.worker).await.seen_at, seen);
    assert!(is_stale(&bench.trade(&older, vec![], 1).await));
}

/// Session numbers from the future, none at all, and unknown workers: nothing
/// from these is kept.
pub async fn a_session_that_was_never_given_is_refused(bench: &mut Bench) {
    let (owner, attempts) = taken(bench, 1).await;
    let future = Owner {
        session: SessionId(owner.session.0 + 100),
        ..owner.clone()
    };
    let zero = Owner {
        session: SessionId(0),
        ..owner.clone()
    };
    let nobody = Owner {
        worker: "nobody".parse().unwrap(),
        ..owner
    };
    for stranger in [future, zero, nobody] {
        let finishes = vec![finish(attempts[0], measured(1.0))];
        assert!(is_stale(&bench.trade(&stranger, finishes, 1).await));
        assert!(is_stale(&bench.heartbeat(&stranger, &attempts).await));
        assert!(is_stale(&bench.observe(&stranger, &[]).await));
        assert!(is_stale(&bench.release(&stranger, &attempts).await));
    }
    let detail = bench.job(attempts[0].job).await;
    assert_eq!(
        (detail.job.state, detail.late_outcomes),
        (StateName::Leased, 0)
    );
}

/// The new session takes over what the worker still has, and its outcomes.
pub async fn claims_survive_a_restart_of_the_worker(bench: &mut Bench) {
    let (_, attempts) = taken(bench, 4).await;
    bench.cancel_jobs(&[attempts[1].job]).await;
    let older = bench.worker(&"w".parse().unwrap()).await.session;
    let worker = "w".parse().unwrap();
    let done = Owner {
        worker,
        session: older,
    };
    bench.finish(&done, attempts[2], measured(1.0)).await;
    bench.pass_ms(50);
    let (owner, welcome) = bench.hello_holding("w", &attempts).await;
    // The worker need do nothing more about a recorded outcome.
    assert_eq!(welcome.verdicts, [Keep, Stop, Fenced, Keep]);
    assert_eq!(welcome.requeued, 0);
    let detail = bench.job(attempts[0].job).await;
    assert_eq!(detail.job.deadline, Some(bench.now + bench.policy().ttl()));
    assert_eq!(detail.attempts[0].session, older);
    let ack = bench.finish(&owner, attempts[0], measured(2.0)).await;
    assert_eq!(ack, Ack::Recorded);
    bench.release(&owner, &[attempts[1]]).await.unwrap();
    assert_eq!(bench.state(attempts[1].job).await, StateName::Cancelled);
    assert_eq!(bench.beat(&owner, &[attempts[3]]).await, [Keep]);
}

/// A claim needs the same worker and the newest attempt.
pub async fn claims_of_others_are_fenced(bench: &mut Bench) {
    let (_, attempts) = taken(bench, 1).await;
    let attempt = attempts[0];
    let absent = [attempt, held(attempt.job, 2), held(job(99, 1), 1)];
    let (_, welcome) = bench.hello_holding("thief", &absent).await;
    assert_eq!(welcome.verdicts, [Fenced, Fenced, Fenced]);
    let view = bench.job(attempt.job).await.job;
    assert_eq!(
        view.worker.map(|name| name.to_string()).as_deref(),
        Some("w")
    );
    assert_eq!(bench.worker(&"w".parse().unwrap()).await.held, 1);
}

/// An attempt whose job waits again can be claimed until a newer one was
/// granted.
pub async fn a_claim_may_bring_a_lost_attempt_back(bench: &mut Bench) {
    let (older, attempts) = taken(bench, 2).await;
    bench.expire().await;
    bench.give_up().await;
    let (owner, welcome) = bench.hello_holding("w", &attempts[..1]).await;
    assert_eq!(
        (welcome.verdicts.as_slice(), welcome.requeued),
        (&[Keep][..], 0)
    );
    assert_eq!(bench.state(attempts[0].job).await, StateName::Leased);
    // A report about what it did not claim now belongs to an older session,
    // whoever sends it.
    for speaker in [&owner, &older] {
        let ack = bench.finish(speaker, attempts[1], measured(1.0)).await;
        assert_eq!(ack, Ack::Stale);
    }
    assert_eq!(bench.state(attempts[1].job).await, StateName::Queued);
    let other = bench.hello("other").await;
    assert_eq!(bench.take_one(&other).await, held(attempts[1].job, 2));
    let (_, welcome) = bench.hello_holding("w", &attempts).await;
    assert_eq!(welcome.verdicts, [Keep, Fenced]);
}

/// The hello of worker `w` from this state directory.
fn from_state(state: u128, held: &[Held]) -> Hello {
    let mut about = worker_about(&[]);
    about.state_id = Some(StateId(state));
    Hello {
        worker: "w".parse().unwrap(),
        about,
        held: held.to_vec(),
        takes_name: false,
    }
}

fn is_taken(result: &crate::Result<Welcome>) -> bool {
    matches!(result, Err(StoreError::NameTaken { .. }))
}

/// A worker and the one job that it trains.
async fn trains(bench: &mut Bench) -> (Owner, Held) {
    bench.submit(&sweep("s", &[1], 1)).await;
    let session = bench.greet(from_state(1, &[])).await.session;
    let worker = "w".parse().unwrap();
    let owner = Owner { worker, session };
    let held = bench.take_one(&owner).await;
    (owner, held)
}

/// Of two workers with one name, the one that comes second is refused, and the
/// one that trains keeps its session.
pub async fn a_live_name_is_not_given_twice(bench: &mut Bench) {
    let (owner, attempt) = trains(bench).await;
    let refused = bench.try_greet(from_state(2, &[])).await;
    assert!(is_taken(&refused), "{refused:?}");
    assert_eq!(bench.beat(&owner, &[attempt]).await, [Keep]);
    // Not even after a time in which nobody could be heard of.
    bench.pass(bench.policy().ttl() * 10);
    bench.restart().await;
    let refused = bench.try_greet(from_state(2, &[attempt])).await;
    assert!(is_taken(&refused), "{refused:?}");
    let view = bench.worker(&owner.worker).await;
    assert_eq!((view.session, view.held), (owner.session, 1));
    assert_eq!(bench.beat(&owner, &[attempt]).await, [Keep]);
    assert_eq!(bench.state(attempt.job).await, StateName::Leased);
}

/// A worker that starts again from its state directory has its name at once.
pub async fn a_worker_comes_back_to_its_name(bench: &mut Bench) {
    let (older, attempt) = trains(bench).await;
    let welcome = bench.greet(from_state(1, &[attempt])).await;
    assert_eq!(welcome.verdicts, [Keep]);
    assert!(is_stale(&bench.heartbeat(&older, &[attempt]).await));
}

/// The name of a worker that was silent for the life of a lease is free.
pub async fn a_dead_workers_name_is_free(bench: &mut Bench) {
    let (owner, attempt) = trains(bench).await;
    bench.pass(bench.policy().ttl());
    bench.tick().await;
    assert!(is_taken(&bench.try_greet(from_state(2, &[])).await));
    bench.pass_ms(1);
    bench.tick().await;
    let welcome = bench.greet(from_state(2, &[])).await;
    assert_eq!(welcome.requeued, 1);
    assert!(is_stale(&bench.heartbeat(&owner, &[attempt]).await));
    // Now it is the first one that comes too late.
    assert!(is_taken(&bench.try_greet(from_state(1, &[attempt])).await));
}

/// On request a name is taken even from a worker that is alive.
pub async fn a_live_name_can_be_taken(bench: &mut Bench) {
    let (owner, attempt) = trains(bench).await;
    let takes = Hello {
        takes_name: true,
        ..from_state(2, &[])
    };
    let welcome = bench.greet(takes).await;
    assert!(welcome.session > owner.session);
    assert_eq!(bench.state(attempt.job).await, StateName::Queued);
    assert!(is_stale(&bench.heartbeat(&owner, &[attempt]).await));
}

/// A worker that is gone is left out of lists, and its jobs wait again. One that
/// is alive is not forgotten, and one that comes back begins anew.
pub async fn a_worker_that_is_gone_is_forgotten(bench: &mut Bench) {
    let (owner, attempt) = trains(bench).await;
    let forget = async |bench: &mut Bench| {
        let worker = owner.worker.clone();
        bench.change_worker(&worker, WorkerChange::Forget).await
    };
    let cordon = WorkerChange::Cordon {
        cause: swath_model::cause::CordonCause::Operator,
    };
    bench.change_worker(&owner.worker, cordon).await.unwrap();
    let refused = forget(bench).await;
    assert!(
        matches!(refused, Err(StoreError::Conflict(_))),
        "{refused:?}"
    );
    bench.pass(bench.policy().ttl() * 2);
    bench.tick().await;
    forget(bench).await.unwrap();
    assert_eq!(bench.state(attempt.job).await, StateName::Queued);
    let again = forget(bench).await;
    assert!(matches!(again, Err(StoreError::NotFound(_))), "{again:?}");
    assert!(is_stale(&bench.heartbeat(&owner, &[attempt]).await));
    // Anybody may have the name now.
    let welcome = bench.greet(from_state(2, &[])).await;
    assert!(welcome.session > owner.session);
    let view = bench.worker(&owner.worker).await;
    assert_eq!(view.state, WorkerState::Active);
}

/// A worker that says goodbye is gone at once: what it holds waits again, nothing
/// of its session counts any more, and its name is free.
pub async fn a_goodbye_ends_a_session(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1, 2], 1)).await;
    let session = bench.greet(from_state(1, &[])).await.session;
    let worker = "w".parse().unwrap();
    let owner = Owner { worker, session };
    let attempts: Vec<Held> = {
        let grants = bench.take(&owner, 2).await;
        grants.iter().map(|grant| grant.held).collect()
    };
    bench.finish(&owner, attempts[0], measured(1.0)).await;
    assert_eq!(bench.goodbye(&owner).await.unwrap(), 1);
    let detail = bench.job(attempts[1].job).await;
    assert_eq!(
        (detail.job.state, detail.job.charged),
        (StateName::Queued, 0)
    );
    let view = bench.worker(&owner.worker).await;
    assert_eq!((view.silent, view.held), (true, 0));
    assert!(is_stale(&bench.goodbye(&owner).await));
    assert!(is_stale(&bench.heartbeat(&owner, &attempts).await));
    assert!(is_stale(&bench.trade(&owner, vec![], 2).await));
    assert!(bench.worker(&owner.worker).await.silent);
    // An outcome that comes all the same is only acknowledged.
    let ack = bench.finish(&owner, attempts[1], measured(2.0)).await;
    assert_eq!(ack, Ack::Stale);
    let welcome = bench.greet(from_state(2, &attempts[1..])).await;
    assert_eq!(
        (welcome.verdicts.as_slice(), welcome.requeued),
        (&[Fenced][..], 0)
    );
    assert!(!bench.worker(&owner.worker).await.silent);
}

/// A goodbye lifts no cordon.
pub async fn a_cordon_outlives_a_goodbye(bench: &mut Bench) {
    let owner = bench.hello("w").await;
    let cordon = WorkerChange::Cordon {
        cause: swath_model::cause::CordonCause::Operator,
    };
    bench.change_worker(&owner.worker, cordon).await.unwrap();
    bench.goodbye(&owner).await.unwrap();
    let view = bench.worker(&owner.worker).await;
    assert_eq!((view.state, view.silent), (WorkerState::Cordoned, true));
    // It is gone, so it may be forgotten.
    let forget = WorkerChange::Forget;
    bench.change_worker(&owner.worker, forget).await.unwrap();
}

/// Starting a worker again does not lift its cordon.
pub async fn a_cordon_outlives_a_session(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1], 1)).await;
    let owner = bench.hello("w").await;
    let cordon = WorkerChange::Cordon {
        cause: swath_model::cause::CordonCause::Operator,
    };
    bench.change_worker(&owner.worker, cordon).await.unwrap();
    let owner = bench.hello("w").await;
    let view = bench.worker(&owner.worker).await;
    assert_eq!(view.state, WorkerState::Cordoned);
    assert_eq!(
        view.cordoned,
        Some(swath_model::cause::CordonCause::Operator)
    );
    assert_eq!(bench.take(&owner, 1).await, []);
}
