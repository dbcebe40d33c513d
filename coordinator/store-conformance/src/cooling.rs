//! Cells whose jobs are all final leave the engine's memory; whoever names
//! them finds them as they were.

use swath_model::job::StateName;
use swath_model::outcome::Fault;
use swath_model::view::{SweepState, WorkerState};

use crate::Verdict::{Fenced, Keep};
use crate::bench::Bench;
use crate::call::Call;
use crate::script::{failed, finish, held, job, measured, observation, report, sweep};
use crate::{Ack, SweepChange};

/// Takes every job that waits and ends it with what `end` says of its cell.
async fn end_all(
    bench: &mut Bench,
    owner: &swath_model::id::Owner,
    end: impl Fn(u64) -> swath_model::outcome::Outcome,
) -> Vec<crate::Held> {
    let mut ended = Vec::new();
    loop {
        let grants = bench.take(owner, 1).await;
        let Some(grant) = grants.first() else {
            return ended;
        };
        let view = bench.job(grant.held.job).await.job;
        let cell = view.spec["params"]["x"].as_u64().unwrap();
        bench.pass_ms(10);
        bench.finish(owner, grant.held, end(cell)).await;
        ended.push(grant.held);
    }
}

/// Measures cell 1; the others are invalid.
fn only_one(cell: u64) -> swath_model::outcome::Outcome {
    match cell {
        1 => measured(1.5),
        _ => failed(Fault::Invalid, &format!("no {cell}")),
    }
}

/// What a worker says again of a job that ended long ago.
pub async fn a_cold_job_hears_its_outcome_again(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1, 2], 1)).await;
    let owner = bench.hello("w").await;
    let ended = end_all(bench, &owner, only_one).await;
    bench.crash().await;
    let newer = bench.hello("w").await;
    let repeats = vec![
        finish(ended[0], measured(1.5)),
        finish(ended[1], failed(Fault::Invalid, "no 2")),
        finish(ended[0], measured(9.0)),
        finish(ended[1], measured(9.0)),
        finish(ended[1], measured(9.0)),
        finish(held(ended[0].job, 7), measured(1.5)),
    ];
    let acks = bench.trade(&newer, repeats, 1).await.unwrap().acks;
    let wanted = [
        Ack::AlreadyRecorded,
        Ack::AlreadyRecorded,
        Ack::Stale,
        Ack::Stale,
        Ack::Stale,
        Ack::Stale,
    ];
    assert_eq!(acks, wanted);
    assert_eq!(bench.job(ended[0].job).await.late_outcomes, 2);
    assert_eq!(bench.job(ended[1].job).await.late_outcomes, 1);
    let other = bench.hello("other").await;
    let ack = bench.finish(&other, ended[0], measured(1.5)).await;
    assert_eq!(ack, Ack::Stale);
}

/// Every other word about a job that ended long ago is too late.
pub async fn a_cold_job_is_held_by_nobody(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1], 2)).await;
    let owner = bench.hello("w").await;
    let ended = end_all(bench, &owner, only_one).await;
    bench.crash().await;
    let (owner, welcome) = bench.hello_holding("w", &ended).await;
    assert_eq!(welcome.verdicts, [Fenced, Fenced]);
    assert_eq!(bench.beat(&owner, &ended).await, [Fenced, Fenced]);
    let late = [report(ended[0], vec![observation(1, 9.0)], 1, "late\n")];
    assert_eq!(bench.observe(&owner, &late).await.unwrap(), [Fenced]);
    bench.release(&owner, &ended).await.unwrap();
    assert_eq!(bench.cancel_jobs(&[ended[0].job]).await, 0);
    assert_eq!(bench.retry_jobs(&[ended[0].job]).await, 0);
    let ahead = bench.read(async |store| store.ahead(ended[0].job).await);
    assert_eq!(ahead.await, 0);
}

/// A retry wakes one job; its neighbours stay as they ended.
pub async fn a_cold_job_is_retried(bench: &mut Bench) {
    let submission = sweep("s", &[1, 2], 2);
    bench.submit(&submission).await;
    let owner = bench.hello("w").await;
    end_all(bench, &owner, only_one).await;
    bench.crash().await;
    bench.pass_ms(10);
    assert_eq!(bench.retry_jobs(&[job(2, 2), job(1, 1)]).await, 1);
    let view = bench.sweep(submission.digest).await;
    assert_eq!(view.state, SweepState::Active);
    assert_eq!((view.counts.queued, view.counts.failed), (1, 1));
    assert_eq!(bench.take_one(&owner).await, held(job(2, 2), 2));
    bench
        .finish(&owner, held(job(2, 2), 2), measured(3.0))
        .await;
    let view = bench.sweep(submission.digest).await;
    assert_eq!(view.finished_at, Some(bench.now));
    let cold = [held(job(2, 1), 1), held(job(2, 2), 1), held(job(2, 2), 2)];
    let verdicts = bench.beat(&owner, &cold).await;
    assert_eq!(verdicts, [Fenced, Fenced, Fenced]);
}

