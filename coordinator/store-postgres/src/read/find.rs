//! Finds the jobs that a query means, as keys. Each statement uses an index
//! that leads to few rows: a store holds millions of jobs, and most queries
//! mean a handful of them.

use sqlx::{query, query_scalar};
use swath_model::id::{JobDigest, SweepDigest};
use swath_model::job::StateName;
use swath_model::message::JobQuery;

use crate::error::Result;
use crate::session::Session;

/// A sweep's jobs are read in the order of their keys if at least one of so
/// many rows, from its first job to its last, belongs to it.
const SPARSE: i64 = 8;

/// The parameters of every statement.
struct Asked {
    sweep: Option<i64>,
    /// The names of states; none: any state.
    states: Option<Vec<String>>,
    after: i64,
    /// The limit; none: no limit.
    limit: Option<i64>,
}

/// The keys of the matching jobs, in order of submission.
pub(super) async fn ids(session: &mut Session, query: &JobQuery) -> Result<Vec<i64>> {
    let sweep = match query.sweep {
        None => None,
        Some(digest) => match sweep_id(session, digest).await? {
            None => return Ok(Vec::new()),
            some => some,
        },
    };
    let after = match query.after {
        None => 0,
        Some(digest) => match job_id(session, digest).await? {
            None => return Ok(Vec::new()),
            Some(id) => id,
        },
    };
    let states = query.states.iter().map(|state| state.name().to_owned());
    let states: Vec<String> = states.collect();
    let asked = Asked {
        sweep,
        states: (!states.is_empty()).then_some(states),
        after,
        limit: query.limit.map(i64::from),
    };
    if let Some(prefix) = query.prefix.as_deref().filter(|prefix| !prefix.is_empty()) {
        return by_digest(session, prefix, &asked).await;
    }
    let held = |state: &StateName| matches!(state, StateName::Leased | StateName::Suspect);
    if !query.states.is_empty() && query.states.iter().all(held) {
        return under_lease(session, &asked).await;
    }
    match sweep {
        Some(sweep) => of_sweep(session, sweep, &asked).await,
        None => of_any(session, &asked).await,
    }
}

/// The keys of the jobs that failed last, the newest first.
pub(super) async fn last_failed(
    session: &mut Session,
    sweep: Option<SweepDigest>,
    limit: u32,
) -> Result<Vec<i64>> {
    let Some(digest) = sweep else {
        let ids = query_scalar!(
            "SELECT id FROM job WHERE fault IS NOT NULL ORDER BY ended_at DESC, id LIMIT $1",
            i64::from(limit)
        );
        return Ok(ids.fetch_all(session).await?);
    };
    let Some(sweep) = sweep_id(session, digest).await? else {
        return Ok(Vec::new());
    };
    let ids = query_scalar!(
        "SELECT job.id FROM sweep_cell
         JOIN job ON job.cell = sweep_cell.cell AND job.replicate <= sweep_cell.replicates
         WHERE sweep_cell.sweep = $1 AND job.fault IS NOT NULL
         ORDER BY job.ended_at DESC, job.id LIMIT $2",
        sweep,
        i64::from(limit)
    );
    Ok(ids.fetch_all(session).await?)
}

async fn sweep_id(session: &mut Session, digest: SweepDigest) -> Result<Option<i64>> {
    let digest = &digest.as_bytes()[..];
    let id = query_scalar!("SELECT id FROM sweep WHERE digest = $1", digest);
    Ok(id.fetch_optional(session).await?)
}

async fn job_id(session: &mut Session, digest: JobDigest) -> Result<Option<i64>> {
    let digest = &digest.as_bytes()[..];
    let id = query_scalar!("SELECT id FROM job WHERE digest = $1", digest);
    Ok(id.fetch_optional(session).await?)
}

