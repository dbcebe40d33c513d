//! Sweeps come, with their cells and jobs.

use sqlx::{query, query_scalar};
use swath_core::id::{Replicate, SweepDigest};
use swath_core::message::{Sources, Submission, Submitted, SubmittedCell};
use swath_core::probe::WorkloadKey;
use swath_core::seed::seed;
use swath_core::spec::job_digest;
use swath_core::time::Timestamp;
use swath_store::StoreError;

use crate::error::Result;
use crate::replicate;
use crate::rows;
use crate::sweep;
use crate::writer::Tx;

/// Cells per statement: keeps its parameters within a few megabytes.
const CHUNK: usize = 1024;

/// A submission ready for set-based statements. Made before the transaction:
/// hashing tens of thousands of jobs takes longer than storing them.
#[derive(Debug)]
pub(crate) struct Prepared {
    digest: SweepDigest,
    name: String,
    title: String,
    replicates: u32,
    replicates_max: Option<u32>,
    priority: i32,
    sources: Sources,
    definition: serde_json::Value,
    jobs: u64,
    /// Why it cannot be stored, if it is new.
    refused: Option<StoreError>,
    chunks: Vec<Chunk>,
}

/// Some cells in a row, and their jobs. Digests lie one after the other in a
/// blob, so that none of them is written as text and read again.
#[derive(Debug)]
struct Chunk {
    /// The position of the first cell.
    first: i64,
    cell_digests: Vec<u8>,
    workloads: Vec<u8>,
    /// JSON array.
    specs: String,
    /// That of all these cells.
    program: Option<String>,
    /// JSON array of axes, each as a JSON text.
    axes: String,
    job_digests: Vec<u8>,
    /// JSON array of the jobs' seeds.
    seeds: String,
}

impl Prepared {
    /// Derives the jobs of a submission.
    pub(crate) fn new(submission: Submission) -> Self {
        let refused = submission.cells.iter().find_map(|cell| check(cell).err());
        let replicates = submission.replicates;
        let mut first = 0;
        let alike = submission.cells.chunk_by(|a, b| a.program == b.program);
        let chunks = alike
            .flat_map(|cells| cells.chunks(CHUNK))
            .map(|cells| {
                let chunk = chunk(first, cells, replicates);
                first += cells.len() as i64;
                chunk
            })
            .collect();
        Self {
            digest: submission.digest,
            name: submission.name,
            title: submission.title,
            replicates,
            replicates_max: submission.replicates_max,
            priority: submission.priority,
            sources: submission.sources,
            definition: submission.definition,
            jobs: submission.cells.len() as u64 * u64::from(replicates),
            refused,
            chunks,
        }
    }
}

/// A spec without a place for its seed could never be granted.
fn check(cell: &SubmittedCell) -> swath_store::Result<()> {
    let is_object = cell.spec.trim_start().starts_with('{')
        && serde_json::from_str::<serde::de::IgnoredAny>(&cell.spec).is_ok();
    if is_object {
        return Ok(());
    }
    Err(StoreError::Conflict(format!(
        "the spec of cell {} is not a JSON object",
        cell.digest.short()
    )))
}

fn chunk(first: i64, cells: &[SubmittedCell], replicates: u32) -> Chunk {
    let jobs = cells.len() * replicates as usize;
    let mut cell_digests = Vec::with_capacity(cells.len() * 32);
    let mut workloads = Vec::with_capacity(cells.len() * 16);
    let mut job_digests = Vec::with_capacity(jobs * 32);
    let mut seeds = Vec::with_capacity(jobs);
    for cell in cells {
        cell_digests.extend_from_slice(cell.digest.as_bytes());
        workloads.extend_from_slice(&WorkloadKey::of_cell(&cell.spec).0);
        for replicate in 1..=replicates {
            let seed = seed(cell.digest, Replicate(replicate));
            job_digests.extend_from_slice(job_digest(&cell.spec, seed).as_bytes());
            seeds.push(seed);
        }
    }
    let specs: Vec<&String> = cells.iter().map(|cell| &cell.spec).collect();
    let axes: Vec<String> = cells.iter().map(|cell| rows::json(&cell.axes)).collect();
    Chunk {
        first,
        cell_digests,
        workloads,
        specs: rows::json(&specs),
        program: cells.first().and_then(|cell| cell.program.clone()),
        axes: rows::json(&axes),
        job_digests,
        seeds: rows::json(&seeds),
    }
}

