//! When a job, a worker or a sweep is found broken.

use swath_model::cause::{CordonCause, PauseCause};
use swath_model::id::{JobDigest, Owner};
use swath_model::job::StateName;
use swath_model::outcome::Fault;
use swath_model::view::{SweepState, WorkerState};

use super::bench::Bench;
use super::script::{failed, finish, held, job, measured, sweep};
use crate::{Ack, Held, SweepChange, WorkerChange};

/// Makes `owner` take a job and fail it.
async fn crash(bench: &mut Bench, owner: &Owner, message: &str) -> Held {
    bench.pass_ms(bench.policy().backoff_max_ms);
    let attempt = bench.take_one(owner).await;
    let outcome = finish(attempt, failed(Fault::Crashed, message));
    let exchanged = bench.trade(owner, vec![outcome], 0).await.unwrap();
    assert_eq!(exchanged.acks, [Ack::Recorded]);
    attempt
}

/// After so many charged faults, a job fails.
pub async fn charged_faults_end_a_job(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1], 1)).await;
    let owner = bench.hello("w").await;
    for charged in 1..=bench.policy().charged_max {
        assert_eq!(bench.state(job(1, 1)).await, StateName::Queued);
        crash(bench, &owner, "signal 11").await;
        assert_eq!(bench.job(job(1, 1)).await.job.charged, charged);
    }
    let view = bench.job(job(1, 1)).await.job;
    assert_eq!(view.state, StateName::Failed);
    assert_eq!(view.fault, Some(Fault::Crashed));
    assert_eq!(bench.worker(&owner.worker).await.failed_in_a_row, 1);
}

/// Three different workers cannot all be broken.
pub async fn faults_on_three_workers_end_a_job(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1], 1)).await;
    for worker in ["a", "b"] {
        let owner = bench.hello(worker).await;
        crash(bench, &owner, "x").await;
        assert_eq!(bench.state(job(1, 1)).await, StateName::Queued);
    }
    let owner = bench.hello("c").await;
    bench.pass_ms(bench.policy().backoff_max_ms);
    let attempt = bench.take_one(&owner).await;
    let outcome = failed(Fault::OutOfMemory, "x");
    bench.finish(&owner, attempt, outcome).await;
    let view = bench.job(job(1, 1)).await.job;
    assert_eq!(view.fault, Some(Fault::OutOfMemory));
    assert_eq!(view.charged, 3);
}

/// Even uncharged attempts come to an end.
pub async fn attempts_are_bounded(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1, 2], 1)).await;
    let attempts = bench.policy().attempts_max;
    let owner = bench.hello("w").await;
    for attempt in 1..=attempts {
        assert_eq!(bench.take_one(&owner).await, held(job(1, 1), attempt));
        bench.expire().await;
        let ticked = bench.give_up().await;
        let last = attempt == attempts;
        assert_eq!(
            (ticked.requeued, ticked.ended),
            (u64::from(!last), u64::from(last))
        );
    }
    let view = bench.job(job(1, 1)).await.job;
    assert_eq!(
        (view.state, view.fault),
        (StateName::Failed, Some(Fault::Lost))
    );
    // The job is final, so its last attempt comes too late.
    let ack = bench
        .finish(&owner, held(job(1, 1), attempts), measured(1.0))
        .await;
    assert_eq!(ack, Ack::Stale);
    // Released ones count as well.
    for attempt in 1..=attempts {
        let attempt = held(job(2, 1), attempt);
        assert_eq!(bench.take_one(&owner).await, attempt);
        bench.release(&owner, &[attempt]).await.unwrap();
    }
    assert_eq!(bench.state(job(2, 1)).await, StateName::Failed);
}

/// A worker on which the first job of a sweep succeeds: there are results, and
/// somebody else who could take its jobs.
async fn well(bench: &mut Bench) -> Owner {
    let owner = bench.hello("well").await;
    let attempt = bench.take_one(&owner).await;
    bench.finish(&owner, attempt, measured(1.0)).await;
    owner
}

/// Fails these attempts, each in a way of its own.
async fn fail(bench: &mut Bench, owner: &Owner, attempts: &[Held]) {
    for attempt in attempts {
        let message = format!("alone {}", attempt.job);
        let outcome = failed(Fault::Crashed, &message);
        assert_eq!(bench.finish(owner, *attempt, outcome).await, Ack::Recorded);
    }
}

