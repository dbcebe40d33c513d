//! A sweep's cells with their results.
//!
//! A large sweep has a hundred thousand jobs, and to hand a row over costs more
//! than to find it. So a cell is one row, which packs its replicates into a
//! text; numbers travel as bits, because SQLite rounds them when it writes them
//! out.

use std::collections::{BTreeMap, HashMap};

use futures_util::TryStreamExt;
use sqlx::{SqliteConnection, query};
use swath_core::id::{JobDigest, Replicate, SweepDigest};
use swath_core::job::StateName;
use swath_core::outcome::Provenance;
use swath_core::view::{CellResults, ReplicateResult};

use crate::error::{Failure, Result};
use crate::rows;
use crate::sweep::unknown;

/// A sweep's cells with the results of their replicates, in canonical order.
pub(crate) async fn results(
    conn: &mut SqliteConnection,
    digest: SweepDigest,
    last_epochs: u32,
) -> Result<Vec<CellResults>> {
    let bytes = &digest.as_bytes()[..];
    let sweep = query!("SELECT id, replicates FROM sweep WHERE digest = ?1", bytes)
        .fetch_optional(&mut *conn)
        .await?
        .ok_or_else(|| unknown(digest))?;
    let mut beside = Beside {
        provenances: provenances(conn).await?,
        of_failures: provenances_of_failures(conn, sweep.id).await?,
        errors: HashMap::new(),
        last_epochs: last_epochs as usize,
    };
    if last_epochs > 0 {
        beside.errors = test_errors(conn, sweep.id).await?;
    }
    let mut rows = query!(
        r#"SELECT sweep_cell.position, cell.digest, sweep_cell.axes,
                  group_concat(concat_ws(' ', job.id, job.replicate, job.seed, job.state,
                                         hex(job.digest), job.fault, outcome.provenance,
                                         hex(outcome.bits))) AS "replicates?: String"
           FROM sweep_cell
           CROSS JOIN cell ON cell.id = sweep_cell.cell
           LEFT JOIN job ON job.cell = sweep_cell.cell AND job.replicate <= ?2
           LEFT JOIN outcome ON outcome.job = job.id
           WHERE sweep_cell.sweep = ?1
           GROUP BY sweep_cell.position"#,
        sweep.id,
        sweep.replicates
    )
    .fetch(conn);
    let mut cells = Vec::new();
    while let Some(row) = rows.try_next().await? {
        let mut replicates = Vec::with_capacity(sweep.replicates as usize);
        if sweep.replicates > 0 {
            let packed = row.replicates.unwrap_or_default();
            for packed in packed.split(',') {
                replicates.push(unpack(packed, &mut beside)?);
            }
        }
        // The order within a group is SQLite's to choose.
        replicates.sort_unstable_by_key(|result: &ReplicateResult| result.replicate);
        cells.push(CellResults {
            index: row.position as u64,
            cell: rows::cell_digest(&row.digest)?,
            axes: serde_json::from_str(&row.axes)?,
            replicates,
        });
    }
    Ok(cells)
}

/// What few jobs need, or what many share.
struct Beside {
    provenances: BTreeMap<i64, Provenance>,
    /// By job.
    of_failures: HashMap<i64, i64>,
    /// By job.
    errors: HashMap<i64, Vec<f64>>,
    last_epochs: usize,
}

impl Beside {
    fn last_errors(&mut self, job: i64) -> Vec<f64> {
        if self.last_epochs == 0 {
            return Vec::new();
        }
        let mut errors = self.errors.remove(&job).unwrap_or_default();
        let surplus = errors.len().saturating_sub(self.last_epochs);
        errors.drain(..surplus);
        errors
    }
}

