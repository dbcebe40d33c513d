//! A coordinator for tests: the memory store behind the real wire, with
//! failures on demand.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use swath_model::needs::Lack;
use swath_model::policy::Policy;
use swath_model::time::Timestamp;
use swath_proto::refusal::{Reason, not_leader};
use swath_proto::v1::dispatch_server::{Dispatch, DispatchServer};
use swath_proto::{convert, v1};
use swath_store_conformance::StoreError;
use swath_store_conformance::oracle::Oracle;
use swath_store_conformance::subject::Subject;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tonic::{Request, Response, Status};

/// The state that all lives of the coordinator share.
pub(crate) struct Shared {
    pub(crate) store: Oracle,
    policy: Policy,
    began: Instant,
    /// How many replies to exchanges to lose after their transaction.
    pub(crate) lose_exchanges: AtomicU32,
    /// How many replies to reports to lose.
    pub(crate) lose_observes: AtomicU32,
    /// Hellos so far.
    pub(crate) hellos: AtomicU32,
    /// Exchanges so far.
    pub(crate) exchanges: AtomicU32,
    /// Whether replies tell the worker to drain.
    pub(crate) drain: AtomicBool,
    /// Whether hellos are refused for their protocol version.
    pub(crate) other_protocol: AtomicBool,
    /// Whether the directories of ended attempts may go.
    pub(crate) may_go: AtomicBool,
    /// Whether this coordinator is older than goodbyes.
    pub(crate) knows_no_goodbye: AtomicBool,
    /// What workers said that they lack, as it came.
    pub(crate) lacks: Mutex<Vec<Lack>>,
}

impl Shared {
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.began.elapsed().as_millis() as i64 + 1)
    }
}

/// A coordinator that can be stopped and started again at its address.
pub(crate) struct Coordinator {
    pub(crate) shared: Arc<Shared>,
    /// The leader to name, while this coordinator stands by.
    leader: Arc<Mutex<Option<String>>>,
    pub(crate) address: SocketAddr,
    stop: Option<(oneshot::Sender<()>, std::thread::JoinHandle<()>)>,
}

impl Coordinator {
    pub(crate) fn start() -> Self {
        Self::with(Policy {
            heartbeat_ms: 100,
            ttl_ms: 20_000,
            sweeper_ms: 1_000,
            backoff_base_ms: 1,
            backoff_max_ms: 1,
            cordon_after: 1000,
            pause_after: 1000,
            drain_ms: 5_000,
            ..Policy::default()
        })
    }

    pub(crate) fn with(policy: Policy) -> Self {
        let shared = Shared {
            store: Oracle::new(policy.clone()),
            policy,
            began: Instant::now(),
            lose_exchanges: AtomicU32::new(0),
            lose_observes: AtomicU32::new(0),
            hellos: AtomicU32::new(0),
            exchanges: AtomicU32::new(0),
            drain: AtomicBool::new(false),
            other_protocol: AtomicBool::new(false),
            may_go: AtomicBool::new(false),
            knows_no_goodbye: AtomicBool::new(false),
            lacks: Mutex::default(),
        };
        Self::over(Arc::new(shared), None)
    }

    /// Another coordinator over the same store, which stands by and names this
    /// one.
    pub(crate) fn standby(&self) -> Self {
        Self::over(Arc::clone(&self.shared), Some(self.url()))
    }

    /// Makes a standby the leader.
    pub(crate) fn take_over(&self) {
        *self.leader.lock().unwrap() = None;
    }

    /// Makes this coordinator stand by and name `leader`. Calls that wait for a
    /// job here are not told.
    pub(crate) fn stand_by(&self, leader: &Self) {
        *self.leader.lock().unwrap() = Some(leader.url());
    }

