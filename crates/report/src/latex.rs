//! LaTeX tables for the package booktabs, and for longtable where they may be
//! longer than a page. They are made no wider than the text of an article.

use crate::fit::Room;
use crate::sheet::{Align, Cell, CellKind, Sheet};
use crate::style::visible;

/// The text width of the class article in points, minus what an estimate may be
/// wrong by.
const TEXT: f64 = 345.0 - 10.0;
/// A table with more lines than this may, with its notes, be higher than a
/// page.
const LONG: usize = 36;

/// A size of letters: its command, the width of its letters relative to those
/// of ten points, and the space on each side of a column in points.
struct Size {
    command: &'static str,
    scale: f64,
    sides: f64,
}

const NORMAL: Size = Size {
    command: "",
    scale: 1.0,
    sides: 6.0,
};
const SMALLER: [Size; 3] = [
    Size {
        command: "\\small",
        scale: 0.925,
        sides: 4.0,
    },
    Size {
        command: "\\footnotesize",
        scale: 0.85,
        sides: 3.0,
    },
    Size {
        command: "\\scriptsize",
        scale: 0.8,
        sides: 1.8,
    },
];

impl Size {
    fn room(&self) -> Room {
        let gap = 2.0 * self.sides / self.scale;
        Room {
            most: TEXT / self.scale,
            gaps: [gap, gap],
            text: text_width,
            cell: cell_width,
        }
    }

    /// The largest size at which the table fits as it is; otherwise the second
    /// smallest or smallest at which it fits after it has been made narrower.
    fn of(sheet: &mut Sheet<'_>) -> &'static Self {
        static ALL: [&Size; 4] = [&NORMAL, &SMALLER[0], &SMALLER[1], &SMALLER[2]];
        let fits = |size: &&&Self, sheet: &Sheet<'_>| {
            let room = size.room();
            room.width(sheet, room.gaps[0]) <= room.most
        };
        if let Some(size) = ALL[..3].iter().find(|size| fits(size, sheet)) {
            return size;
        }
        for size in &ALL[2..] {
            let mut fitted = sheet.clone();
            size.room().fit(&mut fitted);
            if fits(&size, &fitted) || size.command == SMALLER[2].command {
                *sheet = fitted;
                return size;
            }
        }
        ALL[3]
    }
}

/// The approximate width of a text in points, in Computer Modern at ten points.
fn text_width(text: &str) -> f64 {
    let of = |char: char| match char {
        'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '!' | '\'' | '|' | '[' | ']' => 2.8,
        ' ' | '-' => 3.4,
        'f' | 'r' | 's' | 't' | '(' | ')' | '/' => 4.0,
        'c' | 'e' => 4.5,
        '0'..='9' | 'a' | 'g' | 'o' | 'v' | 'z' => 5.0,
        'w' => 7.3,
        'm' | '%' | '+' => 8.4,
        'A'..='Z' => 7.5,
        char if char.is_ascii() => 5.6,
        _ => 7.5,
    };
    visible(text).chars().map(of).sum()
}

fn cell_width(cell: &Cell<'_>) -> [f64; 2] {
    let (left, right) = split(cell);
    let bold = if cell.best { 1.15 } else { 1.0 };
    let behind = cell.behind.as_ref();
    let behind = behind.map_or(0.0, |it| text_width(it) + text_width(" ()"));
    let marks = text_width(&cell.marks.join(",")) * 0.75;
    [
        text_width(left) * bold,
        text_width(right) * bold + behind + marks,
    ]
}

/// A number, split at its decimal point.
fn split<'a>(cell: &'a Cell<'_>) -> (&'a str, &'a str) {
    let text = cell.text.as_ref();
    match text.find('.') {
        Some(at) if !text.ends_with(|char: char| char.is_ascii_alphabetic()) => text.split_at(at),
        _ => (text, ""),
    }
}

