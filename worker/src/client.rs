//! Calls to the coordinators; of several, to the one that leads.

use std::collections::BTreeMap;
use std::mem::take;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use swath_model::id::{InputDigest, SessionId};
use swath_model::message::Verdict;
use swath_model::program::{INPUTS_BYTES_MAX, input_digest};
use swath_proto::address::{AddressError, Walk, endpoint};
use swath_proto::refusal::{Reason, Refusal, innermost};
use swath_proto::secure::{self, Caller};
use swath_proto::v1::dispatch_client::DispatchClient;
use swath_proto::{PROTOCOL_VERSION, convert, limits, v1};
use tokio::sync::watch;
use tonic::transport::Endpoint;
use tonic::{Request, Status};

use crate::leases::Leases;
use swath_agent::{Call, CallError, Reply};

/// How often one call moves along when other calls found another coordinator
/// meanwhile.
const MOVES_MAX: u32 = 4;

/// The coordinators as this worker sees them. Clones share what they know.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// The addresses that may be asked, in order.
    addresses: Vec<String>,
    /// The address that answered last. A call that waits elsewhere moves there.
    last: watch::Sender<String>,
    /// The connections made so far, by address.
    lines: Mutex<BTreeMap<String, Line>>,
    /// Who this worker is to them.
    caller: Caller,
    /// What proves that attempts are its own.
    leases: Leases,
}

/// Connections to one coordinator. Heartbeats have a connection of their own,
/// so that bulk does not delay them, and files have one, so that they delay
/// nothing.
#[derive(Clone, Debug)]
struct Line {
    bulk: DispatchClient<secure::Line>,
    beats: DispatchClient<secure::Line>,
    files: DispatchClient<secure::Line>,
}

/// A connection beside those for the calls of the agent.
#[derive(Debug)]
pub(crate) struct Aside {
    client: DispatchClient<secure::Line>,
    last: watch::Receiver<String>,
    address: String,
}

impl Aside {
    /// For calls.
    pub(crate) fn client(&self) -> DispatchClient<secure::Line> {
        self.client.clone()
    }

    /// Resolves when another coordinator has answered a call of the agent.
    pub(crate) async fn moved(&mut self) {
        elsewhere(&mut self.last, &self.address).await;
    }
}

/// The result of a call to one coordinator.
#[derive(Debug, PartialEq)]
enum Told {
    /// The final result: other coordinators would not know better.
    Final(Result<Reply, CallError>),
    /// Another coordinator is to be asked, for the reason in the text; if the
    /// leader is named, that one.
    Elsewhere(String, Option<String>),
    /// Meanwhile another coordinator has answered another call.
    Moved,
}

impl Client {
    /// A client for the coordinators at `addresses`, one of which leads. It
    /// connects on the first call, and again whenever necessary.
    ///
    /// # Errors
    ///
    /// When one of the addresses is not valid, or there are none.
    pub fn new(addresses: &[String], caller: Caller, leases: Leases) -> Result<Self, AddressError> {
        let first = addresses.first().map_or("", String::as_str);
        endpoint(first)?;
        for address in addresses {
            endpoint(address)?;
        }
        Ok(Self {
            shared: Arc::new(Shared {
                addresses: addresses.to_vec(),
                last: watch::Sender::new(first.to_owned()),
                lines: Mutex::default(),
                caller,
                leases,
            }),
        })
    }

    /// A connection of its own to the coordinator that answered last.
    ///
    /// # Errors
    ///
    /// When its address, which another coordinator gave, is not valid.
    pub(crate) fn aside(&self) -> Result<Aside, AddressError> {
        let mut last = self.shared.last.subscribe();
        let address = last.borrow_and_update().clone();
        let endpoint = Line::endpoint(&endpoint(&address)?);
        let client = Line::client(&endpoint, &self.shared.caller);
        Ok(Aside {
            client,
            last,
            address,
        })
    }

