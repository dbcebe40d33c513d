//! Files that older builds wrote are brought to the newest schema, and read as
//! they did.

use std::path::Path;

use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use swath_model::cause::{CordonCause, PauseCause};
use swath_model::id::{Attempt, CellDigest, JobDigest, Owner, SessionId};
use swath_model::job::{Job, Lease, State};
use swath_model::judge::LastFault;
use swath_model::metrics::Metrics;
use swath_model::needs::Needs;
use swath_model::outcome::{Fault, Measurement, Outcome};
use swath_model::probe::WorkloadKey;
use swath_model::time::Timestamp;
use swath_model::view::Counts;
use swath_store_conformance::{
    CellKey, JobKey, JobQuery, Names, Store, StoredCell, StoredJob, StoredReplication,
    StoredRequest, SweepKey, WorkerKey,
};
use swath_store_sqlite::SqliteStore;

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/sqlite");

/// A file as the build of this version left it, with what `rows` inserts.
async fn older(path: &Path, version: i64, rows: &str) {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true);
    let mut conn = SqliteConnection::connect_with(&options).await.unwrap();
    MIGRATIONS.run_to(version, &mut conn).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(rows))
        .execute(&mut conn)
        .await
        .unwrap();
    conn.close().await.unwrap();
}

const fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms)
}

/// One job, measured, before there were metrics, counts and workloads.
const FIRST: &str = "
    INSERT INTO sweep (id, digest, name, title, replicates, priority, sources, definition, submitted_at)
    VALUES (1, zeroblob(32), 's', '', 1, 0, '{}', '{}', 0);
    INSERT INTO worker (id, name, state, session, seen_at, about, programs)
    VALUES (1, 'w', 'active', 1, 0, '{}', '[]');
    INSERT INTO provenance (id, device, driver, libtorch, trainer, threads, determinism)
    VALUES (1, '', '', '', '', 0, '');
    INSERT INTO cell (id, digest, spec) VALUES (1, zeroblob(32), '{}');
    INSERT INTO sweep_cell (sweep, position, cell, axes) VALUES (1, 0, 1, '[]');
    INSERT INTO job (id, digest, cell, replicate, seed, state, deadline, attempt, worker,
                     session, granted_at, grants, closed)
    VALUES (1, zeroblob(32), 1, 1, 7, 'leased', 9, 1, 1, 1, 0, 1, 0);
    INSERT INTO attempt (job, attempt, worker, session, granted_at) VALUES (1, 1, 1, 1, 0);
    INSERT INTO observation (job, attempt, epoch, step, test_error) VALUES (1, 1, 1, 5, 9.5);
    INSERT INTO outcome (job, attempt, test_error, train_seconds, bits, provenance, recorded_at)
    VALUES (1, 1, 8.25, 1.0, x'40208000000000007ff80000000000007ff80000000000003ff0000000000000', 1, 0);
    UPDATE attempt SET ended = 'measured', ended_at = 1, provenance = 1;
    UPDATE job SET state = 'succeeded', deadline = NULL, closed = 1, ended_at = 1;
";

#[tokio::test]
async fn the_first_schema_is_brought_to_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("swath.db");
    older(&path, 1, FIRST).await;
    let store = SqliteStore::open(&path).await.unwrap();
    let job = store.jobs(JobQuery::default()).await.unwrap().remove(0);
    let measured = job.measurement.unwrap();
    assert_eq!(measured.values, Metrics::from([("test_error", 8.25)]));
    let seen = job.progress.unwrap();
    assert_eq!(seen.values, Metrics::from([("test_error", 9.5)]));
    // What no older build knew is worked out.
    let alike = store.alike(WorkloadKey::of_cell("{}"), 9).await.unwrap();
    let seconds = alike.iter().map(|alike| alike.train_seconds);
    assert_eq!(seconds.collect::<Vec<_>>(), [1.0]);
    let sweep = &store.sweeps().await.unwrap()[0];
    assert_eq!((sweep.cells, sweep.counts.succeeded), (1, 1));
    let cells = store.load(&all()).await.unwrap();
    assert_eq!(cells[0].holders, [(SweepKey(1), 1)]);
    store.close().await.unwrap();
}

