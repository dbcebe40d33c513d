//! `tensors`: a user's own safetensors file.

use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use swath_files::Named;
use swath_model::spec::OwnData;

use super::{Facts, RawDataset, Reach, Split, checked, own as shared};
use crate::failure::Failure;
use crate::tensor_file::TensorFile;

/// The metadata key that may name the number of classes.
const CLASSES: &str = "classes";

/// The most classes; a greater number means that the labels are something else.
const CLASSES_MAX: i64 = 1 << 20;

/// Loads the file at `own.path`, relative to the working directory.
///
/// Mean 0 and standard deviation 1. The number of classes is given by the file's metadata under `classes`;
/// otherwise it is one more than the largest label.
pub(super) fn load(own: &OwnData, reach: &Reach) -> Result<RawDataset, Failure> {
    let file = TensorFile::of_named(Path::new(&own.path), opened(own, reach)?)?;
    let tensors = file.parse()?;
    let (shape, train) = split(&file, &tensors, "train")?;
    let (test_shape, test) = split(&file, &tensors, "test")?;
    if shape != test_shape {
        let what = format!("its training images are {shape:?}, its test images {test_shape:?}");
        return Err(file.wrong(&what));
    }
    let [channels, height, width] = shape;
    let largest = train.labels.iter().chain(&test.labels).max().copied();
    if let Some(label) = largest
        && label >= CLASSES_MAX
    {
        let what = format!("the label {label}; labels count classes from 0, at most {CLASSES_MAX}");
        return Err(file.wrong(&what));
    }
    let facts = Facts {
        channels: channels as i64,
        height: height as i64,
        width: width as i64,
        classes: named_classes(&file)?.unwrap_or(largest.unwrap_or(0) + 1),
        train_images: train.labels.len() as u64,
        mean: vec![0.0; channels],
        std: vec![1.0; channels],
        class_names: Vec::new(),
    };
    for (split, name) in [(&train, "train"), (&test, "test")] {
        checked(&facts, split, name).map_err(|error| file.wrong(&error.to_string()))?;
    }
    Ok(RawDataset { facts, train, test })
}

/// The file at `own.path`, which is not read yet.
pub(super) fn opened(own: &OwnData, reach: &Reach) -> Result<Named, Failure> {
    let path = Path::new(&own.path);
    if !path.is_file() {
        return Err(shared::missing(path, "is no file"));
    }
    reach
        .open(path)
        .map_err(|failure| failure.under("dataset.path"))
}

/// `test_images` and `test_labels` of a file, as a test set for a data set
/// with these facts.
pub(super) fn test_set(path: &Path, facts: &Facts, reach: &Reach) -> Result<Split, Failure> {
    let file = TensorFile::of_named(path, reach.open(path)?)?;
    let (shape, test) = split(&file, &file.parse()?, "test")?;
    let own = [facts.channels, facts.height, facts.width].map(|size| size as usize);
    if shape != own {
        let what = format!("its test images are {shape:?}, the training images {own:?}");
        return Err(file.wrong(&what));
    }
    checked(facts, &test, "test").map_err(|error| file.wrong(&error.to_string()))?;
    Ok(test)
}

fn split(
    file: &TensorFile,
    tensors: &SafeTensors<'_>,
    name: &str,
) -> Result<([usize; 3], Split), Failure> {
    let images_name = format!("{name}_images");
    let images = file.view(tensors, &images_name)?;
    let labels = file.view(tensors, &format!("{name}_labels"))?;
    let &[count, channels, height, width] = images.shape() else {
        let what = format!(
            "`{images_name}` has the shape {:?}, not N×C×H×W",
            images.shape()
        );
        return Err(file.wrong(&what));
    };
    if [channels, height, width].contains(&0) {
        let what = format!(
            "`{images_name}` has the shape {:?}: images without a pixel",
            images.shape()
        );
        return Err(file.wrong(&what));
    }
    if images.dtype() != Dtype::U8 {
        return Err(file.wrong(&format!("`{images_name}` is {:?}, not u8", images.dtype())));
    }
    if labels.dtype() != Dtype::I64 || labels.shape() != [count] {
        let what = format!(
            "`{name}_labels` is {:?} of {:?}, not i64 of [{count}]",
            labels.dtype(),
            labels.shape()
        );
        return Err(file.wrong(&what));
    }
    let labels = labels
        .data()
        .as_chunks::<8>()
        .0
        .iter()
        .map(|bytes| i64::from_le_bytes(*bytes))
        .collect();
    let split = Split {
        images: images.data().to_vec(),
        labels,
    };
    Ok(([channels, height, width], split))
}

