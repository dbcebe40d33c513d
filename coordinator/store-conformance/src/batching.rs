//! Several calls in one commit: each sees what those before it did.

use swath_model::id::{Owner, SessionId, WorkerName};
use swath_model::import::{ImportBatch, ImportRow, Imported};
use swath_model::job::StateName;
use swath_model::outcome::Fault;

use crate::bench::Bench;
use crate::call::{Call, Reply, Said};
use crate::replicating::adaptive;
use crate::script::{
    failed, finish, held, job, measured, observation, plain_cell, report, sweep, worker_about,
};
use crate::{Ack, Exchanged, Hello, Result, SweepChange, WorkerChange};

fn hello(worker: &str) -> Call {
    Call::Hello(Hello {
        worker: worker.parse().unwrap(),
        about: worker_about(&[]),
        held: vec![],
        takes_name: false,
    })
}

/// The reply at place `at`.
fn said<T: Said>(replies: &[Result<Reply>], at: usize) -> T {
    match &replies[at] {
        Ok(reply) => T::of(reply.clone()),
        Err(error) => panic!("{error}"),
    }
}

/// Calls that wait together are committed together, in their order.
pub async fn calls_that_wait_are_one_commit(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1, 2, 3], 1)).await;
    let owner = bench.hello("w").await;
    let one = bench.take_one(&owner).await;
    let two = bench.take_one(&owner).await;
    let done = finish(one, measured(1.0));
    let calls = vec![
        Call::Submit(sweep("other", &[3, 4], 2)),
        Call::Exchange(bench.asking(&owner, vec![done], 2)),
        Call::Heartbeat(owner.clone(), vec![one, two]),
        Call::Observe(
            owner.clone(),
            vec![report(two, vec![observation(1, 50.0)], 1, "one\n")],
        ),
        Call::Release(owner.clone(), vec![two.into()]),
        Call::Exchange(bench.asking(&owner, vec![], 9)),
        Call::Tick,
    ];
    let commits = bench.commits();
    let replies = bench.together(calls).await;
    assert_eq!(bench.commits(), commits + 1);
    let first: Exchanged = said(&replies, 1);
    let held_now: Vec<_> = first.grants.iter().map(|grant| grant.held).collect();
    assert_eq!(first.acks, [Ack::Recorded]);
    assert_eq!(held_now, [held(job(3, 1), 1), held(job(3, 2), 1)]);
    let second: Exchanged = said(&replies, 5);
    let held_now: Vec<_> = second.grants.iter().map(|grant| grant.held).collect();
    let wanted = [held(job(2, 1), 2), held(job(4, 1), 1), held(job(4, 2), 1)];
    assert_eq!(held_now, wanted);
}

/// Refusals and calls that change nothing need no commit.
pub async fn what_changes_nothing_is_not_written(bench: &mut Bench) {
    let same = sweep("s", &[1], 1);
    bench.submit(&same).await;
    let nobody: WorkerName = "nobody".parse().unwrap();
    let owner = Owner {
        worker: nobody.clone(),
        session: SessionId(7),
    };
    let calls = [
        Call::Submit(same),
        Call::Tick,
        Call::Restart,
        Call::Extend,
        Call::CancelJobs(vec![job(99, 1)]),
        Call::RetryJobs(vec![job(1, 1)]),
        Call::ChangeWorker(nobody, WorkerChange::Activate),
        Call::Heartbeat(owner.clone(), vec![]),
        Call::Exchange(bench.asking(&owner, vec![], 1)),
    ];
    let commits = bench.commits();
    for call in calls {
        let what = format!("{call:?}");
        let _refused = bench.together(vec![call]).await;
        assert_eq!(bench.commits(), commits, "{what}");
    }
}

/// A job that fails, is retried, granted and measured within one commit goes
/// through all of these states.
pub async fn a_job_lives_twice_in_one_commit(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1, 2], 1)).await;
    let owner = bench.hello("w").await;
    let first = bench.take_one(&owner).await;
    let second = held(first.job, 2);
    let fail = finish(first, failed(Fault::Invalid, "no such layer"));
    let done = finish(second, measured(2.5));
    let calls = vec![
        Call::Exchange(bench.asking(&owner, vec![fail], 0)),
        Call::RetryJobs(vec![first.job]),
        Call::Exchange(bench.asking(&owner, vec![], 1)),
        Call::Observe(
            owner.clone(),
            vec![report(second, vec![observation(1, 9.0)], 1, "again\n")],
        ),
        Call::Exchange(bench.asking(&owner, vec![done], 1)),
    ];
    bench.together(calls).await;
    let detail = bench.job(first.job).await;
    assert_eq!(detail.job.state, StateName::Succeeded);
    let ends: Vec<_> = detail.attempts.iter().map(|it| it.ended.as_str()).collect();
    assert_eq!(ends, ["invalid", "measured"]);
    assert_eq!(bench.state(job(2, 1)).await, StateName::Leased);
}