fn all() -> Names {
    Names {
        sweeps: vec![SweepKey(1), SweepKey(2)],
        ..Names::default()
    }
}

/// Two sweeps over two cells. The first cell has a job in each state, whose key
/// is its replicate: queued, leased, suspect, succeeded, failed, cancelled; and
/// one that waits after a fault. The second has one that was never granted.
const ROWS: &str = "
    INSERT INTO sweep (id, digest, name, title, replicates, priority, live, paused, reason,
                       sources, definition, submitted_at)
    VALUES (1, unhex(printf('%064x', 1)), 's', 'title', 7, 3, 1, 0, '', '{\"main\":\"f\",\"files\":{}}', '{\"a\":1}', 5),
           (2, unhex(printf('%064x', 2)), 't', '', 1, 0, 1, 1, 'why', '{\"main\":\"g\",\"files\":{}}', '{}', 6);
    INSERT INTO cell (id, digest, spec, program)
    VALUES (1, unhex(printf('%064x', 11)), '{\"x\":1}', NULL),
           (2, unhex(printf('%064x', 12)), '{\"x\":2}', 'tool');
    INSERT INTO sweep_cell (sweep, position, cell, axes, replicates)
    VALUES (1, 0, 1, '[[\"x\",1]]', 7), (2, 0, 2, '[]', 1), (2, 1, 1, '[]', 1);
    INSERT INTO replication (sweep, most) VALUES (2, 4);
    INSERT INTO worker (id, name, state, reason, session, seen_at, about, programs, failed)
    VALUES (1, 'w', 'cordoned', 'broken', 4, 9,
            '{\"host\":\"h\",\"pid\":1,\"version\":\"1\",\"slots\":[],\"programs\":[\"tool\"]}',
            '[\"tool\"]', json_array(printf('%064x', 107)));
    INSERT INTO provenance (id, device, driver, libtorch, trainer, threads, determinism)
    VALUES (1, 'cpu', '', '2', '1', 4, 'bitwise');
    INSERT INTO job (id, digest, cell, replicate, seed, priority, state, not_before, granted_at)
    SELECT value, unhex(printf('%064x', 100 + value)), iif(value = 8, 2, 1),
           iif(value = 8, 1, value), value, 3, 'queued', 20, 20
    FROM json_each('[1,2,3,4,5,6,7,8]');
    INSERT INTO sweep_counts (sweep, cells, queued) VALUES (1, 1, 7), (2, 2, 2);
    UPDATE job SET state = 'leased', not_before = NULL, deadline = 90, attempt = 1, worker = 1,
                   session = 4, granted_at = 30, grants = 1, closed = 0
    WHERE id IN (2, 3, 4, 5, 7);
    INSERT INTO attempt (job, attempt, worker, session, granted_at)
    SELECT id, 1, 1, 4, 30 FROM job WHERE attempt = 1;
    INSERT INTO outcome (job, attempt, test_error, test_loss, train_seconds, bits, provenance,
                         recorded_at, metrics)
    VALUES (4, 1, 8.25, 0.5, 1.0, x'40208000000000003fe00000000000007ff80000000000003ff0000000000000',
            1, 40, '{\"a\":2.5}');
    UPDATE attempt SET ended = 'measured', ended_at = 40, provenance = 1 WHERE job = 4;
    UPDATE attempt SET ended = 'diverged', ended_at = 40, provenance = 1, message = 'up' WHERE job = 5;
    UPDATE attempt SET ended = 'crashed', ended_at = 40, provenance = 1,
                       message = CAST(x'6120000a62' AS TEXT) WHERE job = 7;
    UPDATE job SET state = 'suspect', unmentioned = 1, stop = 1 WHERE id = 3;
    UPDATE job SET state = 'succeeded', deadline = NULL, closed = 1, ended_at = 40 WHERE id = 4;
    UPDATE job SET state = 'failed', fault = 'diverged', deadline = NULL, closed = 1, faulted = 1,
                   ended_at = 40 WHERE id = 5;
    UPDATE job SET state = 'cancelled', not_before = NULL, ended_at = 41 WHERE id = 6;
    UPDATE job SET state = 'queued', deadline = NULL, not_before = 95, closed = 1, faulted = 1,
                   charged = 1, failed_on = '[\"w\"]' WHERE id = 7;
    INSERT INTO grant_request (worker, session, request, grants)
    VALUES (1, 3, 9, '[[2,1]]'), (1, 4, 1, '[[4,1],[2,1]]');
    INSERT INTO observation (job, attempt, epoch, step, test_error) VALUES (2, 1, 1, 5, 9.5);
    INSERT INTO log_chunk (job, position, attempt, sequence, text) VALUES (2, 1, 1, 1, 'log');
    INSERT INTO import (sweep, cell, source, place, test_error, runs, file, line, imported_at)
    VALUES ('s', 1, 'paper', 1, 7.5, 1, 'f', 2, 3);
