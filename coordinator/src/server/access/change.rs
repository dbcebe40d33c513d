//! Giving and taking access.

use std::sync::PoisonError;
use std::time::Duration;

use swath_model::access::{Credential, CredentialId, Role, TokenText};
use swath_model::id::{Owner, WorkerName};
use swath_model::label::check_owner;
use swath_model::time::Timestamp;
use swath_model::view::SCHEMA_VERSION;
use tracing::info;

use super::super::change::said;
use super::super::error::ApiError;
use super::super::state::State;
use super::{Access, Caller};
use crate::api::{Changed, CreateToken, CredentialView, Credentials};
use crate::identity;

impl Access {
    /// Makes a token; the answer is the only place where its secret ever is.
    pub(crate) async fn create_token(
        &self,
        state: &State,
        caller: &Caller,
        order: CreateToken,
    ) -> Result<Changed, ApiError> {
        let no_identity = || {
            ApiError::conflict(
                "this coordinator has no identity, so there is nothing that a token could be \
                 for; `coordinator init` makes one",
            )
        };
        let authority = self.identity().ok_or_else(no_identity)?.fingerprint();
        check(&order)?;
        let now = state.now();
        let (mut id, mut secret) = ([0; 8], [0; 32]);
        identity::random(&mut id).map_err(ApiError::internal)?;
        identity::random(&mut secret).map_err(ApiError::internal)?;
        let token = TokenText::new(CredentialId::from_random(id), secret, authority);
        let expires_at = order.life_ms.map(|life| now + Duration::from_millis(life));
        let credential = Credential {
            id: token.id(),
            role: order.role,
            holder: order.name.clone(),
            secret: Some(token.digest()),
            uses_left: order.uses,
            created_at: now,
            created_by: caller.principal.to_string(),
            expires_at,
            revoked_at: None,
        };
        self.keep(state, credential).await?;
        info!(token = %token.id(), role = %order.role, name = order.name, by = %caller.principal, "token made");
        let of = match order.name.as_str() {
            "" => String::new(),
            name => format!(" for `{name}`"),
        };
        Ok(Changed {
            token: Some(token.reveal()),
            ..said(format!(
                "token {} of role {}{of} made",
                token.id(),
                order.role
            ))
        })
    }

    /// Takes a token, or the certificates of a worker, no more; open connections that
    /// showed it are closed.
    pub(crate) async fn revoke(
        &self,
        state: &State,
        caller: &Caller,
        id: CredentialId,
    ) -> Result<Changed, ApiError> {
        let known = self.get(id);
        let known = known.ok_or_else(|| {
            ApiError::not_found(format!(
                "there is no token {id}; `coordinator token list` shows them"
            ))
        })?;
        if !known.is_token() {
            let worker = known.holder.parse().map_err(ApiError::internal)?;
            return self.revoke_worker(state, caller, &worker).await;
        }
        if known.revoked_at.is_some() {
            return Ok(said(format!("token {id} was revoked before")));
        }
        let revoked = Credential {
            revoked_at: Some(state.now()),
            ..known
        };
        self.keep(state, revoked).await?;
        self.close_revoked();
        info!(token = %id, by = %caller.principal, "token revoked");
        Ok(said(format!("token {id} is revoked")))
    }

    /// Takes the certificates that a worker has no more, and gives back what it holds.
    pub(crate) async fn revoke_worker(
        &self,
        state: &State,
        caller: &Caller,
        worker: &WorkerName,
    ) -> Result<Changed, ApiError> {
        let now = state.now();
        let known = self.get(CredentialId::of_worker(worker));
        let known = known
            .ok_or_else(|| ApiError::not_found(format!("worker `{worker}` has no certificate")))?;
        let revoked = Credential {
            // What is made in this millisecond is revoked too.
            revoked_at: Some(now),
            ..known
        };
        self.keep(state, revoked).await?;
        self.close_revoked();
        let workers = state.store.workers().await.map_err(ApiError::from)?;
        let session = workers.iter().find(|it| it.name == *worker);
        let mut requeued = 0;
        if let Some(session) = session.map(|it| it.session) {
            let owner = Owner {
                worker: worker.clone(),
                session,
            };
            // It may be gone already.
            requeued = state.engine.goodbye(now, owner).await.unwrap_or(0);
        }
        info!(%worker, requeued, by = %caller.principal, "worker revoked");
        Ok(Changed {
            jobs: requeued,
            ..said(format!(
                "worker `{worker}` is revoked; {requeued} of its jobs wait again; a token that \
                 is still good could bring it back: see `coordinator token list`"
            ))
        })
    }

    /// All tokens and certificates, without secrets.
    pub(crate) fn list(&self, now: Timestamp) -> Credentials {
        let view = |it: Credential| CredentialView {
            id: it.id,
            role: it.role,
            name: it.holder.clone(),
            is_token: it.is_token(),
            uses_left: it.uses_left,
            created_at: it.created_at,
            created_by: it.created_by.clone(),
            expires_at: it.expires_at,
            standing: it
                .standing(now)
                .map_or_else(|why| why.to_string(), |()| "valid".to_owned()),
        };
        let mut all: Vec<_> = self.all().into_iter().map(view).collect();
        all.sort_by_key(|it| (it.created_at, it.id));
        Credentials {
            schema_version: SCHEMA_VERSION,
            credentials: all,
            now_ms: now.as_ms(),
        }
    }

    /// Stores a credential, then lets it count here.
    pub(super) async fn keep(&self, state: &State, credential: Credential) -> Result<(), ApiError> {
        let kept = state.engine.keep_credential(credential.clone()).await;
        kept.map_err(ApiError::from)?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(credential.id, credential);
        Ok(())
    }
}

/// Refuses a token that would be good for nothing.
fn check(order: &CreateToken) -> Result<(), ApiError> {
    match order.role {
        Role::Worker if order.name.is_empty() => {}
        Role::Worker => {
            let name = order.name.parse::<WorkerName>();
            name.map_err(|error| ApiError::invalid(format!("--name: {error}")))?;
        }
        _ if order.name.is_empty() => {
            return Err(ApiError::invalid(
                "--name: a person's token needs the person's name: it owns what is submitted \
                 with it",
            ));
        }
        _ => check_owner(&order.name)
            .map_err(|error| ApiError::invalid(format!("--name: {error}")))?,
    }
    if order.uses.is_some() && order.role != Role::Worker {
        return Err(ApiError::invalid(
            "--uses: only a worker's token has uses: it is good for that many certificates",
        ));
    }
    if order.uses == Some(0) {
        return Err(ApiError::invalid("--uses: must be at least 1"));
    }
    Ok(())
}
