//! The files that a sweep's program is made of, as they are where the sweep is
//! submitted.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, glob_with};
use swath_model::id::InputDigest;
use swath_model::program::{INPUTS_BYTES_MAX, input_digest};
use swath_sweep::{FileError, Named, SweepFile};

/// More files are a mistake, such as a data set.
const FILES_MAX: usize = 10_000;

/// How a script begins.
const SCRIPT: &[u8] = b"#!";

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The files by their paths in the program's directory.
    pub(super) inputs: BTreeMap<String, InputDigest>,
    /// The whole path of that directory, if the sweep file has a program.
    pub(super) directory: Option<String>,
    /// A file of the command that is not where the program will be started, but
    /// beside the sweep file.
    pub(super) misplaced: Option<String>,
}

/// Finds and digests the files of a sweep's program. `beside` is the directory
/// of the sweep file.
///
/// Where the file has no `inputs`, they are the command's own file: a script
/// that is named by its path, or else the first argument that is a file.
pub(super) fn find(file: &SweepFile, beside: &Path) -> Result<Found, FileError> {
    let Some(program) = &file.program else {
        return Ok(Found {
            inputs: own(file, Path::new("")),
            directory: None,
            misplaced: misplaced(file, beside),
        });
    };
    let named = &program.directory;
    let directory = beside.join(&named.path);
    let directory = directory
        .canonicalize()
        .map_err(|error| named.error(format!("{}: {error}", directory.display())))?;
    if !directory.is_dir() {
        return Err(named.error(format!("{} is no directory", directory.display())));
    }
    let inputs = match &program.inputs {
        None => own(file, &directory),
        Some(patterns) => matched(patterns, &directory)?,
    };
    Ok(Found {
        inputs,
        directory: Some(directory.to_string_lossy().into_owned()),
        misplaced: None,
    })
}

/// The own files of all commands of a sweep.
fn own(file: &SweepFile, directory: &Path) -> BTreeMap<String, InputDigest> {
    let commands = file.commands();
    let files = commands
        .iter()
        .filter_map(|words| own_file(words, directory));
    files.collect()
}

fn own_file(words: &[String], directory: &Path) -> Option<(String, InputDigest)> {
    let (program, arguments) = words.split_first()?;
    let read = |word: &String| Some((word.clone(), content(&directory.join(word))?));
    let script = read(program).filter(|(path, content)| {
        // Interpreters are named by their paths too, and differ between hosts.
        path.contains('/') && content.starts_with(SCRIPT)
    });
    let plain = |word: &&String| !word.starts_with('-') && !word.contains(['{', '\n', '\0']);
    let argument = || arguments.iter().filter(plain).find_map(read);
    let (path, content) = script.or_else(argument)?;
    Some((path, input_digest(&content)))
}

/// A word of a command that is a file only if it is seen from the sweep file.
fn misplaced(file: &SweepFile, beside: &Path) -> Option<String> {
    let words = file.commands().concat();
    let there = |word: &String| !Path::new(word).exists() && beside.join(word).is_file();
    words.into_iter().find(there)
}

/// The content of a regular file that is not too large to be a program.
fn content(path: &Path) -> Option<Vec<u8>> {
    let about = fs::metadata(path).ok()?;
    if !about.is_file() || about.len() > INPUTS_BYTES_MAX {
        return None;
    }
    fs::read(path).ok()
}

fn matched(
    patterns: &[Named],
    directory: &Path,
) -> Result<BTreeMap<String, InputDigest>, FileError> {
    let mut inputs = BTreeMap::new();
    let mut bytes = 0;
    for pattern in patterns {
        let mut any = false;
        for path in paths(pattern, directory)? {
            let told =
                |error: std::io::Error| pattern.error(format!("{}: {error}", path.display()));
            let Ok(name) = path.strip_prefix(directory) else {
                return Err(pattern.error(format!(
                    "{} is not in {}",
                    path.display(),
                    directory.display()
                )));
            };
            any = true;
            let mut content = Vec::new();
            let file = fs::File::open(&path).map_err(told)?;
            file.take(INPUTS_BYTES_MAX + 1)
                .read_to_end(&mut content)
                .map_err(told)?;
            bytes += content.len() as u64;
            if bytes > INPUTS_BYTES_MAX || inputs.len() >= FILES_MAX {
                return Err(pattern.error(format!(
                    "the files are more than {FILES_MAX}, or larger than {} MiB together; name \
                     the code only, and data in [local]",
                    INPUTS_BYTES_MAX >> 20
                )));
            }
            inputs.insert(name.to_string_lossy().into_owned(), input_digest(&content));
        }
        if !any {
            let message = format!(
                "`{}` matches no file in {}",
                pattern.path,
                directory.display()
            );
            return Err(pattern.error(message));
        }
    }
    Ok(inputs)
}

/// The regular files that a pattern matches, as far as they do not lie in hidden
/// directories.
fn paths(pattern: &Named, directory: &Path) -> Result<Vec<PathBuf>, FileError> {
    let root = glob::Pattern::escape(&directory.to_string_lossy());
    let options = MatchOptions {
        require_literal_leading_dot: true,
        require_literal_separator: true,
        ..MatchOptions::default()
    };
    let found = glob_with(&format!("{root}/{}", pattern.path), options)
        .map_err(|error| pattern.error(format!("`{}`: {error}", pattern.path)))?;
    let mut paths = Vec::new();
    for path in found {
        let path = path.map_err(|error| pattern.error(error.to_string()))?;
        if path.is_file()
            && !path
                .components()
                .any(|part| part.as_os_str() == "__pycache__")
        {
            paths.push(path);
        }
    }
    Ok(paths)
}
