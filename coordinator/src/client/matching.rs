//! Files by patterns such as `model/**/*.py`. Only directories that a pattern names
//! are looked into, and a name that is not UTF-8 is passed by or told: the walk of
//! the crate `glob` panics there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

/// Everything below a directory, at any depth.
const DEEP: &str = "**";

/// Hidden names are meant only by patterns that begin with a dot.
const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// The regular files below a directory that a pattern matches, as far as they do not
/// lie in hidden directories. Links are followed, and not in circles.
///
/// # Errors
///
/// What is wrong with the pattern, or cannot be read.
pub(super) fn files(pattern: &str, directory: &Path) -> Result<BTreeSet<PathBuf>, String> {
    let mut parts = Vec::new();
    for part in pattern.split('/').filter(|part| !matches!(*part, "" | ".")) {
        let part = Pattern::new(part).map_err(|error| format!("`{pattern}`: {error}"))?;
        parts.push(part);
    }
    if parts.last().is_some_and(|part| part.as_str() == DEEP) {
        parts.extend(Pattern::new("*"));
    }
    let mut walk = Walk::default();
    walk.below(directory, &parts)?;
    Ok(walk.found)
}

#[derive(Default)]
struct Walk {
    found: BTreeSet<PathBuf>,
    /// Where it is, without links.
    within: Vec<PathBuf>,
}

impl Walk {
    fn below(&mut self, place: &Path, parts: &[Pattern]) -> Result<(), String> {
        let Some((part, rest)) = parts.split_first() else {
            if place.is_file() {
                self.found.insert(place.to_owned());
            }
            return Ok(());
        };
        let is_literal = Pattern::escape(part.as_str()) == part.as_str();
        if is_literal {
            return self.below(&place.join(part.as_str()), rest);
        }
        if !place.is_dir() {
            return Ok(());
        }
        let wrong = |error: std::io::Error| format!("{}: {error}", place.display());
        let itself = place.canonicalize().map_err(wrong)?;
        let is_deep = part.as_str() == DEEP;
        if is_deep {
            if self.within.contains(&itself) {
                return Ok(());
            }
            self.below(place, rest)?;
        }
        self.within.push(itself);
        for entry in fs::read_dir(place).map_err(wrong)? {
            let name = entry.map_err(wrong)?.file_name();
            let shown = name.to_string_lossy();
            let inner = place.join(&name);
            let is_meant = if is_deep {
                !shown.starts_with('.') && inner.is_dir()
            } else {
                part.matches_with(&shown, OPTIONS)
            };
            if !is_meant {
                continue;
            }
            if name.to_str().is_none() {
                return Err(format!(
                    "the name of {} is not UTF-8; rename it, or name the files without it",
                    inner.display()
                ));
            }
            self.below(&inner, if is_deep { parts } else { rest })?;
        }
        self.within.pop();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    use super::*;

    fn place() -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        for name in [
            "t.py",
            "a/u.py",
            "a/b/v.py",
            "a/.hidden/w.py",
            "[x]/y.py",
            ".z.py",
        ] {
            let path = place.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        place
    }

    fn found(pattern: &str, place: &Path) -> Result<String, String> {
        let found = files(pattern, place)?;
        let names = found
            .iter()
            .map(|it| it.strip_prefix(place).unwrap().to_str().unwrap());
        Ok(names.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn patterns_name_files() {
        let place = place();
        for (pattern, wanted) in [
            ("t.py", "t.py"),
            ("./a//u.py", "a/u.py"),
            ("*", "t.py"),
            ("*/*.py", "[x]/y.py a/u.py"),
            ("[[]x[]]/y.py", "[x]/y.py"),
            ("**/*.py", "[x]/y.py a/b/v.py a/u.py t.py"),
            ("a/**", "a/b/v.py a/u.py"),
            ("**/b/**/v.*", "a/b/v.py"),
            ("a/.h*/*", "a/.hidden/w.py"),
            (".*", ".z.py"),
            ("a", ""),
            ("no/*", ""),
        ] {
            assert_eq!(
                found(pattern, place.path()),
                Ok(wanted.to_owned()),
                "{pattern}"
            );
        }
        assert!(
            found("a**b", place.path())
                .unwrap_err()
                .starts_with("`a**b`: ")
        );
    }

    #[test]
    fn links_are_followed_and_not_in_circles() {
        let place = place();
        symlink("..", place.path().join("a/up")).unwrap();
        symlink("a/b", place.path().join("c")).unwrap();
        assert_eq!(found("**/v.py", place.path()).unwrap(), "a/b/v.py c/v.py");
    }

    #[test]
    fn a_name_that_is_no_text_is_passed_by_or_told() {
        let place = place();
        fs::write(place.path().join(OsStr::from_bytes(b"bad\xff.txt")), "").unwrap();
        assert_eq!(found("*.py", place.path()), Ok("t.py".to_owned()));
        assert_eq!(found("**/u.py", place.path()), Ok("a/u.py".to_owned()));
        let told = found("**/*", place.path()).unwrap_err();
        assert!(
            told.ends_with("is not UTF-8; rename it, or name the files without it"),
            "{told}"
        );
    }
}
