//! The schema refuses what must never be written, whoever writes it.

use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use swath_store::Store;
use swath_store_sqlite::SqliteStore;
use tempfile::TempDir;

/// A database with one job in each state; the job's key is its place in this
/// list, from 1.
const STATES: [&str; 6] = [
    "queued",
    "leased",
    "suspect",
    "succeeded",
    "failed",
    "cancelled",
];

const SETUP: &str = "
    INSERT INTO sweep (id, digest, name, title, replicates, priority, sources, definition, submitted_at)
    VALUES (1, zeroblob(32), 's', '', 6, 0, '{}', '{}', 0);
    INSERT INTO cell (id, digest, spec) VALUES (1, zeroblob(32), '{}');
    INSERT INTO sweep_cell (sweep, position, cell, axes, replicates) VALUES (1, 0, 1, '[]', 6);
    INSERT INTO worker (id, name, state, session, seen_at, about)
    VALUES (1, 'w', 'active', 1, 0, '{}');
    INSERT INTO provenance (id, device, driver, libtorch, trainer, threads, determinism)
    VALUES (1, '', '', '', '', 0, '');
    INSERT INTO job (id, digest, cell, replicate, seed, state, not_before, granted_at)
    SELECT value, unhex(printf('%064x', value)), 1, value, 7, 'queued', 0, 0
    FROM json_each('[1,2,3,4,5,6]');
    INSERT INTO sweep_counts (sweep, cells, queued) VALUES (1, 1, 6);
    INSERT INTO attempt (job, attempt, worker, session, granted_at)
    SELECT id, 1, 1, 1, 0 FROM job WHERE id BETWEEN 2 AND 5;
    UPDATE job SET state = 'leased', not_before = NULL, deadline = 9, attempt = 1, worker = 1,
                   session = 1, grants = 1, closed = 0
    WHERE id BETWEEN 2 AND 5;
    INSERT INTO outcome (job, attempt, bits, provenance, recorded_at)
    VALUES (4, 1, zeroblob(32), 1, 0);
    UPDATE attempt SET ended = 'measured', ended_at = 1, provenance = 1 WHERE job = 4;
    UPDATE job SET state = 'suspect' WHERE id = 3;
    UPDATE job SET state = 'succeeded', deadline = NULL, closed = 1, ended_at = 1 WHERE id = 4;
    UPDATE job SET state = 'failed', fault = 'diverged', deadline = NULL, closed = 1, ended_at = 1
    WHERE id = 5;
    UPDATE job SET state = 'cancelled', not_before = NULL, ended_at = 1 WHERE id = 6;
";

async fn database() -> (SqliteConnection, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("swath.db");
    let store = SqliteStore::open(&path).await.unwrap();
    store.close().await.unwrap();
    let url = format!("sqlite:{}", path.display());
    let mut conn = SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(SETUP).execute(&mut conn).await.unwrap();
    (conn, folder)
}

/// Runs each statement by itself; it must be refused, naming `why`.
async fn refused(statements: &[(&str, &str)]) {
    let (mut conn, _folder) = database().await;
    for (sql, why) in statements {
        let done = sqlx::raw_sql(AssertSqlSafe(*sql)).execute(&mut conn).await;
        match done {
            Ok(_) => panic!("{sql}: was not refused"),
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains(why), "{sql}: {text}");
            }
        }
    }
}

#[tokio::test]
async fn a_job_in_each_state_is_allowed() {
    let (mut conn, _folder) = database().await;
    let states: Vec<String> = sqlx::query_scalar("SELECT state FROM job ORDER BY id")
        .fetch_all(&mut conn)
        .await
        .unwrap();
    assert_eq!(states, STATES);
}

#[tokio::test]
async fn a_succeeded_job_never_changes() {
    let why = "a succeeded job never changes";
    refused(&[
        (
            "UPDATE job SET state = 'queued', not_before = 0, ended_at = NULL WHERE id = 4",
            why,
        ),
        (
            "UPDATE job SET state = 'failed', fault = 'lost' WHERE id = 4",
            why,
        ),
        ("UPDATE job SET charged = 1 WHERE id = 4", why),
    ])
    .await;
}

/// What keeps every statement within its order.
async fn done(conn: &mut SqliteConnection, sql: &str) {
    let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await;
    if let Err(error) = done {
        panic!("{sql}: {error}");
    }
}

#[tokio::test]
async fn other_ends_are_left_only_for_the_queue() {
    let why = "can only be queued again";
    refused(&[
        (
            "UPDATE job SET state = 'succeeded', fault = NULL WHERE id = 5",
            "a job",
        ),
        (
            "UPDATE job SET state = 'failed', fault = 'lost' WHERE id = 6",
            why,
        ),
        (
            "UPDATE job SET state = 'leased', fault = NULL, ended_at = NULL, deadline = 1, closed = 0
             WHERE id = 5",
            why,
        ),
    ])
    .await;
    let (mut conn, _folder) = database().await;
    let again = "UPDATE job SET state = 'queued', not_before = 0, ended_at = NULL, fault = NULL
                 WHERE id >= 5";
    done(&mut conn, again).await;
}

