//! What was decided about the replicates of a sweep.

use sqlx::{SqliteConnection, query};
use swath_model::id::{Replicate, SweepDigest};
use swath_model::replication::Decision;
use swath_model::time::Timestamp;
use swath_model::view::{DecisionView, ReplicationRecord};

use super::unknown;
use crate::error::Result;
use crate::rows;

/// What was decided about a sweep, and how it is settled.
pub(crate) async fn replication(
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
