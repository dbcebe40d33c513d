//! Makes a table that is too wide narrower, keeping every fact.
//!
//! It does so in this order, and only as far as necessary: break heads into
//! several lines; leave out what a neighbour says already; move what is the
//! same in every row into a sentence above; leave less space between columns;
//! merge the columns that name a row into one, on several lines.

use std::borrow::Cow;

use crate::sheet::{Align, Cell, CellKind, Head, Sheet};
use crate::style::visible;

/// How much space there is, and how texts are measured, in any one unit.
pub(crate) struct Room {
    /// The widest that a table may be.
    pub(crate) most: f64,
    /// The space between columns, and the least such space.
    pub(crate) gaps: [f64; 2],
    /// The width of a text.
    pub(crate) text: fn(&str) -> f64,
    /// The width of a field in two parts: its number up to the decimal point,
    /// and the rest.
    pub(crate) cell: fn(&Cell<'_>) -> [f64; 2],
}

/// The name of a row has at least so many letters on one line.
const NAME_LEAST: usize = 18;

/// Shorter words for heads where space is scarce.
const SHORT: [(&str, &str); 2] = [("difference", "diff."), ("corrected p", "corr. p")];

impl Room {
    /// Makes `sheet` fit; returns the space between columns.
    pub(crate) fn fit(&self, sheet: &mut Sheet<'_>) -> f64 {
        let [gap, least] = self.gaps;
        let steps: [fn(&mut Sheet<'_>); 4] = [|_| {}, once_a_row, fold_constants, once_a_column];
        for step in steps {
            if self.width(sheet, gap) <= self.most {
                return gap;
            }
            step(sheet);
            // What is below the heads may be narrower now.
            self.break_heads(sheet);
        }
        if self.width(sheet, gap) <= self.most {
            return gap;
        }
        if self.width(sheet, least) > self.most {
            self.merge_names(sheet, least);
            self.break_heads(sheet);
        }
        least
    }

    /// The width of the whole table.
    pub(crate) fn width(&self, sheet: &Sheet<'_>, gap: f64) -> f64 {
        let columns = (0..sheet.heads.len()).map(|at| self.column(sheet, at));
        columns.map(|it| it + gap).sum::<f64>() - gap
    }

    fn column(&self, sheet: &Sheet<'_>, at: usize) -> f64 {
        let lines = sheet.heads[at].lines();
        let head = lines.map(|line| (self.text)(line)).fold(0.0, f64::max);
        head.max(self.body(sheet, at))
    }

    /// The widest field of a column, with numbers aligned at their decimal
    /// points.
    fn body(&self, sheet: &Sheet<'_>, at: usize) -> f64 {
        let (mut whole, mut rest, mut text) = (0.0f64, 0.0f64, 0.0f64);
        for cell in sheet.rows.iter().filter_map(|row| row.get(at)) {
            let [left, right] = (self.cell)(cell);
            if cell.kind == CellKind::Number && sheet.heads[at].align == Align::Right {
                whole = whole.max(left);
                rest = rest.max(right);
            } else {
                text = text.max(left + right);
            }
        }
        text.max(whole + rest)
    }

    /// Breaks heads between words where they are wider than the fields below.
    fn break_heads(&self, sheet: &mut Sheet<'_>) {
        for at in 0..sheet.heads.len() {
            let body = self.body(sheet, at);
            let head = &mut sheet.heads[at];
            if head.group.is_some() {
                continue;
            }
            let short = SHORT.iter().find(|(long, _)| *long == head.text);
            let text = short.map_or(head.text.as_ref(), |(_, short)| short);
            let longest = text.split(' ').map(|word| (self.text)(word));
            let most = longest.fold(body, f64::max);
            head.lines = broken(text, " ", |line| (self.text)(line) <= most);
        }
    }

    /// Merges the columns that name a row into one: first those that some rows
    /// lack, together with the columns they belong to, otherwise all.
    fn merge_names(&self, sheet: &mut Sheet<'_>, gap: f64) {
        let names = sheet.heads.iter().take_while(|head| head.name).count();
        let lacking = |at: &usize| sheet.rows.iter().any(|row| row[*at].text.is_empty());
        let some: Vec<usize> = (0..names).filter(|at| *at == 0 || lacking(at)).collect();
        let all: Vec<usize> = (0..names).collect();
        for merged in [some, all] {
            let others = (0..sheet.heads.len()).filter(|at| !merged.contains(at));
            let others: f64 = others.map(|at| self.column(sheet, at) + gap).sum();
            let room = self.most - others;
            let least = (self.text)(&"e".repeat(NAME_LEAST));
            let is_words = merged
                .iter()
                .all(|at| sheet.heads[*at].align == Align::Left);
            if (merged.len() > 1 || is_words) && !merged.is_empty() && room >= least {
                self.merge(sheet, &merged, room);
                return;
            }
        }
    }

    fn merge(&self, sheet: &mut Sheet<'_>, merged: &[usize], room: f64) {
        let usual: Vec<Option<usize>> = merged.iter().map(|at| usual(sheet, *at)).collect();
        let unsaid = merged.iter().zip(&usual).filter_map(|(at, row)| {
            let cell = &sheet.rows[(*row)?][*at];
            Some(named(&sheet.heads[*at], cell))
        });
        let unsaid: Vec<String> = unsaid.collect();
        if !unsaid.is_empty() {
            let text = format!("Where nothing else is said: {}.", unsaid.join(", "));
            sheet.notes.push(Cow::Owned(text));
        }
        let usual = merged.iter().zip(usual);
        let usual: Vec<Option<String>> = usual
            .map(|(at, row)| Some(sheet.rows[row?][*at].text.as_ref().to_owned()))
            .collect();
        let heads = std::mem::take(&mut sheet.heads);
        let names: Vec<Cow<'_, str>> = heads.iter().map(|head| head.text.clone()).collect();
        let mut rows = Vec::with_capacity(sheet.rows.len());
        for mut row in std::mem::take(&mut sheet.rows) {
            let parts = merged.iter().zip(&usual).filter_map(|(at, usual)| {
                let text = &row[*at].text;
                let said = !text.is_empty() && usual.as_deref() != Some(text);
                let text = || match merged {
                    [_] => row[*at].text.as_ref().to_owned(),
                    _ => named(&heads[*at], &row[*at]),
                };
                said.then(text)
            });
            let text = parts.collect::<Vec<_>>().join(", ");
            let fits = |line: &str| (self.text)(line) + (self.text)("  ,") <= room;
            let mut lines = Vec::new();
            for line in broken(&text, ", ", fits) {
                // A single name may be longer than a line.
                lines.extend(broken(&line, " ", |line| fits(line)));
                let last = lines.last_mut();
                if let Some(line) = last {
                    line.push(',');
                }
            }
            if let Some(line) = lines.last_mut() {
                line.pop();
            }
            let mut at = 0;
            row.retain(|_| {
                at += 1;
                !merged.contains(&(at - 1))
            });
            let others = row.len();
            let mut first = Some(row);
            for line in lines {
                let rest = first.take();
                let name = if rest.is_some() {
                    line
                } else {
                    format!("  {line}")
                };
                let mut whole = vec![Cell {
                    text: Cow::Owned(name),
                    ..Cell::default()
                }];
                whole.extend(rest.unwrap_or_else(|| vec![Cell::default(); others]));
                rows.push(whole);
            }
            if let Some(row) = first {
                rows.push(std::iter::once(Cell::default()).chain(row).collect());
            }
        }
        let kept = heads.into_iter().enumerate();
        let kept = kept.filter_map(|(at, head)| (!merged.contains(&at)).then_some(head));
        let text = match merged {
            [only] => names[*only].clone(),
            _ => Cow::Borrowed("cell"),
        };
        let name = Head {
            text,
            group: None,
            align: Align::Left,
            name: true,
            counts: false,
            lines: Vec::new(),
        };
        sheet.heads = std::iter::once(name).chain(kept).collect();
        sheet.rows = rows;
    }
}

/// The row whose value more than half of all rows share, in a column without
/// blanks; that value need not be named. The first column has none.
fn usual(sheet: &Sheet<'_>, at: usize) -> Option<usize> {
    let texts: Vec<&str> = sheet.rows.iter().map(|row| row[at].text.as_ref()).collect();
    if at == 0 || texts.contains(&"") {
        return None;
    }
    let count = |text: &str| texts.iter().filter(|it| **it == text).count();
    let most = (0..texts.len()).max_by_key(|row| count(texts[*row]))?;
    (2 * count(texts[most]) > texts.len()).then_some(most)
}

/// A value with the name of its parameter; words need none.
fn named(head: &Head<'_>, cell: &Cell<'_>) -> String {
    let text = &cell.text;
    if cell.kind == CellKind::Text && !is_value(text) {
        return text.as_ref().to_owned();
    }
    let name = head.text.strip_prefix("model ").unwrap_or(&head.text);
    format!("{name} {text}")
}

/// Whether a word means nothing without the name of its parameter.
fn is_value(text: &str) -> bool {
    matches!(text, "true" | "false") || text.starts_with('[')
}

/// `text` in lines that pass `fits`, broken at `gap`; a word that is too long
/// stays whole.
fn broken(text: &str, gap: &str, fits: impl Fn(&str) -> bool) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(gap) {
        let longer = lines.last().map(|line| format!("{line}{gap}{word}"));
        match (longer, lines.last_mut()) {
            (Some(longer), Some(line)) if fits(&longer) => *line = longer,
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The note that [`once_a_row`] adds.
const OF_ROW: &str = "The n in brackets is that of the whole row.";

/// Removes the brackets of a column whose rows have said the same already.
fn once_a_row(sheet: &mut Sheet<'_>) {
    let has = |at: usize| sheet.rows.iter().any(|row| row[at].behind.is_some());
    let mut columns = (0..sheet.heads.len()).filter(|at| sheet.heads[*at].counts && has(*at));
    let Some(first) = columns.next() else { return };
    let columns: Vec<usize> = columns.collect();
    let mut taken = false;
    for at in columns {
        let told = |row: &Vec<Cell<'_>>| match (&row[at].behind, &row[first].behind) {
            (Some(here), Some(told)) => told.starts_with(here.as_str()),
            (None, None) => true,
            _ => row[at].behind.is_none() && row[at].kind == CellKind::Text,
        };
        if sheet.rows.iter().all(told) {
            for row in &mut sheet.rows {
                row[at].behind = None;
            }
            taken = true;
        }
    }
    if taken {
        sheet.notes.push(Cow::Borrowed(OF_ROW));
    }
}

/// Says once what the brackets of a column contain, if it is always the same;
/// in a single note for all columns that agree.
fn once_a_column(sheet: &mut Sheet<'_>) {
    let mut said: Vec<(String, String)> = Vec::new();
    let mut counting = 0;
    for at in 0..sheet.heads.len() {
        let numbers = || {
            let cells = sheet.rows.iter().map(|row| &row[at]);
            cells.filter(|it| it.kind == CellKind::Number)
        };
        let first = numbers().next().and_then(|it| it.behind.clone());
        let some = numbers().any(|it| it.behind.is_some());
        counting += usize::from(some && sheet.heads[at].counts);
        let Some(behind) = first.filter(|_| sheet.heads[at].counts) else {
            continue;
        };
        if numbers().count() < 2 || !numbers().all(|it| it.behind.as_ref() == Some(&behind)) {
            continue;
        }
        for row in &mut sheet.rows {
            row[at].behind.take_if(|it| *it == behind);
        }
        said.push((behind, sheet.heads[at].text.to_string()));
    }
    let Some((first, _)) = said.first() else {
        return;
    };
    let of_row = sheet.notes.iter().position(|it| it == OF_ROW);
    let same = said.len() == counting && said.iter().all(|(it, _)| it == first);
    if same && (said.len() > 1 || of_row.is_some()) {
        let text = format!("In brackets behind every number: {first}.");
        if let Some(at) = of_row {
            sheet.notes.remove(at);
        }
        sheet.notes.push(Cow::Owned(text));
        return;
    }
    for (behind, head) in said {
        let text = format!("In brackets behind every {head}: {behind}.");
        sheet.notes.push(Cow::Owned(text));
    }
}

/// Names above the table what is the same in every row.
fn fold_constants(sheet: &mut Sheet<'_>) {
    let names = sheet.heads.iter().take_while(|head| head.name).count();
    let same = |at: &usize| {
        let mut texts = sheet.rows.iter().map(|row| &row[*at].text);
        let first = texts.next();
        first.is_some_and(|first| !first.is_empty() && texts.all(|text| text == first))
    };
    let folded: Vec<usize> = (0..names).filter(same).collect();
    if folded.is_empty() || folded.len() == names || sheet.rows.len() < 2 {
        return;
    }
    let texts = folded.iter().map(|at| {
        let value = &sheet.rows[0][*at].text;
        format!("{} {}", sheet.heads[*at].text, visible(value))
    });
    let text = format!("In every row: {}.", texts.collect::<Vec<_>>().join(", "));
    sheet.notes.push(Cow::Owned(text));
    for at in folded.into_iter().rev() {
        sheet.heads.remove(at);
        for row in &mut sheet.rows {
            row.remove(at);
        }
    }
}
