//! Looks at sweeps that their results steer: as soon as the last job of one has
//! ended, so that no slot waits long.
//!
//! What is due is stored, so a coordinator that was away continues where it
//! stopped, and two looks at the same results find the same.

use std::sync::Arc;
use std::time::Duration;

use swath_model::message::SteeringDue;
use swath_model::steering::Steering;
use swath_results::steering;
use swath_results::table::Definition;
use swath_store::StoreError;
use tokio_util::sync::CancellationToken;

use super::error::causes;
use super::state::State;

/// Pause between two checks for what is due: outcomes come by the thousand, but
/// sweeps end rarely.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks until cancelled.
pub(crate) async fn steer(state: Arc<State>, stop: CancellationToken) {
    let mut changes = state.engine.told();
    // What fails for one sweep must not be tried again without a pause.
    let regular = Duration::from_millis(state.policy.sweeper_ms);
    loop {
        changes.mark_unchanged();
        let rest = match pass(&state).await {
            Ok(()) => PAUSE,
            Err(_) if !state.engine.leads() => regular,
            Err(error) => {
                tracing::error!(%error, "a sweep cannot be steered by its results");
                regular
            }
        };
        let changed = async {
            tokio::time::sleep(rest).await;
            let _closed = changes.changed().await;
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = changed => {}
        }
    }
}

/// Looks at everything that is due, until nothing is. If every job of a round
/// has been trained for another sweep already, the next round follows at once.
async fn pass(state: &State) -> Result<(), String> {
    let failed = |error: StoreError| causes(&error);
    loop {
        let due = state.engine.steering_due().await.map_err(failed)?;
        let mut moved = false;
        for due in due {
            let said = said(state, due).await?;
            moved |= tell(state, due, said).await.map_err(failed)?;
        }
        if !moved {
            return Ok(());
        }
    }
}

/// What the rule says of a sweep.
async fn said(state: &State, due: SteeringDue) -> Result<Vec<Steering>, String> {
    let failed = |error: StoreError| causes(&error);
    let sweep = state.store.sweep(due.sweep).await.map_err(failed)?;
    let definition = Definition::read(&sweep.definition).map_err(|error| error.to_string())?;
    let results = state.store.results(due.sweep, definition.epochs());
    let results = results.await.map_err(failed)?;
    let measured = definition.quantity();
    // Thousands of tests occupy a core for a while.
    let look = move || steering::steer(due.rule, &measured, &results);
    tokio::task::spawn_blocking(look)
        .await
        .map_err(|error| error.to_string())?
        .map_err(|error| format!("{}: {error}", sweep.name))
}

/// Tells the ledger; returns whether anything changed.
async fn tell(state: &State, due: SteeringDue, said: Vec<Steering>) -> Result<bool, StoreError> {
    let undecided = said.iter().map(|one| match one {
        Steering::Settle(verdict) => verdict.undecided.len(),
        Steering::Add(_) => 0,
    });
    let undecided: usize = undecided.sum();
    let done = state.engine.steer(state.now(), due, said).await?;
    let sweep = due.sweep.short();
    if done.seeds > 0 {
        let round = due.rounds + 1;
        tracing::info!(
            sweep,
            round,
            seeds = done.seeds,
            "cells get more replicates"
        );
    } else if done.settled {
        tracing::info!(sweep, undecided, "the replicates of a sweep are settled");
    }
    Ok(done.seeds > 0 || done.settled)
}