/// One commit may hold that a job was queued again, granted and ended.
#[tokio::test]
async fn other_ends_are_left_for_what_comes_after_the_queue() {
    let (mut conn, _folder) = database().await;
    let later = [
        "UPDATE job SET state = 'cancelled', fault = NULL WHERE id = 5",
        "INSERT INTO attempt (job, attempt, worker, session, granted_at)
         VALUES (5, 2, 1, 1, 0), (6, 1, 1, 1, 0), (6, 2, 1, 1, 0)",
        "INSERT INTO outcome (job, attempt, bits, provenance, recorded_at)
         VALUES (5, 2, zeroblob(32), 1, 0)",
        "UPDATE job SET state = 'succeeded', attempt = 2 WHERE id = 5",
        "UPDATE job SET state = 'failed', fault = 'lost', attempt = 2, worker = 1, session = 1
         WHERE id = 6",
    ];
    for sql in later {
        done(&mut conn, sql).await;
    }
}

#[tokio::test]
async fn attempts_are_granted_one_after_the_other() {
    const INSERT: &str = "INSERT INTO attempt (job, attempt, worker, session, granted_at) VALUES";
    let why = "the attempt of a job rises to one that was granted";
    let next = "attempts are granted one after the other";
    let insert = |values: &str| format!("{INSERT} {values}");
    let (again, gap, first) = (
        insert("(2, 1, 1, 1, 0)"),
        insert("(2, 3, 1, 1, 0)"),
        insert("(1, 2, 1, 1, 0)"),
    );
    refused(&[
        (
            "UPDATE job SET attempt = 0, worker = NULL, session = NULL, grants = 0 WHERE id = 2",
            why,
        ),
        ("UPDATE job SET attempt = 2 WHERE id = 2", why),
        (
            "UPDATE job SET attempt = 1, worker = 1, session = 1 WHERE id = 1",
            why,
        ),
        (&again, next),
        (&gap, next),
        (&first, next),
        (
            "DELETE FROM attempt WHERE job = 2",
            "an attempt of a job that a sweep holds is never deleted",
        ),
    ])
    .await;
    let (mut conn, _folder) = database().await;
    done(&mut conn, &insert("(1, 1, 1, 1, 0), (1, 2, 1, 1, 0)")).await;
    let granted = "UPDATE job SET attempt = 2, state = 'leased', not_before = NULL, deadline = 1,
                                  closed = 0, worker = 1, session = 1 WHERE id = 1";
    done(&mut conn, granted).await;
}

#[tokio::test]
async fn outcomes_are_written_once_for_open_attempts() {
    const INSERT: &str = "INSERT INTO outcome
        (job, attempt, bits, provenance, recorded_at) VALUES ";
    let insert = |values: &str| format!("{INSERT}{values}");
    let open = "an outcome is of the newest attempt";
    let statements = [
        (insert("(4, 1, zeroblob(32), 1, 0)"), open),
        (insert("(5, 1, zeroblob(32), 1, 0)"), open),
        (insert("(1, 1, zeroblob(32), 1, 0)"), open),
        (insert("(2, 2, zeroblob(32), 1, 0)"), open),
        // Its attempt is closed, or not the newest, or has ended.
        (
            format!(
                "UPDATE job SET state = 'queued', not_before = 0, deadline = NULL, closed = 1
                     WHERE id = 3; {}",
                insert("(3, 1, zeroblob(32), 1, 0)")
            ),
            open,
        ),
        (
            format!(
                "INSERT INTO attempt (job, attempt, worker, session, granted_at)
                     VALUES (1, 1, 1, 1, 0), (1, 2, 1, 1, 0);
                     {}",
                insert("(1, 1, zeroblob(32), 1, 0)")
            ),
            open,
        ),
        (
            format!(
                "UPDATE attempt SET ended = 'released', ended_at = 1 WHERE job = 1 AND attempt = 2;
                     {}",
                insert("(1, 2, zeroblob(32), 1, 0)")
            ),
            open,
        ),
        (insert("(2, 1, zeroblob(31), 1, 0)"), "CHECK"),
        (insert("(2, 1, NULL, 1, 0)"), "NOT NULL"),
        (insert("(2, 1, zeroblob(32), 99, 0)"), "FOREIGN KEY"),
        (
            "UPDATE outcome SET bits = zeroblob(32)".to_owned(),
            "an outcome never changes",
        ),
        (
            "DELETE FROM outcome".to_owned(),
            "an outcome of a job that a sweep holds is never deleted",
        ),
        (
            "UPDATE job SET state = 'succeeded', deadline = NULL, ended_at = 1 WHERE id = 2"
                .to_owned(),
            "succeeds with the outcome",
        ),
        (
            "UPDATE attempt SET message = 'x' WHERE job = 4".to_owned(),
            "is recorded once",
        ),
    ];
    let statements: Vec<(&str, &str)> = statements
        .iter()
        .map(|(sql, why)| (sql.as_str(), *why))
        .collect();
    refused(&statements).await;
}

