//! Removes directories that nobody wants any more, or that there is no room for.
//!
//! The worker asks the coordinator what may go: at its start, after outcomes were
//! delivered, and every so often. So no answer can be lost for good, and what a
//! sweep wants may change.

use std::path::Path;
use std::time::Duration;

use swath_agent::quota::excess;
use swath_model::files::Remover;
use swath_model::id::Owner;
use swath_model::text;
use swath_proto::{convert, v1};
use tokio::sync::watch;

use super::{Left, Outs};
use crate::client::Client;
use crate::spool::now_ms;

/// How often is asked although nothing has happened here.
const REGULARLY: Duration = Duration::from_mins(10);

/// How long is waited for more after something has happened.
const GATHER: Duration = Duration::from_secs(1);

/// How much longer for each directory that is asked about: with thousands of them
/// a question costs the coordinator much.
const PER_DIRECTORY: Duration = Duration::from_millis(10);

/// The pause after a question that was not answered.
const RETRY: Duration = Duration::from_secs(10);

/// How long a question may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// How long the last question may take.
const LAST: Duration = Duration::from_secs(2);

/// How many attempts are asked about at once.
const ASKED_MAX: usize = 256;

/// Keeps the directories in order until the worker ends.
pub async fn keep(outs: Outs, client: Client, mut sessions: watch::Receiver<Option<Owner>>) {
    tokio::spawn(keep_room(outs.clone()));
    loop {
        let rest = match ask(&outs, &client, &mut sessions).await {
            Ok(()) => REGULARLY,
            Err(error) => {
                tracing::debug!(%error, "it is not known which directories may go");
                RETRY
            }
        };
        tokio::select! {
            () = outs.0.changed.notified() => {
                let kept = outs.all_ended().len() as u32;
                tokio::time::sleep(GATHER + PER_DIRECTORY * kept).await;
            }
            () = tokio::time::sleep(rest) => {}
        }
    }
}

/// Keeps room until the worker ends.
async fn keep_room(outs: Outs) {
    loop {
        make_room(&outs).await;
        tokio::select! {
            () = outs.0.grown.notified() => tokio::time::sleep(GATHER).await,
            () = tokio::time::sleep(REGULARLY) => {}
        }
    }
}

/// Asks a last time when the worker ends, within a limit: it may not be started
/// again for long.
pub async fn keep_last(outs: &Outs, client: &Client, sessions: &watch::Sender<Option<Owner>>) {
    if sessions.borrow().is_some() {
        let mut sessions = sessions.subscribe();
        let asked = ask(outs, client, &mut sessions);
        // What is not removed now is when the worker is started again.
        let _asked = tokio::time::timeout(LAST, asked).await;
    }
}

/// Asks which directories of ended attempts may go, and removes these.
async fn ask(
    outs: &Outs,
    client: &Client,
    sessions: &mut watch::Receiver<Option<Owner>>,
) -> Result<(), tonic::Status> {
    let ended = outs.all_ended();
    if ended.is_empty() {
        return Ok(());
    }
    let known = sessions.wait_for(Option::is_some).await;
    let Some(owner) = known.ok().and_then(|owner| owner.clone()) else {
        return Ok(());
    };
    let aside = client
        .aside()
        .map_err(|error| tonic::Status::internal(error.to_string()))?;
    for asked in ended.chunks(ASKED_MAX) {
        let request = v1::RetainRequest {
            worker: owner.worker.to_string(),
            session: owner.session.0,
            held: asked
                .iter()
                .map(|left| convert::held_message(left.held))
                .collect(),
        };
        let mut request = tonic::Request::new(request);
        request.set_timeout(DEADLINE);
        let reply = aside.client().retain(request).await?.into_inner();
        let go = asked.iter().zip(reply.may_go).filter(|(_, may_go)| *may_go);
        remove(outs, go.map(|(left, _)| *left).collect()).await;
    }
    Ok(())
}

async fn remove(outs: &Outs, all: Vec<Left>) {
    if all.is_empty() {
        return;
    }
    tracing::info!(
        directories = all.len(),
        "directories that no sweep keeps are removed"
    );
    let outs = outs.clone();
    let removed = tokio::task::spawn_blocking(move || {
        for left in all {
            outs.remove(left, Remover::Keep, now_ms());
        }
    });
    // It fails only when the worker ends.
    let _removed = removed.await;
}

/// Removes the oldest directories of ended attempts as far as there is no room.
async fn make_room(outs: &Outs) {
    let quota = outs.0.quota;
    if quota.keep_bytes == 0 && quota.keep_free == 0 {
        return;
    }
    let looked = outs.clone();
    let removed = tokio::task::spawn_blocking(move || {
        let outs = looked;
        let free = free_bytes(outs.root());
        let sizes = outs.sizes().unwrap_or_else(|error| {
            tracing::warn!(%error, "the directories of attempts cannot be looked at");
            Vec::new()
        });
        for it in excess(sizes, quota, free) {
            let (name, size) = (&it.name, text::bytes(it.bytes));
            tracing::info!(
                name,
                size,
                "there is no room for the directory of an attempt (--keep-bytes, --keep-free)"
            );
            outs.give_up(name, now_ms());
        }
    });
    // It fails only when the worker ends.
    let _removed = removed.await;
}

/// How many bytes of the disk of a directory are free.
fn free_bytes(directory: &Path) -> Option<u64> {
    let about = rustix::fs::statvfs(directory).ok()?;
    Some(about.f_bavail.saturating_mul(about.f_frsize))
}
