//! Files of programs that travel with sweeps: they come from the commands that
//! submit, and go to the workers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use swath_model::id::InputDigest;
use swath_model::message::InputFile;
use swath_model::program::{INPUT_PIECE_BYTES, INPUTS_BYTES_MAX, INPUTS_MAX};
use swath_model::view::SCHEMA_VERSION;
use swath_proto::v1;
use swath_store::Store;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::error::{ApiError, worker_status};
use super::state::State;
use crate::api::MissingInputs;

/// How many uploads are taken in at the same time; each has at most one file in
/// memory that is not kept yet, and some small ones.
pub(crate) const UPLOADS_AT_ONCE: usize = 2;

/// So many bytes of files are kept in one commit, and the rest of a large one.
const COMMIT_BYTES: u64 = 4 << 20;

/// Nor more than so many files.
const COMMIT_FILES: usize = 1000;

/// How long the next piece of an upload may take.
const PIECE_WAIT: Duration = Duration::from_secs(30);

/// Those of these files that are not kept.
pub(crate) async fn missing_inputs(
    store: &dyn Store,
    inputs: Vec<InputDigest>,
) -> Result<MissingInputs, ApiError> {
    if inputs.len() > INPUTS_MAX {
        let message = format!("{} files; at most {INPUTS_MAX}", inputs.len());
        return Err(ApiError::invalid(message));
    }
    let kept = store.kept(&inputs).await.map_err(ApiError::from)?;
    let kept: BTreeSet<InputDigest> = kept.into_iter().collect();
    let missing = inputs.into_iter().filter(|input| !kept.contains(input));
    Ok(MissingInputs {
        schema_version: SCHEMA_VERSION,
        inputs: missing.collect(),
    })
}

/// Takes in files; returns how many are new.
pub(crate) async fn upload(
    state: &State,
    mut stream: Streaming<v1::UploadRequest>,
) -> Result<u64, Status> {
    let _turn = state.uploads.acquire().await.map_err(ApiError::internal)?;
    let keep = async |files: Vec<InputFile>| {
        let kept = state.engine.keep_inputs(state.now(), files).await;
        kept.map_err(ApiError::from)
    };
    // A coordinator that does not lead says so before anything is sent in vain.
    let mut kept = keep(Vec::new()).await?;
    let mut incoming = Incoming::default();
    loop {
        let next = tokio::time::timeout(PIECE_WAIT, stream.message()).await;
        let next = next.map_err(|_| {
            let wait = PIECE_WAIT.as_secs();
            Status::deadline_exceeded(format!("no piece of a file came for {wait} s"))
        })?;
        let Some(piece) = next? else { break };
        incoming.take(&piece).map_err(Status::invalid_argument)?;
        if incoming.bytes >= COMMIT_BYTES || incoming.files.len() >= COMMIT_FILES {
            kept += keep(incoming.whole()).await?;
        }
    }
    kept += keep(incoming.whole()).await?;
    Ok(kept)
}

/// Files that are coming in.
#[derive(Default)]
struct Incoming {
    /// Whole files, and how many bytes they have.
    files: Vec<InputFile>,
    bytes: u64,
    /// How many files came so far.
    all: usize,
    open: Option<Open>,
}

/// A file that is not whole yet.
struct Open {
    digest: InputDigest,
    /// How many bytes are still to come.
    left: u64,
    hasher: blake3::Hasher,
    pieces: Vec<Vec<u8>>,
}

impl Incoming {
    fn take(&mut self, message: &v1::UploadRequest) -> Result<(), String> {
        let mut open = match self.open.take() {
            Some(open) if message.digest.is_empty() => open,
            Some(_) => return Err("a file begins before the last one has ended".to_owned()),
            None => {
                let digest = InputDigest::from_slice(&message.digest);
                Open {
                    digest: digest.ok_or("field `digest`: must have 32 bytes")?,
                    left: message.bytes,
                    hasher: blake3::Hasher::new(),
                    pieces: Vec::new(),
                }
            }
        };
        if open.left > INPUTS_BYTES_MAX {
            let most = INPUTS_BYTES_MAX >> 20;
            return Err(format!("a file of {} bytes; at most {most} MiB", open.left));
        }
        let bytes = message.content.len() as u64;
        let left = open.left.checked_sub(bytes);
        open.left = left.ok_or("a file is longer than its first piece says")?;
        open.hasher.update(&message.content);
        open.add(&message.content);
        if open.left > 0 {
            self.open = Some(open);
            return Ok(());
        }
        if open.hasher.finalize().as_bytes() != open.digest.as_bytes() {
            let digest = open.digest.short();
            return Err(format!("what came as the file {digest} is another one"));
        }
        let file = InputFile {
            digest: open.digest,
            pieces: open.pieces,
        };
        self.bytes += file.bytes();
        self.files.push(file);
        self.all += 1;
        if self.all > INPUTS_MAX {
            return Err(format!("more than {INPUTS_MAX} files, as no sweep has"));
        }
        Ok(())
    }

