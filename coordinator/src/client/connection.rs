//! A connection to a coordinator: to the one that was named, to the one of this
//! machine, or to one that is started over a local database while a command
//! runs.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use swath_coordinator::api::{ChangeOrder, Changed, Jobs, KnownJobs, Myself, ReadQuery};
use swath_coordinator::database::Database;
use swath_coordinator::server::{CONNECTIONS_PER_ADDRESS, ServeSettings, Server};
use swath_model::files::FileOrder;
use swath_model::id::{InputDigest, JobDigest};
use swath_model::message::{Known, Sources};
use swath_model::policy::Policy;
use swath_model::program::input_digest;
use swath_model::view::JobView;
use swath_proto::address::{self, COORDINATOR_DEFAULT, Walk};
use swath_proto::convert::{file_order_message, submit_request};
use swath_proto::limits;
use swath_proto::refusal::{Refusal, innermost};
use swath_proto::secure::{Caller, Line};
use swath_proto::v1::admission_client::AdmissionClient;
use swath_proto::v1::control_client::ControlClient;
use swath_proto::v1::dispatch_client::DispatchClient;
use swath_proto::v1::{
    ChangeRequest, FetchFileReply, FetchFileRequest, FetchRequest, ReadRequest, SubmitReply,
    SubmitRequest, UploadRequest, WhoAmIRequest,
};
use swath_proto::v1::{WatchReply, WatchRequest};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::failure::{Failure, Outcome, Tried};
use super::printer::Printer;
use super::storing;
use crate::settings::{Context, Target};
use crate::user;

/// How many jobs are asked for in one call.
pub(crate) const KNOWN_CHUNK: usize = 2_000;
/// How long the coordinator of this machine may take to answer before the
/// command turns to its database.
const NEAR_DEADLINE: Duration = Duration::from_millis(300);
/// How long to wait for a database that another command has open for a moment.
const HELD_WAIT: Duration = Duration::from_secs(3);
const HELD_POLL: Duration = Duration::from_millis(50);

/// The calls of one coordinator.
pub(super) type Client = ControlClient<Line>;

/// A connection to a coordinator, and to others if it goes away or does not
/// lead.
#[derive(Debug)]
pub(crate) struct Connection {
    client: Client,
    /// Who the user is.
    caller: Caller,
    /// The URL that it is connected to now.
    url: String,
    /// The URLs that may be asked, in order.
    urls: Vec<String>,
    /// The coordinator that was started for this command.
    local: Option<Server>,
}

/// How a command reaches a coordinator.
impl Connection {
    /// Connects to the coordinator that the command line means.
    pub(crate) async fn open(context: &Context) -> Outcome<Self> {
        match &context.target {
            Target::Named(urls) => {
                Self::reach(urls, &context.caller, limits::CONNECT_DEADLINE).await
            }
            Target::Database(database) if !database.exists() => Err(absent(database, context)),
            Target::Database(database) => Self::over(database, context).await,
            Target::Nearest(database) => {
                match Self::reach_one(COORDINATOR_DEFAULT, &context.caller, NEAR_DEADLINE).await {
                    Ok(connection) => {
                        note_other(database, context);
                        Ok(connection)
                    }
                    Err(_) if database.exists() => Self::over(database, context).await,
                    Err(failure) => {
                        let hint = format!("there is no database `{database}` here either");
                        Err(failure.hint(hint))
                    }
                }
            }
        }
    }

    /// As [`Self::open`], for a command that stays: it must not hold a database
    /// without a coordinator, because nobody else could use it meanwhile.
    /// `what` says what is refused, `instead` what to do.
    pub(crate) async fn open_to_stay(
        context: &Context,
        what: &str,
        instead: &str,
    ) -> Outcome<Self> {
        let connection = Self::open(context).await?;
        if !connection.is_local() {
            return Ok(connection);
        }
        Err(connection.leave(context, what, instead).await)
    }

    /// Closes a database that this command has opened and must not hold any longer,
    /// and says why; `what` and `instead` as for [`Self::open_to_stay`].
    pub(crate) async fn leave(self, context: &Context, what: &str, instead: &str) -> Failure {
        if let Err(failure) = self.close().await {
            return failure;
        }
        let database = &context.database;
        let asked = &context.asked;
        let serve = format!("`coordinator serve{asked}` keeps the database for commands that wait");
        Failure::error(format!("{what}: no coordinator has {database} open"))
            .hint(instead)
            .hint(serve)
    }