    /// Makes a call to the coordinators, the one that answered last first, until
    /// one carries it out; each has until the deadline.
    ///
    /// To be called in a runtime.
    ///
    /// # Errors
    ///
    /// What the agent must know about the failure.
    pub async fn call(self, call: Call) -> Result<Reply, CallError> {
        let shared = &self.shared;
        let mut last = shared.last.subscribe();
        let first = last.borrow_and_update().clone();
        let mut walk = Walk::new(&shared.addresses, &first);
        let mut vain = Vec::new();
        let mut moves = 0;
        let mut next = walk.next();
        while let Some(address) = next {
            match shared.ask(&address, call.clone(), &mut last).await {
                Told::Final(result) => {
                    shared.answered(&address);
                    return result;
                }
                Told::Elsewhere(why, leader) => {
                    vain.push((address, why));
                    if let Some(leader) = leader {
                        walk.named(&leader);
                    }
                    next = walk.next();
                }
                Told::Moved if moves < MOVES_MAX => {
                    moves += 1;
                    next = Some(last.borrow_and_update().clone());
                }
                Told::Moved => next = walk.next(),
            }
        }
        Err(CallError::Unreachable(reasons(vain)))
    }
}

impl Client {
    /// Fetches a file that travels with a sweep, from the first coordinator that has
    /// it.
    ///
    /// To be called in a runtime.
    ///
    /// # Errors
    ///
    /// Why nobody gave it, for people.
    pub async fn fetch(&self, digest: InputDigest) -> Result<Vec<u8>, String> {
        let shared = &self.shared;
        let first = shared.last.borrow().clone();
        let mut vain = Vec::new();
        for address in Walk::new(&shared.addresses, &first) {
            let fetched = match shared.line(&address) {
                Err(error) => Err(error.to_string()),
                Ok(line) => {
                    let fetching = line.fetch(digest);
                    let fetched = tokio::time::timeout(limits::FILES_DEADLINE, fetching).await;
                    fetched.map_or_else(
                        |_| {
                            let seconds = limits::FILES_DEADLINE.as_secs();
                            Err(format!("not all of it came within {seconds} s"))
                        },
                        |fetched| fetched.map_err(|status| innermost(&status)),
                    )
                }
            };
            match fetched {
                Ok(content) if input_digest(&content) == digest => return Ok(content),
                Ok(_) => vain.push((address, "what came is another file".to_owned())),
                Err(why) => vain.push((address, why)),
            }
        }
        Err(reasons(vain))
    }
}

/// Why no coordinator carried out the call. If there is only one address, it is
/// left out: the reader knows it.
fn reasons(mut vain: Vec<(String, String)>) -> String {
    if vain.len() == 1 {
        return vain.remove(0).1;
    }
    let vain: Vec<String> = vain
        .iter()
        .map(|(address, why)| format!("{address}: {why}"))
        .collect();
    vain.join("; ")
}

impl Shared {
    async fn ask(&self, address: &str, call: Call, last: &mut watch::Receiver<String>) -> Told {
        let line = match self.line(address) {
            Ok(line) => line,
            Err(error) => return Told::Elsewhere(error.to_string(), None),
        };
        let waits = match &call {
            Call::Exchange { wait, .. } => *wait,
            _ => Duration::ZERO,
        };
        let deadline = limits::CALL_DEADLINE + waits;
        tokio::select! {
            made = tokio::time::timeout(deadline, line.make(call, &self.leases)) => match made {
                Ok(Ok(reply)) => Told::Final(Ok(reply)),
                Ok(Err(told)) => told,
                Err(_) => Told::Elsewhere(format!("no answer for {} s", deadline.as_secs()), None),
            },
            () = elsewhere(last, address) => Told::Moved,
        }
    }

    /// The connections to `address`.
    fn line(&self, address: &str) -> Result<Line, AddressError> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get(address) {
            return Ok(line.clone());
        }
        let line = Line::to(&endpoint(address)?, &self.caller);
        lines.insert(address.to_owned(), line.clone());
        Ok(line)
    }

    /// The coordinator at `address` carries out calls, so connections to others
    /// are dropped.
    fn answered(&self, address: &str) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.retain(|other, _| other == address);
        drop(lines);
        self.last.send_if_modified(|last| {
            let moves = last != address;
            if moves {
                tracing::info!("the coordinator at {address} is used from now on");
                address.clone_into(last);
            }
            moves
        });
    }
}

/// Resolves when a coordinator other than the one at `address` has answered a
/// call.
async fn elsewhere(last: &mut watch::Receiver<String>, address: &str) {
    while last.changed().await.is_ok() {
        if *last.borrow_and_update() != address {
            return;
        }
    }
    std::future::pending::<()>().await;
}

impl From<CallError> for Told {
    fn from(error: CallError) -> Self {
        Self::Final(Err(error))
    }
}

