//! What was acknowledged is there, whatever happens to the process, the disk or
//! the caller.
//!
//! The tests that need a process to kill start this binary again with one of
//! the ignored tests below.

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use swath_engine::Engine;
use swath_model::id::{Attempt, JobDigest, Owner};
use swath_model::offer::Free;
use swath_model::outcome::{Fault, Outcome, Provenance};
use swath_model::policy::Policy;
use swath_model::view::WorkerAbout;
use swath_store_conformance::script::{finish, measured, sweep};
use swath_store_conformance::{
    Ack, AttemptEnd, CellKey, End, Exchange, Exchanged, Held, Hello, JobKey, JobQuery, Names,
    Store, StoreError, SweepKey, Term,
};
use swath_store_sqlite::SqliteStore;

use self::support::{NOW, bare, sweeps};

const DATABASE: &str = "SWATH_TEST_DATABASE";

async fn open(path: &Path) -> Engine {
    let store = SqliteStore::open(path).await.unwrap();
    let engine = Engine::start(Arc::new(store), Policy::default(), "here").await;
    engine.unwrap()
}

async fn close(engine: &Engine) {
    engine.stop().await;
    engine.store().close().await.unwrap();
}

async fn hello(engine: &Engine, worker: usize) -> Owner {
    let hello = Hello {
        worker: format!("w{worker}").parse().unwrap(),
        about: WorkerAbout::default(),
        held: Vec::new(),
        takes_name: false,
    };
    let welcome = engine.hello(NOW, hello.clone()).await.unwrap();
    Owner {
        worker: hello.worker,
        session: welcome.session,
    }
}

/// A number that no other attempt measures.
fn outcome(held: Held) -> Outcome {
    let bytes = held.job.as_bytes();
    let tail = bytes[..6]
        .iter()
        .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    measured(f64::from(held.attempt.0) + tail as f64 / (1_u64 << 48) as f64)
}

/// One worker: hands in what it has and takes more, telling `acknowledged` of
/// each recorded outcome.
async fn work(
    engine: &Engine,
    owner: Owner,
    mut acknowledged: impl FnMut(Held),
) -> Result<(), StoreError> {
    let mut held: Vec<Held> = Vec::new();
    for request in 1.. {
        let exchange = Exchange {
            owner: owner.clone(),
            request,
            finishes: held
                .iter()
                .map(|held| finish(*held, outcome(*held)))
                .collect(),
            free: Free::cpu(1 + request as u32 % 7),
        };
        let Exchanged { acks, grants, .. } = engine.exchange(NOW, exchange).await?;
        for (held, ack) in held.iter().zip(acks) {
            assert_eq!(ack, Ack::Recorded);
            acknowledged(*held);
        }
        held = grants.into_iter().map(|grant| grant.held).collect();
        if held.is_empty() {
            break;
        }
    }
    Ok(())
}

fn print_acknowledged(held: Held) {
    tell(&format!("ack {} {}", held.job, held.attempt));
}

/// One write per line, so that a kill leaves whole lines or none. The test's own
/// harness may have begun a line before.
fn tell(line: &str) {
    let line = format!("\n{line}\n");
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}

fn again(program: &mut Command, test: &str, database: &Path) -> Child {
    program
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(DATABASE, database)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// Reads acknowledgements until the process ends, and counts them on the way.
fn acknowledged(output: BufReader<ChildStdout>, count: &AtomicUsize) -> BTreeMap<JobDigest, u32> {
    let mut all = BTreeMap::new();
    for line in output.lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        if let ["ack", job, attempt] = words[..]
            && let (Ok(job), Ok(attempt)) = (job.parse(), attempt.parse())
        {
            let before = all.insert(job, attempt);
            assert_eq!(before, None, "{job} was acknowledged twice");
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
    all
}

async fn hold_to(path: &Path, acknowledged: &BTreeMap<JobDigest, u32>) {
    let engine = open(path).await;
    let jobs = engine.store().jobs(JobQuery::default()).await.unwrap();
    let kept: BTreeMap<_, _> = jobs
        .into_iter()
        .map(|job| (job.digest, (job.attempt, job.measurement)))
        .collect();
    for (job, attempt) in acknowledged {
        let (newest, measurement) = &kept[job];
        assert_eq!(newest.0, *attempt, "{job} was granted again after its end");
        let held = Held {
            job: *job,
            attempt: *newest,
        };
        assert_eq!(
            measurement.clone().map(Outcome::Measured),
            Some(outcome(held))
        );
    }
    close(&engine).await;
}

#[test]
#[ignore = "started by another test, in a process of its own"]
fn child_that_works_until_killed() {
    let Some(path) = std::env::var_os(DATABASE) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let engine = open(Path::new(&path)).await;
        let mut workers = Vec::new();
        for worker in 0..6 {
            let owner = hello(&engine, worker).await;
            let engine = engine.clone();
            workers.push(tokio::spawn(async move {
                work(&engine, owner, print_acknowledged).await.unwrap();
            }));
        }
        for worker in workers {
            worker.await.unwrap();
        }
    });
}

