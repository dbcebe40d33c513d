//! Scripted workers that speak to a coordinator all the time, and sweeps for them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use swath_e2e::{Random, SweepText};
use swath_proto::refusal::{Reason, Refusal};
use tokio::runtime::Runtime;

use super::list::List;
use super::worker::{Next, Worker};
use crate::stub::{client, runtime};

const WORKERS: u64 = 8;
/// How long a call may take before it is given up and made again.
const DEADLINE: Duration = Duration::from_secs(10);
/// After a call in vain, or one that brought nothing.
const PAUSE: Duration = Duration::from_millis(50);
/// Between two heartbeats; the policy of these coordinators knows it.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// Jobs of one sweep of the load.
pub(crate) const SWEEP: u32 = 1_500;

/// The policy of the coordinators: a lease is over in seconds, so that one that passes wrongly shows.
pub(crate) const POLICY: &str = "\
heartbeat_ms = 500
ttl_ms = 2500
grace_min_ms = 1000
grace_max_ms = 1000
sweeper_ms = 200
backoff_base_ms = 100
backoff_max_ms = 400
drain_ms = 5000
";

/// The sweep file number `number`, of jobs that no other one has.
pub(crate) fn sweep(number: u32) -> (String, String) {
    let name = format!("load-{number}");
    let text = SweepText::null_grid(&name, number, SWEEP);
    (name, text.to_string())
}

/// Workers at work until this is dropped.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) list: Arc<List>,
    hurry: Arc<AtomicBool>,
    _runtime: Runtime,
}

impl Load {
    /// Workers of the coordinator at `url`.
    pub(crate) fn start(url: &str, random: &mut Random) -> Self {
        let list = Arc::<List>::default();
        let hurry = Arc::<AtomicBool>::default();
        let runtime = runtime();
        for index in 0..WORKERS {
            let worker = Worker::new(&format!("scripted-{index}"), random.below(u64::MAX));
            let worker = Arc::new(Mutex::new(worker));
            runtime.spawn(beat(url.to_owned(), Arc::clone(&worker)));
            runtime.spawn(work(
                url.to_owned(),
                worker,
                Arc::clone(&list),
                Arc::clone(&hurry),
            ));
        }
        Self {
            list,
            hurry,
            _runtime: runtime,
        }
    }

    /// From now on no attempt takes any time.
    pub(crate) fn hurry(&self) {
        self.hurry.store(true, Ordering::Relaxed);
    }
}

fn lock(worker: &Mutex<Worker>) -> MutexGuard<'_, Worker> {
    worker.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Exchanges, and says hello when it must.
async fn work(url: String, worker: Arc<Mutex<Worker>>, list: Arc<List>, hurry: Arc<AtomicBool>) {
    let mut client = client(&url);
    loop {
        let next = lock(&worker).next(hurry.load(Ordering::Relaxed));
        let answered = match next {
            Next::Rest(rest) => {
                tokio::time::sleep(rest).await;
                continue;
            }
            Next::Hello(request) => tokio::time::timeout(DEADLINE, client.hello(request))
                .await
                .map(|reply| {
                    reply.map(|reply| {
                        lock(&worker).welcomed(&reply.into_inner());
                        true
                    })
                }),
            Next::Exchange(request) => tokio::time::timeout(DEADLINE, client.exchange(request))
                .await
                .map(|reply| reply.map(|reply| lock(&worker).exchanged(reply.into_inner(), &list))),
        };
        match answered {
            Ok(Ok(true)) => {}
            Ok(Err(status))
                if Refusal::of(&status) == Refusal::Refused(Some(Reason::StaleSession)) =>
            {
                lock(&worker).is_stale();
            }
            Ok(_) | Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Heartbeats, which stop for nothing.
async fn beat(url: String, worker: Arc<Mutex<Worker>>) {
    let mut client = client(&url);
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        let request = lock(&worker).heartbeat();
        if let Some(request) = request {
            // What it comes to shows when the outcome is offered.
            let _ = tokio::time::timeout(HEARTBEAT * 3, client.heartbeat(request)).await;
        }
    }
}
