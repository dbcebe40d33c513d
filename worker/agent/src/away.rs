//! A coordinator that cannot be reached: what the log says of it.

use std::time::Duration;

use super::Agent;
use super::event::Exit;

/// Between two complaints.
const INTERVAL: Duration = Duration::from_mins(1);

/// It has not answered for a while.
#[derive(Clone, Debug)]
pub(super) struct Away {
    since: Duration,
    /// When that was last said.
    pub(super) told: Option<Duration>,
    why: String,
}

impl Agent {
    /// A call did not reach it.
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

    /// Says so, at first and then every minute.
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

    /// It answers. Returns whether it had been away.
    pub(super) fn reached(&mut self) -> bool {
        let Some(away) = self.away.take() else {
            return false;
        };
        let seconds = self.now.saturating_sub(away.since).as_secs();
        let url = &self.config.coordinator;
        tracing::info!("the coordinator at {url} answers again, after {seconds} s");
        true
    }

    /// Ends when there was neither a coordinator nor anything else to do for as
    /// long as a worker may be idle.
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
