//! Tables for terminals, and for files that are read as they are.

use std::borrow::Cow;

use crate::fit::Room;
use crate::sheet::{Align, Cell, CellKind, Sheet};
use crate::style::{Style, Tone, cut, visible, width};

/// Space between two columns, and the least where space is scarce.
const GAPS: [f64; 2] = [2.0, 1.0];
/// How wide a table may be where the available width is not known.
const WIDTH: usize = 100;
/// A text column is never cut below this.
const TEXT_LEAST: usize = 8;

pub(crate) fn render(sheet: &Sheet<'_>, style: Style) -> String {
    let mut fitted = Cow::Borrowed(sheet);
    let mut gap = GAPS[0] as usize;
    if sheet.fits {
        let room = Room {
            most: style.width.unwrap_or(WIDTH) as f64,
            gaps: GAPS,
            text: |text| width(&visible(text)) as f64,
            cell: size,
        };
        gap = room.fit(fitted.to_mut()) as usize;
    }
    let sheet = fitted.as_ref();
    let columns = layout(sheet, style, gap);
    let mut out = String::new();
    if !sheet.title.is_empty() {
        out.push_str(&style.paint(Tone::Strong, &visible(sheet.title)));
        out.push('\n');
    }
    for note in &sheet.notes {
        out.push_str(&visible(note));
        out.push('\n');
    }
    if !out.is_empty() {
        out.push('\n');
    }
    groups(&mut out, sheet, &columns, style);
    heads(&mut out, sheet, &columns, style);
    for column in &columns {
        out.push_str(&style.rule(column.width));
        spaces(&mut out, column.gap);
    }
    end_line(&mut out);
    for row in &sheet.rows {
        for (cell, column) in row.iter().zip(&columns) {
            column.write(&mut out, cell, style);
        }
        end_line(&mut out);
    }
    footnotes(&mut out, sheet, style);
    out
}

/// The heads, whose last lines are just above the rule.
fn heads(out: &mut String, sheet: &Sheet<'_>, columns: &[Column], style: Style) {
    let most = sheet.heads.iter().map(|head| head.lines().count()).max();
    for line in (0..most.unwrap_or(0)).rev() {
        for (head, column) in sheet.heads.iter().zip(columns) {
            let above = head.lines().count().checked_sub(line + 1);
            let text = above.and_then(|at| head.lines().nth(at)).unwrap_or("");
            let text = visible(text);
            column.place(out, &text, &style.paint(Tone::Strong, &text));
        }
        end_line(out);
    }
}

/// The width of a field in two parts: its number up to the decimal point, and
/// the rest.
fn size(cell: &Cell<'_>) -> [f64; 2] {
    let text = visible(&cell.text);
    let (left, right) = split(&text);
    // Space for a star is always counted.
    let behind = tail_width(cell, Style::PIPE);
    [width(left) as f64, (width(right) + behind) as f64]
}

/// How the texts of one column are aligned.
struct Column {
    width: usize,
    /// Space after the column.
    gap: usize,
    /// Columns before the decimal point.
    whole: usize,
    /// Columns before the first number; words begin there too.
    start: usize,
    align: Align,
    /// Whether texts in it may be cut.
    may_cut: bool,
}

/// Splits a number before its decimal point, so that the points can be aligned.
fn split(text: &str) -> (&str, &str) {
    match text.find('.') {
        // Times have points too, but they end in a unit.
        Some(at) if !text.ends_with(|char: char| char.is_ascii_alphabetic()) => text.split_at(at),
        _ => (text, ""),
    }
}

/// Appends what follows the number of a cell.
fn tail(out: &mut String, cell: &Cell<'_>, style: Style) {
    if cell.best && !style.color {
        out.push('*');
    }
    if let Some(behind) = &cell.behind {
        out.push_str(" (");
        out.push_str(behind);
        out.push(')');
    }
    if !cell.marks.is_empty() {
        put!(out, " [{}]", cell.marks.join(","));
    }
}

/// How many columns [`tail`] takes; it is ASCII.
fn tail_width(cell: &Cell<'_>, style: Style) -> usize {
    let marks: usize = cell.marks.iter().map(|mark| mark.len() + 1).sum();
    let marks = marks + 2 * usize::from(marks > 0);
    usize::from(cell.best && !style.color)
        + cell.behind.as_ref().map_or(0, |behind| behind.len() + 3)
        + marks
}

fn layout(sheet: &Sheet<'_>, style: Style, gap: usize) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::with_capacity(sheet.heads.len());
    for (at, head) in sheet.heads.iter().enumerate() {
        let heads = head.lines().map(|line| width(&visible(line)));
        let (mut whole, mut rest, mut text) = (0, 0, heads.max().unwrap_or(0));
        let mut tails = false;
        for cell in sheet.rows.iter().filter_map(|row| row.get(at)) {
            let shown = visible(&cell.text);
            let behind = tail_width(cell, style);
            tails |= cell.behind.is_some();
            match (cell.kind, head.align) {
                (CellKind::Number, Align::Right) => {
                    let (left, right) = split(&shown);
                    whole = whole.max(width(left));
                    rest = rest.max(width(right) + behind);
                }
                _ => text = text.max(width(&shown) + behind),
            }
        }
        let start = text.saturating_sub(whole + rest);
        columns.push(Column {
            width: text.max(whole + rest),
            gap,
            whole: whole + start,
            // Where nothing follows the numbers, all texts are aligned at their
            // ends.
            start: if tails { start } else { usize::MAX },
            align: head.align,
            may_cut: head.align == Align::Left && !head.name,
        });
    }
    widen(sheet, &mut columns);
    narrow(&mut columns, style);
    columns
}

