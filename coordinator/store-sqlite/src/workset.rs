//! Jobs that an operation loads, changes through the core, and writes back in
//! one guarded statement.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use serde_json::{Value, json};
use sqlx::query_as;
use swath_core::id::{Attempt, JobDigest, SessionId, WorkerName};
use swath_core::job::{Applied, Event, Job, Refusal, State, StateName};
use swath_core::policy::Policy;
use swath_core::time::Timestamp;

use crate::error::{Failure, Result};
use crate::rows::{self, JobRow};
use crate::writer::Tx;

/// Rows per statement that writes back: keeps one JSON parameter within a few
/// megabytes.
const CHUNK: usize = 4096;

/// A loaded job.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) digest: JobDigest,
    pub(crate) job: Job,
    /// Heartbeats in a row that did not mention its lease.
    pub(crate) unmentioned: u32,
    /// The attempt whose fault is remembered.
    pub(crate) faulted: Option<Attempt>,
    ended_at: Option<Timestamp>,
    /// What the row must still be when it is written.
    guard: Guard,
    changed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Guard {
    attempt: Attempt,
    state: StateName,
    session: Option<SessionId>,
}

impl Guard {
    fn of(job: &Job) -> Self {
        Self {
            attempt: job.attempt,
            state: job.state_name(),
            session: job.owner.as_ref().map(|owner| owner.session),
        }
    }
}

/// How an attempt ended, as it goes into its row.
#[derive(Debug, Serialize)]
pub(crate) struct End {
    pub(crate) job: i64,
    pub(crate) attempt: u32,
    pub(crate) at: i64,
    pub(crate) ended: &'static str,
    pub(crate) message: String,
    pub(crate) provenance: Option<i64>,
}

/// The jobs of one operation by key.
#[derive(Debug, Default)]
pub(crate) struct Workset {
    entries: BTreeMap<i64, Entry>,
    ids: HashMap<JobDigest, i64>,
    workers: HashMap<WorkerName, i64>,
    ends: Vec<End>,
}