";

fn number(n: u8) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[31] = n;
    bytes
}

fn owner() -> Owner {
    Owner {
        worker: "w".parse().unwrap(),
        session: SessionId(4),
    }
}

fn new_job(n: u8) -> StoredJob {
    StoredJob {
        key: JobKey(i64::from(n)),
        digest: JobDigest::from_bytes(number(100 + n)),
        job: Job::new(at(20)),
        placement: None,
        unmentioned: 0,
        fault: None,
        ended_at: None,
        outcomes: Vec::new(),
    }
}

/// A job that was granted once, and is where `state` says.
fn granted(n: u8, state: State) -> StoredJob {
    let closed = !matches!(state, State::Leased(_) | State::Suspect(_));
    let job = Job {
        state,
        attempt: Attempt(1),
        owner: Some(owner()),
        granted_at: at(30),
        grants: 1,
        closed,
        ..Job::new(at(20))
    };
    StoredJob { job, ..new_job(n) }
}

fn told(mut job: StoredJob, outcome: Outcome, headline: &str) -> StoredJob {
    if let Some(fault) = outcome.fault() {
        let headline = headline.to_owned();
        job.fault = Some((Attempt(1), LastFault { fault, headline }));
    }
    job.outcomes = vec![(Attempt(1), "w".parse().unwrap(), Some(outcome))];
    job
}

fn measurement() -> Measurement {
    Measurement {
        train_seconds: 1.0,
        values: Metrics::from([("test_error", 8.25), ("test_loss", 0.5), ("a", 2.5)]),
        weights: None,
    }
}

/// The cells of [`ROWS`].
fn cells() -> Vec<StoredCell> {
    let lease = |stop| Lease {
        owner: owner(),
        granted_at: at(30),
        deadline: at(90),
        stop,
    };
    let fault = |fault, message: &str| Outcome::Failed {
        fault,
        message: message.to_owned(),
    };
    let ended = |job: StoredJob, end| StoredJob {
        ended_at: Some(at(end)),
        ..job
    };
    let mut cancelled = ended(new_job(6), 41);
    cancelled.job.state = State::Cancelled;
    let mut suspect = granted(3, State::Suspect(lease(true)));
    suspect.unmentioned = 1;
    let not_before = at(95);
    let mut waiting = granted(7, State::Queued { not_before });
    waiting.job.charged = 1;
    waiting.job.failed_on.insert("w".parse().unwrap());
    let measured = Outcome::Measured(measurement());
    let jobs = vec![
        new_job(1),
        granted(2, State::Leased(lease(false))),
        suspect,
        told(ended(granted(4, State::Succeeded), 40), measured, ""),
        told(
            ended(granted(5, State::Failed(Fault::Diverged)), 40),
            fault(Fault::Diverged, "up"),
            "up",
        ),
        cancelled,
        told(waiting, fault(Fault::Crashed, "a \0\nb"), "a \0"),
    ];
    let cell = |n: u8, holders: &[(i64, u32)], jobs| StoredCell {
        key: CellKey(i64::from(n)),
        digest: CellDigest::from_bytes(number(10 + n)),
        needs: Needs {
            program: (n == 2).then(|| "tool".to_owned()),
            ..Needs::default()
        },
        holders: holders
            .iter()
            .map(|(key, n)| (SweepKey(*key), *n))
            .collect(),
        jobs,
    };
    vec![
        cell(1, &[(1, 7), (2, 1)], jobs),
        cell(2, &[(2, 1)], vec![new_job(8)]),
    ]
}

