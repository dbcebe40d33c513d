//! The status of sweeps at each change: read once, then kept up to date by
//! events, also through restarts of the coordinator.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use swath_coordinator::api::{Jobs, NAMED_MOST, ReadQuery, Status};
use swath_coordinator::live::{Folded, Live, News};
use swath_proto::v1::WatchReply;
use tokio::time::Instant;
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
    following: Option<Following>,
    stalls: Stalls,
    phase: Phase,
}

/// A status that events keep up to date.
#[derive(Debug)]
struct Following {
    live: Live,
    news: Streaming<WatchReply>,
    /// The coordinator's clock when it last sent something, and the moment when
    /// that came.
    clock: (i64, Instant),
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
            following: None,
            stalls: Stalls::default(),
            phase,
        }
    }

    /// The next update; the first comes at once. After an error while waiting,
    /// and when the caller stops waiting early, everything is read again.
    pub(crate) async fn next(&mut self, connection: &mut Connection) -> Outcome<Update> {
        loop {
            if let Some(mut following) = self.following.take() {
                let patience = self.stalls.patience(connection).min(REFRESH);
                if following.next(connection, patience).await? {
                    return Ok(self.answered(connection, following, false).await);
                }
            }
            if let Phase::Lost { tries } = self.phase {
                tokio::time::sleep(pause(tries, unit())).await;
            }
            match Following::begin(connection, &self.selector).await {
                Ok(following) => {
                    let back = matches!(self.phase, Phase::Lost { .. });
                    return Ok(self.answered(connection, following, back).await);
                }
                Err(failure) => {
                    if let Some(lost) = self.lost(connection, failure)? {
                        return Ok(lost);
                    }
                }
            }
        }
    }

    async fn answered(
        &mut self,
        connection: &mut Connection,
        following: Following,
        back: bool,
    ) -> Update {
        self.phase = Phase::Following;
        let status = following.live.status();
        let stalls = self.stalls.of(connection, status).await;
        let status = Box::new(status.clone());
        self.following = Some(following);
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
}

impl Following {
    /// Reads the status, and follows what happens from then on.
    async fn begin(connection: &mut Connection, selector: &[String]) -> Outcome<Self> {
        let query = ReadQuery::Status {
            selector: selector.to_vec(),
        };
        let status: Status = connection.read(&query).await?;
        let clock = (status.now_ms, Instant::now());
        let news = connection.watch(status.last_event, INTERVAL).await?;
        let live = Live::new(status, selector.is_empty());
        Ok(Self { live, news, clock })
    }

    /// Waits until something happened, or for at most `patience`. Returns false
    /// if everything has to be read again.
    async fn next(&mut self, connection: &mut Connection, patience: Duration) -> Outcome<bool> {
        let failed = async {
            match connection.local() {
                Some(server) => server.failed().await,
                None => std::future::pending().await,
            }
        };
        let reply = tokio::select! {
            error = failed => return Err(Failure::from(error)),
            reply = self.news.message() => reply,
            () = tokio::time::sleep(patience) => {
                let (told, since) = self.clock;
                self.live.wait(told + since.elapsed().as_millis() as i64);
                return Ok(true);
            }
        };
        let Ok(Some(reply)) = reply else {
            return Ok(false);
        };
        let news: News = connection.document(&reply.news)?;
        self.clock = (news.now_ms, Instant::now());
        if self.live.fold(&news) == Folded::Reread {
            return Ok(false);
        }
        self.learn(connection).await
    }

    /// Reads the jobs that have just appeared. Returns false if there are too
    /// many, or if they cannot be read now.
    async fn learn(&mut self, connection: &mut Connection) -> Outcome<bool> {
        let jobs = self.live.unknown();
        if jobs.is_empty() {
            return Ok(true);
        }
        if jobs.len() > NAMED_MOST {
            return Ok(false);
        }
        match connection.read::<Jobs>(&ReadQuery::Named { jobs }).await {
            Ok(found) => {
                self.live.learn(found.jobs);
                Ok(true)
            }
            Err(failure) if failure.exit == Exit::Unreachable => Ok(false),
            Err(failure) => Err(failure),
        }
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
