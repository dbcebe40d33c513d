//! Finds the jobs that a query means, as keys. Each statement uses an index
//! that leads to few rows: a store holds millions of jobs, and most queries
//! mean a handful of them.

use sqlx::{SqliteConnection, query, query_scalar};
use swath_model::id::{JobDigest, SweepDigest};
use swath_model::job::StateName;
use swath_model::message::JobQuery;

use crate::error::Result;
use crate::rows;

/// A sweep's jobs are read in the order of their keys if at least one of so
/// many rows, from its first job to its last, belongs to it.
const SPARSE: i64 = 8;

/// The parameters of every statement.
struct Asked {
    sweep: Option<i64>,
    /// A JSON array of state names; none: any state.
    states: Option<String>,
    after: i64,
    /// The limit; below 0: no limit.
    limit: i64,
}

/// The keys of the matching jobs, in order of submission.
pub(super) async fn ids(conn: &mut SqliteConnection, query: &JobQuery) -> Result<Vec<i64>> {
    let sweep = match query.sweep {
        None => None,
        Some(digest) => match sweep_id(conn, digest).await? {
            None => return Ok(Vec::new()),
            some => some,
        },
    };
    let after = match query.after {
        None => 0,
        Some(digest) => match job_id(conn, digest).await? {
            None => return Ok(Vec::new()),
            Some(id) => id,
        },
    };
    let states: Vec<&str> = query.states.iter().map(|state| state.name()).collect();
    let asked = Asked {
        sweep,
        states: (!states.is_empty()).then(|| rows::json(&states)),
        after,
        limit: query.limit.map_or(-1, i64::from),
    };
    if let Some(prefix) = query.prefix.as_deref().filter(|prefix| !prefix.is_empty()) {
        return by_digest(conn, prefix, &asked).await;
    }
    let open = |state: &StateName| matches!(state, StateName::Leased | StateName::Suspect);
    if !query.states.is_empty() && query.states.iter().all(open) {
        return under_lease(conn, &asked).await;
    }
    match sweep {
        Some(sweep) => of_sweep(conn, sweep, &asked).await,
        None => of_any(conn, &asked).await,
    }
}

/// The keys of the jobs that failed last, the newest first.
pub(super) async fn last_failed(
    conn: &mut SqliteConnection,
    sweep: Option<SweepDigest>,
    limit: u32,
) -> Result<Vec<i64>> {
    let Some(digest) = sweep else {
        let ids = query_scalar!(
            r#"SELECT id AS "id!" FROM job INDEXED BY job_failed_last WHERE state = 'failed'
               ORDER BY ended_at DESC, id LIMIT ?1"#,
            limit
        );
        return Ok(ids.fetch_all(conn).await?);
    };
    let Some(sweep) = sweep_id(conn, digest).await? else {
        return Ok(Vec::new());
    };
    let ids = query_scalar!(
        r#"SELECT job.id AS "id!" FROM sweep
           CROSS JOIN sweep_cell ON sweep_cell.sweep = sweep.id
           CROSS JOIN job INDEXED BY job_failed
               ON job.cell = sweep_cell.cell AND job.replicate <= sweep_cell.replicates
           WHERE sweep.id = ?1 AND job.state = 'failed'
           ORDER BY job.ended_at DESC, job.id LIMIT ?2"#,
        sweep,
        limit
    );
    Ok(ids.fetch_all(conn).await?)
}

