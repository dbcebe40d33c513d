//! What review should not have to find.

mod files;
mod rules;

use anyhow::{Result, bail};

use crate::process::{answers, run as run_command, say};
use crate::workspace::Workspace;
use crate::{docs, sqlx};

type Check = (&'static str, fn(&Workspace) -> Result<()>);

/// The quick ones first.
const CHECKS: [Check; 7] = [
    ("formatting", formatting),
    ("files", files::check),
    ("dependency rule", rules::check),
    ("licences and bans", deny),
    ("lints", lints),
    ("query cache", sqlx::check),
    ("generated pages", docs::check),
];

/// Runs every check, whatever the ones before it found.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let mut failed = Vec::new();
    for (name, check) in CHECKS {
        match check(workspace) {
            Ok(()) => say(format!("check: {name}: ok")),
            Err(error) => {
                say(format!("check: {name}: FAILED: {error:#}"));
                failed.push(name);
            }
        }
    }
    if !failed.is_empty() {
        bail!(
            "{} of {} checks failed: {}",
            failed.len(),
            CHECKS.len(),
            failed.join(", ")
        );
    }
    Ok(())
}

fn formatting(workspace: &Workspace) -> Result<()> {
    match run_command(workspace.cargo("fmt").args(["--all", "--check"])) {
        Ok(()) => Ok(()),
        Err(_) => bail!("`cargo fmt --all` formats the files shown above"),
    }
}

fn lints(workspace: &Workspace) -> Result<()> {
    run_command(workspace.cargo("clippy").args([
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ]))
}

/// The dependency rule itself is held by `rules`; cargo-deny adds licences and what comes in indirectly.
fn deny(workspace: &Workspace) -> Result<()> {
    if !answers(workspace.cargo("deny").arg("--version")) {
        say(
            "check: cargo-deny is not installed, so licences are not looked at (`cargo install cargo-deny`)",
        );
        return Ok(());
    }
    // Advisories need the network and change by themselves: not a matter of this checkout.
    run_command(
        workspace
            .cargo("deny")
            .args(["check", "bans", "licenses", "sources"]),
    )
}