async fn by_digest(session: &mut Session, prefix: &str, asked: &Asked) -> Result<Vec<i64>> {
    let Some((least, greatest)) = digests_from(prefix) else {
        return Ok(Vec::new());
    };
    // The digests come first, because their index leads to few rows; then the
    // keys.
    let ids = query_scalar!(
        "WITH named AS MATERIALIZED (
             SELECT id, cell, replicate, state FROM job WHERE digest BETWEEN $1 AND $2)
         SELECT named.id FROM named
         WHERE named.id > $3
           AND ($4::text[] IS NULL OR named.state = ANY($4::text[]))
           AND ($5::bigint IS NULL OR EXISTS (
               SELECT 1 FROM sweep_cell
               WHERE sweep_cell.sweep = $5 AND sweep_cell.cell = named.cell
                 AND sweep_cell.replicates >= named.replicate))
         ORDER BY named.id LIMIT $6",
        least,
        greatest,
        asked.after,
        asked.states.as_deref() as Option<&[String]>,
        asked.sweep as Option<i64>,
        asked.limit as Option<i64>
    );
    Ok(ids.fetch_all(session).await?)
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
async fn under_lease(session: &mut Session, asked: &Asked) -> Result<Vec<i64>> {
    let ids = query_scalar!(
        "WITH held AS MATERIALIZED (
             SELECT job.id, job.cell, job.replicate, job.state FROM attempt
             JOIN job ON job.id = attempt.job AND job.attempt = attempt.attempt
             WHERE attempt.ended IS NULL AND job.deadline IS NOT NULL)
         SELECT held.id FROM held
         WHERE held.id > $1
           AND held.state = ANY($2::text[])
           AND ($3::bigint IS NULL OR EXISTS (
               SELECT 1 FROM sweep_cell
               WHERE sweep_cell.sweep = $3 AND sweep_cell.cell = held.cell
                 AND sweep_cell.replicates >= held.replicate))
         ORDER BY held.id LIMIT $4",
        asked.after,
        asked.states.as_deref() as Option<&[String]>,
        asked.sweep as Option<i64>,
        asked.limit as Option<i64>
    );
    Ok(ids.fetch_all(session).await?)
}

/// Jobs of a sweep: along the keys where its jobs are close together, as in a
/// sweep that was all new; otherwise along its cells.
async fn of_sweep(session: &mut Session, sweep: i64, asked: &Asked) -> Result<Vec<i64>> {
    let range = query!(
        r#"SELECT min(job) AS first, max(job) AS last, count(*) AS "jobs!"
           FROM sweep_job WHERE sweep = $1"#,
        sweep
    )
    .fetch_one(&mut *session)
    .await?;
    let (Some(first), Some(last)) = (range.first, range.last) else {
        return Ok(Vec::new());
    };
    let lie_apart = last - first >= range.jobs.saturating_mul(SPARSE);
    if lie_apart || asked.limit.is_none() {
        let ids = query_scalar!(
            "SELECT job.id FROM sweep_cell
             JOIN job ON job.cell = sweep_cell.cell AND job.replicate <= sweep_cell.replicates
             WHERE sweep_cell.sweep = $1 AND job.id > $2
               AND ($3::text[] IS NULL OR job.state = ANY($3::text[]))
             ORDER BY job.id LIMIT $4",
            sweep,
            asked.after,
            asked.states.as_deref() as Option<&[String]>,
            asked.limit as Option<i64>
        );
        return Ok(ids.fetch_all(session).await?);
    }
    let after = asked.after.max(first - 1);
    let ids = query_scalar!(
        "SELECT job.id FROM job
         WHERE job.id > $2 AND job.id <= $3
           AND ($4::text[] IS NULL OR job.state = ANY($4::text[]))
           AND (SELECT sweep_cell.replicates >= job.replicate FROM sweep_cell
                WHERE sweep_cell.sweep = $1 AND sweep_cell.cell = job.cell)
         ORDER BY job.id LIMIT $5",
        sweep,
        after,
        last,
        asked.states.as_deref() as Option<&[String]>,
        asked.limit as Option<i64>
    );
    Ok(ids.fetch_all(session).await?)
}

async fn of_any(session: &mut Session, asked: &Asked) -> Result<Vec<i64>> {
    let ids = query_scalar!(
        "SELECT id FROM job
         WHERE id > $1 AND ($2::text[] IS NULL OR state = ANY($2::text[]))
         ORDER BY id LIMIT $3",
        asked.after,
        asked.states.as_deref() as Option<&[String]>,
        asked.limit as Option<i64>
    );
    Ok(ids.fetch_all(session).await?)
}
