//! What the log says about a coordinator that cannot be reached.

use std::time::Duration;

use super::Agent;
use super::event::Exit;

/// Time between two complaints.
const INTERVAL: Duration = Duration::from_mins(1);

/// The coordinator has not answered for a while.
#[derive(Clone, Debug)]
pub(super) struct Away {
    since: Duration,
    /// When that was last logged.
    pub(super) told: Option<Duration>,
    why: String,
}

impl Agent {
    /// Notes that a call did not reach the coordinator.
    pub(super) fn unreachable(&mut self, why: &str) {
        let now = self.now;
        let away = self.away.get_or_insert_with(|| Away {
            since: now,
            told: None,
            why: String::new(),
        });
        why.clone_into(&mut away.why);
        self.complain();
    }

    /// Logs that the coordinator is away, at first and then every minute.
    pub(super) fn complain(&mut self) {
        let now = self.now;
        let Some(away) = self.away.as_mut() else {
            return;
        };
        if away.told.is_some_and(|told| now < told + INTERVAL) {
            return;
        }
        away.told = Some(now);
        let (url, why) = (&self.config.coordinator, &away.why);
        tracing::warn!(
            "cannot reach the coordinator at {url}: {why}; trying again; \
             is `coordinator serve` running there?"
        );
    }

    /// Notes that the coordinator answers. Returns whether it had been away.
    pub(super) fn reached(&mut self) -> bool {
        let Some(away) = self.away.take() else {
            return false;
        };
        let seconds = self.now.saturating_sub(away.since).as_secs();
        let url = &self.config.coordinator;
        tracing::info!("the coordinator at {url} answers again, after {seconds} s");
        true
    }

    /// Ends the worker when, for as long as it may be idle, there was neither a
    /// coordinator nor anything else to do.
    pub(super) fn give_up(&mut self) {
        let Some(away) = self.away.as_ref().filter(|_| self.drain.is_none()) else {
            return;
        };
        if !self.idle_is_over() || !self.outbox.is_safe() {
            return;
        }
        let (url, why) = (&self.config.coordinator, &away.why);
        let message = format!(
            "cannot reach the coordinator at {url}: {why}; is `coordinator serve` running there?"
        );
        self.exit(Exit::Failed(message));
    }
}
