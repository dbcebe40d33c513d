//! What readers see.

use std::sync::Arc;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::json;
use swath_model::id::{SweepDigest, WeightsDigest};
use swath_model::job::StateName;
use swath_model::metrics::Metrics;
use swath_model::needs::Needs;
use swath_model::outcome::{Fault, Measurement, Observation, Outcome};
use swath_model::probe::WorkloadKey;
use swath_model::view::{SweepKind, SweepState};

use super::bench::Bench;
use super::script::{
    any_values, failed, held, job, last, measured, observation, provenance, report, sweep, weights,
    worker_about,
};
use crate::{Ack, CellList, JobQuery, Known, Sources, SubmittedCell, SweepChange};

/// From active to paused to finished, with counts and times.
pub async fn sweeps_tell_their_state(bench: &mut Bench) {
    let one = sweep("one", &[1, 2], 1);
    let empty = sweep("empty", &[], 3);
    bench.submit(&one).await;
    bench.pass_ms(5);
    bench.submit(&empty).await;
    let names = bench.read(async |store| store.sweeps().await).await;
    let names: Vec<_> = names.iter().map(|view| view.name.as_str()).collect();
    assert_eq!(names, ["one", "empty"]);
    let view = bench.sweep(empty.digest).await;
    assert_eq!((view.state, view.finished_at), (SweepState::Finished, None));
    let owner = bench.hello("w").await;
    let attempt = bench.take_one(&owner).await;
    let pause = SweepChange::Pause {
        cause: swath_model::cause::PauseCause::Operator,
    };
    bench.change_sweep(one.digest, pause).await.unwrap();
    let view = bench.sweep(one.digest).await;
    assert_eq!(
        (view.state, view.paused.clone()),
        (
            SweepState::Paused,
            Some(swath_model::cause::PauseCause::Operator)
        )
    );
    assert_eq!((view.counts.leased, view.counts.queued), (1, 1));
    assert_eq!((view.cells, view.replicates), (2, 1));
    let digest = one.digest;
    let record = bench.read(async |store| store.sweep(digest).await).await;
    assert_eq!((record.view, record.definition), (view, one.definition));
    bench
        .change_sweep(one.digest, SweepChange::Resume)
        .await
        .unwrap();
    assert_eq!(bench.sweep(one.digest).await.state, SweepState::Active);
    bench.pass_ms(5);
    bench.finish(&owner, attempt, measured(1.0)).await;
    let attempt = bench.take_one(&owner).await;
    assert_eq!(bench.sweep(one.digest).await.finished_at, None);
    bench.pass_ms(5);
    bench
        .finish(&owner, attempt, failed(Fault::Diverged, ""))
        .await;
    let view = bench.sweep(one.digest).await;
    assert_eq!(view.state, SweepState::Finished);
    assert_eq!(view.finished_at, Some(bench.now));
    assert_eq!((view.counts.succeeded, view.counts.diverged), (1, 1));
    assert_eq!(view.counts.done(), view.counts.total());
}

