//! Whole files: what is wrong with one is found, one in use can be copied, and
//! what was copied is the same.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection};
use swath_engine::Engine;
use swath_model::id::Owner;
use swath_model::offer::Free;
use swath_model::outcome::{Fault, Outcome};
use swath_model::policy::Policy;
use swath_model::time::Timestamp;
use swath_model::view::WorkerAbout;
use swath_store_conformance::copying::{copied, copies_go_on_where_they_were, sound};
use swath_store_conformance::script::{failed, finish, measured, observation, report, sweep};
use swath_store_conformance::verify::{Verified, verify};
use swath_store_conformance::{Exchange, Held, Hello, Start, Store, Verdict};
use swath_store_sqlite::{SqliteStore, backup, snapshot};
use tempfile::TempDir;

const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);

async fn engine(path: &Path) -> Engine {
    let store = SqliteStore::open(path).await.unwrap();
    let engine = Engine::start(Arc::new(store), Policy::default(), "here").await;
    engine.unwrap()
}

async fn close(engine: &Engine) {
    engine.stop().await;
    engine.store().close().await.unwrap();
}

async fn hello(engine: &Engine, name: &str) -> Owner {
    let hello = Hello {
        worker: name.parse().unwrap(),
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

async fn exchange(
    engine: &Engine,
    owner: &Owner,
    request: u64,
    want: u32,
    told: Vec<(Held, Outcome)>,
) -> Vec<Held> {
    let finishes = told.into_iter();
    let exchange = Exchange {
        owner: owner.clone(),
        request,
        finishes: finishes.map(|(held, it)| finish(held, it)).collect(),
        free: Free::cpu(want),
    };
    let grants = engine.exchange(NOW, exchange).await.unwrap().grants;
    grants.into_iter().map(|grant| grant.held).collect()
}

/// A file with jobs in every state: 1 and 2 measured, 3 diverged, 4 leased, 5
/// queued again, 6 queued.
async fn lived(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("swath.db");
    let engine = engine(&path).await;
    engine.submit(NOW, sweep("s", &[1, 2, 3], 2)).await.unwrap();
    let owner = hello(&engine, "w").await;
    let held = exchange(&engine, &owner, 1, 5, Vec::new()).await;
    for (held, chunk) in held.iter().zip(1..) {
        let text = "x".repeat(40_000);
        for sequence in 1..=chunk {
            let epochs = vec![observation(sequence, 9.0)];
            let reports = vec![report(*held, epochs, sequence.into(), &text)];
            engine.observe(NOW, owner.clone(), reports).await.unwrap();
        }
    }
    let told = vec![
        (held[0], measured(1.0)),
        (held[1], measured(2.0)),
        (held[2], failed(Fault::Diverged, "it diverged")),
        (held[4], failed(Fault::Crashed, "it crashed")),
    ];
    exchange(&engine, &owner, 2, 0, told).await;
    let again = failed(Fault::Crashed, "otherwise");
    exchange(&engine, &owner, 3, 0, vec![(held[2], again)]).await;
    close(&engine).await;
    path
}

async fn found(path: &Path) -> Verified {
    let mut snapshot = snapshot(path).await.unwrap();
    let found = verify(&mut *snapshot, &Policy::default(), &mut |_, _| {}).await;
    snapshot.close().await.unwrap();
    found.unwrap()
}

/// Runs statements that nothing refuses.
async fn plant(path: &Path, damage: &str) {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(false)
        .pragma("ignore_check_constraints", "ON");
    let mut conn = SqliteConnection::connect_with(&options).await.unwrap();
    let triggers = sqlx::query("SELECT name FROM sqlite_schema WHERE type = 'trigger'");
    for row in triggers.fetch_all(&mut conn).await.unwrap() {
        let name: String = row.get(0);
        let drop = AssertSqlSafe(format!("DROP TRIGGER {name}"));
        sqlx::raw_sql(drop).execute(&mut conn).await.unwrap();
    }
    let damage = AssertSqlSafe(damage.to_owned());
    let done = sqlx::raw_sql(damage).execute(&mut conn).await.unwrap();
    assert!(done.rows_affected() > 0, "nothing was damaged");
    conn.close().await.unwrap();
}

const DAMAGES: [(&str, &str); 22] = [
    (
        "UPDATE sweep_counts SET queued = queued + 1",
        "it counts 3 queued",
    ),
    (
        "UPDATE sweep_counts SET ended_at = 1",
        "says that it ended at 1",
    ),
    (
        "UPDATE sweep SET live = 0",
        "I5: it waits and no live sweep",
    ),
    (
        "DELETE FROM sweep_cell WHERE position = 1",
        "it has 2 cells and counts 3",
    ),
    (
        "UPDATE cell SET spec = '{}' WHERE id = 1",
        "I6: its digest is not that of its spec",
    ),
    (
        "UPDATE cell SET workload = zeroblob(16)",
        "its workload is not that",
    ),
    (
        "UPDATE job SET digest = randomblob(32) WHERE id = 6",
        "I6: its digest",
    ),
    (
        "UPDATE job SET seed = seed + 1 WHERE id = 6",
        "I6: its seed",
    ),
    ("DELETE FROM job WHERE id = 6", "5 of its 6 jobs are there"),
    (
        "UPDATE job SET attempt = 2 WHERE id = 1",
        "I2: its attempts have gaps",
    ),
    (
        "UPDATE job SET grants = 21, attempt = 21 WHERE id = 5",
        "I5: attempts without bound",
    ),
    (
        "UPDATE job SET closed = 1 WHERE id = 4",
        "I1: a lease whose attempt has ended",
    ),
    (
        "UPDATE job SET session = 0 WHERE id = 4",
        "I3: it is leased by a session",
    ),
    (
        "UPDATE job SET ended_at = NULL WHERE id = 1",
        "I4: the time of an end",
    ),
    (
        "DELETE FROM outcome WHERE job = 1",
        "I4: a measurement without its state",
    ),
    (
        "INSERT INTO outcome SELECT 3, attempt, bits, provenance, recorded_at, metrics, weights
         FROM outcome WHERE job = 1",
        "I4: an attempt that ended otherwise",
    ),
    (
        "UPDATE job SET fault = 'invalid' WHERE id = 3",
        "I9: it failed without that fault",
    ),
    (
        "UPDATE job SET state = 'lost' WHERE id = 2",
        "the state `lost`",
    ),
    (
        "UPDATE attempt SET session = 9 WHERE job = 3",
        "I3: an attempt of a worker or session",
    ),
    (
        "UPDATE attempt SET worker = 9 WHERE job = 3",
        "foreign key: row of `attempt`",
    ),
    (
        "DELETE FROM attempt WHERE job = 1",
        "an observation of an attempt that is not there",
    ),
    ("DELETE FROM cell WHERE id = 3", "foreign key"),
];

#[tokio::test]
async fn damage_of_every_kind_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let whole = lived(&folder).await;
    assert_eq!(found(&whole).await.findings, []);
    for (damage, wanted) in DAMAGES {
        let path = folder.path().join("damaged.db");
        std::fs::copy(&whole, &path).unwrap();
        plant(&path, damage).await;
        let told: Vec<String> = found(&path)
            .await
            .findings
            .iter()
            .map(ToString::to_string)
            .collect();
        let there = told.iter().any(|line| line.contains(wanted));
        assert!(there, "{damage}: {told:#?}");
        std::fs::remove_file(&path).unwrap();
    }
}

#[tokio::test]
async fn a_damaged_page_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = lived(&folder).await;
    let options = SqliteConnectOptions::new().filename(&path);
    let mut conn = SqliteConnection::connect_with(&options).await.unwrap();
    let root = sqlx::query_scalar("SELECT rootpage FROM sqlite_schema WHERE name = 'job_failed'");
    let root: i64 = root.fetch_one(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let page = (root as usize - 1) * 4096;
    bytes[page..page + 4096].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    let mut snapshot = snapshot(&path).await.unwrap();
    let found = verify(&mut *snapshot, &Policy::default(), &mut |_, _| {}).await;
    assert!(!found.is_ok_and(|found| found.is_sound()));
}

/// Wherever a job's name is, in the table or in an index, a changed bit of it is
/// found.
#[tokio::test]
async fn a_changed_bit_of_a_name_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = lived(&folder).await;
    let options = SqliteConnectOptions::new().filename(&path);
    let mut conn = SqliteConnection::connect_with(&options).await.unwrap();
    let name = sqlx::query_scalar("SELECT digest FROM job LIMIT 1");
    let name: Vec<u8> = name.fetch_one(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    let whole = std::fs::read(&path).unwrap();
    let places = whole.windows(name.len()).enumerate();
    let places = places.filter(|(_, bytes)| *bytes == name);
    let places: Vec<usize> = places.map(|(place, _)| place + name.len() - 1).collect();
    assert!(places.len() > 1, "{places:?}");
    for place in places {
        let mut bytes = whole.clone();
        bytes[place] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let mut snapshot = snapshot(&path).await.unwrap();
        let found = verify(&mut *snapshot, &Policy::default(), &mut |_, _| {}).await;
        assert!(!found.is_ok_and(|found| found.is_sound()), "at {place}");
        snapshot.close().await.unwrap();
    }
}

/// Every copy is one state, however busy the file is meanwhile, and a snapshot
/// stays as it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_use_is_copied_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("swath.db");
    let engine = engine(&path).await;
    let cells: Vec<u32> = (0..2000).collect();
    engine.submit(NOW, sweep("s", &cells, 1)).await.unwrap();
    let owner = hello(&engine, "w").await;
    let over = Arc::new(AtomicBool::new(false));
    let working = tokio::spawn({
        let over = Arc::clone(&over);
        async move {
            let mut held = Vec::new();
            for request in 1.. {
                let told = held.into_iter().map(|held| (held, measured(1.0)));
                held = exchange(&engine, &owner, request, 8, told.collect()).await;
                if over.load(Ordering::SeqCst) || held.is_empty() {
                    return engine;
                }
            }
            engine
        }
    });
    let mut before = snapshot(&path).await.unwrap();
    let census = async |held: &mut dyn swath_store_conformance::Snapshot| {
        let census = swath_store_conformance::Census::take(held, &mut |_, _| {}).await;
        census.unwrap().digest()
    };
    let digest = census(&mut *before).await;
    for copy in 0..5 {
        let copy = folder.path().join(format!("copy-{copy}.db"));
        backup(&path, &copy).await.unwrap();
        assert_eq!(found(&copy).await.findings, []);
        assert_eq!(found(&path).await.findings, []);
        assert!(backup(&path, &copy).await.is_err(), "written over");
    }
    assert_eq!(census(&mut *before).await, digest);
    before.close().await.unwrap();
    over.store(true, Ordering::SeqCst);
    close(&working.await.unwrap()).await;
    // An engine goes on with a copy.
    let copy = folder.path().join("copy-4.db");
    close(&self::engine(&copy).await).await;
}

