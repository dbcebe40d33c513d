//! Pages under docs/ that programs write, so that they cannot fall behind the code.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::process::{output, say};
use crate::workspace::Workspace;

struct Generator {
    path: &'static str,
    make: fn(&Workspace) -> Result<String>,
}

/// One line for each generated page; `check` compares them all.
const GENERATORS: [Generator; 2] = [
    Generator {
        path: "docs/cli.md",
        make: cli_reference,
    },
    Generator {
        path: "docs/worker.md",
        make: worker_reference,
    },
];

/// The worker's help as a page, without the settings of the user who writes it.
fn worker_reference(workspace: &Workspace) -> Result<String> {
    let mut command = workspace.cargo("run");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SWATH_") {
            command.env_remove(name);
        }
    }
    let help = output(command.args(["--quiet", "-p", "swath-worker", "--", "--help"]))?;
    Ok(format!("# worker\n\n```text\n{}\n```\n", help.trim_end()))
}

fn cli_reference(workspace: &Workspace) -> Result<String> {
    let mut command = workspace.cargo("run");
    output(command.args([
        "--quiet",
        "-p",
        "swath-coordinator",
        "--bin",
        "coordinator",
        "--",
        "--markdown-help",
    ]))
}

pub(crate) fn write(workspace: &Workspace) -> Result<()> {
    for generator in &GENERATORS {
        let path = workspace.path(generator.path);
        let text = (generator.make)(workspace)
            .with_context(|| format!("cannot make {}", generator.path))?;
        let directory = path.parent().context("a page lies in a directory")?;
        fs::create_dir_all(directory)?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", generator.path))?;
        say(format!("wrote {}", generator.path));
    }
    Ok(())
}

pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let mut stale = Vec::new();
    for generator in &GENERATORS {
        let old = fs::read_to_string(workspace.path(generator.path)).unwrap_or_default();
        let new = (generator.make)(workspace)
            .with_context(|| format!("cannot make {}", generator.path))?;
        if old != new {
            stale.push(generator.path);
        }
    }
    if !stale.is_empty() {
        bail!(
            "out of date: {}; `cargo xtask docs` writes them again",
            stale.join(", ")
        );
    }
    Ok(())
}
