//! Texts with a NUL, which Postgres does not accept.
//!
//! A text that contains one is written with a mark in front, and each NUL as
//! two other characters; every other text is written as it is, so that people
//! can read and search it. Equal texts stay equal, and different ones
//! different.

use std::borrow::Cow;

/// The mark in front of a text that is written in this form, and in front of
/// every character in it that stands for another.
const MARK: char = '\u{1}';

/// A text as a column stores it.
pub(crate) fn kept(text: &str) -> Cow<'_, str> {
    if !text.starts_with(MARK) && !text.as_bytes().contains(&0) {
        return Cow::Borrowed(text);
    }
    let mut kept = String::with_capacity(text.len() + 8);
    kept.push(MARK);
    for character in text.chars() {
        match character {
            '\0' => kept.extend([MARK, '0']),
            MARK => kept.extend([MARK, '1']),
            other => kept.push(other),
        }
    }
    Cow::Owned(kept)
}

/// The text that a column stores.
pub(crate) fn told(kept: String) -> String {
    let Some(rest) = kept.strip_prefix(MARK) else {
        return kept;
    };
    let mut told = String::with_capacity(rest.len());
    let mut characters = rest.chars();
    while let Some(character) = characters.next() {
        match character {
            MARK if characters.next() == Some('0') => told.push('\0'),
            MARK => told.push(MARK),
            other => told.push(other),
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_plain_text_is_kept_as_it_is() {
        for text in ["", "a\u{1}b", "line\nline", "ä"] {
            assert!(matches!(kept(text), Cow::Borrowed(same) if same == text));
        }
        assert_eq!(kept("a\0b"), "\u{1}a\u{1}0b");
        assert_eq!(kept("\u{1}"), "\u{1}\u{1}1");
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(text in "[\0\u{1}01a\n]{0,12}") {
            let kept = kept(&text).into_owned();
            prop_assert!(!kept.contains('\0'));
            prop_assert_eq!(told(kept), text);
        }

        #[test]
        fn different_texts_stay_different(one in "[\0\u{1}01]{0,4}", two in "[\0\u{1}01]{0,4}") {
            prop_assert_eq!(kept(&one) == kept(&two), one == two);
        }
    }
}
