//! The server: gRPC in front of the engine and its store.

mod access;
mod advertise;
mod calls;
mod change;
mod clock;
mod control;
mod decisions;
mod delete;
mod dispatch;
mod error;
mod explain;
mod files;
mod follow;
mod forget;
mod health;
mod import;
mod incoming;
mod inputs;
mod keeping;
mod lines;
mod open;
mod read;
mod select;
mod state;
mod steering;
mod submit;
mod sweeper;
mod table;

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use swath_engine::{Engine, Role};
use swath_model::policy::Policy;
use swath_model::time::Timestamp;
use swath_proto::limits;
use swath_proto::v1::admission_server::AdmissionServer;
use swath_proto::v1::control_server::ControlServer;
use swath_proto::v1::dispatch_server::DispatchServer;
use swath_store::{Store, StoreError};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use self::access::{Access, AdmissionService, Guard, accept};
pub use self::access::{AuditEntry, AuditLine, AuditVerdict, read_audit};
use self::calls::Calls;
use self::control::ControlService;
use self::dispatch::DispatchService;
pub use self::incoming::CONNECTIONS_PER_ADDRESS;
use self::incoming::{Door, Greeting};
use self::state::State;
use crate::database::Database;
use crate::identity::Identity;

/// How long open calls may take to end at a stop.
const GRACE: Duration = Duration::from_secs(5);

/// What `serve` was asked to do, merged from command line, environment and
/// defaults.
#[derive(Clone, Debug)]
pub struct ServeSettings {
    /// Where gRPC listens; port 0 takes any free one.
    pub listen: SocketAddr,
    /// The directory of its identity, if it has one.
    pub identity: Option<PathBuf>,
    /// Whether callers must show who they are, over TLS. Only loopback addresses may
    /// go without; then everybody on this machine may do everything.
    pub secured: bool,
    /// The URL by which others reach it; by default derived from `listen`.
    pub advertise: Option<String>,
    /// The most connections from one address.
    pub connections_per_address: NonZeroUsize,
    /// Where its data is.
    pub database: Database,
    /// Times and limits of the lease protocol.
    pub policy: Policy,
}

/// Why a server did not start or did not go on. The message says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ServeError {
    /// What went wrong and what to do.
    pub message: String,
    /// Whether another coordinator has the database open, which may pass.
    pub in_use: bool,
}

impl ServeError {
    fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            in_use: false,
        }
    }

    fn of(error: &StoreError) -> Self {
        Self {
            message: error::causes(error),
            in_use: matches!(error, StoreError::InUse(_)),
        }
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    is_new: bool,
    stop: CancellationToken,
    failure: watch::Receiver<Option<ServeError>>,
    serving: JoinHandle<Result<(), tonic::transport::Error>>,
    sweeping: JoinHandle<()>,
    steering: JoinHandle<()>,
    following: JoinHandle<()>,
    knowing: JoinHandle<()>,
    engine: Engine,
    store: StoreHandle,
}

/// A store whose debug output is empty.
struct StoreHandle(Arc<dyn Store>);

impl std::fmt::Debug for StoreHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

impl Server {
    /// Opens the store and listens.
    ///
    /// # Errors
    ///
    /// When the port or the database is in use or cannot be opened.
    pub async fn start(settings: ServeSettings) -> Result<Self, ServeError> {
        settings
            .policy
            .check()
            .map_err(|error| ServeError::new(format!("policy: {error}")))?;
        // The port is taken first and answers last: whoever gets a connection gets
        // a coordinator.
        let access = access(&settings)?;
        let port = Port::take(settings.listen)?;
        let address = port.address;
        report_large_files()?;
        let open::Opened { store, is_new } = open::open(&settings.database).await?;
        let reached = advertise::url(settings.advertise, address, settings.secured).await;
        let engine = Engine::join(Arc::clone(&store), settings.policy.clone(), &reached)
            .await
            .map_err(|error| ServeError::of(&error))?;
        let state = Arc::new(State::new(
            engine.clone(),
            settings.policy,
            settings.database,
            access,
        ));
        let mut role = engine.role();
        if *role.borrow_and_update() == Role::Leads {
            prepare(&state).await.map_err(ServeError::new)?;
        }
        let refreshed = state.access.refresh(&state).await;
        refreshed.map_err(|error| ServeError::of(&error))?;
        let listener = port.listen()?;
        let stop = CancellationToken::new();
        let knowing = tokio::spawn(know(Arc::clone(&state), stop.clone()));
        let following = tokio::spawn(follow(role, Arc::clone(&state), stop.clone()));
        let door = Arc::new(Door::new(settings.connections_per_address));
        let serving = tokio::spawn(serve(listener, door, Arc::clone(&state), stop.clone()));
        let steering = tokio::spawn(steering::steer(Arc::clone(&state), stop.clone()));
        let (failed, failure) = watch::channel(None);
        let sweeping = {
            let stop = stop.clone();
            tokio::spawn(async move {
                if let Some(why) = sweeper::sweep(state, stop).await {
                    let _ = failed.send(Some(ServeError::new(why)));
                } else {
                    // Keeps the channel open until the server is dropped.
                    failed.closed().await;
                }
            })
        };
        Ok(Self {
            address,
            is_new,
            stop,
            failure,
            serving,
            sweeping,
            steering,
            following,
            knowing,
            engine,
            store: StoreHandle(store),
        })
    }

