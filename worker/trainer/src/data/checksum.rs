//! SHA-256 of the well-known files.
//!
//! A file `SHA256SUMS` beside the data overrides the built-in sums, so that a
//! mirror may have files of its own. Where no sum is known, the number of
//! images must be the published one, and a warning says how little that proves.

use std::collections::HashMap;
use std::path::Path;

use sha2::{Digest, Sha256};
use swath_model::id::hex;

use super::unread;
use crate::failure::Failure;

/// The name of the file with overriding sums, in the format of `sha256sum`.
pub(super) const SUMS: &str = "SHA256SUMS";

/// The largest file of sums, in bytes.
const SUMS_BYTES_MAX: u64 = 1 << 20;

/// Sums of files as they are published.
const FILES: &[(&str, &str, &str)] = &[
    (
        "cifar10",
        "cifar-10-binary.tar.gz",
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    ),
    (
        "cifar100",
        "cifar-100-binary.tar.gz",
        "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
    ),
    (
        "mnist",
        "train-images-idx3-ubyte.gz",
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    ),
    (
        "mnist",
        "train-labels-idx1-ubyte.gz",
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    ),
    (
        "mnist",
        "t10k-images-idx3-ubyte.gz",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    ),
    (
        "mnist",
        "t10k-labels-idx1-ubyte.gz",
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
    (
        "kmnist",
        "train-images-idx3-ubyte.gz",
        "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
    ),
    (
        "kmnist",
        "train-labels-idx1-ubyte.gz",
        "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
    ),
    (
        "kmnist",
        "t10k-images-idx3-ubyte.gz",
        "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
    ),
    (
        "kmnist",
        "t10k-labels-idx1-ubyte.gz",
        "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
    ),
];

/// Sums of the unpacked contents: MNIST is also distributed unpacked, and
/// Debian packs Fashion-MNIST differently from its authors.
const CONTENTS: &[(&str, &str, &str)] = &[
    (
        "mnist",
        "train-images-idx3-ubyte",
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    (
        "mnist",
        "train-labels-idx1-ubyte",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    (
        "mnist",
        "t10k-images-idx3-ubyte",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    (
        "mnist",
        "t10k-labels-idx1-ubyte",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    (
        "fashion_mnist",
        "train-images-idx3-ubyte",
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    ),
    (
        "fashion_mnist",
        "train-labels-idx1-ubyte",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    ),
    (
        "fashion_mnist",
        "t10k-images-idx3-ubyte",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    ),
    (
        "fashion_mnist",
        "t10k-labels-idx1-ubyte",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
];

/// The SHA-256 of `bytes` in hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes).into(), &mut [0; 64]).to_owned()
}

/// Checks a file's bytes. Returns whether a sum was known.
///
/// # Errors
///
/// [`Failure::Lacks`] with both sums and the remedy where they differ, and
/// where the file belongs to another data set.
pub(super) fn check_file(dataset: &str, path: &Path, bytes: &[u8]) -> Result<bool, Failure> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let known = match overriding(dataset, path)? {
        Some(sum) => Some(sum),
        None => built_in(FILES, dataset, &name).or_else(|| built_in(CONTENTS, dataset, &name)),
    };
    compare(dataset, path, known.as_deref(), bytes)
}

/// Checks what a file unpacks to: that it does not belong to another data set
/// and, where no sum of the file itself was known (`checked`), that its own sum
/// is right. Returns whether a sum was known.
///
/// # Errors
///
/// As [`check_file`].
pub(super) fn check_content(
    dataset: &str,
    path: &Path,
    stem: &str,
    bytes: &[u8],
    checked: bool,
) -> Result<bool, Failure> {
    let known = built_in(CONTENTS, dataset, stem).filter(|_| !checked);
    Ok(compare(dataset, path, known.as_deref(), bytes)? || checked)
}

/// Checks that a file without a known sum has as many images as the published
/// one.
///
/// # Errors
///
/// [`Failure::Lacks`] with both numbers and the remedy where they differ.
pub(super) fn check_count(
    dataset: &str,
    path: &Path,
    found: usize,
    expected: usize,
) -> Result<(), Failure> {
    if found == expected {
        return Ok(());
    }
    Err(Failure::Lacks(format!(
        "{} is not a file of `{dataset}`: it has {found} images, expected {expected}; delete it and \
         provide the published one, or, if these data are meant to differ, list the sum of every \
         file of the data set in a file {SUMS} beside it",
        path.display()
    )))
}

/// The warning where files could only be counted.
pub(super) fn unverified(dataset: &str, files: &[&Path]) -> String {
    let names: Vec<String> = files
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    format!(
        "warning: no SHA-256 is known for these files of `{dataset}`, so only their number of \
         images was checked, not their content: {}; a file {SUMS} beside them that lists them \
         has them checked",
        names.join(", ")
    )
}

fn compare(dataset: &str, path: &Path, known: Option<&str>, bytes: &[u8]) -> Result<bool, Failure> {
    let found = sha256(bytes);
    // Even a user's own sum does not turn one data set into another.
    if let Some(owner) = owner(&found)
        && owner != dataset
    {
        return Err(Failure::Lacks(format!(
            "{} is a file of `{owner}`, expected one of `{dataset}`: its SHA-256 is {found}; \
             delete it and provide that of `{dataset}`, or train on `dataset.name = \"{owner}\"`",
            path.display()
        )));
    }
    let Some(expected) = known else {
        return Ok(false);
    };
    if found.eq_ignore_ascii_case(expected) {
        return Ok(true);
    }
    Err(Failure::Lacks(format!(
        "{} is damaged or another file: its SHA-256 is {found}, expected {expected}; delete it and \
         provide it again, or, if it is meant to differ, list its sum in a file {SUMS} beside it",
        path.display()
    )))
}

/// The data set to which a known sum belongs.
fn owner(sum: &str) -> Option<&'static str> {
    let mut all = FILES.iter().chain(CONTENTS);
    all.find(|(_, _, known)| *known == sum)
        .map(|(dataset, _, _)| *dataset)
}

fn built_in(table: &[(&str, &str, &str)], dataset: &str, name: &str) -> Option<String> {
    table
        .iter()
        .find(|(set, file, _)| *set == dataset && *file == name)
        .map(|(_, _, sum)| (*sum).to_owned())
}

/// The sum that a [`SUMS`] file gives for a file: the one beside it or, where
/// an archive was unpacked into a directory of its own, that of the data set.
fn overriding(dataset: &str, path: &Path) -> Result<Option<String>, Failure> {
    let beside = path.parent();
    let above = beside
        .and_then(Path::parent)
        .filter(|directory| directory.ends_with(dataset));
    for directory in beside.into_iter().chain(above) {
        let sums = directory.join(SUMS);
        let text = match swath_files::read_text(&sums, SUMS_BYTES_MAX) {
            Ok(text) => text,
            Err(why) if why.is_absent() => continue,
            // Sums that cannot be read must not count as absent.
            Err(why) => return Err(unread(&sums, &why)),
        };
        let name = path.strip_prefix(directory).unwrap_or(path);
        if let Some(sum) = parse(&text).remove(&*name.to_string_lossy()) {
            return Ok(Some(sum));
        }
    }
    Ok(None)
}

/// `sum name` lines; a `*` before the name marks binary mode.
fn parse(text: &str) -> HashMap<String, String> {
    text.lines()
        .filter_map(|line| line.split_once(char::is_whitespace))
        .map(|(sum, name)| {
            let name = name.trim().trim_start_matches('*').trim_start_matches("./");
            (name.to_owned(), sum.to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_sum_names_file_sums_and_remedy() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cifar-10-binary.tar.gz");
        let message = check_file("cifar10", &path, b"no").unwrap_err().to_string();
        for part in [
            "cifar-10-binary.tar.gz",
            "c4a38c50a1bc",
            &sha256(b"no"),
            SUMS,
        ] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn sums_beside_the_data_override() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cifar-10-binary.tar.gz");
        let sums = format!("{} *cifar-10-binary.tar.gz\n", sha256(b"no"));
        std::fs::write(directory.path().join(SUMS), sums).unwrap();
        assert_eq!(check_file("cifar10", &path, b"no"), Ok(true));
        assert!(check_file("cifar10", &path, b"yes").is_err());
    }

    #[test]
    fn sums_above_unpacked_files_override() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("cifar100");
        std::fs::create_dir(&directory).unwrap();
        let path = directory.join("cifar-100-binary/test.bin");
        assert_eq!(check_file("cifar100", &path, b"no"), Ok(false));
        let sums = format!("{}  cifar-100-binary/test.bin\n", sha256(b"no"));
        std::fs::write(directory.join(SUMS), sums).unwrap();
        assert_eq!(check_file("cifar100", &path, b"no"), Ok(true));
        assert!(check_file("cifar100", &path, b"yes").is_err());
    }

    #[test]
    fn sums_that_cannot_be_read_are_an_error() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(SUMS), [0xff]).unwrap();
        let path = directory.path().join("train.bin");
        let message = check_file("cifar100", &path, b"").unwrap_err().to_string();
        assert!(
            message.contains(SUMS) && message.contains("cannot read"),
            "{message}"
        );
    }

    #[test]
    fn every_sum_is_known_once() {
        let mut sums: Vec<&str> = FILES.iter().chain(CONTENTS).map(|known| known.2).collect();
        sums.sort_unstable();
        assert!(sums.windows(2).all(|pair| pair[0] != pair[1]));
        for sum in sums {
            assert_eq!(sum.len(), 64);
            assert!(sum.bytes().all(|byte| byte.is_ascii_hexdigit()), "{sum}");
        }
    }

    #[test]
    fn a_wrong_count_names_file_numbers_and_remedy() {
        let path = Path::new("/data/kmnist/train-images-idx3-ubyte");
        assert_eq!(check_count("kmnist", path, 60_000, 60_000), Ok(()));
        let error = check_count("kmnist", path, 3, 60_000).unwrap_err();
        let message = error.to_string();
        for part in ["/data/kmnist/train-images", "3", "60000", "kmnist`", SUMS] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn unknown_files_are_not_checked() {
        assert_eq!(check_file("kmnist", Path::new("/x/y"), b""), Ok(false));
    }

    #[test]
    fn sha256_of_nothing() {
        let expected = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sha256(b""), expected);
    }
}
