//! `folder`: a user's own images, one directory per class.

mod counts;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use swath_model::spec::OwnData;

use super::parallel::in_parallel;
use super::picture::{self, Head, Shape};
use super::{Facts, RawDataset, Reach, Split, own};
use crate::failure::Failure;
use crate::output;

/// The endings of image files, in upper or lower case.
const ENDINGS: [&str; 3] = ["png", "jpg", "jpeg"];

/// Files that systems leave in every directory.
const LITTER: [&str; 2] = ["thumbs.db", "desktop.ini"];

/// The most files of a folder, in all of its directories.
const FILES_MAX: usize = 1 << 22;

/// One image file.
#[derive(Debug)]
pub(super) struct Item {
    /// The image's path.
    pub(super) path: PathBuf,
    /// Its class, as an index into the classes.
    class: usize,
    /// What the file system says about it.
    pub(super) metadata: Metadata,
}

/// The files of a folder, none of them opened yet.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    /// Names of the classes: those of the directories under `train`, sorted.
    classes: Vec<OsString>,
    /// The files of the training set, sorted by class, then by name.
    train: Vec<Item>,
    test: Vec<Item>,
    warnings: Vec<String>,
    /// What may be read of it.
    reach: Reach,
}

impl Folder {
    /// Lists the folder that `own.path` names.
    ///
    /// # Errors
    ///
    /// [`Failure::Lacks`] with the directory or file and the remedy: out of
    /// `reach`, no training or test set, a class without training images, a test
    /// class that is not trained.
    pub(super) fn list(own: &OwnData, reach: &Reach) -> Result<Self, Failure> {
        let root = PathBuf::from(&own.path);
        if !root.is_dir() {
            return Err(own::missing(&root, "is no directory"));
        }
        reach
            .directory(&root)
            .map_err(|failure| failure.under("dataset.path"))?;
        let mut folder = Self {
            classes: class_names(&root, "train", reach, &mut Vec::new())?,
            root,
            train: Vec::new(),
            test: Vec::new(),
            warnings: Vec::new(),
            reach: reach.clone(),
        };
        folder.train = folder.split("train")?;
        folder.test = folder.split("test")?;
        let trained: BTreeSet<usize> = folder.train.iter().map(|item| item.class).collect();
        match (0..folder.classes.len()).find(|class| !trained.contains(class)) {
            Some(class) => {
                let directory = folder.root.join("train").join(&folder.classes[class]);
                Err(Failure::Lacks(format!(
                    "the class directory {} holds no image (.png, .jpg, .jpeg); add some, or \
                     remove it",
                    directory.display()
                )))
            }
            None if folder.test.is_empty() => Err(no_split(&folder.root, "test")),
            None => Ok(folder),
        }
    }

    /// Every file, training set first.
    pub(super) fn items(&self) -> impl Iterator<Item = &Item> {
        self.train.iter().chain(&self.test)
    }

    /// The facts from the options and the heads of the files. Mean and standard
    /// deviation are empty unless the options give them.
    ///
    /// # Errors
    ///
    /// [`Failure::Lacks`] with the files where sizes differ, or where one is
    /// not an image.
    pub(super) fn facts(&self, own: &OwnData) -> Result<Facts, Failure> {
        let shape = self.shape(own)?;
        let facts = Facts {
            channels: shape.channels as i64,
            height: shape.height as i64,
            width: shape.width as i64,
            classes: self.classes.len() as i64,
            train_images: self.train.len() as u64,
            mean: own::per_channel(&own.mean, shape.channels, "dataset.mean")?,
            std: own::per_channel(&own.std, shape.channels, "dataset.std")?,
            class_names: self.class_names(),
        };
        Ok(facts)
    }

