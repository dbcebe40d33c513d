//! What every schema must refuse, whoever writes it, in the SQL that all stores
//! speak. A store instantiates it in its tests, as it does with the suite:
//!
//! ```ignore
//! async fn tables() -> Option<(MyTables, impl Sized)> { … }
//! swath_store_conformance::schema_suite!(tables);
//! ```

mod around;

use async_trait::async_trait;

pub use around::*;

/// A connection to a database that has the tables of a store.
#[async_trait(?Send)]
pub trait Tables {
    /// What this database needs besides [`SETUP`]: the first provenance, and the
    /// functions `zeroblob`, `unhex` and `printf` of SQLite.
    const OWN: &'static str;
    /// Columns that an outcome has of its measurement, and their values.
    const MEASURED: (&'static str, &'static str);
    /// Whether it is SQLite, which names the rule in other words.
    const IS_SQLITE: bool;

    /// Carries out statements.
    ///
    /// # Errors
    ///
    /// What the database says of the one that it refuses.
    async fn run(&mut self, sql: &str) -> Result<(), String>;

    /// The numbers that a query returns, one per row.
    async fn numbers(&mut self, sql: &str) -> Vec<i64>;
}

/// One job in each state; its key is its place in this list, from 1.
const STATES: [&str; 6] = [
    "queued",
    "leased",
    "suspect",
    "succeeded",
    "failed",
    "cancelled",
];

/// Makes them.
const SETUP: &str = "
    INSERT INTO sweep (id, digest, name, title, replicates, priority, sources, definition, submitted_at)
    VALUES (1, zeroblob(32), 's', '', 6, 0, '{}', '{}', 0);
    INSERT INTO cell (id, digest, spec) VALUES (1, zeroblob(32), '{}');
    INSERT INTO sweep_cell (sweep, position, cell, axes, replicates) VALUES (1, 0, 1, '[]', 6);
    INSERT INTO worker (id, name, state, session, seen_at, about)
    VALUES (1, 'w', 'active', 1, 0, '{}');
    WITH numbers (n) AS (VALUES (1), (2), (3), (4), (5), (6))
    INSERT INTO job (id, digest, cell, replicate, seed, state, not_before, granted_at)
    SELECT n, unhex(printf('%064x', n)), 1, n, 7, 'queued', 0, 0 FROM numbers;
    INSERT INTO sweep_counts (sweep, cells, queued) VALUES (1, 1, 6);
    INSERT INTO attempt (job, attempt, worker, session, granted_at)
    SELECT id, 1, 1, 1, 0 FROM job WHERE id BETWEEN 2 AND 5;
    UPDATE job SET state = 'leased', not_before = NULL, deadline = 9, attempt = 1, worker = 1,
                   session = 1, grants = 1, closed = false
    WHERE id BETWEEN 2 AND 5;
    OUTCOME (4, 1);
    UPDATE attempt SET ended = 'measured', ended_at = 1, provenance = 1 WHERE job = 4;
    UPDATE job SET state = 'suspect' WHERE id = 3;
    UPDATE job SET state = 'succeeded', deadline = NULL, closed = true, ended_at = 1 WHERE id = 4;
    UPDATE job SET state = 'failed', fault = 'diverged', deadline = NULL, closed = true, ended_at = 1
    WHERE id = 5;
    UPDATE job SET state = 'cancelled', not_before = NULL, ended_at = 1 WHERE id = 6;
";

/// The words in which a database refuses something, where all have the same.
type Why = &'static str;

/// The words of SQLite, and those of Postgres.
type Whys = (Why, Why);

