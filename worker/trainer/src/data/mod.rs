//! Data sets: images as bytes with their labels, in memory.

mod checksum;
mod cifar;
mod cifar101;
mod classes;
mod decoded;
mod digits;
mod download;
mod folder;
mod idx;
mod locate;
mod lock;
mod npy;
mod own;
mod parallel;
mod picture;
mod reach;
mod source;
mod stamp;
mod tensors;

use std::path::Path;

use serde::{Deserialize, Serialize};
use swath_model::spec::{Dataset as Source, OwnData, TestSet};

pub(crate) use self::decoded::{DecodedCopy, Seal};
use self::folder::Folder;
pub(crate) use self::locate::Places;
pub(crate) use self::picture::{Shape, read as read_picture};
pub(crate) use self::reach::{Reach, unread};
use self::source::Found;
pub(crate) use self::source::Opened;
pub(crate) use self::stamp::Stamp;
use crate::failure::Failure;

/// What a model and a schedule must know about a data set before it is loaded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// Channels of an image.
    pub(crate) channels: i64,
    /// Rows of an image.
    pub(crate) height: i64,
    /// Columns of an image.
    pub(crate) width: i64,
    /// How many classes there are.
    pub(crate) classes: i64,
    /// Images of the training set.
    pub(crate) train_images: u64,
    /// Mean per channel of pixels in 0..1.
    pub(crate) mean: Vec<f32>,
    /// Standard deviation per channel of pixels in 0..1.
    pub(crate) std: Vec<f32>,
    /// Names of the classes in the order of their labels; fewer than classes,
    /// or none, where the data do not name them.
    pub(crate) class_names: Vec<String>,
}

impl Facts {
    /// The name of a class: its number where it has none.
    pub(crate) fn class_name(&self, class: usize) -> String {
        let name = self.class_names.get(class);
        name.map_or_else(|| class.to_string(), Clone::clone)
    }

    /// The shape of an image.
    pub(crate) fn shape(&self) -> Shape {
        Shape {
            channels: self.channels as usize,
            height: self.height as usize,
            width: self.width as usize,
        }
    }
}

/// Images with their labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Split {
    /// Pixels, image by image, each channels first.
    pub(crate) images: Vec<u8>,
    /// The class of each image.
    pub(crate) labels: Vec<i64>,
}

/// A loaded data set.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RawDataset {
    /// Its facts, counted from what was loaded.
    pub(crate) facts: Facts,
    /// The training set.
    pub(crate) train: Split,
    /// The test set.
    pub(crate) test: Split,
}

/// The facts about a named data set.
fn named(source: &Source) -> Option<Facts> {
    let facts = |size: [i64; 4], train_images, mean: &[f32], std: &[f32]| {
        let [channels, height, width, classes] = size;
        Some(Facts {
            channels,
            height,
            width,
            classes,
            train_images,
            mean: mean.to_vec(),
            std: std.to_vec(),
            class_names: classes::names(source),
        })
    };
    // Mean and standard deviation are the constants in general use, which are
    // those of the training sets.
    match source {
        Source::Cifar10 => facts(
            [3, 32, 32, 10],
            50_000,
            &[0.4914, 0.4822, 0.4465],
            &[0.2470, 0.2435, 0.2616],
        ),
        Source::Cifar100 => facts(
            [3, 32, 32, 100],
            50_000,
            &[0.5071, 0.4865, 0.4409],
            &[0.2673, 0.2564, 0.2762],
        ),
        Source::Mnist => facts([1, 28, 28, 10], 60_000, &[0.1307], &[0.3081]),
        Source::FashionMnist => facts([1, 28, 28, 10], 60_000, &[0.2860], &[0.3530]),
        Source::Kmnist => facts([1, 28, 28, 10], 60_000, &[0.1904], &[0.3475]),
        Source::Digits => facts(
            [1, 8, 8, 10],
            digits::TRAIN_IMAGES,
            &[digits::MEAN],
            &[digits::STD],
        ),
        Source::Tensors(_) | Source::Folder(_) => None,
    }
}

