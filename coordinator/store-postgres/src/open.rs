//! Opening a database: whether it can be reached, is ours, and has a schema
//! that this build knows.

use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection, PgConnection, PgPool, raw_sql};
use swath_store::{Result, StoreError};

use crate::address::Address;
use crate::error::{failed, sql_state, state, told};
use crate::text;

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/postgres");

/// The oldest version of Postgres that is tested.
const OLDEST_SERVER: u32 = 14;
/// How long a server may keep a new connection waiting.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a call waits for a connection of the pool.
const ACQUIRE: Duration = Duration::from_secs(30);
/// "Swth": the number of the lock under which the schema is changed.
const SCHEMA_LOCK: i64 = 1_400_337_512;

/// The greatest version of a schema that this build knows.
pub(crate) fn newest() -> i64 {
    let versions = MIGRATIONS.iter().map(|step| step.version);
    versions.max().unwrap_or(0)
}

/// Makes sure that the database exists and is fit, and brings its schema up to
/// date.
pub(crate) async fn prepare(address: &Address) -> Result<()> {
    let connecting = PgConnection::connect_with(&address.options);
    let mut conn = match tokio::time::timeout(CONNECT, connecting).await {
        Ok(Ok(conn)) => conn,
        Ok(Err(error)) => return Err(unreachable(address, error)),
        Err(_late) => {
            return Err(told(format!(
                "cannot open the database {}: no answer within {} s; is that host right, and does \
                 a firewall block it?",
                address.place,
                CONNECT.as_secs()
            )));
        }
    };
    check_server(&mut conn, address).await?;
    migrate(&mut conn, address).await?;
    if let Err(error) = conn.close().await {
        tracing::debug!(%error, "a connection did not end cleanly");
    }
    Ok(())
}

/// The pool of connections for work; none is open yet.
pub(crate) fn pool(address: &Address, connections: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE)
        // A lost connection is noticed by its first statement.
        .test_before_acquire(false)
        .connect_lazy_with(address.options.clone())
}

fn unreachable(address: &Address, error: sqlx::Error) -> StoreError {
    let place = &address.place;
    let remedy = match (&error, sql_state(&error).as_deref()) {
        // A handshake that fails, or a certificate that cannot be read.
        (sqlx::Error::Io(cause), _) if is_about_tls(address, cause) => INSECURE,
        (sqlx::Error::Io(_), _) => {
            "no server answers there; is it running, and are host and port right?"
        }
        (sqlx::Error::Tls(_), _) => INSECURE,
        (_, Some(state::BAD_PASSWORD)) => {
            "the user or the password is wrong; both are part of its address; the password may \
             also be in PGPASSWORD or ~/.pgpass"
        }
        (_, Some(state::BAD_ROLE)) => {
            "the server does not let this user in; see its pg_hba.conf, and the user in the address"
        }
        (_, Some(state::NO_SUCH_DATABASE)) => {
            "there is no such database; make it with `createdb`, or name another"
        }
        (_, Some(state::TOO_MANY_CONNECTIONS)) => {
            "the server takes no more connections; raise its max_connections, or end some"
        }
        (_, Some(state::STARTING)) => "the server is starting or ending; try again",
        (_, Some(state::DENIED)) => "this user may not connect to it; grant it the right to",
        _ => "see the cause",
    };
    failed(format!("cannot open the database {place}: {remedy}"), error)
}

const INSECURE: &str =
    "no secure connection can be made; see `sslmode` and `sslrootcert` in its address";

fn is_about_tls(address: &Address, cause: &std::io::Error) -> bool {
    let over_socket = address.options.get_socket().is_some();
    match cause.kind() {
        std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput => true,
        std::io::ErrorKind::NotFound => !over_socket,
        _ => false,
    }
}

fn refused(address: &Address, problem: &str) -> StoreError {
    told(format!(
        "cannot open the database {}: {problem}",
        address.place
    ))
}

async fn check_server(conn: &mut PgConnection, address: &Address) -> Result<()> {
    let unreadable = |error| unreachable(address, error);
    let version: i32 = sqlx::query_scalar("SELECT current_setting('server_version_num')::integer")
        .persistent(false)
        .fetch_one(&mut *conn)
        .await
        .map_err(unreadable)?;
    let version = version.unsigned_abs() / 10_000;
    if version < OLDEST_SERVER {
        let problem = format!(
            "its server is Postgres {version}, and Swath needs {OLDEST_SERVER} or newer; upgrade it"
        );
        return Err(refused(address, &problem));
    }
    let encoding: String = sqlx::query_scalar("SELECT current_setting('server_encoding')")
        .persistent(false)
        .fetch_one(conn)
        .await
        .map_err(unreadable)?;
    if encoding != "UTF8" {
        let problem = format!(
            "its text encoding is {encoding}; make one with \
             `createdb --encoding=UTF8 --template=template0 --locale=C NAME`"
        );
        return Err(refused(address, &problem));
    }
    Ok(())
}

