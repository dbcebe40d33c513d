//! The texts of a table or list in rows and columns, before any markup.

use std::borrow::Cow;

use swath_results::table::{Column, Field, Kind, Shown, Table};

use crate::style::{Style, Tone};
use crate::{Markup, csv, html, latex, markdown, terminal};

/// Texts in rows and columns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sheet<'a> {
    pub(crate) title: &'a str,
    pub(crate) notes: Vec<Cow<'a, str>>,
    pub(crate) heads: Vec<Head<'a>>,
    pub(crate) rows: Vec<Vec<Cell<'a>>>,
    /// The footnotes, as mark and text.
    pub(crate) footnotes: Vec<(&'a str, &'a str)>,
    /// What it means that a cell is marked as best.
    pub(crate) best: Option<&'a str>,
    /// What the reader of a terminal may try next.
    pub(crate) advice: Vec<&'a str>,
    /// Whether it may be rearranged to fit; a row of a list stays on one line.
    pub(crate) fits: bool,
}

/// The head of a column.
#[derive(Clone, Debug)]
pub(crate) struct Head<'a> {
    pub(crate) text: Cow<'a, str>,
    pub(crate) group: Option<&'a str>,
    pub(crate) align: Align,
    /// Whether its fields name their rows.
    pub(crate) name: bool,
    /// Whether the brackets say how many runs a number is from.
    pub(crate) counts: bool,
    /// The text on several lines; empty when it fits on one.
    pub(crate) lines: Vec<String>,
}

impl Head<'_> {
    /// Its text line by line.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        let whole = self.lines.is_empty().then_some(self.text.as_ref());
        whole
            .into_iter()
            .chain(self.lines.iter().map(String::as_str))
    }
}

/// The side to which the texts of a column are aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// One text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell<'a> {
    pub(crate) text: Cow<'a, str>,
    /// What follows in brackets.
    pub(crate) behind: Option<String>,
    pub(crate) marks: &'a [String],
    pub(crate) best: bool,
    pub(crate) kind: CellKind,
    pub(crate) tone: Tone,
}

/// What kind of text this is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum CellKind {
    #[default]
    Text,
    /// A number, aligned with those above and below it.
    Number,
}

impl<'a> Cell<'a> {
    /// A text of a list; whether it is a number, its column says.
    pub(crate) fn text(text: &'a str, align: Align) -> Self {
        Self {
            text: Cow::Borrowed(text),
            kind: match align {
                Align::Left => CellKind::Text,
                Align::Right => CellKind::Number,
            },
            ..Self::default()
        }
    }

    /// The whole text, without marks.
    pub(crate) fn whole(&self) -> Cow<'_, str> {
        match &self.behind {
            None => Cow::Borrowed(&self.text),
            Some(behind) => Cow::Owned(format!("{} ({behind})", self.text)),
        }
    }

    fn of_figure(shown: &'a Shown) -> Self {
        let (text, behind) = shown.parts();
        let tally = shown.figure.tally();
        let has_number = shown.figure.median().is_some();
        Self {
            tone: match () {
                () if shown.best => Tone::Strong,
                () if has_number => Tone::Plain,
                () if tally.open > 0 => Tone::Faint,
                () => Tone::Bad,
            },
            text: Cow::Owned(text),
            behind,
            marks: &shown.marks,
            best: shown.best,
            kind: if has_number {
                CellKind::Number
            } else {
                CellKind::Text
            },
        }
    }

    fn of_field(field: &'a Field) -> Self {
        let (text, kind) = match field {
            Field::Figure(shown) => return Self::of_figure(shown),
            Field::Noted {
                text,
                behind,
                marks,
            } => {
                return Self {
                    text: Cow::Borrowed(text),
                    behind: behind.clone(),
                    marks,
                    kind: if text.contains('/') {
                        CellKind::Text
                    } else {
                        CellKind::Number
                    },
                    ..Self::default()
                };
            }
            Field::Blank => ("", CellKind::Text),
            Field::Text(text) => (text.as_str(), CellKind::Text),
            Field::Number(text) => (text.as_str(), CellKind::Number),
        };
        Self {
            text: Cow::Borrowed(text),
            kind,
            ..Self::default()
        }
    }
}

impl<'a> Sheet<'a> {
    pub(crate) fn of_table(table: &'a Table) -> Self {
        let names = table.columns.iter();
        let names = names.take_while(|it| it.kind == Kind::Name).count();
        let heads = table.columns.iter().enumerate().map(|(at, column)| Head {
            text: Cow::Owned(column.heading()),
            group: column.group.as_deref(),
            align: align(table, at, column),
            name: at < names,
            counts: is_counted(table, at),
            lines: Vec::new(),
        });
        let rows = table.rows.iter();
        let rows = rows.map(|row| row.fields.iter().map(Cell::of_field).collect());
        Self {
            title: &table.title,
            notes: table.notes.iter().map(|it| it.as_str().into()).collect(),
            heads: heads.collect(),
            rows: rows.collect(),
            footnotes: table
                .footnotes
                .iter()
                .map(|note| (note.mark.as_deref().unwrap_or(""), note.text.as_str()))
                .collect(),
            best: table.best.as_deref(),
            advice: table.advice.iter().map(String::as_str).collect(),
            fits: true,
        }
    }

    pub(crate) fn render(&self, markup: Markup, style: &Style) -> String {
        match markup {
            Markup::Plain => terminal::render(self, *style),
            Markup::Markdown => markdown::render(self),
            Markup::Latex => latex::render(self),
            Markup::Html => html::render(self),
            Markup::Csv => csv::render(self),
        }
    }
}

/// Whether a column has figures whose brackets say how many runs they are from.
fn is_counted(table: &Table, at: usize) -> bool {
    let mut fields = table.rows.iter().filter_map(|row| row.fields.get(at));
    fields.any(|field| matches!(field, Field::Figure(_)))
}

/// Measured columns and columns of numbers are aligned to the right.
fn align(table: &Table, at: usize, column: &Column) -> Align {
    let is_text = |field: &Field| matches!(field, Field::Text(_));
    let mut fields = table.rows.iter().filter_map(|row| row.fields.get(at));
    if column.kind == Kind::Measure || !fields.any(is_text) {
        Align::Right
    } else {
        Align::Left
    }
}
