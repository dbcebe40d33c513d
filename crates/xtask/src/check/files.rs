//! Rules about files as text: their size, and no names of places that only exist on somebody's
//! machine.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::output;
use crate::workspace::Workspace;

/// Beyond this a file holds two things that deserve two names.
const MOST_LINES: usize = 700;

/// Written in two parts, so that this file does not break its own rule.
const OUTSIDE: &str = concat!("../", "shared");

pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let listed = output(
        Command::new("git")
            .args([
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ])
            .current_dir(&workspace.root),
    )
    .context("cannot list the files of the checkout")?;
    let mut found = Vec::new();
    for path in listed.split('\0').filter(|path| !path.is_empty()) {
        // The file is deleted but still in the index, or it is not text.
        // Neither has lines.
        let Ok(text) = fs::read_to_string(workspace.path(path)) else {
            continue;
        };
        found.extend(complaints(path, &text));
    }
    if !found.is_empty() {
        bail!("{}", found.join("; "));
    }
    Ok(())
}

fn complaints(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let lines = text.lines().count();
    let is_rust = std::path::Path::new(path)
        .extension()
        .is_some_and(|extension| extension == "rs");
    if is_rust && lines > MOST_LINES {
        found.push(format!(
            "{path} has {lines} lines (at most {MOST_LINES}): split it"
        ));
    }
    if let Some(line) = text.lines().position(|line| line.contains(OUTSIDE)) {
        found.push(format!(
            "{path}:{} names {OUTSIDE}, which is not in the repository",
            line + 1
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_named_with_its_length() {
        assert_eq!(
            complaints("a.rs", &"x\n".repeat(MOST_LINES)),
            Vec::<String>::new()
        );
        assert_eq!(
            complaints("a.csv", &"x\n".repeat(MOST_LINES + 1)),
            Vec::<String>::new()
        );
        let found = complaints("a.rs", &"x\n".repeat(MOST_LINES + 1));
        assert!(found[0].contains("a.rs has 701 lines"), "{found:?}");
    }

    #[test]
    fn a_path_outside_is_named_with_its_line() {
        let found = complaints("a.md", &format!("one\ntwo {OUTSIDE}/data\n"));
        assert!(found[0].starts_with("a.md:2 "), "{found:?}");
    }
}
