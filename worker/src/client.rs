//! Calls to the coordinator.

use std::time::Duration;

use swath_core::error::with_causes;
use swath_core::id::SessionId;
use swath_core::message::Verdict;
use swath_proto::address::{AddressError, endpoint};
use swath_proto::v1::dispatch_client::DispatchClient;
use swath_proto::{PROTOCOL_VERSION, convert, limits, v1};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use swath_agent::{Call, CallError, Reply};

/// What the message of a stale session begins with.
const STALE: &str = "stale session";

/// What the message of a protocol mismatch begins with.
const PROTOCOL: &str = "protocol";

/// The coordinator as this worker sees it. Heartbeats have a connection of
/// their own: bulk must not make them late.
#[derive(Clone, Debug)]
pub struct Client {
    bulk: DispatchClient<Channel>,
    beats: DispatchClient<Channel>,
}

impl Client {
    /// For the coordinator at `address`. Connects when there is something to
    /// say, and again whenever that is necessary.
    ///
    /// To be called in a runtime.
    ///
    /// # Errors
    ///
    /// When the address is none.
    pub fn new(address: &str) -> Result<Self, AddressError> {
        let endpoint = endpoint(address)?
            .connect_timeout(limits::CONNECT_DEADLINE)
            .concurrency_limit(limits::CONCURRENCY_PER_CONNECTION)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(limits::KEEPALIVE_INTERVAL)
            .keep_alive_timeout(limits::KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        let client = || {
            DispatchClient::new(endpoint.connect_lazy())
                .max_decoding_message_size(limits::DISPATCH_MESSAGE_BYTES)
                .max_encoding_message_size(limits::DISPATCH_MESSAGE_BYTES)
        };
        Ok(Self {
            bulk: client(),
            beats: client(),
        })
    }

    /// Makes a call, by its deadline.
    ///
    /// # Errors
    ///
    /// What the agent must know of the failure.
    pub async fn call(self, call: Call) -> Result<Reply, CallError> {
        let waits = match &call {
            Call::Exchange { wait, .. } => *wait,
            _ => Duration::ZERO,
        };
        let deadline = limits::CALL_DEADLINE + waits;
        match tokio::time::timeout(deadline, self.make(call)).await {
            Ok(result) => result,
            Err(_) => Err(CallError::Unreachable(format!(
                "no answer for {} s",
                deadline.as_secs()
            ))),
        }
    }

    async fn make(mut self, call: Call) -> Result<Reply, CallError> {
        match call {
            Call::Hello(hello) => {
                let held = hello.held.len();
                let request = Request::new(convert::hello_message(hello));
                let reply = self
                    .bulk
                    .hello(request)
                    .await
                    .map_err(|status| error(&status))?;
                welcome(&reply.into_inner(), held)
            }
            Call::Exchange { exchange, wait } => {
                let finishes = exchange.finishes.len();
                let wait_ms = wait.as_millis() as u32;
                let request = Request::new(convert::exchange_message(exchange, wait_ms));
                let reply = self
                    .bulk
                    .exchange(request)
                    .await
                    .map_err(|status| error(&status))?;
                exchanged(reply.into_inner(), finishes)
            }
            Call::Heartbeat { owner, held } => {
                let count = held.len();
                let request = v1::HeartbeatRequest {
                    worker: owner.worker.to_string(),
                    session: owner.session.0,
                    held: held.into_iter().map(convert::held_message).collect(),
                };
                let reply = self
                    .beats
                    .heartbeat(request)
                    .await
                    .map_err(|status| error(&status))?;
                let reply = reply.into_inner();
                Ok(Reply::Beaten {
                    verdicts: verdicts(&reply.verdicts, count)?,
                    drain: reply.drain,
                })
            }
            Call::Observe { owner, reports } => {
                let count = reports.len();
                let request = v1::ObserveRequest {
                    worker: owner.worker.to_string(),
                    session: owner.session.0,
                    reports: reports.into_iter().map(convert::report_message).collect(),
                };
                let reply = self
                    .bulk
                    .observe(request)
                    .await
                    .map_err(|status| error(&status))?;
                Ok(Reply::Observed(verdicts(
                    &reply.into_inner().verdicts,
                    count,
                )?))
            }
            Call::Release { owner, held } => {
                let request = v1::ReleaseRequest {
                    worker: owner.worker.to_string(),
                    session: owner.session.0,
                    held: held.into_iter().map(convert::held_message).collect(),
                };
                self.bulk
                    .release(request)
                    .await
                    .map_err(|status| error(&status))?;
                Ok(Reply::Released)
            }
        }
    }
}

fn welcome(reply: &v1::HelloReply, held: usize) -> Result<Reply, CallError> {
    Ok(Reply::Welcome {
        session: SessionId(reply.session),
        verdicts: verdicts(&reply.verdicts, held)?,
        heartbeat: Duration::from_millis(reply.heartbeat_ms),
        drain: Duration::from_millis(reply.drain_ms),
    })
}

fn exchanged(reply: v1::ExchangeReply, finishes: usize) -> Result<Reply, CallError> {
    if reply.acks.len() != finishes {
        let count = reply.acks.len();
        return Err(unreadable(format!("{count} acks for {finishes} outcomes")));
    }
    let acks = reply.acks.into_iter().map(convert::ack);
    let grants = reply.grants.into_iter().map(convert::grant);
    Ok(Reply::Exchanged {
        acks: acks.collect::<Result<_, _>>().map_err(unreadable)?,
        grants: grants.collect::<Result<_, _>>().map_err(unreadable)?,
        drain: reply.drain,
    })
}

fn verdicts(verdicts: &[i32], count: usize) -> Result<Vec<Verdict>, CallError> {
    convert::verdicts(verdicts, count).map_err(unreadable)
}

fn unreadable(what: impl std::fmt::Display) -> CallError {
    CallError::Retry(format!("the coordinator's answer cannot be read: {what}"))
}

fn error(status: &Status) -> CallError {
    let message = status.message();
    match status.code() {
        Code::FailedPrecondition if message.starts_with(PROTOCOL) => CallError::Protocol(format!(
            "{message} (this worker is version {} and speaks protocol {PROTOCOL_VERSION})",
            env!("CARGO_PKG_VERSION")
        )),
        Code::FailedPrecondition if message.starts_with(STALE) => {
            CallError::Stale(message.to_owned())
        }
        // The coordinator's own words come without a cause.
        _ if std::error::Error::source(status).is_some() => {
            CallError::Unreachable(with_causes(message.to_owned(), status))
        }
        code => CallError::Retry(format!("{code:?}: {message}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let refused = std::io::Error::from_raw_os_error(111);
        let mut status = Status::unavailable("no connection");
        status.set_source(std::sync::Arc::new(std::io::Error::other(refused)));
        let CallError::Unreachable(why) = error(&status) else {
            panic!("{status:?}");
        };
        assert!(why.starts_with("no connection: "), "{why}");
        assert_eq!(why.matches("refused").count(), 1, "{why}");
        let said = Status::unavailable("starting");
        assert_eq!(
            error(&said),
            CallError::Retry("Unavailable: starting".to_owned())
        );
    }
}
