//! Dialling: plain for `http://`, TLS for `https://`.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme};
use secrecy::SecretString;
use swath_model::access::TokenText;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};

use super::verify::Pinned;
use super::{ALPN, Badge, Line, provider};

/// The certificate that a worker shows; another one may take its place while
/// connections are open, and the next one shows that.
#[derive(Clone, Debug, Default)]
pub struct Certificate {
    current: Arc<RwLock<Option<Arc<CertifiedKey>>>>,
}

impl Certificate {
    /// Shows this certificate from now on: the chain and its key in DER form.
    ///
    /// # Errors
    ///
    /// When they cannot be read, or do not belong together.
    pub fn show(&self, chain: Vec<Vec<u8>>, key: Vec<u8>) -> Result<(), rustls::Error> {
        let chain = chain.into_iter().map(CertificateDer::from).collect();
        let key = PrivateKeyDer::try_from(key)
            .map_err(|error| rustls::Error::General(error.to_owned()))?;
        let certified = CertifiedKey::from_der(chain, key, &provider())?;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = Some(Arc::new(certified));
        Ok(())
    }
}

impl ResolvesClientCert for Certificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.clone()
    }

    fn has_certs(&self) -> bool {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.is_some()
    }
}

/// Who calls: what it shows to a coordinator, and by what it knows one.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// Which authority its coordinators have; without one it reaches only those of
    /// its own machine.
    authority: Option<[u8; 32]>,
    token: Option<SecretString>,
    certificate: Certificate,
}

impl Caller {
    /// Shows a token.
    pub fn with_token(token: &TokenText) -> Self {
        Self {
            authority: Some(*token.authority()),
            token: Some(token.shown().into()),
            certificate: Certificate::default(),
        }
    }

    /// Shows a certificate.
    pub const fn with_certificate(authority: [u8; 32], certificate: Certificate) -> Self {
        Self {
            authority: Some(authority),
            token: None,
            certificate,
        }
    }

    /// A connection to `endpoint` that is made on the first call.
    pub fn line_lazy(&self, endpoint: &Endpoint) -> Line {
        let channel = endpoint.connect_with_connector_lazy(self.connector());
        self.line(channel, endpoint)
    }

    /// A connection to `endpoint`.
    ///
    /// # Errors
    ///
    /// When nobody answers, or it is not who is meant.
    pub async fn connect(&self, endpoint: &Endpoint) -> Result<Line, tonic::transport::Error> {
        let channel = endpoint.connect_with_connector(self.connector()).await?;
        Ok(self.line(channel, endpoint))
    }

    /// A token goes only where nobody can read it on the way.
    fn line(&self, channel: Channel, endpoint: &Endpoint) -> Line {
        let token = self.token.clone().filter(|_| is_secure(endpoint.uri()));
        Line::new(channel, Badge::new(token))
    }

    fn connector(&self) -> Connector {
        Connector {
            tls: self.authority.map(|authority| {
                let config = ClientConfig::builder_with_provider(provider())
                    .with_protocol_versions(&[&rustls::version::TLS13])
                    .expect("the provider has TLS 1.3")
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(Pinned::new(authority)))
                    .with_client_cert_resolver(Arc::new(self.certificate.clone()));
                let mut config = config;
                config.alpn_protocols = vec![ALPN.to_vec()];
                TlsConnector::from(Arc::new(config))
            }),
        }
    }
}

fn is_secure(uri: &Uri) -> bool {
    uri.scheme_str() == Some("https")
}

/// Makes connections for a channel.
#[derive(Clone)]
pub struct Connector {
    tls: Option<TlsConnector>,
}

/// What a connection is read from and written to.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<Box<dyn Stream>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let tls = self.tls.clone();
        Box::pin(async move {
            let stream: Box<dyn Stream> = match (is_secure(&uri), tls) {
                (false, _) => Box::new(dial(&uri, 80).await?),
                (true, Some(tls)) => {
                    let name = ServerName::try_from(host(&uri).to_owned());
                    let name = name.map_err(io::Error::other)?;
                    let plain = dial(&uri, 443).await?;
                    Box::new(tls.connect(name, plain).await?)
                }
                (true, None) => {
                    return Err(io::Error::other(
                        "it speaks TLS, and there is no token by which to recognize it; name \
                         the file of one with --token-file or SWATH_TOKEN_FILE",
                    ));
                }
            };
            Ok(TokioIo::new(stream))
        })
    }
}

/// The host of a URL, an IPv6 address without its brackets.
fn host(uri: &Uri) -> &str {
    let host = uri.host().unwrap_or_default();
    host.trim_start_matches('[').trim_end_matches(']')
}

async fn dial(uri: &Uri, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host(uri), uri.port_u16().unwrap_or(port))).await?;
    // Small messages must not wait for Nagle's timer.
    stream.set_nodelay(true)?;
    Ok(stream)
}