impl Workset {
    /// Loads the jobs with these keys.
    pub(crate) async fn load(&mut self, tx: &mut Tx, ids: &[i64]) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let ids = rows::json(ids);
        let rows = query_as!(
            JobRow,
            r#"SELECT job.id AS "id!", job.digest, job.state, job.not_before, job.deadline, job.stop,
                      job.fault, job.attempt, worker.name AS "worker?", job.session,
                      job.granted_at, job.grants, job.charged, job.failed_on, job.closed,
                      job.unmentioned, job.faulted, job.ended_at
               FROM json_each(?1) AS asked
               CROSS JOIN job ON job.id = asked.value
               LEFT JOIN worker ON worker.id = job.worker"#,
            ids
        )
        .fetch_all(&mut tx.conn)
        .await?;
        self.take(rows)
    }

    /// Loads the jobs with these digests; those that do not exist are left out.
    pub(crate) async fn load_digests(
        &mut self,
        tx: &mut Tx,
        digests: impl IntoIterator<Item = JobDigest>,
    ) -> Result<()> {
        let digests = rows::hex_array(digests);
        let rows = query_as!(
            JobRow,
            r#"SELECT job.id AS "id!", job.digest, job.state, job.not_before, job.deadline, job.stop,
                      job.fault, job.attempt, worker.name AS "worker?", job.session,
                      job.granted_at, job.grants, job.charged, job.failed_on, job.closed,
                      job.unmentioned, job.faulted, job.ended_at
               FROM json_each(?1) AS asked
               CROSS JOIN job ON job.digest = unhex(asked.value)
               LEFT JOIN worker ON worker.id = job.worker"#,
            digests
        )
        .fetch_all(&mut tx.conn)
        .await?;
        self.take(rows)
    }

    /// What is loaded already stays as it is: it may have changed.
    fn take(&mut self, rows: Vec<JobRow>) -> Result<()> {
        for row in rows {
            let job = row.job()?;
            let digest = rows::job_digest(&row.digest)?;
            self.ids.insert(digest, row.id);
            self.entries.entry(row.id).or_insert_with(|| Entry {
                digest,
                guard: Guard::of(&job),
                job,
                unmentioned: row.unmentioned as u32,
                faulted: row.faulted.map(rows::attempt),
                ended_at: row.ended_at.map(Timestamp::from_ms),
                changed: false,
            });
        }
        Ok(())
    }

    /// The key of a loaded job.
    pub(crate) fn id(&self, digest: JobDigest) -> Option<i64> {
        self.ids.get(&digest).copied()
    }

    /// The keys of all loaded jobs, in order of submission.
    pub(crate) fn all(&self) -> Vec<i64> {
        self.entries.keys().copied().collect()
    }

    /// A loaded job.
    pub(crate) fn get(&self, id: i64) -> Option<&Entry> {
        self.entries.get(&id)
    }

    /// Notes the key of a worker that owns or will own attempts.
    pub(crate) fn know(&mut self, worker: &WorkerName, id: i64) {
        self.workers.insert(worker.clone(), id);
    }

    /// Applies an event to a loaded job.
    pub(crate) fn apply(
        &mut self,
        id: i64,
        event: &Event<'_>,
        now: Timestamp,
        policy: &Policy,
    ) -> Result<Applied, Refusal> {
        let entry = self.entries.get_mut(&id).ok_or(Refusal::Stale)?;
        let was_final = entry.job.state_name().is_final();
        let applied = entry.job.apply(event, now, policy)?;
        entry.changed |= applied == Applied::Changed;
        match (was_final, entry.job.state_name().is_final()) {
            (false, true) => entry.ended_at = Some(now),
            (true, false) => {
                entry.ended_at = None;
                entry.faulted = None;
            }
            _ => {}
        }
        debug_assert_eq!(entry.job.check(policy), Ok(()), "after {event:?}");
        Ok(applied)
    }

    /// Sets how many heartbeats in a row did not mention a job's lease.
    pub(crate) fn set_unmentioned(&mut self, id: i64, heartbeats: u32) {
        if let Some(entry) = self.entries.get_mut(&id)
            && entry.unmentioned != heartbeats
        {
            entry.unmentioned = heartbeats;
            entry.changed = true;
        }
    }

    /// Sets the attempt whose fault the job remembers.
    pub(crate) fn set_faulted(&mut self, id: i64, attempt: Option<Attempt>) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.faulted = attempt;
            entry.changed = true;
        }
    }

    /// Notes how an attempt ended.
    pub(crate) fn end(&mut self, end: End) {
        self.ends.push(end);
    }

    /// Writes what changed since the last flush. Every row must still be as it
    /// was loaded: anything else would be a writer beside this one.
    pub(crate) async fn flush(&mut self, tx: &mut Tx) -> Result<()> {
        let changed: Vec<i64> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.changed)
            .map(|(id, _)| *id)
            .collect();
        for ids in changed.chunks(CHUNK) {
            let mut rows = Vec::with_capacity(ids.len());
            for id in ids {
                let Some(entry) = self.entries.get_mut(id) else {
                    continue;
                };
                rows.push(columns(*id, entry, &self.workers));
                entry.guard = Guard::of(&entry.job);
                entry.changed = false;
            }
            write_jobs(tx, &rows).await?;
        }
        let ends = std::mem::take(&mut self.ends);
        let (plain, told): (Vec<End>, Vec<End>) =
            ends.into_iter().partition(|end| end.message.is_empty());
        for ends in plain.chunks(CHUNK) {
            write_ends(tx, ends).await?;
        }
        for end in told {
            write_end(tx, end).await?;
        }
        Ok(())
    }
}

