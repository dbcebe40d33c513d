//! TOML, with the place of every key and value.

use std::ops::Range;
use std::sync::Arc;

use serde_json::{Map, Number, Value};
use swath_model::extent;
use toml_edit::{Item, Key, TableLike};

use crate::error::{FileError, Place};

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) shape: Shape,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    Scalar(Value),
    /// A text. `exact`: its characters are in the file as they are, one column
    /// each from the second on, so that a place inside it can be named.
    Text {
        text: String,
        exact: bool,
    },
    List(Vec<Node>),
    /// Entries in written order.
    Table(Vec<Entry>),
}

/// One key of a table and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) node: Node,
}

impl Node {
    /// Whether it has more levels of lists and tables than `most`.
    pub(super) fn is_deeper(&self, most: usize) -> bool {
        let is_deep = |inner: &Self| inner.is_deeper(most - 1);
        match &self.shape {
            Shape::Scalar(_) | Shape::Text { .. } => false,
            Shape::List(items) => most == 0 || items.iter().any(is_deep),
            Shape::Table(entries) => most == 0 || entries.iter().any(|it| is_deep(&it.node)),
        }
    }

    /// The value as JSON.
    pub(super) fn value(&self) -> Value {
        match &self.shape {
            Shape::Scalar(value) => value.clone(),
            Shape::Text { text, .. } => Value::String(text.clone()),
            Shape::List(items) => items.iter().map(Self::value).collect(),
            Shape::Table(entries) => entries
                .iter()
                .map(|entry| (entry.name.clone(), entry.node.value()))
                .collect::<Map<_, _>>()
                .into(),
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.shape {
            Shape::Text { text, .. } => Some(text),
            _ => None,
        }
    }

    pub(super) fn entries(&self) -> Option<&[Entry]> {
        match &self.shape {
            Shape::Table(entries) => Some(entries),
            _ => None,
        }
    }

    /// The items of a list; a value that is not a list is its own only item.
    pub(super) fn items(&self) -> &[Self] {
        match &self.shape {
            Shape::List(items) => items,
            _ => std::slice::from_ref(self),
        }
    }

    /// Where the character at byte `offset` of this text stands.
    pub(super) fn inside(&self, offset: usize) -> Place {
        match &self.shape {
            Shape::Text { text, exact: true } => {
                let before = text.get(..offset).unwrap_or(text);
                self.place.right(1 + before.chars().count() as u32)
            }
            _ => self.place.clone(),
        }
    }
}

/// How other languages write that there is no value.
const NULLS: [&str; 6] = ["null", "Null", "NULL", "None", "none", "nil"];
const NO_NULL: &str = "TOML has no null: leave the parameter out in place of it, in a [[grid]] \
                       block of its own where other cells have it";

fn begins_with_word(text: &str, word: &str) -> bool {
    let rest = text.strip_prefix(word);
    rest.is_some_and(|rest| !rest.starts_with(|it: char| it.is_alphanumeric() || it == '_'))
}

/// Checks a TOML text against the limits of files, before anything makes a tree of
/// it: who walks over a tree that is too deep runs out of stack.
///
/// # Errors
///
/// The first place that is beyond a limit.
pub fn check_extent(file: &str, text: &str) -> Result<(), FileError> {
    let place = |it: extent::Excess| {
        Source::new(file, text)
            .place(it.offset)
            .error("", it.message)
    };
    extent::check(text).map_err(place)
}

/// Parses TOML into the entries of its root.
pub(super) fn parse(file: &str, text: &str) -> Result<Vec<Entry>, FileError> {
    let source = Source::new(file, text);
    extent::check(text).map_err(|it| source.place(it.offset).error("", it.message))?;
    match toml_edit::Document::parse(text) {
        Ok(document) => source.entries(document.as_table()),
        Err(error) => {
            let span = error.span().unwrap_or(0..0);
            let message = match text.get(span.start..) {
                Some(rest) if NULLS.iter().any(|null| begins_with_word(rest, null)) => {
                    NO_NULL.to_owned()
                }
                _ => error.message().lines().collect::<Vec<_>>().join("; "),
            };
            let key = match text.get(span.clone()) {
                Some(key) if message == "duplicate key" => key.trim_matches(['"', '\'']),
                _ => "",
            };
            Err(source.place(span.start).error(key, message))
        }
    }
}

struct Source<'a> {
    file: Arc<str>,
    text: &'a str,
    /// Where each line starts; kept because a list of 100,000 values has as
    /// many places.
    lines: Vec<usize>,
    ascii: bool,
}

