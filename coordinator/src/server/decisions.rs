//! Which replicates the results of a sweep have given to its cells, and why.

use std::collections::{BTreeMap, BTreeSet};

use swath_model::id::CellDigest;
use swath_model::view::{CellResults, SCHEMA_VERSION, SweepView};
use swath_store::Store;

use super::error::ApiError;
use crate::api::{Decided, Decisions, NamedCell};

/// Every decision about a sweep, with the names of the cells that it is about.
pub(crate) async fn decisions(store: &dyn Store, sweep: SweepView) -> Result<Decisions, ApiError> {
    let record = store.replication(sweep.digest).await;
    let record = record.map_err(ApiError::from)?;
    let undecided = record.verdict.map_or_else(Vec::new, |it| it.undecided);
    let pairs = record.decisions.iter().map(|it| it.decision.pair);
    let pairs = pairs.chain(undecided.iter().map(|it| it.pair));
    let named: BTreeSet<CellDigest> = pairs
        .flat_map(|pair| [pair.better.cell, pair.worse.cell])
        .collect();
    let mut cells = Vec::new();
    if !named.is_empty() {
        cells = store
            .results(sweep.digest, None)
            .await
            .map_err(ApiError::from)?;
        cells.retain(|cell| named.contains(&cell.cell));
    }
    let by_digest: BTreeMap<CellDigest, &CellResults> =
        cells.iter().map(|cell| (cell.cell, cell)).collect();
    let job = |decision: &swath_model::replication::Decision| {
        let cell = by_digest.get(&decision.cell)?;
        let mut replicates = cell.replicates.iter();
        replicates
            .find(|it| it.replicate == decision.replicate)
            .map(|it| it.job)
    };
    let decided = record.decisions.iter().map(|it| Decided {
        job: job(&it.decision),
        decision: *it,
    });
    Ok(Decisions {
        schema_version: SCHEMA_VERSION,
        decisions: decided.collect(),
        undecided,
        cells: cells
            .into_iter()
            .map(|cell| NamedCell {
                cell: cell.cell,
                axes: cell.axes,
            })
            .collect(),
        sweep,
    })
}
