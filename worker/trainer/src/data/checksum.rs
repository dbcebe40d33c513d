//! SHA-256 of the well-known files.
//!
//! A file `SHA256SUMS` beside the data overrides the built-in sums, so that a
//! mirror may hold files of its own.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::failure::Failure;

/// The name of the file with overriding sums, in the format of `sha256sum`.
pub(super) const SUMS: &str = "SHA256SUMS";

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
];

/// Sums of what the files hold when unpacked: Debian packs Fashion-MNIST
/// differently from its authors.
const CONTENTS: &[(&str, &str, &str)] = &[
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
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Checks a file's bytes. Returns whether a sum was known.
///
/// # Errors
///
/// [`Failure::Invalid`] with both sums and the remedy where they differ.
pub(super) fn check_file(dataset: &str, path: &Path, bytes: &[u8]) -> Result<bool, Failure> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let known = overriding(path, &name).or_else(|| built_in(FILES, dataset, &name));
    compare(path, known.as_deref(), bytes)
}

/// Checks what a file unpacks to, where no sum of the file itself was known.
///
/// # Errors
///
/// As [`check_file`].
pub(super) fn check_content(
    dataset: &str,
    path: &Path,
    stem: &str,
    bytes: &[u8],
) -> Result<bool, Failure> {
    compare(path, built_in(CONTENTS, dataset, stem).as_deref(), bytes)
}

fn compare(path: &Path, known: Option<&str>, bytes: &[u8]) -> Result<bool, Failure> {
    let Some(expected) = known else {
        return Ok(false);
    };
    let found = sha256(bytes);
    if found.eq_ignore_ascii_case(expected) {
        return Ok(true);
    }
    Err(Failure::Invalid(format!(
        "{} is damaged or another file: its SHA-256 is {found}, expected {expected}; delete it and \
         provide it anew, or, if it is meant to differ, list its sum in a file {SUMS} beside it",
        path.display()
    )))
}

fn built_in(table: &[(&str, &str, &str)], dataset: &str, name: &str) -> Option<String> {
    table
        .iter()
        .find(|(set, file, _)| *set == dataset && *file == name)
        .map(|(_, _, sum)| (*sum).to_owned())
}

fn overriding(path: &Path, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(path.parent()?.join(SUMS)).ok()?;
    parse(&text).remove(name)
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
    fn unknown_files_are_not_checked() {
        assert_eq!(check_file("kmnist", Path::new("/x/y"), b""), Ok(false));
    }

    #[test]
    fn sha256_of_nothing() {
        let expected = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sha256(b""), expected);
    }
}
