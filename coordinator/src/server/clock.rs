//! The store's clock on SQLite: monotonic within one life of the coordinator.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use swath_core::time::Timestamp;

/// Reads the wall clock once and counts on from there, so that a jump of the
/// wall clock expires nothing. What passed between two lives is forgiven by
/// `Store::restart`.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
    wall_ms: i64,
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
            wall_ms: wall_ms.max(least.as_ms()),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        let passed = i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_ms(self.wall_ms.saturating_add(passed))
    }
}
