//! Sweeps and workers.

use sqlx::{SqliteConnection, query, query_as, query_scalar};
use swath_model::id::{SessionId, SweepDigest};
use swath_model::message::Sources;
use swath_model::time::Timestamp;
use swath_model::view::{
    Counts, ReplicationView, SettledView, SweepRecord, SweepState, SweepView, WorkerView,
};

use super::unknown;
use crate::error::Result;
use crate::rows;

/// What is read of a sweep without its definition.
#[derive(Debug)]
struct Row {
    digest: Vec<u8>,
    name: String,
    version: i64,
    label: String,
    title: String,
    kind: String,
    replicates: i64,
    priority: i64,
    live: i64,
    cause: String,
    submitted_at: i64,
    cells: i64,
    queued: i64,
    leased: i64,
    suspect: i64,
    succeeded: i64,
    failed: i64,
    diverged: i64,
    cancelled: i64,
    ended_at: Option<i64>,
    most: Option<i64>,
    rounds: Option<i64>,
    seeds: Option<i64>,
    settled_at: Option<i64>,
    as_of: Option<i64>,
    pairs: Option<i64>,
    undecided: Option<i64>,
}

impl Row {
    fn view(self) -> Result<SweepView> {
        let counts = Counts {
            queued: self.queued as u64,
            leased: self.leased as u64,
            suspect: self.suspect as u64,
            succeeded: self.succeeded as u64,
            failed: self.failed as u64,
            diverged: self.diverged as u64,
            cancelled: self.cancelled as u64,
        };
        let over = counts.done() == counts.total();
        let settled_at = self
            .settled_at
            .filter(|_| over && self.as_of == self.ended_at);
        let finished = over && (self.most.is_none() || settled_at.is_some());
        Ok(SweepView {
            digest: rows::sweep_digest(&self.digest)?,
            name: self.name,
            version: self.version as u32,
            label: serde_json::from_str(&self.label)?,
            title: self.title,
            kind: rows::sweep_kind(&self.kind)?,
            state: SweepState::of(self.live != 0, finished, !self.cause.is_empty()),
            paused: rows::cause(&self.cause)?,
            cells: self.cells as u64,
            replicates: self.replicates as u32,
            replication: self.most.map(|most| ReplicationView {
                max: most as u32,
                rounds: self.rounds.unwrap_or(0) as u32,
                seeds: self.seeds.unwrap_or(0) as u64,
                settled: settled_at.map(|at| SettledView {
                    at: Timestamp::from_ms(at),
                    pairs: self.pairs.unwrap_or(0) as u64,
                    undecided: self.undecided.unwrap_or(0) as u64,
                }),
            }),
            priority: self.priority as i32,
            counts,
            submitted_at: Timestamp::from_ms(self.submitted_at),
            finished_at: self.ended_at.map(Timestamp::from_ms).filter(|_| finished),
        })
    }
}

/// Every sweep, oldest first.
pub(crate) async fn sweeps(conn: &mut SqliteConnection) -> Result<Vec<SweepView>> {
    let rows = query_as!(
        Row,
        r#"SELECT digest, name, version, label, title, kind, replicates, priority, live, cause,
                  submitted_at, cells, queued, leased, suspect, succeeded, failed, diverged, cancelled,
                  ended_at, most AS "most?", rounds AS "rounds?", seeds AS "seeds?", settled_at,
                  as_of, pairs AS "pairs?", undecided AS "undecided?"
           FROM sweep
           JOIN sweep_counts ON sweep_counts.sweep = sweep.id
           LEFT JOIN replication ON replication.sweep = sweep.id
           ORDER BY sweep.id"#
    )
    .fetch_all(conn)
    .await?;
    let sweeps = rows.into_iter().map(Row::view);
    let is_whole = |sweep: &Result<SweepView>| !sweep.as_ref().is_ok_and(|it| it.label.staged);
    sweeps.filter(is_whole).collect()
}

/// One sweep with its definition.
pub(crate) async fn sweep(conn: &mut SqliteConnection, sweep: SweepDigest) -> Result<SweepRecord> {
    let digest = &sweep.as_bytes()[..];
    let row = query_as!(
        Row,
        r#"SELECT digest, name, version, label, title, kind, replicates, priority, live, cause,
                  submitted_at, cells, queued, leased, suspect, succeeded, failed, diverged, cancelled,
                  ended_at, most AS "most?", rounds AS "rounds?", seeds AS "seeds?", settled_at,
                  as_of, pairs AS "pairs?", undecided AS "undecided?"
           FROM sweep
           JOIN sweep_counts ON sweep_counts.sweep = sweep.id
           LEFT JOIN replication ON replication.sweep = sweep.id
           WHERE digest = ?1"#,
        digest
    )
    .fetch_optional(&mut *conn)
    .await?
    .ok_or_else(|| unknown(sweep))?;
    let definition = query_scalar!("SELECT definition FROM sweep WHERE digest = ?1", digest)
        .fetch_one(conn)
        .await?;
    Ok(SweepRecord {
        view: row.view()?,
        definition: serde_json::from_str(&definition)?,
    })
}

/// What a sweep was submitted as.
pub(crate) async fn sources(conn: &mut SqliteConnection, sweep: SweepDigest) -> Result<Sources> {
    let digest = &sweep.as_bytes()[..];
    let sources = query_scalar!("SELECT sources FROM sweep WHERE digest = ?1", digest)
        .fetch_optional(conn)
        .await?
        .ok_or_else(|| unknown(sweep))?;
    Ok(serde_json::from_str(&sources)?)
}

/// Every worker, by name.
pub(crate) async fn workers(conn: &mut SqliteConnection) -> Result<Vec<WorkerView>> {
    let rows = query!(
        r#"SELECT name, state, cause, session, seen_at, about, failed, silent,
                  (SELECT count(*) FROM job
                   WHERE job.worker = worker.id AND job.deadline IS NOT NULL) AS "held!: i64"
           FROM worker WHERE NOT forgotten ORDER BY name"#
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let failed: Vec<String> = serde_json::from_str(&row.failed)?;
            Ok(WorkerView {
                lacks: Vec::new(),
                name: rows::worker_name(&row.name)?,
                state: rows::worker_state(&row.state)?,
                cordoned: rows::cause(&row.cause)?,
                session: SessionId(row.session as u64),
                seen_at: Timestamp::from_ms(row.seen_at),
                about: serde_json::from_str(&row.about)?,
                held: row.held as u64,
                slots_held: None,
                kept: None,
                failed_in_a_row: failed.len() as u32,
                silent: row.silent != 0,
            })
        })
        .collect()
}
