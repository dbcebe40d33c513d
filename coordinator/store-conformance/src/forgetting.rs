//! Outcomes that their owner throws away, and what becomes of their jobs.

use swath_model::cause::PauseCause;
use swath_model::id::Owner;
use swath_model::job::StateName;
use swath_model::outcome::{Fault, Outcome};
use swath_model::view::SweepState;

use crate::bench::Bench;
use crate::call::Call;
use crate::script::{failed, finish, held, job, last, measured, observation, report, sweep};
use crate::{Ack, Held, SweepChange};

/// Takes one job and ends it.
async fn end_one(bench: &mut Bench, owner: &Owner, outcome: Outcome) -> Held {
    let attempt = bench.take_one(owner).await;
    bench.pass_ms(10);
    bench.finish(owner, attempt, outcome).await;
    attempt
}

/// How the attempts of a job ended, and whether that was forgotten.
async fn ends(bench: &Bench, attempt: Held) -> Vec<(String, bool)> {
    let attempts = bench.job(attempt.job).await.attempts.into_iter();
    attempts
        .map(|it| (it.ended, it.forgotten_at.is_some()))
        .collect()
}

/// Results are thrown away, and nothing else: numbers and divergence.
pub async fn a_forgotten_job_is_trained_anew(bench: &mut Bench) {
    let submission = sweep("s", &[1, 2, 3, 4, 5], 1);
    bench.submit(&submission).await;
    let owner = bench.hello("w").await;
    let first = end_one(bench, &owner, measured(8.25)).await;
    let diverged = failed(Fault::Diverged, "loss is NaN");
    let second = end_one(bench, &owner, diverged).await;
    let third = end_one(bench, &owner, failed(Fault::Invalid, "no such layer")).await;
    assert_eq!(bench.cancel_jobs(&[job(4, 1)]).await, 1);
    let all = [1, 2, 3, 4, 5, 99].map(|x| job(x, 1));
    bench.pass_ms(10);
    let forgotten_at = bench.now;
    assert_eq!(bench.forget_jobs(&all).await, 2);
    assert_eq!(bench.forget_jobs(&all).await, 0);
    for attempt in [first, second] {
        let detail = bench.job(attempt.job).await;
        assert_eq!(detail.job.state, StateName::Queued);
        assert_eq!((detail.job.measured(), detail.job.ended_at), (None, None));
        assert_eq!((detail.job.fault, &*detail.job.message), (None, ""));
        // The attempt stays, with what it ran on.
        assert_eq!(detail.attempts.len(), 1);
        assert_eq!(detail.attempts[0].forgotten_at, Some(forgotten_at));
        assert!(detail.attempts[0].provenance.is_some());
    }
    assert_eq!(bench.state(third.job).await, StateName::Failed);
    assert_eq!(bench.state(job(4, 1)).await, StateName::Cancelled);
    let cells = bench.results(submission.digest).await;
    let states = cells.iter().map(|cell| cell.replicates[0].state);
    assert_eq!(states.filter(|it| *it == StateName::Queued).count(), 3);
    let again = end_one(bench, &owner, measured(2.5)).await;
    assert_eq!(again, held(first.job, 2));
    assert_eq!(bench.job(first.job).await.job.measured(), Some(2.5));
    let both = [
        ("measured".to_owned(), true),
        ("measured".to_owned(), false),
    ];
    assert_eq!(ends(bench, first).await, both);
    // As often as its owner likes.
    assert_eq!(bench.forget_jobs(&[first.job]).await, 1);
    assert_eq!(bench.take_one(&owner).await, held(first.job, 3));
}

/// A worker may still have a forgotten outcome on its disk.
pub async fn a_forgotten_outcome_is_never_taken_again(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1, 2], 1)).await;
    let owner = bench.hello("w").await;
    let first = end_one(bench, &owner, measured(8.25)).await;
    let second = end_one(bench, &owner, failed(Fault::Diverged, "loss is NaN")).await;
    assert_eq!(bench.forget_jobs(&[first.job, second.job]).await, 2);
    let offers = || {
        vec![
            finish(first, measured(8.25)),
            finish(first, measured(9.5)),
            finish(second, failed(Fault::Diverged, "loss is NaN")),
        ]
    };
    let stale = [Ack::Stale, Ack::Stale, Ack::Stale];
    let acks = bench.trade(&owner, offers(), 0).await.unwrap().acks;
    assert_eq!(acks, stale);
    // An engine that has not seen it knows it as well.
    bench.crash().await;
    let newer = bench.hello("w").await;
    let acks = bench.trade(&newer, offers(), 2).await.unwrap().acks;
    assert_eq!(acks, stale);
    let again = [held(first.job, 2), held(second.job, 2)];
    assert_eq!(bench.beat(&newer, &again).await.len(), 2);
    let ends = vec![
        finish(again[0], measured(2.5)),
        finish(again[1], measured(3.5)),
    ];
    let acks = bench.trade(&newer, ends, 0).await.unwrap().acks;
    assert_eq!(acks, [Ack::Recorded, Ack::Recorded]);
    bench.crash().await;
    let newest = bench.hello("w").await;
    let acks = bench.trade(&newest, offers(), 0).await.unwrap().acks;
    assert_eq!(acks, stale);
    for (attempt, wanted) in [(first, 2.5), (second, 3.5)] {
        let detail = bench.job(attempt.job).await;
        assert_eq!(detail.job.measured(), Some(wanted));
        assert_eq!(detail.late_outcomes, 0);
    }
}

