//! Who may write: one coordinator at a time, decided by a row of the database
//! and on the database's clock.
//!
//! A commit locks that row from its first statement to its end, and a takeover
//! changes it. So either a commit of the old leader is over before a takeover,
//! and the new leader reads it; or it begins afterwards, finds another term,
//! and writes nothing. Neither depends on a clock: the time by which the leader
//! must be heard from only decides when another one may try.
//!
//! A leader that hangs in the middle of a commit keeps the lock until the
//! server ends its transaction, as it does with an idle one.

use std::sync::atomic::{AtomicI64, Ordering};

use swath_store::{RENEW_EVERY, StoreError, Term};

use crate::error::{Failure, Result, sql_state, state};
use crate::open;
use crate::session::Session;
use crate::text;

/// How long a leader may be silent.
pub(crate) const UNHEARD_MS: u128 = RENEW_EVERY.as_millis() * 3;

/// Begins a transaction that writes. It may not pause for longer than a leader
/// may be silent, or nobody could take over in time. Every statement finds its
/// rows by their keys: without statistics, the server would read whole tables.
/// The jobs of a large submit stay in memory until their trigger has seen them.
pub(crate) const BEGIN_WRITING: &str = "BEGIN;
     SET LOCAL statement_timeout = '55s';
     SET LOCAL lock_timeout = '10s';
     SET LOCAL idle_in_transaction_session_timeout = '5s';
     SET LOCAL enable_seqscan = off;
     SET LOCAL enable_hashjoin = off;
     SET LOCAL enable_mergejoin = off;
     SET LOCAL plan_cache_mode = force_generic_plan;
     SET LOCAL work_mem = '32MB';
     SET LOCAL jit = off;";

/// Follows it where the server's settings are less careful.
const CAREFUL: &str = "SET LOCAL synchronous_commit = on;";

/// The term in which this process leads, if it does.
#[derive(Debug)]
pub(crate) struct Led(AtomicI64);

impl Led {
    /// The state before it leads.
    pub(crate) const fn not() -> Self {
        Self(AtomicI64::new(-1))
    }

    /// Whether it leads, as far as it knows.
    pub(crate) fn leads(&self) -> bool {
        self.get() >= 0
    }

    fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, term: i64) {
        self.0.store(term, Ordering::Relaxed);
    }
}

/// Whether the server is set to acknowledge commits that a power cut may undo. A
/// setting that is stricter than needed is left alone.
pub(crate) async fn is_careless(session: &mut Session) -> Result<bool> {
    let ask = "SELECT WHERE current_setting('synchronous_commit') IN ('off', 'local')";
    session.any(ask.to_owned()).await
}

/// A step that takes, keeps or ends the lead.
#[derive(Debug)]
pub(crate) enum Step<'a> {
    /// Takes the lead, if nobody else has it.
    Lead {
        /// Records the term in which this process leads.
        led: &'a Led,
        /// The URL of this coordinator.
        address: &'a str,
    },
    /// Keeps the lead.
    Renew(Term),
    /// Gives up the lead, so that another one can take it at once.
    Leave(&'a Led),
}

/// Takes a step; returns the term in which this process then leads.
pub(crate) async fn take(session: &mut Session, step: &Step<'_>) -> Result<Term> {
    match step {
        Step::Lead { led, address } => lead(session, led, address).await,
        Step::Renew(term) => {
            begin(session, *term).await?;
            end(session, *term).await?;
            Ok(*term)
        }
        Step::Leave(led) => leave(session, led).await,
    }
}

/// The statement at the end of a transaction that shows that the leader is
/// alive.
fn heard(term: i64) -> String {
    format!(
        "UPDATE leader SET until = clock_timestamp() + interval '{UNHEARD_MS} milliseconds' \
         WHERE term = {term}"
    )
}

