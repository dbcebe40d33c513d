//! What attempts left in their directories: asked of their workers, or of others
//! that have the same directories, or read from the disk of this host. Nothing of
//! it is stored.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use swath_model::files::{
    Absent, AttemptFiles, FileOrder, FilesState, LISTING_BYTES_MAX, Listing, Part, directory_name,
};
use swath_model::id::{Attempt, WorkerName};
use swath_model::message::Held;
use swath_model::view::{AttemptView, JobDetail, SCHEMA_VERSION, WorkerView};
use swath_proto::refusal::Reason;
use swath_proto::{convert, v1};
use swath_store::StoreError;
use tokio::sync::mpsc;
use tonic::Status;

use super::error::ApiError;
use super::lines::Line;
use super::read::workers;
use super::select;
use super::state::State;
use crate::files::{Files, Left};

/// How long a worker may take to say whether an attempt left something, where that
/// is told beside other things.
const LISTED_WITHIN: Duration = Duration::from_secs(2);

/// How many parts of a file wait for the reader on their way.
pub(crate) const PARTS_WAITING: usize = 1;

/// The answer to [`crate::api::ReadQuery::Files`].
pub(crate) async fn files(
    state: &State,
    selector: &[String],
    attempt: Option<Attempt>,
) -> Result<Files, ApiError> {
    let job = select::job(&*state.store, selector).await?;
    let detail = state.store.job(job.digest).await.map_err(ApiError::from)?;
    let detail = detail.ok_or_else(|| ApiError::not_found("the job vanished"))?;
    let attempt = attempt.unwrap_or(detail.job.attempt);
    let found = match find(state, &detail, attempt).await? {
        Some(place) => Some(place.look(state).await?),
        None if attempt.0 == 0 => None,
        None => return Err(no_attempt(&detail, attempt)),
    };
    Ok(Files {
        schema_version: SCHEMA_VERSION,
        attempts: detail.attempts.iter().map(|it| it.attempt).collect(),
        job: detail.job,
        found,
        now_ms: state.now().as_ms(),
    })
}

fn no_attempt(detail: &JobDetail, attempt: Attempt) -> ApiError {
    let id = detail.job.digest.short();
    let there: Vec<String> = detail
        .attempts
        .iter()
        .map(|it| it.attempt.to_string())
        .collect();
    ApiError::not_found(format!(
        "job {id} has no attempt {attempt}; it has {}",
        there.join(", ")
    ))
}

/// Where the directory of an attempt is.
pub(crate) struct Place {
    held: Held,
    worker: WorkerName,
    /// The worker, as long as it is known.
    about: Option<WorkerView>,
    /// Connected workers that have their directories in the same place.
    others: Vec<WorkerName>,
}

/// Where the directory of an attempt is; none if there is no such attempt.
pub(crate) async fn find(
    state: &State,
    detail: &JobDetail,
    attempt: Attempt,
) -> Result<Option<Place>, ApiError> {
    let is_it = |it: &&AttemptView| it.attempt == attempt;
    let Some(view) = detail.attempts.iter().find(is_it) else {
        return Ok(None);
    };
    let all = workers(state).await?;
    let worker = view.worker.clone();
    let about = all.iter().find(|it| it.name == worker).cloned();
    let out = about.as_ref().and_then(|it| it.about.out.as_deref());
    let shows = |it: &&WorkerView| {
        let other = it.about.out.as_deref().zip(out);
        it.name != worker && !it.silent && other.is_some_and(|(own, out)| may_show(own, out))
    };
    Ok(Some(Place {
        held: Held {
            job: detail.job.digest,
            attempt,
        },
        others: all.iter().filter(shows).map(|it| it.name.clone()).collect(),
        worker,
        about,
    }))
}

/// Whether a worker that has its directories in `own` may show what is in `out`: beside
/// its own ones, or where older versions had those of all workers.
fn may_show(own: &str, out: &str) -> bool {
    let shared = Path::new(own).parent();
    let is_shared = |path: Option<&Path>| path.is_some() && path == shared;
    own == out || is_shared(Path::new(out).parent()) || is_shared(Some(Path::new(out)))
}

impl Place {
    /// Where the worker has its directories.
    fn out(&self) -> Option<&str> {
        self.about.as_ref()?.about.out.as_deref()
    }