    /// Connects to the first of `urls` that answers.
    pub(crate) async fn reach(
        urls: &[String],
        caller: &Caller,
        deadline: Duration,
    ) -> Outcome<Self> {
        let mut tried = Vec::new();
        for url in urls {
            match dial(url, caller, deadline).await {
                Ok(client) => {
                    return Ok(Self {
                        client,
                        caller: caller.clone(),
                        url: url.clone(),
                        urls: urls.to_vec(),
                        local: None,
                    });
                }
                Err(why) => tried.push(Tried::silent(url, why)),
            }
        }
        Err(Failure::unreachable(&tried))
    }

    /// Connects to the only coordinator at `url`.
    async fn reach_one(url: &str, caller: &Caller, deadline: Duration) -> Outcome<Self> {
        Self::reach(&[url.to_owned()], caller, deadline).await
    }

    /// Opens a database without a server, or asks the coordinator that has it
    /// open.
    async fn over(database: &Database, context: &Context) -> Outcome<Self> {
        let give_up = tokio::time::Instant::now() + HELD_WAIT;
        loop {
            let policy = context.policy_over(Policy::default())?;
            let failure = match Self::start(database, policy, context.own_identity()).await {
                Ok(connection) => {
                    let note = format!("no coordinator is running; reading {database} directly");
                    context.printer.note(note);
                    return Ok(connection);
                }
                Err(failure) => failure,
            };
            if let Some(address) = database.holder()
                && let Ok(connection) =
                    Self::reach_one(&address, &context.caller, NEAR_DEADLINE).await
            {
                let note = format!("{database} is held by the coordinator at {address}; asking it");
                context.printer.note(note);
                return Ok(connection);
            }
            // Another command may have had it open for a moment, and be gone.
            if !failure.in_use || tokio::time::Instant::now() > give_up {
                return Err(failure);
            }
            tokio::time::sleep(HELD_POLL).await;
        }
    }

    /// Starts a coordinator over `database` on a free port of this machine.
    pub(crate) async fn start(
        database: &Database,
        policy: Policy,
        identity: Option<PathBuf>,
    ) -> Outcome<Self> {
        let settings = ServeSettings {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            advertise: None,
            // The port is of this machine alone, and only as long as the command runs.
            secured: false,
            identity,
            connections_per_address: CONNECTIONS_PER_ADDRESS,
            database: database.clone(),
            policy,
        };
        let server = Server::start(settings).await?;
        let url = format!("http://{}", server.address());
        let mut connection =
            Self::reach_one(&url, &Caller::default(), limits::CONNECT_DEADLINE).await?;
        connection.local = Some(server);
        Ok(connection)
    }

    /// The URL that it is connected to.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Every URL that it may be connected to, for people.
    pub(crate) fn place(&self) -> String {
        self.urls.join(" or ")
    }

    /// Whether it is connected to a database that this command opened.
    pub(crate) const fn is_local(&self) -> bool {
        self.local.is_some()
    }

    /// The coordinator that was started for this command.
    pub(crate) const fn local(&self) -> Option<&Server> {
        self.local.as_ref()
    }

    /// Closes the connection, and stops the coordinator that was started for
    /// it.
    pub(crate) async fn close(self) -> Outcome<()> {
        drop(self.client);
        match self.local {
            Some(server) => Ok(server.stop().await?),
            None => Ok(()),
        }
    }

    /// Makes a call to the coordinators that may be asked, the one of last time
    /// first, until one answers it. One that stands by names the leader. One
    /// that breaks off may have carried out the call: others get the same call
    /// only if it is `repeatable`.
    async fn ask<T>(
        &mut self,
        repeatable: bool,
        call: impl AsyncFn(&mut Client) -> Result<Response<T>, Status>,
    ) -> Outcome<T> {
        let mut walk = Walk::new(&self.urls, &self.url);
        let mut tried = Vec::new();
        while let Some(url) = walk.next() {
            if url != self.url {
                match dial(&url, &self.caller, limits::CONNECT_DEADLINE).await {
                    Ok(client) => self.client = client,
                    Err(why) => {
                        tried.push(Tried::silent(&url, why));
                        continue;
                    }
                }
                self.url.clone_from(&url);
            }
            let status = match call(&mut self.client).await {
                Ok(reply) => return Ok(reply.into_inner()),
                Err(status) => status,
            };
            match Refusal::of(&status) {
                Refusal::Unanswered(why) => {
                    tried.push(Tried::silent(&url, why));
                    if !repeatable {
                        break;
                    }
                }
                Refusal::Elsewhere { leader, message } => {
                    tried.push(Tried::standby(&url, message));
                    if let Some(leader) = leader {
                        walk.named(&leader);
                    }
                }
                Refusal::Refused(_) => return Err(Failure::refused(&url, &status)),
            }
        }
        Err(Failure::unreachable(&tried))
    }

