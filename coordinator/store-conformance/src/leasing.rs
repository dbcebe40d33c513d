//! Leases, heartbeats, observations, and giving jobs back.

use std::time::Duration;

use swath_model::id::Owner;
use swath_model::job::StateName;
use swath_model::view::WorkerState;

use super::bench::Bench;
use super::script::{held, job, measured, observation, report, sweep};
use super::subject::Subject;
use crate::Verdict::{Fenced, Keep, Stop};
use crate::{Held, StoreError, WorkerChange};

/// `jobs` jobs, taken by worker `w`.
async fn taken(bench: &mut Bench, jobs: u32) -> (Owner, Vec<Held>) {
    let cells: Vec<u32> = (1..=jobs).collect();
    bench.submit(&sweep("s", &cells, 1)).await;
    let owner = bench.hello("w").await;
    let grants = bench.take(&owner, jobs).await;
    assert_eq!(grants.len(), jobs as usize);
    (owner, grants.iter().map(|grant| grant.held).collect())
}

/// Lease over: suspect. Grace over: queued, at once and uncharged.
pub async fn a_lease_passes_in_two_steps(bench: &mut Bench) {
    let (_, attempts) = taken(bench, 1).await;
    let attempt = attempts[0];
    let view = bench.job(attempt.job).await.job;
    assert_eq!(view.deadline, Some(bench.now + bench.policy().ttl()));
    bench.pass_almost(bench.policy().ttl());
    assert_eq!(bench.tick().await, crate::Ticked::default());
    bench.pass_ms(1);
    assert_eq!(bench.tick().await.suspected, 1);
    let view = bench.job(attempt.job).await.job;
    let grace = Duration::from_millis(bench.policy().grace_min_ms);
    assert_eq!(view.deadline, Some(bench.now + grace));
    bench.pass_almost(grace);
    assert_eq!(bench.tick().await, crate::Ticked::default());
    bench.pass_ms(1);
    assert_eq!(bench.tick().await.requeued, 1);
    let view = bench.job(attempt.job).await.job;
    assert_eq!(view.state, StateName::Queued);
    assert_eq!((view.not_before, view.charged), (Some(bench.now), 0));
    assert_eq!((view.deadline, view.attempt), (None, attempt.attempt));
}

/// A long training is expensive, so its worker may be silent for longer.
pub async fn grace_grows_with_the_training(bench: &mut Bench) {
    let (owner, attempts) = taken(bench, 1).await;
    let hour = Duration::from_hours(1);
    bench.pass(hour);
    assert_eq!(bench.beat(&owner, &attempts).await, [Keep]);
    bench.expire().await;
    let grace = bench.policy().grace(hour + bench.policy().ttl());
    assert_eq!(grace, Duration::from_secs(183));
    bench.pass_almost(grace);
    assert_eq!(bench.tick().await.requeued, 0);
    bench.pass_ms(1);
    assert_eq!(bench.tick().await.requeued, 1);
}

/// The same attempt continues, whether it was suspect or queued, until a newer
/// one was granted.
pub async fn a_heartbeat_brings_an_attempt_back(bench: &mut Bench) {
    let (owner, attempts) = taken(bench, 1).await;
    let attempt = attempts[0];
    bench.expire().await;
    assert_eq!(bench.beat(&owner, &attempts).await, [Keep]);
    assert_eq!(bench.state(attempt.job).await, StateName::Leased);
    bench.expire().await;
    bench.give_up().await;
    assert_eq!(bench.state(attempt.job).await, StateName::Queued);
    assert_eq!(bench.beat(&owner, &attempts).await, [Keep]);
    let view = bench.job(attempt.job).await.job;
    assert_eq!(
        (view.state, view.attempt),
        (StateName::Leased, attempt.attempt)
    );
    assert_eq!(view.deadline, Some(bench.now + bench.policy().ttl()));
    bench.expire().await;
    bench.give_up().await;
    let other = bench.hello("other").await;
    bench.take_one(&other).await;
    assert_eq!(bench.beat(&owner, &attempts).await, [Fenced]);
}

