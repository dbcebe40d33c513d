//! Tables as one self-contained HTML page: no script, no style sheet, no font.

use swath_model::markup;

use crate::sheet::{Align, Cell, CellKind, Sheet};
use crate::style::visible;

/// Prints in black on white, follows the reader's dark mode, and keeps the
/// heads in sight while a long table is scrolled.
const STYLE: &str = "\
:root{color-scheme:light dark}
body{font:16px/1.45 system-ui,sans-serif;margin:2rem}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
caption{text-align:left;padding-bottom:.75rem;max-width:60rem}
caption p{margin:.2rem 0}
th,td{padding:.25rem .75rem;text-align:left;vertical-align:baseline}
th.n,td.n{text-align:right}
th.g{text-align:center;border-bottom:1px solid}
thead tr:last-child th{border-bottom:1px solid}
thead tr:first-child th{border-top:2px solid}
thead{position:sticky;top:0;background:Canvas}
tbody tr:last-child td{border-bottom:2px solid}
td small{opacity:.75}
.notes{font-size:.875rem;max-width:60rem;padding-left:1.2rem}
@media print{body{margin:0}thead{position:static}}
";

pub(crate) fn render(sheet: &Sheet<'_>) -> String {
    let title = if sheet.title.is_empty() {
        "Results"
    } else {
        sheet.title
    };
    let mut out = String::from("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n");
    out.push_str("<meta charset=\"utf-8\">\n");
    out.push_str("<meta name=\"viewport\" content=\"width=device-width\">\n");
    put!(out, "<title>{}</title>\n", escaped(title));
    put!(out, "<style>\n{STYLE}</style>\n</head>\n<body>\n<table>\n");
    caption(&mut out, sheet);
    head(&mut out, sheet);
    out.push_str("<tbody>\n");
    for row in &sheet.rows {
        out.push_str("<tr>");
        for cell in row {
            cell_into(&mut out, cell);
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>\n");
    footnotes(&mut out, sheet);
    out.push_str("</body>\n</html>\n");
    out
}

fn caption(out: &mut String, sheet: &Sheet<'_>) {
    if sheet.title.is_empty() && sheet.notes.is_empty() {
        return;
    }
    out.push_str("<caption>");
    if !sheet.title.is_empty() {
        put!(out, "<p><strong>{}</strong></p>", escaped(sheet.title));
    }
    for note in &sheet.notes {
        put!(out, "<p>{}</p>", escaped(note));
    }
    out.push_str("</caption>\n");
}

fn head(out: &mut String, sheet: &Sheet<'_>) {
    out.push_str("<thead>\n");
    if sheet.heads.iter().any(|head| head.group.is_some()) {
        out.push_str("<tr>");
        let spans = sheet
            .heads
            .chunk_by(|left, right| left.group == right.group);
        for span in spans {
            match span.first().and_then(|head| head.group) {
                None => span.iter().for_each(|_| out.push_str("<th></th>")),
                Some(group) => put!(
                    out,
                    "<th class=\"g\" colspan=\"{}\" scope=\"colgroup\">{}</th>",
                    span.len(),
                    escaped(group)
                ),
            }
        }
        out.push_str("</tr>\n");
    }
    out.push_str("<tr>");
    for head in &sheet.heads {
        let class = match head.align {
            Align::Left => "",
            Align::Right => " class=\"n\"",
        };
        put!(out, "<th{class} scope=\"col\">{}</th>", escaped(&head.text));
    }
    out.push_str("</tr>\n</thead>\n");
}

fn cell_into(out: &mut String, cell: &Cell<'_>) {
    out.push_str(match cell.kind {
        CellKind::Number => "<td class=\"n\">",
        CellKind::Text => "<td>",
    });
    let text = escaped(&cell.text);
    if cell.best {
        put!(out, "<strong>{text}</strong>");
    } else {
        out.push_str(&text);
    }
    if let Some(behind) = &cell.behind {
        put!(out, " <small>({})</small>", escaped(behind));
    }
    for mark in cell.marks {
        put!(out, "<sup>{}</sup>", escaped(mark));
    }
    out.push_str("</td>");
}

fn footnotes(out: &mut String, sheet: &Sheet<'_>) {
    if sheet.best.is_none() && sheet.footnotes.is_empty() {
        return;
    }
    out.push_str("<ul class=\"notes\">\n");
    if let Some(best) = sheet.best {
        put!(out, "<li>Bold: {}.</li>\n", escaped(best));
    }
    for (mark, text) in &sheet.footnotes {
        let mark = match *mark {
            "" => String::new(),
            mark => format!("<sup>{}</sup> ", escaped(mark)),
        };
        put!(out, "<li>{mark}{}.</li>\n", escaped(text));
    }
    out.push_str("</ul>\n");
}

/// `text` as markup, with every character that could affect the reader written
/// out.
fn escaped(text: &str) -> String {
    markup::escaped(&visible(text))
}
