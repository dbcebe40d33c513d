//! What becomes of reported outcomes.

use swath_model::job::StateName;
use swath_model::metrics::Metrics;
use swath_model::offer::Free;
use swath_model::outcome::{Fault, Measurement, Outcome};

use super::bench::Bench;
use super::script::{failed, finish, held, job, measured, sweep};
use crate::{Ack, Exchange};

/// One job, taken by worker `w`.
async fn taken(bench: &mut Bench) -> (swath_model::id::Owner, crate::Held) {
    bench.submit(&sweep("s", &[1], 1)).await;
    let owner = bench.hello("w").await;
    let attempt = bench.take_one(&owner).await;
    (owner, attempt)
}

/// A repeat of a recorded outcome is success, from any session of its worker.
pub async fn a_measurement_is_recorded_once(bench: &mut Bench) {
    let (owner, attempt) = taken(bench).await;
    let ack = bench.finish(&owner, attempt, measured(8.25)).await;
    assert_eq!(ack, Ack::Recorded);
    let ended = bench.now;
    bench.pass_ms(500);
    let ack = bench.finish(&owner, attempt, measured(8.25)).await;
    assert_eq!(ack, Ack::AlreadyRecorded);
    let newer = bench.hello("w").await;
    for owner in [&owner, &newer] {
        let ack = bench.finish(owner, attempt, measured(8.25)).await;
        assert_eq!(ack, Ack::AlreadyRecorded);
    }
    let detail = bench.job(attempt.job).await;
    assert_eq!(detail.job.state, StateName::Succeeded);
    assert_eq!(detail.job.ended_at, Some(ended));
    assert_eq!(detail.job.measured(), Some(8.25));
    assert_eq!(detail.late_outcomes, 0);
}

/// The first outcome of an attempt counts.
pub async fn another_outcome_for_a_recorded_attempt_is_stale(bench: &mut Bench) {
    let (owner, attempt) = taken(bench).await;
    bench.finish(&owner, attempt, measured(8.25)).await;
    let ack = bench.finish(&owner, attempt, measured(8.5)).await;
    assert_eq!(ack, Ack::Stale);
    // Even with the same outcome, another worker did not record it.
    let other = bench.hello("other").await;
    let ack = bench.finish(&other, attempt, measured(8.25)).await;
    assert_eq!(ack, Ack::Stale);
    let detail = bench.job(attempt.job).await;
    assert_eq!(detail.job.measured(), Some(8.25));
    assert_eq!(detail.late_outcomes, 2);
}

/// An outcome within the grace period counts.
pub async fn a_late_finish_is_adopted_while_suspect(bench: &mut Bench) {
    let (owner, attempt) = taken(bench).await;
    assert_eq!(bench.expire().await.suspected, 1);
    assert_eq!(bench.state(attempt.job).await, StateName::Suspect);
    let ack = bench.finish(&owner, attempt, measured(1.0)).await;
    assert_eq!(ack, Ack::Recorded);
    assert_eq!(bench.state(attempt.job).await, StateName::Succeeded);
}

/// A cut-off worker must not cost a training: while nobody else was granted
/// the job, its outcome counts.
pub async fn a_late_finish_is_adopted_while_queued_again(bench: &mut Bench) {
    let (owner, attempt) = taken(bench).await;
    bench.expire().await;
    assert_eq!(bench.give_up().await.requeued, 1);
    let detail = bench.job(attempt.job).await;
    assert_eq!(detail.job.state, StateName::Queued);
    assert_eq!(detail.attempts[0].ended, "lost");
    let ack = bench.finish(&owner, attempt, measured(1.0)).await;
    assert_eq!(ack, Ack::Recorded);
    assert_eq!(bench.take(&owner, 1).await, []);
    let detail = bench.job(attempt.job).await;
    assert_eq!(detail.job.state, StateName::Succeeded);
    assert_eq!(detail.attempts[0].ended, "measured");
}

/// A newer grant fences; the late outcome is kept aside, once.
pub async fn a_finish_after_a_newer_grant_is_stale(bench: &mut Bench) {
    let (owner, old) = taken(bench).await;
    bench.expire().await;
    bench.give_up().await;
    let other = bench.hello("other").await;
    let new = bench.take_one(&other).await;
    assert_eq!(new, held(old.job, 2));
    for _ in 0..2 {
        let ack = bench.finish(&owner, old, measured(1.0)).await;
        assert_eq!(ack, Ack::Stale);
    }
    // It is stale with the newer attempt's number too.
    let ack = bench.finish(&owner, new, measured(1.0)).await;
    assert_eq!(ack, Ack::Stale);
    let detail = bench.job(old.job).await;
    assert_eq!(detail.job.state, StateName::Leased);
    assert_eq!(detail.late_outcomes, 2);
    let ack = bench.finish(&other, new, measured(2.0)).await;
    assert_eq!(ack, Ack::Recorded);
    let detail = bench.job(old.job).await;
    assert_eq!(detail.job.measured(), Some(2.0));
}