    fn over(shared: Arc<Shared>, leader: Option<String>) -> Self {
        let listener = listen("127.0.0.1:0".parse().unwrap());
        let mut coordinator = Self {
            shared,
            leader: Arc::new(Mutex::new(leader)),
            address: listener.local_addr().unwrap(),
            stop: None,
        };
        coordinator.serve(listener);
        coordinator
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves on its own thread and runtime: when that runtime ends, so do all
    /// connections, as when a process is killed.
    fn serve(&mut self, listener: std::net::TcpListener) {
        let (stop, stopped) = oneshot::channel::<()>();
        let server = Server {
            shared: Arc::clone(&self.shared),
            leader: Arc::clone(&self.leader),
        };
        let serve = async move {
            let listener = TcpListener::from_std(listener).unwrap();
            let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
            let serve = tonic::transport::Server::builder()
                .add_service(DispatchServer::new(server))
                .serve_with_incoming(incoming);
            tokio::select! {
                served = serve => served.unwrap(),
                _ = stopped => {}
            }
        };
        let thread = std::thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_all().build().unwrap().block_on(serve);
        });
        self.stop = Some((stop, thread));
    }

    /// Stops the coordinator, but not its store.
    pub(crate) fn stop(&mut self) {
        let (stop, thread) = self.stop.take().unwrap();
        stop.send(()).unwrap();
        thread.join().unwrap();
    }

    /// Starts it again at the same address.
    pub(crate) async fn start_again(&mut self) {
        let listener = listen(self.address);
        self.shared.store.restart(self.shared.now()).await.unwrap();
        self.serve(listener);
    }
}

fn listen(address: SocketAddr) -> std::net::TcpListener {
    let listener = std::net::TcpListener::bind(address).unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

struct Server {
    shared: Arc<Shared>,
    leader: Arc<Mutex<Option<String>>>,
}

impl Server {
    /// Refuses what only the leader does.
    fn lead(&self) -> Result<(), Status> {
        match &*self.leader.lock().unwrap() {
            Some(leader) => Err(not_leader("this one stands by", Some(leader))),
            None => Ok(()),
        }
    }
}

fn status(error: StoreError) -> Status {
    match error {
        StoreError::StaleSession { .. } => Reason::StaleSession.status(error.to_string()),
        StoreError::NameTaken { .. } => Reason::NameTaken.status(error.to_string()),
        error => Status::internal(error.to_string()),
    }
}

fn lost(counter: &AtomicU32) -> Result<(), Status> {
    let less = |left: u32| left.checked_sub(1);
    match counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less) {
        Ok(_) => Err(Status::unavailable("the reply is lost")),
        Err(_) => Ok(()),
    }
}

#[tonic::async_trait]
impl Dispatch for Server {
    async fn hello(
        &self,
        request: Request<v1::HelloRequest>,
    ) -> Result<Response<v1::HelloReply>, Status> {
        self.lead()?;
        let shared = &self.shared;
        shared.hellos.fetch_add(1, Ordering::SeqCst);
        if shared.other_protocol.load(Ordering::SeqCst) {
            let theirs = request.get_ref().protocol;
            return Err(Reason::Protocol.status(format!(
                "protocol {theirs} of the worker is not 99 of the coordinator"
            )));
        }
        let hello = convert::hello(request.into_inner())?;
        let welcome = shared
            .store
            .hello(shared.now(), hello)
            .await
            .map_err(status)?;
        let verdicts = welcome.verdicts.into_iter();
        Ok(Response::new(v1::HelloReply {
            session: welcome.session.0,
            verdicts: verdicts.map(convert::verdict_message).collect(),
            heartbeat_ms: shared.policy.heartbeat_ms,
            ttl_ms: shared.policy.ttl_ms,
            drain_ms: shared.policy.drain_ms,
        }))
    }

