//! Results decide how many replicates the cells of a sweep get.

use swath_model::id::{Owner, Replicate, SweepDigest};
use swath_model::job::StateName;
use swath_model::outcome::Fault;
use swath_model::replication::{Bounds, Decision, Stop};
use swath_model::steering::{Rule, Steering};
use swath_model::view::SweepState;

use super::bench::Bench;
use super::script::{failed, job, measured, sweep};
use crate::{Steered, SteeringDue, StoreError, Submission, SweepChange};

/// A sweep whose cells get `min` to `max` replicates.
pub fn adaptive(name: &str, cells: &[u32], min: u32, max: u32) -> Submission {
    let mut submission = sweep(&format!("{name} to {max}"), cells, min);
    name.clone_into(&mut submission.name);
    submission.replicates_max = Some(max);
    submission
}

/// Measures every job that waits, with `value` of its cell and replicate.
async fn measure(bench: &mut Bench, owner: &Owner, value: impl Fn(u64, u32) -> f64) {
    loop {
        let grants = bench.take(owner, 1).await;
        let Some(grant) = grants.first() else {
            return;
        };
        bench.pass_ms(10);
        let view = bench.job(grant.held.job).await.job;
        let cell = view.spec["params"]["x"].as_u64().unwrap();
        let outcome = measured(value(cell, view.replicate.0));
        bench.finish(owner, grant.held, outcome).await;
    }
}

/// Values that are far apart by cell, so that few numbers suffice.
fn apart(cell: u64, replicate: u32) -> f64 {
    cell as f64 * 100.0 + f64::from(replicate)
}

async fn counts(bench: &Bench, sweep: SweepDigest) -> Vec<usize> {
    let results = bench.results(sweep).await;
    results.iter().map(|cell| cell.replicates.len()).collect()
}

/// What is due, which must be one sweep, and the result of a look at it.
async fn one_due(bench: &Bench) -> (SteeringDue, Vec<Steering>) {
    let due = bench.due().await;
    assert_eq!(due.len(), 1, "{due:?}");
    (due[0], bench.look(due[0]).await)
}

fn decisions(said: &[Steering]) -> Vec<Decision> {
    let decisions = said.iter().map(|one| match one {
        Steering::Add(decision) => *decision,
        Steering::Settle(verdict) => panic!("{verdict:?}"),
    });
    decisions.collect()
}

/// A round gives each cell its next replicate, once. These are wanted, and come
/// after everything that was submitted.
pub async fn a_round_gives_each_cell_its_next_replicate(bench: &mut Bench) {
    let submission = adaptive("s", &[1, 2, 3], 2, 5);
    let digest = submission.digest;
    bench.submit(&submission).await;
    let view = bench.sweep(digest).await;
    let replication = view.replication.unwrap();
    assert_eq!((view.replicates, replication.max), (2, 5));
    assert_eq!((replication.rounds, replication.seeds), (0, 0));
    let owner = bench.hello("w").await;
    assert_eq!(bench.due().await, []);
    measure(bench, &owner, |_, _| 8.0).await;
    bench.submit(&sweep("other", &[9], 1)).await;
    // Every job is final, and yet the sweep is not finished.
    assert_eq!(bench.sweep(digest).await.state, SweepState::Active);
    assert_eq!(bench.sweep(digest).await.finished_at, None);
    let (due, said) = one_due(bench).await;
    assert_eq!((due.sweep, due.rounds), (digest, 0));
    let done = bench.steer(due, &said).await;
    let wanted = Steered {
        seeds: 3,
        new_jobs: 3,
        settled: false,
    };
    assert_eq!(done.unwrap(), wanted);
    assert_eq!(bench.due().await, []);
    let again = bench.steer(due, &said).await;
    assert_eq!(again.unwrap(), Steered::default());
    assert_eq!(counts(bench, digest).await, [3, 3, 3]);
    let view = bench.sweep(digest).await;
    assert_eq!((view.counts.queued, view.counts.succeeded), (3, 6));
    let replication = view.replication.unwrap();
    assert_eq!((replication.rounds, replication.seeds), (1, 3));
    let record = bench.read(async |store| store.replication(digest).await);
    let record = record.await;
    let recorded: Vec<_> = record.decisions.iter().map(|it| it.decision).collect();
    assert_eq!(recorded, decisions(&said));
    assert_eq!((record.decisions[0].round, record.verdict), (1, None));
    let order: Vec<_> = bench.take(&owner, 9).await;
    let order: Vec<_> = order.iter().map(|grant| grant.held.job).collect();
    assert_eq!(order, [job(9, 1), job(1, 3), job(2, 3), job(3, 3)]);
}

