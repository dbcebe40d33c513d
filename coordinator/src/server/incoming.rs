//! Connections as they come in. Whoever connects and says nothing, or has
//! nothing to ask, must not keep others out: each connection costs a file
//! descriptor, and there are only so many.
//!
//! A connection is a stranger until it has spoken HTTP/2. Strangers have
//! [`GREETS_WITHIN`] for that and a share of the room; where that is full, the
//! oldest makes way for the next. Connections that have spoken stay as long as
//! they make calls.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep};
use tokio_stream::{Stream, StreamExt};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::{Connected, TcpIncoming};

use super::access::Peer;
use super::calls::Calling;

/// How long a connection may take to speak HTTP/2, where it is encrypted from the
/// end of its handshake: its preface and the head of its first frame.
pub(crate) const GREETS_WITHIN: Duration = Duration::from_secs(5);

/// The bytes of the preface of HTTP/2 and of the head of a frame.
const GREETING_BYTES: usize = 24 + 9;

/// How long a connection without a call may stay where nobody needs its room: a
/// worker opens another one when it has something to say.
const IDLE_MAX: Duration = Duration::from_mins(10);

/// How long a connection without a call stays even where room is scarce: longer
/// than the time between two heartbeats.
const IDLE_MIN: Duration = Duration::from_mins(1);

/// How often idle connections are looked for.
const IDLE_LOOK: Duration = Duration::from_secs(30);

/// How long to wait after a listener has failed to accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// At most so many file descriptors are kept for stores, files and what the
/// runtime needs, and half of all where there are few.
const DESCRIPTORS_KEPT: usize = 128;

/// The most connections of strangers.
const STRANGERS_MAX: usize = 1024;

/// The most connections from one address if nothing else is asked for: those of
/// some hundred workers behind one router.
pub const CONNECTIONS_PER_ADDRESS: NonZeroUsize = NonZeroUsize::new(2048).unwrap();

/// Who may come in: every connection that is open, and how many may be.
#[derive(Debug)]
pub(crate) struct Door {
    /// The most connections.
    room: usize,
    /// The most of them that have not spoken yet.
    strangers_max: usize,
    /// The most from one address.
    per_address: usize,
    /// How long a connection without a call stays where its room is needed.
    idle_min: Duration,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    /// In the order in which they came.
    connections: BTreeMap<u64, Entry>,
    strangers: usize,
    addresses: HashMap<IpAddr, usize>,
    /// When it was last said that somebody was turned away.
    told: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    address: IpAddr,
    is_stranger: bool,
    calling: Arc<Calling>,
    close: CancellationToken,
}

/// Why a connection is closed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// Its address has as many as it may.
    Address,
    /// There are as many as there may be, and all are in use.
    Room,
}

impl Door {
    /// A door to as much room as this process has file descriptors for.
    pub(crate) fn new(per_address: NonZeroUsize) -> Self {
        let limit = getrlimit(Resource::Nofile).current;
        let limit = limit.map_or(usize::MAX, |limit| {
            usize::try_from(limit).unwrap_or(usize::MAX)
        });
        Self::with_room(limit - DESCRIPTORS_KEPT.min(limit / 2), per_address.get())
    }

