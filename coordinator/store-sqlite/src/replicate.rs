//! Sweeps whose results decide how many replicates their cells get.

use std::collections::BTreeSet;

use serde::Serialize;
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
    let given = next_ones(tx, sweep, due.bounds.max, decisions).await?;
    if given.rows.is_empty() {
        return Ok(Replicated::default());
    }
    let existing = existing(tx, &given).await?;
    let new_jobs = insert_jobs(tx, now, &given).await?;
    record(tx, now, sweep, round, &given).await?;
    let seeds = given.rows.len() as i64;
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
    Ok(Replicated {
        seeds: seeds as u64,
        new_jobs,
        settled: false,
    })
}

/// The decisions of a round that count: thousands, so that each statement takes
/// all of them.
#[derive(Default)]
struct Given {
    rows: Vec<Row>,
    /// One after the other, as in a submission.
    job_digests: Vec<u8>,
}

#[derive(Serialize)]
struct Row {
    cell: i64,
    replicate: u32,
    seed: u64,
    pair: String,
}

/// Those that give a cell of the sweep its next replicate, at most its `max`-th.
async fn next_ones(tx: &mut Tx, sweep: i64, max: u32, decisions: &[Decision]) -> Result<Given> {
    let digests = decisions.iter().flat_map(|it| *it.cell.as_bytes());
    let digests: Vec<u8> = digests.collect();
    let replicates: Vec<u32> = decisions.iter().map(|it| it.replicate.0).collect();
    let replicates = rows::json(&replicates);
    let cells = query!(
        r#"SELECT line.key + 0 AS "place!: i64", cell.id AS "cell!: i64", cell.spec
           FROM json_each(?3) AS line
           CROSS JOIN cell ON cell.digest = substr(?2, line.key * 32 + 1, 32)
           CROSS JOIN sweep_cell ON sweep_cell.cell = cell.id AND sweep_cell.sweep = ?1
           WHERE sweep_cell.replicates + 1 = line.value AND line.value <= ?4
           ORDER BY line.key"#,
        sweep,
        digests,
        replicates,
        max
    )
    .fetch_all(&mut tx.conn)
    .await?;
    let mut given = Given::default();
    let mut seen = BTreeSet::new();
    for found in cells {
        let Some(decision) = decisions.get(found.place as usize) else {
            continue;
        };
        if !seen.insert(found.cell) {
            continue;
        }
        let seed = seed(decision.cell, decision.replicate);
        let digest = job_digest(&found.spec, seed);
        given.job_digests.extend_from_slice(digest.as_bytes());
        given.rows.push(Row {
            cell: found.cell,
            replicate: decision.replicate.0,
            seed,
            pair: rows::json(&decision.pair),
        });
    }
    Ok(given)
}

/// The keys of the jobs that exist already.
async fn existing(tx: &mut Tx, given: &Given) -> Result<Vec<i64>> {
    let places: Vec<usize> = (0..given.rows.len()).collect();
    let places = rows::json(&places);
    let ids = query_scalar!(
        r#"SELECT job.id AS "id!: i64" FROM json_each(?2) AS line
           CROSS JOIN job ON job.digest = substr(?1, line.value * 32 + 1, 32)"#,
        given.job_digests,
        places
    );
    Ok(ids.fetch_all(&mut tx.conn).await?)
}

/// Says how many of the jobs did not exist.
async fn insert_jobs(tx: &mut Tx, now: Timestamp, given: &Given) -> Result<u64> {
    let now = now.as_ms();
    let lines = rows::json(&given.rows);
    // The order of the lines is the order of submission.
    let inserted = query!(
        "INSERT INTO job (digest, cell, replicate, seed, state, not_before, granted_at)
         SELECT substr(?1, line.key * 32 + 1, 32), line.value ->> 'cell',
                line.value ->> 'replicate', line.value ->> 'seed', 'queued', ?3, ?3
         FROM json_each(?2) AS line
         WHERE true
         ON CONFLICT DO NOTHING",
        given.job_digests,
        lines,
        now
    )
    .execute(&mut tx.conn)
    .await?;
    Ok(inserted.rows_affected())
}

/// Lets the cells have their replicates, and keeps the reasons.
async fn record(tx: &mut Tx, now: Timestamp, sweep: i64, round: u32, given: &Given) -> Result<()> {
    let now = now.as_ms();
    let lines = rows::json(&given.rows);
    query!(
        "UPDATE sweep_cell SET replicates = replicates + 1
         WHERE sweep = ?1 AND cell IN (SELECT line.value ->> 'cell' FROM json_each(?2) AS line)",
        sweep,
        lines
    )
    .execute(&mut tx.conn)
    .await?;
    query!(
        "INSERT INTO decision (sweep, place, round, decided_at, cell, replicate, pair)
         SELECT ?1, line.key + 1 + (SELECT count(*) FROM decision WHERE sweep = ?1), ?2, ?3,
                line.value ->> 'cell', line.value ->> 'replicate', line.value ->> 'pair'
         FROM json_each(?4) AS line",
        sweep,
        round,
        now,
        lines
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
