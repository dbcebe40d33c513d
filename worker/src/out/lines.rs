//! Lines to the coordinator, on which it orders what is in the directories of
//! attempts. A worker cannot be called, so it holds a line open; as soon as one
//! is used, it opens the next.
//!
//! Each line is a connection of its own: neither heartbeats nor another file
//! wait behind a large one.

use std::sync::Arc;
use std::time::Duration;

use swath_model::files::{FileOrder, Part};
use swath_model::id::Owner;
use swath_proto::v1::serve_message::Part as Sent;
use swath_proto::{convert, limits, v1};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::Outs;
use crate::client::{Aside, Client};

/// The pause after a line that could not be opened, or broke.
const RETRY: Duration = Duration::from_secs(2);

/// How many parts may wait to be sent: they are read from the disk only as fast
/// as the coordinator takes them.
const PARTS_WAITING: usize = 1;

/// How much less the thread of the lines counts than jobs, if both want a
/// processor.
const NICE: i32 = 10;

/// Starts the thread that holds lines until nobody tells it of sessions any more.
/// It is one of its own: encoding a large file must not hold up heartbeats, nor
/// take the processors from jobs.
///
/// # Errors
///
/// When no thread can be started.
pub fn start(
    outs: Outs,
    client: Client,
    sessions: watch::Receiver<Option<Owner>>,
) -> std::io::Result<()> {
    let (give, given) = std::sync::mpsc::channel::<Runtime>();
    let thread = std::thread::Builder::new().name("files".to_owned());
    thread.spawn(move || {
        let Ok(runtime) = given.recv() else { return };
        // On Linux it is of this thread alone, and of those that it starts.
        let _nicer = rustix::process::nice(NICE);
        runtime.block_on(serve(outs, client, sessions));
        runtime.shutdown_background();
    })?;
    // Only now: a runtime must not be dropped in another, as where there is no thread for it.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build()?;
    // The thread waits for it.
    let _given = give.send(runtime);
    Ok(())
}

async fn serve(outs: Outs, client: Client, mut sessions: watch::Receiver<Option<Owner>>) {
    let free = Arc::new(Semaphore::new(limits::LINES_BUSY_MAX));
    while let Ok(permit) = Arc::clone(&free).acquire_owned().await {
        let known = sessions.wait_for(Option::is_some).await;
        let Some(owner) = known.ok().and_then(|owner| owner.clone()) else {
            return;
        };
        let ordered = async {
            let line = Line::open(&client, &owner).await?;
            line.ordered().await
        };
        let ordered = tokio::select! {
            ordered = ordered => ordered,
            // The line is one of a session that is over.
            _ = sessions.changed() => continue,
        };
        match ordered {
            Ok(Some((line, order))) => {
                let outs = outs.clone();
                tokio::spawn(async move {
                    line.answer(outs, order).await;
                    drop(permit);
                });
            }
            Ok(None) => {}
            Err(status) => {
                tracing::debug!(%status, "no line for files to the coordinator");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// An open line.
struct Line {
    parts: mpsc::Sender<v1::ServeMessage>,
    orders: Streaming<v1::FileOrder>,
    aside: Aside,
}

impl Line {
    async fn open(client: &Client, owner: &Owner) -> Result<Self, Status> {
        let wrong = |error| Status::internal(format!("{error}"));
        let aside = client.aside().map_err(wrong)?;
        let (parts, sent) = mpsc::channel(PARTS_WAITING);
        let hello = Sent::Hello(v1::ServeHello {
            worker: owner.worker.to_string(),
            session: owner.session.0,
        });
        // There is room for one.
        let _sent = parts.try_send(v1::ServeMessage { part: Some(hello) });
        let orders = aside.client().serve(ReceiverStream::new(sent)).await?;
        Ok(Self {
            parts,
            orders: orders.into_inner(),
            aside,
        })
    }

    /// Waits for the order; none if another coordinator leads by now.
    async fn ordered(mut self) -> Result<Option<(Self, FileOrder)>, Status> {
        let order = tokio::select! {
            order = self.orders.message() => order?,
            () = self.aside.moved() => return Ok(None),
        };
        let order = order.ok_or_else(|| Status::unavailable("the line is closed"))?;
        Ok(Some((self, convert::file_order(order)?)))
    }

    async fn answer(mut self, outs: Outs, order: FileOrder) {
        let parts = self.parts;
        let sent = tokio::task::spawn_blocking(move || {
            let mut send = |part: Part| {
                let message = convert::serve_message(part);
                parts.blocking_send(message).is_ok()
            };
            outs.answer(&order, &mut send);
        });
        // It fails only when the worker ends.
        let _sent = sent.await;
        // The line is closed by the coordinator, once it has everything.
        let _closed = self.orders.message().await;
    }
}
