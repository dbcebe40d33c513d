//! Speed, measured on this machine by the benchmark of crates/e2e.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};

use crate::libtorch;
use crate::process::{run as run_command, say};
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace, args: &[String]) -> Result<()> {
    libtorch::ensure(workspace)?;
    say("building everything in release");
    let packages = [
        "-p",
        "swath-coordinator",
        "-p",
        "swath-worker",
        "-p",
        "swath-trainer",
        "-p",
        "swath-e2e",
    ];
    run_command(workspace.cargo("build").arg("--release").args(packages))?;
    // This example fills a store for its benchmark.
    let filler = ["-p", "swath-store-sqlite", "--example", "fill"];
    run_command(workspace.cargo("build").arg("--release").args(filler))?;
    let binaries = workspace.target_dir()?.join("release");
    let bench = binaries.join("bench");
    let failure = Command::new(&bench)
        .args(args)
        .env("SWATH_BIN_DIR", &binaries)
        .current_dir(&workspace.root)
        .exec();
    Err(failure).with_context(|| format!("cannot start {}", bench.display()))
}
