//! One connection inside one transaction.
//!
//! Everything happens in transactions: behind a pooler of transactions a
//! session remembers nothing, so nothing is kept in it. Transactions are begun
//! and ended only here and in tasks that nobody can cancel, because sqlx leaves
//! a connection inside a transaction when the future that begins it is dropped.

use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{
    PgArguments, PgConnection, PgCopyIn, PgQueryResult, PgRow, PgStatement, PgTypeInfo,
};
use sqlx::{
    AssertSqlSafe, Describe, Either, Execute, Executor, PgPool, Postgres, SqlSafeStr, SqlStr,
    raw_sql,
};

use crate::error::{Failure, Result};

/// How long a statement may take before its connection is given up.
const ANSWER: Duration = Duration::from_mins(1);

/// A transaction that was left open would swallow everything that follows. (A
/// ROLLBACK alone would fill the server's log with warnings.)
const CLEAN: &str = "BEGIN; ROLLBACK;";

/// A reader sees one state of the database, that at its first statement. A
/// statement is planned once, because its parameters hardly affect the best
/// plan.
const BEGIN_READING: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
     SET LOCAL statement_timeout = '55s';
     SET LOCAL idle_in_transaction_session_timeout = '60s';
     SET LOCAL plan_cache_mode = force_generic_plan;
     SET LOCAL jit = off";

/// What the engine loads, it finds by keys: see [`crate::leader::BEGIN_WRITING`].
const BY_KEYS: &str = "SET LOCAL enable_seqscan = off;
     SET LOCAL enable_hashjoin = off;
     SET LOCAL enable_mergejoin = off;
     SET LOCAL max_parallel_workers_per_gather = 0";

/// What a reader is after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// What the engine loads before it decides.
    ByKeys,
    /// What people ask for.
    Any,
}

/// How many connections of a pool may turn out to be gone, one after the other.
const GONE: u32 = 32;

/// A connection, taken from the pool for one transaction or for many.
pub(crate) struct Session {
    conn: PoolConnection<Postgres>,
    /// Whether statements are prepared once and kept.
    persistent: bool,
    /// Whether its commits must explicitly be made durable.
    pub(crate) careless: bool,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

impl Session {
    /// Takes a connection that is inside no transaction.
    pub(crate) async fn take(pool: &PgPool, pooled: bool) -> Result<Self> {
        Self::begun(pool, pooled, "").await
    }

    /// Takes a connection and begins a transaction on it.
    pub(crate) async fn begun(pool: &PgPool, pooled: bool, begin: &str) -> Result<Self> {
        let begin = format!("{CLEAN} {begin}");
        let mut gone = 0;
        loop {
            let mut session = Self {
                conn: pool.acquire().await?,
                persistent: !pooled,
                careless: false,
            };
            let Err(failure) = session.run(AssertSqlSafe(begin.clone())).await else {
                return Ok(session);
            };
            session.cut();
            gone += 1;
            if gone > GONE {
                return Err(failure);
            }
        }
    }

    /// Runs statements that return nothing.
    pub(crate) async fn run(&mut self, statements: impl SqlSafeStr) -> Result<()> {
        in_time(raw_sql(statements).execute(&mut *self.conn)).await?;
        Ok(())
    }

    /// Begins to copy rows, in the binary format, into a table that is named with
    /// its columns.
    pub(crate) async fn copy_in(&mut self, columns: &str) -> Result<PgCopyIn<&mut PgConnection>> {
        let statement = format!("COPY {columns} FROM STDIN (FORMAT binary)");
        in_time(self.conn.copy_in_raw(&statement)).await
    }

    /// Whether any of the statements returns a row.
    pub(crate) async fn any(&mut self, statements: String) -> Result<bool> {
        let statements = raw_sql(AssertSqlSafe(statements));
        let rows = in_time(statements.fetch_all(&mut *self.conn)).await?;
        Ok(!rows.is_empty())
    }

    /// Ends the transaction without keeping anything; returns whether the
    /// connection can be used again.
    pub(crate) async fn undo(&mut self) -> bool {
        self.run("ROLLBACK").await.is_ok()
    }

    /// Cuts the connection: the server undoes whatever was under way.
    pub(crate) fn cut(self) {
        drop(self.conn.detach());
    }
}

/// The result of `asking`, if it comes in time.
pub(crate) async fn in_time<T>(
    asking: impl Future<Output = std::result::Result<T, sqlx::Error>>,
) -> Result<T> {
    match tokio::time::timeout(ANSWER, asking).await {
        Ok(answer) => Ok(answer?),
        Err(_late) => Err(Failure::Late),
    }
}

/// Runs `work` on one state of the database, in a task of its own: a reader
/// that goes away must not leave a connection inside a transaction.
pub(crate) async fn read<T, F>(
    pool: &PgPool,
    pooled: bool,
    reading: Reading,
    work: F,
) -> swath_store::Result<T>
where
    T: Send + 'static,
    F: for<'c> FnOnce(&'c mut Session) -> BoxFuture<'c, Result<T>> + Send + 'static,
{
    let pool = pool.clone();
    let reading = tokio::spawn(async move {
        let begin = match reading {
            Reading::ByKeys => &format!("{BEGIN_READING}; {BY_KEYS}"),
            Reading::Any => BEGIN_READING,
        };
        let mut session = Session::begun(&pool, pooled, begin).await?;
        let result = match tokio::time::timeout(ANSWER, work(&mut session)).await {
            Ok(result) => result,
            Err(_late) => Err(Failure::Late),
        };
        let late = matches!(result, Err(Failure::Late));
        if late || !session.undo().await {
            session.cut();
        }
        result
    });
    match reading.await {
        Ok(result) => result.map_err(Into::into),
        Err(error) => Err(crate::error::failed("a reading task ended early", error)),
    }
}

/// A query for which each use says whether it stays prepared.
struct Prepared<E> {
    query: E,
    persistent: bool,
}

impl<'q, E: Execute<'q, Postgres>> Execute<'q, Postgres> for Prepared<E> {
    fn sql(self) -> SqlStr {
        self.query.sql()
    }

    fn statement(&self) -> Option<&PgStatement> {
        self.query.statement()
    }

    fn take_arguments(
        &mut self,
    ) -> std::result::Result<Option<PgArguments>, sqlx::error::BoxDynError> {
        self.query.take_arguments()
    }

    fn persistent(&self) -> bool {
        self.persistent && self.query.persistent()
    }
}

impl<'c> Executor<'c> for &'c mut Session {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, std::result::Result<Either<PgQueryResult, PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let persistent = self.persistent;
        (&mut *self.conn).fetch_many(Prepared { query, persistent })
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, std::result::Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let persistent = self.persistent;
        (&mut *self.conn).fetch_optional(Prepared { query, persistent })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, std::result::Result<PgStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        (&mut *self.conn).prepare_with(sql, parameters)
    }

    fn describe<'e>(
        self,
        sql: SqlStr,
    ) -> BoxFuture<'e, std::result::Result<Describe<Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        (&mut *self.conn).describe(sql)
    }
}