/// One test per check, on the tables that `$make` makes: an `async fn() ->
/// Option<(impl Tables, impl Sized)>`, which returns none where there is no server.
#[macro_export]
macro_rules! schema_suite {
    ($make:path) => {
        $crate::schema_suite! { $make;
            a_job_in_each_state_is_allowed,
            a_succeeded_job_never_changes,
            other_ends_are_left_only_for_the_queue,
            other_ends_are_left_for_what_comes_after_the_queue,
            attempts_are_granted_one_after_the_other,
            outcomes_are_written_once_for_open_attempts,
            only_what_is_forgotten_goes,
            what_is_forgotten_is_followed_by_another_outcome,
            a_job_keeps_its_name_and_its_row,
            a_state_has_its_columns_and_no_others,
            names_digests_and_ranges_are_checked,
            old_requests_are_forgotten,
            indexes_ask_for_what_follows_from_the_state,
            only_a_sweep_that_is_being_deleted_goes,
            files_stay_as_they_are_with_their_sweep,
            credentials_stay_what_they_are,
        }
    };
    ($make:path; $($name:ident,)*) => {
        $(
            #[test]
            fn $name() {
                $crate::schema::run($make, async |tables| $crate::schema::$name(tables).await);
            }
        )*
    };
}

/// Runs a check on the tables that `make` makes, with a job in each state.
#[doc(hidden)]
pub fn run<T: Tables, G>(make: impl AsyncFn() -> Option<(T, G)>, check: impl AsyncFnOnce(&mut T)) {
    crate::runtime().block_on(async {
        if let Some((mut tables, _guard)) = make().await {
            done(&mut tables, T::OWN).await;
            done(&mut tables, SETUP).await;
            check(&mut tables).await;
        }
    });
}

