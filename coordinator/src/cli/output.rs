//! The value of `-o`: the name of a format or, for some verbs, a file.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::builder::{EnumValueParser, PossibleValue, TypedValueParser};
use clap::{Arg, Command, ValueEnum};

use super::Format;

/// How an answer is written, or where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// To stdout in this form.
    Format(Format),
    /// To a file; its ending says in which form.
    File(PathBuf),
}

impl Output {
    /// The form of what goes to stdout.
    pub(crate) fn format(&self) -> swath_report::Format {
        match self {
            Self::Format(format) => (*format).into(),
            Self::File(_) => swath_report::Format::default(),
        }
    }

    /// The file, if one was named.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        match self {
            Self::Format(_) => None,
            Self::File(path) => Some(path.clone()),
        }
    }
}

/// Reads an [`Output`]. A word that names no format and has an ending or a
/// directory is a file; where a directory is meant, every such word is one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutputParser {
    takes_directory: bool,
}

impl OutputParser {
    pub(crate) const fn file() -> Self {
        Self {
            takes_directory: false,
        }
    }

    pub(crate) const fn directory() -> Self {
        Self {
            takes_directory: true,
        }
    }
}

impl TypedValueParser for OutputParser {
    type Value = Output;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Output, clap::Error> {
        let path = Path::new(value);
        let nested = path.parent().is_some_and(|it| !it.as_os_str().is_empty());
        if nested || path.extension().is_some() {
            return Ok(Output::File(path.to_owned()));
        }
        let format = EnumValueParser::<Format>::new().parse_ref(command, argument, value);
        match format {
            Err(_) if self.takes_directory && !value.is_empty() => {
                Ok(Output::File(path.to_owned()))
            }
            format => format.map(Output::Format),
        }
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let formats = Format::value_variants().iter();
        Some(Box::new(formats.filter_map(Format::to_possible_value)))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn a_file_has_an_ending_or_a_directory() {
        let output = |text: &str| {
            let words = ["coordinator", "export", "last", "-o", text];
            Cli::try_parse_from(words).map(|cli| cli.global.output)
        };
        assert_eq!(output("md").unwrap(), Output::Format(Format::Md));
        for file in ["a.md", "./table", "out/a.csv", "md.html"] {
            assert_eq!(output(file).unwrap().file(), Some(file.into()), "{file}");
        }
        let error = output("jsn").unwrap_err().to_string();
        assert!(error.contains("'json'"), "{error}");
    }

    #[test]
    fn files_are_fetched_into_any_directory() {
        let output = |text: &str| {
            let words = ["coordinator", "files", "3fa9c1", "-o", text];
            Cli::read(words).map(|cli| cli.global.output)
        };
        assert_eq!(output("jsonl").unwrap(), Output::Format(Format::Jsonl));
        for directory in ["out", ".", "a/b", "./json"] {
            assert_eq!(output(directory).unwrap().file(), Some(directory.into()));
        }
        assert!(output("").is_err());
    }
}
