//! Checkpoints: files with everything that the rest of a training depends on.
//!
//! One checkpoint is two files: `checkpoint.<step>.safetensors` holds its
//! tensors, `checkpoint.<step>.json` the rest and the digest of the tensors.
//! Each is written under another name, synced and renamed, the JSON last: a
//! checkpoint exists once its JSON does.

mod folder;
mod hold;
mod identity;
mod sealed;

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use swath_model::outcome::Measurement;

pub(crate) use self::folder::{Begin, Folder, Mode, WEIGHTS};
pub(crate) use self::identity::Identity;
use crate::failure::Failure;
use crate::tensor_file::{self, TensorFile};
use crate::train::{Progress, State};
use crate::{files, process};

/// The largest JSON of a checkpoint, in bytes: it names all epochs.
const JSON_BYTES_MAX: u64 = 256 << 20;

/// What the JSON of a checkpoint holds.
#[derive(Serialize, Deserialize)]
struct Manifest {
    identity: Identity,
    /// Classes of the model, which the weights it started from may have set.
    classes: i64,
    /// Whether it began with weights from a file.
    given_weights: bool,
    progress: Progress,
    /// Digest of the tensor file.
    tensors: String,
}

/// What `finished.json` holds.
#[derive(Serialize, Deserialize)]
struct Ended {
    identity: Identity,
    measurement: Measurement,
}

/// The part of both that is read before the rest.
#[derive(Deserialize)]
struct Head {
    identity: Identity,
}

/// A checkpoint in memory.
pub(crate) struct Checkpoint {
    /// The state of the training.
    pub(crate) state: State,
    /// Classes of the model.
    pub(crate) classes: i64,
    /// Whether it began with weights from a file.
    pub(crate) given_weights: bool,
    /// Model of the CPU or GPU that it was written on.
    pub(crate) processor: String,
}

/// The content of a file.
enum Content<T> {
    /// Unchanged, and from a training of the same identity.
    Whole(T),
    /// Unchanged, but from another training, with these differences.
    Foreign(Vec<String>),
    /// Changed since it was written, for this reason.
    Damaged(String),
}

/// Opens a sealed file of a training of `own`.
fn open<T: for<'de> Deserialize<'de>>(path: &Path, own: &Identity) -> Content<T> {
    let bytes = match files::read(path, JSON_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(failure) => return Content::Damaged(failure.to_string()),
    };
    let Some(content) = sealed::open(&bytes) else {
        return Content::Damaged(format!(
            "{}: it is not as it was written (its digest differs)",
            path.display()
        ));
    };
    let parsed = serde_json::from_slice::<Value>(content)
        .and_then(|value| Ok((Head::deserialize(&value)?, value)));
    let (head, value) = match parsed {
        Ok(parsed) => parsed,
        // The seal is intact, so somebody wrote it in this form.
        Err(error) => return Content::Foreign(vec![another_version(&error)]),
    };
    let differences = own.differences(&head.identity);
    if !differences.is_empty() {
        return Content::Foreign(differences);
    }
    match T::deserialize(value) {
        Ok(content) => Content::Whole(content),
        Err(error) => Content::Foreign(vec![another_version(&error)]),
    }
}

fn another_version(error: &serde_json::Error) -> String {
    format!("another version of the trainer wrote it ({error})")
}

fn read_tensors(path: &Path, digest: &str) -> Result<TensorFile, String> {
    let bytes = files::read(path, process::memory()).map_err(|failure| failure.to_string())?;
    if blake3::hash(&bytes).to_hex().as_str() == digest {
        Ok(TensorFile::of(path, bytes))
    } else {
        Err(format!(
            "{}: it is not as it was written (its digest differs)",
            path.display()
        ))
    }
}

fn state(progress: Progress, file: &TensorFile) -> Result<State, Failure> {
    let parsed = file.parse()?;
    let tensors = parsed
        .names()
        .into_iter()
        .map(|name| Ok((name.to_owned(), file.tensor(&parsed, name)?)))
        .collect::<Result<Vec<_>, Failure>>()?;
    Ok(State { progress, tensors })
}

/// The bytes of the two files of a checkpoint: tensors, JSON.
fn encode(
    identity: &Identity,
    classes: i64,
    given_weights: bool,
    state: &State,
) -> Result<(Vec<u8>, Vec<u8>), Failure> {
    let tensors = tensor_file::encode(&state.tensors)?;
    let manifest = Manifest {
        identity: identity.clone(),
        classes,
        given_weights,
        progress: state.progress.clone(),
        tensors: blake3::hash(&tensors).to_hex().to_string(),
    };
    Ok((tensors, sealed_json(&manifest)?))
}

fn sealed_json(content: &impl Serialize) -> Result<Vec<u8>, Failure> {
    let json = serde_json::to_vec(content).map_err(|error| Failure::Crashed(error.to_string()))?;
    Ok(sealed::seal(&json))
}
