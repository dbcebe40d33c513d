//! The formats in which a reader can get an answer.

use std::fmt;
use std::str::FromStr;

/// The formats that `-o` takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// For people, at a terminal.
    #[default]
    Table,
    /// For people, with every column.
    Wide,
    /// One JSON document.
    Json,
    /// One JSON document per row.
    Jsonl,
    /// CSV according to RFC 4180.
    Csv,
    /// A Markdown table.
    Markdown,
    /// A LaTeX table for the package booktabs.
    Latex,
    /// One HTML page.
    Html,
    /// One id per line.
    Ids,
}

impl Format {
    /// Every format, in the order of the help.
    pub const ALL: [Self; 9] = [
        Self::Table,
        Self::Wide,
        Self::Json,
        Self::Jsonl,
        Self::Csv,
        Self::Markdown,
        Self::Latex,
        Self::Html,
        Self::Ids,
    ];

    /// The name that a user types.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Wide => "wide",
            Self::Json => "json",
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Markdown => "md",
            Self::Latex => "latex",
            Self::Html => "html",
            Self::Ids => "ids",
        }
    }

    /// Whether people read it at a terminal, so that colour and the terminal's
    /// width matter.
    pub const fn is_for_terminals(self) -> bool {
        matches!(self, Self::Table | Self::Wide)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = |format: &Self| format.name() == text;
        Self::ALL.into_iter().find(named).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("`{text}` is not a format; the formats are {names}")
        })
    }
}