#[tokio::test]
async fn acknowledged_outcomes_survive_kills() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("swath.db");
    let cells: Vec<u32> = (0..4000).collect();
    let engine = open(&path).await;
    engine.submit(NOW, sweep("kills", &cells, 2)).await.unwrap();
    close(&engine).await;

    let mut all = BTreeMap::new();
    for round in 0..10 {
        let mut program = Command::new(std::env::current_exe().unwrap());
        let mut child = again(&mut program, "child_that_works_until_killed", &path);
        let output = BufReader::new(child.stdout.take().unwrap());
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let reader = std::thread::spawn(move || acknowledged(output, &counted));
        // In the middle of opening, or of the work.
        if round % 3 == 0 {
            tokio::time::sleep(Duration::from_millis(20 + round as u64 * 13)).await;
        } else {
            let enough = || count.load(Ordering::Relaxed) >= round * round * 3;
            let start = Instant::now();
            while !enough() && start.elapsed() < Duration::from_mins(1) {
                tokio::time::sleep(Duration::from_micros(100)).await;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for (job, attempt) in reader.join().unwrap() {
            assert_eq!(
                all.insert(job, attempt),
                None,
                "{job} was acknowledged twice"
            );
        }
        hold_to(&path, &all).await;
    }
    assert!(
        all.len() > 100,
        "too little was acknowledged: {}",
        all.len()
    );
}

#[test]
#[ignore = "started by another test, in a process of its own"]
fn child_that_writes_until_the_disk_fails() {
    let Some(path) = std::env::var_os(DATABASE) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = SqliteStore::open(&path).await.unwrap();
        let term = store.lead("here").await.unwrap();
        assert_eq!(store.lost(), None);
        let mut n = 1;
        let failed = loop {
            if let Err(failed) = store.commit(term, bare(n)).await {
                break failed;
            }
            tell(&format!("ack {n}"));
            n += 1;
        };
        tell(&format!("failed: {failed}"));
        let names = Names {
            sweeps: vec![SweepKey(1)],
            ..Names::default()
        };
        let later = [
            store.commit(term, bare(n)).await.err(),
            store.start().await.err(),
            store.open_cells(CellKey(0), 1).await.err(),
            store.load(&names).await.err(),
        ];
        for later in later {
            tell(&format!("later: {}", later.unwrap()));
        }
        tell(&format!("later: {}", store.lost().unwrap()));
        // What was written before can still be read.
        tell(&format!("read {}", store.sweeps().await.unwrap().len()));
    });
}

#[tokio::test]
async fn a_failing_disk_stops_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("swath.db");
    let store = SqliteStore::open(&path).await.unwrap();
    store.close().await.unwrap();

    // A limit on the size of files makes a write fail that succeeded before; in KiB.
    let limit = path.metadata().unwrap().len() / 1024 + 1500;
    let script = format!("trap '' XFSZ; ulimit -f {limit}; exec \"$0\" \"$@\"");
    let mut program = Command::new("bash");
    program
        .arg("-c")
        .arg(script)
        .arg(std::env::current_exe().unwrap());
    let mut child = again(
        &mut program,
        "child_that_writes_until_the_disk_fails",
        &path,
    );
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let lines: Vec<String> = lines.map(Result::unwrap).collect();
    child.wait().unwrap();
    let told = |what: &str| {
        let told = lines.iter().filter_map(|line| line.strip_prefix(what));
        told.collect::<Vec<&str>>()
    };
    let failed = [told("failed: "), told("later: ")].concat();
    assert_eq!(failed.len(), 6, "{lines:?}");
    for text in failed {
        assert!(
            text.contains("stopped") && text.contains("check the disk"),
            "{text}"
        );
    }
    let all = told("ack ");
    assert!(!all.is_empty());
    assert_eq!(told("read "), [all.len().to_string()]);
    let store = SqliteStore::open(&path).await.unwrap();
    let kept = sweeps(&store).await;
    assert_eq!(kept, (1..=all.len() as i64).collect::<Vec<_>>());
}