/// Also logs that had to make room, and where they go on.
#[tokio::test]
async fn one_file_becomes_another() {
    let folder = tempfile::tempdir().unwrap();
    let from = SqliteStore::open(lived(&folder).await).await.unwrap();
    let to = SqliteStore::open(folder.path().join("to.db"))
        .await
        .unwrap();
    let wanted = sound(&from, &Policy::default()).await;
    assert_eq!(copied(&from, &to).await, wanted);
    assert_eq!(sound(&to, &Policy::default()).await, wanted);
    // Events are for those who watch the other one.
    let wanted = Start {
        last_event: 0,
        last_event_at: None,
        ..from.start().await.unwrap()
    };
    assert_eq!(to.start().await.unwrap(), wanted);
    let jobs = from.jobs(swath_store_conformance::JobQuery::default());
    for job in jobs.await.unwrap() {
        let logs = from.logs(job.digest, 0).await.unwrap();
        assert_eq!(to.logs(job.digest, 0).await.unwrap(), logs);
        let seen = from.job(job.digest).await.unwrap();
        assert_eq!(to.job(job.digest).await.unwrap(), seen);
    }
}

#[test]
fn copies_go_on_where_they_were_cut_off() {
    copies_go_on_where_they_were(async || {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("to.db")).await;
        Some((store.unwrap(), folder))
    });
}

