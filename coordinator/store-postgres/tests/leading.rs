//! One coordinator writes at a time, whatever happens to the others.

mod support;

use std::time::Duration;

use sqlx::{PgConnection, raw_sql};
use swath_model::id::CellDigest;
use swath_model::needs::Needs;
use swath_model::probe::WorkloadKey;
use swath_store::{CellKey, Changes, NewCell, Store, StoreError, Term};

use support::Database;

/// Something to write.
fn cell(key: i64) -> Changes {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&key.to_be_bytes());
    Changes {
        cells: vec![NewCell {
            key: CellKey(key),
            digest: CellDigest::from_bytes(digest),
            spec: "{}".to_owned(),
            needs: Needs::default(),
            workload: WorkloadKey([0; 16]),
        }],
        ..Changes::default()
    }
}

async fn cells(conn: &mut PgConnection) -> Vec<i64> {
    sqlx::query_scalar("SELECT id FROM cell ORDER BY id")
        .fetch_all(conn)
        .await
        .unwrap()
}

/// As if the leader had been silent for long enough.
async fn silence(conn: &mut PgConnection) {
    let silence = "UPDATE leader SET until = clock_timestamp() - interval '1 millisecond'";
    raw_sql(silence).execute(conn).await.unwrap();
}

fn in_use(error: &StoreError) -> &str {
    match error {
        StoreError::InUse(message) => message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn one_leads_until_it_is_not_heard_of() {
    let Some(database) = Database::new().await else {
        return;
    };
    let mut conn = database.connect().await;
    let (one, two) = (database.store().await, database.store().await);
    assert_eq!(one.leader().await.unwrap(), None);
    let term = one.lead("one:7070").await.unwrap();
    assert_eq!(two.leader().await.unwrap().as_deref(), Some("one:7070"));
    let error = two.lead("two:7070").await.unwrap_err();
    assert!(in_use(&error).contains("one:7070"), "{error}");
    assert!(in_use(&error).contains("6 s"), "{error}");
    // A leader may begin again, under another term.
    let again = one.lead("one:7070").await.unwrap();
    assert_eq!(again, Term(term.0 + 1));
    in_use(&one.commit(term, cell(1)).await.unwrap_err());
    one.commit(again, cell(2)).await.unwrap();

    silence(&mut conn).await;
    assert_eq!(two.leader().await.unwrap(), None);
    let next = two.lead("two:7070").await.unwrap();
    assert!(next > again);
    let error = one.commit(again, cell(3)).await.unwrap_err();
    assert!(in_use(&error).contains("two:7070"), "{error}");
    let error = one.renew(again).await.unwrap_err();
    assert!(in_use(&error).contains("two:7070"), "{error}");
    two.commit(next, cell(4)).await.unwrap();
    assert_eq!(cells(&mut conn).await, [2, 4]);
}

#[tokio::test]
async fn a_leader_that_is_late_leads_on_while_nobody_else_does() {
    let Some(database) = Database::new().await else {
        return;
    };
    let mut conn = database.connect().await;
    let store = database.store().await;
    let term = store.lead("here").await.unwrap();
    silence(&mut conn).await;
    store.renew(term).await.unwrap();
    assert_eq!(store.leader().await.unwrap().as_deref(), Some("here"));
    // A commit counts as a sign of life of the leader.
    silence(&mut conn).await;
    store.commit(term, cell(1)).await.unwrap();
    assert_eq!(store.leader().await.unwrap().as_deref(), Some("here"));
}

#[tokio::test]
async fn a_leader_that_ends_lets_another_one_lead_at_once() {
    let Some(database) = Database::new().await else {
        return;
    };
    let (one, two) = (database.store().await, database.store().await);
    one.lead("one").await.unwrap();
    one.close().await.unwrap();
    two.lead("two").await.unwrap();
    assert!(one.commit(Term(1), cell(1)).await.is_err());
}

/// A commit that is under way when another coordinator would take over is over
/// before the takeover, or leaves nothing.
#[tokio::test]
async fn nobody_takes_over_in_the_middle_of_a_commit() {
    let Some(database) = Database::new().await else {
        return;
    };
    let mut conn = database.connect().await;
    let mut holder = database.connect().await;
    let (one, two) = (database.store().await, database.store().await);
    let term = one.lead("one").await.unwrap();
    silence(&mut conn).await;
    // Nothing can be written to cells for as long as this holds them.
    raw_sql("BEGIN; LOCK TABLE cell")
        .execute(&mut holder)
        .await
        .unwrap();
    let committing = tokio::spawn({
        let one = one.clone();
        async move { one.commit(term, cell(1)).await }
    });
    waiting(&mut conn, 1).await;
    let taking = tokio::spawn({
        let two = two.clone();
        async move { two.lead("two").await }
    });
    // It waits although the leader has been silent for long.
    waiting(&mut conn, 2).await;
    raw_sql("COMMIT").execute(&mut holder).await.unwrap();
    committing.await.unwrap().unwrap();
    // By then the commit has counted as a sign of life.
    let error = taking.await.unwrap().unwrap_err();
    assert!(in_use(&error).contains("one"), "{error}");
    assert_eq!(cells(&mut conn).await, [1]);
}

/// Waits until so many sessions wait for a lock.
async fn waiting(conn: &mut PgConnection, sessions: i64) {
    for _ in 0..1000 {
        let count: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .fetch_one(&mut *conn)
        .await
        .unwrap();
        if count >= sessions {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("nobody waits");
}

/// A paused leader: its transaction is open, and nothing more comes from it.
#[tokio::test]
async fn a_leader_that_hangs_in_a_commit_writes_nothing() {
    let Some(database) = Database::new().await else {
        return;
    };
    let mut conn = database.connect().await;
    let mut hung = database.connect().await;
    let (one, two) = (database.store().await, database.store().await);
    let term = one.lead("one").await.unwrap();
    // As the store begins a commit, word for word except for a shorter timeout.
    let begin = format!(
        "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '300ms';
         SELECT FROM leader WHERE term = {} FOR UPDATE;
         INSERT INTO cell (id, digest, spec) VALUES (9, sha256('9'), '{{}}')",
        term.0
    );
    raw_sql(sqlx::AssertSqlSafe(begin))
        .execute(&mut hung)
        .await
        .unwrap();
    // The leader is silent now, but what it has locked cannot be changed
    // meanwhile.
    let taking = tokio::spawn({
        let two = two.clone();
        async move {
            loop {
                match two.lead("two").await {
                    Ok(term) => return term,
                    Err(error) => in_use(&error),
                };
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    });
    let next = tokio::time::timeout(Duration::from_secs(30), taking);
    let next = next.await.expect("it is not kept waiting").unwrap();
    assert!(raw_sql("COMMIT").execute(&mut hung).await.is_err());
    two.commit(next, cell(1)).await.unwrap();
    in_use(&one.commit(term, cell(2)).await.unwrap_err());
    assert_eq!(cells(&mut conn).await, [1]);
}

/// Connections may end at any time; what was acknowledged exists, once, and
/// nothing else does.
#[tokio::test]
async fn acknowledged_commits_survive_lost_connections() {
    let Some(database) = Database::new().await else {
        return;
    };
    let store = database.store().await;
    let term = store.lead("here").await.unwrap();
    let mut killer = database.connect().await;
    let killing = tokio::spawn(async move {
        for _ in 0..40 {
            let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                        WHERE datname = current_database() AND pid <> pg_backend_pid()";
            raw_sql(kill).execute(&mut killer).await.unwrap();
            tokio::time::sleep(Duration::from_millis(7)).await;
        }
    });
    let (mut kept, mut unknown) = (Vec::new(), Vec::new());
    let mut key = 0;
    while !killing.is_finished() {
        key += 1;
        match store.commit(term, cell(key)).await {
            Ok(()) => kept.push(key),
            Err(StoreError::Failed { .. }) => unknown.push(key),
            Err(other) => panic!("{other}"),
        }
    }
    killing.await.unwrap();
    store.renew(term).await.unwrap();
    let there = cells(&mut database.connect().await).await;
    assert!(!kept.is_empty());
    for key in &kept {
        assert!(there.contains(key), "{key} of {there:?}");
    }
    assert!(
        there
            .iter()
            .all(|key| kept.contains(key) || unknown.contains(key))
    );
}

/// A caller that goes away at any moment leaves no connection inside a
/// transaction: what the next caller is told was kept is kept.
#[tokio::test]
async fn callers_that_go_away_take_nothing_with_them() {
    let Some(database) = Database::new().await else {
        return;
    };
    let store = database.store().await;
    let term = store.lead("here").await.unwrap();
    let mut conn = database.connect().await;
    for round in 0..60_u64 {
        let key = round as i64 * 10;
        let limit = Duration::from_micros(round * 250);
        let _gone = tokio::time::timeout(limit, store.commit(term, cell(key + 1))).await;
        let _gone = tokio::time::timeout(limit, store.sweeps()).await;
        let _gone = tokio::time::timeout(limit, store.renew(term)).await;
        let canary = key + 2;
        store.commit(term, cell(canary)).await.unwrap();
        assert!(cells(&mut conn).await.contains(&canary), "round {round}");
    }
    let ask = "SELECT count(*) FROM pg_stat_activity
               WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    let open: i64 = sqlx::query_scalar(ask).fetch_one(&mut conn).await.unwrap();
    assert_eq!(open, 0);
}

#[tokio::test]
async fn a_build_that_is_too_old_cannot_lead_any_more() {
    let Some(database) = Database::new().await else {
        return;
    };
    let store = database.store().await;
    let newer =
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9999, 'from the future', true, '', 0)";
    raw_sql(newer)
        .execute(&mut database.connect().await)
        .await
        .unwrap();
    let error = store.lead("here").await.unwrap_err();
    assert!(error.to_string().contains("version 9999"), "{error}");
    assert_eq!(store.leader().await.unwrap(), None);
}