fn named_classes(file: &TensorFile) -> Result<Option<i64>, Failure> {
    let metadata = file.metadata()?;
    let Some(text) = metadata.as_ref().and_then(|entries| entries.get(CLASSES)) else {
        return Ok(None);
    };
    match text.parse() {
        Ok(classes) if (1..=CLASSES_MAX).contains(&classes) => Ok(Some(classes)),
        _ => Err(file.wrong(&format!(
            "its metadata says {CLASSES} = {text:?}, not 1 to {CLASSES_MAX}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::*;
    use crate::tensor_file;

    fn write(path: &Path, labels: &[i64], test_side: i64) -> OwnData {
        let images = |count, side| Tensor::ones([count, 3, side, side], (Kind::Uint8, Device::Cpu));
        let count = labels.len() as i64;
        let entries = [
            ("train_images", images(count, 8)),
            ("train_labels", Tensor::from_slice(labels)),
            ("test_images", images(1, test_side)),
            ("test_labels", Tensor::from_slice(&[0_i64])),
        ]
        .map(|(name, tensor)| (name.to_owned(), tensor));
        tensor_file::write(path, &entries).unwrap();
        OwnData {
            path: path.display().to_string(),
            mean: Vec::new(),
            std: Vec::new(),
            size: None,
            channels: None,
        }
    }

    #[test]
    fn reads_images_labels_and_classes() {
        let root = tempfile::tempdir().unwrap();
        let own = write(&root.path().join("x"), &[0, 4], 8);
        let dataset = load(&own, &Reach::default()).unwrap();
        assert_eq!(dataset.facts.classes, 5);
        assert_eq!(dataset.train.labels, [0, 4]);
        assert_eq!(dataset.facts.std, [1.0; 3]);
        let facts = &dataset.facts;
        assert_eq!((facts.channels, facts.height, facts.width), (3, 8, 8));
    }

    #[test]
    fn a_further_test_set_is_a_regular_file_within_reach() {
        let root = tempfile::tempdir().unwrap();
        let own = write(&root.path().join("x"), &[0, 4], 8);
        let facts = load(&own, &Reach::default()).unwrap().facts;
        let reach = Reach::within(&[root.path(), Path::new("/dev")], 1 << 20);
        for (path, why) in [
            (Path::new("/dev/zero"), "it is a device"),
            (root.path(), "it is a directory"),
            (Path::new("/etc/passwd"), "--allow-data"),
        ] {
            let told = test_set(path, &facts, &reach).unwrap_err().to_string();
            assert!(told.contains(why), "{told}");
            assert!(told.contains(&*path.to_string_lossy()), "{told}");
        }
    }

    #[test]
    fn what_does_not_fit_names_the_file() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("x");
        for (labels, test_side) in [
            (&[0, -1][..], 8),
            (&[0], 9),
            (&[0], 0),
            (&[i64::MAX], 8),
            (&[CLASSES_MAX], 8),
        ] {
            let own = write(&path, labels, test_side);
            match load(&own, &Reach::default()).unwrap_err() {
                Failure::Invalid(what) => assert!(what.contains(&own.path), "{what}"),
                other => panic!("{other}"),
            }
        }
    }
}