/// Asks again and again, going away at another moment each time, until the
/// answer comes in time.
async fn impatiently(engine: &Engine, exchange: &Exchange, patience: &mut u64) -> Exchanged {
    loop {
        *patience = (*patience * 7 + 113) % 9_000;
        let patience = Duration::from_micros(*patience);
        let asked = engine.exchange(NOW, exchange.clone());
        match tokio::time::timeout(patience, asked).await {
            Ok(answer) => return answer.unwrap(),
            Err(_went_away) => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_go_away_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("swath.db");
    let engine = open(&path).await;
    let cells: Vec<u32> = (0..150).collect();
    engine.submit(NOW, sweep("away", &cells, 2)).await.unwrap();
    let mut workers = Vec::new();
    for worker in 0..4 {
        let owner = hello(&engine, worker).await;
        let engine = engine.clone();
        workers.push(tokio::spawn(async move {
            let mut patience = worker as u64 * 1000;
            let mut held: Vec<Held> = Vec::new();
            for request in 1.. {
                let exchange = Exchange {
                    owner: owner.clone(),
                    request,
                    finishes: held
                        .iter()
                        .map(|held| finish(*held, outcome(*held)))
                        .collect(),
                    free: Free::cpu(5),
                };
                let done = impatiently(&engine, &exchange, &mut patience).await;
                assert!(
                    done.acks
                        .iter()
                        .all(|ack| matches!(ack, Ack::Recorded | Ack::AlreadyRecorded))
                );
                held = done.grants.into_iter().map(|grant| grant.held).collect();
                if held.is_empty() {
                    break;
                }
                // Readers go away, too.
                let reading = engine.store().jobs(JobQuery::default());
                let _gone =
                    tokio::time::timeout(Duration::from_micros(patience / 4), reading).await;
            }
        }));
    }
    for worker in workers {
        worker.await.unwrap();
    }
    let jobs = engine.store().jobs(JobQuery::default()).await.unwrap();
    assert_eq!(jobs.len(), 300);
    for job in jobs {
        assert_eq!(job.attempt.0, 1, "a grant was lost: {job:?}");
        assert!(job.measurement.is_some(), "{job:?}");
    }
}

/// Whoever goes away in the middle of a commit finds it made or not made, and
/// what they find then stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_nobody_waits_for_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("swath.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let term = store.lead("here").await.unwrap();
    let mut kept = Vec::new();
    let mut gone = 0;
    for n in 1..=200_i64 {
        let patience = Duration::from_micros(n as u64 * 613 % 3_000);
        let mut changes = bare(n);
        changes.new_sweeps.extend(bare(n + 1000).new_sweeps);
        changes.sweeps.extend(bare(n + 1000).sweeps);
        let done = tokio::time::timeout(patience, store.commit(term, changes)).await;
        gone += usize::from(done.is_err());
        let found = sweeps(&store).await;
        let mut with_it = [&kept[..], &[n, n + 1000]].concat();
        with_it.sort_unstable();
        if found == with_it {
            kept = with_it;
        } else {
            assert!(done.is_err(), "commit {n} was acknowledged");
            assert_eq!(found, kept, "after commit {n}");
        }
    }
    assert!(gone > 0 && !kept.is_empty(), "{gone} of 200 went away");
}

#[tokio::test]
async fn a_commit_that_fails_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("swath.db");
    let store = Arc::new(SqliteStore::open(&path).await.unwrap());
    let engine = Engine::start(Arc::<SqliteStore>::clone(&store), Policy::default(), "here").await;
    let engine = engine.unwrap();
    engine.submit(NOW, sweep("s", &[1], 1)).await.unwrap();
    let owner = hello(&engine, 0).await;
    let exchange = Exchange {
        owner,
        request: 1,
        finishes: Vec::new(),
        free: Free::cpu(1),
    };
    let held = engine.exchange(NOW, exchange).await.unwrap().grants[0].held;
    engine.stop().await;

    let term = store.lead("here").await.unwrap();
    let end = |job| AttemptEnd {
        job: JobKey(job),
        attempt: Attempt(1),
        at: NOW,
        end: End::Failed {
            fault: Fault::Invalid,
            message: "told".to_owned(),
            provenance: Provenance {
                device: "of this commit only".to_owned(),
                ..Provenance::default()
            },
        },
    };
    let mut wrong = bare(7);
    wrong.ends = vec![end(1), end(2)];
    let refused = store.commit(term, wrong).await.unwrap_err();
    assert!(refused.to_string().contains("1 of 2 rows"), "{refused}");
    assert_eq!(sweeps(&store).await, [1]);
    let mut known = store.job(held.job).await.unwrap().unwrap();
    assert_eq!(known.attempts[0].ended, "");

    // What it would have stored besides is forgotten, too.
    let mut right = bare(7);
    right.ends = vec![end(1)];
    store.commit(term, right).await.unwrap();
    known = store.job(held.job).await.unwrap().unwrap();
    let provenance = known.attempts[0].provenance.as_ref().unwrap();
    assert_eq!(provenance.device, "of this commit only");
    assert_eq!(sweeps(&store).await, [1, 7]);

    // And so is a commit under a term that was never begun.
    let refused = store.commit(Term(99), bare(8)).await;
    assert!(matches!(refused, Err(StoreError::InUse(_))), "{refused:?}");
    assert_eq!(sweeps(&store).await, [1, 7]);
}