/// A job is made, granted, released, cancelled and wanted again before it was
/// ever written.
pub async fn a_job_begins_in_the_commit_that_changes_it(bench: &mut Bench) {
    let owner = bench.hello("w").await;
    let submission = sweep("s", &[1, 2], 1);
    let attempt = held(job(1, 1), 1);
    let calls = vec![
        Call::Submit(submission.clone()),
        Call::Exchange(bench.asking(&owner, vec![], 1)),
        Call::Release(owner.clone(), vec![attempt.into()]),
        Call::ChangeSweep(submission.digest, SweepChange::Cancel),
        Call::Submit(submission.clone()),
        Call::Exchange(bench.asking(&owner, vec![], 1)),
        Call::CancelJobs(vec![job(2, 1)]),
    ];
    bench.together(calls).await;
    let detail = bench.job(job(1, 1)).await;
    assert_eq!(detail.job.state, StateName::Leased);
    assert_eq!(detail.attempts[0].ended, "released");
    assert_eq!(detail.attempts[1].ended, "");
    assert_eq!(bench.state(job(2, 1)).await, StateName::Cancelled);
}

/// Sweeps that are submitted in the same commit share their common cells.
pub async fn sweeps_that_come_together_share_cells(bench: &mut Bench) {
    let (one, two) = (sweep("one", &[1, 2], 1), sweep("two", &[2, 3], 3));
    let calls = vec![
        Call::Submit(one.clone()),
        Call::Submit(two.clone()),
        Call::ChangeSweep(one.digest, SweepChange::Cancel),
    ];
    bench.together(calls).await;
    assert_eq!(bench.job(job(2, 1)).await.job.sweeps, ["one", "two"]);
    assert_eq!(bench.state(job(2, 1)).await, StateName::Queued);
    assert_eq!(bench.state(job(1, 1)).await, StateName::Cancelled);
    bench.crash().await;
    let owner = bench.hello("w").await;
    let grants = bench.take(&owner, 9).await;
    let order: Vec<_> = grants.iter().map(|grant| grant.held.job).collect();
    let wanted = [(2, 1), (2, 2), (2, 3), (3, 1), (3, 2), (3, 3)];
    assert_eq!(order, wanted.map(|(x, replicate)| job(x, replicate)));
}

/// A sweep that is cancelled and submitted again at once has lost nothing.
pub async fn a_sweep_goes_and_comes_in_one_commit(bench: &mut Bench) {
    let submission = sweep("s", &[1, 2, 3, 4], 1);
    bench.submit(&submission).await;
    let owner = bench.hello("w").await;
    let taken = bench.take(&owner, 3).await;
    bench.finish(&owner, taken[0].held, measured(1.0)).await;
    let invalid = failed(Fault::Invalid, "no");
    bench.finish(&owner, taken[1].held, invalid).await;
    bench.pass_ms(10);
    let again = |changes: &mut Vec<Call>| {
        changes.push(Call::ChangeSweep(submission.digest, SweepChange::Cancel));
        changes.push(Call::Submit(submission.clone()));
    };
    let mut calls = Vec::new();
    again(&mut calls);
    again(&mut calls);
    calls.push(Call::Heartbeat(owner.clone(), vec![taken[2].held]));
    bench.together(calls).await;
    let counts = bench.sweep(submission.digest).await.counts;
    assert_eq!((counts.leased, counts.queued), (1, 1));
    assert_eq!((counts.succeeded, counts.failed), (1, 1));
    assert!(!bench.job(taken[2].held.job).await.job.stop);
}

/// A session begins, and what the older one held goes to others in the same
/// commit.
pub async fn a_session_is_fenced_in_the_commit_that_grants_anew(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1, 2], 1)).await;
    let older = bench.hello("w").await;
    let other = bench.hello("other").await;
    let taken = bench.take(&older, 2).await;
    let late = finish(taken[0].held, measured(1.0));
    let calls = vec![
        hello("w"),
        Call::Exchange(bench.asking(&other, vec![], 1)),
        Call::Exchange(bench.asking(&older, vec![late], 1)),
        hello("w"),
        Call::Exchange(bench.asking(&other, vec![], 1)),
    ];
    let replies = bench.together(calls).await;
    let first: Exchanged = said(&replies, 1);
    assert_eq!(first.grants[0].held, held(taken[0].held.job, 2));
    let stale: Exchanged = said(&replies, 2);
    assert_eq!(stale.acks, [Ack::Stale]);
    let second: Exchanged = said(&replies, 4);
    assert_eq!(second.grants[0].held, held(taken[1].held.job, 2));
}

