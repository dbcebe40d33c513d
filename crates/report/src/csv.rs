//! CSV according to RFC 4180, safe to open in a spreadsheet.

use std::borrow::Cow;

use crate::sheet::Sheet;

/// The headings and texts of a sheet.
pub(crate) fn render(sheet: &Sheet<'_>) -> String {
    // A number and a comma, say. Growing a large text would copy it, again and again.
    let mut out = String::with_capacity(sheet.rows.len() * sheet.heads.len() * 8);
    let heads = sheet.heads.iter().map(|head| match head.group {
        None => head.text.clone(),
        Some(group) => Cow::Owned(format!("{group} {}", head.text)),
    });
    record(&mut out, heads);
    for row in &sheet.rows {
        record(&mut out, row.iter().map(crate::sheet::Cell::whole));
    }
    out
}

/// Appends one record to `out`.
pub fn record<'a>(out: &mut String, fields: impl Iterator<Item = Cow<'a, str>>) {
    let begin = out.len();
    for (at, field) in fields.enumerate() {
        if at > 0 {
            out.push(',');
        }
        write_field(out, &guarded(&field));
    }
    // A record with one empty field would be read as no record at all.
    if out.len() == begin {
        out.push_str("\"\"");
    }
    out.push_str("\r\n");
}

fn write_field(out: &mut String, field: &str) {
    let plain = |byte: u8| !matches!(byte, b',' | b'"' | b'\n' | b'\r');
    // Readers take a byte order mark at the very beginning as no part of the
    // text.
    let edges = field.starts_with([' ', '\u{feff}']) || field.ends_with(' ');
    if !edges && field.bytes().all(plain) {
        out.push_str(field);
        return;
    }
    out.push('"');
    for (at, part) in field.split('"').enumerate() {
        if at > 0 {
            out.push_str("\"\"");
        }
        out.push_str(part);
    }
    out.push('"');
}

/// `text`, with an apostrophe before anything that a spreadsheet would run as a
/// formula.
pub(crate) fn guarded(text: &str) -> Cow<'_, str> {
    let runs = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if runs && text.parse::<f64>().is_err() {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}
