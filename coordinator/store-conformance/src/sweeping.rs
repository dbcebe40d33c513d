//! Sweeps are submitted, grow, are cancelled and revived, and their jobs with
//! them.

use serde_json::json;
use swath_model::job::StateName;
use swath_model::outcome::Fault;
use swath_model::view::SweepState;

use super::bench::Bench;
use super::script::{failed, job, measured, plain_cell, sweep};
use crate::Verdict::{Keep, Stop};
use crate::{Ack, StoreError, SubmittedCell, SweepChange};

/// Submitting the same file twice changes nothing but the priority.
pub async fn submitting_twice_is_a_no_op(bench: &mut Bench) {
    let mut submission = sweep("s", &[1, 2], 2);
    let submitted = bench.submit(&submission).await;
    assert_eq!((submitted.existed, submitted.revived), (false, false));
    assert_eq!((submitted.jobs, submitted.new_jobs), (4, 4));
    let owner = bench.hello("w").await;
    let attempt = bench.take_one(&owner).await;
    bench.finish(&owner, attempt, measured(1.0)).await;
    bench.cancel_jobs(&[job(2, 2)]).await;
    let first = bench.now;
    bench.pass_ms(100);
    submission.priority = 4;
    submission.title.push_str(" again");
    let submitted = bench.submit(&submission).await;
    assert_eq!((submitted.existed, submitted.revived), (true, false));
    assert_eq!((submitted.jobs, submitted.new_jobs), (4, 0));
    assert_eq!(submitted.succeeded, 1);
    let view = bench.sweep(submission.digest).await;
    assert_eq!((view.priority, view.submitted_at), (4, first));
    assert_eq!(view.title, "About s");
    assert_eq!(bench.state(job(2, 2)).await, StateName::Cancelled);
}

/// A grown file trains only what is missing.
pub async fn a_grown_sweep_keeps_its_jobs(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1, 2], 1)).await;
    let owner = bench.hello("w").await;
    let attempt = bench.take_one(&owner).await;
    bench.finish(&owner, attempt, measured(1.0)).await;
    let grown = sweep("s", &[0, 1, 2], 2);
    let submitted = bench.submit(&grown).await;
    assert_eq!((submitted.jobs, submitted.new_jobs), (6, 4));
    assert_eq!(submitted.succeeded, 1);
    let order: Vec<_> = bench.take(&owner, 9).await;
    let order: Vec<_> = order.iter().map(|grant| grant.held.job).collect();
    let wanted = [job(2, 1), job(0, 1), job(0, 2), job(1, 2), job(2, 2)];
    assert_eq!(order, wanted);
    assert_eq!(bench.job(job(1, 1)).await.job.sweeps, ["s"]);
    let results = bench.read(async |store| store.results(grown.digest, None).await);
    let results = results.await;
    assert_eq!(results[1].replicates[0].state, StateName::Succeeded);
    assert_eq!(results[1].replicates[1].state, StateName::Leased);
}

/// A spec without a place for the seed is refused, and nothing of the sweep is
/// kept.
pub async fn a_spec_must_be_an_object(bench: &mut Bench) {
    for spec in ["", "[1]", "{\"x\":"] {
        let mut submission = sweep("s", &[1], 1);
        submission.cells.push(SubmittedCell {
            spec: spec.to_owned(),
            axes: vec![("x".to_owned(), json!(2))],
            ..plain_cell(2)
        });
        let refused = bench.try_submit(&submission).await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))), "{spec}");
    }
    let sweeps = bench.read(async |store| store.sweeps().await).await;
    assert_eq!(sweeps, []);
    assert_eq!(bench.jobs(crate::JobQuery::default()).await, []);
}

/// Only jobs that no other live sweep needs are cancelled.
pub async fn cancelling_spares_shared_jobs(bench: &mut Bench) {
    let one = sweep("one", &[1, 2], 1);
    let two = sweep("two", &[2, 3], 1);
    bench.submit(&one).await;
    bench.submit(&two).await;
    // A paused sweep still needs its jobs.
    let pause = SweepChange::Pause {
        cause: swath_model::cause::PauseCause::Operator,
    };
    bench.change_sweep(two.digest, pause).await.unwrap();
    bench
        .change_sweep(one.digest, SweepChange::Cancel)
        .await
        .unwrap();
    assert_eq!(bench.state(job(1, 1)).await, StateName::Cancelled);
    assert_eq!(bench.state(job(2, 1)).await, StateName::Queued);
    assert_eq!(bench.job(job(2, 1)).await.job.sweeps, ["one", "two"]);
    assert_eq!(bench.sweep(one.digest).await.state, SweepState::Cancelled);
    bench
        .change_sweep(two.digest, SweepChange::Cancel)
        .await
        .unwrap();
    assert_eq!(bench.state(job(2, 1)).await, StateName::Cancelled);
    let counts = bench.sweep(two.digest).await.counts;
    assert_eq!((counts.cancelled, counts.total()), (2, 2));
}