    /// The directory on the worker's host.
    fn directory(&self) -> Option<String> {
        let out = self.out()?;
        Some(format!("{out}/{}", directory_name(&self.held)))
    }

    /// The directory with who has it, if that is known.
    pub(crate) fn left(&self) -> Option<Left> {
        Some(Left {
            attempt: self.held.attempt,
            worker: self.worker.clone(),
            host: self.about.as_ref()?.about.host.clone(),
            directory: self.directory()?,
        })
    }

    /// Whether the attempt is known to have left nothing, or nothing any more. Nobody
    /// waits long for that: where it cannot be said at once, it is not known.
    pub(crate) async fn is_empty(&self, state: &State) -> bool {
        let order = FileOrder {
            held: self.held,
            out: None,
            path: None,
            have: None,
        };
        if self.is_connected()
            && let Some(line) = state.lines.order(&self.worker, &order, false).await
        {
            let listed = listed(Source::Line(Box::new(line)));
            return match tokio::time::timeout(LISTED_WITHIN, listed).await {
                Ok(FilesState::Listed(listing)) => listing.files.is_empty(),
                Ok(FilesState::Absent(why)) => {
                    matches!(why, Absent::Nothing | Absent::Removed { .. })
                }
                Ok(FilesState::Away { .. }) | Err(_) => false,
            };
        }
        self.root_here()
            .is_some_and(|root| root.is_dir() && !root.join(directory_name(&self.held)).is_dir())
    }

    fn is_connected(&self) -> bool {
        self.about.as_ref().is_some_and(|it| !it.silent)
    }

    /// The directory of all attempts, if it is on the disk of this host with that
    /// of this attempt in it.
    fn here(&self) -> Option<PathBuf> {
        let root = self.root_here()?;
        let is_there = root.join(directory_name(&self.held)).is_dir();
        is_there.then_some(root)
    }

    /// The directory of all attempts, if the worker is on this host.
    fn root_here(&self) -> Option<PathBuf> {
        let about = &self.about.as_ref()?.about;
        let own = hostname::get().ok()?;
        let is_here = own.to_string_lossy() == *about.host;
        self.out().filter(|_| is_here).map(PathBuf::from)
    }

    /// Somebody who answers an order, and whether that is the worker or its disk, and
    /// not a worker that may have the same directories.
    async fn source(&self, state: &State, order: &FileOrder) -> Option<(Source, bool)> {
        let here = self.here();
        // The worker is asked first: it may read what this process may not, and
        // knows why something is gone.
        if self.is_connected()
            && let Some(line) = state.lines.order(&self.worker, order, here.is_none()).await
        {
            return Some((Source::Line(Box::new(line)), true));
        }
        if let Some(root) = here {
            return Some((Source::Disk(read(root, order.clone())), true));
        }
        let order = &FileOrder {
            out: self.out().map(str::to_owned),
            ..order.clone()
        };
        for worker in &self.others {
            if let Some(line) = state.lines.order(worker, order, true).await {
                return Some((Source::Line(Box::new(line)), false));
            }
        }
        None
    }

    /// What is in the directory.
    async fn look(&self, state: &State) -> Result<AttemptFiles, ApiError> {
        let order = FileOrder {
            held: self.held,
            out: None,
            path: None,
            have: None,
        };
        leads(state).await?;
        let connected = self.is_connected();
        let (found, is_own) = match self.source(state, &order).await {
            Some((source, is_own)) => (listed(source).await, is_own),
            None => (FilesState::Away { connected }, true),
        };
        // Another worker knows only what is on its own disk, which may have the same
        // path and be another one.
        let found = match found {
            FilesState::Absent(Absent::Nothing) if !is_own => FilesState::Away { connected },
            found => found,
        };
        let about = self.about.as_ref();
        Ok(AttemptFiles {
            attempt: self.held.attempt,
            worker: self.worker.clone(),
            host: about.map(|it| it.about.host.clone()).unwrap_or_default(),
            directory: self.directory(),
            seen_at: about.map(|it| it.seen_at),
            state: found,
        })
    }
}

/// Workers hold their lines to the coordinator that leads.
async fn leads(state: &State) -> Result<(), ApiError> {
    if state.engine.leads() {
        return Ok(());
    }
    let leader = state.store.leader().await.map_err(ApiError::from)?;
    Err(StoreError::NotLeader { leader }.into())
}