/// Reads one packed replicate: key, replicate, seed, state and digest; then the
/// fault of a failed job, or provenance and bits of a succeeded one.
fn unpack(packed: &str, beside: &mut Beside) -> Result<ReplicateResult> {
    fn read<T: std::str::FromStr>(word: Option<&str>) -> Option<T> {
        word?.parse().ok()
    }
    let mut words = packed.split(' ');
    let mut head = || {
        Some((
            read::<i64>(words.next())?,
            read::<u32>(words.next())?,
            read::<u64>(words.next())?,
            StateName::from_name(words.next()?)?,
            JobDigest::from_bytes(unhex(words.next()?)?),
        ))
    };
    let damaged = || Failure::Damaged(format!("a result reads `{packed}`"));
    let (id, replicate, seed, state, job) = head().ok_or_else(damaged)?;
    let mut result = ReplicateResult {
        replicate: Replicate(replicate),
        job,
        seed,
        state,
        fault: None,
        measurement: None,
        last_test_errors: beside.last_errors(id),
        provenance: None,
    };
    match state {
        StateName::Succeeded => {
            let provenance: Option<i64> = read(words.next());
            let bits = words.next().and_then(unhex);
            let (Some(provenance), Some(bits)) = (provenance, bits) else {
                return Err(damaged());
            };
            result.provenance = beside.provenances.get(&provenance).cloned();
            result.measurement = Some(rows::measurement(&bits));
        }
        StateName::Failed => {
            result.fault = rows::fault(words.next())?;
            let provenance = beside.of_failures.get(&id);
            let provenance = provenance.and_then(|id| beside.provenances.get(id));
            result.provenance = provenance.cloned();
        }
        _ => {}
    }
    Ok(result)
}

/// The 32 bytes of 64 upper-case hex digits.
fn unhex(text: &str) -> Option<[u8; 32]> {
    /// Above 15 for what is no digit.
    const DIGITS: [u8; 256] = {
        let mut digits = [0xff; 256];
        let mut value = 0;
        while value < 16 {
            digits[b"0123456789ABCDEF"[value] as usize] = value as u8;
            value += 1;
        }
        digits
    };
    let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let mut bytes = [0; 32];
    let mut all = 0;
    for (byte, pair) in bytes.iter_mut().zip(digits.as_chunks::<2>().0) {
        let [high, low] = pair.map(|digit| DIGITS[usize::from(digit)]);
        all |= high | low;
        *byte = high << 4 | low;
    }
    (all < 16).then_some(bytes)
}

async fn provenances(conn: &mut SqliteConnection) -> Result<BTreeMap<i64, Provenance>> {
    let rows = query!(
        "SELECT id, device, driver, libtorch, trainer, threads, determinism FROM provenance"
    )
    .fetch_all(conn)
    .await?;
    let provenances = rows.into_iter().map(|row| {
        let provenance = Provenance {
            device: row.device,
            driver: row.driver,
            libtorch: row.libtorch,
            trainer: row.trainer,
            threads: row.threads as u32,
            determinism: row.determinism,
        };
        (row.id, provenance)
    });
    Ok(provenances.collect())
}

/// What the newest attempts of failed jobs ran on, by job.
async fn provenances_of_failures(
    conn: &mut SqliteConnection,
    sweep: i64,
) -> Result<HashMap<i64, i64>> {
    let rows = query!(
        r#"SELECT job.id, attempt.provenance AS "provenance!"
           FROM job INDEXED BY job_failed
           CROSS JOIN sweep_cell ON sweep_cell.cell = job.cell AND sweep_cell.sweep = ?1
           CROSS JOIN attempt ON attempt.job = job.id AND attempt.attempt = job.attempt
           WHERE job.state = 'failed' AND attempt.provenance IS NOT NULL"#,
        sweep
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.id, row.provenance))
        .collect())
}

/// The test errors of succeeded jobs by epoch, by job. Later attempts replace
/// what earlier ones saw of the same epoch.
async fn test_errors(conn: &mut SqliteConnection, sweep: i64) -> Result<HashMap<i64, Vec<f64>>> {
    // With max() alone, SQLite takes the other columns from the same row.
    let mut rows = query!(
        r#"SELECT seen.job AS "job!", seen.epoch, max(seen.attempt) AS "attempt!: i64",
                  seen.test_error AS "test_error!"
           FROM sweep_job
           CROSS JOIN job ON job.id = sweep_job.job AND job.state = 'succeeded'
           CROSS JOIN observation AS seen ON seen.job = job.id
           WHERE sweep_job.sweep = ?1 AND seen.test_error IS NOT NULL
           GROUP BY seen.job, seen.epoch
           ORDER BY seen.job, seen.epoch"#,
        sweep
    )
    .fetch(conn);
    let mut errors: HashMap<i64, Vec<f64>> = HashMap::new();
    while let Some(row) = rows.try_next().await? {
        errors.entry(row.job).or_default().push(row.test_error);
    }
    Ok(errors)
}
