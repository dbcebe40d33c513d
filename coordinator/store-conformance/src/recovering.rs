//! Commits that fail, and engines that crash: only what is in the store
//! survives, and only that counts.

use swath_model::job::StateName;
use swath_model::outcome::Fault;

use crate::bench::Bench;
use crate::call::Call;
use crate::script::{failed, finish, held, job, measured, sweep};
use crate::tested::ADDRESS;
use crate::watched::When;
use crate::{Ack, CellKey, Changes, Names, REQUESTS_KEPT, StoreError, SweepChange, WorkerChange};

/// Makes calls whose commit fails.
async fn failing(bench: &mut Bench, when: When, calls: Vec<Call>) {
    bench.fail_next(when);
    let replies = bench.together(calls).await;
    assert!(replies.iter().all(Result::is_err), "{replies:?}");
}

/// Every call of a failed commit is told that it failed, and nothing of it is
/// kept.
pub async fn a_commit_that_fails_leaves_nothing(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1, 2, 3], 1)).await;
    let owner = bench.hello("w").await;
    let taken = bench.take(&owner, 2).await;
    let done = finish(taken[0].held, measured(1.0));
    let exchange = bench.asking(&owner, vec![done], 1);
    let calls = vec![
        Call::Submit(sweep("other", &[3, 4], 2)),
        Call::Exchange(exchange.clone()),
        Call::CancelJobs(vec![taken[1].held.job]),
        Call::Heartbeat(owner.clone(), vec![taken[0].held]),
    ];
    failing(bench, When::Before, calls.clone()).await;
    assert_eq!(bench.state(taken[0].held.job).await, StateName::Leased);
    assert_eq!(bench.state(taken[1].held.job).await, StateName::Leased);
    // When the calls are repeated, they count.
    bench.together(calls).await;
    assert_eq!(bench.state(taken[0].held.job).await, StateName::Succeeded);
}

/// A commit whose reply is lost was made all the same, so what its callers
/// repeat is already known.
pub async fn a_commit_whose_word_is_lost_counts(bench: &mut Bench) {
    let submission = sweep("s", &[1, 2, 3], 1);
    failing(bench, When::After, vec![Call::Submit(submission.clone())]).await;
    assert!(bench.submit(&submission).await.existed);
    let owner = bench.hello("w").await;
    let ask = bench.asking(&owner, vec![], 2);
    failing(bench, When::After, vec![Call::Exchange(ask.clone())]).await;
    let again = bench.exchange(ask).await.unwrap();
    let taken: Vec<_> = again.grants.iter().map(|grant| grant.held).collect();
    assert_eq!(taken, [held(job(1, 1), 1), held(job(2, 1), 1)]);
    let done = finish(taken[0], measured(1.0));
    let crashed = finish(taken[1], failed(Fault::Crashed, "x"));
    let told = bench.asking(&owner, vec![done, crashed], 1);
    let cancel = Call::ChangeSweep(submission.digest, SweepChange::Cancel);
    let calls = vec![Call::Exchange(told.clone()), cancel];
    failing(bench, When::After, calls).await;
    let acks = bench.exchange(told).await.unwrap().acks;
    assert_eq!(acks, [Ack::AlreadyRecorded, Ack::AlreadyRecorded]);
}

/// A hello whose reply was lost has fenced the older session.
pub async fn a_hello_whose_word_is_lost_fences(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1], 1)).await;
    let owner = bench.hello("w").await;
    let attempt = bench.take_one(&owner).await;
    for (when, stale) in [(When::Before, false), (When::After, true)] {
        let hello = crate::Hello {
            worker: owner.worker.clone(),
            about: crate::script::worker_about(&[]),
            held: vec![],
            takes_name: false,
        };
        failing(bench, when, vec![Call::Hello(hello)]).await;
        let beat = bench.heartbeat(&owner, &[attempt]).await;
        let refused = matches!(beat, Err(StoreError::StaleSession { .. }));
        assert_eq!(refused, stale, "{when:?}: {beat:?}");
    }
    let newer = bench.hello("w").await;
    assert_eq!(newer.session.0, owner.session.0 + 2);
}

/// One failure follows another, and the engine still works.
pub async fn an_engine_survives_many_failures(bench: &mut Bench) {
    let owner = bench.hello("w").await;
    for (cell, when) in (1..).zip([When::Before, When::After, When::Before, When::After]) {
        let submission = sweep("s", &[cell, 9], 1);
        failing(bench, when, vec![Call::Submit(submission.clone())]).await;
        bench.submit(&submission).await;
        let ask = bench.asking(&owner, vec![], 1);
        failing(bench, when, vec![Call::Exchange(ask.clone())]).await;
        bench.exchange(ask).await.unwrap();
    }
    assert_eq!(bench.worker(&owner.worker).await.held, 4);
}

