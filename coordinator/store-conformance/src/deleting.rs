//! Deleting sweeps: what no other sweep needs goes, and nothing else.

use swath_model::event::What;
use swath_model::id::JobDigest;
use swath_model::job::StateName;

use super::bench::Bench;
use super::importing::{batch, row};
use super::replicating::adaptive;
use super::script::{job, measured, observation, report, sweep};
use crate::Verdict::Fenced;
use crate::{Ack, JobQuery, Part, StoreError, Submission, SweepChange};

async fn delete(bench: &mut Bench, sweep: &Submission, cancel: bool) -> u64 {
    bench.delete(sweep.digest, cancel).await.unwrap()
}

async fn all_jobs(bench: &Bench) -> Vec<JobDigest> {
    let jobs = bench.jobs(JobQuery::default()).await;
    jobs.into_iter().map(|job| job.digest).collect()
}

/// The jobs of which events say that they are gone.
async fn told_gone(bench: &Bench) -> Vec<JobDigest> {
    let events = bench.events().await.into_iter();
    let gone = events.filter_map(|event| match event.what {
        What::JobsDeleted { jobs } => Some(jobs),
        _ => None,
    });
    gone.flatten().collect()
}

/// Events name the jobs that may have left files with their workers, and no others.
pub async fn jobs_that_had_an_attempt_are_told_to_be_gone(bench: &mut Bench) {
    let s = sweep("s", &[1, 2, 3], 1);
    bench.submit(&s).await;
    let owner = bench.hello("w").await;
    let grants = bench.take(&owner, 2).await;
    bench.finish(&owner, grants[0].held, measured(8.25)).await;
    assert_eq!(delete(bench, &s, true).await, 3);
    let mut told = told_gone(bench).await;
    told.sort();
    let mut begun: Vec<JobDigest> = grants.iter().map(|grant| grant.held.job).collect();
    begun.sort();
    assert_eq!(told, begun);
}

/// Everything of a finished sweep goes, and nothing is left in any table.
pub async fn a_finished_sweep_goes_with_everything(bench: &mut Bench) {
    let s = sweep("s", &[1, 2], 1);
    bench.submit(&s).await;
    let owner = bench.hello("w").await;
    let grants = bench.take(&owner, 2).await;
    for grant in &grants {
        let said = report(grant.held, vec![observation(1, 9.0)], 3, "log");
        bench.observe(&owner, &[said]).await.unwrap();
        bench.finish(&owner, grant.held, measured(8.25)).await;
    }
    bench.import(batch(&[row("s", 1, 1, 8.0)])).await.unwrap();
    assert_eq!(delete(bench, &s, false).await, 2);
    assert_eq!(all_jobs(bench).await, []);
    let gone = bench.change_sweep(s.digest, SweepChange::Cancel).await;
    assert!(matches!(gone, Err(StoreError::NotFound(_))), "{gone:?}");
    let mut snapshot = bench.store().snapshot().await.unwrap();
    for part in Part::ALL.into_iter().filter(|part| *part != Part::Workers) {
        let page = snapshot
            .page(part, crate::PageKey::FIRST, 10)
            .await
            .unwrap();
        let requests = if part == Part::Requests {
            page.count
        } else {
            0
        };
        assert_eq!(page.count, requests, "{}", part.name());
    }
    snapshot.close().await.unwrap();
    // A late word of a job that is gone changes nothing.
    let ack = bench.finish(&owner, grants[0].held, measured(8.25)).await;
    assert_eq!(ack, Ack::Stale);
    assert_eq!(bench.submit(&s).await.new_jobs, 2);
}

/// What another sweep holds stays, with its attempts and outcomes.
pub async fn shared_jobs_outlive_a_sweep(bench: &mut Bench) {
    let (small, large) = (sweep("s", &[1, 2], 1), sweep("s", &[2, 3], 2));
    bench.submit(&small).await;
    bench.submit(&large).await;
    let owner = bench.hello("w").await;
    for grant in bench.take(&owner, 5).await {
        bench.finish(&owner, grant.held, measured(8.25)).await;
    }
    let numbers = [
        row("s", 1, 1, 8.0),
        row("s", 2, 1, 9.0),
        row("s", 3, 1, 9.5),
    ];
    bench.import(batch(&numbers)).await.unwrap();
    // Replicate 2 of cell 2, and both of cell 3.
    assert_eq!(delete(bench, &large, false).await, 3);
    assert_eq!(told_gone(bench).await.len(), 3);
    assert_eq!(all_jobs(bench).await, [job(1, 1), job(2, 1)]);
    assert_eq!(bench.state(job(2, 1)).await, StateName::Succeeded);
    assert_eq!(bench.sweep(small.digest).await.counts.succeeded, 2);
    // The name means the one that is left, and counts on.
    assert_eq!(bench.submit(&sweep("s", &[9], 1)).await.version, 2);
}

/// Open jobs keep a sweep, unless they are to be cancelled: then those under way
/// go too, and their workers are told.
pub async fn open_jobs_are_cancelled_on_request(bench: &mut Bench) {
    let (s, t) = (sweep("s", &[1, 2, 3], 1), sweep("t", &[2], 1));
    bench.submit(&s).await;
    bench.submit(&t).await;
    let owner = bench.hello("w").await;
    let grants = bench.take(&owner, 2).await;
    let refused = bench.delete(s.digest, false).await;
    assert!(
        matches!(refused, Err(StoreError::Conflict(_))),
        "{refused:?}"
    );
    assert_eq!(delete(bench, &s, true).await, 2);
    assert_eq!(all_jobs(bench).await, [job(2, 1)]);
    assert_eq!(bench.worker(&owner.worker).await.held, 1);
    let held: Vec<_> = grants.iter().map(|grant| grant.held).collect();
    let verdicts = bench.beat(&owner, &held).await;
    let fenced = held.iter().map(|held| held.job != job(2, 1));
    let told = verdicts.iter().map(|verdict| *verdict == Fenced);
    assert!(told.eq(fenced), "{verdicts:?}");
    let ack = bench.finish(&owner, held[0], measured(1.0)).await;
    assert_eq!(ack, Ack::Stale);
}

/// A sweep whose results decide about its replicates goes with the decisions.
pub async fn decisions_go_with_their_sweep(bench: &mut Bench) {
    let s = adaptive("s", &[1, 2], 1, 2);
    bench.submit(&s).await;
    let owner = bench.hello("w").await;
    for grant in bench.take(&owner, 2).await {
        bench.finish(&owner, grant.held, measured(8.25)).await;
    }
    for due in bench.due().await {
        let said = bench.look(due).await;
        bench.steer(due, &said).await.unwrap();
    }
    assert!(delete(bench, &s, true).await >= 2);
    assert_eq!(all_jobs(bench).await, []);
    assert_eq!(bench.submit(&s).await.new_jobs, 2);
}

/// A sweep of many cells goes some at a time.
pub async fn a_large_sweep_goes_piece_by_piece(bench: &mut Bench) {
    let cells: Vec<u32> = (1..=300).collect();
    let s = sweep("s", &cells, 1);
    bench.submit(&s).await;
    bench.submit(&sweep("t", &[3, 69], 1)).await;
    let commits = bench.commits();
    assert_eq!(delete(bench, &s, true).await, 298);
    assert!(bench.commits() >= commits + 4);
    assert_eq!(all_jobs(bench).await.len(), 2);
}
