//! Stands before every service: finds out who calls, and lets only calls through
//! that the caller may make.

use std::sync::Arc;
use std::task::{Context, Poll};

use swath_model::access::Principal;
use tonic::Status;
use tonic::codegen::BoxFuture;
use tonic::codegen::http::{Request, Response};
use tower::{Layer, Service};

use super::super::incoming::Guest;
use super::super::state::State;
use super::{Caller, Peer, deed_of, denied};

/// Puts the guard before a service.
#[derive(Clone)]
pub(crate) struct Guard {
    state: Arc<State>,
}

impl Guard {
    pub(crate) const fn new(state: Arc<State>) -> Self {
        Self { state }
    }

    /// Who makes this call, if the caller may make it.
    fn admit<B>(&self, request: &Request<B>) -> Result<Caller, Status> {
        let access = &self.state.access;
        let now = self.state.now();
        let guest = request.extensions().get::<Guest>();
        let peer = guest.and_then(|guest| guest.peer.as_ref());
        let address = peer.map(Peer::address);
        let path = request.uri().path();
        let shown = request.headers().get("authorization");
        let shown = shown.and_then(|it| it.to_str().ok());
        let principal = access.principal(peer, shown, now)?;
        let caller = Caller { principal, address };
        let Some(deeds) = deed_of(path) else {
            return Err(Status::unimplemented("there is no such call"));
        };
        if deeds
            .iter()
            .any(|deed| caller.principal.reach(*deed).is_some())
        {
            return Ok(caller);
        }
        let why = denied(&caller.principal, deeds[0]).to_string();
        access.refused(now, &caller, path, &why);
        Err(match caller.principal {
            Principal::Anonymous => Status::unauthenticated(why),
            _ => Status::permission_denied(why),
        })
    }
}

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded {
            guard: self.clone(),
            inner,
        }
    }
}

/// A service with the guard before it.
#[derive(Clone)]
pub(crate) struct Guarded<S> {
    guard: Guard,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    R: Default + Send + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = BoxFuture<Response<R>, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match self.guard.admit(&request) {
            Ok(caller) => {
                request.extensions_mut().insert(caller);
                Box::pin(self.inner.call(request))
            }
            Err(status) => Box::pin(async move { Ok(status.into_http()) }),
        }
    }
}
