//! Checks for what review should not have to find.

mod containers;
mod files;
mod rules;
mod services;
mod tools;

use anyhow::{Result, bail};

use crate::process::{answers, run as run_command, say};
use crate::tally::Tally;
use crate::workspace::Workspace;
use crate::{docs, needs, sqlx};
pub(crate) use tools::{Install, Missing, Source, Tool};

/// A check fails with an error, and is skipped with the error [`Missing`].
type Check = (&'static str, fn(&Workspace, Install) -> Result<()>);

/// The quick ones first.
const CHECKS: [Check; 12] = [
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
    ("systemd units", |workspace, _| services::check(workspace)),
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
    tally.result("checks")
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
