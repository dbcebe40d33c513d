//! Running other programs: what is said when they start, fail or are not there.

use std::io::ErrorKind;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// A step of xtask itself, set apart from the output of what it runs.
pub(crate) fn say(text: impl std::fmt::Display) {
    eprintln!("xtask: {text}");
}

/// The command as a user could type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    let program = program.rsplit('/').next().unwrap_or_default().to_owned();
    let words = command
        .get_args()
        .map(|word| word.to_string_lossy().into_owned());
    std::iter::once(program)
        .chain(words)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Runs with our stdout and stderr; an exit code other than 0 is an error that names the command.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start `{}`", shown(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", shown(command));
    }
    Ok(())
}

/// Stdout as text; on failure the last line of stderr, which with most programs is the one that says why.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let done = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", shown(command)))?;
    if !done.status.success() {
        bail!(
            "`{}` failed: {}",
            shown(command),
            last_line(&String::from_utf8_lossy(&done.stderr))
        );
    }
    String::from_utf8(done.stdout)
        .with_context(|| format!("`{}` did not print text", shown(command)))
}

pub(crate) fn last_line(text: &str) -> &str {
    text.trim_end().lines().next_back().unwrap_or("no message")
}

/// Whether a program is there at all, whatever it answers.
pub(crate) fn is_installed(command: &mut Command) -> bool {
    let started = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    !matches!(started, Err(error) if error.kind() == ErrorKind::NotFound)
}

/// Whether a program is there and answers with exit code 0, as `cargo SUBCOMMAND --version` does.
pub(crate) fn answers(command: &mut Command) -> bool {
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_is_typed() {
        let mut command = Command::new("/opt/toolchain/bin/cargo");
        command.args(["fmt", "--all"]);
        assert_eq!(shown(&command), "cargo fmt --all");
    }

    #[test]
    fn the_last_line_says_why() {
        assert_eq!(
            last_line("note\nERROR: no matching file\n\n"),
            "ERROR: no matching file"
        );
        assert_eq!(last_line(""), "no message");
    }

    #[test]
    fn a_missing_program_is_an_error_with_its_name() {
        let error = run(&mut Command::new("swath-no-such-program")).unwrap_err();
        assert!(
            format!("{error:#}").contains("swath-no-such-program"),
            "{error:#}"
        );
        assert!(!is_installed(&mut Command::new("swath-no-such-program")));
    }
}