impl From<Status> for Told {
    fn from(status: Status) -> Self {
        let message = status.message();
        let error = match Refusal::of(&status) {
            Refusal::Unanswered(why) => return Self::Elsewhere(why, None),
            Refusal::Elsewhere { leader, message } => return Self::Elsewhere(message, leader),
            Refusal::Refused(Some(Reason::StaleSession)) => CallError::Stale(message.to_owned()),
            Refusal::Refused(Some(Reason::NameTaken)) => CallError::NameTaken(message.to_owned()),
            Refusal::Refused(Some(Reason::Revoked)) => CallError::Revoked(message.to_owned()),
            Refusal::Refused(Some(Reason::Protocol)) => CallError::Protocol(format!(
                "{message} (this worker is version {} and speaks protocol {PROTOCOL_VERSION})",
                env!("CARGO_PKG_VERSION")
            )),
            Refusal::Refused(_) => CallError::Retry(format!("{:?}: {message}", status.code())),
        };
        error.into()
    }
}

impl Line {
    fn to(endpoint: &Endpoint, caller: &Caller) -> Self {
        let endpoint = Self::endpoint(endpoint);
        Self {
            bulk: Self::client(&endpoint, caller),
            beats: Self::client(&endpoint, caller),
            files: Self::client(&endpoint, caller),
        }
    }

    /// Connects on the first call.
    fn client(endpoint: &Endpoint, caller: &Caller) -> DispatchClient<secure::Line> {
        DispatchClient::new(caller.line_lazy(endpoint))
            .max_decoding_message_size(limits::DISPATCH_MESSAGE_BYTES)
            .max_encoding_message_size(limits::DISPATCH_MESSAGE_BYTES)
    }

