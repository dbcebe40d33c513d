//! What the reader's terminal can show, and how text is made safe for it.

use std::borrow::Cow;
use std::iter::repeat_n;

use swath_model::text::is_plain;
pub use swath_model::text::visible;
use unicode_width::UnicodeWidthStr;

/// What the output may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Whether colours and weights may be used.
    pub color: bool,
    /// The width of the terminal; none when there is no terminal, and then
    /// nothing is cut.
    pub width: Option<usize>,
    /// Whether lines and dots outside ASCII may be used.
    pub unicode: bool,
}

impl Style {
    /// For files and pipes that take UTF-8.
    pub const PIPE: Self = Self {
        color: false,
        width: None,
        unicode: true,
    };

    /// `text` in this tone.
    pub(crate) fn paint(self, tone: Tone, text: &str) -> Cow<'_, str> {
        let code = match tone {
            _ if !self.color || text.is_empty() => return Cow::Borrowed(text),
            Tone::Plain => return Cow::Borrowed(text),
            Tone::Strong => "1",
            Tone::Bad => "31",
            Tone::Faint => "2",
        };
        Cow::Owned(format!("\x1b[{code}m{text}\x1b[0m"))
    }

    /// A horizontal rule of this many columns.
    pub(crate) fn rule(self, width: usize) -> String {
        if self.unicode { "─" } else { "-" }.repeat(width)
    }
}

/// How a text stands out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    #[default]
    Plain,
    Strong,
    Bad,
    Faint,
}

/// The terminal columns that `text` takes.
pub fn width(text: &str) -> usize {
    if is_plain(text) {
        text.len()
    } else {
        text.width()
    }
}

/// `text` cut to `most` columns, with its end marked.
pub(crate) fn cut(text: &str, most: usize, style: Style) -> Cow<'_, str> {
    if width(text) <= most {
        return Cow::Borrowed(text);
    }
    let mark = if style.unicode { "…" } else { "~" };
    let mut kept = String::new();
    let mut used = 1;
    for char in text.chars() {
        used += width(char.encode_utf8(&mut [0; 4]));
        if used > most {
            break;
        }
        kept.push(char);
    }
    kept.push_str(mark);
    Cow::Owned(kept)
}

/// `text` with nothing in it that acts on a terminal, its end cut off where it
/// takes more than `most` columns.
pub fn clipped(text: &str, most: usize, style: Style) -> String {
    cut(&visible(text), most, style).into_owned()
}

/// `text` with blanks behind it up to so many terminal columns.
pub fn padded(text: &str, columns: usize) -> String {
    let blanks = columns.saturating_sub(width(text));
    text.chars().chain(repeat_n(' ', blanks)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_written_out() {
        assert_eq!(visible("a\x1b[31mb\n"), "a\\u{1b}[31mb\\n");
        assert_eq!(visible("x\u{202e}y"), "x\\u{202e}y");
        assert_eq!(visible("größe 表"), "größe 表");
    }

    #[test]
    fn cutting_counts_columns() {
        let style = Style::PIPE;
        assert_eq!(cut("abcdef", 4, style), "abc…");
        assert_eq!(cut("表表表", 4, style), "表…");
        assert_eq!(cut("abc", 3, style), "abc");
    }
}
