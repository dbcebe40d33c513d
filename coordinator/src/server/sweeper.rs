//! The sweeper: looks at the clock for those who cannot speak any more.

use std::sync::Arc;
use std::time::Duration;

use swath_core::message::Ticked;
use swath_core::policy::Policy;
use swath_core::time::Timestamp;
use swath_store::StoreError;
use tokio_util::sync::CancellationToken;

use super::state::State;
use super::status::causes;

/// What the sweeper may do in this pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Expire what is over.
    Tick,
    /// Give every lease a full life: nobody could have been heard.
    Forgive,
}

/// Whether leases may expire now. They may only when coordinator and store have
/// been up without a gap for one lease; a gap means that heartbeats could not
/// be heard, and nothing may expire for that.
#[derive(Debug)]
pub(crate) struct Warmth {
    warm_since: Timestamp,
    last_pass: Timestamp,
}

impl Warmth {
    /// Cold: the coordinator has just started.
    pub(crate) const fn new(now: Timestamp) -> Self {
        Self {
            warm_since: now,
            last_pass: now,
        }
    }

    /// Decides what the pass at `now` may do.
    pub(crate) fn pass(&mut self, now: Timestamp, policy: &Policy) -> Pass {
        let gap = now.since(self.last_pass);
        self.last_pass = now;
        // A pass may be late under load; three in a row are a stopped process.
        if gap > Duration::from_millis(3 * policy.sweeper_ms) {
            self.warm_since = now;
            return Pass::Forgive;
        }
        if now.since(self.warm_since) < policy.ttl() {
            Pass::Forgive
        } else {
            Pass::Tick
        }
    }

    /// The store did not answer: nobody could have been heard.
    pub(crate) const fn cool(&mut self, now: Timestamp) {
        self.warm_since = now;
    }
}

/// Failed passes in a row after which the store is given up.
const FAILURES_MAX: u32 = 5;

/// Sweeps until cancelled; returns the store's error when it is given up.
pub(crate) async fn sweep(state: Arc<State>, stop: CancellationToken) -> Option<StoreError> {
    let mut warmth = Warmth::new(state.now());
    let mut failures = 0;
    let mut looked = state.now();
    loop {
        let due = next_due(&state, looked).await;
        looked = state.now();
        let pause = pause(due, looked, &state.policy);
        tokio::select! {
            () = stop.cancelled() => return None,
            () = tokio::time::sleep(pause) => {}
        }
        match pass(&state, &mut warmth, due).await {
            Ok(()) => failures = 0,
            Err(error) => {
                warmth.cool(state.now());
                failures += 1;
                tracing::error!(error = %causes(&error), failures, "sweeper's pass failed");
                if failures >= FAILURES_MAX {
                    return Some(error);
                }
            }
        }
    }
}

/// The first end of a backoff after `looked`; now, when the store is too busy to
/// say. What ended since the last look counts too: it may have begun after it.
async fn next_due(state: &State, looked: Timestamp) -> Option<Timestamp> {
    // A store that is busy with large reads must not hold the pass up: a late
    // pass reads as a stopped process, and nothing would ever expire.
    let patience = Duration::from_millis(state.policy.sweeper_ms);
    match tokio::time::timeout(patience, state.store.next_due(looked)).await {
        Ok(Ok(due)) => due,
        Ok(Err(_)) | Err(_) => Some(state.now()),
    }
}

/// Until the next pass: regular, or sooner when a backoff ends; never so short
/// that a job which cannot be granted makes a busy loop.
fn pause(due: Option<Timestamp>, now: Timestamp, policy: &Policy) -> Duration {
    let regular = Duration::from_millis(policy.sweeper_ms);
    let least = Duration::from_millis(20);
    due.map_or(regular, |due| due.since(now).max(least).min(regular))
}

/// Whether waiting workers look again: each look is a transaction of the store,
/// so not without a job that may have become free.
fn wakes(due: Option<Timestamp>, now: Timestamp, ticked: Ticked) -> bool {
    ticked.requeued > 0 || due.is_some_and(|due| due <= now)
}

async fn pass(
    state: &State,
    warmth: &mut Warmth,
    due: Option<Timestamp>,
) -> Result<(), StoreError> {
    let now = state.now();
    let ticked = match warmth.pass(now, &state.policy) {
        Pass::Forgive => {
            state.store.extend_leases(now).await?;
            Ticked::default()
        }
        Pass::Tick => state.store.tick(now).await?,
    };
    if ticked != Ticked::default() {
        tracing::warn!(
            suspected = ticked.suspected,
            requeued = ticked.requeued,
            ended = ticked.ended,
            "leases are over"
        );
    }
    if wakes(due, now, ticked) {
        state.work_arrived();
    } else {
        // Readers see times pass.
        state.changed();
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
    fn nothing_expires_before_one_lease_has_passed() {
        let policy = Policy::default();
        let mut warmth = Warmth::new(at(0));
        for second in (5..60).step_by(5) {
            assert_eq!(warmth.pass(at(second), &policy), Pass::Forgive, "{second}");
        }
        assert_eq!(warmth.pass(at(60), &policy), Pass::Tick);
    }

    #[test]
    fn a_stopped_process_forgives_and_starts_cold() {
        let policy = Policy::default();
        let mut warmth = Warmth::new(at(0));
        for second in (5..=60).step_by(5) {
            warmth.pass(at(second), &policy);
        }
        assert_eq!(warmth.pass(at(400), &policy), Pass::Forgive);
        assert_eq!(warmth.pass(at(405), &policy), Pass::Forgive);
        for second in (410..460).step_by(5) {
            warmth.pass(at(second), &policy);
        }
        assert_eq!(warmth.pass(at(460), &policy), Pass::Tick);
    }

    #[test]
    fn workers_are_woken_for_a_job_and_for_nothing_else() {
        let nothing = Ticked::default();
        assert!(!wakes(None, at(9), nothing));
        assert!(!wakes(Some(at(10)), at(9), nothing));
        assert!(wakes(Some(at(9)), at(9), nothing));
        let suspected = Ticked {
            suspected: 1,
            ..nothing
        };
        assert!(!wakes(None, at(9), suspected));
        assert!(wakes(
            None,
            at(9),
            Ticked {
                requeued: 1,
                ..nothing
            }
        ));
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

    #[test]
    fn an_unreachable_store_forgives() {
        let policy = Policy::default();
        let mut warmth = Warmth::new(at(0));
        for second in (5..=100).step_by(5) {
            warmth.pass(at(second), &policy);
        }
        warmth.cool(at(101));
        assert_eq!(warmth.pass(at(105), &policy), Pass::Forgive);
    }
}
