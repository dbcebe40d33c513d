//! The lines that workers hold, on which they can be asked for what their
//! attempts left. Only this process knows them: after a restart, workers open
//! them again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use swath_model::files::{FileOrder, Part};
use swath_model::id::{Owner, SessionId, WorkerName};
use swath_proto::{convert, v1};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tonic::{Status, Streaming};

/// How long a connected worker may take to open a line: it pauses that long at
/// most after one broke.
const OPENS_WITHIN: Duration = Duration::from_secs(5);

/// How long is waited for a free line of a worker that has lines in use: less
/// than a command waits for its answer.
const FREE_WITHIN: Duration = Duration::from_secs(45);

/// Where a line gets its one order.
pub(crate) type Orders = mpsc::Sender<Result<v1::FileOrder, Status>>;

/// Every line that waits for an order.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    workers: Mutex<BTreeMap<WorkerName, Known>>,
    /// Counts the lines that came.
    came: watch::Sender<u64>,
    closed: AtomicBool,
}

/// The lines of one worker.
#[derive(Debug)]
struct Known {
    /// Its newest session that had a line.
    session: SessionId,
    waiting: Vec<Line>,
    /// Every line has a clone of it, also while it is in use.
    lines: Arc<()>,
}

impl Known {
    fn has_busy(&self) -> bool {
        Arc::strong_count(&self.lines) > 1 + self.waiting.len()
    }
}

/// A line of a worker.
#[derive(Debug)]
pub(crate) struct Line {
    orders: Orders,
    parts: Streaming<v1::ServeMessage>,
    _counted: Arc<()>,
}

impl Lines {
    fn workers(&self) -> MutexGuard<'_, BTreeMap<WorkerName, Known>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes every line that waits, and those that come from now on.
    pub(crate) fn close(&self) {
        let mut workers = self.workers();
        self.closed.store(true, Ordering::Relaxed);
        workers.clear();
    }

    /// Takes in a line. Those of older sessions are closed.
    pub(crate) fn add(&self, owner: Owner, orders: Orders, parts: Streaming<v1::ServeMessage>) {
        let session = owner.session;
        let mut workers = self.workers();
        if self.closed.load(Ordering::Relaxed) {
            return;
        }
        let known = workers.entry(owner.worker).or_insert_with(|| Known {
            session,
            waiting: Vec::new(),
            lines: Arc::default(),
        });
        if session < known.session {
            return;
        }
        if session > known.session {
            known.waiting.clear();
        }
        known.session = session;
        known.waiting.retain(|it| !it.orders.is_closed());
        known.waiting.push(Line {
            orders,
            parts,
            _counted: Arc::clone(&known.lines),
        });
        drop(workers);
        self.came.send_modify(|count| *count += 1);
    }

    /// Gives a line of a worker an order; none if the worker has no line. One that
    /// `waits` gives the worker time to open one.
    pub(crate) async fn order(
        &self,
        worker: &WorkerName,
        order: &FileOrder,
        waits: bool,
    ) -> Option<Line> {
        let begun = Instant::now();
        let mut came = self.came.subscribe();
        loop {
            came.mark_unchanged();
            let (line, is_busy) = match self.workers().get_mut(worker) {
                Some(known) => (known.waiting.pop(), known.has_busy()),
                None => (None, false),
            };
            let Some(line) = line else {
                let patience = match (waits, is_busy) {
                    (false, _) => Duration::ZERO,
                    (true, true) => FREE_WITHIN,
                    (true, false) => OPENS_WITHIN,
                };
                let left = patience.saturating_sub(begun.elapsed());
                match tokio::time::timeout(left, came.changed()).await {
                    Ok(Ok(())) => continue,
                    Ok(Err(_)) | Err(_) => return None,
                }
            };
            let message = convert::file_order_message(order);
            if line.orders.send(Ok(message)).await.is_ok() {
                return Some(line);
            }
        }
    }
}

impl Line {
    /// The next part of the answer; none if the worker broke off.
    pub(crate) async fn part(&mut self) -> Option<Part> {
        let message = self.parts.message().await.ok().flatten()?;
        convert::served(message).ok()
    }
}
