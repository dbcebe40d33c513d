//! The schema refuses what must never be written, whoever writes it.

mod support;

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use swath_store::Store;

use support::Database;

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
    VALUES (1, sha256('s'), 's', '', 6, 0, '{}', '{}', 0);
    INSERT INTO cell (id, digest, spec) VALUES (1, sha256('c'), '{}');
    INSERT INTO sweep_cell (sweep, position, cell, axes, replicates) VALUES (1, 0, 1, '[]', 6);
    INSERT INTO worker (id, name, state, session, seen_at, about)
    VALUES (1, 'w', 'active', 1, 0, '{}');
    INSERT INTO provenance (id, digest, device, driver, libtorch, trainer, threads, determinism)
    VALUES (1, sha256('p'), '', '', '', '', 0, '');
    INSERT INTO job (id, digest, cell, replicate, seed, state, not_before, granted_at)
    SELECT n, sha256(int8send(n)), 1, n, 7, 'queued', 0, 0 FROM generate_series(1::bigint, 6) n;
    INSERT INTO sweep_counts (sweep, cells, queued) VALUES (1, 1, 6);
    INSERT INTO attempt (job, attempt, worker, session, granted_at)
    SELECT id, 1, 1, 1, 0 FROM job WHERE id BETWEEN 2 AND 5;
    UPDATE job SET state = 'leased', not_before = NULL, deadline = 9, attempt = 1, worker = 1,
                   session = 1, grants = 1, closed = false
    WHERE id BETWEEN 2 AND 5;
    INSERT INTO outcome (job, attempt, test_error, train_seconds, provenance, recorded_at)
    VALUES (4, 1, 8.25, 1.0, 1, 0);
    UPDATE attempt SET ended = 'measured', ended_at = 1, provenance = 1 WHERE job = 4;
    UPDATE job SET state = 'suspect' WHERE id = 3;
    UPDATE job SET state = 'succeeded', deadline = NULL, closed = true, ended_at = 1 WHERE id = 4;
    UPDATE job SET state = 'failed', fault = 'diverged', deadline = NULL, closed = true, ended_at = 1
    WHERE id = 5;
    UPDATE job SET state = 'cancelled', not_before = NULL, ended_at = 1 WHERE id = 6;
";

/// A connection to a database with these rows; none without a server.
async fn database() -> Option<(PgConnection, Database)> {
    let database = Database::new().await?;
    database.store().await.close().await.unwrap();
    let mut conn = database.connect().await;
    sqlx::raw_sql(SETUP).execute(&mut conn).await.unwrap();
    Some((conn, database))
}

/// Runs each group of statements by itself; it must be refused, naming `why`,
/// and leaves nothing.
async fn refused(statements: &[(&str, &str)]) {
    let Some((mut conn, _database)) = database().await else {
        return;
    };
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
    let Some((mut conn, _database)) = database().await else {
        return;
    };
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
async fn done(conn: &mut PgConnection, sql: &str) {
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
            why,
        ),
        (
            "UPDATE job SET state = 'failed', fault = 'lost' WHERE id = 6",
            why,
        ),
        (
            "UPDATE job SET state = 'leased', fault = NULL, ended_at = NULL, deadline = 1, closed = false
             WHERE id = 5",
            why,
        ),
    ])
    .await;
    let Some((mut conn, _database)) = database().await else {
        return;
    };
    let again = "UPDATE job SET state = 'queued', not_before = 0, ended_at = NULL, fault = NULL
                 WHERE id >= 5";
    done(&mut conn, again).await;
}