/// A grant whose reply was lost, and that no repeated request asked for.
pub async fn what_two_heartbeats_do_not_mention_is_taken_back(bench: &mut Bench) {
    let (owner, attempts) = taken(bench, 3).await;
    let [known, forgotten, late] = attempts[..] else {
        panic!("three attempts");
    };
    // The worker cannot know yet of an attempt that was just granted.
    bench.pass_almost(bench.policy().heartbeat());
    for _ in 0..3 {
        assert_eq!(bench.beat(&owner, &[known]).await, [Keep]);
    }
    bench.pass_ms(1);
    assert_eq!(bench.beat(&owner, &[known]).await, [Keep]);
    assert_eq!(bench.beat(&owner, &[known, late]).await, [Keep, Keep]);
    assert_eq!(bench.state(forgotten.job).await, StateName::Queued);
    let detail = bench.job(forgotten.job).await;
    assert_eq!(
        (detail.job.charged, detail.attempts[0].ended.as_str()),
        (0, "lost")
    );
    // Once is not twice in a row.
    bench.beat(&owner, &[known]).await;
    assert_eq!(bench.state(late.job).await, StateName::Leased);
    // Mentioning it does not bring it back, because it has ended.
    assert_eq!(bench.beat(&owner, &[forgotten]).await, [Fenced]);
    assert_eq!(bench.state(late.job).await, StateName::Queued);
    assert_eq!(bench.state(known.job).await, StateName::Leased);
}

/// What the network loses is no doing of the job: it would be used up otherwise
/// before it was ever started.
pub async fn grants_that_never_arrive_use_up_no_job(bench: &mut Bench) {
    let (owner, attempts) = taken(bench, 1).await;
    let job = attempts[0].job;
    for _ in 0..bench.policy().attempts_max {
        bench.pass_ms(bench.policy().heartbeat().as_millis() as u64);
        bench.beat(&owner, &[]).await;
        bench.beat(&owner, &[]).await;
        assert_eq!(bench.state(job).await, StateName::Queued);
        bench.take_one(&owner).await;
    }
    // Those that arrived count, whatever became of them then.
    for arrived in 1..=bench.policy().attempts_max {
        let attempt = bench.policy().attempts_max + arrived;
        bench.pass_ms(bench.policy().heartbeat().as_millis() as u64);
        bench.beat(&owner, &[held(job, attempt)]).await;
        bench.beat(&owner, &[]).await;
        bench.beat(&owner, &[]).await;
        if arrived < bench.policy().attempts_max {
            assert_eq!(bench.state(job).await, StateName::Queued);
            bench.take_one(&owner).await;
        }
    }
    assert_eq!(bench.state(job).await, StateName::Failed);
}

/// Preempted is not failed.
pub async fn a_released_job_is_not_charged(bench: &mut Bench) {
    let (owner, attempts) = taken(bench, 2).await;
    bench.pass_ms(5);
    bench.release(&owner, &attempts[..1]).await.unwrap();
    // A second release of it, and a release of what others hold, is ignored.
    bench.release(&owner, &attempts[..1]).await.unwrap();
    let other = bench.hello("other").await;
    bench.release(&other, &attempts).await.unwrap();
    let detail = bench.job(attempts[0].job).await;
    assert_eq!(
        (detail.job.state, detail.job.charged),
        (StateName::Queued, 0)
    );
    assert_eq!(detail.attempts[0].ended, "released");
    assert_eq!(detail.attempts[0].ended_at, Some(bench.now));
    assert_eq!(bench.state(attempts[1].job).await, StateName::Leased);
    assert_eq!(bench.take_one(&other).await, held(attempts[0].job, 2));
}

/// A draining worker is told to stop its jobs, which are not cancelled by that.
/// Its next session is active.
pub async fn a_draining_worker_is_told_to_stop(bench: &mut Bench) {
    let (owner, attempts) = taken(bench, 2).await;
    let drain = WorkerChange::Drain;
    bench.change_worker(&owner.worker, drain).await.unwrap();
    assert_eq!(bench.beat(&owner, &attempts).await, [Stop, Stop]);
    let reports = [report(attempts[0], vec![observation(1, 50.0)], 0, "")];
    assert_eq!(bench.observe(&owner, &reports).await.unwrap(), [Stop]);
    bench.release(&owner, &attempts[..1]).await.unwrap();
    assert_eq!(bench.state(attempts[0].job).await, StateName::Queued);
    // What it finishes meanwhile counts.
    bench.finish(&owner, attempts[1], measured(1.0)).await;
    assert_eq!(bench.state(attempts[1].job).await, StateName::Succeeded);
    assert_eq!(
        bench.worker(&owner.worker).await.state,
        WorkerState::Draining
    );
    let owner = bench.hello("w").await;
    assert_eq!(bench.worker(&owner.worker).await.state, WorkerState::Active);
    bench.take_one(&owner).await;
}

