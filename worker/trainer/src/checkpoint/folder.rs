//! The directory of a training: its checkpoints, and whether it finished.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use swath_model::outcome::Measurement;

use super::hold::{hold, unusable};
use super::{Checkpoint, Content, Ended, Identity, Manifest, encode, open, read_tensors};
use super::{sealed_json, state};
use crate::failure::Failure;
use crate::train::State;
use crate::{files, output};

/// How many checkpoints are kept: the newest, and one in case that is damaged.
const KEPT: usize = 2;

/// The directory for checkpoints that cannot be used but must not be lost.
const ASIDE: &str = "checkpoint.aside";

const FINISHED: &str = "finished.json";

/// The file of the weights that a training ended with.
pub(crate) const WEIGHTS: &str = "weights.safetensors";

/// The directory for the results of an earlier training.
const RESULT_ASIDE: &str = "result.aside";

/// Files of a training that the next one does not write at all, or writes only
/// at its end.
const LATE: [&str; 3] = [WEIGHTS, "predictions.safetensors", "norms.jsonl"];

/// Files that a training writes from the beginning.
const EARLY: [&str; 2] = ["history.jsonl", "timing.jsonl"];

/// What a training does about earlier trainings in its directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Starts from step 0.
    Anew,
    /// Continues from its own newest checkpoint; a checkpoint of another
    /// training is an error.
    Resume,
    /// Continues from its own newest checkpoint; a checkpoint of another
    /// training is moved aside.
    Adopt,
}

/// How a training begins.
pub(crate) enum Begin {
    /// It begins at step 0.
    Fresh,
    /// It continues from a checkpoint.
    From(Box<Checkpoint>),
    /// It does not begin: it had finished with this measurement.
    Finished(Measurement),
}

/// A directory that one training at a time writes to.
pub(crate) struct Folder {
    path: PathBuf,
    /// Holds the lock; the kernel releases it with the process.
    lock: File,
    /// Whether this training created the directory.
    made: bool,
}

/// A training that never began leaves no directory behind.
impl Drop for Folder {
    fn drop(&mut self) {
        if self.made {
            self.remove_if_empty();
        }
    }
}

