//! What is kept beside jobs and their attempts.

use super::{Tables, done, refused, refused_by_each};

pub async fn old_requests_are_forgotten(on: &mut impl Tables) {
    let requests: Vec<String> = (1..=20).map(|it| format!("(1, 1, {it}, '[]')")).collect();
    let insert = "INSERT INTO grant_request (worker, session, request, grants) VALUES";
    done(on, &format!("{insert} {}", requests.join(", "))).await;
    let kept = "SELECT request FROM grant_request ORDER BY request";
    assert_eq!(on.numbers(kept).await, (5..=20).collect::<Vec<i64>>());
    // Those of an older session, whatever comes first.
    let newer = format!(
        "UPDATE worker SET session = 2; {insert} (1, 2, 1, '[]'), (1, 1, 21, '[]'), (1, 2, 2, '[]')"
    );
    done(on, &newer).await;
    assert_eq!(on.numbers(kept).await, [1, 2]);
}

/// Whatever an index leaves out follows from the state, so that a query may ask
/// for either.
pub async fn indexes_ask_for_what_follows_from_the_state(on: &mut impl Tables) {
    let odd = "SELECT count(*) FROM job
               WHERE (ended_at IS NULL) <> (state IN ('queued', 'leased', 'suspect'))
                  OR (fault IS NOT NULL) <> (state = 'failed')";
    assert_eq!(on.numbers(odd).await, [0]);
}

pub async fn only_a_sweep_that_is_being_deleted_goes<T: Tables>(on: &mut T) {
    let statements = [
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
    ];
    refused(on, &statements).await;
    done(on, "UPDATE sweep SET label = '{\"deleting\":true}'").await;
    // What refers to a row goes before the row.
    for table in ["job", "cell", "sweep_cell", "job"] {
        let gone = on.run(&format!("DELETE FROM {table}")).await;
        assert_eq!(gone.is_ok(), table == "sweep_cell", "{table} {gone:?}");
    }
    let order = ["outcome", "attempt", "job", "cell", "sweep_counts", "sweep"];
    for table in order {
        done(on, &format!("DELETE FROM {table}")).await;
    }
}

/// A file of two pieces that travels with the sweep, and one that does not.
const FILES: &str = "
    INSERT INTO input (id, digest, bytes, kept_at)
    VALUES (1, zeroblob(32), 1048577, 0), (2, unhex(printf('%064x', 1)), 0, 0);
    INSERT INTO input_piece (input, place, content) VALUES (1, 1, zeroblob(1048576));
    INSERT INTO input_piece (input, place, content) VALUES (1, 2, zeroblob(1));
    INSERT INTO sweep_input (sweep, input) VALUES (1, 1);
";

pub async fn files_stay_as_they_are_with_their_sweep(on: &mut impl Tables) {
    done(on, FILES).await;
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
            "INSERT INTO input (id, digest, bytes, kept_at)
             VALUES (3, unhex(printf('%064x', 3)), 67108865, 0)",
            "bytes",
        ),
        ("DELETE FROM input_piece", "is never deleted"),
        ("DELETE FROM sweep_input", "being deleted loses files"),
    ];
    refused(on, &statements).await;
    done(on, "DELETE FROM input WHERE id = 2").await;
    done(on, "UPDATE sweep SET label = '{\"deleting\":true}'").await;
    for table in ["sweep_input", "input_piece", "input"] {
        done(on, &format!("DELETE FROM {table}")).await;
    }
}

pub async fn credentials_stay_what_they_are(on: &mut impl Tables) {
    done(
        on,
        "INSERT INTO credential (id, role, holder, secret, uses_left, created_at, created_by)
         VALUES (1, 'worker', '', zeroblob(32), 3, 0, 'anna');
         INSERT INTO credential (id, role, holder, created_at, created_by, revoked_at)
         VALUES (2, 'worker', 'gpu1', 0, 'anna', 5);
         UPDATE credential SET uses_left = 2, revoked_at = 7 WHERE id = 1;
         UPDATE credential SET created_at = 6, revoked_at = 9 WHERE id = 2",
    )
    .await;
    let stays = "a credential stays what it is";
    let revoked = "what was revoked stays revoked";
    refused(
        on,
        &[
            ("UPDATE credential SET role = 'admin' WHERE id = 1", stays),
            ("UPDATE credential SET holder = 'gpu2' WHERE id = 2", stays),
            ("UPDATE credential SET secret = NULL WHERE id = 1", stays),
            ("UPDATE credential SET created_at = 1 WHERE id = 1", stays),
            (
                "UPDATE credential SET revoked_at = NULL WHERE id = 1",
                revoked,
            ),
            (
                "UPDATE credential SET revoked_at = NULL WHERE id = 2",
                revoked,
            ),
            ("UPDATE credential SET revoked_at = 8 WHERE id = 1", revoked),
            (
                "UPDATE credential SET uses_left = 3 WHERE id = 1",
                "a token never gets more uses",
            ),
            (
                "DELETE FROM credential WHERE id = 1",
                "a credential is revoked, not deleted",
            ),
        ],
    )
    .await;
    let check = ("CHECK", "check");
    refused_by_each(
        on,
        &[
            (
                "INSERT INTO credential (id, role, holder, created_at, created_by)
                 VALUES (3, 'admin', 'anna', 0, '')",
                check,
            ),
            (
                "INSERT INTO credential (id, role, holder, secret, created_at, created_by)
                 VALUES (3, 'root', 'anna', zeroblob(32), 0, '')",
                check,
            ),
            (
                "INSERT INTO credential (id, role, holder, secret, created_at, created_by)
                 VALUES (3, 'admin', 'anna', zeroblob(31), 0, '')",
                check,
            ),
        ],
    )
    .await;
}
