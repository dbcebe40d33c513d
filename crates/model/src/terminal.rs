//! What may reach a terminal.
//!
//! Names, messages and logs come from elsewhere, and a terminal obeys some characters:
//! it moves, hides or reorders what is on it. So all that the programs print goes
//! through [`Escaping`], which writes such characters out.

use std::borrow::Cow;
use std::io::{self, Write};

use crate::text;

/// A longer line is passed on in pieces, in bytes.
const PENDING_BYTES: usize = 64 << 10;

/// The numbers of the styles that the programs use: weights and colours. None hides
/// what it styles.
const STYLES: [&str; 24] = [
    "", "0", "1", "2", "3", "4", "22", "23", "24", "30", "31", "32", "33", "34", "35", "36", "37",
    "39", "90", "91", "92", "93", "94", "95",
];

/// `text` in lines, with every character written out that acts on a terminal besides.
/// Where it is `styled`, the styles that the programs use stay.
pub fn shown(text: &str, styled: bool) -> Cow<'_, str> {
    if text.lines().all(text::is_plain) && !text.contains('\r') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        let taken = match char {
            '\n' | '\t' => 1,
            '\r' if rest.starts_with("\r\n") => {
                rest = &rest[1..];
                continue;
            }
            '\u{1b}' if styled => style(rest),
            _ => 0,
        };
        let (own, behind) = rest.split_at(taken);
        out.push_str(own);
        if taken == 0 {
            let (one, behind) = rest.split_at(char.len_utf8());
            out.push_str(&text::visible(one));
            rest = behind;
        } else {
            rest = behind;
        }
    }
    Cow::Owned(out)
}

/// The bytes of the style that `text` begins with; none where it is something else.
fn style(text: &str) -> usize {
    let Some((numbers, _)) = text
        .strip_prefix("\u{1b}[")
        .and_then(|rest| rest.split_once('m'))
    else {
        return 0;
    };
    let is_known = numbers.split(';').all(|number| STYLES.contains(&number));
    if is_known { numbers.len() + 3 } else { 0 }
}

/// Writes what may reach a terminal, line by line.
#[derive(Debug)]
pub struct Escaping<W: Write> {
    inner: W,
    styled: bool,
    /// The beginning of a line.
    pending: Vec<u8>,
}

impl<W: Write> Escaping<W> {
    /// Writes to `inner`; `styled`: styles of the programs stay.
    pub const fn new(inner: W, styled: bool) -> Self {
        Self {
            inner,
            styled,
            pending: Vec::new(),
        }
    }

    /// Passes on the first bytes of what waits. What is no text is replaced.
    fn pass(&mut self, count: usize) -> io::Result<()> {
        let bytes: Vec<u8> = self.pending.drain(..count).collect();
        let text = String::from_utf8_lossy(&bytes);
        self.inner.write_all(shown(&text, self.styled).as_bytes())
    }
}

impl<W: Write> Write for Escaping<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pending.extend_from_slice(bytes);
        let lines = bytes.iter().rposition(|byte| *byte == b'\n');
        let whole = lines.map(|at| self.pending.len() - bytes.len() + at + 1);
        if let Some(whole) = whole {
            self.pass(whole)?;
        }
        if self.pending.len() > PENDING_BYTES {
            // The last character may not be whole yet.
            let end = self.pending.iter().rposition(|byte| byte & 0xc0 != 0x80);
            self.pass(end.filter(|end| *end > 0).unwrap_or(self.pending.len()))?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pass(self.pending.len())?;
        self.inner.flush()
    }
}

impl<W: Write> Drop for Escaping<W> {
    fn drop(&mut self) {
        // Whoever wants to know whether it was written flushes before.
        let _unheard = self.flush();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(parts: &[&[u8]], styled: bool) -> String {
        let mut bytes = Vec::new();
        let mut out = Escaping::new(&mut bytes, styled);
        for part in parts {
            out.write_all(part).unwrap();
        }
        drop(out);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn what_acts_on_a_terminal_is_written_out() {
        for (text, out) in [
            ("a\tb\nc", "a\tb\nc"),
            ("größe 表\n", "größe 表\n"),
            ("a\r\nb", "a\nb"),
            ("a\rb", "a\\rb"),
            ("\u{7}\u{8}\0", "\\u{7}\\u{8}\\u{0}"),
            ("\u{1b}]0;title\u{7}", "\\u{1b}]0;title\\u{7}"),
            ("\u{9b}2J\u{85}", "\\u{9b}2J\\u{85}"),
            ("\u{202e}\u{2066}\u{200f}", "\\u{202e}\\u{2066}\\u{200f}"),
            ("\u{1b}[31mred\u{1b}[0m", "\\u{1b}[31mred\\u{1b}[0m"),
        ] {
            assert_eq!(shown(text, false), out);
            assert_eq!(written(&[text.as_bytes()], false), out);
        }
    }

    #[test]
    fn only_known_styles_stay() {
        for text in ["\u{1b}[31mred\u{1b}[0m", "\u{1b}[1;33mx\u{1b}[m"] {
            assert_eq!(shown(text, true), text);
        }
        for text in [
            "[2J", "[8m", "[31;8m", "[1;1H", "[?25lm", "[", "]8;;m", "[38;5;1m", "[1",
        ] {
            let out = shown(&format!("\u{1b}{text}"), true).into_owned();
            assert_eq!(out, format!("\\u{{1b}}{text}"));
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(
            written(&[b"a\xff\x9b", b"b\n"], false),
            "a\u{fffd}\u{fffd}b\n"
        );
        let long = "ä".repeat(PENDING_BYTES);
        assert_eq!(written(&[long.as_bytes(), b"x"], false), long + "x");
    }

    proptest! {
        #[test]
        fn parts_of_a_text_are_shown_as_the_whole(text in "[a\u{1b}\\[0-9mä\u{202e}\r\n;]{0,30}", at: prop::sample::Index) {
            let at = at.index(text.len() + 1);
            let (one, other) = text.as_bytes().split_at(at);
            for styled in [false, true] {
                let out = written(&[one, other], styled);
                prop_assert_eq!(&*shown(&text, styled), &*out);
                let rest = out.replace(['\n', '\t'], "");
                let bare = if styled { rest.replace('\u{1b}', "") } else { rest };
                prop_assert!(bare.chars().all(text::is_printable), "{out:?}");
            }
        }
    }
}
