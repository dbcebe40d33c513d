//! Tables in GitHub's Markdown.

use std::borrow::Cow;

use crate::sheet::{Align, Cell, Sheet};
use crate::style::visible;

pub(crate) fn render(sheet: &Sheet<'_>) -> String {
    let mut out = String::new();
    if !sheet.title.is_empty() {
        put!(out, "**{}**\n\n", escaped(sheet.title));
    }
    for note in &sheet.notes {
        out.push_str(&escaped(note));
        out.push('\n');
    }
    if !sheet.notes.is_empty() {
        out.push('\n');
    }
    for head in &sheet.heads {
        let text = match head.group {
            None => head.text.clone(),
            Some(group) => Cow::Owned(format!("{group} {}", head.text)),
        };
        field(&mut out, &escaped(&text));
    }
    out.push_str("|\n");
    for head in &sheet.heads {
        out.push_str(match head.align {
            Align::Left => "| --- ",
            Align::Right => "| ---: ",
        });
    }
    out.push_str("|\n");
    for row in &sheet.rows {
        for cell in row {
            cell_into(&mut out, cell);
        }
        out.push_str("|\n");
    }
    footnotes(&mut out, sheet);
    out
}

fn field(out: &mut String, text: &str) {
    out.push_str("| ");
    out.push_str(text);
    if !text.is_empty() {
        out.push(' ');
    }
}

fn cell_into(out: &mut String, cell: &Cell<'_>) {
    if cell.behind.is_none() && cell.marks.is_empty() && !cell.best {
        field(out, &escaped(&cell.text));
        return;
    }
    let mut text = escaped(&cell.text).into_owned();
    if cell.best {
        text = format!("**{text}**");
    }
    if let Some(behind) = &cell.behind {
        put!(text, " ({})", escaped(behind));
    }
    for mark in cell.marks {
        put!(text, " <sup>{mark}</sup>");
    }
    field(out, &text);
}

fn footnotes(out: &mut String, sheet: &Sheet<'_>) {
    let best = sheet.best.map(|best| format!("Bold: {best}."));
    let notes = sheet.footnotes.iter().map(|(mark, text)| match *mark {
        "" => format!("{}.", escaped(text)),
        mark => format!("<sup>{mark}</sup> {}.", escaped(text)),
    });
    let notes: Vec<String> = best.into_iter().chain(notes).collect();
    if !notes.is_empty() {
        out.push('\n');
    }
    for note in notes {
        out.push_str("- ");
        out.push_str(&note);
        out.push('\n');
    }
}

/// `text` so that Markdown shows it as it is, on one line.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    let text = visible(text);
    let special = |char| {
        matches!(
            char,
            '\\' | '|' | '*' | '_' | '`' | '<' | '>' | '[' | ']' | '~' | '&' | '#' | '$'
        )
    };
    if !text.contains(special) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 8);
    let mut before = ' ';
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        // An underscore within a word is only that, and a lone `&` is no
        // entity.
        let next = chars.peek().copied().unwrap_or(' ');
        let harmless = match char {
            '_' => before.is_alphanumeric() && next.is_alphanumeric(),
            '&' => next == ' ',
            _ => false,
        };
        if special(char) && !harmless {
            out.push('\\');
        }
        out.push(char);
        before = char;
    }
    Cow::Owned(out)
}
