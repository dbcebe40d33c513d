//! LaTeX tables for the package booktabs.

use crate::sheet::{Align, Cell, Sheet};
use crate::style::visible;

pub(crate) fn render(sheet: &Sheet<'_>) -> String {
    let mut out = String::from("% needs \\usepackage{booktabs}\n\\begin{table}\n  \\centering\n");
    caption(&mut out, sheet);
    let letters = sheet.heads.iter().map(|head| match head.align {
        Align::Left => 'l',
        Align::Right => 'r',
    });
    let letters: String = letters.collect();
    put!(out, "  \\begin{{tabular}}{{{letters}}}\n    \\toprule\n");
    groups(&mut out, sheet);
    let heads = sheet.heads.iter().map(|head| escaped(&head.text));
    line(&mut out, heads);
    out.push_str("    \\midrule\n");
    for row in &sheet.rows {
        line(&mut out, row.iter().map(cell_text));
    }
    out.push_str("    \\bottomrule\n  \\end{tabular}\n");
    footnotes(&mut out, sheet);
    out.push_str("\\end{table}\n");
    out
}

fn caption(out: &mut String, sheet: &Sheet<'_>) {
    let title = match sheet.title {
        "" => None,
        title => Some(format!("{}.", escaped(title.trim_end_matches('.')))),
    };
    let notes = sheet.notes.iter().map(|note| escaped(note));
    let parts: Vec<String> = title.into_iter().chain(notes).collect();
    if !parts.is_empty() {
        put!(out, "  \\caption{{{}}}\n", parts.join(" "));
    }
}

/// The line above the heads, where neighbours have something in common.
fn groups(out: &mut String, sheet: &Sheet<'_>) {
    if sheet.heads.iter().all(|head| head.group.is_none()) {
        return;
    }
    let mut fields = Vec::new();
    let mut rules = String::new();
    let mut at = 1;
    for span in sheet
        .heads
        .chunk_by(|left, right| left.group == right.group)
    {
        let end = at + span.len() - 1;
        match span.first().and_then(|head| head.group) {
            None => fields.extend(span.iter().map(|_| String::new())),
            Some(group) => {
                fields.push(format!(
                    "\\multicolumn{{{}}}{{c}}{{{}}}",
                    span.len(),
                    escaped(group)
                ));
                put!(rules, "    \\cmidrule(lr){{{at}-{end}}}\n");
            }
        }
        at = end + 1;
    }
    line(out, fields.into_iter());
    out.push_str(&rules);
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

fn cell_text(cell: &Cell<'_>) -> String {
    let mut text = escaped(&cell.text);
    if cell.best {
        text = format!("\\textbf{{{text}}}");
    }
    if let Some(behind) = &cell.behind {
        put!(text, " ({})", escaped(behind));
    }
    for mark in cell.marks {
        put!(text, "\\textsuperscript{{{mark}}}");
    }
    text
}

fn footnotes(out: &mut String, sheet: &Sheet<'_>) {
    let best = sheet.best.map(|best| format!("Bold: {}.", escaped(best)));
    let notes = sheet.footnotes.iter().map(|(mark, text)| match *mark {
        "" => format!("{}.", escaped(text)),
        mark => format!("\\textsuperscript{{{mark}}} {}.", escaped(text)),
    });
    for note in best.into_iter().chain(notes) {
        put!(out, "  \\par\\footnotesize {note}\n");
    }
}

/// `text` so that LaTeX sets it as it is.
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
            // After the end of a row these two would be its options.
            '[' | ']' | '*' => out.extend(['{', char, '}']),
            // Two would become a dash, or a quotation mark.
            '-' | '`' | '\'' | ',' if before == char => out.extend(['{', '}', char]),
            _ => out.push(char),
        }
        before = char;
    }
    out
}
