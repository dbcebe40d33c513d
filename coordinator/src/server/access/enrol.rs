//! Workers get certificates.

use std::sync::Arc;
use std::time::Duration;

use swath_model::access::{Credential, CredentialId, Deed, Principal, Role};
use swath_model::id::WorkerName;
use swath_model::time::Timestamp;
use swath_model::view::SCHEMA_VERSION;
use swath_proto::v1;
use swath_proto::v1::admission_server::Admission;
use tonic::{Request, Response, Status};

use super::super::error::ApiError;
use super::super::state::State;
use super::{Access, Caller};
use crate::api::Myself;
use crate::identity::{Holder, WORKER_LIFE};

pub(crate) struct AdmissionService {
    pub(crate) state: Arc<State>,
}

#[tonic::async_trait]
impl Admission for AdmissionService {
    async fn enrol(
        &self,
        request: Request<v1::EnrolRequest>,
    ) -> Result<Response<v1::EnrolReply>, Status> {
        let caller = Caller::of(&request);
        let message = request.into_inner();
        let worker: WorkerName = message
            .worker
            .parse()
            .map_err(|error| ApiError::invalid(format!("field `worker`: {error}")))?;
        let access = &self.state.access;
        let chain = access.enrol(&self.state, &caller, worker, &message.request);
        let chain = chain.await.inspect_err(|error| {
            let now = self.state.now();
            access.refused(
                now,
                &caller,
                "/swath.v1.Admission/Enrol",
                &error.to_string(),
            );
        })?;
        Ok(Response::new(v1::EnrolReply {
            chain,
            life_ms: WORKER_LIFE.as_millis() as u64,
        }))
    }

    async fn who_am_i(
        &self,
        request: Request<v1::WhoAmIRequest>,
    ) -> Result<Response<v1::WhoAmIReply>, Status> {
        let principal = Caller::of(&request).principal;
        let (name, role) = match &principal {
            Principal::Person { name, role } => (name.clone(), Some(*role)),
            Principal::Worker(name) => (name.to_string(), Some(Role::Worker)),
            Principal::Newcomer { name, .. } => (
                name.as_ref().map(ToString::to_string).unwrap_or_default(),
                Some(Role::Worker),
            ),
            Principal::Local | Principal::Anonymous => (String::new(), None),
        };
        let myself = Myself {
            schema_version: SCHEMA_VERSION,
            name,
            role,
            told: principal.to_string(),
        };
        let document = serde_json::to_string(&myself).map_err(ApiError::internal)?;
        Ok(Response::new(v1::WhoAmIReply { document }))
    }
}

impl Access {
    /// Signs the key of a worker's request, and uses its token once.
    async fn enrol(
        &self,
        state: &State,
        caller: &Caller,
        worker: WorkerName,
        request: &[u8],
    ) -> Result<Vec<Vec<u8>>, ApiError> {
        caller.may(Deed::Enrol)?;
        let identity = self.identity().ok_or_else(|| {
            ApiError::conflict(
                "this coordinator needs no certificates: only its machine reaches it",
            )
        })?;
        let _turn = self.turn.lock().await;
        let now = state.now();
        let id = CredentialId::of_worker(&worker);
        let before = self.get(id);
        match &caller.principal {
            Principal::Worker(name) if *name == worker => {}
            Principal::Newcomer { token, name } => {
                check_name(name.as_ref(), &worker, before.as_ref(), now)?;
                self.use_token(state, *token).await?;
            }
            other => {
                return Err(ApiError::Denied(format!(
                    "{other} may not get a certificate for worker `{worker}`"
                )));
            }
        }
        let holder = Holder {
            worker: worker.clone(),
            // Above any revocation, also one of this millisecond.
            issued_at: match before.as_ref().and_then(|it| it.revoked_at) {
                Some(at) if at >= now => at + Duration::from_millis(1),
                _ => now,
            },
        };
        let chain = identity.sign(request, &holder).map_err(ApiError::invalid)?;
        let what = format!("certificate for worker {worker}");
        self.asked(now, caller, "/swath.v1.Admission/Enrol", what)
            .await?;
        let credential = Credential {
            id,
            role: Role::Worker,
            holder: worker.to_string(),
            secret: None,
            uses_left: None,
            created_at: holder.issued_at,
            created_by: caller.principal.to_string(),
            expires_at: Some(now + WORKER_LIFE),
            revoked_at: before.and_then(|it| it.revoked_at),
        };
        self.keep(state, credential).await?;
        Ok(chain)
    }

    /// Uses a token once more, unless somebody else has used it up meanwhile.
    async fn use_token(&self, state: &State, token: CredentialId) -> Result<(), ApiError> {
        let known = self.get(token);
        let known = known.ok_or_else(|| ApiError::Denied("the token is gone".to_owned()))?;
        let standing = known.standing(state.now());
        standing
            .map_err(|why| ApiError::Denied(format!("the token {token} is not taken: {why}")))?;
        let Some(left) = known.uses_left else {
            return Ok(());
        };
        let used = Credential {
            uses_left: Some(left.saturating_sub(1)),
            ..known
        };
        self.keep(state, used).await
    }
}

/// Whether a token is good for a certificate of this name. A name that a worker has
/// is free for others only with a token that an admin has made for it.
fn check_name(
    bound: Option<&WorkerName>,
    worker: &WorkerName,
    before: Option<&Credential>,
    now: Timestamp,
) -> Result<(), ApiError> {
    match bound {
        Some(name) if name == worker => Ok(()),
        Some(name) => Err(ApiError::Denied(format!(
            "this token is good for worker `{name}` only, not for `{worker}`"
        ))),
        None if before.is_some_and(|it| it.standing(now).is_ok()) => {
            Err(ApiError::Denied(format!(
                "there is a worker `{worker}` already, and its certificate is good; choose another \
             --name, or ask an admin for a token for this one: `coordinator token create --role \
             worker --name {worker}`"
            )))
        }
        None if before.is_some_and(|it| it.revoked_at.is_some() && it.standing(now).is_err()) => {
            Err(ApiError::Denied(format!(
                "worker `{worker}` was revoked; only a token that is made for it brings it back: \
                 `coordinator token create --role worker --name {worker}`"
            )))
        }
        None => Ok(()),
    }
}
