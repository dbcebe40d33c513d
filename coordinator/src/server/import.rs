//! Imported numbers, from a file to the store.

use std::sync::Arc;

use swath_model::import::ImportBatch;
use swath_model::view::SweepRecord;
use swath_results::import::{self, Candidate, CandidateCell, NoTarget};
use swath_store::Store;

use super::access::Whose;
use super::change::said;
use super::error::ApiError;
use super::state::State;
use super::submit::submission;
use crate::api::{Changed, ImportOrder};

/// Reads a file and stores its numbers, all or none.
pub(crate) async fn import(
    state: &Arc<State>,
    whose: Whose<'_>,
    order: ImportOrder,
) -> Result<Changed, ApiError> {
    let store = &*state.store;
    let sweeps = sweeps(store, whose, &order).await?;
    let mut sources = Vec::new();
    for sweep in &sweeps {
        let found = store.sources(sweep.digest).await;
        sources.push((sweep.name.clone(), found.map_err(ApiError::from)?));
    }
    let (file, replace) = (order.file.clone(), order.replace);
    // Expanding large grids occupies a core for a while.
    let read = tokio::task::spawn_blocking(move || {
        let mut candidates = Vec::new();
        for (sweep, sources) in sources {
            let submission = submission(sources, 0).map_err(|error| error.to_string())?;
            let cells = submission.cells.into_iter().map(|cell| CandidateCell {
                digest: cell.digest,
                axes: cell.axes,
                // Canonical specs are JSON.
                spec: serde_json::from_str(&cell.spec).unwrap_or_default(),
            });
            candidates.push(Candidate {
                sweep,
                cells: cells.collect(),
            });
        }
        let ImportOrder {
            file,
            text,
            source,
            table,
            ..
        } = order;
        import::read(&file, &text, &source, table.as_deref(), &candidates).map_err(|errors| {
            let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
            lines.join("\n")
        })
    });
    let rows = read
        .await
        .map_err(ApiError::internal)?
        .map_err(ApiError::invalid)?;
    if rows.is_empty() {
        let message = format!("{file}: no row has a test error; nothing is imported");
        return Err(ApiError::invalid(message));
    }
    let batch = ImportBatch { replace, rows };
    let counts = state.engine.import(state.now(), batch).await;
    let counts = counts.map_err(ApiError::from)?;
    let names: Vec<_> = sweeps.iter().map(|it| format!("`{}`", it.name)).collect();
    let new = numbers(counts.new);
    let mut parts = vec![format!(
        "{new} of {file} imported into {}",
        names.join(", ")
    )];
    if counts.known > 0 {
        parts.push(format!("{} there already", numbers(counts.known)));
    }
    if counts.removed > 0 {
        parts.push(format!("{} replaced", numbers(counts.removed)));
    }
    let message = parts.join(", ");
    Ok(Changed {
        sweeps: sweeps.iter().map(|sweep| sweep.digest).collect(),
        jobs: counts.new,
        ..said(message)
    })
}

fn numbers(count: u64) -> String {
    match count {
        1 => "1 number".to_owned(),
        count => format!("{count} numbers"),
    }
}

/// The sweeps that a file is meant for; see [`import::targets`].
async fn sweeps(
    store: &dyn Store,
    whose: Whose<'_>,
    order: &ImportOrder,
) -> Result<Vec<SweepRecord>, ApiError> {
    let mut found = Vec::new();
    for sweep in whose.sweeps(store, &order.selector).await? {
        found.push(store.sweep(sweep.digest).await?);
    }
    let chosen = !order.selector.is_empty();
    import::targets(found, chosen, &order.file, &order.text).map_err(|error| match error {
        NoTarget::NoSweep => ApiError::not_found(error.to_string()),
        NoTarget::Unclear { .. } => ApiError::invalid(error.to_string()),
    })
}
