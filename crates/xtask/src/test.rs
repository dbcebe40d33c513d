//! Every test of the workspace, from a clean clone.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::check::Missing;
use crate::postgres::{self, Server};
use crate::process::{answers, run as run_command, say, shown};
use crate::totals::Totals;
use crate::workspace::Workspace;
use crate::{check, libtorch, needs, wheel};

/// In CI, property tests draw the same inputs in every run, so that a failure
/// comes from the change and not from chance. At a desk they draw other inputs
/// each time.
const SEED_IN_CI: &str = "20180101";

pub(crate) fn run(workspace: &Workspace, with_check: bool, args: &[String]) -> Result<()> {
    libtorch::ensure(workspace)?;
    needs::install();
    let mut failures = Vec::new();
    // A failed check must not hide what the tests say.
    if with_check && let Err(error) = check::run(workspace, false) {
        say(format!("{error:#}; going on with the tests"));
        failures.push("checks");
    }
    let binaries = build(workspace)?;
    say("documentation tests");
    let mut doc = workspace.cargo("test");
    doc.args([
        "--doc",
        "--workspace",
        "--exclude",
        "swath-trainer",
        "--quiet",
    ]);
    // Arguments are a filter for the tests proper. The few documentation tests run only when all
    // tests do.
    if args.is_empty() && !summed(&mut doc, "documentation tests")? {
        failures.push("documentation tests");
    }
    if args.is_empty()
        && let Err(error) = python_package(workspace)
    {
        say(format!("{error:#}"));
        failures.push("tests of the Python package");
    }
    say("tests");
    let server = postgres_server()?;
    if !all_tests(workspace, &binaries, server.as_ref(), args)? {
        failures.push("tests");
    }
    if !failures.is_empty() {
        bail!("failed: {}; see above", failures.join(", "));
    }
    Ok(())
}

/// Builds binaries and tests as one set, so that both share one choice of features and nothing is compiled twice.
///
/// Returns the directory of the binaries that the process tests start.
fn build(workspace: &Workspace) -> Result<std::path::PathBuf> {
    say("building binaries and tests (about 6 minutes on 2 cores the first time)");
    run_command(
        workspace
            .cargo("build")
            .args(["--workspace", "--lib", "--bins", "--tests"]),
    )?;
    Ok(workspace.target_dir()?.join("debug"))
}

/// The wheel of the same profile, so that little is built again, and its tests.
fn python_package(workspace: &Workspace) -> Result<()> {
    say("tests of the Python package");
    match wheel::build(workspace, wheel::DEV) {
        Ok(wheel) => wheel::test(workspace, &wheel),
        Err(error) if error.is::<Missing>() => {
            say(format!("python: skipped: {error:#}"));
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// A server for the tests that need one. Without it, they say that they skip.
fn postgres_server() -> Result<Option<Server>> {
    match Server::find() {
        Ok(server) => Ok(Some(server)),
        Err(error) if error.is::<Missing>() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Prints the runner's totals last, where people look for them.
fn all_tests(
    workspace: &Workspace,
    binaries: &Path,
    server: Option<&Server>,
    args: &[String],
) -> Result<bool> {
    let has_nextest = answers(workspace.cargo("nextest").arg("--version"));
    let mut command = workspace.cargo(if has_nextest { "nextest" } else { "test" });
    if has_nextest {
        command.arg("run");
    } else {
        say(
            "cargo-nextest is not installed: `cargo test` runs the tests, slower and without time limits",
        );
        command.args(["--lib", "--bins", "--tests", "--no-fail-fast"]);
    }
    command
        .args(scope(args))
        .args(args)
        .env("SWATH_BIN_DIR", binaries)
        .stdin(Stdio::null());
    if let Some(server) = server {
        command.env(postgres::SERVER, server.url());
    }
    if needs::is_ci() {
        command.env("PROPTEST_RNG_SEED", SEED_IN_CI);
    }
    if !has_nextest {
        return summed(&mut command, "tests");
    }
    let status = command
        .status()
        .with_context(|| format!("cannot start `{}`", shown(&command)))?;
    Ok(status.success())
}

/// Cargo prefers `--workspace` to any `-p` beside it.
fn scope(args: &[String]) -> &'static [&'static str] {
    let names_package =
        |arg: &String| arg.starts_with("-p") || arg == "--package" || arg.starts_with("--package=");
    if args.iter().any(names_package) {
        &[]
    } else {
        &["--workspace"]
    }
}

/// Runs a `cargo test`, passes its stdout on, and ends with one total over all its test binaries.
fn summed(command: &mut Command, name: &str) -> Result<bool> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start `{}`", shown(command)))?;
    let mut totals = Totals::default();
    let mut stdout = std::io::stdout().lock();
    for line in BufReader::new(child.stdout.take().context("no stdout")?).split(b'\n') {
        let line = line?;
        totals.add_line(&String::from_utf8_lossy(&line));
        stdout.write_all(&line)?;
        stdout.write_all(b"\n")?;
    }
    let status = child.wait()?;
    say(format!("{name}: {totals}"));
    Ok(status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_package_narrows_the_tests() {
        let args = |args: &[&str]| args.iter().map(|&arg| arg.to_owned()).collect::<Vec<_>>();
        assert_eq!(scope(&args(&["ledger"])), ["--workspace"]);
        assert!(scope(&args(&["-p", "swath-model"])).is_empty());
        assert!(scope(&args(&["-pswath-model"])).is_empty());
        assert!(scope(&args(&["--package=swath-model"])).is_empty());
    }
}