/// The facts about `source` without loading it, where that is possible; mean
/// and standard deviation may be empty. This is enough to build a model.
///
/// # Errors
///
/// [`Failure::Lacks`] where a file is missing or bad.
pub(crate) fn outline(source: &Source, places: &Places) -> Result<Facts, Failure> {
    match source {
        Source::Folder(own) => Folder::list(own, &places.reach)?.facts(own),
        _ => facts(source, places),
    }
}

/// The facts about `source` without loading it, where its name determines them;
/// a user's own data set is read.
///
/// # Errors
///
/// [`Failure::Lacks`] where a file is missing or bad.
pub(crate) fn facts(source: &Source, places: &Places) -> Result<Facts, Failure> {
    // Only mean and standard deviation need the pixels.
    if let Source::Folder(own) = source
        && !own.mean.is_empty()
    {
        return outline(source, places);
    }
    match named(source) {
        Some(facts) => Ok(facts),
        None => open(source, places).map(|opened| opened.facts().clone()),
    }
}

/// A stamp that shows whether the files of a user's own data set are the same
/// as at an earlier call; none for a well-known data set, whose files do not
/// change.
///
/// # Errors
///
/// [`Failure::Lacks`] where they are missing.
pub(crate) fn stamp(source: &Source, places: &Places) -> Result<Option<Stamp>, Failure> {
    match source {
        Source::Folder(own) => {
            let folder = Folder::list(own, &places.reach)?;
            let files = folder.items().map(|item| (&*item.path, &item.metadata));
            Ok(Some(Stamp::of(files)))
        }
        Source::Tensors(own) => {
            let path = Path::new(&own.path);
            let metadata = std::fs::metadata(path).map_err(|_| own::missing(path, "is no file"))?;
            Ok(Some(Stamp::of([(path, &metadata)])))
        }
        _ => Ok(None),
    }
}

/// Opens `source`: maps its decoded copy if there is one, otherwise decodes its
/// files and writes one. A problem with a copy is never a reason to fail.
///
/// # Errors
///
/// [`Failure::Lacks`] where it is missing, does not match its checksum or is
/// malformed; the message names the file and the remedy.
pub(crate) fn open(source: &Source, places: &Places) -> Result<Opened, Failure> {
    let mut opened = Found::find(source, places)?.open(&places.data)?;
    if let Source::Folder(own) | Source::Tensors(own) = source {
        own::set_moments(opened.facts_mut(), own)?;
    }
    Ok(opened)
}

/// An additional test set.
pub(crate) enum Further {
    /// Images from its own files.
    Split(Split),
    /// The test set of this data set.
    Of(Opened),
}

/// Loads an additional test set for a data set with these facts.
///
/// # Errors
///
/// The same as [`open`]; also where images or labels of its own files do not
/// fit `facts`.
pub(crate) fn test_set(set: &TestSet, facts: &Facts, places: &Places) -> Result<Further, Failure> {
    let split = match set {
        TestSet::Cifar101 => cifar101::load(cifar101::V6, places)?,
        TestSet::Cifar101V4 => cifar101::load(cifar101::V4, places)?,
        TestSet::Named(source) => return open(source, places).map(Further::Of),
        TestSet::Tensors(path) => tensors::test_set(Path::new(path), facts, &places.reach)?,
    };
    checked(facts, &split, &set.label())?;
    Ok(Further::Split(split))
}

/// Checks that pixels, labels and classes of a split fit together.
fn checked(facts: &Facts, split: &Split, name: &str) -> Result<(), Failure> {
    let pixels = (facts.channels * facts.height * facts.width) as usize;
    if split.labels.is_empty() {
        return Err(Failure::Invalid(format!("the {name} set has no image")));
    }
    if split.images.len() != split.labels.len() * pixels {
        return Err(Failure::Invalid(format!(
            "the {name} set has {} labels, but {} bytes of pixels where {pixels} make an image",
            split.labels.len(),
            split.images.len(),
        )));
    }
    let strange = split
        .labels
        .iter()
        .find(|label| !(0..facts.classes).contains(label));
    match strange {
        Some(label) => Err(Failure::Invalid(format!(
            "the {name} set has the label {label}; its classes are 0..{}",
            facts.classes
        ))),
        None => Ok(()),
    }
}

/// The failure for a file that is not what its name says.
fn malformed(path: &Path, what: &str) -> Failure {
    Failure::Lacks(format!(
        "{}: {what}; delete it and provide it again",
        path.display()
    ))
}
