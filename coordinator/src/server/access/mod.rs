//! Who may call: tokens and certificates, and what each call needs.
//!
//! A coordinator that only its own machine reaches asks nobody. Any other knows its
//! callers from their connections and tokens, before a message is looked at.

mod audit;
mod change;
mod connection;
mod enrol;
mod guard;
mod guesses;
mod lease;
mod rules;
mod secure;
mod whose;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use swath_model::access::{Credential, CredentialId, Deed, Principal, TokenText};
use swath_model::time::Timestamp;
use swath_proto::refusal::Reason;
use swath_store::StoreError;
use tonic::{Request, Status};

pub(crate) use self::audit::{Audit, AuditError};
pub use self::audit::{AuditEntry, AuditLine, AuditVerdict, read_audit};
pub(crate) use self::connection::Peer;
pub(crate) use self::enrol::AdmissionService;
pub(crate) use self::guard::Guard;
use self::guesses::Guesses;
pub(crate) use self::lease::Proven;
pub(crate) use self::rules::deed_of;
pub(crate) use self::secure::{SecureError, Secured, accept};
pub(crate) use self::whose::Whose;
use super::error::ApiError;
use super::state::State;
use crate::identity::Identity;

/// What a coordinator knows of those who may call it.
pub(crate) struct Access {
    /// Who this coordinator is to others; none if nobody is to know it.
    identity: Option<Arc<Identity>>,
    audit: Option<Arc<Audit>>,
    /// None where everybody on this machine may do everything.
    secured: Option<Secured>,
    known: RwLock<BTreeMap<CredentialId, Credential>>,
    /// Whose turn it is to change what is known.
    turn: tokio::sync::Mutex<()>,
    guesses: Mutex<Guesses>,
}

/// Who makes a call, and from where.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) principal: Principal,
    /// Its address; none for calls within this process.
    pub(crate) address: Option<IpAddr>,
}

impl Caller {
    /// Who makes this call. Without a guard before it, nobody in particular: so a
    /// service that is not guarded refuses everything.
    pub(crate) fn of<T>(request: &Request<T>) -> Self {
        let caller = request.extensions().get::<Self>();
        caller.cloned().unwrap_or(Self {
            principal: Principal::Anonymous,
            address: None,
        })
    }

    /// Whether it may do something, and to whose things.
    ///
    /// # Errors
    ///
    /// [`ApiError::Denied`] if it may not at all.
    pub(crate) fn may(&self, deed: Deed) -> Result<Whose<'_>, ApiError> {
        let reach = self.principal.reach(deed);
        let reach = reach.ok_or_else(|| denied(&self.principal, deed))?;
        Ok(Whose::new(&self.principal, reach))
    }
}

/// The refusal for somebody who may not do something.
pub(crate) fn denied(principal: &Principal, deed: Deed) -> ApiError {
    let what = match deed {
        Deed::Ask => "ask",
        Deed::Read => "read anything",
        Deed::Submit => "submit sweeps",
        Deed::ChangeSweep => "change sweeps",
        Deed::ChangeLab => "change workers",
        Deed::GiveAccess => "see or change who has access",
        Deed::Work => "take jobs",
        Deed::Enrol => "get a worker's certificate",
    };
    let remedy = match principal {
        Principal::Anonymous => {
            "; show a token: --token-file FILE or SWATH_TOKEN_FILE (an admin makes one with \
             `coordinator token create`)"
        }
        Principal::Person { .. } => "; ask an admin for a token of another role",
        _ => "",
    };
    ApiError::Denied(format!("{principal} may not {what}{remedy}"))
}

impl Access {
    /// Of a coordinator with this identity. `secured` says whether callers must show
    /// who they are.
    ///
    /// # Errors
    ///
    /// When the identity cannot be used.
    pub(crate) fn new(identity: Option<Identity>, secured: bool) -> Result<Self, SecureError> {
        let identity = identity.map(Arc::new);
        let audit = identity.as_ref().map(|it| Audit::open(it.directory()));
        let secured = match &identity {
            Some(identity) if secured => Some(Secured::new(identity)?),
            _ => None,
        };
        Ok(Self {
            audit: audit.transpose()?.map(Arc::new),
            identity,
            secured,
            known: RwLock::default(),
            turn: tokio::sync::Mutex::default(),
            guesses: Mutex::default(),
        })
    }

    /// The secured port, if this coordinator has one.
    pub(crate) const fn port(&self) -> Option<&Secured> {
        self.secured.as_ref()
    }

    /// Who this coordinator is to others.
    pub(crate) const fn identity(&self) -> Option<&Arc<Identity>> {
        self.identity.as_ref()
    }

