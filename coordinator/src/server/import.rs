//! Numbers from elsewhere, from a file to the store.

use std::sync::Arc;

use swath_core::import::{self, Candidate, CandidateCell, ImportBatch};
use swath_core::view::{SCHEMA_VERSION, SweepView};
use swath_store::Store;
use tonic::Status;

use super::select;
use super::state::State;
use super::status::status;
use super::submit::submission;
use crate::api::{Changed, ImportOrder};

/// Reads a file and stores its numbers, all or none.
pub(crate) async fn import(state: &Arc<State>, order: ImportOrder) -> Result<Changed, Status> {
    let store = &*state.store;
    let sweeps = sweeps(store, &order).await?;
    let mut sources = Vec::new();
    for sweep in &sweeps {
        let found = store.sources(sweep.digest).await;
        sources.push((sweep.name.clone(), found.map_err(|error| status(&error))?));
    }
    let (file, replace) = (order.file.clone(), order.replace);
    // Expanding large grids takes a core for a while.
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
        .map_err(|error| Status::internal(error.to_string()))?
        .map_err(Status::invalid_argument)?;
    if rows.is_empty() {
        let message = format!("{file}: no row has a test error; nothing is imported");
        return Err(Status::invalid_argument(message));
    }
    let batch = ImportBatch { replace, rows };
    let counts = store.import(state.now(), batch).await;
    let counts = counts.map_err(|error| status(&error))?;
    state.changed();
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
        schema_version: SCHEMA_VERSION,
        sweeps: select::digests(&sweeps),
        jobs: counts.new,
        message,
    })
}

fn numbers(count: u64) -> String {
    match count {
        1 => "1 number".to_owned(),
        count => format!("{count} numbers"),
    }
}

/// The newest sweep of each name that is meant: those that the order selects,
/// else those whose published values are this very file, else the only one.
async fn sweeps(store: &dyn Store, order: &ImportOrder) -> Result<Vec<SweepView>, Status> {
    let mut found = select::sweeps(store, &order.selector).await?;
    found.reverse();
    let mut names = std::collections::BTreeSet::new();
    found.retain(|sweep| names.insert(sweep.name.clone()));
    found.reverse();
    if !order.selector.is_empty() {
        return Ok(found);
    }
    let refers = |sweep: &&SweepView| sweep.definition["reference"]["text"] == order.text;
    let referring: Vec<_> = found.iter().filter(refers).cloned().collect();
    match (referring.is_empty(), found.len()) {
        (false, _) => Ok(referring),
        (true, 1) => Ok(found),
        (true, 0) => Err(Status::not_found(
            "there is no sweep yet that numbers could be imported into; submit one",
        )),
        (true, _) => Err(Status::invalid_argument(format!(
            "no sweep names {} as its reference; say which one it is for with `--sweep SWEEP`",
            order.file
        ))),
    }
}