pub(crate) fn render(sheet: &Sheet<'_>) -> String {
    let mut sheet = sheet.clone();
    let size = if sheet.fits {
        Size::of(&mut sheet)
    } else {
        &NORMAL
    };
    let split: Vec<bool> = (0..sheet.heads.len())
        .map(|at| at_points(&sheet, at))
        .collect();
    let mut body = String::new();
    let mut letters = String::new();
    for (head, split) in sheet.heads.iter().zip(&split) {
        letters.push_str(match (head.align, split) {
            (_, true) => "r@{}l",
            (Align::Left, _) => "l",
            (Align::Right, _) => "r",
        });
    }
    let mut heads = String::from("    \\toprule\n");
    groups(&mut heads, &sheet, &split);
    head_lines(&mut heads, &sheet, &split);
    heads.push_str("    \\midrule\n");
    let mut rows = sheet.rows.iter().peekable();
    while let Some(row) = rows.next() {
        let fields = row.iter().zip(&split);
        let fields = fields.map(|(cell, split)| cell_text(cell, *split));
        line(&mut body, fields);
        // No page ends within a row.
        let next = rows.peek().and_then(|row| row.first());
        if next.is_some_and(|cell| cell.text.starts_with("  ")) {
            body.insert(body.len() - 1, '*');
        }
    }
    if sheet.rows.len() > LONG {
        long(&sheet, size, &letters, &heads, &body)
    } else {
        float(&sheet, size, &letters, &heads, &body)
    }
}

/// The commands that set the size of letters and the space between columns.
fn settings(size: &Size) -> String {
    if size.command.is_empty() {
        return String::new();
    }
    format!(
        "  {}\\setlength{{\\tabcolsep}}{{{}pt}}\n",
        size.command, size.sides
    )
}

/// A table as a float.
fn float(sheet: &Sheet<'_>, size: &Size, letters: &str, heads: &str, body: &str) -> String {
    let mut out = String::from("% needs \\usepackage{booktabs}\n\\begin{table}\n  \\centering\n");
    if let Some(caption) = caption(sheet) {
        put!(out, "  \\caption{{{caption}}}\n");
    }
    out.push_str(&settings(size));
    put!(
        out,
        "  \\begin{{tabular}}{{@{{}}{letters}@{{}}}}\n{heads}{body}"
    );
    out.push_str("    \\bottomrule\n  \\end{tabular}\n");
    footnotes(&mut out, sheet);
    out.push_str("\\end{table}\n");
    out
}

/// A table over several pages.
fn long(sheet: &Sheet<'_>, size: &Size, letters: &str, heads: &str, body: &str) -> String {
    let mut out = String::from("% needs \\usepackage{booktabs,longtable}\n\\begingroup\n");
    out.push_str(&settings(size));
    out.push_str("  \\setlength{\\LTcapwidth}{\\linewidth}\n");
    put!(out, "  \\begin{{longtable}}{{@{{}}{letters}@{{}}}}\n");
    if let Some(caption) = caption(sheet) {
        put!(out, "    \\caption{{{caption}}} \\\\\n");
    }
    put!(out, "{heads}    \\endfirsthead\n{heads}    \\endhead\n");
    out.push_str("    \\bottomrule\n    \\endfoot\n");
    out.push_str(body);
    out.push_str("  \\end{longtable}\n");
    footnotes(&mut out, sheet);
    out.push_str("\\endgroup\n");
    out
}

/// Whether the numbers of a column are aligned at their decimal points: some
/// have a different number of decimals, or something after them.
fn at_points(sheet: &Sheet<'_>, at: usize) -> bool {
    let cells = || {
        let cells = sheet.rows.iter().filter_map(|row| row.get(at));
        cells.filter(|it| it.kind == CellKind::Number)
    };
    let has_tail = |cell: &Cell<'_>| cell.behind.is_some() || !cell.marks.is_empty();
    let decimals = |cell: &Cell<'_>| split(cell).1.len();
    let first = cells().next().map(decimals);
    let uneven = cells().any(has_tail) || cells().any(|it| Some(decimals(it)) != first);
    sheet.heads[at].align == Align::Right && uneven
}