/// So many attempts of a worker.
async fn taken(bench: &mut Bench, owner: &Owner, jobs: u32) -> Vec<Held> {
    bench.pass_ms(bench.policy().backoff_max_ms);
    let grants = bench.take(owner, jobs).await;
    assert_eq!(grants.len(), jobs as usize);
    grants.into_iter().map(|grant| grant.held).collect()
}

/// The state of a worker, and how many jobs it has failed in a row.
async fn stands(bench: &Bench, owner: &Owner) -> (WorkerState, u32) {
    let view = bench.worker(&owner.worker).await;
    (view.state, view.failed_in_a_row)
}

/// If different cells of a sweep with results fail in a row on one worker, the
/// worker is at fault: it gets no more, and they are not charged.
pub async fn a_worker_that_fails_jobs_in_a_row_is_cordoned(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1, 2, 3, 4, 5], 1)).await;
    well(bench).await;
    let owner = bench.hello("w").await;
    let attempts = taken(bench, &owner, 4).await;
    for failures in 1..=3 {
        fail(bench, &owner, &attempts[failures - 1..failures]).await;
        let rests = bench.worker(&owner.worker).await.state == WorkerState::Cordoned;
        assert_eq!(rests, failures == 3);
    }
    let cause = CordonCause::FailedInARow {
        jobs: 3,
        headline: format!("alone {}", attempts[2].job),
    };
    let view = bench.worker(&owner.worker).await;
    assert_eq!(
        (view.state, view.cordoned),
        (WorkerState::Cordoned, Some(cause))
    );
    assert_eq!((view.failed_in_a_row, view.held), (3, 1));
    for attempt in &attempts[..3] {
        assert_eq!(bench.job(attempt.job).await.job.charged, 0);
    }
    // What it still holds and then fails is not charged either, and it is not
    // announced again.
    let outcome = failed(Fault::TimedOut, "slow");
    bench.finish(&owner, attempts[3], outcome).await;
    assert_eq!(bench.job(attempts[3].job).await.job.charged, 0);
    bench.pass_ms(bench.policy().backoff_max_ms);
    assert_eq!(bench.take(&owner, 1).await, []);
    let activate = WorkerChange::Activate;
    bench.change_worker(&owner.worker, activate).await.unwrap();
    let view = bench.worker(&owner.worker).await;
    assert_eq!((view.cordoned, view.failed_in_a_row), (None, 0));
    assert_eq!(bench.take(&owner, 1).await.len(), 1);
}

/// A program that has no results yet may fail in any number of ways: that says
/// nothing of the worker. Once it runs elsewhere, it does.
pub async fn a_sweep_without_results_cordons_nobody(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1, 2, 3, 4, 5, 6], 1)).await;
    let other = bench.hello("other").await;
    let owner = bench.hello("w").await;
    let attempts = taken(bench, &owner, 5).await;
    fail(bench, &owner, &attempts[..4]).await;
    assert_eq!(stands(bench, &owner).await, (WorkerState::Active, 4));
    let sixth = bench.take_one(&other).await;
    bench.finish(&other, sixth, measured(1.0)).await;
    fail(bench, &owner, &attempts[4..]).await;
    assert_eq!(stands(bench, &owner).await, (WorkerState::Cordoned, 5));
    for attempt in &attempts {
        assert_eq!(bench.job(attempt.job).await.job.charged, 0);
    }
}

/// Replicates of a cell compute the same thing: they say no more of a worker than
/// one of them, wherever they fail.
pub async fn replicates_of_a_cell_cordon_nobody(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1, 2], 4)).await;
    let well = well(bench).await;
    for _ in 0..3 {
        let attempt = bench.take_one(&well).await;
        bench.finish(&well, attempt, measured(1.0)).await;
    }
    let owner = bench.hello("w").await;
    let attempts = taken(bench, &owner, 4).await;
    fail(bench, &owner, &attempts[..3]).await;
    assert_eq!(stands(bench, &owner).await, (WorkerState::Active, 1));
    assert_eq!(bench.job(attempts[2].job).await.job.charged, 1);
    bench.release(&owner, &attempts[3..]).await.unwrap();
    // Another replicate of it fails elsewhere.
    let attempt = bench.take_one(&well).await;
    assert_eq!(attempt.job, attempts[3].job);
    fail(bench, &well, &[attempt]).await;
    for owner in [&owner, &well] {
        assert_eq!(stands(bench, owner).await, (WorkerState::Active, 0));
    }
}

