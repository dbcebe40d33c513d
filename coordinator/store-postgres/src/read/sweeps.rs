//! Sweeps, the decisions about their replicates, and workers.

use sqlx::{query, query_scalar};
use swath_model::id::{Replicate, SessionId, SweepDigest};
use swath_model::message::Sources;
use swath_model::replication::Decision;
use swath_model::time::Timestamp;
use swath_model::view::{
    Counts, DecisionView, ReplicationRecord, ReplicationView, SettledView, SweepState, SweepView,
    WorkerView,
};

use crate::error::{Result, unknown};
use crate::rows;
use crate::session::Session;
use crate::text;

/// Every sweep, oldest first.
pub(crate) async fn sweeps(session: &mut Session) -> Result<Vec<SweepView>> {
    let rows = query!(
        r#"SELECT digest, name, title, kind, replicates, priority, live, cause, definition,
                  submitted_at, cells, queued, leased, suspect, succeeded, failed, diverged,
                  cancelled, ended_at, most AS "most?", rounds AS "rounds?", seeds AS "seeds?",
                  settled_at, as_of, pairs AS "pairs?", undecided AS "undecided?"
           FROM sweep
           JOIN sweep_counts ON sweep_counts.sweep = sweep.id
           LEFT JOIN replication ON replication.sweep = sweep.id
           ORDER BY sweep.id"#
    )
    .fetch_all(session)
    .await?;
    rows.into_iter()
        .map(|row| {
            let counts = Counts {
                queued: row.queued as u64,
                leased: row.leased as u64,
                suspect: row.suspect as u64,
                succeeded: row.succeeded as u64,
                failed: row.failed as u64,
                diverged: row.diverged as u64,
                cancelled: row.cancelled as u64,
            };
            let over = counts.done() == counts.total();
            let settled_at = row.settled_at.filter(|_| over && row.as_of == row.ended_at);
            let finished = over && (row.most.is_none() || settled_at.is_some());
            Ok(SweepView {
                digest: rows::sweep_digest(&row.digest)?,
                name: text::told(row.name),
                title: text::told(row.title),
                kind: rows::sweep_kind(&row.kind)?,
                state: SweepState::of(row.live, finished, !row.cause.is_empty()),
                paused: rows::cause(&row.cause)?,
                cells: row.cells as u64,
                replicates: row.replicates as u32,
                replication: row.most.map(|most| ReplicationView {
                    max: most as u32,
                    rounds: row.rounds.unwrap_or(0) as u32,
                    seeds: row.seeds.unwrap_or(0) as u64,
                    settled: settled_at.map(|at| SettledView {
                        at: Timestamp::from_ms(at),
                        pairs: row.pairs.unwrap_or(0) as u64,
                        undecided: row.undecided.unwrap_or(0) as u64,
                    }),
                }),
                priority: row.priority as i32,
                counts,
                submitted_at: Timestamp::from_ms(row.submitted_at),
                finished_at: row.ended_at.map(Timestamp::from_ms).filter(|_| finished),
                definition: serde_json::from_str(&row.definition)?,
            })
        })
        .collect()
}

/// The files that a sweep was submitted from.
pub(crate) async fn sources(session: &mut Session, sweep: SweepDigest) -> Result<Sources> {
    let digest = &sweep.as_bytes()[..];
    let sources = query_scalar!("SELECT sources FROM sweep WHERE digest = $1", digest)
        .fetch_optional(session)
        .await?
        .ok_or_else(|| unknown(sweep))?;
    Ok(serde_json::from_str(&sources)?)
}

/// What was decided about a sweep, and how it is settled.
pub(crate) async fn replication(
    session: &mut Session,
    digest: SweepDigest,
) -> Result<ReplicationRecord> {
    let bytes = &digest.as_bytes()[..];
    let sweep = query!(
        r#"SELECT sweep.id, queued + leased + suspect AS "open!", ended_at, as_of, verdict
           FROM sweep
           JOIN sweep_counts ON sweep_counts.sweep = sweep.id
           LEFT JOIN replication ON replication.sweep = sweep.id
           WHERE sweep.digest = $1"#,
        bytes
    )
    .fetch_optional(&mut *session)
    .await?
    .ok_or_else(|| unknown(digest))?;
    let holds = sweep.open == 0 && sweep.as_of == sweep.ended_at;
    let verdict = sweep.verdict.filter(|_| holds);
    let verdict = verdict.map(|it| serde_json::from_str(&it)).transpose()?;
    let rows = query!(
        "SELECT round, decided_at, cell.digest, replicate, pair
         FROM decision JOIN cell ON cell.id = decision.cell
         WHERE decision.sweep = $1 ORDER BY place",
        sweep.id
    )
    .fetch_all(session)
    .await?;
    let decisions = rows.into_iter().map(|row| {
        Ok(DecisionView {
            round: row.round as u32,
            at: Timestamp::from_ms(row.decided_at),
            decision: Decision {
                cell: rows::cell_digest(&row.digest)?,
                replicate: Replicate(row.replicate as u32),
                pair: serde_json::from_str(&row.pair)?,
            },
        })
    });
    Ok(ReplicationRecord {
        decisions: decisions.collect::<Result<_>>()?,
        verdict,
    })
}

/// Every worker, by name.
pub(crate) async fn workers(session: &mut Session) -> Result<Vec<WorkerView>> {
    let rows = query!(
        r#"SELECT name, state, cause, session, seen_at, about, failed,
                  (SELECT count(*) FROM attempt
                   JOIN job ON job.id = attempt.job AND job.attempt = attempt.attempt
                   WHERE attempt.worker = worker.id AND attempt.ended IS NULL
                     AND job.deadline IS NOT NULL) AS "held!"
           FROM worker ORDER BY name"#
    )
    .fetch_all(session)
    .await?;
    rows.into_iter()
        .map(|row| {
            let failed: Vec<String> = serde_json::from_str(&row.failed)?;
            Ok(WorkerView {
                name: rows::worker_name(&row.name)?,
                state: rows::worker_state(&row.state)?,
                cordoned: rows::cause(&row.cause)?,
                session: SessionId(row.session as u64),
                seen_at: Timestamp::from_ms(row.seen_at),
                about: serde_json::from_str(&row.about)?,
                held: row.held as u64,
                failed_in_a_row: failed.len() as u32,
                silent: false,
            })
        })
        .collect()
}
