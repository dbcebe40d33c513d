//! From the files of a data set to its pixels: decoded, or mapped from the copy
//! that an earlier decoding left.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::checksum::SUMS;
use super::cifar::{self, Cifar};
use super::decoded::{self, DecodedCopy, Seal};
use super::folder::Folder;
use super::lock::Lock;
use super::{
    Facts, OwnData, Places, RawDataset, Reach, Source, Stamp, checked, digits, idx, named, tensors,
};
use crate::failure::Failure;
use crate::output;

/// How long another process may take to decode what this one needs too.
const PATIENCE: Duration = Duration::from_mins(10);

/// A data set that can be put on a device.
pub(crate) enum Opened {
    /// In the memory of this process.
    Decoded(RawDataset),
    /// Mapped, and shared with other processes.
    Shared(DecodedCopy),
}

impl Opened {
    /// The facts about it.
    pub(crate) fn facts(&self) -> &Facts {
        match self {
            Self::Decoded(raw) => &raw.facts,
            Self::Shared(copy) => &copy.facts,
        }
    }

    /// What shows whether a copy was changed since it was opened; none where it lies
    /// in the memory of this process.
    pub(crate) fn seal(&self) -> Option<Seal> {
        match self {
            Self::Decoded(_) => None,
            Self::Shared(copy) => Some(copy.seal()),
        }
    }

    pub(super) fn facts_mut(&mut self) -> &mut Facts {
        match self {
            Self::Decoded(raw) => &mut raw.facts,
            Self::Shared(copy) => &mut copy.facts,
        }
    }
}

/// A data set whose files are known, but not read.
pub(super) struct Found<'a> {
    source: &'a Source,
    files: Files<'a>,
    reach: &'a Reach,
}

