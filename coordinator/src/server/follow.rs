//! Streams events to watchers. The events come from the store, so that a
//! coordinator that stands by can stream them too.

use std::sync::Arc;
use std::time::Duration;

use swath_model::view::SCHEMA_VERSION;
use swath_proto::v1;
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;
use tonic::Status;

use super::error::ApiError;
use super::state::State;
use crate::live::News;

/// The most events in one message. A watcher that has missed more reads everything
/// again, which costs less.
const EVENTS_MOST: u32 = 4096;
/// Without an event, a watcher gets the time at least this often.
const QUIET_MOST: Duration = Duration::from_secs(2);
/// The pause between two checks for events of another coordinator.
const LOOK: Duration = Duration::from_millis(500);

/// Follows the events after a given one, for one watcher.
pub(super) struct Following {
    state: Arc<State>,
    after: u64,
    interval: Duration,
}

impl Following {
    pub(super) const fn new(state: Arc<State>, after: u64, interval: Duration) -> Self {
        Self {
            state,
            after,
            interval,
        }
    }

    /// Sends news until the watcher is gone.
    pub(super) async fn send(mut self, replies: &Sender<Result<v1::WatchReply, Status>>) {
        let mut first = true;
        let mut told = self.state.engine.told();
        loop {
            told.mark_unchanged();
            let quiet_until = Instant::now() + QUIET_MOST;
            let news = loop {
                match self.news().await {
                    Ok(news) if first || news.gone || !news.events.is_empty() => break Ok(news),
                    Ok(news) if Instant::now() >= quiet_until => break Ok(news),
                    Err(error) => break Err(error),
                    Ok(_) => {}
                }
                let changed = async {
                    if self.state.engine.leads() {
                        // An error means that the engine has ended; this task
                        // then ends too.
                        let _ended = told.changed().await;
                    } else {
                        tokio::time::sleep(LOOK).await;
                    }
                };
                let _quiet = tokio::time::timeout_at(quiet_until, changed).await;
            };
            first = false;
            let failed = news.is_err();
            let reply = news.and_then(|news| {
                let news = serde_json::to_string(&news);
                let news = news.map_err(|error| Status::internal(error.to_string()))?;
                Ok(v1::WatchReply { news })
            });
            if replies.send(reply).await.is_err() || failed {
                return;
            }
            tokio::time::sleep(self.interval).await;
        }
    }

    async fn news(&mut self) -> Result<News, Status> {
        let store = &self.state.store;
        let failed = |error| Status::from(ApiError::from(error));
        let events = store.events(self.after, EVENTS_MOST).await;
        let events = events.map_err(failed)?;
        let last = match events.last() {
            Some(event) => event.seq,
            None => store.last_event().await.map_err(failed)?,
        };
        let whole = match events.first() {
            Some(first) => first.seq == self.after + 1 && events.len() < EVENTS_MOST as usize,
            // A restored store, or another one, may be behind.
            None => last == self.after,
        };
        let mut news = News {
            schema_version: SCHEMA_VERSION,
            events,
            last,
            gone: !whole,
            now_ms: self.state.now().as_ms(),
        };
        if news.gone {
            news.events.clear();
            news.last = store.last_event().await.map_err(failed)?;
        }
        self.after = news.last;
        Ok(news)
    }
}