/// Only the next replicate of a cell of the sweep can be given, and only up to
/// the maximum.
pub async fn a_decision_that_does_not_follow_is_ignored(bench: &mut Bench) {
    let submission = adaptive("s", &[1, 2], 1, 2);
    bench.submit(&submission).await;
    bench.submit(&sweep("other", &[3], 1)).await;
    let owner = bench.hello("w").await;
    measure(bench, &owner, |_, _| 8.0).await;
    let (due, said) = one_due(bench).await;
    let right = decisions(&said);
    let other = super::script::plain_cell(3).digest;
    let numbered = |replicate| Decision {
        replicate: Replicate(replicate),
        ..right[0]
    };
    let elsewhere = Decision {
        cell: other,
        ..right[0]
    };
    let wrong = [numbered(1), numbered(3), elsewhere].map(Steering::Add);
    let done = bench.steer(due, &wrong).await.unwrap();
    assert_eq!(done, Steered::default());
    let mixed = [numbered(1), right[0], right[0], numbered(3)].map(Steering::Add);
    assert_eq!(bench.steer(due, &mixed).await.unwrap().seeds, 1);
    assert_eq!(counts(bench, submission.digest).await, [2, 1]);
    let unknown = SteeringDue {
        sweep: sweep("never", &[1], 1).digest,
        ..due
    };
    let refused = bench.steer(unknown, &said).await;
    assert!(
        matches!(refused, Err(StoreError::NotFound(_))),
        "{refused:?}"
    );
}

/// A settled sweep is finished, until a job of it ends once more.
pub async fn a_settled_sweep_is_finished(bench: &mut Bench) {
    let submission = adaptive("s", &[1, 2], 3, 5);
    let digest = submission.digest;
    bench.submit(&submission).await;
    let owner = bench.hello("w").await;
    let attempt = bench.take_one(&owner).await;
    let outcome = failed(Fault::Invalid, "no such layer");
    bench.finish(&owner, attempt, outcome).await;
    let mut rounds = 0;
    loop {
        measure(bench, &owner, apart).await;
        let (due, said) = one_due(bench).await;
        if bench.steer(due, &said).await.unwrap().settled {
            break;
        }
        rounds += 1;
    }
    // With 5 against 5 numbers; one of the first cell has none.
    assert_eq!((rounds, counts(bench, digest).await), (2, vec![5, 5]));
    let view = bench.sweep(digest).await;
    assert_eq!(view.state, SweepState::Finished);
    assert!(view.finished_at.is_some());
    let settled = view.replication.unwrap().settled.unwrap();
    assert_eq!(
        (settled.at, settled.pairs, settled.undecided),
        (bench.now, 1, 0)
    );
    assert_eq!(bench.due().await, []);
    bench.pass_ms(5);
    assert_eq!(bench.retry_jobs(&[attempt.job]).await, 1);
    let view = bench.sweep(digest).await;
    assert_eq!(view.state, SweepState::Active);
    assert_eq!(view.replication.unwrap().settled, None);
    let record = bench.read(async |store| store.replication(digest).await);
    assert_eq!(record.await.verdict, None);
    measure(bench, &owner, |_, _| 999.0).await;
    let (due, said) = one_due(bench).await;
    let [Steering::Settle(verdict)] = &said[..] else {
        panic!("both cells have all that they may have");
    };
    assert_eq!(verdict.undecided[0].stop, Stop::Max);
    bench.steer(due, &said).await.unwrap();
    let view = bench.sweep(digest).await;
    assert_eq!(view.replication.unwrap().settled.unwrap().undecided, 1);
    let record = bench.read(async |store| store.replication(digest).await);
    assert_eq!(record.await.verdict.as_ref(), Some(verdict));
}