#[tokio::test]
async fn a_job_keeps_its_name_and_its_row() {
    refused(&[
        (
            "UPDATE job SET seed = 8 WHERE id = 1",
            "what a job computes never changes",
        ),
        (
            "UPDATE job SET digest = randomblob(32) WHERE id = 1",
            "what a job computes",
        ),
        (
            "DELETE FROM job WHERE id = 1",
            "a job that a sweep holds is never deleted",
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_state_has_its_columns_and_no_others() {
    refused(&[
        (
            "UPDATE job SET state = 'paused' WHERE id = 1",
            "state_has_a_name",
        ),
        (
            "UPDATE job SET not_before = NULL WHERE id = 1",
            "queued_has_a_start",
        ),
        (
            "UPDATE job SET not_before = 1 WHERE id = 2",
            "queued_has_a_start",
        ),
        (
            "UPDATE job SET deadline = NULL WHERE id = 2",
            "leased_has_a_deadline",
        ),
        (
            "UPDATE job SET deadline = 1 WHERE id = 1",
            "leased_has_a_deadline",
        ),
        ("UPDATE job SET stop = 1 WHERE id = 1", "only_a_lease_stops"),
        ("UPDATE job SET stop = 2 WHERE id = 2", "CHECK"),
        ("UPDATE job SET closed = 1 WHERE id = 2", "a_lease_is_open"),
        (
            "UPDATE job SET fault = NULL WHERE id = 5",
            "failed_has_a_fault",
        ),
        (
            "UPDATE job SET fault = 'lost' WHERE id = 1",
            "failed_has_a_fault",
        ),
        (
            "UPDATE job SET fault = 'tired' WHERE id = 5",
            "fault_has_a_name",
        ),
        (
            "UPDATE job SET ended_at = NULL WHERE id = 5",
            "final_has_an_end",
        ),
        (
            "UPDATE job SET ended_at = 1 WHERE id = 2",
            "final_has_an_end",
        ),
        (
            "UPDATE job SET worker = NULL WHERE id = 2",
            "an_attempt_has_an_owner",
        ),
        (
            "UPDATE job SET worker = 1, session = 1 WHERE id = 1",
            "an_attempt_has_an_owner",
        ),
        (
            "UPDATE job SET grants = 2 WHERE id = 2",
            "grants_are_attempts",
        ),
        (
            "UPDATE job SET faulted = 2 WHERE id = 2",
            "faulted_is_an_attempt",
        ),
        ("UPDATE job SET charged = -1 WHERE id = 2", "CHECK"),
        ("UPDATE job SET worker = 9 WHERE id = 2", "FOREIGN KEY"),
        (
            "UPDATE job SET not_before = 'soon' WHERE id = 1",
            "cannot store TEXT",
        ),
    ])
    .await;
}

#[tokio::test]
async fn names_digests_and_ranges_are_checked() {
    refused(&[
        ("UPDATE sweep SET digest = zeroblob(31)", "CHECK"),
        ("UPDATE sweep SET cause = 'x'", "only_a_pause_has_a_reason"),
        ("UPDATE sweep SET live = 2", "CHECK"),
        ("UPDATE sweep SET kind = 'play'", "CHECK"),
        ("INSERT INTO event (seq, at, what) VALUES (0, 0, '{}')", "CHECK"),
        ("UPDATE worker SET state = 'asleep'", "CHECK"),
        ("UPDATE worker SET cause = 'x'", "an_active_worker_needs_no_reason"),
        ("UPDATE worker SET session = 0", "CHECK"),
        ("INSERT INTO cell (digest, spec) VALUES (zeroblob(32), '{}')", "UNIQUE"),
        (
            "INSERT INTO job (digest, cell, replicate, seed, state, not_before, granted_at)
             VALUES (randomblob(32), 1, 1, 7, 'queued', 0, 0)",
            "UNIQUE",
        ),
        (
            "INSERT INTO job (digest, cell, replicate, seed, state, not_before, granted_at)
             VALUES (randomblob(32), 1, 9, 9007199254740992, 'queued', 0, 0)",
            "CHECK",
        ),
        (
            "INSERT INTO attempt (job, attempt, worker, session, granted_at) VALUES (1, 0, 1, 1, 0)",
            "one after the other",
        ),
        ("UPDATE attempt SET ended = 'lost', ended_at = 1 WHERE job = 2", "an_outcome_has_a_provenance"),
        ("UPDATE attempt SET ended_at = 1 WHERE job = 2", "an_end_has_a_time"),
    ])
    .await;
}

#[tokio::test]
async fn old_requests_are_forgotten() {
    let (mut conn, _folder) = database().await;
    let requests = "INSERT INTO grant_request (worker, session, request, grants)
                    SELECT 1, 1, value, '[]'
                    FROM json_each('[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20]')";
    done(&mut conn, requests).await;
    let least: i64 = sqlx::query_scalar("SELECT min(request) FROM grant_request")
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert_eq!(least, 5);
    // Those of an older session, whatever comes first.
    let newer = "UPDATE worker SET session = 2;
                 INSERT INTO grant_request (worker, session, request, grants)
                 VALUES (1, 2, 1, '[]'), (1, 1, 21, '[]'), (1, 2, 2, '[]')";
    done(&mut conn, newer).await;
    let kept: Vec<(i64, i64)> = sqlx::query_as("SELECT session, request FROM grant_request")
        .fetch_all(&mut conn)
        .await
        .unwrap();
    assert_eq!(kept, [(2, 1), (2, 2)]);
}

#[tokio::test]
async fn only_a_sweep_that_is_being_deleted_goes() {
    refused(&[
        (
            "DELETE FROM sweep_cell",
            "only a sweep that is being deleted loses cells",
        ),
        ("DELETE FROM worker", "workers are never deleted"),
        (
            "DELETE FROM sweep_counts; DELETE FROM sweep",
            "only a sweep that is being deleted goes",
        ),
        (
            "UPDATE sweep SET label = '{\"deleting\":false}'; DELETE FROM sweep_cell",
            "only a sweep that is being deleted loses cells",
        ),
    ])
    .await;
    let (mut conn, _folder) = database().await;
    done(&mut conn, "UPDATE sweep SET label = '{\"deleting\":true}'").await;
    // What refers to a row goes before the row.
    for table in ["job", "cell"] {
        let sql = format!("DELETE FROM {table}");
        let early = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut conn).await;
        assert!(early.is_err(), "{table} {early:?}");
    }
    done(&mut conn, "DELETE FROM sweep_cell").await;
    let early = sqlx::raw_sql("DELETE FROM job").execute(&mut conn).await;
    assert!(early.is_err(), "{early:?}");
    let order = ["outcome", "attempt", "job", "cell", "sweep_counts", "sweep"];
    for table in order {
        done(&mut conn, &format!("DELETE FROM {table}")).await;
    }
}

/// A file of two pieces that travels with the sweep, and one that does not.
const FILES: &str = "
    INSERT INTO input (id, digest, bytes, kept_at) VALUES (1, zeroblob(32), 1048577, 0), (2, unhex(printf('%064x', 1)), 0, 0);
    INSERT INTO input_piece (input, place, content) VALUES (1, 1, zeroblob(1048576));
    INSERT INTO input_piece (input, place, content) VALUES (1, 2, zeroblob(1));
    INSERT INTO sweep_input (sweep, input) VALUES (1, 1);
";

#[tokio::test]
async fn files_stay_as_they_are_with_their_sweep() {
    let (mut conn, _folder) = database().await;
    done(&mut conn, FILES).await;
    let statements = [
        ("UPDATE input SET bytes = 1", "never changes"),
        (
            "UPDATE input_piece SET place = 3 WHERE place = 2",
            "never changes",
        ),
        ("UPDATE sweep_input SET input = 2", "never change"),
        (
            "INSERT INTO input_piece (input, place, content) VALUES (1, 3, zeroblob(1))",
            "follows a whole one",
        ),
        (
            "INSERT INTO input_piece (input, place, content) VALUES (2, 2, zeroblob(1))",
            "follows a whole one",
        ),
        (
            "INSERT INTO input_piece (input, place, content) VALUES (2, 1, zeroblob(1048577))",
            "content",
        ),
        (
            "INSERT INTO input (id, digest, bytes, kept_at) VALUES (3, unhex(printf('%064x', 3)), 67108865, 0)",
            "bytes",
        ),
        ("DELETE FROM input_piece", "is never deleted"),
        ("DELETE FROM sweep_input", "being deleted loses files"),
    ];
    for (sql, why) in statements {
        let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut conn).await;
        let error = done.expect_err(sql).to_string();
        assert!(error.contains(why), "{sql}: {error}");
    }
    done(&mut conn, "DELETE FROM input WHERE id = 2").await;
    done(&mut conn, "UPDATE sweep SET label = '{\"deleting\":true}'").await;
    for table in ["sweep_input", "input_piece", "input"] {
        done(&mut conn, &format!("DELETE FROM {table}")).await;
    }
}