/// Nobody could find out whether the only worker or the sweep is at fault, so the
/// worker goes on for all others.
pub async fn no_sweep_cordons_the_only_worker(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1, 2, 3, 4, 5, 6], 1)).await;
    let owner = bench.hello("w").await;
    let attempts = taken(bench, &owner, 6).await;
    bench.finish(&owner, attempts[0], measured(1.0)).await;
    fail(bench, &owner, &attempts[1..5]).await;
    assert_eq!(stands(bench, &owner).await, (WorkerState::Active, 4));
    // One that is gone could not take its jobs.
    let gone = bench.hello("gone").await;
    bench.goodbye(&gone).await.unwrap();
    fail(bench, &owner, &attempts[5..]).await;
    assert_eq!(stands(bench, &owner).await, (WorkerState::Active, 5));
    bench.hello("other").await;
    let again = taken(bench, &owner, 1).await;
    fail(bench, &owner, &again).await;
    assert_eq!(stands(bench, &owner).await, (WorkerState::Cordoned, 5));
}

/// Three sweeps of the same person may be three broken versions of one program;
/// if three persons' programs fail, it is the worker.
pub async fn a_worker_that_fails_everybody_is_cordoned(bench: &mut Bench) {
    let mut owners = ["anna", "anna", "anna", "ben", "cleo"].into_iter();
    for (number, owner) in (1..).zip(owners.by_ref()) {
        let mut submission = sweep(&format!("s{number}"), &[number], 1);
        submission.owner = owner.to_owned();
        bench.submit(&submission).await;
    }
    let owner = bench.hello("w").await;
    let attempts = taken(bench, &owner, 5).await;
    fail(bench, &owner, &attempts[..4]).await;
    assert_eq!(stands(bench, &owner).await, (WorkerState::Active, 4));
    fail(bench, &owner, &attempts[4..]).await;
    assert_eq!(stands(bench, &owner).await, (WorkerState::Cordoned, 5));
}

/// Jobs that fail on two workers are at fault themselves: nobody rests for them.
pub async fn jobs_that_fail_everywhere_cordon_nobody(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1, 2, 3, 4], 1)).await;
    let well = well(bench).await;
    let first = bench.hello("first").await;
    let attempts = taken(bench, &first, 3).await;
    fail(bench, &first, &attempts).await;
    assert_eq!(stands(bench, &first).await, (WorkerState::Cordoned, 3));
    // As soon as one of them does, the first one is no longer suspected.
    let attempts = taken(bench, &well, 3).await;
    fail(bench, &well, &attempts[..1]).await;
    assert_eq!(stands(bench, &first).await, (WorkerState::Active, 2));
    fail(bench, &well, &attempts[1..]).await;
    for owner in [&first, &well] {
        assert_eq!(stands(bench, owner).await, (WorkerState::Active, 0));
    }
    // Nor do they for the same jobs later on.
    let attempts = taken(bench, &first, 3).await;
    fail(bench, &first, &attempts).await;
    assert_eq!(stands(bench, &first).await, (WorkerState::Active, 0));
}

/// What a cordoned worker still had under way takes nothing from the reason of its
/// cordon: it gets jobs again once one of them fails elsewhere.
pub async fn a_cordon_keeps_its_reason(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1, 2, 3, 4, 5], 1)).await;
    bench.submit(&sweep("broken", &[6, 7, 8], 1)).await;
    let well = well(bench).await;
    let first = bench.hello("first").await;
    let attempts = taken(bench, &first, 7).await;
    fail(bench, &first, &attempts[..3]).await;
    bench.finish(&first, attempts[3], measured(1.0)).await;
    for (place, attempt) in attempts[4..].iter().enumerate() {
        let alike = failed(Fault::Crashed, "alike");
        bench.finish(&first, *attempt, alike).await;
        // What was paused leaves the row.
        let row = if place == 2 { 3 } else { 4 + place as u32 };
        assert_eq!(stands(bench, &first).await, (WorkerState::Cordoned, row));
    }
    let attempts = taken(bench, &well, 3).await;
    fail(bench, &well, &attempts).await;
    for owner in [&first, &well] {
        assert_eq!(stands(bench, owner).await, (WorkerState::Active, 0));
    }
}

