//! The port of a coordinator that others reach over a network: TLS before anything
//! else.

use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use swath_proto::secure::{ALPN, provider};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};

use super::super::incoming::{Admitted, Greeting};
use super::AuditError;
use super::connection::{Connection, Peer, Peers};
use crate::identity::{Identity, holder};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// What a secured port needs.
pub(crate) struct Secured {
    identity: Arc<Identity>,
    own: Arc<Own>,
    acceptor: TlsAcceptor,
    peers: Arc<Peers>,
}

/// The coordinator's certificate; another one may take its place at any time.
#[derive(Debug)]
struct Own(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Own {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let own = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&own))
    }
}

/// Why a port cannot be secured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecureError {
    /// The identity is damaged.
    #[error(transparent)]
    Identity(#[from] crate::identity::IdentityError),
    /// The audit log cannot be written.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The certificates do not fit together.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

impl Secured {
    pub(super) fn new(identity: &Arc<Identity>) -> Result<Self, SecureError> {
        let wrong = |error: &dyn std::fmt::Display| SecureError::Tls(error.to_string());
        let own = Arc::new(Own(RwLock::new(identity.certificate()?)));
        let mut roots = RootCertStore::empty();
        let added = roots.add(identity.authority().clone());
        added.map_err(|error| wrong(&error))?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
            // People have tokens instead.
            .allow_unauthenticated()
            .build()
            .map_err(|error| wrong(&error))?;
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| wrong(&error))?
            .with_client_cert_verifier(verifier);
        let mut config = config.with_cert_resolver(Arc::clone(&own) as _);
        config.alpn_protocols = vec![ALPN.to_vec()];
        // A certificate is looked at on each connection anew.
        config.send_tls13_tickets = 0;
        Ok(Self {
            identity: Arc::clone(identity),
            own,
            acceptor: TlsAcceptor::from(Arc::new(config)),
            peers: Arc::default(),
        })
    }

    /// Shows a new certificate from now on, where the old one will expire.
    pub(crate) fn renew(&self) -> Result<(), SecureError> {
        let fresh = self.identity.certificate()?;
        let mut own = self.own.0.write().unwrap_or_else(PoisonError::into_inner);
        *own = fresh;
        Ok(())
    }

    /// Closes the connections of some peers.
    pub(super) fn close(&self, which: impl Fn(&Peer) -> bool) {
        for peer in self.peers.open().into_iter().filter(which) {
            tracing::info!(address = %peer.address(), "a connection is closed: its caller was revoked");
            peer.close();
        }
    }
}

/// A connection that is encrypted and whose caller is known.
type Met = Greeting<Connection<TlsStream<Admitted>>>;

/// The connections whose handshake succeeded, in whatever order that happens. As
/// many are under way as the door lets strangers in.
pub(crate) fn accept(
    secured: &Secured,
    incoming: impl Stream<Item = io::Result<Admitted>> + Send + 'static,
) -> ReceiverStream<io::Result<Met>> {
    let (connected, stream) = mpsc::channel(16);
    let acceptor = secured.acceptor.clone();
    let peers = Arc::clone(&secured.peers);
    tokio::spawn(async move {
        let mut incoming = Box::pin(incoming);
        while let Some(accepted) = incoming.next().await {
            if connected.is_closed() {
                return;
            }
            let admitted = match accepted {
                Ok(admitted) => admitted,
                Err(error) => {
                    if connected.send(Err(error)).await.is_err() {
                        return;
                    }
                    continue;
                }
            };
            let (acceptor, peers) = (acceptor.clone(), Arc::clone(&peers));
            let connected = connected.clone();
            tokio::spawn(async move {
                if let Some(met) = handshake(&acceptor, admitted, &peers).await {
                    let _over = connected.send(Ok(met)).await;
                }
            });
        }
    });
    ReceiverStream::new(stream)
}

async fn handshake(acceptor: &TlsAcceptor, admitted: Admitted, peers: &Peers) -> Option<Met> {
    let mut guest = admitted.guest();
    let address = guest.address;
    let made = tokio::time::timeout(HANDSHAKE, acceptor.accept(admitted)).await;
    let stream = match made {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::warn!(%address, %error, "a connection is refused: its handshake failed");
            return None;
        }
        Err(_) => {
            tracing::warn!(%address, "a connection is refused: its handshake took too long");
            return None;
        }
    };
    let certificates = stream.get_ref().1.peer_certificates();
    let own: Option<&CertificateDer<'_>> = certificates.and_then(|all| all.first());
    let holder = match own {
        None => None,
        // A certificate that no worker was given, such as this coordinator's own, says
        // nothing about a caller.
        Some(own) => Some(holder(own)?),
    };
    let peer = Peer::new(address, holder);
    peers.add(&peer);
    let connection = Connection::new(stream, &peer);
    guest.peer = Some(peer);
    Some(Greeting::new(connection, guest))
}