/// Makes room for heads that span columns.
fn widen(sheet: &Sheet<'_>, columns: &mut [Column]) {
    let mut at = 0;
    for span in sheet
        .heads
        .chunk_by(|left, right| left.group == right.group)
    {
        let end = at + span.len();
        if let Some(group) = span.first().and_then(|head| head.group) {
            let used: usize = columns[at..end].iter().map(|it| it.width + it.gap).sum();
            let gap = columns[at].gap;
            let lacking = (width(&visible(group)) + gap).saturating_sub(used);
            columns[end - 1].width += lacking;
            columns[end - 1].whole += lacking;
        }
        at = end;
    }
}

/// Cuts the widest text columns until the lines fit the terminal. Numbers, and what
/// names a row of a table, are never cut; if the lines would still be too long,
/// nothing is cut.
fn narrow(columns: &mut [Column], style: Style) {
    let Some(most) = style.width else { return };
    let used: usize = columns.iter().map(|column| column.width + column.gap).sum();
    let last = columns.last().map_or(0, |column| column.gap);
    let mut over = used.saturating_sub(last).saturating_sub(most);
    let texts = columns.iter().filter(|it| it.may_cut);
    let spare: usize = texts.map(|it| it.width.saturating_sub(TEXT_LEAST)).sum();
    if over > spare {
        return;
    }
    while over > 0 {
        let texts = columns.iter_mut().filter(|it| it.may_cut);
        let Some(widest) = texts.max_by_key(|column| column.width) else {
            return;
        };
        if widest.width <= TEXT_LEAST {
            return;
        }
        widest.width -= 1;
        over -= 1;
    }
}

impl Column {
    /// Writes a text, aligned, and the gap after it.
    fn place(&self, out: &mut String, text: &str, painted: &str) {
        let space = self.width.saturating_sub(width(text));
        let before = match self.align {
            Align::Left => 0,
            Align::Right => space.min(self.start),
        };
        spaces(out, before);
        out.push_str(painted);
        spaces(out, space - before + self.gap);
    }

    fn write(&self, out: &mut String, cell: &Cell<'_>, style: Style) {
        let text = visible(&cell.text);
        if cell.kind != CellKind::Number || self.align == Align::Left {
            let mut whole = text.into_owned();
            tail(&mut whole, cell, style);
            let text = match self.align {
                Align::Left => cut(&whole, self.width, style),
                Align::Right => Cow::Borrowed(whole.as_str()),
            };
            self.place(out, &text, &style.paint(cell.tone, &text));
            return;
        }
        let (left, right) = split(&text);
        let left = width(left);
        spaces(out, self.whole.saturating_sub(left));
        out.push_str(&style.paint(cell.tone, &text));
        tail(out, cell, style);
        let used = self.whole.max(left) + width(right) + tail_width(cell, style);
        spaces(out, self.width.saturating_sub(used) + self.gap);
    }
}

fn spaces(out: &mut String, count: usize) {
    out.extend(std::iter::repeat_n(' ', count));
}

/// Ends a line without trailing spaces.
fn end_line(out: &mut String) {
    out.truncate(out.trim_end_matches(' ').len());
    out.push('\n');
}

/// The line above the heads that names what neighbours have in common.
fn groups(out: &mut String, sheet: &Sheet<'_>, columns: &[Column], style: Style) {
    if sheet.heads.iter().all(|head| head.group.is_none()) {
        return;
    }
    let mut at = 0;
    for span in sheet
        .heads
        .chunk_by(|left, right| left.group == right.group)
    {
        let end = at + span.len();
        let room: usize = columns[at..end].iter().map(|it| it.width + it.gap).sum();
        let text = visible(span.first().and_then(|head| head.group).unwrap_or(""));
        let gap = columns[at].gap;
        let before = room.saturating_sub(gap + width(&text)) / 2;
        spaces(out, before);
        out.push_str(&style.paint(Tone::Strong, &text));
        spaces(out, room.saturating_sub(before + width(&text)));
        at = end;
    }
    end_line(out);
}

fn footnotes(out: &mut String, sheet: &Sheet<'_>, style: Style) {
    let sign = if style.color { "bold" } else { "*" };
    let best = sheet.best.map(|best| format!("{sign}: {best}."));
    let notes = sheet.footnotes.iter().map(|(mark, text)| match *mark {
        "" => format!("{}.", visible(text)),
        mark => format!("[{mark}] {}.", visible(text)),
    });
    let advice = sheet.advice.iter().map(|it| format!("{}.", visible(it)));
    let notes: Vec<String> = best.into_iter().chain(notes).chain(advice).collect();
    if !notes.is_empty() {
        out.push('\n');
    }
    for note in notes {
        out.push_str(&style.paint(Tone::Faint, &note));
        out.push('\n');
    }
}