/// A job must match every part of a query.
pub async fn jobs_are_found_by_sweep_state_and_prefix(bench: &mut Bench) {
    let one = sweep("one", &[1, 2], 1);
    let two = sweep("two", &[2, 3], 1);
    bench.submit(&one).await;
    bench.submit(&two).await;
    let owner = bench.hello("w").await;
    let attempt = bench.take_one(&owner).await;
    bench.finish(&owner, attempt, measured(1.0)).await;
    let found = |views: Vec<swath_model::view::JobView>| -> Vec<_> {
        views.iter().map(|view| view.digest).collect()
    };
    let all = found(bench.jobs(JobQuery::default()).await);
    assert_eq!(all, [job(1, 1), job(2, 1), job(3, 1)]);
    let of_two = JobQuery {
        sweep: Some(two.digest),
        ..JobQuery::default()
    };
    assert_eq!(found(bench.jobs(of_two.clone()).await), all[1..]);
    let first_of_two = JobQuery {
        limit: Some(1),
        ..of_two
    };
    assert_eq!(found(bench.jobs(first_of_two).await), all[1..2]);
    for (bytes, jobs) in [(1, 1), (two.cells[0].spec.len() + 1, 2), (1 << 20, 3)] {
        let bounded = JobQuery {
            bytes: Some(bytes),
            ..JobQuery::default()
        };
        assert_eq!(found(bench.jobs(bounded).await), all[..jobs], "{bytes}");
    }
    let waiting = JobQuery {
        sweep: Some(one.digest),
        states: vec![StateName::Queued, StateName::Leased],
        ..JobQuery::default()
    };
    assert_eq!(found(bench.jobs(waiting).await), all[1..2]);
    for length in [9, 64] {
        let by_prefix = JobQuery {
            prefix: Some(all[2].to_string()[..length].to_owned()),
            ..JobQuery::default()
        };
        assert_eq!(found(bench.jobs(by_prefix).await), all[2..]);
    }
    for (place, after) in all.iter().enumerate() {
        let next = JobQuery {
            after: Some(*after),
            ..JobQuery::default()
        };
        assert_eq!(found(bench.jobs(next).await), all[place + 1..]);
    }
    let beyond = JobQuery {
        after: Some(job(99, 1)),
        ..JobQuery::default()
    };
    assert_eq!(bench.jobs(beyond).await, []);
    let nowhere = JobQuery {
        sweep: Some(SweepDigest::from_bytes([7; 32])),
        ..JobQuery::default()
    };
    assert_eq!(bench.jobs(nowhere).await, []);
    let absent = bench.read(async |store| store.job(job(99, 1)).await);
    assert_eq!(absent.await, None);
}

/// A sweep's jobs come in order of submission, even where jobs of other sweeps
/// lie between them.
pub async fn jobs_of_a_scattered_sweep_are_found(bench: &mut Bench) {
    let cells: Vec<u32> = (1..=40).collect();
    bench.submit(&sweep("all", &cells, 1)).await;
    let ends = sweep("ends", &[40, 1], 2);
    bench.submit(&ends).await;
    let of_ends = JobQuery {
        sweep: Some(ends.digest),
        ..JobQuery::default()
    };
    let found = bench.jobs(of_ends.clone()).await;
    let found: Vec<_> = found.iter().map(|view| view.digest).collect();
    assert_eq!(found, [job(1, 1), job(40, 1), job(40, 2), job(1, 2)]);
    let second = JobQuery {
        after: Some(found[0]),
        limit: Some(1),
        states: vec![StateName::Queued],
        ..of_ends
    };
    let found = bench.jobs(second).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].digest, job(40, 1));
}

/// The failures that a status shows are the last ones.
pub async fn the_last_failures_come_first(bench: &mut Bench) {
    let one = sweep("one", &[1, 2, 3], 1);
    bench.submit(&one).await;
    bench.submit(&sweep("two", &[4], 1)).await;
    let owner = bench.hello("w").await;
    let grants = bench.take(&owner, 4).await;
    for place in [1, 0, 3] {
        bench.pass_ms(10);
        let diverged = failed(Fault::Diverged, "it diverged");
        bench.finish(&owner, grants[place].held, diverged).await;
    }
    let last = async |sweep: Option<SweepDigest>, limit: u32| {
        let found = bench.read(async |store| store.last_failed(sweep, limit).await);
        found
            .await
            .iter()
            .map(|view| view.digest)
            .collect::<Vec<_>>()
    };
    assert_eq!(last(None, 9).await, [job(4, 1), job(1, 1), job(2, 1)]);
    assert_eq!(last(Some(one.digest), 1).await, [job(1, 1)]);
    assert_eq!(last(Some(SweepDigest::from_bytes([7; 32])), 9).await, []);
}