/// A cancelled sweep of which nothing is in memory comes back.
pub async fn a_cold_sweep_is_revived(bench: &mut Bench) {
    let submission = sweep("s", &[1, 2, 3], 2);
    bench.submit(&submission).await;
    let owner = bench.hello("w").await;
    let first = bench.take_one(&owner).await;
    bench.finish(&owner, first, measured(1.0)).await;
    let second = bench.take_one(&owner).await;
    let invalid = failed(Fault::Invalid, "no");
    bench.finish(&owner, second, invalid).await;
    let cancel = SweepChange::Cancel;
    bench.change_sweep(submission.digest, cancel).await.unwrap();
    bench.crash().await;
    bench.pass_ms(10);
    let submitted = bench.submit(&submission).await;
    assert_eq!((submitted.revived, submitted.succeeded), (true, 1));
    assert_eq!((submitted.jobs, submitted.new_jobs), (6, 0));
    assert_eq!(bench.state(second.job).await, StateName::Failed);
    let order = bench.take(&owner, 9).await;
    let order: Vec<_> = order.iter().map(|grant| grant.held).collect();
    let wanted = [(2, 1), (2, 2), (3, 1), (3, 2)];
    let wanted = wanted.map(|(x, replicate)| held(job(x, replicate), 1));
    assert_eq!(order, wanted);
}

/// A sweep grows over cells that are not in memory.
pub async fn a_sweep_grows_over_cold_cells(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1, 2], 2)).await;
    let owner = bench.hello("w").await;
    end_all(bench, &owner, only_one).await;
    bench.crash().await;
    let grown = sweep("s", &[0, 1, 2], 3);
    let submitted = bench.submit(&grown).await;
    assert_eq!((submitted.jobs, submitted.new_jobs), (9, 5));
    assert_eq!(submitted.succeeded, 2);
    // A job that failed is not tried again for that.
    assert_eq!(bench.state(job(2, 1)).await, StateName::Failed);
    let all_final = sweep("less", &[2, 1], 1);
    let submitted = bench.submit(&all_final).await;
    assert_eq!((submitted.jobs, submitted.new_jobs), (2, 0));
    let view = bench.sweep(all_final.digest).await;
    assert_eq!(view.state, SweepState::Finished);
    assert_eq!((view.counts.succeeded, view.counts.failed), (1, 1));
    let order = bench.take(&owner, 9).await;
    let order: Vec<_> = order.iter().map(|grant| grant.held.job).collect();
    let wanted = [(0, 1), (0, 2), (0, 3), (1, 3), (2, 3)];
    assert_eq!(order, wanted.map(|(x, replicate)| job(x, replicate)));
}

/// Sweeps that hold different numbers of replicates of a cell count and want
/// only their own.
pub async fn a_shared_cell_has_other_replicates_in_each_sweep(bench: &mut Bench) {
    let (few, many) = (sweep("few", &[1], 1), sweep("many", &[1], 3));
    bench.submit(&few).await;
    bench.submit(&many).await;
    let owner = bench.hello("w").await;
    let first = bench.take_one(&owner).await;
    bench.finish(&owner, first, measured(1.0)).await;
    assert_eq!(bench.sweep(few.digest).await.state, SweepState::Finished);
    let cancel = SweepChange::Cancel;
    bench.change_sweep(many.digest, cancel).await.unwrap();
    for replicate in [2, 3] {
        let state = bench.state(job(1, replicate)).await;
        assert_eq!(state, StateName::Cancelled);
    }
    bench.crash().await;
    // The job that only the cancelled sweep holds brings that one back.
    assert_eq!(bench.retry_jobs(&[job(1, 2)]).await, 1);
    assert_eq!(bench.sweep(many.digest).await.state, SweepState::Active);
    assert_eq!(bench.state(job(1, 3)).await, StateName::Cancelled);
    let counts = bench.sweep(few.digest).await.counts;
    assert_eq!((counts.succeeded, counts.total()), (1, 1));
    assert_eq!(bench.take(&owner, 9).await.len(), 1);
}