    /// Reads one document.
    pub(crate) async fn read<T: DeserializeOwned>(&mut self, query: &ReadQuery) -> Outcome<T> {
        let query = json(query)?;
        let read = async |client: &mut Client| {
            let query = query.clone();
            client.read(timed(ReadRequest { query })).await
        };
        let reply = self.ask(true, read).await?;
        self.document(&reply.document)
    }

    /// The jobs that match, at most `limit`, page by page.
    pub(crate) async fn jobs(
        &mut self,
        selector: Vec<String>,
        limit: Option<u32>,
    ) -> Outcome<Vec<JobView>> {
        let mut jobs: Vec<JobView> = Vec::new();
        let mut after = None;
        loop {
            let left = limit.map(|limit| limit.saturating_sub(jobs.len() as u32));
            let query = ReadQuery::Jobs {
                selector: selector.clone(),
                limit: left,
                after,
            };
            let page: Jobs = self.read(&query).await?;
            jobs.extend(page.jobs);
            after = page.next;
            if after.is_none() || limit.is_some_and(|limit| jobs.len() >= limit as usize) {
                return Ok(jobs);
            }
        }
    }

    /// What is known of each of `jobs`, in their order.
    pub(crate) async fn known(&mut self, jobs: Vec<JobDigest>) -> Outcome<Vec<Option<Known>>> {
        let known: KnownJobs = self.read(&ReadQuery::Known { jobs }).await?;
        Ok(known.jobs)
    }

    /// Changes something.
    pub(crate) async fn change(&mut self, order: &ChangeOrder) -> Outcome<Changed> {
        let order = json(order)?;
        let change = async |client: &mut Client| {
            let order = order.clone();
            client.change(unhurried(ChangeRequest { order })).await
        };
        let reply = self.ask(false, change).await?;
        self.document(&reply.document)
    }

    /// Stores a sweep, and shows how far that has come; a sweep that is stored
    /// already is left as it is.
    pub(crate) async fn submit(
        &mut self,
        printer: Printer,
        sources: Sources,
        priority: Option<i32>,
        tags: &[String],
    ) -> Outcome<SubmitReply> {
        let request = SubmitRequest {
            owner: user::name()?,
            tags: tags.to_vec(),
            ..submit_request(sources, priority)
        };
        let beside = self.client.clone();
        let submit = async |client: &mut Client| client.submit(unhurried(request.clone())).await;
        tokio::select! {
            reply = self.ask(true, submit) => reply,
            never = storing::show(beside, printer) => match never {},
        }
    }

    /// Who the user is to the coordinator.
    pub(crate) async fn myself(&mut self) -> Outcome<Myself> {
        let channel = channel(&self.url, &self.caller, limits::CONNECT_DEADLINE).await;
        let wrong = |why: String| Failure::error(format!("{}: {why}", self.url));
        let mut client = AdmissionClient::new(channel.map_err(wrong)?);
        let reply = client.who_am_i(timed(WhoAmIRequest {})).await;
        let reply = reply.map_err(|status| Failure::refused(&self.url, &status))?;
        self.document(&reply.into_inner().document)
    }

    /// Sends files; `pieces` are those of all of them, from the first one on.
    pub(crate) async fn upload(
        &mut self,
        pieces: impl Fn() -> ReceiverStream<UploadRequest>,
    ) -> Outcome<()> {
        let upload = async |client: &mut Client| {
            let mut request = Request::new(pieces());
            request.set_timeout(limits::FILES_DEADLINE);
            client.upload(request).await
        };
        self.ask(true, upload).await.map(drop)
    }

    /// A file that travels with a sweep.
    pub(crate) async fn fetch(&self, digest: InputDigest) -> Outcome<Vec<u8>> {
        let wrong = |why: String| Failure::error(format!("{}: {why}", self.url));
        let channel = channel(&self.url, &self.caller, limits::CONNECT_DEADLINE).await;
        let mut client = DispatchClient::new(channel.map_err(wrong)?);
        let mut request = Request::new(FetchRequest {
            digest: digest.as_bytes().to_vec(),
        });
        request.set_timeout(limits::FILES_DEADLINE);
        let refused = |status: Status| Failure::refused(&self.url, &status);
        let mut pieces = client.fetch(request).await.map_err(refused)?.into_inner();
        let mut content = Vec::new();
        while let Some(piece) = pieces.message().await.map_err(refused)? {
            content.extend(piece.content);
        }
        if input_digest(&content) != digest {
            return Err(wrong("a file did not come as it was sent".to_owned()));
        }
        Ok(content)
    }

