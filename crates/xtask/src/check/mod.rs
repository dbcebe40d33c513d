//! Checks for what review should not have to find.

mod containers;
mod files;
mod rules;
mod tools;

use std::fmt;

use anyhow::{Result, bail};

use crate::process::{answers, run as run_command, say};
use crate::workspace::Workspace;
use crate::{docs, needs, sqlx};
pub(crate) use tools::Missing;
use tools::{Install, Source, Tool};

/// A check fails with an error, and is skipped with the error [`Missing`].
type Check = (&'static str, fn(&Workspace, Install) -> Result<()>);

/// The quick ones first.
const CHECKS: [Check; 11] = [
    ("formatting", |workspace, _| formatting(workspace)),
    ("files", |workspace, _| files::check(workspace)),
    ("dependency rule", |workspace, _| rules::check(workspace)),
    ("Dockerfiles", |workspace, _| {
        containers::dockerfiles(workspace)
    }),
    (
        "Compose file, read by docker-compose",
        containers::docker_compose,
    ),
    (
        "Compose file, by its specification",
        containers::specification,
    ),
    ("unused dependencies", machete),
    ("licences and bans", deny),
    ("lints", |workspace, _| lints(workspace)),
    ("query cache", |workspace, _| sqlx::check(workspace)),
    ("generated pages", |workspace, _| docs::check(workspace)),
];

const DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
    source: Source::Cargo,
    by_hand: "cargo install cargo-deny --locked",
};

const MACHETE: Tool = Tool {
    name: "cargo-machete",
    version: "0.9.2",
    source: Source::Cargo,
    by_hand: "cargo install cargo-machete --locked",
};

/// Runs every check, whatever the ones before it found. What they lack is installed in CI, or if `install` says so.
pub(crate) fn run(workspace: &Workspace, install: bool) -> Result<()> {
    let install = if install || needs::is_ci() {
        Install::Yes
    } else {
        Install::No
    };
    let mut tally = Tally::default();
    for (name, check) in CHECKS {
        let told = tally.add(name, check(workspace, install));
        say(format!("check: {name}: {told}"));
    }
    say(format!("checks: {tally}"));
    if !tally.failed.is_empty() {
        bail!("checks failed: {}", tally.failed.join(", "));
    }
    Ok(())
}

/// How many checks passed, failed and were skipped.
#[derive(Debug, Default)]
struct Tally {
    ok: usize,
    failed: Vec<&'static str>,
    skipped: usize,
}

impl Tally {
    /// Counts a check, and returns a line about its result.
    fn add(&mut self, name: &'static str, done: Result<()>) -> String {
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
                self.failed.push(name);
                format!("failed: {error:#}")
            }
        }
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

fn formatting(workspace: &Workspace) -> Result<()> {
    require_component(workspace, "fmt", "rustfmt")?;
    match run_command(workspace.cargo("fmt").args(["--all", "--check"])) {
        Ok(()) => Ok(()),
        Err(_) => bail!("`cargo fmt --all` formats the files shown above"),
    }
}

fn lints(workspace: &Workspace) -> Result<()> {
    require_component(workspace, "clippy", "clippy")?;
    run_command(workspace.cargo("clippy").args([
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ]))
}

/// Minimal toolchains do not include these components.
fn require_component(workspace: &Workspace, verb: &str, component: &str) -> Result<()> {
    if answers(workspace.cargo(verb).arg("--version")) {
        return Ok(());
    }
    let how = format!("{component} is not installed; `rustup component add {component}` does that");
    Err(Missing(how).into())
}

/// Finds dependencies that a Cargo.toml names and its crate does not use. `rules` looks through the table of
/// the workspace.
fn machete(workspace: &Workspace, install: Install) -> Result<()> {
    let mut command = MACHETE.command(install)?;
    run_command(command.arg(&workspace.root))
}

/// The dependency rule itself is checked by `rules`; cargo-deny adds licences and indirect dependencies.
fn deny(workspace: &Workspace, install: Install) -> Result<()> {
    let mut command = DENY.command(install)?;
    // Advisories need the network and change by themselves, so they are not about this
    // checkout.
    command.args(["check", "bans", "licenses", "sources"]);
    run_command(command.current_dir(&workspace.root))
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
        assert_eq!(tally.failed, ["c"]);
    }
}
