//! The table of a sweep as text.

use swath_core::table::{Check, Definition, Results, TableError};
use swath_core::view::{CellResults, SweepView};
use swath_report::{Format, Style};
use swath_store::Store;
use tonic::Status;

use super::status::status;
use crate::api::Look;

/// Every cell of a sweep, with as many last epochs as its table needs.
pub(crate) async fn cells_of(
    store: &dyn Store,
    sweep: &SweepView,
) -> Result<Vec<CellResults>, Status> {
    let definition =
        Definition::read(&sweep.definition).map_err(|error| Status::internal(error.to_string()))?;
    store
        .results(sweep.digest, definition.last_epochs())
        .await
        .map_err(|error| status(&error))
}

/// Reads a sweep's results and renders them. Summing up and drawing a large
/// table takes a core for a while, so it leaves the runtime's threads.
pub(crate) async fn table_text(
    store: &dyn Store,
    sweep: &SweepView,
    format: &str,
    look: Look,
) -> Result<(String, Option<Check>), Status> {
    let format: Format = format.parse().map_err(Status::invalid_argument)?;
    let cells = cells_of(store, sweep).await?;
    let sweep = sweep.clone();
    let style = Style {
        color: look.color,
        width: look.width.map(usize::from),
        unicode: look.unicode,
    };
    let drawn = tokio::task::spawn_blocking(move || {
        let results = Results::new(&sweep, cells)?;
        let text = swath_report::results(&results, format, &style)?;
        Ok((text, results.check()))
    });
    drawn
        .await
        .map_err(|error| Status::internal(error.to_string()))?
        .map_err(|error: TableError| Status::failed_precondition(error.to_string()))
}
