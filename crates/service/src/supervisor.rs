//! What systemd hears of this process, by the protocol of `sd_notify(3)`.
//!
//! Where no supervisor listens, nothing happens: `NOTIFY_SOCKET` is not set then.

use std::time::Duration;

use sd_notify::{NotifyState, notify, watchdog_enabled};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// The variables by which the supervisor tells a process how to reach it. They are not for
/// the processes that it starts.
pub const VARIABLES: [&str; 4] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    // Where a service's secrets are.
    "CREDENTIALS_DIRECTORY",
];

/// Says that this process does its work from now on, and what it does.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(&line(status))]);
}

/// Says that this process ends by itself, and what it still does.
pub fn stopping(status: &str) {
    tell(&[NotifyState::Stopping, NotifyState::Status(&line(status))]);
}

/// When the supervisor wants to hear that this process is well.
#[derive(Debug)]
pub struct Watchdog {
    /// None where nobody waits for it.
    beat: Option<Interval>,
}

impl Watchdog {
    /// The one that the environment names. Must be made in a runtime with timers.
    pub fn new() -> Self {
        Self {
            beat: watchdog_enabled().and_then(beat),
        }
    }

    /// Resolves whenever it is time; never where nobody waits. Nothing is lost when it is
    /// dropped before.
    pub async fn due(&mut self) {
        match &mut self.beat {
            Some(beat) => drop(beat.tick().await),
            None => std::future::pending().await,
        }
    }

    /// Says that this process is well. To be called by what would not come to it otherwise.
    pub fn feed(&self) {
        if self.beat.is_some() {
            tell(&[NotifyState::Watchdog]);
        }
    }
}

impl Default for Watchdog {
    fn default() -> Self {
        Self::new()
    }
}

/// Twice as often as is asked for, as `sd_watchdog_enabled(3)` advises. A limit of no time is none.
fn beat(limit: Duration) -> Option<Interval> {
    let every = limit / 2;
    (!every.is_zero()).then(|| {
        let mut beat = interval(every);
        // After a pause one word is enough.
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        beat
    })
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = notify(states) {
        tracing::warn!(%error, "the supervisor cannot be told how this process is");
    }
}

/// A text as one line: each line of a message is a statement of its own.
fn line(text: &str) -> String {
    let printed = |letter: char| if letter.is_control() { ' ' } else { letter };
    text.chars().map(printed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_nothing_else() {
        assert_eq!(line("well\nWATCHDOG=trigger"), "well WATCHDOG=trigger");
    }

    #[tokio::test]
    async fn a_limit_of_no_time_asks_for_nothing() {
        assert!(beat(Duration::ZERO).is_none());
        assert_eq!(
            beat(Duration::from_secs(10)).map(|it| it.period()),
            Some(Duration::from_secs(5))
        );
    }
}
