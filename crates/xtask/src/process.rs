//! Running other programs, and the messages when they start, fail or do not
//! exist.

use std::io::ErrorKind;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How often a program with a time limit is looked at.
const POLL: Duration = Duration::from_millis(50);

/// Announces a step of xtask itself, set apart from the output of the programs
/// it runs.
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

/// Like `run`, for what may take long. The command is killed when its time is over, but not the processes
/// it started.
pub(crate) fn run_within(command: &mut Command, limit: Duration) -> Result<()> {
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start `{}`", shown(command)))?;
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if started.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            let seconds = limit.as_secs();
            bail!("`{}` took more than {seconds} s", shown(command));
        }
        thread::sleep(POLL);
    };
    if !status.success() {
        bail!("`{}` failed ({status})", shown(command));
    }
    Ok(())
}

/// Stdout as text. On failure the error is the last line of stderr, which in most programs is the one
/// that says why.
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

/// Whether a program exists at all, whatever it answers.
pub(crate) fn is_installed(command: &mut Command) -> bool {
    let started = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    !matches!(started, Err(error) if error.kind() == ErrorKind::NotFound)
}

/// Whether a program exists and answers with exit code 0, as `cargo SUBCOMMAND --version` does.
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
    fn a_program_that_takes_too_long_is_ended() {
        let ok = run_within(&mut Command::new("true"), Duration::from_mins(1));
        assert!(ok.is_ok(), "{ok:?}");
        let failed = run_within(&mut Command::new("false"), Duration::from_mins(1));
        assert!(failed.unwrap_err().to_string().contains("`false` failed"));
        let mut endless = Command::new("sleep");
        let error = run_within(endless.arg("600"), Duration::ZERO).unwrap_err();
        assert_eq!(error.to_string(), "`sleep 600` took more than 0 s");
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
