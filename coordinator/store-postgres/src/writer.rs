//! The one connection that writes.
//!
//! Callers that write wait for it in a task that nobody can cancel: a caller
//! that goes away leaves nothing half-done. If a transaction failed for a
//! passing reason and nothing of it was kept, it is tried again.

use std::time::Duration;

use sqlx::PgPool;
use swath_model::outcome::Provenance;
use swath_store::{Changes, Term};
use tokio::sync::Mutex;

use crate::commit::{self, Known};
use crate::error::{Failure, Result, failed, is_lost, is_passing, told};
use crate::leader::{self, Step};
use crate::session::Session;

/// How often one transaction is tried.
const TRIES: u32 = 4;
/// Pause before the second try; the third waits twice as long, and so on.
const BETWEEN_TRIES: Duration = Duration::from_millis(50);

/// How many provenances are remembered with their keys.
const PROVENANCES_KNOWN: usize = 32;

/// The connection that writes, and what is known about what it wrote.
#[derive(Debug)]
pub(crate) struct Writer {
    pool: PgPool,
    pooled: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Kept from one transaction to the next as long as nothing fails.
    session: Option<Session>,
    /// Keys of provenances that are stored.
    provenances: Vec<(Provenance, i64)>,
    closed: bool,
}

impl State {
    /// Remembers provenances. Each is a kind of machine: there are few, and the
    /// newest are in use.
    fn remember(&mut self, mut fresh: Vec<(Provenance, i64)>) {
        if fresh.is_empty() {
            return;
        }
        fresh.append(&mut self.provenances);
        fresh.truncate(PROVENANCES_KNOWN);
        self.provenances = fresh;
    }
}

/// Why a transaction ended, and whether nothing of it can have been kept.
struct Ended {
    failure: Failure,
    undone: bool,
}

impl Ended {
    const fn undone(failure: Failure) -> Self {
        Self {
            failure,
            undone: true,
        }
    }

    fn may_pass(&self) -> bool {
        self.undone && matches!(&self.failure, Failure::Database(error) if is_passing(error))
    }
}

impl Writer {
    /// A writer that takes its connection from this pool.
    pub(crate) fn new(pool: PgPool, pooled: bool) -> Self {
        Self {
            pool,
            pooled,
            state: Mutex::default(),
        }
    }

    /// Takes a step of the lead, which begins and ends its own transaction.
    pub(crate) async fn step(&self, step: &Step<'_>) -> swath_store::Result<Term> {
        let mut state = self.state.lock().await;
        let mut tries = 1;
        loop {
            match self.try_step(&mut state, step).await {
                Ok(term) => return Ok(term),
                Err(ended) if ended.may_pass() && tries < TRIES => {
                    again(&ended, tries).await;
                    tries += 1;
                }
                Err(ended) => return Err(ended.failure.into()),
            }
        }
    }

    /// A step may be repeated, whether or not it was kept.
    async fn try_step(&self, state: &mut State, step: &Step<'_>) -> Result<Term, Ended> {
        let mut session = self.session(state).await?;
        match leader::take(&mut session, step).await {
            Ok(term) => {
                state.session = Some(session);
                Ok(term)
            }
            Err(failure) => {
                put_back(state, session, &failure).await;
                Err(Ended::undone(failure))
            }
        }
    }

    /// Writes `changes` in one transaction.
    pub(crate) async fn commit(&self, term: Term, changes: &Changes) -> swath_store::Result<()> {
        let mut state = self.state.lock().await;
        let mut tries = 1;
        loop {
            match self.try_commit(&mut state, term, changes).await {
                Ok(()) => return Ok(()),
                Err(ended) if ended.may_pass() && tries < TRIES => {
                    again(&ended, tries).await;
                    tries += 1;
                }
                Err(Ended {
                    failure: Failure::Database(error),
                    undone: false,
                }) => {
                    return Err(failed(
                        "the connection to the database was lost at the end of a commit: it may \
                         be kept or not",
                        error,
                    ));
                }
                Err(ended) => return Err(ended.failure.into()),
            }
        }
    }

    async fn try_commit(
        &self,
        state: &mut State,
        term: Term,
        changes: &Changes,
    ) -> Result<(), Ended> {
        let mut session = self.session(state).await?;
        let mut known = Known::new(&state.provenances);
        let written = write(&mut session, &mut known, term, changes).await;
        let ended = match written {
            Ok(()) => {
                let fresh = known.into_fresh();
                match leader::end(&mut session, term).await {
                    Ok(()) => {
                        state.remember(fresh);
                        state.session = Some(session);
                        return Ok(());
                    }
                    Err(failure) => Ended {
                        undone: says_undone(&failure),
                        failure,
                    },
                }
            }
            Err(failure) => Ended::undone(failure),
        };
        put_back(state, session, &ended.failure).await;
        Err(ended)
    }

    async fn session(&self, state: &mut State) -> Result<Session, Ended> {
        if state.closed {
            return Err(Ended::undone(Failure::Refused(told("it is closed"))));
        }
        if let Some(session) = state.session.take() {
            return Ok(session);
        }
        let taking = async {
            let mut session = Session::take(&self.pool, self.pooled).await?;
            session.careless = leader::is_careless(&mut session).await?;
            Ok(session)
        };
        taking.await.map_err(Ended::undone)
    }

    /// Refuses further writes; what is under way is finished first.
    pub(crate) async fn close(&self) {
        let mut state = self.state.lock().await;
        state.closed = true;
        state.session = None;
    }
}

async fn write(
    session: &mut Session,
    known: &mut Known<'_>,
    term: Term,
    changes: &Changes,
) -> Result<()> {
    leader::begin(session, term).await?;
    commit::write(session, known, changes).await
}

/// Whether a failure at the end of a transaction means that it was undone: the
/// server said so, and is not shutting down.
fn says_undone(failure: &Failure) -> bool {
    match failure {
        Failure::Database(error) => error.as_database_error().is_some() && !is_lost(error),
        Failure::Late => false,
        Failure::Refused(_) | Failure::Damaged(_) => true,
    }
}

/// Keeps the connection for the next transaction, if it can be used for one.
async fn put_back(state: &mut State, mut session: Session, failure: &Failure) {
    let lost = match failure {
        Failure::Database(error) => is_lost(error),
        Failure::Late => true,
        Failure::Refused(_) | Failure::Damaged(_) => false,
    };
    if lost || !session.undo().await {
        session.cut();
    } else {
        state.session = Some(session);
    }
}

async fn again(ended: &Ended, tries: u32) {
    if let Failure::Database(error) = &ended.failure {
        tracing::warn!(%error, tries, "a transaction failed and is tried again");
    }
    tokio::time::sleep(BETWEEN_TRIES * tries).await;
}