    fn with_room(room: usize, per_address: usize) -> Self {
        Self {
            room,
            strangers_max: (room / 4).clamp(1, STRANGERS_MAX),
            per_address,
            idle_min: IDLE_MIN,
            open: Mutex::default(),
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a connection in, where need be in the place of another one.
    fn admit(self: &Arc<Self>, peer: SocketAddr) -> Result<Slot, Refusal> {
        let address = peer.ip().to_canonical();
        let mut open = self.open();
        let of_address = open.addresses.get(&address).copied().unwrap_or(0);
        if of_address >= self.per_address && !open.make_way(Some(address), self.idle_min) {
            return Err(Refusal::Address);
        }
        if open.connections.len() >= self.room && !open.make_way(None, self.idle_min) {
            return Err(Refusal::Room);
        }
        if open.strangers >= self.strangers_max {
            open.close_stranger(address);
        }
        Ok(open.add(Arc::clone(self), address))
    }

    /// The connection of an accepted stream; none if it is closed at once.
    fn let_in(self: &Arc<Self>, stream: TcpStream) -> Option<Admitted> {
        // Its peer has closed it already.
        let peer = stream.peer_addr().ok()?;
        match self.admit(peer) {
            Ok(slot) => Some(Admitted::new(stream, peer, slot)),
            Err(refusal) => {
                self.tell(peer, refusal);
                None
            }
        }
    }

    /// Says that somebody was turned away, once a minute: whoever floods this
    /// coordinator shall not flood its log.
    fn tell(&self, peer: SocketAddr, refusal: Refusal) {
        let mut open = self.open();
        if open.told.is_some_and(|told| told.elapsed() < IDLE_MIN) {
            return;
        }
        open.told = Some(Instant::now());
        drop(open);
        match refusal {
            Refusal::Address => tracing::warn!(
                %peer,
                limit = self.per_address,
                "a connection is refused: its address has too many; raise `--connections-per-address`"
            ),
            Refusal::Room => tracing::warn!(
                %peer,
                limit = self.room,
                "a connection is refused: there are too many; raise the limit of open files (`ulimit -n`)"
            ),
        }
    }

    /// Closes connections that have had no call for long, until `stop`.
    pub(crate) async fn watch(self: Arc<Self>, stop: CancellationToken) {
        while stop
            .run_until_cancelled(tokio::time::sleep(IDLE_LOOK))
            .await
            .is_some()
        {
            let open = self.open();
            for entry in open.connections.values() {
                if !entry.is_stranger && entry.calling.is_idle_for(IDLE_MAX) {
                    entry.close.cancel();
                }
            }
        }
    }
}

impl Open {
    /// Closes the stranger that came first, if it can be of that address: so
    /// nobody who floods strangers closes those of others.
    fn close_stranger(&mut self, address: IpAddr) {
        let mut strangers = self.connections.iter().filter(|(_, it)| it.is_stranger);
        let of_address = strangers.clone().find(|(_, it)| it.address == address);
        let key = of_address.or_else(|| strangers.next()).map(|(key, _)| *key);
        if let Some(key) = key {
            self.close(key);
        }
    }

    /// Closes the connection that is needed least, of an address or of all: a
    /// stranger, or one that had no call for long. Returns whether there was one.
    fn make_way(&mut self, address: Option<IpAddr>, idle_min: Duration) -> bool {
        let mut among = self
            .connections
            .iter()
            .filter(|(_, it)| address.is_none_or(|address| it.address == address));
        let stranger = among.clone().find(|(_, it)| it.is_stranger);
        let idle = |(_, it): &(&u64, &Entry)| it.calling.is_idle_for(idle_min);
        let key = stranger.or_else(|| among.find(idle)).map(|(key, _)| *key);
        key.is_some_and(|key| self.close(key))
    }

    /// Closes a connection and gives its place away at once.
    fn close(&mut self, key: u64) -> bool {
        let Some(entry) = self.connections.remove(&key) else {
            return false;
        };
        entry.close.cancel();
        self.strangers -= usize::from(entry.is_stranger);
        if let Some(count) = self.addresses.get_mut(&entry.address) {
            *count -= 1;
            if *count == 0 {
                self.addresses.remove(&entry.address);
            }
        }
        true
    }

    fn add(&mut self, door: Arc<Door>, address: IpAddr) -> Slot {
        let key = self.next;
        self.next += 1;
        self.strangers += 1;
        *self.addresses.entry(address).or_default() += 1;
        let entry = Entry {
            address,
            is_stranger: true,
            calling: Arc::default(),
            close: CancellationToken::new(),
        };
        let slot = Slot {
            door,
            key,
            calling: Arc::clone(&entry.calling),
            close: entry.close.clone(),
        };
        self.connections.insert(key, entry);
        slot
    }
}

/// The place of one connection, which is free again when it is dropped.
#[derive(Debug)]
struct Slot {
    door: Arc<Door>,
    key: u64,
    calling: Arc<Calling>,
    close: CancellationToken,
}

impl Slot {
    /// It has spoken.
    fn greeted(&self) {
        self.calling.touch();
        let mut open = self.door.open();
        if let Some(entry) = open.connections.get_mut(&self.key) {
            entry.is_stranger = false;
            open.strangers -= 1;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.door.open().close(self.key);
    }
}

/// Whose connection was let in. Every request has it among its extensions.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    /// Its address.
    pub(crate) address: SocketAddr,
    /// The calls of the connection.
    pub(crate) calling: Arc<Calling>,
    /// Who it is, on a port where callers must show that.
    pub(crate) peer: Option<Peer>,
    slot: Arc<Slot>,
}

/// A TCP connection that was let in. It fails when it has to make way.
#[derive(Debug)]
pub(crate) struct Admitted {
    stream: TcpStream,
    guest: Guest,
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Admitted {
    fn new(stream: TcpStream, address: SocketAddr, slot: Slot) -> Self {
        let closed = Box::pin(slot.close.clone().cancelled_owned());
        let guest = Guest {
            address,
            calling: Arc::clone(&slot.calling),
            peer: None,
            slot: Arc::new(slot),
        };
        Self {
            stream,
            guest,
            closed,
        }
    }

    /// Whose connection it is.
    pub(crate) fn guest(&self) -> Guest {
        self.guest.clone()
    }
}

impl AsyncRead for Admitted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Every user of a connection always waits to read from it.
        if self.closed.as_mut().poll(cx).is_ready() {
            let why = "closed to make room for others";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, why)));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

/// Writes go to `$field` as they are.
macro_rules! write_through {
    ($field:ident) => {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.$field).poll_write(cx, buf)
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bufs: &[io::IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.$field).poll_write_vectored(cx, bufs)
        }

        fn is_write_vectored(&self) -> bool {
            self.$field.is_write_vectored()
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.$field).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.$field).poll_shutdown(cx)
        }
    };
}