/// A queued job shows how many go before it: by priority, then by order of
/// submission.
pub async fn a_queued_job_knows_its_place(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1, 2, 3], 1)).await;
    let mut urgent = sweep("urgent", &[4], 1);
    urgent.priority = 5;
    bench.submit(&urgent).await;
    let owner = bench.hello("w").await;
    for (cell, ahead) in [(4, 0), (1, 1), (2, 2), (3, 3), (99, 0)] {
        let told = bench.read(async |store| store.ahead(job(cell, 1)).await);
        assert_eq!(told.await, ahead, "cell {cell}");
    }
    assert_eq!(bench.take_one(&owner).await.job, job(4, 1));
    for (cell, ahead) in [(4, 0), (1, 0), (3, 2)] {
        let told = bench.read(async |store| store.ahead(job(cell, 1)).await);
        assert_eq!(told.await, ahead, "cell {cell}");
    }
    let pause = SweepChange::Pause {
        cause: swath_model::cause::PauseCause::Operator,
    };
    let digest = sweep("s", &[1, 2, 3], 1).digest;
    bench.change_sweep(digest, pause).await.unwrap();
    let told = bench.read(async |store| store.ahead(job(3, 1)).await);
    assert_eq!(told.await, 0, "a paused sweep's jobs wait for no other");
}

/// Every attempt with its owner, its times and its end.
pub async fn a_job_tells_of_its_attempts(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1], 1)).await;
    let view = bench.job(job(1, 1)).await.job;
    assert_eq!(
        (view.attempt.0, view.worker, view.granted_at),
        (0, None, None)
    );
    assert_eq!(view.spec["params"]["x"], 1);
    assert_eq!(view.spec.get("seed"), None);
    let owner = bench.hello("w").await;
    let attempt = bench.take_one(&owner).await;
    let granted = bench.now;
    let detail = bench.job(attempt.job).await;
    assert_eq!(
        (
            detail.attempts[0].ended.as_str(),
            detail.attempts[0].ended_at
        ),
        ("", None)
    );
    bench.pass_ms(7);
    let crash = failed(Fault::Crashed, "signal 11\nno core");
    bench.finish(&owner, attempt, crash).await;
    let ended = bench.now;
    bench.pass_ms(bench.policy().backoff_max_ms);
    let second = bench.take_one(&owner).await;
    bench.expire().await;
    bench.give_up().await;
    let third = bench.take_one(&owner).await;
    assert_eq!(third, held(second.job, 3));
    bench.finish(&owner, third, measured(1.5)).await;
    let detail = bench.job(attempt.job).await;
    let ends: Vec<_> = detail
        .attempts
        .iter()
        .map(|row| row.ended.as_str())
        .collect();
    assert_eq!(ends, ["crashed", "lost", "measured"]);
    let first = &detail.attempts[0];
    assert_eq!((first.granted_at, first.ended_at), (granted, Some(ended)));
    assert_eq!(
        (&first.worker, first.session),
        (&owner.worker, owner.session)
    );
    assert_eq!(first.message, "signal 11\nno core");
    assert_eq!(first.provenance, Some(provenance()));
    assert!(detail.attempts[1].ended_at > Some(ended));
    assert_eq!(detail.attempts[1].provenance, None);
    assert_eq!((detail.job.charged, detail.job.message.as_str()), (1, ""));
}

