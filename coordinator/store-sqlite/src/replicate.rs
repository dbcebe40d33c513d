//! Sweeps whose results decide how many replicates their cells get.

use sqlx::{SqliteConnection, query, query_scalar};
use swath_core::id::{Replicate, SweepDigest};
use swath_core::job::Event;
use swath_core::message::{Replicated, ReplicationDue};
use swath_core::replication::{Bounds, Decision, Look, Verdict};
use swath_core::seed::seed;
use swath_core::spec::job_digest;
use swath_core::time::Timestamp;
use swath_core::view::{DecisionView, ReplicationRecord};

use crate::error::Result;
use crate::rows;
use crate::submit;
use crate::sweep::{self, unknown};
use crate::writer::Tx;

/// Notes that results decide how many replicates the cells of a sweep get.
pub(crate) async fn insert(tx: &mut Tx, sweep: i64, most: u32) -> Result<()> {
    query!(
        "INSERT INTO replication (sweep, most) VALUES (?1, ?2)",
        sweep,
        most
    )
    .execute(&mut tx.conn)
    .await?;
    Ok(())
}

/// What is to be looked at, oldest sweep first.
pub(crate) async fn due(conn: &mut SqliteConnection) -> Result<Vec<ReplicationDue>> {
    let rows = query!(
        r#"SELECT sweep.digest, sweep.replicates, most, rounds, ended_at AS "ended_at!"
           FROM replication
           JOIN sweep ON sweep.id = replication.sweep
           JOIN sweep_counts ON sweep_counts.sweep = replication.sweep
           WHERE sweep.live = 1 AND sweep.paused = 0
             AND queued = 0 AND leased = 0 AND suspect = 0
             AND ended_at IS NOT NULL AND as_of IS NOT ended_at
           ORDER BY sweep.id"#
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(ReplicationDue {
                sweep: rows::sweep_digest(&row.digest)?,
                bounds: Bounds {
                    min: row.replicates as u32,
                    max: row.most as u32,
                },
                rounds: row.rounds as u32,
                ended_at: Timestamp::from_ms(row.ended_at),
            })
        })
        .collect()
}

