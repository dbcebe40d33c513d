//! What a commit writes, in the order of the lists of [`Changes`].
//!
//! Each list is one statement, or a few, with columns passed as arrays. Where
//! rows must exist, the number of written rows is checked.

mod around;
mod attempts;
mod copied;
mod copy;
mod credentials;
mod delete;
mod events;
mod inputs;
mod jobs;
mod logs;
mod sweeps;

use swath_model::outcome::Provenance;
use swath_store::{Changes, End};

use crate::error::{Failure, Result};
use crate::rows;
use crate::session::Session;
use crate::text;

/// Rows per statement; this keeps its parameters within some megabytes.
const CHUNK: usize = 16_384;

/// Keys of provenances: those stored before, and those that this transaction
/// stores.
pub(crate) struct Known<'a> {
    stored: &'a [(Provenance, i64)],
    fresh: Vec<(Provenance, i64)>,
}

impl<'a> Known<'a> {
    /// The keys at the beginning of a transaction.
    pub(crate) const fn new(stored: &'a [(Provenance, i64)]) -> Self {
        Self {
            stored,
            fresh: Vec::new(),
        }
    }

    /// The keys that this transaction stored, for use once it is committed.
    pub(crate) fn into_fresh(self) -> Vec<(Provenance, i64)> {
        self.fresh
    }

    fn find(&self, provenance: &Provenance) -> Option<i64> {
        let mut all = self.stored.iter().chain(&self.fresh);
        let found = all.find(|(known, _)| known == provenance);
        found.map(|(_, id)| *id)
    }

    fn get(&self, provenance: &Provenance) -> Result<i64> {
        self.find(provenance)
            .ok_or_else(|| Failure::Damaged("a provenance has no key".to_owned()))
    }
}

/// Writes everything, inside a transaction.
pub(crate) async fn write(
    session: &mut Session,
    known: &mut Known<'_>,
    changes: &Changes,
) -> Result<()> {
    sweeps::insert(session, &changes.new_sweeps).await?;
    sweeps::update(session, &changes.sweeps).await?;
    sweeps::relabel(session, &changes.labels).await?;
    inputs::insert(session, &changes.inputs).await?;
    inputs::insert_pieces(session, &changes.pieces).await?;
    inputs::ship(session, &changes.shipped).await?;
    sweeps::insert_cells(session, &changes.cells).await?;
    sweeps::change_needs(session, &changes.needs).await?;
    sweeps::insert_sweep_cells(session, &changes.sweep_cells).await?;
    sweeps::grow(session, &changes.grown).await?;
    around::write_workers(session, &changes.workers).await?;
    jobs::insert(session, &changes.new_jobs).await?;
    store_provenances(session, known, changes).await?;
    attempts::insert(session, &changes.attempts).await?;
    attempts::drop_outcomes(session, &changes.dropped).await?;
    attempts::insert_outcomes(session, known, &changes.outcomes).await?;
    attempts::end(session, known, &changes.ends).await?;
    attempts::lose(session, &changes.lost).await?;
    jobs::update(session, &changes.jobs).await?;
    attempts::insert_late(session, &changes.late).await?;
    logs::insert_observations(session, &changes.observations).await?;
    logs::append(session, &changes.logs).await?;
    around::insert_requests(session, &changes.requests).await?;
    around::write_replications(session, &changes.replications).await?;
    around::insert_decisions(session, &changes.decisions).await?;
    around::rename_imports(session, &changes.renamed).await?;
    around::forget_imports(session, &changes.forgotten).await?;
    around::insert_imports(session, &changes.imports).await?;
    credentials::write(session, &changes.credentials).await?;
    delete::write(session, &changes.deleted).await?;
    events::write(session, &changes.events).await?;
    match &changes.copied {
        Some(copied) => copied::write(session, copied).await,
        None => Ok(()),
    }
}

/// Stores the provenances that are not stored yet.
async fn store_provenances(
    session: &mut Session,
    known: &mut Known<'_>,
    changes: &Changes,
) -> Result<()> {
    let of_ends = changes.ends.iter().filter_map(|end| match &end.end {
        End::Released => None,
        End::Measured { provenance } | End::Failed { provenance, .. } => Some(provenance),
    });
    let all = changes.outcomes.iter().map(|row| &row.provenance);
    let mut missing: Vec<&Provenance> = Vec::new();
    for provenance in all.chain(of_ends) {
        if known.find(provenance).is_none() && !missing.contains(&provenance) {
            missing.push(provenance);
        }
    }
    for provenance in missing {
        let id = store_provenance(session, provenance).await?;
        known.fresh.push((provenance.clone(), id));
    }
    Ok(())
}

async fn store_provenance(session: &mut Session, provenance: &Provenance) -> Result<i64> {
    let digest = &rows::provenance_digest(provenance)[..];
    let [device, driver, libtorch, trainer, determinism] = [
        &provenance.device,
        &provenance.driver,
        &provenance.libtorch,
        &provenance.trainer,
        &provenance.determinism,
    ]
    .map(|text| text::kept(text));
    sqlx::query!(
        "INSERT INTO provenance (digest, device, driver, libtorch, trainer, threads, determinism)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
        digest,
        &*device,
        &*driver,
        &*libtorch,
        &*trainer,
        i64::from(provenance.threads),
        &*determinism
    )
    .execute(&mut *session)
    .await?;
    let id = sqlx::query_scalar!("SELECT id FROM provenance WHERE digest = $1", digest)
        .fetch_one(session)
        .await?;
    Ok(id)
}

/// Checks that as many rows were written as there were to write.
fn all_written(written: u64, wanted: usize, what: &str) -> Result<()> {
    if written == wanted as u64 {
        Ok(())
    } else {
        Err(Failure::Damaged(format!(
            "{written} of {wanted} {what} were there to be written"
        )))
    }
}
