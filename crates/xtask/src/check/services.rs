//! The systemd units, as far as systemd can say without starting them.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::tools::Missing;
use crate::process::{answers, run};
use crate::workspace::Workspace;

const DIRECTORY: &str = "deploy/systemd";

/// Where the units look for our programs.
const PROGRAMS: &str = "/usr/local/bin";

pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    if !answers(Command::new("systemd-analyze").arg("--version")) {
        let how = "systemd-analyze is not installed; `apt-get install systemd` does that";
        return Err(Missing(how.to_owned()).into());
    }
    let kept = tempfile::tempdir()?;
    let mut command = Command::new("systemd-analyze");
    // Only what is wrong with these units themselves counts.
    command.args(["verify", "--man=no", "--recursive-errors=no"]);
    for (name, text) in units(&workspace.path(DIRECTORY))? {
        let Some(text) = startable(&text) else {
            bail!("{DIRECTORY}/{name} starts no program of {PROGRAMS}");
        };
        let path = kept.path().join(name);
        fs::write(&path, text)?;
        command.arg(path);
    }
    run(&mut command)
}

fn units(directory: &Path) -> Result<Vec<(String, String)>> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "service") {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let text = fs::read_to_string(&path);
            let text = text.with_context(|| format!("cannot read {}", path.display()))?;
            found.push((name.into_owned(), text));
        }
    }
    found.sort();
    Ok(found)
}

/// A unit with a program that this machine has: that ours are installed is not asked. None
/// where it starts none of ours.
fn startable(text: &str) -> Option<String> {
    let start = format!("ExecStart={PROGRAMS}/");
    let line = text.lines().find(|line| line.starts_with(&start))?;
    let options = line.split_once(' ').map_or("", |(_, options)| options);
    Some(text.replace(line, &format!("ExecStart=/bin/true {options}")))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_unit_is_checked_with_a_program_that_is_there() {
        let unit = "[Service]\nExecStart=/usr/local/bin/coordinator serve\nUser=a\n";
        let expected = "[Service]\nExecStart=/bin/true serve\nUser=a\n";
        assert_eq!(startable(unit).as_deref(), Some(expected));
        assert_eq!(startable("[Service]\nExecStart=/bin/sh\n"), None);
    }

    /// The exit codes with which starting again does not help are those of the programs.
    #[test]
    fn wrong_usage_is_not_started_again() {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
        let units = units(&root.join(DIRECTORY)).unwrap();
        assert_eq!(units.len(), 2);
        for (name, text) in units {
            let mut lines = text.lines();
            assert!(
                lines.any(|line| line == "RestartPreventExitStatus=2 3"),
                "{name}"
            );
        }
    }
}
