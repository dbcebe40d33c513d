//! Text made safe for markup.

/// `text` so that HTML, SVG and XML show it as it is, in text and in quoted
/// attributes. A line break or a tab becomes a space. A character that XML does
/// not allow, or that changes the order of letters, is replaced by a visible
/// one.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(' '),
            '\u{fffe}' | '\u{ffff}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                out.push('\u{fffd}');
            }
            _ if char.is_control() => out.push('\u{fffd}'),
            _ => out.push(char),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn markup_is_shown_as_it_is() {
        let text = "<a href=\"x\">'&'\u{1b}\n\u{202e}\u{ffff}";
        assert_eq!(
            escaped(text),
            "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;\u{fffd} \u{fffd}\u{fffd}"
        );
    }

    proptest! {
        #[test]
        fn nothing_of_the_text_is_markup(text: String) {
            let out = escaped(&text);
            prop_assert!(!out.contains(['<', '>', '"', '\'']));
            prop_assert!(!out.contains(char::is_control));
            prop_assert_eq!(out.matches('&').count(), out.matches(';').count() - text.matches(';').count());
        }
    }
}
