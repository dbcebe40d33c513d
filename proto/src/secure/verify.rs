//! Whether a coordinator is the one that is meant: its certificate must come from
//! the authority whose fingerprint is known.

use std::error::Error;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};

use super::{fingerprint, provider};

/// The coordinator's certificate comes from another authority than the one whose
/// fingerprint is known.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("its certificate is not from the authority that the token names")]
struct OtherAuthority;

/// Takes the certificates of one authority, which the coordinator sends along.
#[derive(Debug)]
pub(super) struct Pinned {
    authority: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl Pinned {
    pub(super) fn new(authority: [u8; 32]) -> Self {
        Self {
            authority,
            provider: provider(),
        }
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let mut known = intermediates.iter();
        let authority = known.find(|it| fingerprint(it) == self.authority);
        let other = || CertificateError::Other(OtherError(Arc::new(OtherAuthority)));
        let authority = authority.ok_or_else(other)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let builder =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone());
        let verifier = builder
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        verifier.verify_server_cert(end_entity, &[], server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// What to do about a handshake that failed, where that is known.
pub fn why_not(error: &(dyn Error + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return Some(remedy(error));
        }
        // What a stream reports is wrapped, and is no source of its wrapper.
        let inside = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        if let Some(error) = inside.and_then(|it| it.downcast_ref::<rustls::Error>()) {
            return Some(remedy(error));
        }
        cause = error.source();
    }
    None
}

fn remedy(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(_)) => {
            "its certificate is not from the authority that the token names; is the token of \
             another coordinator?"
                .to_owned()
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "its certificate is for other names; ask for it by one of those, or add this one on \
              its machine: `coordinator init --host NAME`"
            .to_owned(),
        rustls::Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => "its certificate is not valid at this time; compare the clocks of both machines"
            .to_owned(),
        rustls::Error::InvalidMessage(_) => {
            "it does not speak TLS; an http:// URL reaches a coordinator of this machine".to_owned()
        }
        rustls::Error::AlertReceived(alert) => {
            format!("it refuses the connection ({alert:?}); is this worker's certificate revoked?")
        }
        error => format!("TLS: {error}"),
    }
}