/// An open attempt is told at its next heartbeat. Its release ends the job, and
/// so does its silence.
pub async fn a_cancelled_attempt_is_stopped(bench: &mut Bench) {
    let submission = sweep("s", &[1, 2, 3], 1);
    bench.submit(&submission).await;
    let owner = bench.hello("w").await;
    let grants = bench.take(&owner, 3).await;
    let attempts: Vec<_> = grants.iter().map(|grant| grant.held).collect();
    bench
        .change_sweep(submission.digest, SweepChange::Cancel)
        .await
        .unwrap();
    let view = bench.job(attempts[0].job).await.job;
    assert_eq!((view.state, view.stop), (StateName::Leased, true));
    assert_eq!(bench.beat(&owner, &attempts).await, [Stop, Stop, Stop]);
    bench.release(&owner, &attempts[..1]).await.unwrap();
    let crash = failed(Fault::Crashed, "stopped");
    assert_eq!(
        bench.finish(&owner, attempts[1], crash).await,
        Ack::Recorded
    );
    bench.expire().await;
    assert_eq!(bench.give_up().await.ended, 1);
    for attempt in attempts {
        let view = bench.job(attempt.job).await.job;
        assert_eq!((view.state, view.stop), (StateName::Cancelled, false));
        assert!(view.ended_at.is_some());
    }
}

/// A number that has been measured is not thrown away.
pub async fn a_measurement_counts_although_cancelled(bench: &mut Bench) {
    let submission = sweep("s", &[1], 1);
    bench.submit(&submission).await;
    let owner = bench.hello("w").await;
    let attempt = bench.take_one(&owner).await;
    bench
        .change_sweep(submission.digest, SweepChange::Cancel)
        .await
        .unwrap();
    assert_eq!(
        bench.finish(&owner, attempt, measured(1.0)).await,
        Ack::Recorded
    );
    assert_eq!(bench.state(attempt.job).await, StateName::Succeeded);
    assert_eq!(
        bench.sweep(submission.digest).await.state,
        SweepState::Cancelled
    );
}

/// Submitting a cancelled sweep again makes its jobs wanted again: cancelled
/// ones wait, stopping ones continue, and a pause is over.
pub async fn a_cancelled_sweep_can_be_revived(bench: &mut Bench) {
    let submission = sweep("s", &[1, 2], 1);
    bench.submit(&submission).await;
    let owner = bench.hello("w").await;
    let attempt = bench.take_one(&owner).await;
    let pause = SweepChange::Pause {
        cause: swath_model::cause::PauseCause::Operator,
    };
    for change in [pause, SweepChange::Cancel, SweepChange::Cancel] {
        bench.change_sweep(submission.digest, change).await.unwrap();
    }
    bench.pass_ms(10);
    let submitted = bench.submit(&submission).await;
    assert_eq!((submitted.existed, submitted.revived), (true, true));
    let view = bench.sweep(submission.digest).await;
    assert_eq!((view.state, view.paused), (SweepState::Active, None));
    assert_eq!(bench.beat(&owner, &[attempt]).await, [Keep]);
    let view = bench.job(job(2, 1)).await.job;
    assert_eq!((view.state, view.ended_at), (StateName::Queued, None));
    assert_eq!(view.not_before, Some(bench.now));
    // A new sweep wants cancelled jobs as well.
    bench
        .change_sweep(submission.digest, SweepChange::Cancel)
        .await
        .unwrap();
    bench.submit(&sweep("other", &[2], 1)).await;
    assert_eq!(bench.state(job(2, 1)).await, StateName::Queued);
    assert_eq!(bench.beat(&owner, &[attempt]).await, [Stop]);
}