/// A worker that starts again reports what it measured in the last days, so no job
/// that was granted when the backup was made is trained again.
#[tokio::test]
async fn a_restored_file_gets_newer_outcomes_from_workers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("swath.db");
    let engine = self::engine(&path).await;
    engine.submit(NOW, sweep("s", &[1], 1)).await.unwrap();
    let owner = hello(&engine, "w").await;
    let held = exchange(&engine, &owner, 1, 1, Vec::new()).await;
    let copy = folder.path().join("copy.db");
    backup(&path, &copy).await.unwrap();
    exchange(&engine, &owner, 2, 0, vec![(held[0], measured(1.0))]).await;
    close(&engine).await;

    std::fs::rename(&copy, &path).unwrap();
    let engine = self::engine(&path).await;
    engine.restart(NOW).await.unwrap();
    let again = Hello {
        worker: owner.worker.clone(),
        about: WorkerAbout::default(),
        held: held.clone(),
        takes_name: false,
    };
    let welcome = engine.hello(NOW, again).await.unwrap();
    assert_eq!(welcome.verdicts, [Verdict::Keep]);
    let owner = Owner {
        session: welcome.session,
        ..owner
    };
    exchange(&engine, &owner, 1, 0, vec![(held[0], measured(1.0))]).await;
    let job = engine.store().job(held[0].job).await.unwrap().unwrap();
    assert_eq!(
        job.job.measurement.map(Outcome::Measured),
        Some(measured(1.0))
    );
    assert_eq!(job.attempts.len(), 1);
    close(&engine).await;
    assert_eq!(found(&path).await.findings, []);
}