/// Of two sweeps, one is paused: only what the other holds is granted, also
/// where the rest of the cell is in memory.
pub async fn a_paused_sweep_shares_its_cell(bench: &mut Bench) {
    let (few, many) = (sweep("few", &[1], 1), sweep("many", &[1], 2));
    bench.submit(&many).await;
    bench.submit(&few).await;
    let pause = SweepChange::Pause {
        cause: swath_model::cause::PauseCause::Operator,
    };
    bench.change_sweep(many.digest, pause).await.unwrap();
    bench.crash().await;
    let owner = bench.hello("w").await;
    let grants = bench.take(&owner, 9).await;
    assert_eq!(grants.len(), 1);
    assert_eq!(grants[0].held.job, job(1, 1));
    bench.finish(&owner, grants[0].held, measured(1.0)).await;
    let priority = SweepChange::Priority(3);
    bench.change_sweep(many.digest, priority).await.unwrap();
    let resume = SweepChange::Resume;
    bench.change_sweep(many.digest, resume).await.unwrap();
    assert_eq!(bench.take_one(&owner).await.job, job(1, 2));
}

/// What a worker failed in a row may be cold by the time that it is judged.
pub async fn a_row_of_failures_names_cold_jobs(bench: &mut Bench) {
    let submission = sweep("s", &[1, 2, 3, 4], 1);
    bench.submit(&submission).await;
    let owner = bench.hello("w").await;
    let other = bench.hello("other").await;
    let taken = bench.take(&owner, 4).await;
    let crash = |place: usize| failed(Fault::Crashed, &format!("alone {place}"));
    bench.finish(&owner, taken[0].held, crash(0)).await;
    bench.pass_ms(bench.policy().backoff_max_ms);
    let again = bench.take_one(&other).await;
    bench.finish(&other, again, measured(1.0)).await;
    bench.crash().await;
    bench.finish(&owner, taken[1].held, crash(1)).await;
    bench.finish(&owner, taken[2].held, crash(2)).await;
    let view = bench.worker(&owner.worker).await;
    assert_eq!(view.state, WorkerState::Cordoned);
    let charged: Vec<u32> = {
        let mut charged = Vec::new();
        for grant in &taken[..3] {
            charged.push(bench.job(grant.held.job).await.job.charged);
        }
        charged
    };
    assert_eq!(charged, [1, 0, 0]);
}

/// A sweep is paused for faults of jobs that are not in memory, too.
pub async fn cold_faults_pause_a_sweep(bench: &mut Bench) {
    let submission = sweep("s", &[1, 2, 3, 4], 1);
    bench.submit(&submission).await;
    let owner = bench.hello("w").await;
    let invalid = || failed(Fault::Invalid, "no such file\nat 1");
    for _ in 0..2 {
        let attempt = bench.take_one(&owner).await;
        bench.finish(&owner, attempt, invalid()).await;
    }
    bench.crash().await;
    // One starts over: its fault is forgotten.
    assert_eq!(bench.retry_jobs(&[job(1, 1)]).await, 1);
    bench.crash().await;
    for wanted in [SweepState::Active, SweepState::Paused] {
        let attempt = bench.take_one(&owner).await;
        bench.finish(&owner, attempt, invalid()).await;
        assert_eq!(bench.sweep(submission.digest).await.state, wanted);
    }
}

/// Cold cells are named by several calls of one commit.
pub async fn cold_cells_meet_in_one_commit(bench: &mut Bench) {
    let submission = sweep("s", &[1, 2], 1);
    bench.submit(&submission).await;
    let owner = bench.hello("w").await;
    let ended = end_all(bench, &owner, only_one).await;
    let late = finish(ended[1], failed(Fault::Invalid, "no 2"));
    let next = finish(held(job(2, 1), 2), measured(4.0));
    let calls = vec![
        Call::Submit(sweep("more", &[2, 1], 2)),
        Call::Exchange(bench.asking(&owner, vec![late], 0)),
        Call::RetryJobs(vec![job(2, 1), job(1, 1)]),
        Call::Exchange(bench.asking(&owner, vec![], 1)),
        Call::Exchange(bench.asking(&owner, vec![next], 9)),
        Call::ChangeSweep(submission.digest, SweepChange::Cancel),
    ];
    bench.together(calls).await;
    assert_eq!(bench.state(job(2, 1)).await, StateName::Succeeded);
    let holding = [held(job(2, 2), 1), held(job(1, 2), 1)];
    assert_eq!(bench.beat(&owner, &holding).await, [Keep, Keep]);
}