/// A worker that is cordoned for jobs which nobody wants any more gets jobs again
/// with the next failure, wherever it is.
pub async fn what_nobody_wants_speaks_against_nobody(bench: &mut Bench) {
    let submission = sweep("s", &[1, 2, 3, 4], 1);
    bench.submit(&submission).await;
    bench.submit(&sweep("other", &[9], 1)).await;
    let well = well(bench).await;
    let owner = bench.hello("w").await;
    let attempts = taken(bench, &owner, 3).await;
    fail(bench, &owner, &attempts).await;
    assert_eq!(stands(bench, &owner).await, (WorkerState::Cordoned, 3));
    let cancel = SweepChange::Cancel;
    bench.change_sweep(submission.digest, cancel).await.unwrap();
    let attempts = taken(bench, &well, 1).await;
    fail(bench, &well, &attempts).await;
    assert_eq!(stands(bench, &owner).await, (WorkerState::Active, 0));
    assert_eq!(stands(bench, &well).await, (WorkerState::Active, 1));
}

/// A measurement shows that the worker is well.
pub async fn a_measurement_ends_a_row(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1, 2, 3, 4, 5], 1)).await;
    let owner = bench.hello("w").await;
    let grants = bench.take(&owner, 5).await;
    for (place, grant) in grants.iter().enumerate() {
        let outcome = match place {
            2 => measured(1.0),
            _ => failed(Fault::Crashed, &format!("alone {place}")),
        };
        bench.finish(&owner, grant.held, outcome).await;
    }
    let view = bench.worker(&owner.worker).await;
    assert_eq!((view.state, view.failed_in_a_row), (WorkerState::Active, 2));
    assert_eq!(bench.job(grants[0].held.job).await.job.charged, 1);
}

/// Jobs that a worker was granted before a sweep was paused, and that fail
/// afterwards, do not count against it, because the cause is the same.
pub async fn failures_after_a_pause_cordon_nobody(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1, 2, 3, 4, 5, 6, 7], 1)).await;
    let owner = bench.hello("w").await;
    let grants = bench.take(&owner, 7).await;
    for grant in &grants {
        let outcome = failed(Fault::Crashed, "no data set");
        bench.finish(&owner, grant.held, outcome).await;
    }
    let worker = bench.worker(&owner.worker).await;
    assert_eq!(
        (worker.state, worker.failed_in_a_row),
        (WorkerState::Active, 0)
    );
}

/// When the first jobs all fail alike, the sweep is broken and the worker is
/// not.
pub async fn a_sweep_that_fails_alike_is_paused(bench: &mut Bench) {
    let submission = sweep("s", &[1, 2, 3, 4], 1);
    bench.submit(&submission).await;
    let owner = bench.hello("w").await;
    let grants = bench.take(&owner, 3).await;
    for (place, grant) in grants.iter().enumerate() {
        let outcome = failed(Fault::Crashed, &format!("no data set\nat {place}"));
        let outcome = finish(grant.held, outcome);
        let exchanged = bench.trade(&owner, vec![outcome], 0).await.unwrap();
        assert_eq!(exchanged.acks, [Ack::Recorded]);
    }
    let cause = PauseCause::FailedAlike {
        jobs: 3,
        fault: Fault::Crashed,
        headline: "no data set".to_owned(),
    };
    let view = bench.sweep(submission.digest).await;
    assert_eq!((view.state, view.paused), (SweepState::Paused, Some(cause)));
    let worker = bench.worker(&owner.worker).await;
    assert_eq!(
        (worker.state, worker.failed_in_a_row),
        (WorkerState::Active, 0)
    );
    assert_eq!(bench.job(grants[0].held.job).await.job.charged, 1);
    assert_eq!(bench.take(&owner, 9).await, []);
    // A retry forgets the faults, so that resuming is not undone at once.
    let resume = SweepChange::Resume;
    bench.change_sweep(submission.digest, resume).await.unwrap();
    assert_eq!(bench.sweep(submission.digest).await.paused, None);
    crash(bench, &owner, "no data set").await;
    assert_eq!(
        bench.sweep(submission.digest).await.state,
        SweepState::Paused
    );
}