/// Results come in the sweep's own order, whatever the order in which jobs came
/// and ended.
pub async fn results_come_in_canonical_order(bench: &mut Bench) {
    bench.submit(&sweep("first", &[3], 1)).await;
    let submission = sweep("s", &[5, 3], 2);
    bench.submit(&submission).await;
    let owner = bench.hello("w").await;
    let grants = bench.take(&owner, 9).await;
    for (grant, error) in grants.iter().zip([1.0, 2.0]).rev() {
        bench.finish(&owner, grant.held, measured(error)).await;
    }
    let invalid = failed(Fault::Invalid, "no");
    bench.finish(&owner, grants[2].held, invalid).await;
    let digest = submission.digest;
    let cells = bench
        .read(async |store| store.results(digest, None).await)
        .await;
    let places: Vec<_> = cells.iter().map(|cell| (cell.index, cell.cell)).collect();
    let wanted = [&submission.cells[0], &submission.cells[1]].map(|cell| cell.digest);
    assert_eq!(places, [(0, wanted[0]), (1, wanted[1])]);
    assert_eq!(cells[0].axes, submission.cells[0].axes);
    let rows: Vec<_> = cells.iter().flat_map(|cell| &cell.replicates).collect();
    let jobs: Vec<_> = rows.iter().map(|row| (row.job, row.replicate.0)).collect();
    let wanted = [
        (job(5, 1), 1),
        (job(5, 2), 2),
        (job(3, 1), 1),
        (job(3, 2), 2),
    ];
    assert_eq!(jobs, wanted);
    let errors: Vec<_> = rows
        .iter()
        .map(|row| row.measurement.as_ref()?.values.get("test_error"))
        .collect();
    assert_eq!(errors, [Some(2.0), None, Some(1.0), None]);
    assert_eq!(rows[1].fault, Some(Fault::Invalid));
    assert_eq!(rows[1].provenance, Some(Arc::new(provenance())));
    assert_eq!(
        (rows[3].state, &rows[3].provenance),
        (StateName::Leased, &None)
    );
    // A job that waits for another attempt has no provenance that counts.
    let lost = failed(Fault::Lost, "killed");
    bench.finish(&owner, grants[3].held, lost).await;
    let cells = bench.read(async |store| store.results(digest, None).await);
    let waiting = cells.await[1].replicates[1].clone();
    assert_eq!(waiting.state, StateName::Queued);
    assert_eq!(waiting.provenance, None);
    let unknown = SweepDigest::from_bytes([7; 32]);
    bench
        .absent(async |store| store.results(unknown, None).await)
        .await;
}

/// Whatever a training measured is read back under its name everywhere.
pub async fn metrics_come_out_as_they_went_in(bench: &mut Bench) {
    let submission = sweep("s", &[1], 3);
    bench.submit(&submission).await;
    let owner = bench.hello("w").await;
    let grants = bench.take(&owner, 3).await;
    let numbers = [
        ("distance", 0.1 + 0.2),
        ("test_error.cifar10.1", 1e-300),
        ("goal.10.seconds", -12_345_678.906_25),
        ("test_loss", f64::MIN_POSITIVE / 3.0),
    ];
    let rich = Metrics::from(numbers);
    let own = Metrics::from([("val/acc \"%\"", 0.1 + 0.2), ("x", -0.0)]);
    let outcome = |values: &Metrics, weights: Option<WeightsDigest>| {
        let Outcome::Measured(measurement) = measured(1.0) else {
            unreachable!("it is measured");
        };
        Outcome::Measured(Measurement {
            values: values.clone(),
            weights,
            ..measurement
        })
    };
    let all = [
        (rich.clone(), Some(weights(1.0))),
        (own.clone(), Some(weights(2.0))),
        (rich.clone(), None),
    ];
    for (grant, (values, weights)) in grants.iter().zip(&all) {
        let outcome = outcome(values, *weights);
        let ack = bench.finish(&owner, grant.held, outcome).await;
        assert_eq!(ack, Ack::Recorded);
    }
    let digest = submission.digest;
    let cells = bench.read(async |store| store.results(digest, None).await);
    let cells = cells.await;
    for (place, told) in all.iter().enumerate() {
        let measured = cells[0].replicates[place].measurement.clone();
        assert_eq!(
            measured.map(|it| (it.values, it.weights)).as_ref(),
            Some(told)
        );
        let measured = bench.job(grants[place].held.job).await.job.measurement;
        assert_eq!(
            measured.map(|it| (it.values, it.weights)).as_ref(),
            Some(told)
        );
    }
    // Other numbers and other weights are another outcome.
    let first = grants[0].held;
    let same = outcome(&rich, Some(weights(1.0)));
    assert_eq!(
        bench.finish(&owner, first, same).await,
        Ack::AlreadyRecorded
    );
    let others = [
        outcome(&own, Some(weights(1.0))),
        outcome(&rich, Some(weights(2.0))),
        outcome(&rich, None),
    ];
    for other in others {
        assert_eq!(bench.finish(&owner, first, other).await, Ack::Stale);
    }
}

