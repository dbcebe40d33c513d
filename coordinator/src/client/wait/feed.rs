//! The status of sweeps, again and again: at each change, through restarts of
//! the coordinator.

use std::time::Duration;

use swath_coordinator::api::{ReadQuery, Status};
use swath_proto::v1::WatchEvent;
use tonic::Streaming;

use crate::client::connection::Connection;
use crate::client::exit::Exit;
use crate::client::failure::{Failure, Outcome};

/// Changes come no faster than this.
const INTERVAL: Duration = Duration::from_millis(400);
/// Without a change the clock still moves on.
const REFRESH: Duration = Duration::from_secs(2);
/// Between two tries to reach a coordinator that is away.
const RETRY: Duration = Duration::from_secs(1);

/// What is new.
#[derive(Debug)]
pub(crate) enum Update {
    /// How things are now.
    Status {
        /// The document.
        status: Box<Status>,
        /// The coordinator was away, and is back.
        back: bool,
    },
    /// The coordinator is away. The next update waits until it is back.
    Lost(Failure),
}

/// A stream of updates.
#[derive(Debug)]
pub(crate) struct Feed {
    selector: Vec<String>,
    events: Option<Streaming<WatchEvent>>,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    First,
    Following,
    Lost,
}

impl Feed {
    pub(crate) const fn new(selector: Vec<String>) -> Self {
        Self {
            selector,
            events: None,
            phase: Phase::First,
        }
    }

    /// The next update; at once the first time.
    pub(crate) async fn next(&mut self, connection: &mut Connection) -> Outcome<Update> {
        loop {
            match self.phase {
                Phase::First => {}
                Phase::Following => self.change(connection).await?,
                Phase::Lost => tokio::time::sleep(RETRY).await,
            }
            let selector = self.selector.clone();
            match connection.read(&ReadQuery::Status { selector }).await {
                Ok(status) => {
                    if self.events.is_none() {
                        self.events = connection.watch(INTERVAL).await.ok();
                    }
                    let back = self.phase == Phase::Lost;
                    self.phase = Phase::Following;
                    return Ok(Update::Status {
                        status: Box::new(status),
                        back,
                    });
                }
                Err(failure) if failure.exit != Exit::Unreachable => return Err(failure),
                // What was started for this command does not come back, and
                // what never answered is no coordinator.
                Err(failure) if connection.is_local() => return Err(failure),
                Err(failure) if self.phase == Phase::First => return Err(failure),
                Err(failure) => {
                    self.events = None;
                    if self.phase != Phase::Lost {
                        self.phase = Phase::Lost;
                        return Ok(Update::Lost(failure));
                    }
                }
            }
        }
    }

    /// Resolves when something changed, or may have.
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
            error = failed => return Err(Failure::error(error)),
            goes_on = event => goes_on,
            () = tokio::time::sleep(REFRESH) => true,
        };
        if !goes_on {
            self.events = None;
        }
        Ok(())
    }
}