/// Whether all fails alike because of the program or of the host, another worker
/// will tell that is at a job of the sweep: until then only the host rests.
pub async fn what_is_on_trial_elsewhere_is_not_paused(bench: &mut Bench) {
    for (name, cells, works) in [
        ("s", [1, 2, 3, 4, 5, 6], true),
        ("t", [11, 12, 13, 14, 15, 16], false),
    ] {
        let submission = sweep(name, &cells, 1);
        bench.submit(&submission).await;
        let other = bench.hello(&format!("other-{name}")).await;
        let there = taken(bench, &other, 1).await;
        let owner = bench.hello(&format!("w-{name}")).await;
        let here = taken(bench, &owner, 3).await;
        for (place, attempt) in here.iter().enumerate() {
            let outcome = failed(Fault::Crashed, &format!("exit code 1: no module, {place}"));
            bench.finish(&owner, *attempt, outcome).await;
        }
        assert_eq!(bench.sweep(submission.digest).await.paused, None);
        assert_eq!(stands(bench, &owner).await, (WorkerState::Cordoned, 3));
        assert_eq!(bench.job(here[0].job).await.job.charged, 0);
        let outcome = if works {
            measured(1.0)
        } else {
            failed(Fault::Crashed, "exit code 1: no module, 9")
        };
        bench.finish(&other, there[0], outcome).await;
        let view = bench.sweep(submission.digest).await;
        let (worker, _) = stands(bench, &owner).await;
        if works {
            assert_eq!((view.paused, worker), (None, WorkerState::Cordoned));
            let rest = taken(bench, &other, 5).await;
            for attempt in rest {
                bench.finish(&other, attempt, measured(1.0)).await;
            }
        } else {
            assert_eq!(
                (view.state, worker),
                (SweepState::Paused, WorkerState::Active)
            );
        }
    }
}

/// Replicates of a cell fail for the same reason, and other cells may be sound:
/// only as many different cells pause their sweep.
pub async fn replicates_of_a_cell_pause_nothing(bench: &mut Bench) {
    let submission = sweep("s", &[1, 2, 3, 4], 3);
    bench.submit(&submission).await;
    let owner = bench.hello("w").await;
    let grants = bench.take(&owner, 12).await;
    for (place, grant) in grants.iter().enumerate().take(7) {
        let view = bench.sweep(submission.digest).await;
        assert_eq!(view.paused, None, "after {place} jobs");
        let outcome = failed(Fault::Crashed, "no data set");
        bench.finish(&owner, grant.held, outcome).await;
    }
    let cause = PauseCause::FailedAlike {
        jobs: 7,
        fault: Fault::Crashed,
        headline: "no data set".to_owned(),
    };
    let view = bench.sweep(submission.digest).await;
    assert_eq!((view.state, view.paused), (SweepState::Paused, Some(cause)));
    // Two of them start over, which leaves two cells with one job and three.
    let again = [job(1, 1), job(1, 2), job(1, 3)];
    bench.cancel_jobs(&again).await;
    assert_eq!(bench.retry_jobs(&again).await, 3);
    let resume = SweepChange::Resume;
    bench.change_sweep(submission.digest, resume).await.unwrap();
    let mut left = grants[7..].iter().map(|grant| grant.held);
    let mut crash = async |bench: &mut Bench, wanted| {
        let attempt = left.next().unwrap();
        let outcome = failed(Fault::Crashed, "no data set");
        bench.finish(&owner, attempt, outcome).await;
        assert_eq!(bench.sweep(submission.digest).await.state, wanted);
    };
    crash(bench, SweepState::Active).await;
    crash(bench, SweepState::Active).await;
    crash(bench, SweepState::Paused).await;
}

