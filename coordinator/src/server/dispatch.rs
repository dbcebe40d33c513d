//! The handlers for workers: decode, call the store, encode.

use std::sync::Arc;
use std::time::Duration;

use swath_model::id::{Owner, WorkerName};
use swath_model::message::{Ack, Exchange, Exchanged, Grant, Verdict};
use swath_proto::v1::dispatch_server::Dispatch;
use swath_proto::{PROTOCOL_VERSION, Upgrade, convert, limits, v1};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::access::{Caller, Proven};
use super::error::{ApiError, worker_status};
use super::inputs::{Pieces, fetch};
use super::keeping::retained;
use super::state::State;

pub(crate) struct DispatchService {
    pub(crate) state: Arc<State>,
    /// Ends the waits for jobs, so that a shutdown does not wait for them.
    pub(crate) stop: CancellationToken,
}

type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Dispatch for DispatchService {
    async fn hello(&self, request: Request<v1::HelloRequest>) -> Reply<v1::HelloReply> {
        let caller = Caller::of(&request);
        let message = request.into_inner();
        let protocol = message.protocol;
        if let Some(upgrade) = Upgrade::needed(protocol) {
            let refused = upgrade.refuse(protocol);
            refuse(&caller, &message.worker, &refused);
            return Err(refused);
        }
        let named = message.held.clone();
        let mut hello = convert::hello(message)?;
        let worker = hello.worker.clone();
        self.is_itself(&caller, &worker)?;
        let proven = self.proven(&caller, &worker, named.iter().map(Some))?;
        hello.held = proven.only(hello.held);
        let state = &self.state;
        let held = hello.held.len();
        let welcome = state
            .engine
            .hello(state.now(), hello)
            .await
            .map_err(worker_status)
            .inspect_err(|status| refuse(&caller, worker.as_str(), status))?;
        state.set_draining(&worker, false);
        tracing::info!(%worker, principal = %caller.principal, session = %welcome.session, held, requeued = welcome.requeued, "worker says hello");
        if Upgrade::is_due(protocol, PROTOCOL_VERSION) {
            tracing::warn!(%worker, protocol, own = PROTOCOL_VERSION, "the worker is behind: the next release will refuse it");
        }
        Ok(Response::new(v1::HelloReply {
            session: welcome.session.0,
            verdicts: verdict_messages(&proven, welcome.verdicts),
            heartbeat_ms: state.policy.heartbeat_ms,
            ttl_ms: state.policy.ttl_ms,
            drain_ms: state.policy.drain_ms,
        }))
    }

    async fn exchange(&self, request: Request<v1::ExchangeRequest>) -> Reply<v1::ExchangeReply> {
        let caller = Caller::of(&request);
        let message = request.into_inner();
        let wait = Duration::from_millis(u64::from(message.wait_ms)).min(limits::EXCHANGE_WAIT_MAX);
        let named: Vec<_> = message.finishes.iter().map(|it| it.held.clone()).collect();
        let mut exchange = convert::exchange(message)?;
        let worker = exchange.owner.worker.clone();
        self.is_itself(&caller, &worker)?;
        let proven = self.proven(&caller, &worker, named.iter().map(Option::as_ref))?;
        exchange.finishes = proven.only(exchange.finishes);
        let exchanged = self.exchange_or_wait(exchange, wait).await?;
        let acks = proven.answers(exchanged.acks, Ack::Stale);
        let grant = |grant: Grant| {
            let lease = self.state.access.lease_of(grant.held, &worker);
            let mut message = convert::grant_message(grant);
            message.held.get_or_insert_default().lease = lease;
            message
        };
        Ok(Response::new(v1::ExchangeReply {
            acks: acks.into_iter().map(convert::ack_message).collect(),
            grants: exchanged.grants.into_iter().map(grant).collect(),
            drain: self.state.is_draining(&worker),
        }))
    }

    async fn heartbeat(&self, request: Request<v1::HeartbeatRequest>) -> Reply<v1::HeartbeatReply> {
        let caller = Caller::of(&request);
        let message = request.into_inner();
        let owner = self.owner(&caller, &message.worker, message.session)?;
        let held = convert::held_all(&message.held)?;
        let proven = self.proven(&caller, &owner.worker, message.held.iter().map(Some))?;
        let held = proven.only(held);
        let state = &self.state;
        let drain = state.is_draining(&owner.worker);
        let verdicts = state
            .engine
            .heartbeat(state.now(), owner, held)
            .await
            .map_err(worker_status)?;
        Ok(Response::new(v1::HeartbeatReply {
            verdicts: verdict_messages(&proven, verdicts),
            drain,
        }))
    }

    async fn observe(&self, request: Request<v1::ObserveRequest>) -> Reply<v1::ObserveReply> {
        let caller = Caller::of(&request);
        let message = request.into_inner();
        let owner = self.owner(&caller, &message.worker, message.session)?;
        let named: Vec<_> = message.reports.iter().map(|it| it.held.clone()).collect();
        let reports = convert::reports(message.reports)?;
        let proven = self.proven(&caller, &owner.worker, named.iter().map(Option::as_ref))?;
        let reports = proven.only(reports);
        let state = &self.state;
        let verdicts = state
            .engine
            .observe(state.now(), owner, reports)
            .await
            .map_err(worker_status)?;
        Ok(Response::new(v1::ObserveReply {
            verdicts: verdict_messages(&proven, verdicts),
        }))
    }

    async fn release(&self, request: Request<v1::ReleaseRequest>) -> Reply<v1::ReleaseReply> {
        let caller = Caller::of(&request);
        let message = request.into_inner();
        let owner = self.owner(&caller, &message.worker, message.session)?;
        let releases = convert::releases(&message)?;
        let proven = self.proven(&caller, &owner.worker, message.held.iter().map(Some))?;
        let releases = proven.only(releases);
        let state = &self.state;
        let lacks = releases.iter().find_map(|it| it.lack.as_ref());
        let lacks = lacks.map(tracing::field::display);
        tracing::info!(worker = %owner.worker, attempts = releases.len(), lacks, "worker gives attempts back");
        state
            .engine
            .release(state.now(), owner, releases)
            .await
            .map_err(worker_status)?;
        Ok(Response::new(v1::ReleaseReply {}))
    }

    async fn goodbye(&self, request: Request<v1::GoodbyeRequest>) -> Reply<v1::GoodbyeReply> {
        let caller = Caller::of(&request);
        let message = request.into_inner();
        let owner = self.owner(&caller, &message.worker, message.session)?;
        let worker = owner.worker.clone();
        let state = &self.state;
        let requeued = state.engine.goodbye(state.now(), owner).await;
        let requeued = requeued.map_err(worker_status)?;
        tracing::info!(%worker, requeued, "worker says goodbye");
        Ok(Response::new(v1::GoodbyeReply {}))
    }

    type FetchStream = Pieces;

    async fn fetch(&self, request: Request<v1::FetchRequest>) -> Reply<Self::FetchStream> {
        let pieces = fetch(&self.state, &request.into_inner().digest).await?;
        Ok(Response::new(pieces))
    }

    async fn retain(&self, request: Request<v1::RetainRequest>) -> Reply<v1::RetainReply> {
        let caller = Caller::of(&request);
        let message = request.into_inner();
        let owner = self.owner(&caller, &message.worker, message.session)?;
        let held = convert::held_all(&message.held)?;
        self.check(owner).await?;
        let may_go = retained(&self.state, &held).await;
        let may_go = may_go.map_err(ApiError::for_worker)?;
        Ok(Response::new(v1::RetainReply { may_go }))
    }

    type ServeStream = ReceiverStream<Result<v1::FileOrder, Status>>;

    async fn serve(
        &self,
        request: Request<Streaming<v1::ServeMessage>>,
    ) -> Reply<Self::ServeStream> {
        let caller = Caller::of(&request);
        let mut parts = request.into_inner();
        let first = parts.message().await?.and_then(|message| message.part);
        let Some(v1::serve_message::Part::Hello(hello)) = first else {
            return Err(Status::invalid_argument("a line begins with a hello"));
        };
        let owner = self.owner(&caller, &hello.worker, hello.session)?;
        self.check(owner.clone()).await?;
        let (orders, stream) = tokio::sync::mpsc::channel(1);
        self.state.lines.add(owner, orders, parts);
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

impl DispatchService {
    /// The worker's session that a message names.
    fn owner(&self, caller: &Caller, worker: &str, session: u64) -> Result<Owner, Status> {
        let owner = convert::owner(worker, session)?;
        self.is_itself(caller, &owner.worker)?;
        Ok(owner)
    }

    /// Refuses a caller that names another worker than the one that it is: who somebody
    /// is follows from the connection, never from what a message says.
    fn is_itself(&self, caller: &Caller, worker: &WorkerName) -> Result<(), Status> {
        if caller.principal.is_worker(worker) {
            return Ok(());
        }
        let why = format!("{} may not speak for worker `{worker}`", caller.principal);
        let state = &self.state;
        state
            .access
            .refused(state.now(), caller, "another worker's name", &why);
        Err(Status::permission_denied(why))
    }

    /// Which of the attempts that it names a worker has proved to hold.
    fn proven<'a>(
        &self,
        caller: &Caller,
        worker: &WorkerName,
        named: impl Iterator<Item = Option<&'a v1::Held>>,
    ) -> Result<Proven, Status> {
        let state = &self.state;
        state.access.proven(state.now(), caller, worker, named)
    }

    /// Refuses a session that is not its worker's newest.
    async fn check(&self, owner: Owner) -> Result<(), Status> {
        let state = &self.state;
        let heard = state.engine.observe(state.now(), owner, Vec::new()).await;
        heard.map_err(worker_status)?;
        Ok(())
    }

    /// One exchange. If it brings neither an acknowledgement nor a job, the
    /// worker waits for one until `wait` is over.
    async fn exchange_or_wait(
        &self,
        exchange: Exchange,
        wait: Duration,
    ) -> Result<Exchanged, Status> {
        let state = &self.state;
        let until = Instant::now() + wait;
        let exchanged = state.engine.exchange(state.now(), exchange.clone()).await;
        let exchanged = exchanged.map_err(worker_status)?;
        let wanted = exchange.asks() && exchange.finishes.is_empty();
        let draining = state.is_draining(&exchange.owner.worker);
        if !wanted || !exchanged.grants.is_empty() || draining {
            return Ok(exchanged);
        }
        let over = async {
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                () = self.stop.cancelled() => {}
            }
        };
        let exchanged = state.engine.wait_for_jobs(exchange, over).await;
        let exchanged = exchanged.map_err(worker_status)?;
        Ok(exchanged)
    }
}

/// Notes a worker that is not taken.
fn refuse(caller: &Caller, worker: &str, status: &Status) {
    let why = status.message();
    tracing::warn!(worker, principal = %caller.principal, why, "a hello is refused");
}

/// The verdicts on attempts; those that are not proved are no longer the worker's.
fn verdict_messages(proven: &Proven, verdicts: Vec<Verdict>) -> Vec<i32> {
    let verdicts = proven.answers(verdicts, Verdict::Fenced);
    verdicts.into_iter().map(convert::verdict_message).collect()
}
