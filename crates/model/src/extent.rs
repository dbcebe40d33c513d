//! How deep and how large a TOML text is, found out before it is made a tree:
//! whoever walks over a tree, or drops it, needs stack for each of its levels.

use crate::limits::{FILE_VALUES_MAX, KEY_BYTES_MAX, LEVELS_MAX};
use toml_parser::decoder::Encoding;
use toml_parser::parser::{EventReceiver, parse_document};
use toml_parser::{ErrorSink, Source, Span};

/// What a text has too much of, at which byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excess {
    /// Where it begins, in bytes from the beginning of the text.
    pub offset: usize,
    /// What there is too much of, for people.
    pub message: String,
}

/// Checks a text against the limits of files. What is no TOML passes, as far as
/// it is within them: the parser tells what is wrong with it.
///
/// # Errors
///
/// The first place that is beyond a limit.
pub fn check(text: &str) -> Result<(), Excess> {
    let tokens = Source::new(text).lex().into_vec();
    let mut extent = Extent::default();
    parse_document(&tokens, &mut extent, &mut ());
    extent.excess.map_or(Ok(()), Err)
}

/// What was seen so far.
#[derive(Default)]
struct Extent {
    /// The names in the heading of the current table.
    heading: usize,
    in_heading: bool,
    /// The names of the current key.
    names: usize,
    /// The levels around the current list or inline table.
    around: usize,
    /// `around` and `names` outside of each open list or inline table.
    outside: Vec<(usize, usize)>,
    /// Keys and values.
    count: usize,
    excess: Option<Excess>,
}

impl Extent {
    fn exceeds(&mut self, span: Span, message: String) {
        let offset = span.start();
        self.excess.get_or_insert(Excess { offset, message });
    }

    fn count(&mut self, span: Span) {
        self.count += 1;
        if self.count > FILE_VALUES_MAX {
            let message = format!("more than {FILE_VALUES_MAX} keys and values in one file");
            self.exceeds(span, message);
        }
    }

    /// Whether what begins at `span` is not too deep.
    fn descends(&mut self, span: Span) -> bool {
        let levels = self.heading + self.around + self.names;
        if levels > LEVELS_MAX {
            let message = format!(
                "more than {LEVELS_MAX} levels of names, lists and tables; make one name of several"
            );
            self.exceeds(span, message);
        }
        levels <= LEVELS_MAX
    }

    fn open_heading(&mut self) {
        (self.heading, self.names, self.in_heading) = (0, 0, true);
        // A list that nothing closes is a mistake for the parser to tell.
        self.outside.clear();
        self.around = 0;
    }

    /// Opens a list or an inline table, which is so many levels besides those of
    /// its names.
    fn open(&mut self, levels: usize, span: Span) -> bool {
        self.outside.push((self.around, self.names));
        self.around += self.names + levels;
        self.names = 0;
        self.descends(span)
    }

    fn close(&mut self) {
        if let Some(outside) = self.outside.pop() {
            (self.around, self.names) = outside;
        }
    }
}

impl EventReceiver for Extent {
    fn std_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.open_heading();
    }

    fn std_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.in_heading = false;
    }

    fn array_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.open_heading();
    }

    fn array_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.in_heading = false;
    }

    fn inline_table_open(&mut self, span: Span, _: &mut dyn ErrorSink) -> bool {
        self.open(0, span)
    }

    fn inline_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.close();
    }

    fn array_open(&mut self, span: Span, _: &mut dyn ErrorSink) -> bool {
        self.open(1, span)
    }

    fn array_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.close();
    }

    fn simple_key(&mut self, span: Span, _: Option<Encoding>, _: &mut dyn ErrorSink) {
        if self.in_heading {
            self.heading += 1;
        } else {
            self.names += 1;
        }
        if span.len() > KEY_BYTES_MAX {
            let message = format!("a name of {} bytes; at most {KEY_BYTES_MAX}", span.len());
            self.exceeds(span, message);
        }
        self.count(span);
        self.descends(span);
    }

    fn scalar(&mut self, span: Span, _: Option<Encoding>, _: &mut dyn ErrorSink) {
        self.count(span);
    }

    fn value_sep(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.names = 0;
    }

    fn newline(&mut self, _: Span, _: &mut dyn ErrorSink) {
        // Lists and inline tables may go over several lines.
        if self.outside.is_empty() {
            self.names = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excess(text: &str) -> Option<(usize, String)> {
        let excess = check(text).err();
        excess.map(|it| (it.offset, it.message))
    }

    #[test]
    fn every_way_to_nest_counts() {
        let deep = LEVELS_MAX;
        let inline = |levels: usize| format!("a={}1{}", "[".repeat(levels), "]".repeat(levels));
        let tables = |levels: usize| format!("a={}1{}", "{a=".repeat(levels), "}".repeat(levels));
        let dotted = |levels: usize| format!("a{}=1", ".a".repeat(levels - 1));
        let heading = |levels: usize| format!("[a{}]\nb = 1", ".a".repeat(levels - 2));
        let within = [
            inline(deep - 1),
            tables(deep - 1),
            dotted(deep),
            heading(deep),
        ];
        for text in within {
            assert_eq!(excess(&text), None, "{text}");
        }
        let beyond = [
            inline(deep),
            tables(deep),
            dotted(deep + 1),
            heading(deep + 1),
        ];
        let huge = [
            inline(200_000),
            tables(200_000),
            dotted(200_000),
            heading(200_000),
        ];
        let unclosed = [
            "a=".to_owned() + &"[".repeat(200_000),
            "{a=".repeat(200_000),
        ];
        for text in beyond.iter().chain(&huge).chain(&unclosed[..1]) {
            let (_, message) = excess(text).unwrap();
            assert!(message.contains("more than 64 levels"), "{message}");
        }
        // No key begins like that, but the parser may say so.
        let _ = excess(&unclosed[1]);
    }

    #[test]
    fn levels_of_parts_add_up() {
        let half = "a.".repeat(LEVELS_MAX / 2 - 1) + "a";
        assert_eq!(excess(&format!("[{half}]\n{half} = 1")), None);
        for beyond in ["= [1]", "= { a = 1 }", ".a = 1"] {
            let text = format!("[{half}]\n{half} {beyond}");
            let (at, _) = excess(&text).unwrap();
            assert!(at > text.find('\n').unwrap(), "{at}");
        }
    }

    #[test]
    fn levels_end_where_their_table_does() {
        let name = "a.".repeat(LEVELS_MAX / 2 - 2) + "a";
        let text = format!(
            "[{name}]\n{name} = 1 # {name}\n{name}b = [\n  1,\n  2,\n]\n[[b]]\nc = {{ {name} = 1, {name}b = 2 }}\n{name} = 2\n"
        );
        assert_eq!(excess(&text), None);
    }

    #[test]
    fn names_and_counts_have_limits() {
        let name = "a".repeat(KEY_BYTES_MAX);
        assert_eq!(excess(&format!("{name} = 1")), None);
        let (at, message) = excess(&format!("b = 1\n{name}a = 1")).unwrap();
        assert_eq!((at, &*message), (6, "a name of 1025 bytes; at most 1024"));
        let many = |count: usize| format!("a = [{}]", "1,".repeat(count));
        assert_eq!(excess(&many(FILE_VALUES_MAX - 1)), None);
        let (_, message) = excess(&many(FILE_VALUES_MAX)).unwrap();
        assert!(
            message.contains("more than 250000 keys and values"),
            "{message}"
        );
    }
}
