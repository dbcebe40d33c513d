//! Errors of a sweep file: each at its line and column.

use std::fmt;
use std::sync::Arc;

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
            key: key.into(),
            message: message.into(),
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
