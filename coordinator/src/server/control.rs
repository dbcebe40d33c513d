//! The handlers for commands: decode, call, encode.

use std::sync::Arc;
use std::time::Duration;

use swath_model::access::Deed;
use swath_model::id::SweepDigest;
use swath_model::view::SweepView;
use swath_proto::convert::{self, sources};
use swath_proto::v1;
use swath_proto::v1::control_server::Control;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::access::Caller;
use super::change::change;
use super::error::ApiError;
use super::files::fetch;
use super::follow::Following;
use super::inputs::upload;
use super::read::read;
use super::select;
use super::state::State;
use super::submit::{built, overlaps};
use crate::api::{Before, ChangeOrder};

pub(crate) struct ControlService {
    pub(crate) state: Arc<State>,
    /// Ends the streams, so that a shutdown does not wait for watchers.
    pub(crate) stop: CancellationToken,
}

type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Control for ControlService {
    async fn submit(&self, request: Request<v1::SubmitRequest>) -> Reply<v1::SubmitReply> {
        let caller = Caller::of(&request);
        let whose = caller.may(Deed::Submit)?;
        let message = request.into_inner();
        let asked = message.priority;
        let (owner, tags) = convert::said_of(&message)?;
        // Whoever is known owns what they submit, whatever the message says.
        let owner = caller.principal.person().map_or(owner, str::to_owned);
        let sources = sources(message)?;
        let mut submission = built(&self.state, sources).await?;
        (submission.owner, submission.tags) = (owner, tags);
        let state = &self.state;
        let digest = submission.digest;
        let cells = submission.cells.len() as u64;
        let sweeps = state.store.sweeps().await.map_err(ApiError::from)?;
        let known = sweeps.iter().find(|sweep| sweep.digest == digest);
        if let Some(known) = known {
            whose.check_again(known, &submission, asked)?;
        }
        let what = format!("sweep `{}`, {}", submission.name, digest.short());
        let now = state.now();
        state.access.asked(now, &caller, "Submit", what).await?;
        // A priority that is not named, and a name that was changed, stay.
        submission.priority = asked.unwrap_or(known.map_or(0, |sweep| sweep.priority));
        let name = known.map_or(&submission.name, |sweep| &sweep.name).clone();
        let before = select::named(&name, &sweeps);
        let overlaps = overlaps(state, &submission, &sweeps).await;
        let overlaps = overlaps.iter().flat_map(serde_json::to_string);
        let submitted = state
            .engine
            .submit(state.now(), submission)
            .await
            .map_err(ApiError::from)?;
        tracing::info!(
            sweep = %digest.short(),
            name,
            jobs = submitted.jobs,
            new = submitted.new_jobs,
            existed = submitted.existed,
            "sweep submitted"
        );
        // The sweep is submitted, whatever comes of this question.
        let lack = state.engine.lacking(digest).await.ok().flatten();
        let lack = lack.and_then(|lack| serde_json::to_string(&lack).ok());
        let before = match before.filter(|before| before.digest != digest) {
            Some(before) => Some(took_over(state, before, digest).await),
            None => None,
        };
        Ok(Response::new(v1::SubmitReply {
            sweep: digest.as_bytes().to_vec(),
            name,
            existed: submitted.existed,
            revived: submitted.revived,
            cells,
            jobs: submitted.jobs,
            new_jobs: submitted.new_jobs,
            succeeded: submitted.succeeded,
            lack,
            version: submitted.version,
            before: before.and_then(|before| serde_json::to_string(&before).ok()),
            overlaps: overlaps.collect(),
        }))
    }

    async fn read(&self, request: Request<v1::ReadRequest>) -> Reply<v1::ReadReply> {
        let caller = Caller::of(&request);
        let query = serde_json::from_str(&request.into_inner().query)
            .map_err(|error| ApiError::invalid(format!("field `query`: {error}")))?;
        let document = read(&self.state, &caller, query).await;
        let document = document.inspect_err(|error| self.note(&caller, "Read", error))?;
        Ok(Response::new(v1::ReadReply { document }))
    }

    async fn change(&self, request: Request<v1::ChangeRequest>) -> Reply<v1::ChangeReply> {
        let caller = Caller::of(&request);
        let text = request.into_inner().order;
        let order: ChangeOrder = serde_json::from_str(&text)
            .map_err(|error| ApiError::invalid(format!("field `order`: {error}")))?;
        let state = &self.state;
        let told = caller.may(order.deed()).map(drop);
        told.inspect_err(|error| self.note(&caller, &text, error))?;
        state
            .access
            .asked(state.now(), &caller, "Change", text.clone())
            .await?;
        let changed = change(state, &caller, order).await;
        let changed = changed.inspect_err(|error| self.note(&caller, &text, error))?;
        let document = serde_json::to_string(&changed).map_err(ApiError::internal)?;
        Ok(Response::new(v1::ChangeReply { document }))
    }

    async fn upload(
        &self,
        request: Request<Streaming<v1::UploadRequest>>,
    ) -> Reply<v1::UploadReply> {
        let files = upload(&self.state, request.into_inner()).await?;
        let files = files as u32;
        Ok(Response::new(v1::UploadReply { files }))
    }

    type WatchStream = ReceiverStream<Result<v1::WatchReply, Status>>;

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Reply<Self::WatchStream> {
        let asked = request.into_inner();
        let interval = Duration::from_millis(u64::from(asked.min_interval_ms));
        let (replies, stream) = tokio::sync::mpsc::channel(1);
        let following = Following::new(Arc::clone(&self.state), asked.after, interval);
        let stop = self.stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = replies.closed() => {}
                () = following.send(&replies) => {}
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    type FetchFileStream = ReceiverStream<Result<v1::FetchFileReply, Status>>;

    async fn fetch_file(
        &self,
        request: Request<v1::FetchFileRequest>,
    ) -> Reply<Self::FetchFileStream> {
        let order = request.into_inner().order;
        let order = order.ok_or_else(|| Status::invalid_argument("field `order`: is missing"))?;
        let order = convert::file_order(order)?;
        let stream = fetch(Arc::clone(&self.state), order).await?;
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

impl ControlService {
    /// Notes a call that was refused for who makes it.
    fn note(&self, caller: &Caller, call: &str, error: &ApiError) {
        if let ApiError::Denied(why) = error {
            let state = &self.state;
            state.access.refused(state.now(), caller, call, why);
        }
    }
}

/// The sweep whose name means sweep `now` from now on. The submit has succeeded,
/// whatever comes of the question what goes on.
async fn took_over(state: &State, before: &SweepView, now: SweepDigest) -> Before {
    let open_jobs = state.engine.open_beside(before.digest, now).await;
    Before {
        digest: before.digest,
        version: before.version,
        owner: before.label.owner.clone(),
        open_jobs: open_jobs.unwrap_or(0),
    }
}
