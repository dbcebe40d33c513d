//! A connection, and who is at its other end.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};

use swath_model::access::CredentialId;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::identity::Holder;

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Peer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    address: SocketAddr,
    /// From its certificate, which was verified.
    holder: Option<Holder>,
    /// The credentials that were taken on this connection.
    shown: Mutex<BTreeSet<CredentialId>>,
    over: CancellationToken,
}

impl Peer {
    pub(super) fn new(address: SocketAddr, holder: Option<Holder>) -> Self {
        Self(Arc::new(Inner {
            address,
            holder,
            shown: Mutex::default(),
            over: CancellationToken::new(),
        }))
    }

    pub(super) fn address(&self) -> IpAddr {
        self.0.address.ip()
    }

    pub(super) fn holder(&self) -> Option<&Holder> {
        self.0.holder.as_ref()
    }

    /// Notes that a token, or its certificate, was taken.
    pub(super) fn note(&self, credential: CredentialId) {
        let mut shown = self.0.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.insert(credential);
    }

    pub(super) fn shown(&self) -> BTreeSet<CredentialId> {
        let shown = self.0.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.clone()
    }

    /// Closes the connection, with all that is open on it.
    pub(super) fn close(&self) {
        self.0.over.cancel();
    }
}

/// What the peers of open connections are remembered by.
#[derive(Debug, Default)]
pub(super) struct Peers(Mutex<Vec<Weak<Inner>>>);

impl Peers {
    pub(super) fn add(&self, peer: &Peer) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The dead are removed whenever their number could have doubled.
        if all.len() == all.capacity() {
            all.retain(|it| it.strong_count() > 0);
        }
        all.push(Arc::downgrade(&peer.0));
    }

    /// The open ones.
    pub(super) fn open(&self) -> Vec<Peer> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter_map(|it| it.upgrade().map(Peer)).collect()
    }
}

/// A connection that can be closed from here.
pub(crate) struct Connection<S> {
    stream: S,
    over: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<S> Connection<S> {
    /// One that is closed when `peer` is.
    pub(super) fn new(stream: S, peer: &Peer) -> Self {
        Self {
            stream,
            over: Box::pin(peer.0.over.clone().cancelled_owned()),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.over.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