    /// The address it listens on.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether its store was made for it: there was none under that name.
    pub const fn is_new(&self) -> bool {
        self.is_new
    }

    /// Whether what decides still answers; does not resolve while it is stuck.
    pub async fn answers(&self) -> bool {
        self.engine.answers().await
    }

    /// Stops accepting calls, lets open ones end within a limit, and closes the
    /// store.
    ///
    /// # Errors
    ///
    /// When the store could not be closed.
    pub async fn stop(mut self) -> Result<(), ServeError> {
        self.stop.cancel();
        // A client that never reads would hold up the shutdown for ever.
        if tokio::time::timeout(GRACE, &mut self.serving)
            .await
            .is_err()
        {
            self.serving.abort();
        }
        self.sweeping.abort();
        self.steering.abort();
        self.following.abort();
        self.knowing.abort();
        self.engine.stop().await;
        self.store
            .0
            .close()
            .await
            .map_err(|error| ServeError::of(&error))
    }

    /// Resolves when the server cannot go on, for example because its store
    /// failed; never otherwise.
    pub async fn failed(&self) -> ServeError {
        let mut failure = self.failure.clone();
        match failure.wait_for(Option::is_some).await {
            Ok(error) => error
                .clone()
                .unwrap_or_else(|| ServeError::new("the server failed")),
            Err(_) => std::future::pending().await,
        }
    }
}

/// Who may call a coordinator with these settings.
fn access(settings: &ServeSettings) -> Result<Access, ServeError> {
    if !settings.secured && !settings.listen.ip().is_loopback() {
        return Err(ServeError::new(format!(
            "{} can be reached from other machines: that needs TLS and tokens. \
             `coordinator init --host NAME` makes what is needed, and `coordinator serve` then \
             uses it; without it, listen on 127.0.0.1",
            settings.listen
        )));
    }
    let identity = settings.identity.as_deref().map(Identity::open).transpose();
    let identity = identity.map_err(|error| ServeError::new(error.to_string()))?;
    let access = Access::new(identity, settings.secured);
    access.map_err(|error| ServeError::new(error.to_string()))
}

/// How often is looked at what other coordinators may have changed about access.
const KNOW_EVERY: Duration = Duration::from_secs(2);
/// How often is looked whether the coordinator's certificate is to be renewed.
const RENEW_EVERY: Duration = Duration::from_hours(1);

/// Keeps up with who has access, where callers must show who they are.
async fn know(state: Arc<State>, stop: CancellationToken) {
    let Some(port) = state.access.port() else {
        return;
    };
    let mut renewed = tokio::time::Instant::now();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(KNOW_EVERY) => {}
        }
        // A store that is away is told of by whatever needs it.
        if let Err(error) = state.access.refresh(&state).await {
            tracing::debug!(error = %error::causes(&error), "who has access cannot be read");
        }
        if renewed.elapsed() < RENEW_EVERY {
            continue;
        }
        renewed = tokio::time::Instant::now();
        if let Err(error) = port.renew() {
            tracing::error!(%error, "the coordinator's certificate cannot be renewed");
        }
    }
}

/// Lets a write past the limit of file sizes (`ulimit -f`) fail, as on a full
/// disk, instead of ending this process without a word.
fn report_large_files() -> Result<(), ServeError> {
    let kind = SignalKind::from_raw(Signal::XFSZ.as_raw());
    // Once there is a handler, it stays.
    signal(kind)
        .map(drop)
        .map_err(|error| ServeError::new(format!("cannot handle signals: {error}")))
}

/// An address that is taken, but does not answer yet.
struct Port {
    socket: TcpSocket,
    address: SocketAddr,
}

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;

impl Port {
    fn take(wanted: SocketAddr) -> Result<Self, ServeError> {
        let taken = || {
            let socket = match wanted {
                SocketAddr::V4(_) => TcpSocket::new_v4()?,
                SocketAddr::V6(_) => TcpSocket::new_v6()?,
            };
            // A coordinator that starts again need not wait for old connections.
            socket.set_reuseaddr(true)?;
            socket.bind(wanted)?;
            let address = socket.local_addr()?;
            Ok(Self { socket, address })
        };
        taken().map_err(|error| cannot_listen(wanted, &error))
    }

