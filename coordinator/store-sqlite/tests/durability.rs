//! What was acknowledged is there, whatever happens to the process, the disk or
//! the caller.
//!
//! The tests that need a process to kill start this binary again with one of
//! the ignored tests below.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use swath_core::id::{JobDigest, Owner};
use swath_core::outcome::Outcome;
use swath_core::policy::Policy;
use swath_core::time::Timestamp;
use swath_core::view::WorkerAbout;
use swath_store::conformance::script::{finish, measured, sweep};
use swath_store::{Ack, Exchange, Exchanged, Held, Hello, JobQuery, Store, StoreError};
use swath_store_sqlite::SqliteStore;

const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);
const DATABASE: &str = "SWATH_TEST_DATABASE";

async fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, Policy::default()).await.unwrap()
}

async fn hello(store: &SqliteStore, worker: usize) -> Owner {
    let hello = Hello {
        worker: format!("w{worker}").parse().unwrap(),
        about: WorkerAbout::default(),
        held: Vec::new(),
    };
    let welcome = store.hello(NOW, hello.clone()).await.unwrap();
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
    store: &SqliteStore,
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
            want: 1 + request as u32 % 7,
        };
        let Exchanged { acks, grants, .. } = store.exchange(NOW, exchange).await?;
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
    // One write per line, so that a kill leaves whole lines or none.
    let line = format!("ack {} {}\n", held.job, held.attempt);
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

/// Reads acknowledgements until the process ends.
fn acknowledged(output: BufReader<ChildStdout>, into: &mut BTreeMap<JobDigest, u32>) -> usize {
    let mut count = 0;
    for line in output.lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        if let ["ack", job, attempt] = words[..]
            && let (Ok(job), Ok(attempt)) = (job.parse(), attempt.parse())
        {
            count += 1;
            let before = into.insert(job, attempt);
            assert_eq!(before, None, "{job} was acknowledged twice");
        }
    }
    count
}

async fn hold_to(path: &Path, acknowledged: &BTreeMap<JobDigest, u32>) {
    let store = open(path).await;
    let jobs = store.jobs(JobQuery::default()).await.unwrap();
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
    store.close().await.unwrap();
}