impl<'a> Source<'a> {
    fn new(file: &str, text: &'a str) -> Self {
        let breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            file: file.into(),
            text,
            lines: std::iter::once(0).chain(breaks).collect(),
            ascii: text.is_ascii(),
        }
    }

    fn place(&self, offset: usize) -> Place {
        let line = self.lines.partition_point(|start| *start <= offset).max(1);
        let start = self.lines[line - 1];
        let column = match self.text.get(start..offset) {
            Some(before) if !self.ascii => before.chars().count(),
            _ => offset - start,
        };
        Place {
            file: self.file.clone(),
            line: line as u32,
            column: 1 + column as u32,
        }
    }

    fn entries(&self, table: &dyn TableLike) -> Result<Vec<Entry>, FileError> {
        let mut entries = Vec::new();
        for (name, item) in table.iter() {
            let start = |span: Option<Range<usize>>| span.map(|span| span.start);
            let at = start(table.key(name).and_then(Key::span))
                .or_else(|| start(item.span()))
                .unwrap_or(0);
            entries.push((at, name, item));
        }
        // Dotted keys are grouped by their table, but what counts is the order
        // in which they were written.
        entries.sort_by_key(|(at, ..)| *at);
        entries
            .into_iter()
            .map(|(at, name, item)| {
                Ok(Entry {
                    name: name.to_owned(),
                    place: self.place(at),
                    node: self.item(item, at)?,
                })
            })
            .collect()
    }

    fn item(&self, item: &Item, key_at: usize) -> Result<Node, FileError> {
        let at = item.span().map_or(key_at, |span| span.start);
        let shape = match item {
            Item::None => Shape::Table(Vec::new()),
            Item::Value(value) => return self.value(value, key_at),
            Item::Table(table) => Shape::Table(self.entries(table)?),
            Item::ArrayOfTables(tables) => {
                let tables = tables.iter().map(|table| {
                    let at = table.span().map_or(at, |span| span.start);
                    Ok(Node {
                        place: self.place(at),
                        shape: Shape::Table(self.entries(table)?),
                    })
                });
                Shape::List(tables.collect::<Result<_, _>>()?)
            }
        };
        let place = self.place(at);
        Ok(Node { place, shape })
    }

    fn value(&self, value: &toml_edit::Value, key_at: usize) -> Result<Node, FileError> {
        use toml_edit::Value as Toml;
        let span = value.span().unwrap_or(key_at..key_at);
        let place = self.place(span.start);
        let shape = match value {
            Toml::String(text) => Shape::Text {
                text: text.value().clone(),
                exact: span.len() == text.value().len() + 2 && !text.value().contains('\n'),
            },
            Toml::Integer(number) => Shape::Scalar((*number.value()).into()),
            Toml::Float(number) => match Number::from_f64(*number.value()) {
                Some(number) => Shape::Scalar(Value::Number(number)),
                None => return Err(place.error("", "a number must be finite")),
            },
            Toml::Boolean(value) => Shape::Scalar((*value.value()).into()),
            Toml::Datetime(_) => {
                return Err(place.error("", "no key takes a date; quote it if it is a text"));
            }
            Toml::Array(items) => {
                let items = items.iter().map(|item| self.value(item, span.start));
                Shape::List(items.collect::<Result<_, _>>()?)
            }
            Toml::InlineTable(table) => Shape::Table(self.entries(table)?),
        };
        Ok(Node { place, shape })
    }
}