impl Folder {
    /// Makes and locks a directory.
    ///
    /// # Errors
    ///
    /// [`Failure::Crashed`] where it cannot be made, or another trainer keeps
    /// writing to it; [`Failure::Stopped`] where SIGTERM comes first.
    pub(crate) fn open(path: &Path, mode: Mode) -> Result<Self, Failure> {
        let made = !path.exists();
        fs::create_dir_all(path).map_err(|error| unusable(path, &error))?;
        let lock = hold(path, mode)?;
        files::remove_temporaries(path);
        let folder = Self {
            path: path.to_owned(),
            lock,
            made,
        };
        // Tensors whose JSON was never written.
        for step in folder.steps() {
            if !folder.file(step, "json").exists() {
                folder.remove(step);
            }
        }
        Ok(folder)
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// How the training `own` begins here. What it cannot use is moved aside;
    /// everything found and not used is reported.
    ///
    /// # Errors
    ///
    /// [`Failure::Invalid`] where it has to resume but the files here are
    /// another training's.
    pub(crate) fn begin(&self, own: &Identity, mode: Mode) -> Result<Begin, Failure> {
        if let Some(measurement) = self.finished(own, mode)? {
            return Ok(Begin::Finished(measurement));
        }
        let steps = self.steps();
        if mode == Mode::Anew {
            if let Some(step) = steps.last() {
                output::message(&format!(
                    "{} holds a checkpoint of step {step}, which `--resume` would have \
                     continued; it is in {ASIDE} now, and this training starts from step 0",
                    self.path.display()
                ));
            }
            self.move_aside(&steps)?;
            return Ok(Begin::Fresh);
        }
        let mut damaged = BTreeSet::new();
        for step in steps.iter().rev() {
            match self.read(*step, own) {
                Content::Whole(checkpoint) => {
                    self.move_aside(&damaged)?;
                    return Ok(Begin::From(Box::new(checkpoint)));
                }
                Content::Damaged(why) => {
                    output::message(&format!(
                        "the checkpoint of step {step} is damaged, so it is moved to {ASIDE}: {why}"
                    ));
                    damaged.insert(*step);
                }
                Content::Foreign(differences) => {
                    let what = another(&self.file(*step, "json"), &differences);
                    if mode == Mode::Resume {
                        return Err(refused(&what));
                    }
                    output::message(&format!("{what}; it is moved to {ASIDE}"));
                    break;
                }
            }
        }
        self.move_aside(&steps)?;
        if mode == Mode::Resume || !steps.is_empty() {
            output::message(&format!(
                "no checkpoint in {} can be resumed: starting from step 0",
                self.path.display()
            ));
        }
        Ok(Begin::Fresh)
    }

    /// Moves the results of an earlier training aside, so that nobody mistakes
    /// them for those of the training that begins here at step 0. Only the last
    /// such results are kept.
    ///
    /// # Errors
    ///
    /// [`Failure::Crashed`] where they cannot be moved.
    pub(crate) fn set_results_aside(&self) -> Result<(), Failure> {
        if !LATE.iter().any(|name| self.path.join(name).exists()) {
            return Ok(());
        }
        let aside = self.path.join(RESULT_ASIDE);
        let _ = fs::remove_dir_all(&aside);
        fs::create_dir_all(&aside)?;
        for name in LATE.iter().chain(&EARLY) {
            let from = self.path.join(name);
            if from.exists() {
                fs::rename(from, aside.join(name))?;
            }
        }
        output::message(&format!(
            "the results of an earlier training in {} are in {RESULT_ASIDE} now",
            self.path.display()
        ));
        Ok(())
    }

    fn finished(&self, own: &Identity, mode: Mode) -> Result<Option<Measurement>, Failure> {
        let path = self.path.join(FINISHED);
        if !path.exists() {
            return Ok(None);
        }
        if mode == Mode::Resume {
            match open::<Ended>(&path, own) {
                Content::Whole(ended) => return Ok(Some(ended.measurement)),
                Content::Foreign(differences) => {
                    return Err(refused(&another(&path, &differences)));
                }
                Content::Damaged(why) => output::message(&format!("skipped: {why}")),
            }
        }
        // Otherwise it would outlive what it describes.
        fs::remove_file(&path)?;
        Ok(None)
    }

    /// Writes a checkpoint, then removes those that it replaces.
    ///
    /// # Errors
    ///
    /// Where it cannot be written; the checkpoints before it are then
    /// untouched.
    pub(crate) fn write(
        &self,
        identity: &Identity,
        classes: i64,
        given_weights: bool,
        state: &State,
    ) -> Result<(), Failure> {
        let step = state.progress.step;
        let (tensors, json) = encode(identity, classes, given_weights, state)?;
        let tensor_file = self.file(step, "safetensors");
        let written = files::write_atomically(&tensor_file, &tensors)
            .and_then(|()| files::write_atomically(&self.file(step, "json"), &json));
        if written.is_err() && !self.file(step, "json").exists() {
            let _ = fs::remove_file(&tensor_file);
        }
        written?;
        let steps = self.steps();
        for old in steps.iter().rev().skip(KEPT) {
            self.remove(*old);
        }
        Ok(())
    }

    /// Notes that the training has ended, and removes its checkpoints unless
    /// they are to be kept.
    ///
    /// # Errors
    ///
    /// [`Failure::Crashed`] where the note cannot be written.
    pub(crate) fn finish(
        &self,
        identity: &Identity,
        measurement: &Measurement,
        keep: bool,
    ) -> Result<(), Failure> {
        let ended = Ended {
            identity: identity.clone(),
            measurement: measurement.clone(),
        };
        files::write_atomically(&self.path.join(FINISHED), &sealed_json(&ended)?)?;
        if !keep {
            for step in self.steps() {
                self.remove(step);
            }
        }
        Ok(())
    }

    /// Removes all checkpoints, and the directory if it has nothing else.
    pub(crate) fn clear(&self) {
        for step in self.steps() {
            self.remove(step);
        }
        let _ = fs::remove_dir_all(self.path.join(ASIDE));
        self.remove_if_empty();
    }

    /// Removes the directory where it is empty.
    pub(crate) fn remove_if_empty(&self) {
        let _ = fs::remove_dir(&self.path);
    }

    fn read(&self, step: u64, own: &Identity) -> Content<Checkpoint> {
        let path = self.file(step, "json");
        let manifest: Manifest = match open(&path, own) {
            Content::Whole(manifest) => manifest,
            Content::Foreign(differences) => return Content::Foreign(differences),
            Content::Damaged(why) => return Content::Damaged(why),
        };
        if manifest.progress.step != step {
            return Content::Damaged(format!(
                "{}: it is that of step {}",
                path.display(),
                manifest.progress.step
            ));
        }
        let tensors = read_tensors(&self.file(step, "safetensors"), &manifest.tensors);
        let read = tensors.and_then(|file| {
            state(manifest.progress, &file).map_err(|failure| failure.to_string())
        });
        match read {
            Err(why) => Content::Damaged(why),
            Ok(state) => Content::Whole(Checkpoint {
                state,
                classes: manifest.classes,
                given_weights: manifest.given_weights,
                processor: manifest.identity.processor,
            }),
        }
    }

    fn file(&self, step: u64, extension: &str) -> PathBuf {
        self.path.join(name(step, extension))
    }

    /// The steps for which there is a file.
    fn steps(&self) -> BTreeSet<u64> {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| {
                let name = entry.file_name();
                let rest = name.to_str()?.strip_prefix("checkpoint.")?;
                let (step, extension) = rest.split_once('.')?;
                let known = extension == "json" || extension == "safetensors";
                known.then(|| step.parse().ok()).flatten()
            })
            .collect()
    }

    /// Removes the JSON first: tensors without it are no checkpoint.
    fn remove(&self, step: u64) {
        for extension in ["json", "safetensors"] {
            let _ = fs::remove_file(self.file(step, extension));
        }
    }

    /// Moves checkpoints to a directory that keeps only those of the last such
    /// move.
    fn move_aside(&self, steps: &BTreeSet<u64>) -> Result<(), Failure> {
        if steps.is_empty() {
            return Ok(());
        }
        let aside = self.path.join(ASIDE);
        fs::create_dir_all(&aside)?;
        let aside = Self {
            path: aside,
            lock: self.lock.try_clone()?,
            made: false,
        };
        for old in aside.steps() {
            aside.remove(old);
        }
        for step in steps {
            for extension in ["json", "safetensors"] {
                let (from, to) = (self.file(*step, extension), aside.file(*step, extension));
                if from.exists() {
                    fs::rename(from, to)?;
                }
            }
        }
        Ok(())
    }
}

fn name(step: u64, extension: &str) -> String {
    format!("checkpoint.{step:08}.{extension}")
}

fn another(path: &Path, differences: &[String]) -> String {
    format!(
        "{} is of another training: {}",
        path.display(),
        differences.join("; ")
    )
}

fn refused(what: &str) -> Failure {
    Failure::Invalid(format!(
        "{what}. Resume with the settings that it was started with, give another --out, or leave out --resume \
         to start from step 0"
    ))
}