    fn listen(self) -> Result<TcpListener, ServeError> {
        let address = self.address;
        let listening = self.socket.listen(BACKLOG);
        listening.map_err(|error| cannot_listen(address, &error))
    }
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> ServeError {
    let remedy = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another coordinator may be there: use it, stop it, or choose `--listen ADDRESS`"
        }
        io::ErrorKind::PermissionDenied => "; choose a port above 1023",
        _ => "; choose another `--listen ADDRESS`",
    };
    ServeError::new(format!("cannot listen on {address}: {error}{remedy}"))
}

/// When a worker or a submit last wrote to the store.
async fn newest(store: &dyn Store) -> Result<Timestamp, StoreError> {
    let workers = store.workers().await?.into_iter();
    let sweeps = store.sweeps().await?.into_iter();
    let told = workers.map(|worker| worker.seen_at);
    let told = told.chain(sweeps.map(|sweep| sweep.submitted_at));
    Ok(told.max().unwrap_or_default())
}

/// What must be done before a leader takes its first call: no lease may pass
/// because of the time when nobody led.
async fn prepare(state: &State) -> Result<(), String> {
    let failed = |error: StoreError| error::causes(&error);
    state.not_before(newest(&*state.store).await.map_err(failed)?);
    state.engine.restart(state.now()).await.map_err(failed)?;
    let (engine, now) = (state.engine.clone(), state.now());
    // Whoever submits such a sweep again waits for this, and nobody else.
    tokio::spawn(async move {
        if let Err(error) = engine.remove_staged(now).await {
            let error = error::causes(&error);
            tracing::warn!(
                error,
                "what is left of a submit that broke off cannot be removed"
            );
        }
    });
    for worker in state.store.workers().await.map_err(failed)? {
        let draining = worker.state == swath_model::view::WorkerState::Draining;
        state.set_draining(&worker.name, draining);
    }
    Ok(())
}

/// Prepares whenever this coordinator takes the lead.
async fn follow(mut role: watch::Receiver<Role>, state: Arc<State>, stop: CancellationToken) {
    loop {
        let changed = tokio::select! {
            changed = role.changed() => changed,
            () = stop.cancelled() => return,
        };
        if changed.is_err() {
            return;
        }
        let leads = *role.borrow_and_update() == Role::Leads;
        if leads && let Err(error) = prepare(&state).await {
            tracing::error!(error, "the lead cannot be taken");
        }
    }
}

async fn serve(
    listener: TcpListener,
    door: Arc<Door>,
    state: Arc<State>,
    stop: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let dispatch = DispatchServer::new(DispatchService {
        state: Arc::clone(&state),
        stop: stop.clone(),
    })
    .max_decoding_message_size(limits::DISPATCH_MESSAGE_BYTES)
    .max_encoding_message_size(limits::DISPATCH_MESSAGE_BYTES);
    let control = ControlServer::new(ControlService {
        state: Arc::clone(&state),
        stop: stop.clone(),
    })
    .max_decoding_message_size(limits::CONTROL_REQUEST_BYTES)
    .max_encoding_message_size(limits::CONTROL_MESSAGE_BYTES);
    let (health, health_service) = tonic_health::server::health_reporter();
    health
        .set_serving::<DispatchServer<DispatchService>>()
        .await;
    health.set_serving::<ControlServer<ControlService>>().await;
    let admission = AdmissionServer::new(AdmissionService {
        state: Arc::clone(&state),
    })
    .max_decoding_message_size(limits::DISPATCH_MESSAGE_BYTES);
    let routes = Routes::new(health_service)
        .add_service(admission)
        .add_service(dispatch)
        .add_service(control);
    tokio::spawn(Arc::clone(&door).watch(stop.clone()));
    let incoming = incoming::admitted(listener, door);
    let router = tonic::transport::Server::builder()
        .timeout(limits::CHANGE_DEADLINE)
        .http2_keepalive_interval(Some(limits::KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(limits::KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(limits::STREAMS_PER_CONNECTION)
        .http2_max_header_list_size(limits::HEADER_BYTES)
        .http2_max_pending_accept_reset_streams(Some(limits::RESETS_PENDING))
        .http2_max_local_error_reset_streams(Some(limits::RESETS_OF_ERRORS))
        .layer(Guard::new(Arc::clone(&state)));
    let calls = Calls::new(routes);
    let lines = Arc::clone(&state);
    let stopped = async move {
        stop.cancelled().await;
        // A shutdown must not wait for them.
        lines.lines.close();
    };
    if let Some(port) = state.access.port() {
        let incoming = accept(port, incoming);
        let served = router.serve_with_incoming_shutdown(calls, incoming, stopped);
        served.await
    } else {
        let incoming = incoming.map(|admitted| admitted.map(Greeting::plain));
        let served = router.serve_with_incoming_shutdown(calls, incoming, stopped);
        served.await
    }
}