    /// Takes over what the store has: another coordinator may have changed it. Closes
    /// the connections of those who are not to be let through any more.
    pub(crate) async fn refresh(&self, state: &State) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        let stored = state.store.credentials().await?;
        let stored = stored.into_iter().map(|it| (it.id, it)).collect();
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = stored;
        self.close_revoked();
        Ok(())
    }

    fn close_revoked(&self) {
        let Some(secured) = &self.secured else { return };
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        secured.close(|peer| {
            let worker = peer.holder().is_some_and(|holder| {
                let id = CredentialId::of_worker(&holder.worker);
                let credential = known.get(&id);
                let taken = credential.is_some_and(|it| it.takes_certificate(holder.issued_at));
                // One that was never let through is told why by its first call.
                !taken && peer.shown().contains(&id)
            });
            let token = |id: CredentialId| known.get(&id).is_none_or(|it| it.revoked_at.is_some());
            let shown = || peer.shown().into_iter().any(token);
            // What a worker has shown is its certificate.
            worker || peer.holder().is_none() && shown()
        });
    }

    /// All that is known, by id.
    pub(crate) fn all(&self) -> Vec<Credential> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.values().cloned().collect()
    }

    fn get(&self, id: CredentialId) -> Option<Credential> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&id).cloned()
    }

    /// Who calls on this connection with this token, if there is one.
    ///
    /// # Errors
    ///
    /// UNAUTHENTICATED for a token or certificate that is not taken; what is said of
    /// it depends on whether the caller knows its secret.
    fn principal(
        &self,
        peer: Option<&Peer>,
        shown: Option<&str>,
        now: Timestamp,
    ) -> Result<Principal, Status> {
        if self.secured.is_none() {
            // Only this machine reaches the port.
            return Ok(Principal::Local);
        }
        let Some(peer) = peer else {
            return Ok(Principal::Anonymous);
        };
        if let Some(holder) = peer.holder() {
            let id = CredentialId::of_worker(&holder.worker);
            let taken = |it: Credential| it.takes_certificate(holder.issued_at);
            if self.get(id).is_some_and(taken) {
                peer.note(id);
                return Ok(Principal::Worker(holder.worker.clone()));
            }
            return Err(Reason::Revoked.status(format!(
                "the certificate of worker `{}` was revoked; an admin takes it in again with \
                 `coordinator token create --role worker --name {}`",
                holder.worker, holder.worker
            )));
        }
        let Some(shown) = shown else {
            return Ok(Principal::Anonymous);
        };
        let unknown = || Status::unauthenticated("this token is not known here");
        let read = shown
            .strip_prefix("Bearer ")
            .and_then(TokenText::read_shown);
        let known = read.and_then(|(id, secret)| Some((self.get(id)?, secret)));
        let taken =
            known.map(|(credential, secret)| (credential.id, credential.shown(&secret, now)));
        match taken {
            Some((id, Ok(principal))) => {
                peer.note(id);
                Ok(principal)
            }
            Some((id, Err(Some(why)))) => Err(Status::unauthenticated(format!(
                "the token {id} is not taken: {why}; an admin makes another one with \
                 `coordinator token create`"
            ))),
            None | Some((_, Err(None))) => {
                let mut guesses = self.guesses.lock().unwrap_or_else(PoisonError::into_inner);
                if guesses.is_one_too_many(peer.address(), now) {
                    return Err(Status::resource_exhausted(
                        "too many wrong tokens from this address; try again in a minute",
                    ));
                }
                drop(guesses);
                let caller = Caller {
                    principal: Principal::Anonymous,
                    address: Some(peer.address()),
                };
                self.refused(now, &caller, "token", "it is not known");
                Err(unknown())
            }
        }
    }

    /// Notes that somebody was refused.
    pub(crate) fn refused(&self, now: Timestamp, caller: &Caller, call: &str, why: &str) {
        if let Some(audit) = &self.audit {
            audit.refused(now, caller, call, why);
        }
        tracing::warn!(principal = %caller.principal, address = ?caller.address, call, why, "refused");
    }

    /// Notes what somebody asks for who may ask for such things, before it is done: what
    /// is not noted is not done. Where it is refused for what it is about, that is noted
    /// too.
    ///
    /// # Errors
    ///
    /// [`ApiError::StoreFailed`] when it cannot be noted.
    pub(crate) async fn asked(
        &self,
        now: Timestamp,
        caller: &Caller,
        call: &str,
        what: String,
    ) -> Result<(), ApiError> {
        tracing::info!(principal = %caller.principal, address = ?caller.address, call, what, "asked");
        let Some(audit) = &self.audit else {
            return Ok(());
        };
        let entry = AuditEntry::new(now, caller, call, what, "asked");
        let audit = Arc::clone(audit);
        let written = tokio::task::spawn_blocking(move || audit.write(&entry));
        let written = written.await.map_err(ApiError::internal)?;
        written.map_err(|error| {
            ApiError::StoreFailed(format!(
                "{error}; nothing is changed that cannot be noted there"
            ))
        })
    }
}
