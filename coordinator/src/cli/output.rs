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
/// directory is a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutputParser;

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
        EnumValueParser::<Format>::new()
            .parse_ref(command, argument, value)
            .map(Output::Format)
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
}