/// A job's changed columns, with its guard in front.
fn columns(id: i64, entry: &Entry, workers: &HashMap<WorkerName, i64>) -> Value {
    let job = &entry.job;
    let lease = job.lease();
    let worker = match &job.owner {
        // Absent: the owner is as it was loaded.
        Some(owner) => workers.get(&owner.worker),
        None => None,
    };
    let (not_before, fault) = match &job.state {
        State::Queued { not_before } => (Some(not_before.as_ms()), None),
        State::Failed(fault) => (None, Some(fault.name())),
        _ => (None, None),
    };
    let failed_on = (!job.failed_on.is_empty()).then(|| rows::json(&job.failed_on));
    json!([
        id,
        entry.guard.attempt,
        entry.guard.state.name(),
        entry.guard.session.map(rows::session),
        job.state_name().name(),
        not_before,
        lease.map(|lease| lease.deadline.as_ms()),
        u8::from(job.stopping()),
        fault,
        job.attempt,
        worker,
        job.owner.as_ref().map(|owner| rows::session(owner.session)),
        job.granted_at.as_ms(),
        job.grants,
        job.charged,
        failed_on,
        u8::from(job.closed),
        entry.unmentioned,
        entry.faulted,
        entry.ended_at.map(Timestamp::as_ms),
    ])
}

async fn write_jobs(tx: &mut Tx, rows: &[Value]) -> Result<()> {
    let count = rows.len() as u64;
    let rows = rows::json(rows);
    // Materialized, or each of the columns would have its line written out anew.
    let written = sqlx::query!(
        "WITH line AS MATERIALIZED (SELECT value FROM json_each(?1))
         UPDATE job SET
             state = line.value ->> 4, not_before = line.value ->> 5, deadline = line.value ->> 6,
             stop = line.value ->> 7, fault = line.value ->> 8, attempt = line.value ->> 9,
             worker = coalesce(line.value ->> 10, worker), session = line.value ->> 11,
             granted_at = line.value ->> 12, grants = line.value ->> 13,
             charged = line.value ->> 14, failed_on = line.value ->> 15,
             closed = line.value ->> 16, unmentioned = line.value ->> 17,
             faulted = line.value ->> 18, ended_at = line.value ->> 19
         FROM line
         WHERE job.id = line.value ->> 0 AND job.attempt = line.value ->> 1
           AND job.state = line.value ->> 2 AND job.session IS line.value ->> 3",
        rows
    )
    .execute(&mut tx.conn)
    .await?
    .rows_affected();
    if written == count {
        Ok(())
    } else {
        Err(Failure::Damaged(format!(
            "{} of {count} jobs changed under the writer",
            count - written
        )))
    }
}

async fn write_ends(tx: &mut Tx, ends: &[End]) -> Result<()> {
    let rows = rows::json(ends);
    let written = sqlx::query!(
        "WITH line AS MATERIALIZED (SELECT value FROM json_each(?1))
         UPDATE attempt SET
             ended_at = line.value ->> 'at', ended = line.value ->> 'ended',
             provenance = line.value ->> 'provenance'
         FROM line
         WHERE attempt.job = line.value ->> 'job' AND attempt.attempt = line.value ->> 'attempt'",
        rows
    )
    .execute(&mut tx.conn)
    .await?
    .rows_affected();
    all_written(written, ends.len())
}

/// An end with a message, which is bound by itself: SQLite's JSON would cut it
/// off at a NUL, and trainers write what they like.
async fn write_end(tx: &mut Tx, end: End) -> Result<()> {
    let written = sqlx::query!(
        "UPDATE attempt SET ended_at = ?3, ended = ?4, message = ?5, provenance = ?6
         WHERE job = ?1 AND attempt = ?2",
        end.job,
        end.attempt,
        end.at,
        end.ended,
        end.message,
        end.provenance
    )
    .execute(&mut tx.conn)
    .await?
    .rows_affected();
    all_written(written, 1)
}

fn all_written(written: u64, wanted: usize) -> Result<()> {
    if written == wanted as u64 {
        Ok(())
    } else {
        Err(Failure::Damaged("an attempt without a row".to_owned()))
    }
}