#[test]
#[ignore = "started by another test, in a process of its own"]
fn child_that_works_until_killed() {
    let Some(path) = std::env::var_os(DATABASE) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Arc::new(open(Path::new(&path)).await);
        let mut workers = Vec::new();
        for worker in 0..6 {
            let owner = hello(&store, worker).await;
            let store = Arc::clone(&store);
            workers.push(tokio::spawn(async move {
                work(&store, owner, print_acknowledged).await.unwrap();
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
    let store = open(&path).await;
    store.submit(NOW, sweep("kills", &cells, 2)).await.unwrap();
    store.close().await.unwrap();

    let mut all = BTreeMap::new();
    for round in 0..10_u64 {
        let mut program = Command::new(std::env::current_exe().unwrap());
        let mut child = again(&mut program, "child_that_works_until_killed", &path);
        let output = BufReader::new(child.stdout.take().unwrap());
        let reader = std::thread::spawn(move || {
            let mut some = BTreeMap::new();
            acknowledged(output, &mut some);
            some
        });
        // From the middle of opening to the middle of the work.
        tokio::time::sleep(Duration::from_millis(60 + round * round * 13 % 400)).await;
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
fn child_that_works_until_the_disk_fails() {
    let Some(path) = std::env::var_os(DATABASE) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = open(Path::new(&path)).await;
        let owner = hello(&store, 0).await;
        let failed = work(&store, owner, print_acknowledged).await.unwrap_err();
        let later = store.tick(NOW).await.unwrap_err();
        let told = format!("\nfailed: {failed}\nlater: {later}\n");
        std::io::stdout().write_all(told.as_bytes()).unwrap();
    });
}

#[tokio::test]
async fn a_failing_disk_stops_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("swath.db");
    let cells: Vec<u32> = (0..3000).collect();
    let store = open(&path).await;
    store.submit(NOW, sweep("disk", &cells, 1)).await.unwrap();
    store.close().await.unwrap();

    // A limit on the size of files makes a write fail that succeeded before; in KiB.
    let limit = path.metadata().unwrap().len() / 1024 + 1500;
    let script = format!("trap '' XFSZ; ulimit -f {limit}; exec \"$0\" \"$@\"");
    let mut program = Command::new("bash");
    program
        .arg("-c")
        .arg(script)
        .arg(std::env::current_exe().unwrap());
    let mut child = again(&mut program, "child_that_works_until_the_disk_fails", &path);
    let mut text = String::new();
    let mut all = BTreeMap::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let ["ack", job, attempt] = line.split(' ').collect::<Vec<_>>()[..] {
            all.insert(job.parse().unwrap(), attempt.parse().unwrap());
        } else {
            text.push_str(&line);
            text.push('\n');
        }
    }
    child.wait().unwrap();
    for word in ["failed: ", "later: "] {
        let line = text.lines().find(|line| line.starts_with(word));
        let line = line.unwrap_or_else(|| panic!("no `{word}` in {text}"));
        assert!(line.contains("stopped"), "{line}");
    }
    assert!(!all.is_empty());
    hold_to(&path, &all).await;
}

/// Asks again and again, going away at another moment each time, until the
/// answer comes in time.
async fn impatiently(store: &SqliteStore, exchange: &Exchange, patience: &mut u64) -> Exchanged {
    loop {
        *patience = (*patience * 7 + 113) % 9_000;
        let patience = Duration::from_micros(*patience);
        let asked = store.exchange(NOW, exchange.clone());
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
    let store = Arc::new(open(&path).await);
    let cells: Vec<u32> = (0..150).collect();
    store.submit(NOW, sweep("away", &cells, 2)).await.unwrap();
    let mut workers = Vec::new();
    for worker in 0..4 {
        let owner = hello(&store, worker).await;
        let store = Arc::clone(&store);
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
                    want: 5,
                };
                let done = impatiently(&store, &exchange, &mut patience).await;
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
                let reading = store.jobs(JobQuery::default());
                let _gone =
                    tokio::time::timeout(Duration::from_micros(patience / 4), reading).await;
            }
        }));
    }
    for worker in workers {
        worker.await.unwrap();
    }
    let jobs = store.jobs(JobQuery::default()).await.unwrap();
    assert_eq!(jobs.len(), 300);
    for job in jobs {
        assert_eq!(job.attempt.0, 1, "a grant was lost: {job:?}");
        assert!(job.measurement.is_some(), "{job:?}");
    }
}

#[tokio::test]
async fn a_call_that_fails_leaves_its_neighbours_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("swath.db")).await;
    store
        .submit(NOW, sweep("batch", &[1, 2, 3, 4], 1))
        .await
        .unwrap();
    let owner = hello(&store, 0).await;
    let mut wrong = owner.clone();
    wrong.session.0 += 7;
    let exchange = |owner: &Owner, request| Exchange {
        owner: owner.clone(),
        request,
        finishes: Vec::new(),
        want: 1,
    };
    // All are queued before the first runs, so they share a transaction.
    let start = Instant::now();
    let (first, refused, unknown, second) = tokio::join!(
        store.exchange(NOW, exchange(&owner, 1)),
        store.exchange(NOW, exchange(&wrong, 2)),
        store.change_sweep(
            NOW,
            sweep("none", &[9], 1).digest,
            swath_store::SweepChange::Resume
        ),
        store.exchange(NOW, exchange(&owner, 3)),
    );
    assert!(start.elapsed() < Duration::from_mins(1));
    assert_eq!(first.unwrap().grants.len(), 1);
    assert!(matches!(refused, Err(StoreError::StaleSession { .. })));
    assert!(matches!(unknown, Err(StoreError::NotFound(_))));
    assert_eq!(second.unwrap().grants.len(), 1);
}