/// Title and notes.
fn caption(sheet: &Sheet<'_>) -> Option<String> {
    let title = match sheet.title {
        "" => None,
        title => Some(format!("{}.", escaped(title.trim_end_matches('.')))),
    };
    let notes = sheet.notes.iter().map(|note| escaped(note));
    let parts: Vec<String> = title.into_iter().chain(notes).collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

/// The line above the heads that names what neighbours have in common.
fn groups(out: &mut String, sheet: &Sheet<'_>, split: &[bool]) {
    if sheet.heads.iter().all(|head| head.group.is_none()) {
        return;
    }
    let mut fields = Vec::new();
    let mut rules = String::new();
    let (mut place, mut at) = (0, 1);
    for span in sheet
        .heads
        .chunk_by(|left, right| left.group == right.group)
    {
        let split = &split[place..place + span.len()];
        let columns: usize = split.iter().map(|split| 1 + usize::from(*split)).sum();
        let end = at + columns - 1;
        match span.first().and_then(|head| head.group) {
            None => fields.extend((0..columns).map(|_| String::new())),
            Some(group) => {
                let group = escaped(group);
                fields.push(format!("\\multicolumn{{{columns}}}{{c}}{{{group}}}"));
                put!(rules, "    \\cmidrule(lr){{{at}-{end}}}\n");
            }
        }
        place += span.len();
        at = end + 1;
    }
    line(out, fields.into_iter());
    out.push_str(&rules);
}

/// The heads, whose last lines are just above the rule.
fn head_lines(out: &mut String, sheet: &Sheet<'_>, split: &[bool]) {
    let most = sheet.heads.iter().map(|head| head.lines().count()).max();
    for below in (0..most.unwrap_or(0)).rev() {
        let fields = sheet.heads.iter().zip(split).map(|(head, split)| {
            let above = head.lines().count().checked_sub(below + 1);
            let text = above.and_then(|at| head.lines().nth(at)).unwrap_or("");
            let text = escaped(text);
            if *split {
                format!("\\multicolumn{{2}}{{c}}{{{text}}}")
            } else {
                text
            }
        });
        line(out, fields);
    }
}

fn line(out: &mut String, fields: impl Iterator<Item = String>) {
    out.push_str("    ");
    for (at, field) in fields.enumerate() {
        if at > 0 {
            out.push_str(" & ");
        }
        out.push_str(&field);
    }
    out.push_str(" \\\\\n");
}

fn cell_text(cell: &Cell<'_>, in_two: bool) -> String {
    let bold = |text: String| {
        if cell.best && !text.is_empty() {
            format!("\\textbf{{{text}}}")
        } else {
            text
        }
    };
    let mut tail = String::new();
    if let Some(behind) = &cell.behind {
        put!(tail, " ({})", escaped(behind));
    }
    if !cell.marks.is_empty() {
        put!(tail, "\\textsuperscript{{{}}}", cell.marks.join(","));
    }
    let whole = cell.text.as_ref();
    if !in_two {
        // This continues a line, so what is indented stays so.
        let text = whole.trim_start();
        let indent = if text.len() < whole.len() {
            "\\quad "
        } else {
            ""
        };
        return format!("{indent}{}{tail}", bold(escaped(text)));
    }
    if cell.kind == CellKind::Number {
        let (left, right) = split(cell);
        return format!("{} & {}{tail}", bold(escaped(left)), bold(escaped(right)));
    }
    if whole.is_empty() && tail.is_empty() {
        return " & ".to_owned();
    }
    format!("\\multicolumn{{2}}{{l}}{{{}{tail}}}", bold(escaped(whole)))
}

fn footnotes(out: &mut String, sheet: &Sheet<'_>) {
    let best = sheet.best.map(|best| format!("Bold: {}.", escaped(best)));
    let notes = sheet.footnotes.iter().map(|(mark, text)| match *mark {
        "" => format!("{}.", escaped(text)),
        mark => format!("\\textsuperscript{{{mark}}} {}.", escaped(text)),
    });
    let mut notes = best.into_iter().chain(notes).peekable();
    if notes.peek().is_some() {
        out.push_str("  \\par\\smallskip\\raggedright\\footnotesize\n");
    }
    for note in notes {
        put!(out, "  {note}\\par\n");
    }
}

/// `text` so that LaTeX prints it as it is.
pub(crate) fn escaped(text: &str) -> String {
    let text = visible(text);
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    for char in text.chars() {
        match char {
            '\\' => out.push_str("\\textbackslash{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            '~' => out.push_str("\\textasciitilde{}"),
            '<' => out.push_str("\\textless{}"),
            '>' => out.push_str("\\textgreater{}"),
            '|' => out.push_str("\\textbar{}"),
            '{' | '}' | '$' | '&' | '#' | '_' | '%' => {
                out.push('\\');
                out.push(char);
            }
            // After the end of a row these would be read as its options.
            '[' | ']' | '*' => out.extend(['{', char, '}']),
            // Two of them would become a dash or a quotation mark.
            '-' | '`' | '\'' | ',' if before == char => out.extend(['{', '}', char]),
            _ => out.push(char),
        }
        before = char;
    }
    out
}