    fn endpoint(endpoint: &Endpoint) -> Endpoint {
        endpoint
            .clone()
            .connect_timeout(limits::CONNECT_DEADLINE)
            .concurrency_limit(limits::CONCURRENCY_PER_CONNECTION)
            .http2_keep_alive_interval(limits::KEEPALIVE_INTERVAL)
            .keep_alive_timeout(limits::KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
    }

    async fn fetch(mut self, digest: InputDigest) -> Result<Vec<u8>, Status> {
        let digest = digest.as_bytes().to_vec();
        let request = Request::new(v1::FetchRequest { digest });
        let mut pieces = self.files.fetch(request).await?.into_inner();
        let mut content = Vec::new();
        while let Some(piece) = pieces.message().await? {
            content.extend(piece.content);
            if content.len() as u64 > INPUTS_BYTES_MAX {
                return Err(Status::out_of_range("it is larger than a file may be"));
            }
        }
        Ok(content)
    }

    async fn make(mut self, call: Call, leases: &Leases) -> Result<Reply, Told> {
        match call {
            Call::Hello(hello) => {
                let held = hello.held.clone();
                let mut message = convert::hello_message(*hello);
                leases.add_to(&mut message.held, &held);
                let reply = self.bulk.hello(Request::new(message)).await?;
                Ok(welcome(&reply.into_inner(), held.len())?)
            }
            Call::Exchange { exchange, wait } => {
                let held: Vec<_> = exchange.finishes.iter().map(|it| it.held).collect();
                let wait_ms = wait.as_millis() as u32;
                let mut message = convert::exchange_message(exchange, wait_ms);
                let named = message
                    .finishes
                    .iter_mut()
                    .filter_map(|it| it.held.as_mut());
                leases.add_to(named, &held);
                let reply = self.bulk.exchange(Request::new(message)).await?;
                let reply = exchanged(reply.into_inner(), held.len(), leases)?;
                leases.over(held);
                Ok(reply)
            }
            Call::Heartbeat { owner, held } => {
                let count = held.len();
                let request = v1::HeartbeatRequest {
                    worker: owner.worker.to_string(),
                    session: owner.session.0,
                    held: held.into_iter().map(|held| leases.message(held)).collect(),
                };
                let reply = self.beats.heartbeat(request).await?;
                let reply = reply.into_inner();
                Ok(Reply::Beaten {
                    verdicts: verdicts(&reply.verdicts, count)?,
                    drain: reply.drain,
                })
            }
            Call::Observe { owner, reports } => {
                let count = reports.len();
                let held: Vec<_> = reports.iter().map(|it| it.held).collect();
                let mut request = v1::ObserveRequest {
                    worker: owner.worker.to_string(),
                    session: owner.session.0,
                    reports: reports.into_iter().map(convert::report_message).collect(),
                };
                let named = request.reports.iter_mut().filter_map(|it| it.held.as_mut());
                leases.add_to(named, &held);
                let reply = self.bulk.observe(request).await?;
                Ok(Reply::Observed(verdicts(
                    &reply.into_inner().verdicts,
                    count,
                )?))
            }
            Call::Release { owner, releases } => {
                let held: Vec<_> = releases.iter().map(|it| it.held).collect();
                let mut request = convert::release_request(&owner, releases);
                leases.add_to(&mut request.held, &held);
                self.bulk.release(request).await?;
                leases.over(held);
                Ok(Reply::Released)
            }
            Call::Goodbye { owner } => {
                let request = v1::GoodbyeRequest {
                    worker: owner.worker.to_string(),
                    session: owner.session.0,
                };
                self.bulk.goodbye(request).await?;
                Ok(Reply::Parted)
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

fn exchanged(
    reply: v1::ExchangeReply,
    finishes: usize,
    leases: &Leases,
) -> Result<Reply, CallError> {
    if reply.acks.len() != finishes {
        let count = reply.acks.len();
        return Err(unreadable(format!("{count} acks for {finishes} outcomes")));
    }
    let acks = reply.acks.into_iter().map(convert::ack);
    let grant = |mut message: v1::Grant| {
        let lease = message.held.as_mut().map(|held| take(&mut held.lease));
        let grant = convert::grant(message)?;
        leases.keep(grant.held, lease.unwrap_or_default());
        Ok(grant)
    };
    let grants = reply.grants.into_iter().map(grant);
    Ok(Reply::Exchanged {
        acks: acks.collect::<Result<_, _>>().map_err(unreadable)?,
        grants: grants
            .collect::<Result<_, convert::DecodeError>>()
            .map_err(unreadable)?,
        drain: reply.drain,
    })
}

fn verdicts(verdicts: &[i32], count: usize) -> Result<Vec<Verdict>, CallError> {
    convert::verdicts(verdicts, count).map_err(unreadable)
}

fn unreadable(what: impl std::fmt::Display) -> CallError {
    CallError::Retry(format!("the coordinator's answer cannot be read: {what}"))
}

#[cfg(test)]
mod tests {
    use swath_proto::refusal::not_leader;
    use tonic::Code;

    use super::*;

    #[test]
    fn a_refusal_is_read_by_its_reason_and_not_by_its_words() {
        let stale = Reason::StaleSession.status("words");
        let expected = CallError::Stale("words".to_owned());
        assert_eq!(Told::from(stale), expected.into());
        let taken = CallError::NameTaken("words".to_owned());
        assert_eq!(Told::from(Reason::NameTaken.status("words")), taken.into());
        let Told::Final(Err(CallError::Protocol(why))) = Reason::Protocol.status("other").into()
        else {
            panic!("an agent that goes on");
        };
        assert!(why.starts_with("other (this worker is version"), "{why}");
        let disk = Reason::StoreFailed.status_as(Code::Unavailable, "stale session");
        let expected = CallError::Retry("Unavailable: stale session".to_owned());
        assert_eq!(Told::from(disk), expected.into());
    }

    #[test]
    fn another_coordinator_is_asked_after_a_standby_and_after_silence() {
        let standby = not_leader("b leads", Some("http://b:1"));
        let leader = Some("http://b:1".to_owned());
        assert_eq!(
            Told::from(standby),
            Told::Elsewhere("b leads".to_owned(), leader)
        );
        let refused = std::io::Error::from_raw_os_error(111);
        let mut status = Status::unavailable("no connection");
        status.set_source(Arc::new(std::io::Error::other(refused)));
        let Told::Elsewhere(why, None) = status.into() else {
            panic!("final");
        };
        assert!(why.contains("refused"), "{why}");
    }

    #[test]
    fn the_addresses_are_told_where_there_are_several() {
        let vain = |address: &str| (format!("http://{address}"), "refused".to_owned());
        assert_eq!(reasons(vec![vain("a")]), "refused");
        assert_eq!(
            reasons(vec![vain("a"), vain("b")]),
            "http://a: refused; http://b: refused"
        );
        assert!(Client::new(&[], Caller::default(), Leases::default()).is_err());
    }
}