    /// The files that are whole.
    fn whole(&mut self) -> Vec<InputFile> {
        self.bytes = 0;
        std::mem::take(&mut self.files)
    }
}

impl Open {
    fn add(&mut self, mut content: &[u8]) {
        while !content.is_empty() {
            let last = self.pieces.last_mut();
            let Some(last) = last.filter(|piece| piece.len() < INPUT_PIECE_BYTES) else {
                self.pieces.push(Vec::new());
                continue;
            };
            let room = INPUT_PIECE_BYTES - last.len();
            let (first, rest) = content.split_at(room.min(content.len()));
            last.extend_from_slice(first);
            content = rest;
        }
    }
}

/// A file, piece by piece: one waits while another is sent.
pub(crate) type Pieces = ReceiverStream<Result<v1::FetchReply, Status>>;

/// Sends a file to a worker.
pub(crate) async fn fetch(state: &Arc<State>, digest: &[u8]) -> Result<Pieces, Status> {
    let digest = InputDigest::from_slice(digest)
        .ok_or_else(|| Status::invalid_argument("field `digest`: must have 32 bytes"))?;
    let kept = state.store.kept(&[digest]).await.map_err(worker_status)?;
    if kept.is_empty() {
        return Err(ApiError::not_found(format!("no such file {}", digest.short())).into());
    }
    let (replies, stream) = mpsc::channel(1);
    let store = Arc::clone(&state.store);
    tokio::spawn(async move {
        for place in 1.. {
            let reply = match store.piece(digest, place).await {
                Ok(None) => break,
                Ok(Some(content)) => Ok(v1::FetchReply { content }),
                Err(error) => Err(worker_status(error)),
            };
            let ends = reply.is_err();
            // A worker that is gone needs no more.
            if replies.send(reply).await.is_err() || ends {
                break;
            }
        }
    });
    Ok(ReceiverStream::new(stream))
}

#[cfg(test)]
mod tests {
    use swath_model::program::input_digest;

    use super::*;

    fn first(content: &[u8], bytes: usize, digest: InputDigest) -> v1::UploadRequest {
        v1::UploadRequest {
            digest: digest.as_bytes().to_vec(),
            bytes: bytes as u64,
            content: content.to_vec(),
        }
    }

    fn next(content: &[u8]) -> v1::UploadRequest {
        v1::UploadRequest {
            content: content.to_vec(),
            ..v1::UploadRequest::default()
        }
    }

    #[test]
    fn files_are_whole_however_they_were_cut() {
        let content: Vec<u8> = (0..2 * INPUT_PIECE_BYTES + 9).map(|at| at as u8).collect();
        for cut in [700_001, INPUT_PIECE_BYTES, content.len()] {
            let mut incoming = Incoming::default();
            let digest = input_digest(&content);
            let mut parts = content.chunks(cut);
            let begin = first(parts.next().unwrap(), content.len(), digest);
            incoming.take(&begin).unwrap();
            for part in parts {
                incoming.take(&next(part)).unwrap();
            }
            let empty = first(b"", 0, input_digest(b""));
            incoming.take(&empty).unwrap();
            assert_eq!(incoming.bytes, content.len() as u64);
            let wanted = [InputFile::new(&content), InputFile::new(b"")];
            assert_eq!(incoming.whole(), wanted);
            assert_eq!(incoming.whole(), []);
        }
    }

    #[test]
    fn what_is_not_as_it_says_is_refused() {
        let digest = input_digest(b"abc");
        let cases = [
            (vec![next(b"abc")], "field `digest`"),
            (vec![first(b"abcd", 3, digest)], "longer"),
            (vec![first(b"abd", 3, digest)], "is another one"),
            (vec![first(b"", 65 << 20, digest)], "at most 64 MiB"),
            (
                vec![first(b"a", 3, digest), first(b"abc", 3, digest)],
                "before the last one has ended",
            ),
        ];
        for (messages, wanted) in cases {
            let mut incoming = Incoming::default();
            let taken: Result<Vec<()>, String> =
                messages.iter().map(|it| incoming.take(it)).collect();
            let error = taken.unwrap_err();
            assert!(error.contains(wanted), "{error}");
            assert_eq!(incoming.whole(), []);
        }
    }
}