/// What a forgotten attempt told of its epochs stays readable, and counts no more.
pub async fn epochs_of_a_forgotten_attempt_count_no_more(bench: &mut Bench) {
    let submission = sweep("s", &[1], 1);
    bench.submit(&submission).await;
    let owner = bench.hello("w").await;
    let first = bench.take_one(&owner).await;
    let seen = vec![observation(1, 90.0), observation(2, 80.0)];
    let reports = [report(first, seen, 1, "wrong data\n")];
    bench.observe(&owner, &reports).await.unwrap();
    bench.finish(&owner, first, measured(80.0)).await;
    let epochs = Some(last("test_error", 9));
    let digest = submission.digest;
    let read = async |bench: &Bench| {
        let results = bench.read(async |store| store.results(digest, epochs.clone()).await);
        results.await[0].replicates[0].last_values.clone()
    };
    assert_eq!(read(bench).await, [90.0, 80.0]);
    assert_eq!(bench.forget_jobs(&[first.job]).await, 1);
    // It tells nothing of its epochs.
    end_one(bench, &owner, measured(4.0)).await;
    assert_eq!(read(bench).await, [0.0; 0]);
    let curves = bench.read(async |store| store.curves(first.job).await);
    assert_eq!(curves.await.len(), 2);
    let logs = bench.read(async |store| store.logs(first.job, 0).await);
    assert_eq!(logs.await[0].text, "wrong data\n");
}

/// As for a retry: a job that waits must be needed, and a pause stays.
pub async fn forgetting_a_job_revives_its_newest_sweep(bench: &mut Bench) {
    let older = sweep("older", &[1], 1);
    let newer = sweep("newer", &[1], 1);
    bench.submit(&older).await;
    bench.submit(&newer).await;
    let owner = bench.hello("w").await;
    let attempt = end_one(bench, &owner, measured(1.0)).await;
    let pause = SweepChange::Pause {
        cause: PauseCause::Operator,
    };
    bench.change_sweep(newer.digest, pause).await.unwrap();
    assert_eq!(bench.forget_jobs(&[attempt.job]).await, 1);
    assert_eq!(bench.sweep(newer.digest).await.state, SweepState::Paused);
    assert_eq!(bench.sweep(older.digest).await.state, SweepState::Active);
    end_one(bench, &owner, measured(2.0)).await;
    for sweep in [older.digest, newer.digest] {
        let cancel = SweepChange::Cancel;
        bench.change_sweep(sweep, cancel).await.unwrap();
    }
    assert_eq!(bench.forget_jobs(&[attempt.job]).await, 1);
    assert_eq!(bench.sweep(older.digest).await.state, SweepState::Cancelled);
    assert_eq!(bench.sweep(newer.digest).await.state, SweepState::Active);
    assert_eq!(bench.take_one(&owner).await, held(attempt.job, 3));
}

/// A sweep that has lost its only measurement is judged by all of its faults, also
/// by those of cold cells.
pub async fn a_sweep_without_measurements_is_judged_again(bench: &mut Bench) {
    let submission = sweep("s", &[1, 2, 3, 4], 1);
    bench.submit(&submission).await;
    let owner = bench.hello("w").await;
    let invalid = || failed(Fault::Invalid, "no such file\nat 1");
    let first = end_one(bench, &owner, measured(1.0)).await;
    end_one(bench, &owner, invalid()).await;
    end_one(bench, &owner, invalid()).await;
    bench.crash().await;
    assert_eq!(bench.forget_jobs(&[first.job]).await, 1);
    end_one(bench, &owner, invalid()).await;
    let view = bench.sweep(submission.digest).await;
    assert_eq!(view.state, SweepState::Paused);
}

/// An outcome that comes, is forgotten and is followed by another one before any of
/// that was ever written; and the last one is forgotten too.
pub async fn an_outcome_is_forgotten_in_the_commit_that_brings_it(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1], 1)).await;
    let owner = bench.hello("w").await;
    let first = bench.take_one(&owner).await;
    let second = held(first.job, 2);
    let calls = vec![
        Call::Exchange(bench.asking(&owner, vec![finish(first, measured(8.25))], 0)),
        Call::ForgetJobs(vec![first.job]),
        Call::Exchange(bench.asking(&owner, vec![finish(first, measured(8.25))], 1)),
        Call::Exchange(bench.asking(&owner, vec![finish(second, measured(2.5))], 0)),
    ];
    bench.together(calls).await;
    let detail = bench.job(first.job).await;
    assert_eq!(detail.job.measured(), Some(2.5));
    assert_eq!(detail.late_outcomes, 0);
    let third = held(first.job, 3);
    let calls = vec![
        Call::ForgetJobs(vec![first.job, first.job]),
        Call::Exchange(bench.asking(&owner, vec![], 1)),
        Call::Exchange(bench.asking(&owner, vec![finish(third, measured(3.5))], 0)),
        Call::ForgetJobs(vec![first.job]),
    ];
    bench.together(calls).await;
    assert_eq!(bench.state(first.job).await, StateName::Queued);
    let all = vec![("measured".to_owned(), true); 3];
    assert_eq!(ends(bench, first).await, all);
    assert_eq!(bench.take_one(&owner).await, held(first.job, 4));
}