/// What only memory held is restored: misses, requests, charges, backoffs.
pub async fn a_crash_forgets_nothing(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1, 2, 3], 1)).await;
    let owner = bench.hello("w").await;
    let ask = bench.asking(&owner, vec![], 2);
    let granted = bench.exchange(ask.clone()).await.unwrap();
    bench.crash().await;
    assert_eq!(bench.exchange(ask).await.unwrap(), granted);
    let [kept, missed] = [granted.grants[0].held, granted.grants[1].held];
    bench.pass(bench.policy().heartbeat());
    bench.beat(&owner, &[kept]).await;
    bench.crash().await;
    bench.beat(&owner, &[kept]).await;
    assert_eq!(bench.state(missed.job).await, StateName::Queued);
    let crash = failed(Fault::Crashed, "signal 11");
    bench.finish(&owner, kept, crash).await;
    let due = bench.job(kept.job).await.job.not_before.unwrap();
    bench.crash().await;
    let next = bench.now;
    let told = bench.read(async |store| store.next_due(next).await).await;
    assert_eq!(told, Some(due));
    bench.pass_almost(due.since(bench.now));
    assert_eq!(bench.take(&owner, 9).await.len(), 2);
    bench.crash().await;
    bench.pass_ms(1);
    assert_eq!(bench.take_one(&owner).await, held(kept.job, 2));
}

/// The last few requests of a session get the same answer again, whatever
/// happened in between.
pub async fn the_last_requests_are_kept(bench: &mut Bench) {
    let cells: Vec<u32> = (1..=20).collect();
    bench.submit(&sweep("s", &cells, 1)).await;
    let owner = bench.hello("w").await;
    let mut asked = Vec::new();
    for _ in &cells {
        let ask = bench.asking(&owner, vec![], 1);
        let granted = bench.exchange(ask.clone()).await.unwrap();
        asked.push((ask, granted));
    }
    bench.crash().await;
    for (ask, granted) in asked.into_iter().rev().take(REQUESTS_KEPT) {
        assert_eq!(bench.exchange(ask).await.unwrap(), granted);
    }
    let other = bench.hello("w").await;
    bench.crash().await;
    assert_eq!(bench.take(&other, 1).await.len(), 1);
}

/// A coordinator that leads no more writes nothing: neither directly nor
/// through an engine that does not know yet.
pub async fn an_older_term_writes_nothing(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1], 1)).await;
    bench.hello("w").await;
    let store = bench.store();
    let leader = store.leader().await.unwrap();
    assert_eq!(leader.as_deref(), Some(ADDRESS));
    let older = store.lead(ADDRESS).await.unwrap();
    let newer = store.lead(ADDRESS).await.unwrap();
    assert!(newer > older);
    let mut workers = store.start().await.unwrap().workers;
    workers[0].cordoned = Some(swath_model::cause::CordonCause::Operator);
    let changes = Changes {
        workers,
        ..Changes::default()
    };
    let refused = store.commit(older, changes).await;
    assert!(matches!(refused, Err(StoreError::InUse(_))), "{refused:?}");
    let refused = store.renew(older).await;
    assert!(matches!(refused, Err(StoreError::InUse(_))), "{refused:?}");
    store.renew(newer).await.unwrap();
    store.commit(newer, Changes::default()).await.unwrap();
    let drain = Call::ChangeWorker("w".parse().unwrap(), WorkerChange::Drain);
    let refused = drain.make(bench.tested(), bench.now).await;
    assert!(
        matches!(refused, Err(StoreError::NotLeader { .. })),
        "{refused:?}"
    );
    bench.start_again().await;
    assert_eq!(bench.worker(&"w".parse().unwrap()).await.cordoned, None);
}

/// Cells are loaded page by page, by whatever names they are asked for, and
/// each once.
pub async fn cells_are_loaded_by_every_name(bench: &mut Bench) {
    bench.submit(&sweep("one", &[1, 2, 3], 2)).await;
    bench.submit(&sweep("two", &[3, 4], 1)).await;
    let owner = bench.hello("w").await;
    for attempt in bench.take(&owner, 2).await {
        bench.finish(&owner, attempt.held, measured(1.0)).await;
    }
    let store = bench.store();
    let all = store.open_cells(CellKey(0), 99).await.unwrap();
    assert_eq!(all.len(), 3, "the first cell has no open job");
    let mut pages = Vec::new();
    while let Some(cell) = {
        let after = pages
            .last()
            .map_or(CellKey(0), |it: &crate::StoredCell| it.key);
        store.open_cells(after, 1).await.unwrap().pop()
    } {
        pages.push(cell);
    }
    assert_eq!(pages, all);
    let sweeps = store.start().await.unwrap().sweeps;
    let names = Names {
        jobs: vec![job(1, 2), job(1, 1), job(99, 1)],
        cells: vec![all[0].digest, crate::script::plain_cell(99).digest],
        sweeps: vec![sweeps[1].row.key],
    };
    let loaded = store.load(&names).await.unwrap();
    assert_eq!(loaded.len(), 4);
    assert_eq!(store.load(&Names::default()).await.unwrap(), []);
    let shared = all.iter().find(|cell| cell.holders.len() == 2).unwrap();
    let keys: Vec<_> = sweeps.iter().map(|it| it.row.key).collect();
    assert_eq!(shared.holders, [(keys[0], 2), (keys[1], 1)]);
    let keys: Vec<CellKey> = all.iter().rev().map(|cell| cell.key).collect();
    let specs = store.specs(&keys).await.unwrap();
    let wanted = [4, 3, 2].map(|x| crate::script::plain_cell(x).spec);
    assert_eq!(specs, wanted);
    assert_eq!(store.specs(&[]).await.unwrap(), Vec::<String>::new());
    let workers = store.start().await.unwrap().workers;
    assert_eq!(workers.len(), 1);
}