/// Tests what only the tables that `make` makes refuse: each group of statements,
/// with a part of the reason.
pub fn refuses<T: Tables, G>(
    make: impl AsyncFn() -> Option<(T, G)>,
    statements: &[(&str, &'static str)],
) {
    run(make, async |tables| refused(tables, statements).await);
}

/// The statements, in which `OUTCOME (4, 1)` stands for the outcome of the first
/// attempt of the fourth job.
fn spelled<T: Tables>(sql: &str) -> String {
    let (columns, values) = T::MEASURED;
    let (first, rest) = sql.split_once("OUTCOME (").unwrap_or((sql, ""));
    match rest.split_once(')') {
        None => sql.to_owned(),
        Some((key, rest)) => format!(
            "{first} INSERT INTO outcome (job, attempt, {columns}, provenance, recorded_at)
             VALUES ({key}, {values}, 1, 0) {rest}"
        ),
    }
}

/// Carries out statements that are allowed.
async fn done<T: Tables>(on: &mut T, sql: &str) {
    if let Err(error) = on.run(&spelled::<T>(sql)).await {
        panic!("{sql}: {error}");
    }
}

/// Carries out each group of statements by itself, in a transaction; it must be
/// refused for this reason, and leaves nothing.
async fn refused<T: Tables>(on: &mut T, statements: &[(&str, Why)]) {
    for (sql, why) in statements {
        let sql = format!("BEGIN; {}; COMMIT", spelled::<T>(sql));
        let done = on.run(&sql).await;
        // Where the commit was refused, there is no transaction any more.
        let _over = on.run("ROLLBACK").await;
        match done {
            Ok(()) => panic!("{sql}: was not refused"),
            Err(error) => assert!(error.contains(why), "{sql}: {error}"),
        }
    }
}

/// The same, where each database has words of its own.
async fn refused_by_each<T: Tables>(on: &mut T, statements: &[(&str, Whys)]) {
    for (sql, (by_sqlite, by_postgres)) in statements {
        let why = if T::IS_SQLITE { by_sqlite } else { by_postgres };
        refused(on, &[(sql, why)]).await;
    }
}

pub async fn a_job_in_each_state_is_allowed(on: &mut impl Tables) {
    for (state, key) in STATES.into_iter().zip(1..) {
        let ask = format!("SELECT id FROM job WHERE state = '{state}'");
        assert_eq!(on.numbers(&ask).await, [key], "{state}");
    }
}

pub async fn a_succeeded_job_never_changes(on: &mut impl Tables) {
    let why = "a succeeded job never changes";
    let statements = [
        "UPDATE job SET state = 'queued', not_before = 0, ended_at = NULL WHERE id = 4",
        "UPDATE job SET state = 'failed', fault = 'lost' WHERE id = 4",
        "UPDATE job SET charged = 1 WHERE id = 4",
    ];
    refused(on, &statements.map(|sql| (sql, why))).await;
}

pub async fn other_ends_are_left_only_for_the_queue(on: &mut impl Tables) {
    let why = "can only be queued again";
    let statements = [
        (
            "UPDATE job SET state = 'succeeded', fault = NULL WHERE id = 5",
            ("a job", why),
        ),
        (
            "UPDATE job SET state = 'failed', fault = 'lost' WHERE id = 6",
            (why, why),
        ),
        (
            "UPDATE job SET state = 'leased', fault = NULL, ended_at = NULL, deadline = 1,
                            closed = false WHERE id = 5",
            (why, why),
        ),
    ];
    refused_by_each(on, &statements).await;
    let again = "UPDATE job SET state = 'queued', not_before = 0, ended_at = NULL, fault = NULL
                 WHERE id >= 5";
    done(on, again).await;
}

/// One commit may hold that a job was queued again, granted and ended.
pub async fn other_ends_are_left_for_what_comes_after_the_queue(on: &mut impl Tables) {
    let later = [
        "UPDATE job SET state = 'cancelled', fault = NULL WHERE id = 5",
        "INSERT INTO attempt (job, attempt, worker, session, granted_at)
         VALUES (5, 2, 1, 1, 0), (6, 1, 1, 1, 0), (6, 2, 1, 1, 0)",
        "OUTCOME (5, 2)",
        "UPDATE job SET state = 'succeeded', attempt = 2 WHERE id = 5",
        "UPDATE job SET state = 'failed', fault = 'lost', attempt = 2, worker = 1, session = 1
         WHERE id = 6",
    ];
    for sql in later {
        done(on, sql).await;
    }
}

/// A grant of attempts.
fn granted(values: &str) -> String {
    format!("INSERT INTO attempt (job, attempt, worker, session, granted_at) VALUES {values}")
}

pub async fn attempts_are_granted_one_after_the_other(on: &mut impl Tables) {
    let why = "the attempt of a job rises to one that was granted";
    let next = "attempts are granted one after the other";
    let statements = [
        (
            "UPDATE job SET attempt = 0, worker = NULL, session = NULL, grants = 0 WHERE id = 2",
            (why, why),
        ),
        ("UPDATE job SET attempt = 2 WHERE id = 2", (why, why)),
        (
            "UPDATE job SET attempt = 1, worker = 1, session = 1 WHERE id = 1",
            (why, why),
        ),
        (&granted("(2, 1, 1, 1, 0)"), (next, "attempt_pkey")),
        (&granted("(2, 3, 1, 1, 0)"), (next, next)),
        (&granted("(1, 2, 1, 1, 0)"), (next, next)),
        (
            &granted("(1, 0, 1, 1, 0)"),
            ("one after the other", "attempt_attempt_check"),
        ),
        (
            "DELETE FROM attempt WHERE job = 2",
            (
                "an attempt of a job that a sweep holds is never deleted",
                "an attempt of a job that a sweep holds is never deleted",
            ),
        ),
    ];
    refused_by_each(on, &statements).await;
    done(on, &granted("(1, 1, 1, 1, 0), (1, 2, 1, 1, 0)")).await;
    let granted = "UPDATE job SET attempt = 2, state = 'leased', not_before = NULL, deadline = 1,
                                  closed = false, worker = 1, session = 1 WHERE id = 1";
    done(on, granted).await;
}

pub async fn outcomes_are_written_once_for_open_attempts<T: Tables>(on: &mut T) {
    let open = "an outcome is of the newest attempt";
    let first = granted("(1, 1, 1, 1, 0), (1, 2, 1, 1, 0)");
    let not_newest = format!("{first}; OUTCOME (1, 1)");
    let ended = format!(
        "{first}; UPDATE attempt SET ended = 'released', ended_at = 1 WHERE job = 1 AND attempt = 2;
         OUTCOME (1, 2)"
    );
    let stranger = spelled::<T>("OUTCOME (2, 1)").replace(", 1, 0)", ", 99, 0)");
    let statements = [
        ("OUTCOME (4, 1)", (open, "outcome_pkey")),
        ("OUTCOME (5, 1)", (open, open)),
        ("OUTCOME (1, 1)", (open, open)),
        ("OUTCOME (2, 2)", (open, open)),
        (
            "UPDATE job SET state = 'queued', not_before = 0, deadline = NULL, closed = true
             WHERE id = 3;
             OUTCOME (3, 1)",
            (open, open),
        ),
        (&not_newest, (open, open)),
        (&ended, (open, open)),
        (&stranger, ("FOREIGN KEY", "no such provenance")),
    ];
    refused_by_each(on, &statements).await;
    let statements = [
        (
            "UPDATE outcome SET recorded_at = 5",
            "an outcome never changes",
        ),
        (
            "DELETE FROM outcome",
            "an outcome of a job that a sweep holds is never deleted",
        ),
        (
            "UPDATE job SET state = 'succeeded', deadline = NULL, closed = true, ended_at = 1
             WHERE id = 2",
            "succeeds with the outcome",
        ),
        (
            "UPDATE attempt SET message = 'x' WHERE job = 4",
            "is recorded once",
        ),
    ];
    refused(on, &statements).await;
}

/// A result goes, and its job with it to the queue, only where its attempt says
/// that it is forgotten.
pub async fn only_what_is_forgotten_goes(on: &mut impl Tables) {
    let forgotten = "UPDATE attempt SET forgotten_at = 5 WHERE job = 4";
    let again = granted("(4, 2, 1, 1, 0)");
    let once = "only a result is forgotten, and only once";
    let open = "an outcome is of the newest attempt";
    let changes = "a succeeded job never changes";
    let statements = [
        (
            "UPDATE attempt SET ended = 'released', ended_at = 1 WHERE job = 2;
             UPDATE attempt SET forgotten_at = 5 WHERE job = 2"
                .to_owned(),
            once,
        ),
        (format!("{forgotten}; {forgotten}"), once),
        (
            format!("{forgotten}; UPDATE job SET charged = 1 WHERE id = 4"),
            changes,
        ),
        (
            format!("{forgotten}; UPDATE job SET state = 'failed', fault = 'lost' WHERE id = 4"),
            changes,
        ),
        (
            format!("{forgotten}; DELETE FROM outcome WHERE job = 4; OUTCOME (4, 1)"),
            open,
        ),
        // That of another attempt is not forgotten with it.
        (
            format!("{again}; DELETE FROM outcome; OUTCOME (4, 2)"),
            "is never deleted",
        ),
        (
            "UPDATE attempt SET forgotten_at = 5 WHERE job = 2; OUTCOME (2, 1)".to_owned(),
            open,
        ),
    ];
    for (sql, why) in &statements {
        refused(on, &[(sql, why)]).await;
    }
    let queued = "UPDATE job SET state = 'queued', not_before = 0, ended_at = NULL";
    let waits = [
        forgotten,
        "DELETE FROM outcome WHERE job = 4",
        &format!("{queued} WHERE id = 4"),
        // What diverged has no numbers.
        "UPDATE attempt SET forgotten_at = 5 WHERE job = 5",
        &format!("{queued}, fault = NULL WHERE id = 5"),
    ];
    for sql in waits {
        done(on, sql).await;
    }
}

/// One commit may hold that an outcome was forgotten and the next one came.
pub async fn what_is_forgotten_is_followed_by_another_outcome(on: &mut impl Tables) {
    let later = [
        &granted("(4, 2, 1, 1, 0)"),
        "UPDATE attempt SET forgotten_at = 5 WHERE job = 4 AND attempt = 1",
        "DELETE FROM outcome WHERE job = 4",
        "OUTCOME (4, 2)",
        "UPDATE attempt SET ended = 'measured', ended_at = 2, provenance = 1
         WHERE job = 4 AND attempt = 2",
        "UPDATE job SET attempt = 2, ended_at = 2 WHERE id = 4",
    ];
    for sql in later {
        done(on, sql).await;
    }
    let outcomes = on
        .numbers("SELECT attempt FROM outcome WHERE job = 4")
        .await;
    assert_eq!(outcomes, [2]);
}

pub async fn a_job_keeps_its_name_and_its_row(on: &mut impl Tables) {
    let statements = [
        (
            "UPDATE job SET seed = 8 WHERE id = 1",
            "what a job computes never changes",
        ),
        (
            "UPDATE job SET digest = unhex(printf('%064x', 9)) WHERE id = 1",
            "what a job computes never changes",
        ),
        (
            "DELETE FROM job WHERE id = 1",
            "a job that a sweep holds is never deleted",
        ),
    ];
    refused(on, &statements).await;
}

pub async fn a_state_has_its_columns_and_no_others(on: &mut impl Tables) {
    let statements = [
        (
            "UPDATE job SET state = 'queued', not_before = 0, deadline = NULL, closed = true
             WHERE id = 3;
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
    ];
    refused(on, &statements).await;
    let statements = [
        (
            "UPDATE job SET charged = -1 WHERE id = 2",
            ("CHECK", "job_charged_check"),
        ),
        (
            "UPDATE job SET worker = 9 WHERE id = 2",
            ("FOREIGN KEY", "no such worker"),
        ),
        (
            "UPDATE job SET not_before = 'soon' WHERE id = 1",
            ("cannot store TEXT", "invalid input syntax"),
        ),
    ];
    refused_by_each(on, &statements).await;
}

pub async fn names_digests_and_ranges_are_checked(on: &mut impl Tables) {
    let job = |replicate: u32, seed: i64| {
        format!(
            "INSERT INTO job (id, digest, cell, replicate, seed, state, not_before, granted_at)
             VALUES (7, unhex(printf('%064x', 7)), 1, {replicate}, {seed}, 'queued', 0, 0)"
        )
    };
    let statements = [
        (
            "UPDATE sweep SET digest = zeroblob(31)",
            ("CHECK", "what a sweep is named by"),
        ),
        (
            "UPDATE sweep SET kind = 'play'",
            ("CHECK", "sweep_kind_check"),
        ),
        (
            "INSERT INTO event (seq, at, what) VALUES (0, 0, '{}')",
            ("CHECK", "event_seq_check"),
        ),
        (
            "UPDATE worker SET state = 'asleep'",
            ("CHECK", "worker_state_check"),
        ),
        (
            "UPDATE worker SET session = 0",
            ("CHECK", "worker_session_check"),
        ),
        (
            "INSERT INTO cell (id, digest, spec) VALUES (2, zeroblob(31), '{}')",
            ("CHECK", "cell_digest_check"),
        ),
        (
            "INSERT INTO cell (id, digest, spec) VALUES (2, zeroblob(32), '{}')",
            ("UNIQUE", "cell_digest_key"),
        ),
        (&job(1, 7), ("UNIQUE", "job_cell_replicate_key")),
        (&job(9, 9_007_199_254_740_992), ("CHECK", "job_seed_check")),
    ];
    refused_by_each(on, &statements).await;
    let statements = [
        ("UPDATE sweep SET cause = 'x'", "only_a_pause_has_a_reason"),
        (
            "UPDATE worker SET cause = 'x'",
            "an_active_worker_needs_no_reason",
        ),
        (
            "UPDATE attempt SET ended = 'lost', ended_at = 1 WHERE job = 2",
            "an_outcome_has_a_provenance",
        ),
        (
            "UPDATE attempt SET ended_at = 1 WHERE job = 2",
            "an_end_has_a_time",
        ),
    ];
    refused(on, &statements).await;
}