/// Stores a sweep with its cells and the jobs that do not exist yet.
pub(crate) async fn submit(
    tx: &mut Tx,
    now: Timestamp,
    mut prepared: Prepared,
) -> Result<Submitted> {
    let digest = &prepared.digest.as_bytes()[..];
    let existing = query!("SELECT id, live FROM sweep WHERE digest = ?1", digest)
        .fetch_optional(&mut tx.conn)
        .await?;
    if let Some(existing) = existing {
        let live = existing.live != 0;
        return resubmit(tx, now, existing.id, live, &prepared).await;
    }
    if let Some(refused) = prepared.refused.take() {
        return Err(refused.into());
    }
    let sweep = insert_sweep(tx, now, &prepared).await?;
    let mut new_jobs = 0;
    for chunk in &prepared.chunks {
        insert_cells(tx, sweep, chunk, prepared.replicates).await?;
        new_jobs += insert_jobs(tx, now, sweep, chunk, &prepared).await?;
    }
    let mut succeeded = 0;
    // What is new is wanted and has its priority already.
    if new_jobs < prepared.jobs {
        succeeded = count_succeeded(tx, sweep).await?;
        sweep::want(tx, now, sweep).await?;
        sweep::update_priorities(tx, sweep).await?;
    }
    insert_counts(tx, sweep).await?;
    if let Some(most) = prepared.replicates_max {
        replicate::insert(tx, sweep, most).await?;
    }
    Ok(Submitted {
        existed: false,
        revived: false,
        jobs: prepared.jobs,
        new_jobs,
        succeeded,
    })
}

async fn resubmit(
    tx: &mut Tx,
    now: Timestamp,
    sweep: i64,
    live: bool,
    prepared: &Prepared,
) -> Result<Submitted> {
    let succeeded = count_succeeded(tx, sweep).await?;
    if !live {
        query!(
            "UPDATE sweep SET live = 1, paused = 0, reason = '' WHERE id = ?1",
            sweep
        )
        .execute(&mut tx.conn)
        .await?;
        sweep::want(tx, now, sweep).await?;
    }
    let changed = query!(
        "UPDATE sweep SET priority = ?2 WHERE id = ?1 AND priority <> ?2",
        sweep,
        prepared.priority
    )
    .execute(&mut tx.conn)
    .await?
    .rows_affected();
    if !live || changed > 0 {
        sweep::update_priorities(tx, sweep).await?;
    }
    let jobs = query_scalar!(
        r#"SELECT coalesce(sum(replicates), 0) AS "jobs!: i64" FROM sweep_cell WHERE sweep = ?1"#,
        sweep
    )
    .fetch_one(&mut tx.conn)
    .await?;
    Ok(Submitted {
        existed: true,
        revived: !live,
        jobs: jobs as u64,
        new_jobs: 0,
        succeeded,
    })
}

