//! Sweeps that are stored in parts: all of one is seen, or nothing.

use swath_engine::ledger::Prepared;

use super::bench::Bench;
use super::script::sweep;
use crate::{JobQuery, StoreError, Submission, SweepChange};

/// Stores the first cells of a sweep, with commits of one job, and goes away.
async fn begin(bench: &Bench, submission: &Submission, jobs: u64) {
    let prepared = Prepared::new(submission.clone());
    let engine = bench.tested().engine();
    let submitting = engine.submit_in_parts(bench.now, prepared, 1);
    let enough = async {
        while engine.storing().is_none_or(|it| it.stored < jobs) {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        () = enough => {}
        done = submitting => panic!("all of it was stored: {done:?}"),
    }
}

async fn jobs(bench: &Bench) -> usize {
    let jobs = bench.store().jobs(JobQuery::default()).await;
    jobs.unwrap().len()
}

/// However a sweep comes in, it is the same sweep with the same jobs.
pub async fn parts_make_the_same_sweep(bench: &mut Bench) {
    bench.submit(&sweep("other", &[2, 5], 2)).await;
    let s = sweep("s", &[1, 2, 3, 4, 5], 2);
    let submitted = bench.submit_in_parts(&s, 4).await;
    assert!(!submitted.existed);
    assert_eq!((submitted.jobs, submitted.new_jobs), (10, 6));
    let owner = bench.hello("w").await;
    assert_eq!(bench.take(&owner, 20).await.len(), 10);
    assert!(bench.submit_in_parts(&s, 4).await.existed);
    let cancel = bench.change_sweep(s.digest, SweepChange::Cancel);
    cancel.await.unwrap();
    let again = bench.submit_in_parts(&s, 4).await;
    assert!(again.existed && again.revived);
    bench.delete(s.digest, true).await.unwrap();
    assert_eq!(bench.submit_in_parts(&s, 1).await.new_jobs, 6);
}

/// Nobody sees a sweep of which only some parts are stored, nothing can be done
/// with it, and it goes with the jobs that are of it alone.
pub async fn what_is_left_of_a_submit_goes(bench: &mut Bench) {
    bench.submit(&sweep("kept", &[2], 1)).await;
    let s = sweep("s", &[1, 2, 3, 4, 5], 1);
    begin(bench, &s, 3).await;
    bench.tested.crash().await;
    assert!(jobs(bench).await >= 3);
    let sweeps = bench.store().sweeps().await.unwrap();
    assert_eq!(sweeps.len(), 1);
    let engine = bench.tested().engine();
    assert_eq!(engine.ledger_check().await, Ok(()));
    let change = engine.change_sweep(bench.now, s.digest, SweepChange::Resume);
    assert!(matches!(change.await, Err(StoreError::Conflict(_))));
    engine.remove_staged(bench.now).await.unwrap();
    assert_eq!(jobs(bench).await, 1);
    bench.compare("what was left is removed", true).await;
    assert!(!bench.submit(&s).await.existed);
}

/// A submit that was cut off is no reason to refuse the next.
pub async fn a_submit_begins_anew_where_another_was_cut_off(bench: &mut Bench) {
    let s = sweep("s", &[1, 2, 3, 4, 5], 1);
    begin(bench, &s, 3).await;
    let submitted = bench.submit_in_parts(&s, 1).await;
    assert!(!submitted.existed);
    assert_eq!(submitted.new_jobs, 5);
}

/// Of two submits of one sweep at the same time, the second finds what the first
/// has stored.
pub async fn of_two_submits_at_once_one_stores(bench: &mut Bench) {
    let s = sweep("s", &[1, 2, 3, 4, 5], 1);
    let now = bench.now;
    let engine = bench.tested().engine();
    let submit = || engine.submit_in_parts(now, Prepared::new(s.clone()), 1);
    let (first, second) = tokio::join!(submit(), submit());
    let (first, second) = (first.unwrap(), second.unwrap());
    assert!(!first.existed && second.existed);
    assert_eq!((first.new_jobs, second.new_jobs, second.jobs), (5, 0, 5));
    // The model submits it twice as well.
    for _ in 0..2 {
        let call = crate::call::Call::Submit(s.clone());
        call.make(&bench.oracle, now).await.unwrap();
    }
    bench.compare("two submits at once", true).await;
}