/// An answer, part by part.
enum Source {
    Line(Box<Line>),
    Disk(mpsc::Receiver<Part>),
}

impl Source {
    async fn part(&mut self) -> Option<Part> {
        match self {
            Self::Line(line) => line.part().await,
            Self::Disk(parts) => parts.recv().await,
        }
    }
}

/// Answers an order from the disk of this host.
fn read(root: PathBuf, order: FileOrder) -> mpsc::Receiver<Part> {
    let (parts, read) = mpsc::channel(PARTS_WAITING);
    tokio::task::spawn_blocking(move || {
        swath_files::answer(&root, &order, &mut |part| parts.blocking_send(part).is_ok());
    });
    read
}

async fn listed(mut source: Source) -> FilesState {
    let mut text = Vec::new();
    loop {
        match source.part().await {
            Some(Part::Begin { .. }) => {}
            Some(Part::Piece(piece)) if text.len() + piece.len() <= LISTING_BYTES_MAX => {
                text.extend(piece);
            }
            Some(Part::Digest(_)) => {
                return match serde_json::from_slice::<Listing>(&text) {
                    Ok(listing) => FilesState::Listed(listing),
                    Err(error) => unreadable(&error.to_string()),
                };
            }
            Some(Part::Absent(absent)) => return FilesState::Absent(absent),
            Some(Part::Piece(_)) => return unreadable("the list is too long"),
            // The worker went away in between.
            None => return FilesState::Away { connected: false },
        }
    }
}

fn unreadable(message: &str) -> FilesState {
    FilesState::Absent(Absent::Unreadable {
        message: message.to_owned(),
    })
}

/// Sends a file to a reader, as fast as the reader takes it.
pub(crate) async fn fetch(
    state: Arc<State>,
    order: FileOrder,
) -> Result<mpsc::Receiver<Result<v1::FetchFileReply, Status>>, ApiError> {
    leads(&state).await?;
    // Where it is, is not for the reader to say.
    let order = FileOrder { out: None, ..order };
    let Some(path) = order.path.clone() else {
        return Err(ApiError::invalid("the order names no file"));
    };
    let detail = state
        .store
        .job(order.held.job)
        .await
        .map_err(ApiError::from)?;
    let detail = detail.ok_or_else(|| ApiError::not_found("no such job"))?;
    let attempt = order.held.attempt;
    let place = find(&state, &detail, attempt).await?;
    let place = place.ok_or_else(|| no_attempt(&detail, attempt))?;
    let Some((mut source, is_own)) = place.source(&state, &order).await else {
        let worker = &place.worker;
        return Err(ApiError::WorkerAway(format!(
            "worker `{worker}`, which has `{path}`, is not connected any more"
        )));
    };
    let (replies, stream) = mpsc::channel(PARTS_WAITING);
    tokio::spawn(async move {
        loop {
            let (reply, is_last) = match source.part().await {
                None => {
                    let worker = &place.worker;
                    let why = format!("worker `{worker}` broke off in the middle of `{path}`");
                    (Err(Reason::WorkerAway.status(why)), true)
                }
                Some(part) => {
                    let is_last = matches!(part, Part::Digest(_) | Part::Absent(_));
                    let reply = convert::fetch_reply(part);
                    let told = |why: Absent| match why {
                        Absent::Nothing if !is_own => {
                            let worker = &place.worker;
                            let why = format!("worker `{worker}`, which has it, is away");
                            Reason::WorkerAway.status(format!("`{path}`: {why}"))
                        }
                        why => Reason::NotFound.status(format!("`{path}`: {why}")),
                    };
                    (reply.map_err(told), is_last)
                }
            };
            if replies.send(reply).await.is_err() || is_last {
                return;
            }
        }
    });
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_may_show_what_is_beside_its_own() {
        for (out, may) in [
            ("/nfs/out/b.2", true),
            ("/nfs/out/a.1", true),
            ("/nfs/out", true),
            ("/nfs", false),
            ("/nfs/other/b.2", false),
            ("/nfs/out/b.2/c", false),
            ("/", false),
        ] {
            assert_eq!(may_show("/nfs/out/a.1", out), may, "{out}");
        }
    }
}
