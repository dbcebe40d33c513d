//! The sweeper: checks regularly for attempts whose worker has gone silent.

use std::sync::Arc;
use std::time::Duration;

use swath_engine::warmth::{Pass, Warmth};
use swath_model::policy::Policy;
use swath_model::time::Timestamp;
use swath_store::StoreError;
use tokio_util::sync::CancellationToken;

use super::error::causes;
use super::state::State;

/// Sweeps until cancelled; returns the reason if the store is lost for good. If
/// the store only cannot be reached, it waits: no lease passes meanwhile.
pub(crate) async fn sweep(state: Arc<State>, stop: CancellationToken) -> Option<String> {
    let mut warmth = Warmth::new(state.now());
    let mut looked = state.now();
    loop {
        let due = next_due(&state, looked).await;
        looked = state.now();
        let pause = pause(due, looked, &state.policy);
        tokio::select! {
            () = stop.cancelled() => return None,
            () = tokio::time::sleep(pause) => {}
        }
        let passed = pass(&state, &mut warmth).await;
        // Nobody may be there whose call would fail.
        if let Some(why) = state.store.lost() {
            return Some(why);
        }
        let Err(error) = passed else {
            continue;
        };
        // After a takeover no lease passes at once either.
        warmth.cool(state.now());
        // The coordinator that leads does the sweeping.
        if !matches!(error, StoreError::NotLeader { .. }) {
            tracing::error!(error = %causes(&error), "the sweeper's pass failed");
        }
    }
}

/// When the first backoff ends that had not ended at `looked`. A backoff that
/// ended since the last look counts too, because it may have begun after it.
async fn next_due(state: &State, looked: Timestamp) -> Option<Timestamp> {
    // A store that is busy with large reads must not delay the pass: a late
    // pass looks like a stopped process, and nothing would ever expire.
    let patience = Duration::from_millis(state.policy.sweeper_ms);
    let said = tokio::time::timeout(patience, state.engine.next_due(looked)).await;
    match said {
        // One that is away is looked at when it is time again, or an outage would
        // be looked at, and logged, fifty times a second.
        Ok(due) => due.ok().flatten(),
        // One that is too busy to say is looked at now.
        Err(_) => Some(state.now()),
    }
}

/// The time until the next pass: regular, or sooner when a backoff ends, but
/// never so short that a job which cannot be granted causes a busy loop.
fn pause(due: Option<Timestamp>, now: Timestamp, policy: &Policy) -> Duration {
    let regular = Duration::from_millis(policy.sweeper_ms);
    let least = Duration::from_millis(20);
    due.map_or(regular, |due| due.since(now).max(least).min(regular))
}

/// One pass; the engine then grants jobs to waiting workers.
async fn pass(state: &State, warmth: &mut Warmth) -> Result<(), StoreError> {
    let now = state.now();
    match warmth.pass(now, &state.policy) {
        Pass::Forgive => state.engine.extend_leases(now).await?,
        Pass::Tick => {
            state.engine.tick(now).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_ms(seconds * 1000)
    }

    #[test]
    fn a_pass_comes_when_a_backoff_ends_and_never_in_a_busy_loop() {
        let policy = Policy::default();
        assert_eq!(pause(None, at(0), &policy), Duration::from_secs(5));
        assert_eq!(pause(Some(at(2)), at(0), &policy), Duration::from_secs(2));
        assert_eq!(pause(Some(at(60)), at(0), &policy), Duration::from_secs(5));
        assert_eq!(
            pause(Some(at(0)), at(1), &policy),
            Duration::from_millis(20)
        );
    }
}
