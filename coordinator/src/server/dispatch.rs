//! What workers say: decode, call the store, encode.

use std::sync::Arc;
use std::time::Duration;

use swath_core::message::{Exchange, Exchanged, Notice};
use swath_proto::v1::dispatch_server::Dispatch;
use swath_proto::{PROTOCOL_VERSION, convert, limits, v1};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::state::State;
use super::status::worker_status;

pub(crate) struct DispatchService {
    pub(crate) state: Arc<State>,
    /// Ends the waits for a job, so that a shutdown need not wait for them.
    pub(crate) stop: CancellationToken,
}

type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Dispatch for DispatchService {
    async fn hello(&self, request: Request<v1::HelloRequest>) -> Reply<v1::HelloReply> {
        let message = request.into_inner();
        if message.protocol != PROTOCOL_VERSION {
            return Err(Status::failed_precondition(format!(
                "protocol: this coordinator speaks version {PROTOCOL_VERSION}, the worker version \
                 {}; install the same release on both",
                message.protocol
            )));
        }
        let hello = convert::hello(message)?;
        let worker = hello.worker.clone();
        let state = &self.state;
        let held = hello.held.len();
        let welcome = state
            .store
            .hello(state.now(), hello)
            .await
            .map_err(|error| worker_status(&error))?;
        state.set_draining(&worker, false);
        tracing::info!(%worker, session = %welcome.session, held, requeued = welcome.requeued, "worker says hello");
        if welcome.requeued > 0 {
            state.work_arrived();
        } else {
            state.changed();
        }
        Ok(Response::new(v1::HelloReply {
            session: welcome.session.0,
            verdicts: welcome
                .verdicts
                .into_iter()
                .map(convert::verdict_message)
                .collect(),
            heartbeat_ms: state.policy.heartbeat_ms,
            ttl_ms: state.policy.ttl_ms,
            drain_ms: state.policy.drain_ms,
        }))
    }

    async fn exchange(&self, request: Request<v1::ExchangeRequest>) -> Reply<v1::ExchangeReply> {
        let message = request.into_inner();
        let wait = Duration::from_millis(u64::from(message.wait_ms)).min(limits::EXCHANGE_WAIT_MAX);
        let exchange = convert::exchange(message)?;
        let worker = exchange.owner.worker.clone();
        let exchanged = self.exchange_or_wait(exchange, wait).await?;
        Ok(Response::new(v1::ExchangeReply {
            acks: exchanged
                .acks
                .into_iter()
                .map(convert::ack_message)
                .collect(),
            grants: exchanged
                .grants
                .into_iter()
                .map(convert::grant_message)
                .collect(),
            drain: self.state.is_draining(&worker),
        }))
    }

    async fn heartbeat(&self, request: Request<v1::HeartbeatRequest>) -> Reply<v1::HeartbeatReply> {
        let message = request.into_inner();
        let owner = convert::owner(&message.worker, message.session)?;
        let held = convert::held_all(&message.held)?;
        let state = &self.state;
        let drain = state.is_draining(&owner.worker);
        let verdicts = state
            .store
            .heartbeat(state.now(), owner, held)
            .await
            .map_err(|error| worker_status(&error))?;
        Ok(Response::new(v1::HeartbeatReply {
            verdicts: verdicts.into_iter().map(convert::verdict_message).collect(),
            drain,
        }))
    }

    async fn observe(&self, request: Request<v1::ObserveRequest>) -> Reply<v1::ObserveReply> {
        let message = request.into_inner();
        let owner = convert::owner(&message.worker, message.session)?;
        let reports = convert::reports(message.reports)?;
        let state = &self.state;
        let verdicts = state
            .store
            .observe(state.now(), owner, reports)
            .await
            .map_err(|error| worker_status(&error))?;
        state.changed();
        Ok(Response::new(v1::ObserveReply {
            verdicts: verdicts.into_iter().map(convert::verdict_message).collect(),
        }))
    }

    async fn release(&self, request: Request<v1::ReleaseRequest>) -> Reply<v1::ReleaseReply> {
        let message = request.into_inner();
        let owner = convert::owner(&message.worker, message.session)?;
        let held = convert::held_all(&message.held)?;
        let state = &self.state;
        tracing::info!(worker = %owner.worker, attempts = held.len(), "worker gives attempts back");
        state
            .store
            .release(state.now(), owner, held)
            .await
            .map_err(|error| worker_status(&error))?;
        state.work_arrived();
        Ok(Response::new(v1::ReleaseReply {}))
    }
}

impl DispatchService {
    /// One exchange; when it brought neither an acknowledgement nor a job,
    /// again as soon as there may be one, until `wait` is over.
    async fn exchange_or_wait(
        &self,
        mut exchange: Exchange,
        wait: Duration,
    ) -> Result<Exchanged, Status> {
        let state = &self.state;
        let until = Instant::now() + wait;
        // Subscribed before the first look: what arrives between the look and
        // the wait is not missed.
        let mut work = state.work();
        loop {
            let exchanged = state
                .store
                .exchange(state.now(), exchange.clone())
                .await
                .map_err(|error| worker_status(&error))?;
            self.announce(&exchanged);
            let worker = &exchange.owner.worker;
            let wanted = exchange.want > 0 && exchange.finishes.is_empty();
            if !wanted || !exchanged.grants.is_empty() || state.is_draining(worker) {
                return Ok(exchanged);
            }
            exchange.finishes.clear();
            tokio::select! {
                changed = work.changed() => {
                    if changed.is_err() {
                        return Ok(exchanged);
                    }
                }
                () = tokio::time::sleep_until(until) => return Ok(exchanged),
                () = self.stop.cancelled() => return Ok(exchanged),
            }
        }
    }

    fn announce(&self, exchanged: &Exchanged) {
        for notice in &exchanged.notices {
            match notice {
                Notice::Cordoned { worker, reason } => {
                    tracing::warn!(%worker, reason, "worker cordoned");
                }
                Notice::Paused { sweep, reason } => {
                    tracing::warn!(sweep = %sweep.short(), reason, "sweep paused");
                }
            }
        }
        if !exchanged.acks.is_empty() || !exchanged.grants.is_empty() {
            self.state.changed();
        }
    }
}
