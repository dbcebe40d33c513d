//! Workers and their sessions.

use sqlx::{query, query_as};
use swath_core::id::{JobDigest, Owner, WorkerName};
use swath_core::message::WorkerChange;
use swath_core::time::Timestamp;
use swath_core::view::WorkerState;
use swath_store::StoreError;

use crate::error::{Failure, Result};
use crate::rows;
use crate::writer::Tx;

/// A worker as operations need it.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) id: i64,
    pub(crate) session: i64,
    pub(crate) state: WorkerState,
    pub(crate) reason: String,
    /// JSON array of the programs that it may run.
    pub(crate) programs: String,
    /// The different jobs that it failed in a row.
    pub(crate) failed: Vec<JobDigest>,
}

/// How a session stands among those of its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Newest,
    Older,
    NeverGiven,
}

impl Worker {
    /// The worker of this name.
    pub(crate) async fn load(tx: &mut Tx, name: &WorkerName) -> Result<Option<Self>> {
        struct Row {
            id: i64,
            session: i64,
            state: String,
            reason: String,
            programs: String,
            failed: String,
        }
        let text = name.as_str();
        let row = query_as!(
            Row,
            "SELECT id, session, state, reason, programs, failed FROM worker WHERE name = ?1",
            text
        )
        .fetch_optional(&mut tx.conn)
        .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        Ok(Some(Self {
            id: row.id,
            session: row.session,
            state: worker_state(&row.state)?,
            reason: row.reason,
            programs: row.programs,
            failed: serde_json::from_str(&row.failed)?,
        }))
    }

    /// The worker of `owner`, whose session must be its newest.
    pub(crate) async fn newest(tx: &mut Tx, owner: &Owner) -> Result<Self> {
        let worker = Self::load(tx, &owner.worker).await?;
        worker
            .filter(|worker| worker.standing(owner) == Standing::Newest)
            .ok_or_else(|| stale(owner))
    }

    /// How `owner`'s session stands.
    pub(crate) fn standing(&self, owner: &Owner) -> Standing {
        let session = rows::session(owner.session);
        match session.cmp(&self.session) {
            std::cmp::Ordering::Equal => Standing::Newest,
            std::cmp::Ordering::Less if session > 0 => Standing::Older,
            _ => Standing::NeverGiven,
        }
    }

    /// Notes that its newest session was heard of.
    pub(crate) async fn heard(&self, tx: &mut Tx, now: Timestamp) -> Result<()> {
        let now = now.as_ms();
        query!("UPDATE worker SET seen_at = ?2 WHERE id = ?1", self.id, now)
            .execute(&mut tx.conn)
            .await?;
        Ok(())
    }

    /// Writes its state, the reason for it and its row of failed jobs.
    async fn save(&self, tx: &mut Tx) -> Result<()> {
        let state = self.state.name();
        let failed = rows::json(&self.failed);
        query!(
            "UPDATE worker SET state = ?2, reason = ?3, failed = ?4 WHERE id = ?1",
            self.id,
            state,
            self.reason,
            failed
        )
        .execute(&mut tx.conn)
        .await?;
        Ok(())
    }

    /// Both in one statement, for the busiest operation.
    pub(crate) async fn save_heard(&self, tx: &mut Tx, now: Timestamp) -> Result<()> {
        let state = self.state.name();
        let failed = rows::json(&self.failed);
        let now = now.as_ms();
        query!(
            "UPDATE worker SET seen_at = ?5, state = ?2, reason = ?3, failed = ?4 WHERE id = ?1",
            self.id,
            state,
            self.reason,
            failed,
            now
        )
        .execute(&mut tx.conn)
        .await?;
        Ok(())
    }
}

pub(crate) fn worker_state(name: &str) -> Result<WorkerState> {
    WorkerState::from_name(name)
        .ok_or_else(|| Failure::Damaged(format!("a worker is in the state `{name}`")))
}

pub(crate) fn stale(owner: &Owner) -> Failure {
    Failure::Refused(StoreError::StaleSession {
        worker: owner.worker.clone(),
        session: owner.session.0,
    })
}

/// Changes whether a worker gets jobs.
pub(crate) async fn change(tx: &mut Tx, name: &WorkerName, change: WorkerChange) -> Result<()> {
    let Some(mut worker) = Worker::load(tx, name).await? else {
        return Err(StoreError::NotFound(format!("worker `{name}`")).into());
    };
    (worker.state, worker.reason) = match change {
        WorkerChange::Activate => {
            worker.failed.clear();
            (WorkerState::Active, String::new())
        }
        WorkerChange::Cordon { reason } => (WorkerState::Cordoned, reason),
        WorkerChange::Drain => (WorkerState::Draining, String::new()),
    };
    worker.save(tx).await
}