/// One commit may hold that a job was queued again, granted and ended.
#[tokio::test]
async fn other_ends_are_left_for_what_comes_after_the_queue() {
    let Some((mut conn, _database)) = database().await else {
        return;
    };
    let later = [
        "UPDATE job SET state = 'cancelled', fault = NULL WHERE id = 5",
        "INSERT INTO attempt (job, attempt, worker, session, granted_at)
         VALUES (5, 2, 1, 1, 0), (6, 1, 1, 1, 0), (6, 2, 1, 1, 0)",
        "INSERT INTO outcome (job, attempt, test_error, train_seconds, provenance, recorded_at)
         VALUES (5, 2, 8.25, 1.0, 1, 0)",
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
    let stranger = insert("(1, 1, 9, 1, 0)");
    let nowhere = insert("(99, 1, 1, 1, 0)");
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
        (&again, "attempt_pkey"),
        (&gap, next),
        (&first, next),
        (
            "DELETE FROM attempt WHERE job = 2",
            "an attempt of a job that a sweep holds is never deleted",
        ),
        (
            "UPDATE attempt SET worker = 2 WHERE job = 2",
            "a grant never changes",
        ),
        (&stranger, "no such worker"),
        (&nowhere, "no such job"),
    ])
    .await;
    let Some((mut conn, _database)) = database().await else {
        return;
    };
    done(&mut conn, &insert("(1, 1, 1, 1, 0), (1, 2, 1, 1, 0)")).await;
    let granted = "UPDATE job SET attempt = 2, state = 'leased', not_before = NULL, deadline = 1,
                                  closed = false, worker = 1, session = 1 WHERE id = 1";
    done(&mut conn, granted).await;
}

#[tokio::test]
async fn outcomes_are_written_once_for_open_attempts() {
    const INSERT: &str = "INSERT INTO outcome
        (job, attempt, test_error, train_seconds, provenance, recorded_at) VALUES ";
    let insert = |values: &str| format!("{INSERT}{values}");
    let open = "an outcome is of the newest attempt";
    let statements = [
        (insert("(4, 1, 1.0, 1.0, 1, 0)"), "outcome_pkey"),
        (insert("(5, 1, 1.0, 1.0, 1, 0)"), open),
        (insert("(1, 1, 1.0, 1.0, 1, 0)"), open),
        (insert("(2, 2, 1.0, 1.0, 1, 0)"), open),
        // Its attempt is closed, or not the newest, or has ended.
        (
            format!(
                "UPDATE job SET state = 'queued', not_before = 0, deadline = NULL, closed = true
                     WHERE id = 3; {}",
                insert("(3, 1, 1.0, 1.0, 1, 0)")
            ),
            open,
        ),
        (
            format!(
                "INSERT INTO attempt (job, attempt, worker, session, granted_at)
                     VALUES (1, 1, 1, 1, 0), (1, 2, 1, 1, 0);
                     {}",
                insert("(1, 1, 1.0, 1.0, 1, 0)")
            ),
            open,
        ),
        (
            format!(
                "INSERT INTO attempt (job, attempt, worker, session, granted_at)
                     VALUES (1, 1, 1, 1, 0), (1, 2, 1, 1, 0);
                     UPDATE attempt SET ended = 'released', ended_at = 1 WHERE job = 1 AND attempt = 2;
                     {}",
                insert("(1, 2, 1.0, 1.0, 1, 0)")
            ),
            open,
        ),
        (
            "INSERT INTO outcome (job, attempt, test_error, train_seconds, provenance, recorded_at,
                                  weights)
             VALUES (2, 1, 1.0, 1.0, 1, 0, 'short')"
                .to_owned(),
            "outcome_weights_check",
        ),
        (
            insert("(2, 1, 1.0, 1.0, 99, 0)"),
            "no such provenance",
        ),
        (
            "UPDATE outcome SET test_error = 1.0".to_owned(),
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
            "UPDATE job SET digest = sha256('x') WHERE id = 1",
            "what a job computes",
        ),
        (
            "DELETE FROM job WHERE id = 1",
            "a job that a sweep holds is never deleted",
        ),
        ("TRUNCATE job CASCADE", "jobs are never deleted"),
        ("TRUNCATE outcome", "outcomes are never deleted"),
        (
            "DELETE FROM cell",
            "a cell of a sweep, or with jobs, is never deleted",
        ),
        ("DELETE FROM worker", "workers are never deleted"),
        (
            "UPDATE worker SET id = 2",
            "the name of a worker never changes",
        ),
        (
            "UPDATE cell SET spec = 'x'",
            "what a cell computes never changes",
        ),
        (
            "UPDATE sweep_cell SET cell = 2",
            "the cells of a sweep never change",
        ),
        ("UPDATE leader SET term = -1", "the term only rises"),
        ("DELETE FROM leader", "there is always a term"),
    ])
    .await;
}