    async fn exchange(
        &self,
        request: Request<v1::ExchangeRequest>,
    ) -> Result<Response<v1::ExchangeReply>, Status> {
        self.lead()?;
        let shared = &self.shared;
        shared.exchanges.fetch_add(1, Ordering::SeqCst);
        let wait = Duration::from_millis(u64::from(request.get_ref().wait_ms));
        let exchange = convert::exchange(request.into_inner())?;
        let until = Instant::now() + wait;
        loop {
            if self.lead().is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            }
            let once = exchange.clone();
            let done = shared
                .store
                .exchange(shared.now(), once)
                .await
                .map_err(status)?;
            let empty = done.grants.is_empty() && done.acks.is_empty();
            if empty && Instant::now() < until && !shared.drain.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            }
            lost(&shared.lose_exchanges)?;
            return Ok(Response::new(v1::ExchangeReply {
                acks: done.acks.into_iter().map(convert::ack_message).collect(),
                grants: done
                    .grants
                    .into_iter()
                    .map(convert::grant_message)
                    .collect(),
                drain: shared.drain.load(Ordering::SeqCst),
            }));
        }
    }

    async fn heartbeat(
        &self,
        request: Request<v1::HeartbeatRequest>,
    ) -> Result<Response<v1::HeartbeatReply>, Status> {
        self.lead()?;
        let request = request.into_inner();
        let owner = convert::owner(&request.worker, request.session)?;
        let held = convert::held_all(&request.held)?;
        let (shared, now) = (&self.shared, self.shared.now());
        let verdicts = shared
            .store
            .heartbeat(now, owner, held)
            .await
            .map_err(status)?;
        Ok(Response::new(v1::HeartbeatReply {
            verdicts: verdicts.into_iter().map(convert::verdict_message).collect(),
            drain: shared.drain.load(Ordering::SeqCst),
        }))
    }

    async fn observe(
        &self,
        request: Request<v1::ObserveRequest>,
    ) -> Result<Response<v1::ObserveReply>, Status> {
        self.lead()?;
        let request = request.into_inner();
        let owner = convert::owner(&request.worker, request.session)?;
        let reports = convert::reports(request.reports)?;
        let (shared, now) = (&self.shared, self.shared.now());
        let verdicts = shared
            .store
            .observe(now, owner, reports)
            .await
            .map_err(status)?;
        lost(&shared.lose_observes)?;
        Ok(Response::new(v1::ObserveReply {
            verdicts: verdicts.into_iter().map(convert::verdict_message).collect(),
        }))
    }

    async fn release(
        &self,
        request: Request<v1::ReleaseRequest>,
    ) -> Result<Response<v1::ReleaseReply>, Status> {
        self.lead()?;
        let request = request.into_inner();
        let owner = convert::owner(&request.worker, request.session)?;
        let releases = convert::releases(&request)?;
        let lacks = releases.iter().filter_map(|release| release.lack.clone());
        self.shared.lacks.lock().unwrap().extend(lacks);
        self.shared
            .store
            .release(self.shared.now(), owner, releases)
            .await
            .map_err(status)?;
        Ok(Response::new(v1::ReleaseReply {}))
    }

    async fn goodbye(
        &self,
        request: Request<v1::GoodbyeRequest>,
    ) -> Result<Response<v1::GoodbyeReply>, Status> {
        self.lead()?;
        let request = request.into_inner();
        if self.shared.knows_no_goodbye.load(Ordering::SeqCst) {
            return Err(Status::unimplemented("older"));
        }
        let owner = convert::owner(&request.worker, request.session)?;
        let now = self.shared.now();
        let ended = self.shared.store.goodbye(now, owner).await;
        ended.map_err(status)?;
        Ok(Response::new(v1::GoodbyeReply {}))
    }

    type FetchStream = tokio_stream::Empty<Result<v1::FetchReply, Status>>;

    async fn fetch(
        &self,
        _request: Request<v1::FetchRequest>,
    ) -> Result<Response<Self::FetchStream>, Status> {
        Err(Status::not_found("this coordinator has no files"))
    }

    async fn retain(
        &self,
        request: Request<v1::RetainRequest>,
    ) -> Result<Response<v1::RetainReply>, Status> {
        let held = request.into_inner().held;
        let may_go = self.shared.may_go.load(Ordering::SeqCst);
        Ok(Response::new(v1::RetainReply {
            may_go: held.iter().map(|_| may_go).collect(),
        }))
    }

    type ServeStream = tokio_stream::Empty<Result<v1::FileOrder, Status>>;

    /// As a coordinator answers that does not know the call.
    async fn serve(
        &self,
        _: Request<tonic::Streaming<v1::ServeMessage>>,
    ) -> Result<Response<Self::ServeStream>, Status> {
        Err(Status::unimplemented("older"))
    }
}