/// Numbers that are not finite are refused, and so are none at all, and the attempt stays open.
pub async fn a_measurement_that_is_not_finite_is_refused(bench: &mut Bench) {
    let (owner, attempt) = taken(bench).await;
    for bad in [f64::NAN, f64::INFINITY] {
        let ack = bench.finish(&owner, attempt, measured(bad)).await;
        assert_eq!(ack, Ack::Refused);
    }
    let nothing = Outcome::Measured(Measurement {
        train_seconds: 1.0,
        values: Metrics::new(),
        weights: None,
    });
    assert_eq!(bench.finish(&owner, attempt, nothing).await, Ack::Refused);
    assert_eq!(bench.state(attempt.job).await, StateName::Leased);
    let ack = bench.finish(&owner, attempt, measured(1.0)).await;
    assert_eq!(ack, Ack::Recorded);
    // Being too late comes before being not finite, and nothing of it is kept.
    let ack = bench.finish(&owner, attempt, measured(f64::NAN)).await;
    assert_eq!(ack, Ack::Stale);
    assert_eq!(bench.job(attempt.job).await.late_outcomes, 0);
}

/// The same spec and seed would end the same way again.
pub async fn divergence_and_invalid_specs_end_a_job_at_once(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1, 2], 1)).await;
    let owner = bench.hello("w").await;
    for fault in [Fault::Diverged, Fault::Invalid] {
        let attempt = bench.take_one(&owner).await;
        let outcome = failed(fault, "loss is NaN\nat step 3");
        assert_eq!(bench.finish(&owner, attempt, outcome).await, Ack::Recorded);
        let view = bench.job(attempt.job).await.job;
        assert_eq!((view.state, view.fault), (StateName::Failed, Some(fault)));
        assert_eq!((view.charged, view.ended_at), (0, Some(bench.now)));
        assert_eq!(view.message, "loss is NaN\nat step 3");
    }
    let counts = bench.sweep(sweep("s", &[1, 2], 1).digest).await.counts;
    assert_eq!((counts.diverged, counts.failed), (1, 1));
}

/// A trainer taken away from outside says nothing about its job.
pub async fn a_lost_trainer_is_not_charged(bench: &mut Bench) {
    let (owner, attempt) = taken(bench).await;
    let outcome = failed(Fault::Lost, "killed by signal 9");
    assert_eq!(bench.finish(&owner, attempt, outcome).await, Ack::Recorded);
    let view = bench.job(attempt.job).await.job;
    assert_eq!((view.state, view.charged), (StateName::Queued, 0));
    assert_eq!(view.not_before, Some(bench.now));
    let attempt = bench.take_one(&owner).await;
    bench.finish(&owner, attempt, measured(3.0)).await;
    let detail = bench.job(attempt.job).await;
    assert_eq!(detail.job.message, "");
    assert_eq!(detail.attempts[0].message, "killed by signal 9");
}

/// An attempt that ended has nothing more to say.
pub async fn a_finish_after_a_release_is_stale(bench: &mut Bench) {
    let (owner, attempt) = taken(bench).await;
    bench.release(&owner, &[attempt]).await.unwrap();
    let ack = bench.finish(&owner, attempt, measured(1.0)).await;
    assert_eq!(ack, Ack::Stale);
    let detail = bench.job(attempt.job).await;
    assert_eq!(detail.job.state, StateName::Queued);
    assert_eq!(detail.late_outcomes, 1);
}

/// Reports about unknown jobs and attempts from the future are stale, like any
/// late report.
pub async fn what_does_not_exist_is_stale(bench: &mut Bench) {
    let (owner, attempt) = taken(bench).await;
    let unknown = held(job(99, 1), 1);
    let future = held(attempt.job, 7);
    for absent in [unknown, future, held(attempt.job, 0)] {
        let ack = bench.finish(&owner, absent, measured(1.0)).await;
        assert_eq!(ack, Ack::Stale);
    }
    let verdicts = bench.beat(&owner, &[unknown, future, attempt]).await;
    use crate::Verdict::{Fenced, Keep};
    assert_eq!(verdicts, [Fenced, Fenced, Keep]);
    bench.release(&owner, &[unknown, future]).await.unwrap();
    assert_eq!(bench.job(attempt.job).await.late_outcomes, 2);
}

/// One exchange judges its outcomes in order, and grants after them.
pub async fn outcomes_are_recorded_before_grants(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1, 2, 3], 1)).await;
    let owner = bench.hello("w").await;
    let first = bench.take(&owner, 2).await;
    let exchange = Exchange {
        owner: owner.clone(),
        request: 50,
        finishes: vec![
            finish(first[0].held, measured(1.0)),
            finish(first[1].held, failed(Fault::Lost, "")),
            finish(first[0].held, measured(1.0)),
        ],
        free: Free::cpu(2),
    };
    let exchanged = bench.exchange(exchange).await.unwrap();
    assert_eq!(
        exchanged.acks,
        [Ack::Recorded, Ack::Recorded, Ack::AlreadyRecorded]
    );
    let granted: Vec<_> = exchanged.grants.iter().map(|grant| grant.held).collect();
    assert_eq!(granted, [held(job(2, 1), 2), held(job(3, 1), 1)]);
}