async fn sweep_id(conn: &mut SqliteConnection, digest: SweepDigest) -> Result<Option<i64>> {
    let digest = &digest.as_bytes()[..];
    let id = query_scalar!(r#"SELECT id AS "id!" FROM sweep WHERE digest = ?1"#, digest);
    Ok(id.fetch_optional(conn).await?)
}

async fn job_id(conn: &mut SqliteConnection, digest: JobDigest) -> Result<Option<i64>> {
    let digest = &digest.as_bytes()[..];
    let id = query_scalar!(r#"SELECT id AS "id!" FROM job WHERE digest = ?1"#, digest);
    Ok(id.fetch_optional(conn).await?)
}

async fn by_digest(conn: &mut SqliteConnection, prefix: &str, asked: &Asked) -> Result<Vec<i64>> {
    let Some((least, greatest)) = digests_from(prefix) else {
        return Ok(Vec::new());
    };
    let ids = query_scalar!(
        r#"SELECT job.id AS "id!" FROM job
           WHERE job.digest BETWEEN ?1 AND ?2 AND +job.id > ?3
             AND (?4 IS NULL OR job.state IN (SELECT value FROM json_each(?4)))
             AND (?5 IS NULL OR EXISTS (
                 SELECT 1 FROM sweep_cell
                 WHERE sweep_cell.sweep = ?5 AND sweep_cell.cell = job.cell
                   AND sweep_cell.replicates >= job.replicate))
           ORDER BY job.id LIMIT ?6"#,
        least,
        greatest,
        asked.after,
        asked.states,
        asked.sweep,
        asked.limit
    );
    Ok(ids.fetch_all(conn).await?)
}

/// The least and the greatest digest that start with these hex digits.
fn digests_from(prefix: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if prefix.len() > 64 || !prefix.bytes().all(is_hex) {
        return None;
    }
    let filled = |digit: char| {
        let mut text = prefix.to_owned();
        text.extend(std::iter::repeat_n(digit, 64 - prefix.len()));
        text.parse()
            .ok()
            .map(|digest: JobDigest| digest.as_bytes().to_vec())
    };
    Some((filled('0')?, filled('f')?))
}

/// Leased and suspect jobs; there are as many as slots.
async fn under_lease(conn: &mut SqliteConnection, asked: &Asked) -> Result<Vec<i64>> {
    let ids = query_scalar!(
        r#"SELECT job.id AS "id!" FROM job INDEXED BY job_lease_of_worker
           WHERE job.deadline IS NOT NULL AND +job.id > ?1
             AND job.state IN (SELECT value FROM json_each(?2))
             AND (?3 IS NULL OR EXISTS (
                 SELECT 1 FROM sweep_cell
                 WHERE sweep_cell.sweep = ?3 AND sweep_cell.cell = job.cell
                   AND sweep_cell.replicates >= job.replicate))
           ORDER BY job.id LIMIT ?4"#,
        asked.after,
        asked.states,
        asked.sweep,
        asked.limit
    );
    Ok(ids.fetch_all(conn).await?)
}

/// Jobs of a sweep: along the keys where its jobs are close together, as in a
/// sweep that was all new; otherwise along its cells.
async fn of_sweep(conn: &mut SqliteConnection, sweep: i64, asked: &Asked) -> Result<Vec<i64>> {
    let range = query!(
        r#"SELECT min(job) AS "first: i64", max(job) AS "last: i64", count(*) AS "jobs!: i64"
           FROM sweep_job WHERE sweep = ?1"#,
        sweep
    )
    .fetch_one(&mut *conn)
    .await?;
    let (Some(first), Some(last)) = (range.first, range.last) else {
        return Ok(Vec::new());
    };
    if last - first >= range.jobs.saturating_mul(SPARSE) {
        let ids = query_scalar!(
            r#"SELECT job.id AS "id!" FROM sweep
               CROSS JOIN sweep_cell ON sweep_cell.sweep = sweep.id
               CROSS JOIN job ON job.cell = sweep_cell.cell
                   AND job.replicate <= sweep_cell.replicates
               WHERE sweep.id = ?1 AND +job.id > ?2
                 AND (?3 IS NULL OR job.state IN (SELECT value FROM json_each(?3)))
               ORDER BY job.id LIMIT ?4"#,
            sweep,
            asked.after,
            asked.states,
            asked.limit
        );
        return Ok(ids.fetch_all(conn).await?);
    }
    let after = asked.after.max(first - 1);
    let ids = query_scalar!(
        r#"SELECT job.id AS "id!" FROM sweep
           CROSS JOIN job ON job.id > ?2 AND job.id <= ?3
           WHERE sweep.id = ?1
             AND (?4 IS NULL OR job.state IN (SELECT value FROM json_each(?4)))
             AND EXISTS (SELECT 1 FROM sweep_cell
                         WHERE sweep_cell.sweep = sweep.id AND sweep_cell.cell = job.cell
                           AND sweep_cell.replicates >= job.replicate)
           ORDER BY job.id LIMIT ?5"#,
        sweep,
        after,
        last,
        asked.states,
        asked.limit
    );
    Ok(ids.fetch_all(conn).await?)
}

async fn of_any(conn: &mut SqliteConnection, asked: &Asked) -> Result<Vec<i64>> {
    let ids = query_scalar!(
        r#"SELECT id AS "id!" FROM job
           WHERE id > ?1 AND (?2 IS NULL OR state IN (SELECT value FROM json_each(?2)))
           ORDER BY id LIMIT ?3"#,
        asked.after,
        asked.states,
        asked.limit
    );
    Ok(ids.fetch_all(conn).await?)
}
