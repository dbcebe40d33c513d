//! Errors of a sweep file: each at its line and column.

use std::fmt;
use std::sync::Arc;

use swath_model::limits::{MISTAKE_BYTES_MAX, MISTAKES_TOLD_MAX};
use swath_model::text::cut;

/// So much of a key is told, in bytes.
const KEY_TOLD_BYTES: usize = 256;
/// So many mistakes are kept, to tell the first ones in the order of the file.
const KEPT_MAX: usize = 1000;

/// Where something stands in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file, as the user named it or as it lies beside the one they named.
    pub file: Arc<str>,
    /// Line, from 1; 0 when the file as a whole is meant.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl Place {
    /// The file as a whole.
    pub fn whole(file: &str) -> Self {
        Self {
            file: file.into(),
            line: 0,
            column: 0,
        }
    }

    /// The place `columns` further to the right.
    #[must_use]
    pub fn right(&self, columns: u32) -> Self {
        Self {
            column: self.column + columns,
            ..self.clone()
        }
    }

    /// An error at this place.
    pub fn error(&self, key: impl Into<String>, message: impl Into<String>) -> FileError {
        FileError {
            file: self.file.to_string(),
            line: self.line,
            column: self.column,
            key: cut(key.into(), KEY_TOLD_BYTES),
            message: cut(message.into(), MISTAKE_BYTES_MAX),
        }
    }
}

/// What is wrong in a sweep file or a recipe, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    /// The file.
    pub file: String,
    /// Line, from 1; 0 when the file as a whole is meant.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// The dotted path of the key; empty when no key is meant.
    pub key: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if !self.key.is_empty() {
            write!(f, ": `{}`", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for FileError {}

/// The mistakes of a file. A file may have as many as keys, so only the first
/// ones found are kept, and the others counted.
#[derive(Debug, Default)]
pub(crate) struct Errors {
    kept: Vec<FileError>,
    count: usize,
}

impl Errors {
    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.count
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn push(&mut self, error: FileError) {
        self.push_with(|| error);
    }

    /// The same for a mistake that takes time to put into words.
    pub(crate) fn push_with(&mut self, error: impl FnOnce() -> FileError) {
        self.count += 1;
        if self.kept.len() < KEPT_MAX {
            self.kept.push(error());
        }
    }

    /// The first ones in the order of `file`, then those of other files; and how
    /// many more there are.
    pub(crate) fn report(self, file: &str) -> Vec<FileError> {
        let Self { mut kept, count } = self;
        kept.sort_by(|left, right| {
            let key = |error: &FileError| {
                let other = error.file != file;
                (other, error.file.clone(), error.line, error.column)
            };
            key(left).cmp(&key(right))
        });
        told(kept, count, file)
    }
}

impl Extend<FileError> for Errors {
    fn extend<T: IntoIterator<Item = FileError>>(&mut self, errors: T) {
        errors.into_iter().for_each(|error| self.push(error));
    }
}

/// The first of `kept`, and how many more of the `count` there are.
fn told(mut kept: Vec<FileError>, count: usize, file: &str) -> Vec<FileError> {
    kept.truncate(MISTAKES_TOLD_MAX);
    let more = count - kept.len();
    if more > 0 {
        kept.push(Place::whole(file).error("", format!("and {more} more mistakes")));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_mistakes_are_told_and_the_others_counted() {
        let place = |line: u32| Place {
            line,
            ..Place::whole("x.toml")
        };
        let mut errors = Errors::default();
        for line in (1..=500).rev() {
            errors.push(place(line).error("k".repeat(10_000), "é".repeat(10_000)));
        }
        let vain = || -> FileError { unreachable!("nobody reads that many") };
        errors.extend((0..500).map(|line| place(line).error("", "")));
        (0..299_000).for_each(|_| errors.push_with(vain));
        assert_eq!(errors.len(), 300_000);
        let told = errors.report("x.toml");
        assert_eq!(told.len(), MISTAKES_TOLD_MAX + 1);
        assert!(told[..20].is_sorted_by_key(|it| it.line));
        assert!(told.iter().all(|it| it.to_string().len() < 1400));
        assert_eq!(told[20].to_string(), "x.toml: and 299980 more mistakes");
    }
}