/// Begins a transaction of the leader; refused when another one leads by now.
pub(crate) async fn begin(session: &mut Session, term: Term) -> Result<()> {
    let statements = format!(
        "{BEGIN_WRITING} {} SELECT FROM leader WHERE term = {} FOR UPDATE",
        if session.careless { CAREFUL } else { "" },
        term.0
    );
    if session.any(statements).await? {
        return Ok(());
    }
    Err(overtaken(session).await)
}

/// Ends a transaction of the leader. Any failure other than a lost connection
/// means that nothing was kept.
pub(crate) async fn end(session: &mut Session, term: Term) -> Result<()> {
    let statements = format!("{}; COMMIT", heard(term.0));
    session.run(sqlx::AssertSqlSafe(statements)).await
}

async fn lead(session: &mut Session, led: &Led, address: &str) -> Result<Term> {
    session.run(BEGIN_WRITING).await?;
    // Long enough for a commit under way, but not for one that hangs.
    session.run("SET LOCAL lock_timeout = '6s'").await?;
    let holder = text::kept(address);
    let for_ms = UNHEARD_MS as f64;
    // The leader may begin again; what it had begun before is then refused.
    let taken = sqlx::query_scalar!(
        "UPDATE leader SET term = term + 1, holder = $1,
             until = clock_timestamp() + $2 * interval '1 millisecond'
         WHERE until < clock_timestamp() OR term = $3
         RETURNING term",
        &*holder,
        for_ms,
        led.get()
    )
    .fetch_optional(&mut *session)
    .await;
    let term = match taken {
        Ok(Some(term)) => term,
        Ok(None) => return Err(in_use(session).await),
        Err(error) if sql_state(&error).as_deref() == Some(state::LOCKED) => {
            session.undo().await;
            session.run(BEGIN_WRITING).await?;
            return Err(in_use(session).await);
        }
        Err(error) => return Err(error.into()),
    };
    check_version(session).await?;
    session.run("COMMIT").await?;
    led.set(term);
    Ok(Term(term))
}

/// Checks the version: a newer build may have changed the schema since this one
/// opened it.
async fn check_version(session: &mut Session) -> Result<()> {
    let version = sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations");
    let version: i64 = version.fetch_one(session).await?;
    if version == open::newest() {
        return Ok(());
    }
    Err(Failure::Refused(crate::error::told(format!(
        "the schema of the database has version {version} by now, and this build knows {}; start a \
         coordinator of that build",
        open::newest()
    ))))
}

async fn leave(session: &mut Session, led: &Led) -> Result<Term> {
    let left = Term(led.get());
    session.run(BEGIN_WRITING).await?;
    sqlx::query!(
        "UPDATE leader SET until = '-infinity' WHERE term = $1",
        left.0
    )
    .execute(&mut *session)
    .await?;
    session.run("COMMIT").await?;
    led.set(-1);
    Ok(left)
}

/// The URL of the leader, if there is one.
pub(crate) async fn holder(session: &mut Session) -> Result<Option<String>> {
    let holder = sqlx::query_scalar!("SELECT holder FROM leader WHERE until > clock_timestamp()")
        .fetch_optional(session)
        .await?;
    Ok(holder.map(text::told))
}

async fn in_use(session: &mut Session) -> Failure {
    match holder(session).await {
        Ok(holder) => Failure::Refused(StoreError::InUse(format!(
            "the database is led by {}; end that one first, or wait until it has been silent for \
             {} s",
            who(holder),
            UNHEARD_MS / 1000
        ))),
        Err(failure) => failure,
    }
}

async fn overtaken(session: &mut Session) -> Failure {
    match holder(session).await {
        Ok(holder) => Failure::Refused(StoreError::InUse(format!(
            "the database was taken over by {}; nothing more is written here",
            who(holder)
        ))),
        Err(failure) => failure,
    }
}

fn who(holder: Option<String>) -> String {
    match holder.filter(|holder| !holder.is_empty()) {
        Some(address) => format!("the coordinator at {address}"),
        None => "another coordinator".to_owned(),
    }
}