async fn insert_sweep(tx: &mut Tx, now: Timestamp, prepared: &Prepared) -> Result<i64> {
    let digest = &prepared.digest.as_bytes()[..];
    let sources = rows::json(&prepared.sources);
    let definition = rows::json(&prepared.definition);
    let now = now.as_ms();
    let new = query!(
        "INSERT INTO sweep
             (digest, name, title, replicates, priority, sources, definition, submitted_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        digest,
        prepared.name,
        prepared.title,
        prepared.replicates,
        prepared.priority,
        sources,
        definition,
        now
    )
    .execute(&mut tx.conn)
    .await?;
    Ok(new.last_insert_rowid())
}

async fn insert_cells(tx: &mut Tx, sweep: i64, chunk: &Chunk, replicates: u32) -> Result<()> {
    query!(
        "INSERT INTO cell (digest, spec, program, workload)
         SELECT substr(?1, line.key * 32 + 1, 32), line.value, ?3,
                substr(?4, line.key * 16 + 1, 16)
         FROM json_each(?2) AS line
         WHERE true
         ON CONFLICT (digest) DO NOTHING",
        chunk.cell_digests,
        chunk.specs,
        chunk.program,
        chunk.workloads
    )
    .execute(&mut tx.conn)
    .await?;
    query!(
        "INSERT INTO sweep_cell (sweep, position, cell, axes, replicates)
         SELECT ?1, ?2 + line.key, cell.id, line.value, ?5
         FROM json_each(?4) AS line
         CROSS JOIN cell ON cell.digest = substr(?3, line.key * 32 + 1, 32)",
        sweep,
        chunk.first,
        chunk.cell_digests,
        chunk.axes,
        replicates
    )
    .execute(&mut tx.conn)
    .await?;
    Ok(())
}

/// Says how many of the chunk's jobs did not exist.
async fn insert_jobs(
    tx: &mut Tx,
    now: Timestamp,
    sweep: i64,
    chunk: &Chunk,
    prepared: &Prepared,
) -> Result<u64> {
    let now = now.as_ms();
    // The order of the seeds is the order of submission: it decides the keys.
    let inserted = query!(
        "INSERT INTO job (digest, cell, replicate, seed, priority, state, not_before, granted_at)
         SELECT substr(?1, line.key * 32 + 1, 32), sweep_cell.cell, line.key % ?5 + 1, line.value,
                ?6, 'queued', ?7, ?7
         FROM json_each(?2) AS line
         CROSS JOIN sweep_cell
             ON sweep_cell.sweep = ?3 AND sweep_cell.position = ?4 + line.key / ?5
         WHERE true
         ON CONFLICT DO NOTHING",
        chunk.job_digests,
        chunk.seeds,
        sweep,
        chunk.first,
        prepared.replicates,
        prepared.priority,
        now
    )
    .execute(&mut tx.conn)
    .await?;
    Ok(inserted.rows_affected())
}

/// Counts the jobs of a sweep that is new or got more; from then on a trigger
/// keeps the counts.
pub(crate) async fn insert_counts(tx: &mut Tx, sweep: i64) -> Result<()> {
    query!(
        "REPLACE INTO sweep_counts
             (sweep, cells, queued, leased, suspect, succeeded, failed, diverged, cancelled, ended_at)
         SELECT ?1, (SELECT count(*) FROM sweep_cell WHERE sweep_cell.sweep = ?1),
                count(*) FILTER (WHERE job.state = 'queued'),
                count(*) FILTER (WHERE job.state = 'leased'),
                count(*) FILTER (WHERE job.state = 'suspect'),
                count(*) FILTER (WHERE job.state = 'succeeded'),
                count(*) FILTER (WHERE job.fault <> 'diverged'),
                count(*) FILTER (WHERE job.fault = 'diverged'),
                count(*) FILTER (WHERE job.state = 'cancelled'),
                max(job.ended_at)
         FROM sweep_job JOIN job ON job.id = sweep_job.job
         WHERE sweep_job.sweep = ?1",
        sweep
    )
    .execute(&mut tx.conn)
    .await?;
    Ok(())
}

async fn count_succeeded(tx: &mut Tx, sweep: i64) -> Result<u64> {
    let count = query_scalar!(
        r#"SELECT count(*) AS "count!: i64" FROM sweep_job JOIN job ON job.id = sweep_job.job
           WHERE sweep_job.sweep = ?1 AND job.state = 'succeeded'"#,
        sweep
    )
    .fetch_one(&mut tx.conn)
    .await?;
    Ok(count as u64)
}
