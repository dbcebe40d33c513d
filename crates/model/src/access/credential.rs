//! What a coordinator keeps of tokens and certificates: enough to know them
//! again, and nothing with which somebody could show one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Principal, Role};
use crate::id::WorkerName;
use crate::time::Timestamp;

/// Names a credential; it is no secret. Never negative as a signed number, so that
/// a store can have it as a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CredentialId(u64);

impl CredentialId {
    /// The id that these random bytes make.
    pub const fn from_random(bytes: [u8; 8]) -> Self {
        Self(u64::from_le_bytes(bytes) & (u64::MAX >> 1))
    }

    /// The id of the certificates of this worker: one for all of them, because all
    /// are revoked together.
    pub fn of_worker(worker: &WorkerName) -> Self {
        let digest = blake3::hash(format!("worker {worker}").as_bytes());
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&digest.as_bytes()[..8]);
        Self::from_random(bytes)
    }

    /// As a store keeps it.
    pub const fn key(self) -> i64 {
        self.0.cast_signed()
    }

    /// What a store has kept; none for a negative number.
    pub fn from_key(key: i64) -> Option<Self> {
        u64::try_from(key).ok().map(Self)
    }
}

impl fmt::Display for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A text that names no credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the id of a token; `coordinator token list` shows them")]
pub struct NoCredentialId(String);

impl FromStr for CredentialId {
    type Err = NoCredentialId;

    fn from_str(text: &str) -> Result<Self, NoCredentialId> {
        let wrong = || NoCredentialId(text.to_owned());
        if text.len() != 16 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let number = u64::from_str_radix(text, 16).map_err(|_| wrong())?;
        i64::try_from(number).map_err(|_| wrong())?;
        Ok(Self(number))
    }
}

impl Serialize for CredentialId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CredentialId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The digest of a token's secret. A secret has 256 random bits, so nobody finds it
/// from its digest, and a slow hash would add nothing. Two are compared in constant
/// time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret(blake3::Hash);

impl Secret {
    /// The digest of this secret.
    pub fn of(secret: &str) -> Self {
        Self(blake3::hash(secret.as_bytes()))
    }

    /// The digest with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(blake3::Hash::from_bytes(bytes))
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// In tests of stores, which compare rows as documents.
impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.to_hex().as_str())
    }
}

/// A token, or the certificates of a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Credential {
    /// Names it.
    pub id: CredentialId,
    /// What its holder may do.
    pub role: Role,
    /// The person or the worker that it names. Of a worker's token: the only name
    /// for which it is good, or empty.
    pub holder: String,
    /// The digest of a token's secret; none for certificates.
    pub secret: Option<Secret>,
    /// How often a worker's token can still be used; none: as often as one likes.
    pub uses_left: Option<u32>,
    /// When it was made; of certificates, the newest.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When it ends; of certificates, the newest.
    pub expires_at: Option<Timestamp>,
    /// Since when it is not taken any more. Certificates that were made later are.
    pub revoked_at: Option<Timestamp>,
}

/// Why a credential that is known is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Somebody revoked it.
    #[error("it was revoked")]
    Revoked,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// It was used as often as it can be.
    #[error("it was used as often as it may be")]
    UsedUp,
}

/// How a credential is doing, for lists.
pub type Standing = Result<(), Invalid>;

impl Credential {
    /// Whether it is a token, not a worker's certificates.
    pub const fn is_token(&self) -> bool {
        self.secret.is_some()
    }

    /// Whether it is taken at this time.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn standing(&self, now: Timestamp) -> Standing {
        let revoked = match self.revoked_at {
            // Those after a revocation count again.
            Some(at) if !self.is_token() => self.created_at <= at,
            Some(_) => true,
            None => false,
        };
        if revoked {
            return Err(Invalid::Revoked);
        }
        if self.expires_at.is_some_and(|at| at <= now) {
            return Err(Invalid::Expired);
        }
        if self.uses_left == Some(0) {
            return Err(Invalid::UsedUp);
        }
        Ok(())
    }

    /// Who shows a token with this secret.
    ///
    /// # Errors
    ///
    /// Nothing is told of a token whose secret is wrong. Otherwise, why it is not
    /// taken.
    pub fn shown(&self, secret: &Secret, now: Timestamp) -> Result<Principal, Option<Invalid>> {
        if self.secret != Some(*secret) {
            return Err(None);
        }
        self.standing(now).map_err(Some)?;
        Ok(match self.role {
            Role::Worker => Principal::Newcomer {
                token: self.id,
                name: self.holder.parse().ok(),
            },
            role => Principal::Person {
                name: self.holder.clone(),
                role,
            },
        })
    }

    /// Whether a certificate of this worker that was made at `issued_at` is still
    /// taken; whether it has expired is known from the certificate itself.
    pub fn takes_certificate(&self, issued_at: Timestamp) -> bool {
        self.revoked_at.is_none_or(|at| issued_at > at)
    }
}
