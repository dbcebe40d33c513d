//! The status of sweeps at each change, also through restarts of the
//! coordinator.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use swath_coordinator::api::{ReadQuery, Status};
use swath_proto::v1::WatchEvent;
use tonic::Streaming;

use super::stall::{Stall, Stalls};
use crate::client::connection::Connection;
use crate::client::exit::Exit;
use crate::client::failure::{Failure, Outcome};

/// Shortest time between two updates.
const INTERVAL: Duration = Duration::from_millis(400);
/// Updates come at least this often: the clock moves on without a change.
const REFRESH: Duration = Duration::from_secs(2);
/// Pause between two tries to reach a coordinator that is away: at first, and
/// at most.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_MOST: Duration = Duration::from_secs(4);

/// What is new.
#[derive(Debug)]
pub(crate) enum Update {
    /// How things are now.
    Status {
        /// The document.
        status: Box<Status>,
        /// Why sweeps stand still, for those that do.
        stalls: Vec<Stall>,
        /// Whether the coordinator was away and answers again.
        back: bool,
    },
    /// No coordinator answers. The next update waits until one does.
    Lost(Failure),
}

/// A stream of updates.
#[derive(Debug)]
pub(crate) struct Feed {
    selector: Vec<String>,
    events: Option<Streaming<WatchEvent>>,
    stalls: Stalls,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing has been read yet. `known` says whether a coordinator has
    /// answered something else before.
    First {
        known: bool,
    },
    Following,
    /// The coordinator did not answer so many times in a row.
    Lost {
        tries: u32,
    },
}

impl Feed {
    /// A feed about the sweeps that `selector` names.
    pub(crate) fn new(selector: Vec<String>) -> Self {
        Self::starting(selector, Phase::First { known: false })
    }

    /// The same for a coordinator that has answered something else before.
    pub(crate) fn going_on(selector: Vec<String>) -> Self {
        Self::starting(selector, Phase::First { known: true })
    }

    fn starting(selector: Vec<String>, phase: Phase) -> Self {
        Self {
            selector,
            events: None,
            stalls: Stalls::default(),
            phase,
        }
    }

    /// The next update; the first comes at once.
    pub(crate) async fn next(&mut self, connection: &mut Connection) -> Outcome<Update> {
        loop {
            match self.phase {
                Phase::First { .. } => {}
                Phase::Following => self.change(connection).await?,
                Phase::Lost { tries } => tokio::time::sleep(pause(tries, unit())).await,
            }
            let selector = self.selector.clone();
            match connection.read(&ReadQuery::Status { selector }).await {
                Ok(status) => return Ok(self.answered(connection, status).await),
                Err(failure) => {
                    self.events = None;
                    if let Some(lost) = self.lost(connection, failure)? {
                        return Ok(lost);
                    }
                }
            }
        }
    }

    async fn answered(&mut self, connection: &mut Connection, status: Box<Status>) -> Update {
        if self.events.is_none() {
            self.events = connection.watch(INTERVAL).await.ok();
        }
        let stalls = self.stalls.of(connection, &status).await;
        let back = matches!(self.phase, Phase::Lost { .. });
        self.phase = Phase::Following;
        Update::Status {
            status,
            stalls,
            back,
        }
    }

    /// Reports once that no coordinator answers; an error when waiting for one
    /// is of no use.
    fn lost(&mut self, connection: &Connection, failure: Failure) -> Outcome<Option<Update>> {
        // A coordinator that was started for this command does not come back,
        // and an address that never answered is no coordinator.
        let never = self.phase == Phase::First { known: false };
        if failure.exit != Exit::Unreachable || connection.is_local() || never {
            return Err(failure);
        }
        let told = if let Phase::Lost { tries } = &mut self.phase {
            *tries += 1;
            None
        } else {
            self.phase = Phase::Lost { tries: 1 };
            Some(Update::Lost(failure))
        };
        Ok(told)
    }

    /// Resolves when something changed, or may have changed.
    async fn change(&mut self, connection: &Connection) -> Outcome<()> {
        let failed = async {
            match connection.local() {
                Some(server) => server.failed().await,
                None => std::future::pending().await,
            }
        };
        let event = async {
            match &mut self.events {
                Some(events) => events.message().await.ok().flatten().is_some(),
                None => std::future::pending().await,
            }
        };
        let goes_on = tokio::select! {
            error = failed => return Err(Failure::from(error)),
            goes_on = event => goes_on,
            () = tokio::time::sleep(self.stalls.patience(connection).min(REFRESH)) => true,
        };
        if !goes_on {
            self.events = None;
        }
        Ok(())
    }
}

/// What to say about a coordinator that is away.
pub(crate) fn away(connection: &Connection, failure: &Failure) -> String {
    let mut whys: Vec<&str> = failure.tried.iter().map(|it| &*it.why).collect();
    whys.dedup();
    let why = match whys.join("; ") {
        none if none.is_empty() => none,
        whys => format!(" ({whys})"),
    };
    let place = connection.place();
    format!("the coordinator at {place} does not answer; waiting for it, Ctrl-C to leave{why}")
}

/// What to say about a coordinator that answers again.
pub(crate) fn back(connection: &Connection) -> String {
    format!("the coordinator at {} answers again", connection.url())
}

/// How long to wait before the next try, after `tries` failed ones; with
/// jitter, so that watchers do not all come back at once. `unit` is a random
/// number in 0..1.
pub(super) fn pause(tries: u32, unit: f64) -> Duration {
    let doubled = RETRY_FIRST.saturating_mul(1 << tries.saturating_sub(1).min(8));
    let most = doubled.min(RETRY_MOST);
    RETRY_FIRST / 5 + most.mul_f64(unit.clamp(0.0, 1.0))
}

/// A random number in 0..1.
pub(super) fn unit() -> f64 {
    let bits = RandomState::new().hash_one(());
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_become_rarer_and_never_stop() {
        assert_eq!(pause(1, 0.0), Duration::from_millis(50));
        assert_eq!(pause(1, 1.0), Duration::from_millis(300));
        assert_eq!(pause(3, 1.0), Duration::from_millis(1050));
        assert_eq!(pause(u32::MAX, 1.0), Duration::from_millis(4050));
        let units: Vec<f64> = (0..1000).map(|_| unit()).collect();
        assert!(units.iter().all(|unit| (0.0..1.0).contains(unit)));
        let mean = units.iter().sum::<f64>() / 1000.0;
        assert!((mean - 0.5).abs() < 0.1, "{mean}");
    }
}
