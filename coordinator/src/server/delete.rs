//! Deletes sweeps, piece by piece, so that nobody waits long meanwhile.

use swath_model::view::SweepView;
use swath_report::counted;

use super::change::{names, said};
use super::error::ApiError;
use super::select;
use super::state::State;
use crate::api::Changed;

/// Deletes these sweeps, after all of them have been found fit for it.
pub(crate) async fn delete(
    state: &State,
    sweeps: &[SweepView],
    cancel: bool,
) -> Result<Changed, ApiError> {
    for sweep in sweeps {
        let open = sweep.counts.total() - sweep.counts.done();
        if open > 0 && !cancel && !sweep.label.deleting {
            return Err(ApiError::conflict(format!(
                "sweep `{}` has {}; `--cancel` cancels what no other sweep needs, and deletes it",
                sweep.full_name(),
                counted(open, "open job")
            )));
        }
    }
    let (mut jobs, mut of) = (0, 0);
    for sweep in sweeps {
        of += sweep.counts.total();
        jobs += delete_one(state, sweep, cancel).await?;
    }
    // Nothing is lost if that fails: the room is used for new rows.
    if let Err(error) = state.store.reclaim().await {
        tracing::warn!(%error, "the room of deleted rows stays in the database");
    }
    let kept = match of.saturating_sub(jobs) {
        0 => String::new(),
        kept => format!("; other sweeps hold {} of theirs", counted(kept, "job")),
    };
    let message = format!(
        "{} deleted, with {}{kept}",
        names(sweeps),
        counted(jobs, "job")
    );
    Ok(Changed {
        sweeps: select::digests(sweeps),
        jobs,
        ..said(message)
    })
}

async fn delete_one(state: &State, sweep: &SweepView, cancel: bool) -> Result<u64, ApiError> {
    let engine = &state.engine;
    let begun = engine.begin_deletion(state.now(), sweep.digest, cancel);
    begun.await.map_err(ApiError::from)?;
    tracing::info!(sweep = %sweep.digest.short(), name = sweep.name, "sweep is deleted");
    let mut jobs = 0;
    loop {
        let deleted = engine.delete_some(state.now(), sweep.digest).await;
        let deleted = deleted.map_err(ApiError::from)?;
        jobs += deleted.jobs;
        if deleted.done {
            return Ok(jobs);
        }
    }
}