/// Fields that only some trainings observe in an epoch are kept too.
pub async fn observations_keep_every_field(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1], 1)).await;
    let owner = bench.hello("w").await;
    let attempt = bench.take_one(&owner).await;
    let rich = observation(1, 50.0);
    let poor = Observation {
        epoch: 2,
        ..Observation::default()
    };
    let seen = vec![rich.clone(), poor.clone()];
    let reports = [report(attempt, seen, 0, "")];
    bench.observe(&owner, &reports).await.unwrap();
    let curves = bench.read(async |store| store.curves(attempt.job).await);
    let seen: Vec<_> = curves.await.into_iter().map(|it| it.observation).collect();
    assert_eq!(rich.values.len(), 7);
    assert_eq!(seen, [rich, poor.clone()]);
    assert_eq!(bench.job(attempt.job).await.job.progress, Some(poor));
}

/// Whatever metrics are called, every bit of them comes back.
pub async fn any_metrics_come_back(bench: &mut Bench) {
    let mut runner = TestRunner::default();
    let mut any = || {
        let tree = any_values().new_tree(&mut runner).expect("values");
        // The census of the rows, which follows each call, compares bits.
        let fixed = [("test_error", 1.0 / 3.0), ("train_loss", -0.0)];
        tree.current().with(fixed)
    };
    let submission = sweep("s", &[1], 16);
    bench.submit(&submission).await;
    let owner = bench.hello("w").await;
    let mut all = Vec::new();
    for grant in bench.take(&owner, 16).await {
        let seen = [1, 2].map(|epoch| Observation {
            epoch,
            values: any(),
            ..Observation::default()
        });
        let measured = Measurement {
            train_seconds: 0.1 + 0.2,
            values: any(),
            weights: None,
        };
        let reports = [report(grant.held, seen.to_vec(), 0, "")];
        bench.observe(&owner, &reports).await.unwrap();
        let outcome = Outcome::Measured(measured.clone());
        bench.finish(&owner, grant.held, outcome).await;
        all.push((grant.held.job, seen, measured));
    }
    let cells = bench.read(async |store| store.results(submission.digest, None).await);
    let cells = cells.await;
    for (job, seen, measured) in all {
        let curve = bench.read(async |store| store.curves(job).await).await;
        let told: Vec<_> = curve.into_iter().map(|it| it.observation).collect();
        assert_eq!(told, seen);
        let mut replicates = cells[0].replicates.iter();
        let result = replicates.find(|it| it.job == job).expect("a result");
        assert_eq!(result.measurement.as_ref(), Some(&measured));
        let view = bench.job(job).await.job;
        assert_eq!(view.progress.as_ref(), Some(&seen[1]));
        assert_eq!(view.measurement, Some(measured));
    }
}

