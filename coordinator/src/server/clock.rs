//! The coordinator's clock: monotonic while the coordinator runs.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use swath_model::time::Timestamp;

/// Reads the wall clock once and counts on from there, so that a jump of the
/// wall clock lets nothing expire. `Engine::restart` makes up for the time
/// between two runs.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
    /// The wall clock's time at the start, or a later time if one is stored.
    wall_ms: AtomicI64,
}

impl Clock {
    /// Starts at the present time, but not before `least`: if the wall clock
    /// was set back between two runs, the stored times would lie in the future,
    /// and jobs would wait for them.
    pub(crate) fn new(least: Timestamp) -> Self {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let wall_ms = i64::try_from(wall.as_millis()).unwrap_or(i64::MAX);
        Self {
            started: Instant::now(),
            wall_ms: AtomicI64::new(wall_ms.max(least.as_ms())),
        }
    }

    /// Moves forward to `least`, if it is not there yet: another coordinator,
    /// whose clock was ahead, has led until now.
    pub(crate) fn not_before(&self, least: Timestamp) {
        let passed = self.passed_ms();
        let start = least.as_ms().saturating_sub(passed);
        self.wall_ms.fetch_max(start, Ordering::Relaxed);
    }

    fn passed_ms(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    pub(crate) fn now(&self) -> Timestamp {
        let start = self.wall_ms.load(Ordering::Relaxed);
        Timestamp::from_ms(start.saturating_add(self.passed_ms()))
    }
}
