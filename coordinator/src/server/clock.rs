//! The coordinator's clock: monotonic within one life of it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use swath_model::time::Timestamp;

/// Reads the wall clock once and counts on from there, so that a jump of the
/// wall clock expires nothing. What passed between two lives is forgiven by
/// `Engine::restart`.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
    /// What the wall clock showed at the start, or later if what is stored says
    /// so.
    wall_ms: AtomicI64,
}

impl Clock {
    /// Starts now, but not before `least`: a wall clock that was set back
    /// between two lives would put the store's times into the future, and jobs
    /// would wait for them.
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

    /// Goes forward to `least`, if it is not there yet: another coordinator,
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
