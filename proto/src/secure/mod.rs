//! Connections to coordinators that others reach over a network: TLS 1.3, a
//! coordinator that is known by its certificate authority, and callers that show a
//! token or a certificate.

mod badge;
mod connect;
mod token_file;
mod verify;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use sha2::{Digest, Sha256};

pub use self::badge::{Badge, Line};
pub use self::connect::{Caller, Certificate, Connector};
pub use self::token_file::{TOKEN_BYTES_MAX, TokenFileError, read_token};
pub use self::verify::why_not;

/// The protocol that both sides name in the handshake: HTTP/2.
pub const ALPN: &[u8] = b"h2";

/// The cryptography of all connections.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// By what a certificate authority is known: SHA-256 of its certificate in DER
/// form, as `openssl x509 -fingerprint -sha256` shows it.
pub fn fingerprint(certificate: &[u8]) -> [u8; 32] {
    Sha256::digest(certificate).into()
}