/// The same request, sent twice at once, is granted once.
pub async fn a_request_and_its_repeat_meet(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1, 2, 3], 1)).await;
    let owner = bench.hello("w").await;
    let ask = bench.asking(&owner, vec![], 2);
    let calls = vec![Call::Exchange(ask.clone()), Call::Exchange(ask.clone())];
    let replies = bench.together(calls).await;
    let first: Exchanged = said(&replies, 0);
    assert_eq!(first.grants.len(), 2);
    assert_eq!(said::<Exchanged>(&replies, 1), first);
    bench.crash().await;
    assert_eq!(bench.exchange(ask).await.unwrap(), first);
}

/// Numbers come with the sweep that they are for, and are replaced, repeated
/// and contradicted, all before the first was written.
pub async fn imports_come_with_their_sweep(bench: &mut Bench) {
    let import = |test_error: f64, replace| {
        let number = Imported {
            test_error,
            seconds: None,
            runs: 1,
            replicate: None,
            seed: None,
            source: "paper".to_owned(),
            file: "paper.csv".to_owned(),
            line: 2,
        };
        Call::Import(ImportBatch {
            replace,
            rows: vec![ImportRow {
                sweep: "s".to_owned(),
                cell: plain_cell(1).digest,
                place: 1,
                number,
            }],
        })
    };
    let submission = sweep("s", &[1], 1);
    let calls = vec![
        import(9.0, false),
        Call::Submit(submission.clone()),
        import(9.0, false),
        import(9.0, false),
        import(8.0, false),
        import(8.0, true),
    ];
    let replies = bench.together(calls).await;
    let refused: Vec<bool> = replies.iter().map(Result::is_err).collect();
    assert_eq!(refused, [true, false, false, false, true, false]);
    let results = bench.results(submission.digest).await;
    let shown = results[0].replicates[0].imported.as_ref();
    assert_eq!(shown.map(|it| it.test_error), Some(8.0));
    bench.crash().await;
    let calls = vec![import(7.0, true), import(6.0, true), import(6.0, false)];
    bench.together(calls).await;
    bench.compare_results("imports").await;
}

/// A round of replicates in one commit with other calls about them.
pub async fn a_round_meets_other_calls(bench: &mut Bench) {
    let submission = adaptive("s", &[1, 2], 1, 3);
    bench.submit(&submission).await;
    let owner = bench.hello("w").await;
    for grant in bench.take(&owner, 2).await {
        bench.finish(&owner, grant.held, measured(8.0)).await;
    }
    let due = bench.due().await[0];
    let said = bench.look(due).await;
    let calls = vec![
        Call::Submit(sweep("other", &[1], 3)),
        Call::Steer(due, said.clone()),
        Call::Steer(due, said),
        Call::Exchange(bench.asking(&owner, vec![], 2)),
        Call::CancelJobs(vec![job(2, 2)]),
        Call::ChangeSweep(submission.digest, SweepChange::Cancel),
    ];
    bench.together(calls).await;
    assert_eq!(bench.state(job(1, 2)).await, StateName::Leased);
    assert_eq!(bench.state(job(2, 2)).await, StateName::Cancelled);
    bench.crash().await;
    assert_eq!(bench.submit(&submission).await.jobs, 4);
    assert_eq!(bench.state(job(2, 2)).await, StateName::Queued);
}

/// Judgements count what came earlier in the same commit.
pub async fn judgements_see_the_outcomes_before_them(bench: &mut Bench) {
    let submission = sweep("s", &[1, 2, 3, 4], 1);
    bench.submit(&submission).await;
    let owner = bench.hello("w").await;
    let mut calls = Vec::new();
    for grant in bench.take(&owner, 3).await {
        let crash = finish(grant.held, failed(Fault::Crashed, "signal 11"));
        calls.push(Call::Exchange(bench.asking(&owner, vec![crash], 0)));
    }
    calls.push(Call::Exchange(bench.asking(&owner, vec![], 1)));
    let replies = bench.together(calls).await;
    assert_eq!(said::<Exchanged>(&replies, 3).grants, []);
    assert!(bench.sweep(submission.digest).await.paused.is_some());
}

/// A client that goes away leaves nothing half done.
pub async fn a_caller_that_goes_away_is_served(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1, 2], 1)).await;
    bench.abandon(hello("other")).await;
    let owner = bench.hello("w").await;
    let ask = bench.asking(&owner, vec![], 1);
    bench.abandon(Call::Exchange(ask.clone())).await;
    let again = bench.exchange(ask).await.unwrap();
    assert_eq!(again.grants.len(), 1);
}
