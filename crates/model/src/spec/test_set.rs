//! Additional test sets by name: `extra_test_sets` and `trainer evaluate
//! --set`.

use super::{Dataset, SpecError};
use crate::metrics::name_part;
use crate::suggest::nearest;

/// The prefix of the name of a safetensors file.
const TENSORS: &str = "tensors:";

/// The most extra test sets of a spec: each adds three metrics.
pub const TEST_SETS_MAX: usize = 16;

/// The most bytes of a set's name within the names of its metrics.
const LABEL_BYTES: usize = 48;

/// The labels of the data set's own sets.
const OWN_LABELS: [&str; 2] = ["test", "train"];

/// A test set beside that of the training's data set.
#[derive(Clone, Debug, PartialEq)]
pub enum TestSet {
    /// CIFAR-10.1 (Recht et al. 2018, "Do CIFAR-10 classifiers generalize to
    /// CIFAR-10?"), version 6: 2,000 images of 3×32×32 in 10 classes.
    Cifar101,
    /// Its version 4: 2,021 images.
    Cifar101V4,
    /// The test set of a well-known data set.
    Named(Dataset),
    /// `test_images` and `test_labels` of a safetensors file.
    Tensors(String),
}

/// Every named set; files have no fixed name.
fn named() -> [(&'static str, TestSet); 8] {
    [
        ("cifar10.1", TestSet::Cifar101),
        ("cifar10.1_v4", TestSet::Cifar101V4),
        ("cifar10", TestSet::Named(Dataset::Cifar10)),
        ("cifar100", TestSet::Named(Dataset::Cifar100)),
        ("mnist", TestSet::Named(Dataset::Mnist)),
        ("fashion_mnist", TestSet::Named(Dataset::FashionMnist)),
        ("kmnist", TestSet::Named(Dataset::Kmnist)),
        ("digits", TestSet::Named(Dataset::Digits)),
    ]
}

impl TestSet {
    /// The test set of this name.
    ///
    /// # Errors
    ///
    /// When there is no such set; the message lists the names that exist.
    pub fn parse(name: &str) -> Result<Self, String> {
        if let Some(path) = name.strip_prefix(TENSORS) {
            return if path.is_empty() {
                Err(format!("`{name}` names no file"))
            } else {
                Ok(Self::Tensors(path.to_owned()))
            };
        }
        let all = named();
        let names = || all.iter().map(|(known, _)| *known);
        if let Some((_, set)) = all.iter().find(|(known, _)| *known == name) {
            return Ok(set.clone());
        }
        Err(match nearest(name, names()) {
            Some(near) => format!("`{name}`: no such test set; did you mean `{near}`?"),
            None => format!(
                "`{name}`: no such test set; the known ones are {}, and `{TENSORS}PATH`",
                names().collect::<Vec<_>>().join(", ")
            ),
        })
    }

    /// The part of its metrics' names that stands for it: `test_error.<label>`.
    /// A file's label is its name without directory and extension.
    pub fn label(&self) -> String {
        let all = named();
        let known = all.iter().find(|(_, set)| set == self);
        let mut label = match (self, known) {
            (_, Some((name, _))) => (*name).to_owned(),
            (Self::Tensors(path), None) => {
                let file = path.rsplit('/').next().unwrap_or(path);
                let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
                name_part(if stem.is_empty() { file } else { stem })
            }
            // `parse` makes no such value.
            (_, None) => "other".to_owned(),
        };
        label.truncate(LABEL_BYTES);
        label
    }

    /// Channels, height, width and classes, where the name determines them.
    pub const fn shape(&self) -> Option<[u32; 4]> {
        match self {
            Self::Cifar101 | Self::Cifar101V4 => Dataset::Cifar10.shape(),
            Self::Named(dataset) => dataset.shape(),
            Self::Tensors(_) => None,
        }
    }
}

/// Reports every mistake in a spec's extra test sets.
pub(super) fn check(dataset: &Dataset, names: &[String], wrong: &mut impl FnMut(&str, String)) {
    const KEY: &str = "extra_test_sets";
    if names.len() > TEST_SETS_MAX {
        let count = names.len();
        wrong(
            KEY,
            format!("{count} sets; at most {TEST_SETS_MAX} are allowed"),
        );
    }
    let mut labels: Vec<(String, &str)> = Vec::new();
    for name in names {
        let set = match TestSet::parse(name) {
            Ok(set) => set,
            Err(message) => {
                wrong(KEY, message);
                continue;
            }
        };
        if let (Some(own), Some(other)) = (dataset.shape(), set.shape())
            && own != other
        {
            wrong(KEY, unlike(name, other, own));
        }
        let label = set.label();
        if OWN_LABELS.contains(&label.as_str()) {
            let message = format!(
                "`{name}` would be reported as `{label}`, as the data set's own {label} set is; \
                 rename the file"
            );
            wrong(KEY, message);
            continue;
        }
        match labels.iter().find(|(seen, _)| *seen == label) {
            Some((_, seen)) => wrong(
                KEY,
                format!("`{name}` and `{seen}` would both be reported as `{label}`"),
            ),
            None => labels.push((label, name)),
        }
    }
}

/// The message for a test set whose images or classes differ from the training
/// set's.
pub fn unlike(name: &str, set: [u32; 4], training: [u32; 4]) -> String {
    let text = |[channels, height, width, classes]: [u32; 4]| {
        format!("{channels}×{height}×{width} in {classes} classes")
    };
    let (set, training) = (text(set), text(training));
    format!("`{name}` has images of {set}, the training set {training}")
}

/// The extra test sets of a spec.
///
/// # Errors
///
/// When one of the names is unknown.
pub fn test_sets(names: &[String]) -> Result<Vec<TestSet>, SpecError> {
    let parse = |name: &String| {
        TestSet::parse(name).map_err(|message| SpecError::new("extra_test_sets", message))
    };
    names.iter().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(dataset: &Dataset, names: &[&str]) -> Vec<String> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut faults = Vec::new();
        check(dataset, &names, &mut |key, message| {
            assert_eq!(key, "extra_test_sets");
            faults.push(message);
        });
        faults
    }

    #[test]
    fn names_read_back_as_labels() {
        for (name, set) in named() {
            assert_eq!(TestSet::parse(name), Ok(set.clone()));
            assert_eq!(set.label(), name);
        }
        let label = |name: &str| TestSet::parse(name).unwrap().label();
        assert_eq!(label("tensors:/data/My set.v2.safetensors"), "my_set.v2");
        assert_eq!(label("tensors:x"), "x");
        assert_eq!(label(&format!("tensors:{}", "y".repeat(90))).len(), 48);
        assert!(TestSet::parse("tensors:").is_err());
        let near = TestSet::parse("cifar10.2").unwrap_err();
        assert!(near.contains("did you mean `cifar10.1`"), "{near}");
    }

    #[test]
    fn the_labels_of_the_data_set_are_its_own() {
        let names = ["tensors:a/Test.st", "tensors:train.st", "tensors:tests.st"];
        assert_eq!(
            faults(&Dataset::Digits, &names),
            [
                "`tensors:a/Test.st` would be reported as `test`, as the data set's own test set \
                 is; rename the file",
                "`tensors:train.st` would be reported as `train`, as the data set's own train set \
                 is; rename the file",
            ]
        );
    }

    #[test]
    fn sets_must_be_like_the_training_set() {
        let cifar = Dataset::Cifar10;
        assert_eq!(
            faults(&cifar, &["cifar10.1", "cifar10.1_v4", "cifar10"]),
            [""; 0]
        );
        assert_eq!(
            faults(&cifar, &["cifar100", "tensors:a/x.st", "tensors:b/x.st"]),
            [
                "`cifar100` has images of 3×32×32 in 100 classes, \
                 the training set 3×32×32 in 10 classes",
                "`tensors:b/x.st` and `tensors:a/x.st` would both be reported as `x`",
            ]
        );
        assert_eq!(
            faults(&Dataset::Mnist, &["kmnist", "fashion_mnist"]),
            [""; 0]
        );
        assert!(faults(&Dataset::Mnist, &["svhn"])[0].contains("the known ones are cifar10.1"));
        assert_eq!(faults(&cifar, &["cifar10.1"; 17]).len(), 1 + 16);
    }
}