/// Nothing is decided about a sweep that is paused or cancelled. When it
/// continues, so do the replicates it was given.
pub async fn a_sweep_that_rests_is_left_alone(bench: &mut Bench) {
    let submission = adaptive("s", &[1, 2], 1, 4);
    let digest = submission.digest;
    bench.submit(&submission).await;
    let owner = bench.hello("w").await;
    measure(bench, &owner, |_, _| 8.0).await;
    let (due, said) = one_due(bench).await;
    let pause = SweepChange::Pause {
        cause: swath_model::cause::PauseCause::Operator,
    };
    bench.change_sweep(digest, pause).await.unwrap();
    assert_eq!(bench.sweep(digest).await.state, SweepState::Paused);
    assert_eq!(bench.due().await, []);
    let done = bench.steer(due, &said).await.unwrap();
    assert_eq!(done, Steered::default());
    bench
        .change_sweep(digest, SweepChange::Resume)
        .await
        .unwrap();
    assert_eq!(bench.due().await, [due]);
    assert_eq!(bench.steer(due, &said).await.unwrap().seeds, 2);
    bench
        .change_sweep(digest, SweepChange::Cancel)
        .await
        .unwrap();
    assert_eq!(bench.state(job(1, 2)).await, StateName::Cancelled);
    assert_eq!(bench.due().await, []);
    let submitted = bench.submit(&submission).await;
    assert_eq!((submitted.revived, submitted.jobs), (true, 4));
    assert_eq!(bench.state(job(1, 2)).await, StateName::Queued);
    // What an operator cancelled is not wanted by a later round.
    bench.cancel_jobs(&[job(1, 2)]).await;
    measure(bench, &owner, |_, _| 8.0).await;
    let (due, said) = one_due(bench).await;
    bench.steer(due, &said).await.unwrap();
    assert_eq!(bench.state(job(1, 2)).await, StateName::Cancelled);
}

/// A replicate that another sweep holds is the same job: an older sweep joins
/// it, and it is counted in both.
pub async fn a_replicate_that_exists_is_not_trained_again(bench: &mut Bench) {
    let old = adaptive("old", &[1, 2], 1, 4);
    bench.submit(&old).await;
    let owner = bench.hello("w").await;
    bench.submit(&sweep("new", &[2], 3)).await;
    measure(bench, &owner, |_, _| 8.0).await;
    let (due, said) = one_due(bench).await;
    let done = bench.steer(due, &said).await.unwrap();
    assert_eq!((done.seeds, done.new_jobs), (2, 1));
    let view = bench.sweep(old.digest).await;
    assert_eq!((view.counts.succeeded, view.counts.queued), (3, 1));
    assert_eq!(bench.job(job(2, 2)).await.job.sweeps, ["old", "new"]);
    bench.cancel_jobs(&[job(1, 2)]).await;
    assert_eq!(bench.sweep(old.digest).await.counts.cancelled, 1);
    // A cell whose every next job exists is due again at once.
    let known = adaptive("known", &[2, 3], 1, 3);
    bench.submit(&known).await;
    bench.submit(&sweep("all", &[3], 3)).await;
    measure(bench, &owner, |_, _| 8.0).await;
    let due = bench.due().await;
    let due = due.into_iter().find(|it| it.sweep == known.digest).unwrap();
    let said = bench.look(due).await;
    let done = bench.steer(due, &said).await.unwrap();
    assert_eq!((done.seeds, done.new_jobs), (2, 0));
    let next = bench.due().await;
    let next = next.into_iter().find(|it| it.sweep == known.digest);
    assert_eq!(next.unwrap().rounds, 1);
}

/// Sweeps with a fixed number are never due.
pub async fn fixed_replicates_stay(bench: &mut Bench) {
    let submission = sweep("s", &[1, 2], 3);
    bench.submit(&submission).await;
    let owner = bench.hello("w").await;
    measure(bench, &owner, |_, _| 8.0).await;
    assert_eq!(bench.due().await, []);
    let view = bench.sweep(submission.digest).await;
    assert_eq!((view.state, view.replication), (SweepState::Finished, None));
    let due = SteeringDue {
        sweep: submission.digest,
        rule: Rule::Ranked(Bounds { min: 3, max: 9 }),
        rounds: 0,
        ended_at: view.finished_at.unwrap(),
    };
    let said = bench.look(due).await;
    let done = bench.steer(due, &said).await.unwrap();
    assert_eq!(done, Steered::default());
}
