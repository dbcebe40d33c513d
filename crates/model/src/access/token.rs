//! A token as it is handed over: one line of text.
//!
//! `swp1.<id>.<secret>.<fingerprint>`: which token it is, 256 random bits that only
//! its holder knows, and the digest of the coordinator's certificate authority. So
//! whoever has a token needs nothing else to recognize the coordinator.

use std::fmt;
use std::str::FromStr;

use super::{CredentialId, Secret};
use crate::id::{hex, unhex};

/// With what every token begins.
const PREFIX: &str = "swp1";

/// A token with its secret. It is printed nowhere but where it is handed over.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenText {
    id: CredentialId,
    secret: [u8; 32],
    authority: [u8; 32],
}

/// A text that is no token. Nothing of the text is told: it may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is no token; a token is one line that begins with `{PREFIX}.`, as `coordinator token create` prints it"
)]
pub struct TokenTextError;

impl TokenText {
    /// A token with this secret for the coordinators whose authority has this
    /// fingerprint.
    pub const fn new(id: CredentialId, secret: [u8; 32], authority: [u8; 32]) -> Self {
        Self {
            id,
            secret,
            authority,
        }
    }

    /// Which token it is.
    pub const fn id(&self) -> CredentialId {
        self.id
    }

    /// SHA-256 of the authority's certificate in DER form.
    pub const fn authority(&self) -> &[u8; 32] {
        &self.authority
    }

    /// The digest that a coordinator keeps.
    pub fn digest(&self) -> Secret {
        Secret::of(hex(&self.secret, &mut [0; 64]))
    }

    /// What is shown to a coordinator: the token without the fingerprint.
    pub fn shown(&self) -> String {
        let mut digits = [0; 64];
        format!("{PREFIX}.{}.{}", self.id, hex(&self.secret, &mut digits))
    }

    /// The whole text, for the one who gets the token.
    pub fn reveal(&self) -> String {
        let mut digits = [0; 64];
        format!("{}.{}", self.shown(), hex(&self.authority, &mut digits))
    }

    /// Which token a caller shows, and the digest of its secret.
    pub fn read_shown(text: &str) -> Option<(CredentialId, Secret)> {
        let (id, secret) = text
            .strip_prefix(PREFIX)?
            .strip_prefix('.')?
            .split_once('.')?;
        unhex(secret)?;
        Some((id.parse().ok()?, Secret::of(secret)))
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenText({})", self.id)
    }
}

impl FromStr for TokenText {
    type Err = TokenTextError;

    fn from_str(text: &str) -> Result<Self, TokenTextError> {
        let parts: Vec<&str> = text.trim().split('.').collect();
        let &[PREFIX, id, secret, authority] = parts.as_slice() else {
            return Err(TokenTextError);
        };
        let read = || {
            Some(Self::new(
                id.parse().ok()?,
                unhex(secret)?,
                unhex(authority)?,
            ))
        };
        read().ok_or(TokenTextError)
    }
}