enum Files<'a> {
    Digits,
    Idx(&'static str, Vec<PathBuf>),
    Cifar(&'static Cifar, Vec<PathBuf>),
    Tensors(&'a OwnData),
    Folder(&'a OwnData, Folder),
}

impl<'a> Found<'a> {
    /// Finds the files of `source`, or fetches them.
    ///
    /// # Errors
    ///
    /// [`Failure::Invalid`] with the remedy where they cannot be found.
    pub(super) fn find(source: &'a Source, places: &'a Places) -> Result<Self, Failure> {
        let idx = |name| idx::find(name, places).map(|files| Files::Idx(name, files));
        let cifar = |set| cifar::find(set, places).map(|files| Files::Cifar(set, files));
        let files = match source {
            Source::Digits => Files::Digits,
            Source::Mnist => idx("mnist")?,
            Source::FashionMnist => idx("fashion_mnist")?,
            Source::Kmnist => idx("kmnist")?,
            Source::Cifar10 => cifar(&cifar::CIFAR10)?,
            Source::Cifar100 => cifar(&cifar::CIFAR100)?,
            Source::Tensors(own) => {
                // Also where a copy will do.
                tensors::opened(own, &places.reach)?;
                Files::Tensors(own)
            }
            Source::Folder(own) => Files::Folder(own, Folder::list(own, &places.reach)?),
        };
        let reach = &places.reach;
        Ok(Self {
            source,
            files,
            reach,
        })
    }

    /// Maps the copy in `directory`, or decodes the files and writes one.
    ///
    /// # Errors
    ///
    /// [`Failure::Invalid`] where a file is bad.
    pub(super) fn open(&self, directory: &Path) -> Result<Opened, Failure> {
        self.open_worth(directory, decoded::WORTH)
    }

    /// Like [`Found::open`], but makes a copy only of sets of at least so many
    /// bytes.
    fn open_worth(&self, directory: &Path, worth: u64) -> Result<Opened, Failure> {
        let Some((path, stamp)) = self.copy(directory, worth) else {
            return self.decode().map(Opened::Decoded);
        };
        let look = || match DecodedCopy::open(&path, &stamp) {
            Ok(copy) => copy,
            Err(what) => {
                let path = path.display();
                output::message(&format!("{path}: {what}; decoding the files again"));
                None
            }
        };
        if let Some(copy) = look() {
            return Ok(Opened::Shared(copy));
        }
        let waiting = "another trainer decodes the same data set; waiting for its copy";
        let lock = Lock::take(&path.with_extension("lock"), waiting, PATIENCE)?;
        if lock.is_held() {
            decoded::clean(&path);
        }
        if path.exists()
            && let Ok(Some(copy)) = DecodedCopy::open(&path, &stamp)
        {
            return Ok(Opened::Shared(copy));
        }
        let raw = self.decode()?;
        let bytes = raw.train.images.len() + raw.test.images.len();
        if (bytes as u64) < worth || !decoded::settled(&stamp) {
            return Ok(Opened::Decoded(raw));
        }
        if let Err(failure) = decoded::write(&path, &stamp, &raw) {
            output::message(&format!(
                "no decoded copy to share with other trainers, each holds its own: {failure}"
            ));
            return Ok(Opened::Decoded(raw));
        }
        match DecodedCopy::open(&path, &stamp) {
            Ok(Some(copy)) => Ok(Opened::Shared(copy)),
            _ => Ok(Opened::Decoded(raw)),
        }
    }

    /// Reads the files.
    fn decode(&self) -> Result<RawDataset, Failure> {
        let (train, test) = match &self.files {
            Files::Digits => digits::load()?,
            Files::Idx(name, paths) => idx::decode(name, paths, self.reach)?,
            Files::Cifar(set, paths) => cifar::decode(set, paths, self.reach)?,
            Files::Tensors(own) => return tensors::load(own, self.reach),
            Files::Folder(own, folder) => return folder.load(own),
        };
        let mut facts = named(self.source)
            .ok_or_else(|| Failure::invalid("`dataset.name`: no facts for this data set"))?;
        facts.train_images = train.labels.len() as u64;
        checked(&facts, &train, "train")?;
        checked(&facts, &test, "test")?;
        Ok(RawDataset { facts, train, test })
    }

    /// The path of a copy of these files, and the stamp that it must have; none
    /// where a copy is not worthwhile, or where a file cannot be examined.
    fn copy(&self, directory: &Path, worth: u64) -> Option<(PathBuf, Stamp)> {
        let (name, paths, identity) = match &self.files {
            Files::Digits => return None,
            Files::Idx(name, paths) => (*name, with_sums(paths), paths[0].clone()),
            Files::Cifar(set, paths) => (set.name, with_sums(paths), paths[0].clone()),
            Files::Tensors(own) => {
                let path = PathBuf::from(&own.path);
                ("tensors", vec![path.clone()], path)
            }
            Files::Folder(own, folder) => {
                let files = folder.items().map(|item| (&*item.path, &item.metadata));
                let stamp = Stamp::of(files);
                let size = own.size.map(|size| [size.height(), size.width()]);
                let path = std::path::absolute(&own.path).ok()?;
                let identity = format!("{}\n{size:?}\n{:?}", path.display(), own.channels);
                let path = decoded::path(directory, "folder", identity.as_bytes());
                return Some((path, stamp));
            }
        };
        let metadata: Vec<Metadata> = paths
            .iter()
            .map(std::fs::metadata)
            .collect::<Result<_, _>>()
            .ok()?;
        if name == "tensors" && metadata[0].len() < worth {
            return None;
        }
        let stamp = Stamp::of(paths.iter().map(PathBuf::as_path).zip(&metadata));
        let identity = std::path::absolute(identity).ok()?;
        let path = decoded::path(directory, name, identity.as_os_str().as_encoded_bytes());
        Some((path, stamp))
    }
}

/// The files, together with those that give their sums: new sums are a reason
/// to check again.
fn with_sums(paths: &[PathBuf]) -> Vec<PathBuf> {
    let directories = paths[0].ancestors().skip(1).take(2);
    let sums = directories.map(|directory| directory.join(SUMS));
    let sums = sums.filter(|path| path.is_file());
    paths.iter().cloned().chain(sums).collect()
}

#[cfg(test)]
mod tests;
