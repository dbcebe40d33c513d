//! From a fresh checkout to a result table.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};

use crate::libtorch;
use crate::process::{run as run_command, say};
use crate::workspace::Workspace;

const SWEEP: &str = "sweeps/quickstart.toml";
/// Of Cargo.toml: builds in half the time of `release`, and trains as fast.
const PROFILE: &str = "quickstart";

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    say("1/3 libtorch");
    libtorch::ensure(workspace)?;
    let binaries = workspace.target_dir()?.join(PROFILE);
    let coordinator = binaries.join("coordinator");
    let duration = if coordinator.exists() {
        ""
    } else {
        " (about 6 minutes on 2 cores the first time)"
    };
    say(format!(
        "2/3 building coordinator, worker and trainer{duration}"
    ));
    let packages = [
        "-p",
        "swath-coordinator",
        "-p",
        "swath-worker",
        "-p",
        "swath-trainer",
    ];
    run_command(
        workspace
            .cargo("build")
            .args(["--profile", PROFILE])
            .args(packages),
    )?;
    say(format!("3/3 coordinator run {SWEEP}"));
    // This replaces the process, so that exit code, terminal and Ctrl-C are the coordinator's
    // own.
    let failure = Command::new(&coordinator)
        .args(["run", SWEEP])
        .current_dir(&workspace.root)
        .exec();
    Err(failure).with_context(|| format!("cannot start {}", coordinator.display()))
}