/// A coordinator that was away for hours re-runs nothing.
pub async fn a_start_extends_every_lease(bench: &mut Bench) {
    let (owner, attempts) = taken(bench, 2).await;
    bench.pass_ms(1000);
    bench.beat(&owner, &attempts[..1]).await;
    bench.pass(Duration::from_hours(2));
    bench.restart().await;
    let elapsed = Duration::from_secs(2 * 3600 + 1);
    let least = bench.now + bench.policy().ttl() + bench.policy().grace(elapsed);
    for attempt in &attempts {
        let view = bench.job(attempt.job).await.job;
        assert_eq!(
            (view.state, view.deadline),
            (StateName::Leased, Some(least))
        );
    }
    assert_eq!(bench.tick().await, crate::Ticked::default());
    assert_eq!(bench.beat(&owner, &attempts).await, [Keep, Keep]);
}

/// While the store was away, no worker could report.
pub async fn an_absence_extends_every_lease(bench: &mut Bench) {
    let (_, attempts) = taken(bench, 1).await;
    bench.pass_ms(bench.policy().ttl_ms - 1);
    bench.extend_leases().await;
    let least = bench.now + bench.policy().ttl();
    let view = bench.job(attempts[0].job).await.job;
    assert_eq!(view.deadline, Some(least));
    bench.expire().await;
    bench.pass_ms(bench.policy().grace_min_ms - 1);
    bench.extend_leases().await;
    let view = bench.job(attempts[0].job).await.job;
    assert_eq!(view.state, StateName::Suspect);
    assert_eq!(view.deadline, Some(bench.now + bench.policy().ttl()));
    // It is never shortened.
    bench.restart().await;
    let deadline = bench.job(attempts[0].job).await.job.deadline;
    bench.extend_leases().await;
    assert_eq!(bench.job(attempts[0].job).await.job.deadline, deadline);
}

/// A worker sends again whatever it does not know to have arrived.
pub async fn repeated_observations_are_ignored(bench: &mut Bench) {
    let (owner, attempts) = taken(bench, 1).await;
    let attempt = attempts[0];
    let deadline = bench.job(attempt.job).await.job.deadline;
    bench.pass_ms(10);
    let first = report(attempt, vec![observation(1, 60.0)], 1, "one\n");
    let repeat = report(
        attempt,
        vec![observation(1, 99.0), observation(2, 50.0)],
        1,
        "other\n",
    );
    let reports = [first, repeat, report(attempt, vec![], 2, "two\n")];
    let verdicts = bench.observe(&owner, &reports).await.unwrap();
    assert_eq!(verdicts, [Keep, Keep, Keep]);
    bench.observe(&owner, &reports[1..2]).await.unwrap();
    // Number 0 is no chunk.
    let none = report(attempt, vec![], 0, "lost");
    bench.observe(&owner, &[none]).await.unwrap();
    let curve = bench.read(async |store| store.curves(attempt.job).await);
    let errors: Vec<_> = curve
        .await
        .iter()
        .map(|point| {
            (
                point.observation.epoch,
                point.observation.values.get("test_error"),
            )
        })
        .collect();
    assert_eq!(errors, [(1, Some(60.0)), (2, Some(50.0))]);
    let logs = bench
        .read(async |store| store.logs(attempt.job, 0).await)
        .await;
    let logs: Vec<_> = logs
        .iter()
        .map(|chunk| (chunk.position, chunk.text.as_str()))
        .collect();
    assert_eq!(logs, [(1, "one\n"), (2, "two\n")]);
    let view = bench.job(attempt.job).await.job;
    assert_eq!(view.deadline, deadline);
    assert_eq!(view.progress, Some(observation(2, 50.0)));
}

