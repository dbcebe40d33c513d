//! What people call a sweep and say of it. None of it changes what the sweep
//! computes.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// The most tags of a sweep.
pub const TAGS_MAX: usize = 16;
/// The longest tag, in bytes.
pub const TAG_BYTES_MAX: usize = 64;
/// The longest note, in bytes.
pub const NOTE_BYTES_MAX: usize = 1000;
/// The longest name of an owner, in bytes.
pub const OWNER_BYTES_MAX: usize = 64;
/// The longest name of a sweep, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// What is said of a sweep beside its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// When it was submitted last, as far as it had to be told from others: a
    /// name means the sweep of which this is the latest. No two sweeps have the
    /// same.
    #[serde(default)]
    pub last_submitted_at: Timestamp,
    /// Who submitted it first; empty where nobody said so.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub owner: String,
    /// Words by which people find it, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// What somebody noted about it; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Whether lists leave it out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub archived: bool,
    /// Whether it is being deleted: some of its cells may be gone already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleting: bool,
    /// Whether it is still being stored: some of its cells may not be there yet.
    /// Nobody is shown it meanwhile.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub staged: bool,
    /// Whether it was cancelled and was submitted again, and some of its cancelled
    /// jobs may not be wanted yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reviving: bool,
}

/// A change to what is said of a sweep. None of them matters to its jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relabel {
    /// Gives it another name, as the first version of it.
    Rename(String),
    /// Adds and removes tags.
    Tag {
        /// Tags that it has from now on.
        add: Vec<String>,
        /// Tags that it has no more.
        remove: Vec<String>,
    },
    /// Replaces its note.
    Note(String),
    /// Leaves it out of lists, or does so no more.
    Archive(bool),
}

impl Label {
    /// Adds tags that it lacks, as long as there is room.
    pub fn add_tags(&mut self, tags: &[String]) {
        for tag in tags {
            if let Err(place) = self.tags.binary_search(tag)
                && self.tags.len() < TAGS_MAX
            {
                self.tags.insert(place, tag.clone());
            }
        }
    }

    /// Changes everything but the name.
    pub fn apply(&mut self, change: &Relabel) {
        match change {
            Relabel::Rename(_) => {}
            Relabel::Tag { add, remove } => {
                self.tags.retain(|tag| !remove.contains(tag));
                self.add_tags(add);
            }
            Relabel::Note(note) => self.note.clone_from(note),
            Relabel::Archive(archived) => self.archived = *archived,
        }
    }
}

/// A word that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not {expected}", .text.escape_debug())]
pub struct WordError {
    text: String,
    expected: &'static str,
}

fn check(text: &str, holds: bool, expected: &'static str) -> Result<(), WordError> {
    let text = text.to_owned();
    if holds {
        Ok(())
    } else {
        Err(WordError { text, expected })
    }
}

/// Checks the name of a sweep.
///
/// # Errors
///
/// Unless it is 1 to 64 lower-case letters, digits, hyphens and underscores.
pub fn check_name(name: &str) -> Result<(), WordError> {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    let holds = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(allowed);
    check(name, holds, "a name of a sweep (1 to 64 of a-z 0-9 _ -)")
}

/// Checks a tag.
///
/// # Errors
///
/// Unless it is 1 to 64 letters, digits, dots, hyphens and underscores.
pub fn check_tag(tag: &str) -> Result<(), WordError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let holds = (1..=TAG_BYTES_MAX).contains(&tag.len()) && tag.bytes().all(allowed);
    check(tag, holds, "a tag (1 to 64 of A-Z a-z 0-9 . _ -)")
}

/// Checks a note; it may be empty.
///
/// # Errors
///
/// Unless it is one line of at most 1,000 bytes.
pub fn check_note(note: &str) -> Result<(), WordError> {
    let holds = note.len() <= NOTE_BYTES_MAX && !note.chars().any(char::is_control);
    check(note, holds, "a note (one line of at most 1,000 bytes)")
}

/// Checks the name of an owner; it may be empty.
///
/// # Errors
///
/// Unless it is one line of at most 64 bytes.
pub fn check_owner(owner: &str) -> Result<(), WordError> {
    let holds = owner.len() <= OWNER_BYTES_MAX && !owner.chars().any(char::is_control);
    check(
        owner,
        holds,
        "the name of an owner (one line of at most 64 bytes)",
    )
}

/// How a sweep is named where others have the same name: `slow@2`.
pub fn versioned(name: &str, version: u32) -> String {
    format!("{name}@{version}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn tags_are_a_set_in_order_with_a_limit() {
        let mut label = Label::default();
        label.add_tags(&words(&["b", "a", "b"]));
        assert_eq!(label.tags, ["a", "b"]);
        let change = Relabel::Tag {
            add: words(&["c"]),
            remove: words(&["a", "x"]),
        };
        label.apply(&change);
        assert_eq!(label.tags, ["b", "c"]);
        let many: Vec<_> = (0..40).map(|number| format!("t{number}")).collect();
        label.add_tags(&many);
        assert_eq!(label.tags.len(), TAGS_MAX);
        assert!(label.tags.is_sorted());
    }

    #[test]
    fn words_are_held_to_their_alphabets() {
        assert_eq!(check_name("slow_2-a"), Ok(()));
        for bad in ["", "Slow", "a b", "a@1", "ä", &"x".repeat(65)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        assert_eq!(check_tag("ICLR-2027.v1"), Ok(()));
        for bad in ["", "a b", "a,b", "*"] {
            assert!(check_tag(bad).is_err(), "{bad}");
        }
        assert_eq!(check_note(""), Ok(()));
        assert_eq!(check_note("für Anna"), Ok(()));
        let wrong = check_note("a\nb").unwrap_err().to_string();
        assert_eq!(
            wrong,
            "`a\\nb` is not a note (one line of at most 1,000 bytes)"
        );
        assert!(check_owner("a\tb").is_err());
    }
}