/// An attempt may have resumed another one: it counts from its first epoch on, and
/// only where it was evaluated.
pub async fn the_last_epochs_span_attempts(bench: &mut Bench) {
    let submission = sweep("s", &[1], 1);
    bench.submit(&submission).await;
    let owner = bench.hello("w").await;
    let first = bench.take_one(&owner).await;
    let seen = vec![
        observation(1, 90.0),
        observation(2, 80.0),
        observation(3, 70.0),
        observation(6, 1.0),
    ];
    let reports = [report(first, seen, 0, "")];
    bench.observe(&owner, &reports).await.unwrap();
    bench.release(&owner, &[first]).await.unwrap();
    let second = bench.take_one(&owner).await;
    let mut unseen = observation(5, 0.0);
    unseen.values.remove("test_error");
    unseen.values.insert("val/\"acc\"", 0.5).unwrap();
    let mut both = observation(4, 50.0);
    both.values.insert("val/\"acc\"", 0.25).unwrap();
    let seen = vec![observation(3, 60.0), both, unseen];
    let reports = [report(second, seen, 0, "")];
    bench.observe(&owner, &reports).await.unwrap();
    let digest = submission.digest;
    let read = async |bench: &Bench, metric, count| {
        let epochs = Some(last(metric, count));
        let results = bench.read(async |store| store.results(digest, epochs.clone()).await);
        results.await[0].replicates[0].last_values.clone()
    };
    assert_eq!(read(bench, "test_error", 3).await, [0.0; 0]);
    bench.finish(&owner, second, measured(50.0)).await;
    assert_eq!(read(bench, "test_error", 3).await, [80.0, 60.0, 50.0]);
    assert_eq!(read(bench, "test_error", 9).await, [90.0, 80.0, 60.0, 50.0]);
    assert_eq!(read(bench, "test_error", 0).await, [0.0; 0]);
    assert_eq!(read(bench, "val/\"acc\"", 9).await, [0.25, 0.5]);
    assert_eq!(read(bench, "val", 9).await, [0.0; 0]);
}

/// Positions count a job's chunks over all of its attempts.
pub async fn logs_go_on_after_a_position(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1, 2], 1)).await;
    let owner = bench.hello("w").await;
    let grants = bench.take(&owner, 2).await;
    let (first, beside) = (grants[0].held, grants[1].held);
    let reports = [
        report(first, vec![], 2, "b\n"),
        report(beside, vec![], 1, "beside\n"),
        report(first, vec![], 1, "a\n"),
    ];
    bench.observe(&owner, &reports).await.unwrap();
    bench.release(&owner, &[first]).await.unwrap();
    let second = bench.take_one(&owner).await;
    let reports = [report(second, vec![], 1, "c\n")];
    bench.observe(&owner, &reports).await.unwrap();
    let texts = async |bench: &Bench, position| {
        let logs = bench.read(async |store| store.logs(first.job, position).await);
        let logs = logs.await.into_iter();
        logs.map(|chunk| (chunk.position, chunk.attempt.0, chunk.text))
            .collect::<Vec<_>>()
    };
    let all = texts(bench, 0).await;
    let wanted = [(1, 1, "b\n"), (2, 1, "a\n"), (3, 2, "c\n")];
    let wanted = wanted.map(|(at, attempt, text)| (at, attempt, text.to_owned()));
    assert_eq!(all, wanted);
    assert_eq!(texts(bench, 2).await, wanted[2..]);
    assert_eq!(texts(bench, 3).await, []);
    let unknown = bench.read(async |store| store.logs(job(99, 1), 0).await);
    assert_eq!(unknown.await, []);
    let unknown = bench.read(async |store| store.curves(job(99, 1)).await);
    assert_eq!(unknown.await, []);
}