/// A job that used up its attempts while it was to stop gets them back when it
/// is wanted again.
pub async fn a_stopped_job_starts_over(bench: &mut Bench) {
    let submission = sweep("s", &[1], 1);
    bench.submit(&submission).await;
    let owner = bench.hello("w").await;
    let attempts = bench.policy().attempts_max;
    for attempt in 1..=attempts {
        let held = bench.take_one(&owner).await;
        if attempt == attempts {
            bench.cancel_jobs(&[held.job]).await;
        }
        bench.release(&owner, &[held]).await.unwrap();
    }
    assert_eq!(bench.state(job(1, 1)).await, StateName::Cancelled);
    bench.submit(&sweep("other", &[1], 1)).await;
    let held = bench.take_one(&owner).await;
    assert_eq!(held.attempt.0, attempts + 1);
    bench.release(&owner, &[held]).await.unwrap();
    assert_eq!(bench.state(job(1, 1)).await, StateName::Queued);
}

/// Single jobs are cancelled whatever sweeps want them, and are retried if they
/// are final without a measurement.
pub async fn jobs_are_cancelled_and_retried_alone(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1, 2, 3, 4], 1)).await;
    let owner = bench.hello("w").await;
    let grants = bench.take(&owner, 3).await;
    bench.finish(&owner, grants[0].held, measured(1.0)).await;
    let diverged = failed(Fault::Diverged, "loss is NaN");
    bench.finish(&owner, grants[1].held, diverged).await;
    let all = [job(1, 1), job(2, 1), job(3, 1), job(4, 1), job(99, 1)];
    // The one under way is told to stop, the waiting one is cancelled.
    assert_eq!(bench.cancel_jobs(&all).await, 2);
    assert_eq!(bench.cancel_jobs(&all).await, 0);
    assert_eq!(bench.beat(&owner, &[grants[2].held]).await, [Stop]);
    // The diverged and the cancelled one.
    bench.pass_ms(10);
    assert_eq!(bench.retry_jobs(&all).await, 2);
    assert_eq!(bench.retry_jobs(&all).await, 0);
    let view = bench.job(job(2, 1)).await.job;
    assert_eq!((view.state, view.fault), (StateName::Queued, None));
    assert_eq!((view.message.as_str(), view.ended_at), ("", None));
    bench.release(&owner, &[grants[2].held]).await.unwrap();
    assert_eq!(bench.state(job(3, 1)).await, StateName::Cancelled);
    let order = bench.take(&owner, 9).await;
    let order: Vec<_> = order.iter().map(|grant| grant.held).collect();
    assert_eq!(order.len(), 2);
    assert_eq!((order[0].job, order[0].attempt.0), (job(2, 1), 2));
    assert_eq!((order[1].job, order[1].attempt.0), (job(4, 1), 1));
}

/// A job that waits must be needed: a retried job revives the newest sweep that
/// holds it, but not that sweep's other jobs.
pub async fn retrying_a_job_revives_its_newest_sweep(bench: &mut Bench) {
    let older = sweep("older", &[1, 2], 1);
    let newer = sweep("newer", &[1, 3], 1);
    for submission in [&older, &newer] {
        bench.submit(submission).await;
        bench
            .change_sweep(submission.digest, SweepChange::Cancel)
            .await
            .unwrap();
    }
    assert_eq!(bench.retry_jobs(&[job(1, 1)]).await, 1);
    assert_eq!(bench.sweep(older.digest).await.state, SweepState::Cancelled);
    assert_eq!(bench.sweep(newer.digest).await.state, SweepState::Active);
    assert_eq!(bench.state(job(3, 1)).await, StateName::Cancelled);
    let owner = bench.hello("w").await;
    assert_eq!(bench.take_one(&owner).await.job, job(1, 1));
    assert_eq!(bench.retry_jobs(&[job(2, 1)]).await, 1);
    assert_eq!(bench.sweep(older.digest).await.state, SweepState::Active);
}

/// A cancelled sweep must first be submitted again.
pub async fn a_cancelled_sweep_takes_no_other_change(bench: &mut Bench) {
    let submission = sweep("s", &[1], 1);
    let unknown = bench
        .change_sweep(submission.digest, SweepChange::Cancel)
        .await;
    assert!(matches!(unknown, Err(StoreError::NotFound(_))));
    bench.submit(&submission).await;
    bench
        .change_sweep(submission.digest, SweepChange::Cancel)
        .await
        .unwrap();
    let pause = SweepChange::Pause {
        cause: swath_model::cause::PauseCause::Operator,
    };
    for change in [pause, SweepChange::Resume, SweepChange::Priority(3)] {
        let refused = bench.change_sweep(submission.digest, change).await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))));
    }
    assert_eq!(bench.sweep(submission.digest).await.priority, 0);
}
