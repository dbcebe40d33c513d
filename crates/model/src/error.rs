//! Errors as text.

use std::error::Error;

/// An error and its causes in one line.
pub fn causes(error: &dyn Error) -> String {
    with_causes(error.to_string(), error)
}

/// `text`, then those causes of `error` that it does not contain yet: many an
/// error repeats the one below it.
pub fn with_causes(mut text: String, error: &dyn Error) -> String {
    let mut next = error.source();
    while let Some(cause) = next {
        let told = cause.to_string();
        if !text.contains(&told) {
            text = format!("{text}: {told}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Link {
        text: &'static str,
        source: Option<Box<Self>>,
    }

    fn link(text: &'static str, source: Option<Link>) -> Link {
        let source = source.map(Box::new);
        Link { text, source }
    }

    #[test]
    fn a_cause_is_told_once() {
        let disk = || link("disk full", None);
        let write = link("cannot write", Some(disk()));
        assert_eq!(causes(&write), "cannot write: disk full");
        let repeats = link("cannot write: disk full", Some(disk()));
        let store = link("store failed", Some(repeats));
        assert_eq!(causes(&store), "store failed: cannot write: disk full");
        assert_eq!(with_causes("no".to_owned(), &write), "no: disk full");
    }
}
