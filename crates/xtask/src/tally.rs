//! What several steps came to, each of which may fail or be skipped without hiding the others.

use std::fmt;

use anyhow::{Result, bail};

use crate::check::Missing;

/// How many steps passed, failed and were skipped.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    ok: usize,
    failed: Vec<String>,
    skipped: usize,
}

impl Tally {
    /// Counts a step, and returns a line about its result.
    pub(crate) fn add(&mut self, name: &str, done: Result<()>) -> String {
        match done {
            Ok(()) => {
                self.ok += 1;
                "ok".to_owned()
            }
            Err(error) if error.is::<Missing>() => {
                self.skipped += 1;
                format!("skipped: {error:#}")
            }
            Err(error) => {
                self.failed.push(name.to_owned());
                format!("failed: {error:#}")
            }
        }
    }

    /// An error that names what failed, if anything did.
    pub(crate) fn result(&self, what: &str) -> Result<()> {
        if self.failed.is_empty() {
            return Ok(());
        }
        bail!("{what} failed: {}", self.failed.join(", "))
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ok", self.ok)?;
        for (count, word) in [(self.failed.len(), "failed"), (self.skipped, "skipped")] {
            if count > 0 {
                write!(f, ", {count} {word}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn a_check_that_did_not_look_is_never_ok() {
        let mut tally = Tally::default();
        assert_eq!(tally.add("a", Ok(())), "ok");
        let missing = Missing("no tool; install it".to_owned());
        assert_eq!(
            tally.add("b", Err(missing.into())),
            "skipped: no tool; install it"
        );
        assert_eq!(tally.to_string(), "1 ok, 1 skipped");
        let failed = anyhow!("2 lines").context("bad");
        assert_eq!(tally.add("c", Err(failed)), "failed: bad: 2 lines");
        assert_eq!(tally.to_string(), "1 ok, 1 failed, 1 skipped");
        let result = tally.result("checks").unwrap_err();
        assert_eq!(result.to_string(), "checks failed: c");
        assert!(Tally::default().result("checks").is_ok());
    }
}
