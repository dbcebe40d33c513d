//! Sends the files that travel with a sweep, before it is submitted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use swath_coordinator::api::{MissingInputs, ReadQuery};
use swath_model::id::InputDigest;
use swath_model::program::{INPUT_PIECE_BYTES, INPUTS_BYTES_MAX, input_digest};
use swath_model::text;
use swath_proto::v1::UploadRequest;
use swath_report::counted;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::connection::Connection;
use super::failure::{Failure, Outcome};

/// What travels with a sweep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shipment {
    /// Each file once, and where it lies.
    pub(crate) files: BTreeMap<InputDigest, PathBuf>,
    /// How many files there are in a copy.
    pub(crate) count: u64,
    /// How many bytes these have.
    pub(crate) bytes: u64,
}

/// What travels with a sweep, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Shipped {
    /// How many files a copy has.
    pub(crate) files: u64,
    /// How many bytes.
    pub(crate) bytes: u64,
    /// How many files had to be sent.
    pub(crate) sent: u64,
}

impl Shipment {
    /// How much it is, for people: `3 files (12 KiB)`.
    pub(crate) fn size(&self) -> String {
        let files = counted(self.count, "file");
        format!("{files} ({})", text::bytes(self.bytes))
    }
}

impl Shipped {
    /// What was done, for people.
    pub(crate) fn sentence(&self) -> String {
        let files = counted(self.files, "file");
        let bytes = text::bytes(self.bytes);
        let sent = match self.sent {
            0 => "all of them were there already".to_owned(),
            sent => format!("{sent} sent now"),
        };
        format!("{files} ({bytes}) travel with it to the workers, {sent}")
    }
}

/// Sends what the coordinator does not have of the files that travel with a
/// sweep.
pub(crate) async fn ship(
    connection: &mut Connection,
    shipment: Option<&Shipment>,
) -> Outcome<Option<Shipped>> {
    let Some(shipment) = shipment else {
        return Ok(None);
    };
    let inputs = shipment.files.keys().copied().collect();
    let query = ReadQuery::MissingInputs { inputs };
    let missing: MissingInputs = connection.read(&query).await?;
    let files = missing.inputs.iter();
    let files = files.filter_map(|digest| Some((*digest, shipment.files.get(digest)?.clone())));
    let files: Vec<(InputDigest, PathBuf)> = files.collect();
    if !files.is_empty() {
        let changed = Arc::new(Mutex::new(None));
        let sent = {
            let changed = Arc::clone(&changed);
            connection.upload(move || stream(files.clone(), Arc::clone(&changed)))
        };
        let sent = sent.await;
        let changed = changed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match changed {
            Some(failure) => return Err(failure),
            None => sent?,
        }
    }
    Ok(Some(Shipped {
        files: shipment.count,
        bytes: shipment.bytes,
        sent: missing.inputs.len() as u64,
    }))
}

/// The pieces of files, one file after the other. It ends early, with a failure
/// in `changed`, at a file that is not the one that was digested.
fn stream(
    files: Vec<(InputDigest, PathBuf)>,
    changed: Arc<Mutex<Option<Failure>>>,
) -> ReceiverStream<UploadRequest> {
    let (pieces, stream) = mpsc::channel(1);
    tokio::task::spawn_blocking(move || {
        for (digest, path) in files {
            let content = match read(digest, &path) {
                Ok(content) => content,
                Err(failure) => {
                    *changed.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
                    return;
                }
            };
            for piece in cut(digest, &content) {
                if pieces.blocking_send(piece).is_err() {
                    return;
                }
            }
        }
    });
    ReceiverStream::new(stream)
}

fn read(digest: InputDigest, path: &Path) -> Outcome<Vec<u8>> {
    let shown = path.display();
    let content = swath_files::read(path, INPUTS_BYTES_MAX)
        .map_err(|error| Failure::error(format!("cannot read {shown}: {error}")))?;
    if input_digest(&content) != digest {
        let message = format!("{shown} has changed while the sweep was submitted");
        return Err(Failure::error(message).hint("submit it again when nobody edits its files"));
    }
    Ok(content)
}

fn cut(digest: InputDigest, content: &[u8]) -> impl Iterator<Item = UploadRequest> {
    let mut digest = Some(digest.as_bytes().to_vec());
    let bytes = content.len() as u64;
    let empty = content.is_empty().then_some(&[][..]);
    let pieces = content.chunks(INPUT_PIECE_BYTES).chain(empty);
    pieces.map(move |piece| {
        let digest = digest.take();
        UploadRequest {
            bytes: if digest.is_some() { bytes } else { 0 },
            digest: digest.unwrap_or_default(),
            content: piece.to_vec(),
        }
    })
}
