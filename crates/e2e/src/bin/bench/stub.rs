//! Workers without trainers: they speak to a coordinator over its own wire, and every job that they take is done at once.

use std::fmt::Display;
use std::time::Duration;

use swath_proto::address::endpoint;
use swath_proto::limits::{CALL_DEADLINE, CONNECT_DEADLINE, EXCHANGE_WAIT_MAX};
use swath_proto::secure::Caller;
use swath_proto::{DispatchClient, PROTOCOL_VERSION, v1};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::text::Checked;

/// A worker with its session.
#[derive(Clone, Debug)]
pub(crate) struct Stub {
    client: DispatchClient,
    name: String,
    session: u64,
    request: u64,
    held: Vec<v1::Held>,
    /// Time between two heartbeats, as the coordinator wants it.
    pub(crate) heartbeat: Duration,
}

/// What such workers run on.
///
/// # Panics
///
/// When threads cannot be started.
pub(crate) fn runtime() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    let builder = builder.worker_threads(2).enable_all();
    builder.build().expect("a runtime")
}

/// A connection of its own; it is made at the first call. Its clones share it.
///
/// # Panics
///
/// When this is not the URL of a coordinator.
pub(crate) fn client(url: &str) -> DispatchClient {
    client_of(url, &Caller::default())
}

/// The same for somebody who shows something.
///
/// # Panics
///
/// When this is not the URL of a coordinator.
pub(crate) fn client_of(url: &str, caller: &Caller) -> DispatchClient {
    let endpoint = endpoint(url).expect("the URL of a coordinator");
    let endpoint = endpoint.connect_timeout(CONNECT_DEADLINE);
    DispatchClient::new(caller.line_lazy(&endpoint.tcp_nodelay(true)))
}

/// What a worker says first.
pub(crate) fn hello(worker: &str, slots: usize, held: Vec<v1::Held>) -> v1::HelloRequest {
    v1::HelloRequest {
        protocol: PROTOCOL_VERSION,
        worker: worker.to_owned(),
        host: "scripted".to_owned(),
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        slots: vec!["cpu".to_owned(); slots],
        programs: Vec::new(),
        held,
        devices: Vec::new(),
        cpus: 0,
        state_id: String::new(),
        takes_name: false,
        out: String::new(),
    }
}

/// So many slots without a job.
pub(crate) fn free(slots: usize) -> Vec<v1::Free> {
    vec![v1::Free {
        device: "cpu".to_owned(),
        slots: slots as u32,
        ahead: 0,
    }]
}

/// The outcome of an attempt.
pub(crate) fn finish(held: v1::Held, measurement: v1::Measurement) -> v1::Finish {
    v1::Finish {
        held: Some(held),
        outcome: Some(v1::finish::Outcome::Measured(measurement)),
        provenance: Some(v1::Provenance {
            device: "cpu".to_owned(),
            trainer: "scripted".to_owned(),
            threads: 1,
            ..v1::Provenance::default()
        }),
    }
}

/// An answer, or in words why there is none in the time that a worker gives it.
async fn answer<T, E: Display>(
    what: &str,
    wait: Duration,
    call: impl Future<Output = Result<T, E>>,
) -> Checked<T> {
    match timeout(CALL_DEADLINE + wait, call).await {
        Ok(answer) => answer.map_err(|error| format!("{what}: {error}")),
        Err(_) => Err(format!("{what}: no answer in {:?}", CALL_DEADLINE + wait)),
    }
}

impl Stub {
    /// Begins a session.
    pub(crate) async fn register(mut client: DispatchClient, name: &str) -> Checked<Self> {
        let hello = client.hello(hello(name, 1, Vec::new()));
        let reply = answer("hello", Duration::ZERO, hello).await?.into_inner();
        Ok(Self {
            client,
            name: name.to_owned(),
            session: reply.session,
            request: 0,
            held: Vec::new(),
            heartbeat: Duration::from_millis(reply.heartbeat_ms),
        })
    }

    async fn exchange(
        &mut self,
        finishes: Vec<v1::Finish>,
        want: usize,
        wait: Duration,
    ) -> Checked<v1::ExchangeReply> {
        self.request += 1;
        let request = v1::ExchangeRequest {
            worker: self.name.clone(),
            session: self.session,
            request: self.request,
            finishes,
            free: free(want),
            wait_ms: wait.as_millis() as u32,
        };
        let exchange = self.client.exchange(request);
        Ok(answer("exchange", wait, exchange).await?.into_inner())
    }

    /// Finishes what it holds and takes exactly so many jobs, in one exchange; says how many it finished.
    pub(crate) async fn work(&mut self, want: usize) -> Checked<usize> {
        let held = std::mem::take(&mut self.held);
        let finishes: Vec<_> = held.into_iter().map(measured).collect();
        let finished = finishes.len();
        let reply = self.exchange(finishes, want, Duration::ZERO).await?;
        let recorded = |ack: &&i32| **ack == v1::Ack::Recorded as i32;
        let recorded = reply.acks.iter().filter(recorded).count();
        self.held = reply.grants.into_iter().filter_map(|it| it.held).collect();
        if recorded == finished && self.held.len() == want {
            return Ok(finished);
        }
        let got = self.held.len();
        Err(format!(
            "exchange: {recorded} of {finished} outcomes recorded, {got} of {want} jobs granted"
        ))
    }

    /// Waits for a job that does not come, as long as a worker does.
    pub(crate) async fn park(&mut self) -> Checked {
        let reply = self.exchange(Vec::new(), 1, EXCHANGE_WAIT_MAX).await?;
        match reply.grants.len() {
            0 => Ok(()),
            _ => Err("exchange: a job came where there is none".to_owned()),
        }
    }

    /// One heartbeat for all that it holds, and must still hold.
    pub(crate) async fn beat(&mut self) -> Checked {
        let request = v1::HeartbeatRequest {
            worker: self.name.clone(),
            session: self.session,
            held: self.held.clone(),
        };
        let beat = self.client.heartbeat(request);
        let reply = answer("heartbeat", Duration::ZERO, beat)
            .await?
            .into_inner();
        let keeps = |verdict: &i32| *verdict == v1::Verdict::Keep as i32;
        if reply.verdicts.len() == self.held.len() && reply.verdicts.iter().all(keeps) {
            return Ok(());
        }
        Err(format!("heartbeat: told {:?}", reply.verdicts))
    }
}

/// The same outcome for every job.
fn measured(held: v1::Held) -> v1::Finish {
    let measurement = v1::Measurement {
        values: [
            ("test_error".to_owned(), 8.25),
            ("test_loss".to_owned(), 0.31),
            ("best_test_error".to_owned(), 8.125),
        ]
        .into(),
        ..v1::Measurement::default()
    };
    finish(held, measurement)
}