/// A sweep with fewer cells than that fails job by job.
pub async fn a_small_sweep_fails_job_by_job(bench: &mut Bench) {
    let submission = sweep("s", &[1, 2], 2);
    bench.submit(&submission).await;
    let owner = bench.hello("w").await;
    for grant in bench.take(&owner, 4).await {
        let outcome = failed(Fault::Invalid, "no such option");
        bench.finish(&owner, grant.held, outcome).await;
    }
    let view = bench.sweep(submission.digest).await;
    assert_eq!((view.state, view.paused), (SweepState::Finished, None));
    assert_eq!(view.counts.failed, 4);
}

/// One success proves that the sweep can be trained.
pub async fn a_sweep_with_a_success_is_not_paused(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1, 2, 3, 4], 1)).await;
    let digest = sweep("s", &[1, 2, 3, 4], 1).digest;
    for worker in ["a", "b", "c", "d"] {
        let owner = bench.hello(worker).await;
        let attempt = bench.take_one(&owner).await;
        let outcome = match worker {
            "a" => measured(1.0),
            _ => failed(Fault::Invalid, "no data set"),
        };
        bench.finish(&owner, attempt, outcome).await;
        assert_ne!(bench.sweep(digest).await.state, SweepState::Paused);
    }
}

/// A shared job speaks for every sweep that holds it.
pub async fn every_broken_sweep_of_a_shared_job_is_paused(bench: &mut Bench) {
    let small = sweep("small", &[1, 2, 3], 1);
    let large = sweep("large", &[1, 2, 3, 4], 1);
    let gone = sweep("gone", &[1, 2, 3], 1);
    for submission in [&small, &large, &gone] {
        bench.submit(submission).await;
    }
    bench
        .change_sweep(gone.digest, SweepChange::Cancel)
        .await
        .unwrap();
    let owner = bench.hello("w").await;
    let taken: Vec<JobDigest> = {
        let grants = bench.take(&owner, 3).await;
        for grant in &grants {
            let outcome = finish(grant.held, failed(Fault::Invalid, "no data set"));
            let exchanged = bench.trade(&owner, vec![outcome], 0).await.unwrap();
            assert_eq!(exchanged.acks, [Ack::Recorded]);
        }
        grants.iter().map(|grant| grant.held.job).collect()
    };
    assert_eq!(taken, [job(1, 1), job(2, 1), job(3, 1)]);
    // The worker is not to blame.
    assert_eq!(bench.worker(&owner.worker).await.cordoned, None);
    assert_eq!(bench.sweep(gone.digest).await.paused, None);
    // Every job of the small one is final; it shows that state, with the
    // reason.
    let view = bench.sweep(small.digest).await;
    assert_eq!(view.state, SweepState::Finished);
    assert!(view.paused.is_some_and(|cause| cause.is_failure()));
    assert_eq!(bench.sweep(large.digest).await.state, SweepState::Paused);
}

/// A probe finds out what fails: running out of memory is its answer at once,
/// and neither its worker nor its sweep is found broken.
pub async fn probes_that_fail_are_an_answer(bench: &mut Bench) {
    let mut probes = sweep("s", &[1, 2, 3, 4, 5], 1);
    probes.kind = swath_model::view::SweepKind::Probe;
    bench.submit(&probes).await;
    let owner = bench.hello("w").await;
    for number in 1..=4 {
        let attempt = bench.take_one(&owner).await;
        assert_eq!(attempt, held(job(number, 1), 1));
        let outcome = finish(attempt, failed(Fault::OutOfMemory, "alike"));
        let exchanged = bench.trade(&owner, vec![outcome], 0).await.unwrap();
        assert_eq!(exchanged.acks, [Ack::Recorded]);
        let view = bench.job(attempt.job).await.job;
        assert_eq!(view.state, StateName::Failed);
        assert_eq!(view.fault, Some(Fault::OutOfMemory));
    }
    let worker = bench.worker(&owner.worker).await;
    assert_eq!(
        (worker.state, worker.failed_in_a_row),
        (WorkerState::Active, 0)
    );
    assert_eq!(bench.sweep(probes.digest).await.state, SweepState::Active);
    // A job that crashes may do better next time.
    let attempt = crash(bench, &owner, "signal 11").await;
    assert_eq!(bench.sweep(probes.digest).await.paused, None);
    assert_eq!(bench.worker(&owner.worker).await.cordoned, None);
    assert_eq!(bench.state(attempt.job).await, StateName::Queued);
}
