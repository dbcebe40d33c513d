//! Deletes sweeps, piece by piece, so that nobody waits long meanwhile.

use swath_model::view::SweepView;
use swath_report::counted;

use super::change::in_part;
use super::error::ApiError;
use super::state::State;
use crate::api::Changed;

/// Deletes these sweeps. One that is refused holds up no other.
pub(crate) async fn delete(
    state: &State,
    sweeps: &[SweepView],
    cancel: bool,
) -> Result<Changed, ApiError> {
    let (mut jobs, mut of) = (0, 0);
    let (mut gone, mut refusals) = (Vec::new(), Vec::new());
    for sweep in sweeps {
        match delete_one(state, sweep, cancel).await {
            Ok(deleted) => {
                of += sweep.counts.total();
                jobs += deleted;
                gone.push(sweep.clone());
            }
            Err(error) => error.set_aside(&mut refusals)?,
        }
    }
    // Nothing is lost if that fails: the room is used for new rows.
    if let Err(error) = state.store.reclaim().await {
        tracing::warn!(%error, "the room of deleted rows stays in the database");
    }
    let kept = match of.saturating_sub(jobs) {
        0 => String::new(),
        kept => format!("; other sweeps hold {} of theirs", counted(kept, "job")),
    };
    let message = |names: &str| format!("{names} deleted, with {}{kept}", counted(jobs, "job"));
    let changed = in_part(&gone, &refusals, message)?;
    Ok(Changed { jobs, ..changed })
}

async fn delete_one(state: &State, sweep: &SweepView, cancel: bool) -> Result<u64, ApiError> {
    let open = sweep.counts.total() - sweep.counts.done();
    if open > 0 && !cancel && !sweep.label.deleting {
        return Err(ApiError::conflict(format!(
            "sweep `{}` has {}; `--cancel` cancels what no other sweep needs, and deletes it",
            sweep.full_name(),
            counted(open, "open job")
        )));
    }
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
