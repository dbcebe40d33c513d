//! Who has access.

use serde::{Deserialize, Serialize};
use swath_model::access::{CredentialId, Role};
use swath_model::time::Timestamp;

/// A token to make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// What its holder may do.
    pub role: Role,
    /// The person who gets it. Of a worker's token: the only name for which it is good,
    /// or empty.
    pub name: String,
    /// For how long, in milliseconds; absent: for good.
    #[serde(default)]
    pub life_ms: Option<u64>,
    /// How many certificates a worker's token is good for; absent: any number.
    #[serde(default)]
    pub uses: Option<u32>,
}

/// Every token and every worker's certificates, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// The version of the document.
    pub schema_version: u32,
    /// The tokens and certificates.
    pub credentials: Vec<CredentialView>,
    /// The time on the coordinator's clock.
    pub now_ms: i64,
}

/// A token, or the certificates of a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialView {
    /// Names it.
    pub id: CredentialId,
    /// What its holder may do.
    pub role: Role,
    /// The person or the worker; of a worker's token perhaps empty.
    pub name: String,
    /// Whether it is a token.
    pub is_token: bool,
    /// How many certificates a worker's token is still good for.
    pub uses_left: Option<u32>,
    /// When it was made; of certificates, the newest.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// `valid`, or why it is not taken.
    pub standing: String,
}

/// Who a caller is to a coordinator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Myself {
    /// The version of the document.
    pub schema_version: u32,
    /// The person's or the worker's name; empty for somebody who is not known.
    pub name: String,
    /// What the caller may do; absent for somebody who is not known.
    pub role: Option<Role>,
    /// The same for people.
    pub told: String,
}