/// What exists, in the order asked, and where a sweep came from.
pub async fn known_jobs_and_sources(bench: &mut Bench) {
    let mut submission = sweep("s", &[1, 2], 1);
    submission.sources = submission.sources.with_replicates(4);
    bench.submit(&submission).await;
    let mut given = sweep("given", &[1, 2], 1);
    given.sources = Sources::Cells(CellList {
        name: "given".to_owned(),
        title: "Given".to_owned(),
        kind: SweepKind::Probe,
        replicates: 2,
        needs: Needs {
            cpus: Some(2),
            ..Needs::default()
        },
        cells: vec![json!({"params": {"x": 0.1}}), json!({"params": {"x": 3}})],
    });
    bench.submit(&given).await;
    let owner = bench.hello("w").await;
    let attempt = bench.take_one(&owner).await;
    bench
        .finish(&owner, attempt, failed(Fault::Invalid, "no"))
        .await;
    let asked = vec![job(2, 1), job(99, 1), job(1, 1), job(2, 1)];
    let known = bench.read(async |store| store.known(asked.clone()).await);
    let queued = Some(Known {
        state: StateName::Queued,
        fault: None,
    });
    let failed = Some(Known {
        state: StateName::Failed,
        fault: Some(Fault::Invalid),
    });
    assert_eq!(known.await, [queued, None, failed, queued]);
    for sweep in [submission, given] {
        let sources = bench.read(async |store| store.sources(sweep.digest).await);
        assert_eq!(sources.await, sweep.sources);
    }
    let unknown = SweepDigest::from_bytes([7; 32]);
    bench
        .absent(async |store| store.sources(unknown).await)
        .await;
}

/// Workers by name, with what they hold and when they were heard.
pub async fn workers_tell_what_they_hold(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1, 2, 3], 1)).await;
    let late = bench.hello("zeta").await;
    let early = bench.hello("alpha").await;
    let grants = bench.take(&late, 2).await;
    bench.take_one(&early).await;
    bench.pass_ms(9);
    bench.beat(&late, &[grants[0].held, grants[1].held]).await;
    let workers = bench.read(async |store| store.workers().await).await;
    let told: Vec<_> = workers
        .iter()
        .map(|view| (view.name.as_str(), view.held))
        .collect();
    assert_eq!(told, [("alpha", 1), ("zeta", 2)]);
    assert_eq!(workers[1].seen_at, bench.now);
    assert!(workers[0].seen_at < bench.now);
    assert_eq!(workers[1].session, late.session);
    assert_eq!(workers[1].about, worker_about(&[]));
    // A suspect attempt is still held, a lost one is not.
    bench.expire().await;
    assert_eq!(bench.worker(&late.worker).await.held, 2);
    bench.give_up().await;
    assert_eq!(bench.worker(&late.worker).await.held, 0);
}

/// Trainings that cost the same are found by their workload, the newest first.
/// Probes are not among them.
pub async fn trainings_alike_are_found(bench: &mut Bench) {
    let training = |lr: f64, probe: bool| {
        let tree = serde_json::json!({
            "dataset": {"name": "digits"},
            "model": {"name": "resnet_preact", "depth": 8},
            "batch_size": 32,
            "optimizer": {"lr": lr},
            "steps": 20,
            "probe": probe,
        });
        let spec = swath_model::spec::JobSpec::from_value(&tree).expect("a spec");
        SubmittedCell {
            digest: spec.cell_digest(),
            axes: Vec::new(),
            spec: spec.cell_text(),
            needs: Needs::default(),
        }
    };
    let mut submission = sweep("s", &[1], 2);
    let cells = [(0.1, false), (0.2, false), (0.1, true)];
    let cells = cells.map(|(lr, probe)| training(lr, probe));
    let key = WorkloadKey::of_cell(&cells[0].spec);
    assert_eq!(key, WorkloadKey::of_cell(&cells[1].spec));
    submission.cells.extend(cells);
    bench.submit(&submission).await;
    let owner = bench.hello("w").await;
    assert_eq!(bench.alike(key, 9).await, vec![]);
    for (place, grant) in bench.take(&owner, 8).await.into_iter().enumerate() {
        let outcome = measured(place as f64);
        bench.finish(&owner, grant.held, outcome).await;
    }
    let alike = bench.alike(key, 9).await;
    let lrs: Vec<_> = alike
        .iter()
        .map(|alike| alike.spec["optimizer"]["lr"].as_f64())
        .collect();
    assert_eq!(lrs, [Some(0.2), Some(0.2), Some(0.1), Some(0.1)]);
    assert_eq!(bench.alike(key, 3).await, alike[..3]);
}
