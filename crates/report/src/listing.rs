//! Lists of sweeps, jobs and workers, with fixed columns and documents.

use std::borrow::Cow;

use serde_json::{Map, Value, json};
use swath_model::view::SCHEMA_VERSION;

use crate::sheet::{Align, Cell, Head, Sheet};
use crate::{Format, Markup, Style};

/// A list of one kind of thing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing {
    /// What the things are called, such as `sweeps`: the key of the JSON
    /// document.
    pub key: String,
    /// The columns: those of the narrow table, and those that only `wide` and
    /// the file formats have.
    pub columns: Vec<ListingColumn>,
    /// One row per thing with one text per column.
    pub rows: Vec<Vec<String>>,
    /// The things for programs, one per row.
    pub documents: Vec<Value>,
    /// Their ids, one per row.
    pub ids: Vec<String>,
}

/// One column of a [`Listing`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListingColumn {
    name: String,
    wide: bool,
    number: bool,
}

impl ListingColumn {
    /// A column of words.
    pub fn text(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            wide: false,
            number: false,
        }
    }

    /// A column of numbers or times, aligned to the right.
    pub fn number(name: &str) -> Self {
        Self {
            number: true,
            ..Self::text(name)
        }
    }

    /// The same column, left out of the narrow table.
    #[must_use]
    pub fn wide(self) -> Self {
        Self { wide: true, ..self }
    }
}

impl Listing {
    /// An empty list of `key` with these columns.
    pub fn new(key: &str, columns: impl IntoIterator<Item = ListingColumn>) -> Self {
        Self {
            key: key.to_owned(),
            columns: columns.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Adds a thing: its id, its texts, its document.
    pub fn push(&mut self, id: impl Into<String>, row: Vec<String>, document: Value) {
        self.ids.push(id.into());
        self.rows.push(row);
        self.documents.push(document);
    }

    /// The list in a format.
    pub fn render(&self, format: Format, style: &Style) -> String {
        match format {
            Format::Table => self.sheet(false).render(Markup::Plain, style),
            Format::Wide => self.sheet(true).render(Markup::Plain, style),
            Format::Csv => self.sheet(true).render(Markup::Csv, style),
            Format::Markdown => self.sheet(true).render(Markup::Markdown, style),
            Format::Latex => self.sheet(true).render(Markup::Latex, style),
            Format::Html => self.sheet(true).render(Markup::Html, style),
            Format::Ids => lines(self.ids.iter().map(|id| crate::visible(id))),
            Format::Json => {
                let document = json!({
                    "schema_version": SCHEMA_VERSION,
                    &self.key: &self.documents,
                });
                pretty(&document, style)
            }
            Format::Jsonl => lines(self.documents.iter().map(|it| versioned(it).into())),
        }
    }

    fn sheet(&self, wide: bool) -> Sheet<'_> {
        let shown: Vec<usize> = (0..self.columns.len())
            .filter(|at| wide || !self.columns[*at].wide)
            .collect();
        let align = |column: &ListingColumn| {
            if column.number {
                Align::Right
            } else {
                Align::Left
            }
        };
        let heads = shown.iter().map(|at| Head {
            text: Cow::Borrowed(self.columns[*at].name.as_str()),
            group: None,
            align: align(&self.columns[*at]),
            name: false,
            counts: false,
            lines: Vec::new(),
        });
        let rows = self.rows.iter().map(|row| {
            let cells = shown.iter().map(|at| {
                let text = row.get(*at).map_or("", String::as_str);
                Cell::text(text, align(&self.columns[*at]))
            });
            cells.collect()
        });
        Sheet {
            heads: heads.collect(),
            rows: rows.collect(),
            ..Sheet::default()
        }
    }
}

/// A document for programs: on one line in a pipe, indented at a terminal.
fn pretty(document: &Value, style: &Style) -> String {
    match style.width {
        None => format!("{document}\n"),
        Some(_) => format!("{document:#}\n"),
    }
}

/// One document of many, with its own version.
fn versioned(document: &Value) -> String {
    match document {
        Value::Object(entries) => {
            let mut all = Map::new();
            all.insert("schema_version".to_owned(), SCHEMA_VERSION.into());
            all.extend(entries.clone());
            Value::Object(all).to_string()
        }
        other => other.to_string(),
    }
}

pub(crate) fn lines<'a>(lines: impl Iterator<Item = Cow<'a, str>>) -> String {
    let mut out = String::new();
    for line in lines {
        out.push_str(&line);
        out.push('\n');
    }
    out
}
