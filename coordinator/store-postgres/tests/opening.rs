//! Who may open which database, and what the others are told.

mod support;

use sqlx::raw_sql;
use swath_store::{Store, StoreError};
use swath_store_postgres::{Options, PostgresStore};

use support::Database;

/// The message for somebody who could not open `url`: it must name the
/// database, but no password.
async fn complaint(url: &str) -> String {
    let error = PostgresStore::open(url, Options::default()).await;
    let error = error.expect_err("it cannot be opened");
    let text = match &error {
        StoreError::Failed {
            source: Some(source),
            ..
        } => format!("{error}: {source}"),
        _ => error.to_string(),
    };
    assert!(!text.contains("secret"), "{text}");
    text
}

#[tokio::test]
async fn a_database_that_cannot_be_reached_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let text = complaint(&format!("postgres://me:secret@127.0.0.1:{port}/swath")).await;
    assert!(
        text.contains(&format!("`swath` at 127.0.0.1:{port}")),
        "{text}"
    );
    assert!(text.contains("is it running"), "{text}");
}

#[tokio::test]
async fn a_database_that_is_not_there_can_be_made() {
    let Some(database) = Database::new().await else {
        return;
    };
    let url = database.url.replace("swath_test_", "swath_none_");
    let text = complaint(&url).await;
    assert!(text.contains("createdb"), "{text}");
}

#[tokio::test]
async fn a_wrong_password_is_told_as_such() {
    let Some(database) = Database::new().await else {
        return;
    };
    let mut conn = database.connect().await;
    let ask = "SELECT current_setting('port'), current_user::text, current_database()::text";
    let (port, user, name): (String, String, String) =
        sqlx::query_as(ask).fetch_one(&mut conn).await.unwrap();
    let url = format!("postgres://{user}:secret@127.0.0.1:{port}/{name}");
    if PostgresStore::open(&url, Options::default()).await.is_ok() {
        // A server that trusts everybody asks for no password.
        return;
    }
    let text = complaint(&url).await;
    assert!(
        text.contains("password is wrong") || text.contains("is it running"),
        "{text}"
    );
}

#[tokio::test]
async fn a_database_of_another_program_is_left_alone() {
    let Some(database) = Database::new().await else {
        return;
    };
    let mut conn = database.connect().await;
    raw_sql("CREATE TABLE theirs (x integer)")
        .execute(&mut conn)
        .await
        .unwrap();
    let text = complaint(&database.url).await;
    assert!(text.contains("another program"), "{text}");
    let tables: i64 =
        sqlx::query_scalar("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
            .fetch_one(&mut conn)
            .await
            .unwrap();
    assert_eq!(tables, 1);
}

#[tokio::test]
async fn a_database_with_other_texts_is_refused() {
    let Some(database) = Database::new().await else {
        return;
    };
    let mut conn = database.connect().await;
    let name = format!("{}_latin", database.name());
    let make = format!("CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
    raw_sql(sqlx::AssertSqlSafe(make))
        .execute(&mut conn)
        .await
        .unwrap();
    let text = complaint(&database.url.replace(database.name(), &name)).await;
    assert!(text.contains("LATIN1") && text.contains("UTF8"), "{text}");
    let drop = format!("DROP DATABASE {name} WITH (FORCE)");
    raw_sql(sqlx::AssertSqlSafe(drop))
        .execute(&mut conn)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_newer_schema_is_refused_with_the_versions() {
    let Some(database) = Database::new().await else {
        return;
    };
    database.store().await.close().await.unwrap();
    let newer =
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9999, 'from the future', true, '', 0)";
    raw_sql(newer)
        .execute(&mut database.connect().await)
        .await
        .unwrap();
    let text = complaint(&database.url).await;
    assert!(text.contains("version 9999"), "{text}");
    assert!(text.contains("versions up to "), "{text}");
}

#[tokio::test]
async fn an_older_schema_stays_while_it_is_led() {
    let Some(database) = Database::new().await else {
        return;
    };
    let store = database.store().await;
    store.lead("old:7070").await.unwrap();
    let mut conn = database.connect().await;
    // As if this build had one migration more than the database.
    let older = "DELETE FROM _sqlx_migrations
                 WHERE version = (SELECT max(version) FROM _sqlx_migrations)";
    raw_sql(older).execute(&mut conn).await.unwrap();
    let error = PostgresStore::open(&database.url, Options::default()).await;
    let error = error.err().unwrap();
    assert!(matches!(&error, StoreError::InUse(_)), "{error:?}");
    assert!(error.to_string().contains("old:7070"), "{error}");
}

#[tokio::test]
async fn several_that_start_at_once_make_one_schema() {
    let Some(database) = Database::new().await else {
        return;
    };
    let opening = (0..4).map(|_| {
        let url = database.url.clone();
        tokio::spawn(async move { PostgresStore::open(&url, Options::default()).await })
    });
    for opening in opening.collect::<Vec<_>>() {
        opening.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_store_that_is_closed_says_so() {
    let Some(database) = Database::new().await else {
        return;
    };
    let store = database.store().await;
    store.close().await.unwrap();
    assert!(store.sweeps().await.is_err());
    assert!(store.lead("here").await.is_err());
    // Another database is not affected.
    database.store().await.lead("here").await.unwrap();
}