#[tokio::test]
async fn a_state_has_its_columns_and_no_others() {
    refused(&[
        (
            "UPDATE job SET state = 'queued', not_before = 0, deadline = NULL, closed = true WHERE id = 3;
             UPDATE job SET state = 'paused', not_before = NULL WHERE id = 3",
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
            "UPDATE job SET deadline = 1, closed = false WHERE id = 1",
            "leased_has_a_deadline",
        ),
        (
            "UPDATE job SET stop = true WHERE id = 1",
            "only_a_lease_stops",
        ),
        (
            "UPDATE job SET closed = true WHERE id = 2",
            "a_lease_is_open",
        ),
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
        (
            "UPDATE job SET charged = -1 WHERE id = 2",
            "job_charged_check",
        ),
        ("UPDATE job SET worker = 9 WHERE id = 2", "no such worker"),
        (
            "UPDATE job SET not_before = 'soon' WHERE id = 1",
            "invalid input syntax",
        ),
    ])
    .await;
}

#[tokio::test]
async fn names_digests_and_ranges_are_checked() {
    refused(&[
        ("UPDATE sweep SET digest = 'short'", "what a sweep is named by"),
        ("UPDATE sweep SET kind = 'play'", "sweep_kind_check"),
        ("INSERT INTO event (seq, at, what) VALUES (0, 0, '{}')", "event_seq_check"),
        ("UPDATE sweep SET cause = 'x'", "only_a_pause_has_a_reason"),
        ("UPDATE sweep SET priority = 3000000000", "sweep_priority_check"),
        ("UPDATE worker SET state = 'asleep'", "worker_state_check"),
        ("UPDATE worker SET cause = 'x'", "an_active_worker_needs_no_reason"),
        ("UPDATE worker SET session = 0", "worker_session_check"),
        ("INSERT INTO cell (id, digest, spec) VALUES (2, 'short', '{}')", "cell_digest_check"),
        ("INSERT INTO cell (id, digest, spec) VALUES (2, sha256('c'), '{}')", "cell_digest_key"),
        (
            "INSERT INTO job (id, digest, cell, replicate, seed, state, not_before, granted_at)
             VALUES (7, sha256('x'), 1, 1, 7, 'queued', 0, 0)",
            "job_cell_replicate_key",
        ),
        (
            "INSERT INTO job (id, digest, cell, replicate, seed, state, not_before, granted_at)
             VALUES (7, sha256('x'), 1, 9, 9007199254740992, 'queued', 0, 0)",
            "job_seed_check",
        ),
        (
            "INSERT INTO job (id, digest, cell, replicate, seed, state, not_before, granted_at)
             VALUES (7, sha256('x'), 2, 9, 7, 'queued', 0, 0)",
            "no such cell",
        ),
        (
            "INSERT INTO job (id, digest, cell, replicate, seed, state, ended_at, granted_at)
             VALUES (7, sha256('x'), 1, 9, 7, 'cancelled', 0, 0)",
            "a new job is queued",
        ),
        (
            "INSERT INTO sweep_cell (sweep, position, cell, axes) VALUES (1, 1, 2, '[]')",
            "no such cell",
        ),
        (
            "INSERT INTO sweep_cell (sweep, position, cell, axes) VALUES (2, 1, 1, '[]')",
            "no such sweep",
        ),
        (
            "INSERT INTO attempt (job, attempt, worker, session, granted_at) VALUES (1, 0, 1, 1, 0)",
            "attempt_attempt_check",
        ),
        ("UPDATE attempt SET ended = 'lost', ended_at = 1 WHERE job = 2", "an_outcome_has_a_provenance"),
        ("UPDATE attempt SET ended_at = 1 WHERE job = 2", "an_end_has_a_time"),
    ])
    .await;
}

