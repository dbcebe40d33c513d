//! The calls of a connection. What waits for something (a job, an event, an
//! order) may wait as long as it likes, but keeps nobody from being heard:
//! heartbeats never queue, whatever else is open on their connection.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body as HttpBody, Frame, SizeHint};
use swath_proto::limits;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{BoxFuture, Bytes, Service};
use tonic::service::Routes;
use tonic::{Code, Status};

use super::incoming::Guest;

/// How many calls of a connection may be open besides those that are answered
/// at once.
const OPEN_MAX: usize = limits::STREAMS_PER_CONNECTION as usize - limits::STREAMS_KEPT;

/// What a connection is used for.
#[derive(Debug)]
pub(crate) struct Calling {
    open: AtomicUsize,
    /// When its last call ended, or it was heard of for the first time.
    last: Mutex<Instant>,
    /// A permit for each call that may work at once.
    work: Arc<Semaphore>,
}

impl Default for Calling {
    fn default() -> Self {
        Self {
            open: AtomicUsize::default(),
            last: Mutex::new(Instant::now()),
            work: Arc::new(Semaphore::new(limits::CONCURRENCY_PER_CONNECTION)),
        }
    }
}

impl Calling {
    /// Takes note of a call, until what is returned is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> Open {
        let beside = self.open.fetch_add(1, Ordering::Relaxed);
        Open {
            calling: Arc::clone(self),
            beside,
            work: None,
        }
    }

    /// It has been heard of now.
    pub(crate) fn touch(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Whether it has had no call for that long.
    pub(crate) fn is_idle_for(&self, time: Duration) -> bool {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        self.open.load(Ordering::Relaxed) == 0 && last.elapsed() >= time
    }
}

/// A call that is open.
#[derive(Debug)]
pub(crate) struct Open {
    calling: Arc<Calling>,
    /// How many others were open when it began.
    beside: usize,
    /// Held as long as it is open.
    work: Option<OwnedSemaphorePermit>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.calling.touch();
        self.calling.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a call costs its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It is answered at once, and a worker is lost if it is not.
    Beat,
    /// It waits for others most of its time.
    Wait,
    /// It reads or writes something.
    Work,
}

impl Kind {
    fn of(path: &str) -> Self {
        match path.rsplit('/').next() {
            Some("Heartbeat" | "Hello" | "Goodbye" | "Release" | "Check") => Self::Beat,
            Some("Exchange" | "Serve" | "Watch" | "FetchFile") => Self::Wait,
            _ => Self::Work,
        }
    }
}

/// All services, called in such an order that nobody starves.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    routes: Routes,
}

impl Calls {
    pub(crate) fn new(routes: Routes) -> Self {
        Self {
            routes: routes.prepare(),
        }
    }
}

/// Begins a call of a connection as soon as it may work.
async fn begun(calling: &Arc<Calling>, kind: Kind) -> Result<Open, Status> {
    let mut open = calling.begin();
    if kind != Kind::Beat && open.beside >= OPEN_MAX {
        let why = "too many calls are open on this connection; open another one";
        return Err(Status::new(Code::ResourceExhausted, why));
    }
    if kind == Kind::Work {
        // The semaphore is never closed.
        open.work = Arc::clone(&calling.work).acquire_owned().await.ok();
    }
    Ok(open)
}

impl Service<Request<Body>> for Calls {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Response<Body>, Infallible>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Body>>::poll_ready(&mut self.routes, cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let mut routes = self.routes.clone();
        let guest = request.extensions().get::<Guest>().cloned();
        Box::pin(async move {
            let kind = Kind::of(request.uri().path());
            let open = match &guest {
                Some(guest) => match begun(&guest.calling, kind).await {
                    Ok(open) => Some(open),
                    Err(refused) => {
                        tracing::debug!(peer = %guest.address, "refused a call: too many are open");
                        return Ok(refused.into_http());
                    }
                },
                None => None,
            };
            let response = routes.call(request).await?;
            Ok(response.map(|body| Body::new(Answer { body, _open: open })))
        })
    }
}

/// The body of an answer, until whose end its call is open.
struct Answer {
    body: Body,
    _open: Option<Open>,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