    /// A stream of what happens after an event.
    pub(crate) async fn watch(
        &mut self,
        after: u64,
        interval: Duration,
    ) -> Outcome<Streaming<WatchReply>> {
        let request = WatchRequest {
            min_interval_ms: interval.as_millis() as u32,
            after,
        };
        let watch = async |client: &mut Client| client.watch(request).await;
        self.ask(true, watch).await
    }

    /// Fetches files from the coordinator that answered last.
    pub(crate) fn fetcher(&self) -> Fetcher {
        Fetcher {
            client: self.client.clone(),
            url: self.url.clone(),
        }
    }

    /// Reads a document of the coordinator.
    ///
    /// # Errors
    ///
    /// When it is of another version.
    pub(crate) fn document<T: DeserializeOwned>(&self, text: &str) -> Outcome<T> {
        serde_json::from_str(text).map_err(|error| {
            Failure::error(format!("cannot read the answer of {}: {error}", self.url))
                .hint("it is a coordinator of another version; use its own `coordinator` command")
        })
    }
}

/// A connection that fetches files, several at once.
#[derive(Clone, Debug)]
pub(crate) struct Fetcher {
    client: Client,
    url: String,
}

impl Fetcher {
    /// A file that an attempt left, part by part.
    pub(crate) async fn fetch(&self, order: &FileOrder) -> Outcome<Streaming<FetchFileReply>> {
        let order = Some(file_order_message(order));
        let reply = self
            .client
            .clone()
            .fetch_file(FetchFileRequest { order })
            .await;
        let stream = reply.map_err(|status| self.failed(&status))?;
        Ok(stream.into_inner())
    }

    /// Why a file does not come, or breaks off.
    pub(crate) fn failed(&self, status: &Status) -> Failure {
        Failure::refused(&self.url, status)
    }
}

/// Connects to `url`; the error says why nobody answers.
async fn dial(url: &str, caller: &Caller, deadline: Duration) -> Result<Client, String> {
    let channel = channel(url, caller, deadline).await?;
    Ok(ControlClient::new(channel)
        .max_decoding_message_size(limits::CONTROL_MESSAGE_BYTES)
        .max_encoding_message_size(limits::CONTROL_MESSAGE_BYTES))
}

async fn channel(url: &str, caller: &Caller, deadline: Duration) -> Result<Line, String> {
    let endpoint = address::endpoint(url)
        .map_err(|error| error.to_string())?
        .connect_timeout(deadline)
        .http2_keep_alive_interval(limits::KEEPALIVE_INTERVAL)
        .keep_alive_timeout(limits::KEEPALIVE_TIMEOUT);
    // The endpoint's deadline does not cover the resolver.
    let dialled = tokio::time::timeout(deadline, caller.connect(&endpoint)).await;
    match dialled {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(error)) => Err(innermost(&error)),
        Err(_) => Err(format!("no answer within {} ms", deadline.as_millis())),
    }
}

pub(super) fn timed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(limits::CONTROL_DEADLINE);
    request
}

/// A call that may go on for long.
fn unhurried<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(limits::CHANGE_DEADLINE);
    request
}

fn json(message: &impl Serialize) -> Outcome<String> {
    serde_json::to_string(message).map_err(Failure::error)
}

fn absent(database: &Database, context: &Context) -> Failure {
    let asked = &context.asked;
    Failure::new(
        super::exit::Exit::NotFound,
        format!("there is no database `{database}`"),
    )
    .hint(format!(
        "`coordinator run FILE{asked}` and `coordinator serve{asked}` make one"
    ))
}

/// Warns that a database lies here that is not the one of the coordinator that
/// is asked: the user may mean either.
fn note_other(database: &Database, context: &Context) {
    if database.exists() && database.holder().as_deref() != Some(COORDINATOR_DEFAULT) {
        let url = database.url();
        context.printer.note(format!(
            "asking the coordinator at {COORDINATOR_DEFAULT}, not {database} here; \
             `--database {url}` asks that"
        ));
    }
}