impl AsyncWrite for Admitted {
    write_through!(stream);
}

/// A connection that has to greet in time. It lies above whatever encrypts: what
/// counts is what is heard of HTTP/2.
#[derive(Debug)]
pub(crate) struct Greeting<IO> {
    io: IO,
    guest: Guest,
    /// How much of the greeting is missing, and until when it may be.
    awaited: Option<(usize, Pin<Box<Sleep>>)>,
}

impl<IO> Greeting<IO> {
    /// A connection of `guest` whose time for the greeting begins now.
    pub(crate) fn new(io: IO, guest: Guest) -> Self {
        let deadline = Box::pin(tokio::time::sleep(GREETS_WITHIN));
        Self {
            io,
            guest,
            awaited: Some((GREETING_BYTES, deadline)),
        }
    }
}

impl Greeting<Admitted> {
    /// A connection that is not encrypted.
    pub(crate) fn plain(admitted: Admitted) -> Self {
        let guest = admitted.guest();
        Self::new(admitted, guest)
    }
}

impl<IO> Connected for Greeting<IO> {
    type ConnectInfo = Guest;

    fn connect_info(&self) -> Guest {
        self.guest.clone()
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Greeting<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let Some((missing, deadline)) = &mut this.awaited else {
            return Pin::new(&mut this.io).poll_read(cx, buf);
        };
        if deadline.as_mut().poll(cx).is_ready() {
            let why = "nothing was heard of HTTP/2 in time";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut this.io).poll_read(cx, buf);
        *missing = missing.saturating_sub(buf.filled().len() - before);
        if *missing == 0 {
            this.awaited = None;
            this.guest.slot.greeted();
        }
        read
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Greeting<IO> {
    write_through!(io);
}

/// Pauses after a failed accept. Without a free file descriptor accepting fails
/// at once, again and again: one core would do nothing else, and nobody would
/// know.
async fn rested<T>(accepted: io::Result<T>) -> io::Result<T> {
    if let Err(error) = &accepted {
        tracing::warn!(%error, "a connection cannot be accepted");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
    accepted
}

/// The connections that come to a listener and are let in.
pub(crate) fn admitted(
    listener: TcpListener,
    door: Arc<Door>,
) -> impl Stream<Item = io::Result<Admitted>> {
    // Small replies must not wait for Nagle's timer.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let incoming = incoming.then(rested);
    incoming.filter_map(move |accepted| match accepted {
        Ok(stream) => door.let_in(stream).map(Ok),
        Err(error) => Some(Err(error)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(host: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, host], 40_000))
    }

    fn door(room: usize, per_address: usize) -> Arc<Door> {
        Arc::new(Door::with_room(room, per_address))
    }

    fn spoken(door: &Arc<Door>, peer: SocketAddr) -> Slot {
        let slot = door.admit(peer).unwrap();
        slot.greeted();
        slot
    }

    #[tokio::test]
    async fn a_listener_that_gives_errors_is_no_busy_loop() {
        let errors = std::iter::repeat_with(|| Err::<(), _>(io::Error::other("none to spare")));
        let mut incoming = Box::pin(tokio_stream::iter(errors).then(rested));
        let first = tokio::time::timeout(ACCEPT_PAUSE / 4, incoming.next()).await;
        assert!(first.is_err(), "handed on at once");
        assert!(incoming.next().await.unwrap().is_err());
    }

    #[test]
    fn the_oldest_stranger_makes_way_and_first_the_newcomers_own() {
        let door = door(8, 8);
        let first = door.admit(peer(1)).unwrap();
        let second = door.admit(peer(2)).unwrap();
        let third = door.admit(peer(2)).unwrap();
        assert!(second.close.is_cancelled(), "its address came again");
        let fourth = door.admit(peer(3)).unwrap();
        assert!(first.close.is_cancelled(), "it was the oldest");
        assert!(!third.close.is_cancelled() && !fourth.close.is_cancelled());
    }

    #[test]
    fn whoever_has_spoken_stays_until_idle() {
        let mut door = Door::with_room(2, 8);
        door.idle_min = Duration::ZERO;
        let door = Arc::new(door);
        let spoken = [(); 2].map(|()| spoken(&door, peer(1)));
        let mut calls: Vec<_> = spoken.iter().map(|slot| slot.calling.begin()).collect();
        assert_eq!(door.admit(peer(2)).unwrap_err(), Refusal::Room);
        drop(calls.pop());
        let _late = door.admit(peer(2)).unwrap();
        assert!(!spoken[0].close.is_cancelled() && spoken[1].close.is_cancelled());
    }

    #[test]
    fn an_address_has_its_share_and_gets_it_back() {
        let door = door(100, 2);
        let slots = [(); 2].map(|()| spoken(&door, peer(1)));
        assert_eq!(door.admit(peer(1)).unwrap_err(), Refusal::Address);
        let _other = door.admit(peer(2)).unwrap();
        drop(slots);
        let _again = door.admit(peer(1)).unwrap();
    }
}