/// Takes what a look found, if it was at what is still due.
pub(crate) async fn replicate(
    tx: &mut Tx,
    now: Timestamp,
    asked: ReplicationDue,
    look: Look,
) -> Result<Replicated> {
    let digest = &asked.sweep.as_bytes()[..];
    let sweep = query_scalar!(r#"SELECT id AS "id!" FROM sweep WHERE digest = ?1"#, digest)
        .fetch_optional(&mut tx.conn)
        .await?
        .ok_or_else(|| unknown(asked.sweep))?;
    if !due(&mut tx.conn).await?.contains(&asked) {
        return Ok(Replicated::default());
    }
    match look {
        Look::Open => Ok(Replicated::default()),
        Look::Seeds(decisions) => give(tx, now, sweep, asked, &decisions).await,
        Look::Settled(verdict) => {
            settle(tx, now, sweep, asked.ended_at, &verdict).await?;
            Ok(Replicated {
                settled: true,
                ..Replicated::default()
            })
        }
    }
}

async fn settle(
    tx: &mut Tx,
    now: Timestamp,
    sweep: i64,
    as_of: Timestamp,
    verdict: &Verdict,
) -> Result<()> {
    let (now, as_of) = (now.as_ms(), as_of.as_ms());
    let pairs = verdict.pairs as i64;
    let undecided = verdict.undecided.len() as i64;
    let verdict = rows::json(verdict);
    query!(
        "UPDATE replication SET settled_at = ?2, as_of = ?3, pairs = ?4, undecided = ?5, verdict = ?6
         WHERE sweep = ?1",
        sweep,
        now,
        as_of,
        pairs,
        undecided,
        verdict
    )
    .execute(&mut tx.conn)
    .await?;
    Ok(())
}

async fn give(
    tx: &mut Tx,
    now: Timestamp,
    sweep: i64,
    due: ReplicationDue,
    decisions: &[Decision],
) -> Result<Replicated> {
    let round = due.rounds + 1;
    let mut existing = Vec::new();
    let mut done = Replicated::default();
    for decision in decisions {
        let Replicate(next) = decision.replicate;
        if next > due.bounds.max {
            continue;
        }
        let Some(cell) = grow(tx, sweep, decision).await? else {
            continue;
        };
        done.seeds += 1;
        match insert_job(tx, now, &cell, decision).await? {
            None => done.new_jobs += 1,
            Some(job) => existing.push(job),
        }
        record(tx, now, sweep, cell.id, round, decision).await?;
    }
    if done.seeds == 0 {
        return Ok(done);
    }
    let seeds = done.seeds as i64;
    query!(
        "UPDATE replication SET rounds = ?2, seeds = seeds + ?3, settled_at = NULL, as_of = NULL,
             pairs = 0, undecided = 0, verdict = NULL
         WHERE sweep = ?1",
        sweep,
        round,
        seeds
    )
    .execute(&mut tx.conn)
    .await?;
    sweep::apply_to(tx, now, &existing, &Event::Want).await?;
    sweep::update_priorities(tx, sweep).await?;
    submit::insert_counts(tx, sweep).await?;
    Ok(done)
}

struct Cell {
    id: i64,
    spec: String,
}

/// Lets a cell of the sweep have the replicate; none where that is not its next.
async fn grow(tx: &mut Tx, sweep: i64, decision: &Decision) -> Result<Option<Cell>> {
    let digest = &decision.cell.as_bytes()[..];
    let Replicate(next) = decision.replicate;
    let cell = query!(
        r#"SELECT cell.id AS "id!", cell.spec FROM cell
           JOIN sweep_cell ON sweep_cell.cell = cell.id AND sweep_cell.sweep = ?1
           WHERE cell.digest = ?2 AND sweep_cell.replicates + 1 = ?3"#,
        sweep,
        digest,
        next
    )
    .fetch_optional(&mut tx.conn)
    .await?;
    let Some(cell) = cell else {
        return Ok(None);
    };
    query!(
        "UPDATE sweep_cell SET replicates = ?3 WHERE sweep = ?1 AND cell = ?2",
        sweep,
        cell.id,
        next
    )
    .execute(&mut tx.conn)
    .await?;
    Ok(Some(Cell {
        id: cell.id,
        spec: cell.spec,
    }))
}

/// The job of the decision: its key if it existed.
async fn insert_job(
    tx: &mut Tx,
    now: Timestamp,
    cell: &Cell,
    decision: &Decision,
) -> Result<Option<i64>> {
    let seed = seed(decision.cell, decision.replicate);
    let digest = job_digest(&cell.spec, seed);
    let digest = &digest.as_bytes()[..];
    let existing = query_scalar!(r#"SELECT id AS "id!" FROM job WHERE digest = ?1"#, digest)
        .fetch_optional(&mut tx.conn)
        .await?;
    if existing.is_some() {
        return Ok(existing);
    }
    let (seed, now) = (seed as i64, now.as_ms());
    query!(
        "INSERT INTO job (digest, cell, replicate, seed, state, not_before, granted_at)
         VALUES (?1, ?2, ?3, ?4, 'queued', ?5, ?5)",
        digest,
        cell.id,
        decision.replicate.0,
        seed,
        now
    )
    .execute(&mut tx.conn)
    .await?;
    Ok(None)
}

async fn record(
    tx: &mut Tx,
    now: Timestamp,
    sweep: i64,
    cell: i64,
    round: u32,
    decision: &Decision,
) -> Result<()> {
    let now = now.as_ms();
    let pair = rows::json(&decision.pair);
    query!(
        "INSERT INTO decision (sweep, place, round, decided_at, cell, replicate, pair)
         SELECT ?1, coalesce(max(place), 0) + 1, ?2, ?3, ?4, ?5, ?6
         FROM decision WHERE sweep = ?1",
        sweep,
        round,
        now,
        cell,
        decision.replicate.0,
        pair
    )
    .execute(&mut tx.conn)
    .await?;
    Ok(())
}

/// What was decided of a sweep, and how it is settled.
pub(crate) async fn recorded(
    conn: &mut SqliteConnection,
    digest: SweepDigest,
) -> Result<ReplicationRecord> {
    let bytes = &digest.as_bytes()[..];
    let sweep = query!(
        r#"SELECT sweep.id AS "id!", queued + leased + suspect AS "open!: i64", ended_at, as_of,
                  verdict
           FROM sweep
           JOIN sweep_counts ON sweep_counts.sweep = sweep.id
           LEFT JOIN replication ON replication.sweep = sweep.id
           WHERE sweep.digest = ?1"#,
        bytes
    )
    .fetch_optional(&mut *conn)
    .await?
    .ok_or_else(|| unknown(digest))?;
    let holds = sweep.open == 0 && sweep.as_of == sweep.ended_at;
    let verdict = sweep.verdict.filter(|_| holds);
    let verdict = verdict.map(|it| serde_json::from_str(&it)).transpose()?;
    let rows = query!(
        "SELECT round, decided_at, cell.digest, replicate, pair
         FROM decision JOIN cell ON cell.id = decision.cell
         WHERE decision.sweep = ?1 ORDER BY place",
        sweep.id
    )
    .fetch_all(conn)
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