    /// Decodes every image, and reports what was found. Mean and standard
    /// deviation are those of the training images, whatever the options say.
    ///
    /// # Errors
    ///
    /// The same as [`Folder::facts`], for whole files.
    pub(super) fn load(&self, own: &OwnData) -> Result<RawDataset, Failure> {
        let mut facts = self.facts(own)?;
        let shape = facts.shape();
        let pixels = self.items().count().checked_mul(shape.bytes());
        let of_all = format!("the images of {}", self.root.display());
        self.reach.room(of_all, pixels.map(|bytes| bytes as u64))?;
        let train = self.decoded(&self.train, shape, "decoding training images")?;
        let test = self.decoded(&self.test, shape, "decoding test images")?;
        let (mean, std) = own::moments(&train.images, shape.channels, shape.height * shape.width);
        facts.mean = mean;
        facts.std = std;
        self.tell(&facts, [&train, &test], own);
        Ok(RawDataset { facts, train, test })
    }

    fn decoded(&self, items: &[Item], shape: Shape, what: &str) -> Result<Split, Failure> {
        let size = shape.bytes();
        let too_large = || {
            Failure::OutOfMemory(format!(
                "{} images of {size} bytes do not fit the memory; a smaller `dataset.size` would help",
                items.len()
            ))
        };
        let mut images = Vec::new();
        let total = items.len().checked_mul(size).ok_or_else(too_large)?;
        images.try_reserve_exact(total).map_err(|_| too_large())?;
        images.resize(total, 0);
        let work = items.iter().zip(images.chunks_exact_mut(size)).collect();
        in_parallel(work, what, |(item, pixels): (&Item, &mut [u8])| {
            picture::decode(&item.path, shape, &self.reach, pixels)
        })?;
        Ok(Split {
            images,
            labels: items.iter().map(|item| item.class as i64).collect(),
        })
    }

    /// Reports what was found, and what is strange about it.
    fn tell(&self, facts: &Facts, [train, test]: [&Split; 2], own: &OwnData) {
        let root = self.root.display();
        for warning in &self.warnings {
            output::message(warning);
        }
        let lines = counts::lines(facts, &train.labels, &test.labels);
        output::message(&format!("{root}: {lines}"));
        if own.mean.is_empty() {
            output::message(&format!(
                "{root}: computed from the training images: dataset.mean = {:?}, dataset.std = {:?}",
                facts.mean, facts.std
            ));
        }
    }

    fn class_names(&self) -> Vec<String> {
        let names = self.classes.iter();
        names
            .map(|name| name.to_string_lossy().into_owned())
            .collect()
    }

    /// The files of `train` or `test`.
    fn split(&mut self, split: &str) -> Result<Vec<Item>, Failure> {
        let mut items = Vec::new();
        for name in class_names(&self.root, split, &self.reach, &mut self.warnings)? {
            let directory = self.root.join(split).join(&name);
            let Ok(class) = self.classes.binary_search(&name) else {
                return Err(Failure::Lacks(format!(
                    "the test class {} has no directory {}; a network cannot learn a class that \
                     it is not shown: add training images, or remove it",
                    directory.display(),
                    self.root.join("train").join(&name).display()
                )));
            };
            let mut strays = Vec::new();
            for (path, metadata) in entries(&directory, &self.reach)? {
                if items.len() + self.train.len() > FILES_MAX {
                    return Err(too_many(&self.root));
                }
                if metadata.is_file() && is_image(&path) {
                    items.push(Item {
                        path,
                        class,
                        metadata,
                    });
                } else {
                    strays.push(path);
                }
            }
            if let [first, rest @ ..] = &strays[..] {
                let more = match rest.len() {
                    0 => String::new(),
                    more => format!(" and {more} more there"),
                };
                self.warnings.push(format!(
                    "warning: {}{more}: neither .png nor .jpg nor .jpeg, ignored",
                    first.display()
                ));
            }
        }
        Ok(items)
    }