#[tokio::test]
async fn the_schema_before_the_engine_is_brought_to_the_newest() {
    for version in [6, 7] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("swath.db");
        older(&path, version, ROWS).await;
        let store = SqliteStore::open(&path).await.unwrap();
        assert_eq!(store.load(&all()).await.unwrap(), cells());
        let open = store.open_cells(CellKey(0), 9).await.unwrap();
        assert_eq!(open, cells());
        check_start(&store).await;
        check_reads(&store).await;
        store.close().await.unwrap();
    }
}

async fn check_start(store: &SqliteStore) {
    let start = store.start().await.unwrap();
    assert_eq!((start.last_cell, start.last_job), (CellKey(2), JobKey(8)));
    let [one, two] = &start.sweeps[..] else {
        panic!("{:?}", start.sweeps);
    };
    let counts = Counts {
        queued: 2,
        leased: 1,
        suspect: 1,
        succeeded: 1,
        failed: 0,
        diverged: 1,
        cancelled: 1,
    };
    assert_eq!((one.replicates, one.row.counts), (7, counts));
    assert_eq!((one.row.priority, one.row.ended_at), (3, Some(at(41))));
    assert_eq!((&one.replication, &one.faults), (&None, &Vec::new()));
    let replication = StoredReplication {
        max: 4,
        rounds: 0,
        seeds: 0,
        settled: None,
    };
    assert_eq!(two.replication, Some(replication));
    assert_eq!(
        (&two.row.paused, two.row.live),
        (
            &Some(PauseCause::Noted {
                text: "why".to_owned()
            }),
            true
        )
    );
    let request = StoredRequest {
        worker: WorkerKey(1),
        request: 1,
        grants: [4, 2]
            .map(|n| (JobDigest::from_bytes(number(100 + n)), Attempt(1)))
            .to_vec(),
    };
    assert_eq!(start.requests, [request]);
    let worker = &start.workers[0];
    let cause = CordonCause::Noted {
        text: "broken".to_owned(),
    };
    assert_eq!(
        (&worker.cordoned, worker.session),
        (&Some(cause), SessionId(4))
    );
    assert_eq!((start.last_event, start.last_event_at), (0, None));
    assert_eq!(worker.failed, [JobDigest::from_bytes(number(107))]);
}

async fn check_reads(store: &SqliteStore) {
    let sweeps = store.sweeps().await.unwrap();
    let results = store.results(sweeps[0].digest, None).await.unwrap();
    assert_eq!(results[0].replicates[3].measurement, Some(measurement()));
    let imported = results[0].replicates.iter();
    let imported = imported.filter_map(|it| it.imported.as_ref());
    assert_eq!(imported.map(|it| it.test_error).collect::<Vec<_>>(), [7.5]);
    let jobs = store.jobs(JobQuery::default()).await.unwrap();
    assert_eq!(jobs.len(), 8);
    assert_eq!(jobs[1].observed(), Some(9.5));
    assert_eq!(jobs[6].message, "a \0\nb");
    assert_eq!(store.logs(jobs[1].digest, 0).await.unwrap()[0].text, "log");
    let worker = &store.workers().await.unwrap()[0];
    assert_eq!((worker.held, worker.failed_in_a_row), (2, 1));
}