/// The pages of a file, and those of them that are free.
async fn pages(path: &Path) -> (i64, i64) {
    let url = format!("sqlite:{}?mode=ro", path.display());
    let mut conn = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let mut number = async |pragma: &'static str| -> i64 {
        sqlx::query_scalar(pragma)
            .fetch_one(&mut conn)
            .await
            .unwrap()
    };
    (
        number("PRAGMA page_count").await,
        number("PRAGMA freelist_count").await,
    )
}

#[tokio::test]
async fn a_deleted_sweep_gives_its_room_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("swath.db");
    let engine = engine(&path).await;
    engine.submit(NOW, sweep("kept", &[1], 1)).await.unwrap();
    let (before, _) = pages(&path).await;
    let cells: Vec<u32> = (2..400).collect();
    let large = sweep("large", &cells, 2);
    engine.submit(NOW, large.clone()).await.unwrap();
    let owner = hello(&engine, "w").await;
    for (request, held) in (1..).zip(exchange(&engine, &owner, 1, 200, vec![]).await) {
        let log = report(held, vec![observation(1, 9.0)], 1, &"a line\n".repeat(100));
        engine.observe(NOW, owner.clone(), vec![log]).await.unwrap();
        exchange(
            &engine,
            &owner,
            request + 1,
            0,
            vec![(held, measured(8.25))],
        )
        .await;
    }
    let (grown, _) = pages(&path).await;
    assert!(grown > 2 * before, "{grown} pages after {before}");
    engine
        .begin_deletion(NOW, large.digest, true)
        .await
        .unwrap();
    while !engine.delete_some(NOW, large.digest).await.unwrap().done {}
    let (same, free) = pages(&path).await;
    assert!(
        same >= grown && free > (grown - before) / 2,
        "{free} of {same} pages"
    );
    assert!(engine.store().reclaim().await.unwrap());
    let (after, free) = pages(&path).await;
    // The events about the deleted jobs stay for a while.
    assert!(
        after * 3 < grown * 2 && free == 0,
        "{after} of {grown} pages"
    );
    // A second time there is nothing to gain.
    assert!(!engine.store().reclaim().await.unwrap());
    let left = engine.store().sweeps().await.unwrap();
    assert_eq!(left.len(), 1);
    close(&engine).await;
}