/// Of a long log the beginning and the end stay, and what is left out between them
/// can be counted, whoever left it out.
pub async fn a_long_log_keeps_its_ends(bench: &mut Bench) {
    let (owner, attempts) = taken(bench, 1).await;
    let attempt = attempts[0];
    let line = |n: u64| format!("{n} {}\n", "x".repeat(10_000));
    let size = |n: u64| line(n).len() as u64;
    // A chunk is numbered by where it ends. The worker left a thousand bytes out
    // before the 20th.
    let end = |n: u64| (1..=n).map(size).sum::<u64>() + if n < 20 { 0 } else { 1000 };
    let lines = (1..=30).map(|n| report(attempt, vec![], end(n), &line(n)));
    for lines in lines.collect::<Vec<_>>().chunks(4) {
        bench.observe(&owner, lines).await.unwrap();
    }
    // A repeat of what had to make room is no news.
    let repeat = [report(attempt, vec![], end(9), &line(9))];
    bench.observe(&owner, &repeat).await.unwrap();
    let read = async |store: &dyn Subject| store.logs(attempt.job, 0).await;
    let logs = bench.read(read).await;
    let positions = logs.iter().map(|chunk| chunk.position);
    assert!(positions.eq((1..=6).chain(18..=30)));
    let begins = |n: u64| end(n) - size(n);
    assert!(logs.iter().all(|it| it.begin == begins(it.position)));
    assert_eq!((logs[5].end(), logs[6].begin), (end(6), end(17)));
    assert_eq!(logs[18].text, line(30));
    let kept: usize = logs.iter().map(|chunk| chunk.text.len()).sum();
    let gaps = logs.windows(2).map(|pair| pair[1].begin - pair[0].end());
    assert_eq!(kept as u64 + gaps.sum::<u64>(), end(30));

    // A chunk that is too long by itself keeps its end, from a character on. A short
    // one after a gap is no beginning, though it would fit there.
    let long = "ä".repeat(80_000);
    for (n, text) in [(50, long.as_str()), (51, "x\n"), (60, &long)] {
        let said = [report(attempt, vec![], end(n), text)];
        bench.observe(&owner, &said).await.unwrap();
    }
    let logs = bench.read(read).await;
    let positions = logs.iter().map(|chunk| chunk.position);
    assert!(positions.eq([1, 2, 3, 4, 5, 6, 33]));
    assert_eq!(logs[6].text, "ä".repeat(64 << 10));
    assert_eq!(logs[6].end(), end(60));
}

/// What a cut-off worker reports counts as long as its outcome would.
pub async fn a_cut_off_worker_may_still_observe(bench: &mut Bench) {
    let (owner, attempts) = taken(bench, 1).await;
    let attempt = attempts[0];
    bench.expire().await;
    bench.give_up().await;
    let say = |epoch| [report(attempt, vec![observation(epoch, 50.0)], 0, "")];
    assert_eq!(bench.observe(&owner, &say(1)).await.unwrap(), [Keep]);
    assert_eq!(bench.state(attempt.job).await, StateName::Queued);
    let other = bench.hello("other").await;
    bench.take_one(&other).await;
    assert_eq!(bench.observe(&owner, &say(2)).await.unwrap(), [Fenced]);
    let unknown = [report(held(job(99, 1), 1), vec![], 1, "x")];
    assert_eq!(bench.observe(&owner, &unknown).await.unwrap(), [Fenced]);
    // The newest attempt belongs to another worker.
    let newest = [report(
        held(attempt.job, 2),
        vec![observation(1, 9.0)],
        1,
        "x",
    )];
    assert_eq!(bench.observe(&owner, &newest).await.unwrap(), [Fenced]);
    // An attempt that has ended adds nothing either.
    bench.release(&other, &[newest[0].held]).await.unwrap();
    assert_eq!(bench.observe(&other, &newest).await.unwrap(), [Fenced]);
    let curve = bench.read(async |store| store.curves(attempt.job).await);
    assert_eq!(curve.await.len(), 1);
    assert_eq!(bench.job(attempt.job).await.job.progress, None);
    bench.hello("w").await;
    let older = bench.observe(&owner, &say(3)).await;
    assert!(matches!(older, Err(StoreError::StaleSession { .. })));
}