#[tokio::test]
async fn old_requests_are_forgotten() {
    let Some((mut conn, _database)) = database().await else {
        return;
    };
    // Requests are unsigned: the greatest are below 0.
    let requests = "INSERT INTO grant_request (worker, session, request, grants)
                    SELECT 1, 1, n, '[]' FROM generate_series(-3, 16) n WHERE n <> 0";
    done(&mut conn, requests).await;
    let ask = "SELECT request FROM grant_request ORDER BY request";
    let kept: Vec<i64> = sqlx::query_scalar(ask).fetch_all(&mut conn).await.unwrap();
    assert_eq!(
        kept,
        [-3, -2, -1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]
    );
    // Those of an older session, whatever comes first.
    let newer = "UPDATE worker SET session = 2;
                 INSERT INTO grant_request (worker, session, request, grants)
                 VALUES (1, 2, 1, '[]'), (1, 1, 21, '[]'), (1, 2, 2, '[]')";
    done(&mut conn, newer).await;
    let ask = "SELECT session, request FROM grant_request ORDER BY request";
    let kept: Vec<(i64, i64)> = sqlx::query_as(ask).fetch_all(&mut conn).await.unwrap();
    assert_eq!(kept, [(2, 1), (2, 2)]);
}

/// Whatever an index leaves out follows from the state, so that a query may ask
/// for either.
#[tokio::test]
async fn indexes_ask_for_what_follows_from_the_state() {
    let Some((mut conn, _database)) = database().await else {
        return;
    };
    let odd: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM job
         WHERE (ended_at IS NULL) <> (state IN ('queued', 'leased', 'suspect'))
            OR (fault IS NOT NULL) <> (state = 'failed')",
    )
    .fetch_one(&mut conn)
    .await
    .unwrap();
    assert_eq!(odd, 0);
    conn.close().await.unwrap();
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
    let Some((mut conn, _database)) = database().await else {
        return;
    };
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
    INSERT INTO input (id, digest, bytes, kept_at) VALUES (1, decode(repeat('00', 32), 'hex'), 1048577, 0), (2, decode(repeat('01', 32), 'hex'), 0, 0);
    INSERT INTO input_piece (input, place, content) VALUES (1, 1, decode(repeat('00', 1048576), 'hex'));
    INSERT INTO input_piece (input, place, content) VALUES (1, 2, decode(repeat('00', 1), 'hex'));
    INSERT INTO sweep_input (sweep, input) VALUES (1, 1);
";

#[tokio::test]
async fn files_stay_as_they_are_with_their_sweep() {
    let Some((mut conn, _database)) = database().await else {
        return;
    };
    done(&mut conn, FILES).await;
    let statements = [
        ("UPDATE input SET bytes = 1", "never changes"),
        (
            "UPDATE input_piece SET place = 3 WHERE place = 2",
            "never changes",
        ),
        ("UPDATE sweep_input SET input = 2", "never change"),
        (
            "INSERT INTO input_piece (input, place, content) VALUES (1, 3, decode(repeat('00', 1), 'hex'))",
            "follows a whole one",
        ),
        (
            "INSERT INTO input_piece (input, place, content) VALUES (2, 2, decode(repeat('00', 1), 'hex'))",
            "follows a whole one",
        ),
        (
            "INSERT INTO input_piece (input, place, content) VALUES (2, 1, decode(repeat('00', 1048577), 'hex'))",
            "content",
        ),
        (
            "INSERT INTO input (id, digest, bytes, kept_at) VALUES (3, decode(repeat('03', 32), 'hex'), 67108865, 0)",
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