    fn shape(&self, own: &OwnData) -> Result<Shape, Failure> {
        let heads = if own.size.is_some() && own.channels.is_some() {
            Vec::new()
        } else {
            let paths: Vec<&Path> = self.items().map(|item| item.path.as_path()).collect();
            in_parallel(paths, "looking at images", |path| {
                picture::head(path, &self.reach)
            })?
        };
        let [height, width] = match own.size {
            Some(size) => [size.height(), size.width()],
            None => self.common_size(&heads)?,
        };
        let grey = heads.iter().all(|head| head.grey);
        let by_files = if grey { 1 } else { 3 };
        Ok(Shape {
            channels: own.channels.map_or(by_files, |channels| channels as usize),
            height: height as usize,
            width: width as usize,
        })
    }

    fn common_size(&self, heads: &[Head]) -> Result<[u32; 2], Failure> {
        let first = heads[0].size;
        let Some(other) = heads.iter().position(|head| head.size != first) else {
            return Ok(first);
        };
        let mut items = self.items();
        let one = items.next().map(|item| item.path.display());
        let two = items.nth(other - 1).map(|item| item.path.display());
        let [rows, columns] = heads[other].size;
        Err(Failure::Lacks(format!(
            "the images differ in size: {} is {}×{} (height×width), {} is {rows}×{columns}; set \
             `dataset.size` to have all of them cropped and resized, like dataset.size = 32 or \
             dataset.size = [{}, {}]",
            one.map(|path| path.to_string()).unwrap_or_default(),
            first[0],
            first[1],
            two.map(|path| path.to_string()).unwrap_or_default(),
            first[0],
            first[1],
        )))
    }
}

/// Names of the directories in `root/split`, sorted by byte.
fn class_names(
    root: &Path,
    split: &str,
    reach: &Reach,
    warnings: &mut Vec<String>,
) -> Result<Vec<OsString>, Failure> {
    let directory = root.join(split);
    if !directory.is_dir() {
        return Err(no_split(root, split));
    }
    let mut names = Vec::new();
    for (path, metadata) in entries(&directory, reach)? {
        if metadata.is_dir() {
            names.extend(path.file_name().map(OsStr::to_owned));
        } else {
            warnings.push(format!(
                "warning: {} is in no class directory, ignored",
                path.display()
            ));
        }
    }
    if names.is_empty() {
        return Err(no_split(root, split));
    }
    Ok(names)
}

fn no_split(root: &Path, split: &str) -> Failure {
    let what = if split == "test" {
        "test images, which measure what was learned; set some of the training images aside, \
         say every tenth, and move them"
    } else {
        "training images; put them"
    };
    Failure::Lacks(format!(
        "{} has no {what} to {}/<class>/",
        root.display(),
        root.join(split).display()
    ))
}

/// The entries of a directory, following links, sorted by the bytes of their
/// names; without hidden files and files that systems leave behind.
fn entries(directory: &Path, reach: &Reach) -> Result<Vec<(PathBuf, Metadata)>, Failure> {
    reach.directory(directory)?;
    let unread = |path: &Path, error: &std::io::Error| {
        Failure::Lacks(format!("cannot read {}: {error}", path.display()))
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(|error| unread(directory, &error))? {
        let name = entry
            .map_err(|error| unread(directory, &error))?
            .file_name();
        let lower = name.to_string_lossy().to_lowercase();
        if !lower.starts_with('.') && !LITTER.contains(&lower.as_str()) {
            names.push(name);
        }
        if names.len() > FILES_MAX {
            return Err(too_many(directory));
        }
    }
    names.sort_unstable_by(|one, two| one.as_bytes().cmp(two.as_bytes()));
    names
        .into_iter()
        .map(|name| {
            let path = directory.join(name);
            let metadata = fs::metadata(&path).map_err(|error| unread(&path, &error))?;
            Ok((path, metadata))
        })
        .collect()
}

fn too_many(directory: &Path) -> Failure {
    Failure::Lacks(format!(
        "{} holds more than {FILES_MAX} files; put the images into a safetensors file, and name \
         that with dataset = {{ name = \"tensors\", path = … }}",
        directory.display()
    ))
}

fn is_image(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    ENDINGS.contains(&ending.to_lowercase().as_str())
}