/// Brings the schema up to date in one transaction, under a lock that ends with
/// it: of two that start at once, the second finds everything done.
async fn migrate(conn: &mut PgConnection, address: &Address) -> Result<()> {
    let failing = |error| failed(cannot_migrate(address), error);
    let mut tx = conn.begin().await.map_err(failing)?;
    let lock = format!("SELECT pg_advisory_xact_lock({SCHEMA_LOCK})");
    raw_sql(sqlx::AssertSqlSafe(lock))
        .execute(&mut *tx)
        .await
        .map_err(failing)?;
    let version = found(&mut tx, address).await?;
    let newest = newest();
    if version > newest {
        let problem = format!(
            "its schema has version {version}, and this build knows versions up to {newest}; use \
             the build that wrote it, or a newer one"
        );
        return Err(refused(address, &problem));
    }
    if version > 0 && version < newest {
        check_unled(&mut tx, address).await?;
    }
    apply(&mut tx, address).await?;
    tx.commit().await.map_err(failing)
}

/// Runs the migrations that were not run yet. This is done by hand, because
/// sqlx's own way would prepare statements, and would lock for longer than a
/// transaction.
async fn apply(conn: &mut PgConnection, address: &Address) -> Result<()> {
    let failing = |error| failed(cannot_migrate(address), error);
    raw_sql(
        "CREATE TABLE IF NOT EXISTS _sqlx_migrations (
             version bigint PRIMARY KEY, description text NOT NULL,
             installed_on timestamptz NOT NULL DEFAULT now(), success boolean NOT NULL,
             checksum bytea NOT NULL, execution_time bigint NOT NULL)",
    )
    .execute(&mut *conn)
    .await
    .map_err(failing)?;
    let taken: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT version, checksum FROM _sqlx_migrations")
            .persistent(false)
            .fetch_all(&mut *conn)
            .await
            .map_err(failing)?;
    for step in MIGRATIONS.iter() {
        match taken.iter().find(|(version, _)| *version == step.version) {
            Some((_, checksum)) if checksum[..] == step.checksum[..] => continue,
            Some((version, _)) => {
                let problem = format!(
                    "step {version} of its schema is not the one of this build; use the build \
                     that wrote it"
                );
                return Err(refused(address, &problem));
            }
            None => {}
        }
        raw_sql(step.sql.clone())
            .execute(&mut *conn)
            .await
            .map_err(failing)?;
        sqlx::query(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES ($1, $2, true, $3, 0)",
        )
        .persistent(false)
        .bind(step.version)
        .bind(&*step.description)
        .bind(&*step.checksum)
        .execute(&mut *conn)
        .await
        .map_err(failing)?;
    }
    Ok(())
}

fn cannot_migrate(address: &Address) -> String {
    format!(
        "cannot bring the database {} to the newest schema; its user must own the database, or \
         its schema `public`",
        address.place
    )
}

/// The version of the schema in the database; 0 if there is none.
async fn found(conn: &mut PgConnection, address: &Address) -> Result<i64> {
    let failing = |error| unreachable(address, error);
    let ask = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL
                   AND to_regclass('sweep_cell') IS NOT NULL,
               EXISTS (SELECT 1 FROM pg_class
                       WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'v'))";
    let (ours, any): (bool, bool) = sqlx::query_as(ask)
        .persistent(false)
        .fetch_one(&mut *conn)
        .await
        .map_err(failing)?;
    if !ours && any {
        let problem = "it holds the tables of another program; make one of its own with \
                       `createdb`, or name another";
        return Err(refused(address, problem));
    }
    if !ours {
        return Ok(0);
    }
    sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations")
        .persistent(false)
        .fetch_one(conn)
        .await
        .map_err(failing)
}

/// Checks that no older build leads while the schema changes. A coordinator
/// that would begin to lead has to wait until it has changed, and then looks at
/// its version.
async fn check_unled(conn: &mut PgConnection, address: &Address) -> Result<()> {
    let failing = |error| unreachable(address, error);
    let has_leader: bool = sqlx::query_scalar("SELECT to_regclass('leader') IS NOT NULL")
        .persistent(false)
        .fetch_one(&mut *conn)
        .await
        .map_err(failing)?;
    if !has_leader {
        return Ok(());
    }
    let ask = "SELECT holder, until > clock_timestamp() FROM leader FOR UPDATE";
    let (holder, leads): (String, bool) = sqlx::query_as(ask)
        .persistent(false)
        .fetch_one(conn)
        .await
        .map_err(failing)?;
    if !leads {
        return Ok(());
    }
    Err(StoreError::InUse(format!(
        "the database {} is led by the coordinator at {}, which is of an older build; end that one \
         before this build changes the schema",
        address.place,
        text::told(holder)
    )))
}
