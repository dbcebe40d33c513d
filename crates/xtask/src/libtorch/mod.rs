//! Which libtorch this checkout builds against. It is chosen once; from then on there is only a link
//! in the workspace root.

mod cache;
mod fetch;
mod link;
mod pins;
mod source;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{is_installed, say};
use crate::workspace::Workspace;
use source::Source;

/// `cargo xtask setup`: chooses again, so that a PyTorch installed since then is
/// noticed.
pub(crate) fn setup(workspace: &Workspace) -> Result<()> {
    require_compiler()?;
    let directory = match Source::asked_for(workspace)? {
        Some(Source::Exported(directory)) => {
            say(format!(
                "LIBTORCH={} is exported and used as it is",
                directory.display()
            ));
            directory
        }
        Some(Source::Directory(directory)) => {
            linked(workspace, &directory, "named by SWATH_LIBTORCH")?
        }
        Some(Source::Fetched) => linked(
            workspace,
            &cache::ensure()?,
            "CPU, asked for by SWATH_LIBTORCH=cpu",
        )?,
        None => match source::gpu_pytorch(workspace) {
            Some(directory) => linked(workspace, &directory, "from the installed GPU PyTorch")?,
            None => linked(workspace, &cache::ensure()?, "CPU")?,
        },
    };
    say(format!(
        "ready: the trainer builds against {}",
        directory.display()
    ));
    Ok(())
}

/// What every other verb does first: nothing if a suitable link exists, else `setup`.
pub(crate) fn ensure(workspace: &Workspace) -> Result<()> {
    let settled = match Source::asked_for(workspace)? {
        Some(Source::Exported(_)) => true,
        Some(Source::Directory(asked)) => link::target(workspace) == asked.canonicalize().ok(),
        Some(Source::Fetched) => {
            link::target(workspace).is_some_and(|target| Some(target) == cache::present())
        }
        // What `setup` chose stays, so that a Python environment that comes and goes does not cause rebuilds.
        None => link::target(workspace).is_some_and(|target| source::check(&target).is_ok()),
    };
    if settled {
        require_compiler()
    } else {
        setup(workspace)
    }
}

fn linked(workspace: &Workspace, directory: &Path, origin: &str) -> Result<PathBuf> {
    let directory = directory
        .canonicalize()
        .with_context(|| format!("no directory {}", directory.display()))?;
    say(format!("libtorch {} {origin}", source::check(&directory)?));
    link::point_to(workspace, &directory)?;
    Ok(directory)
}

fn require_compiler() -> Result<()> {
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    if !is_installed(Command::new(&compiler).arg("--version")) {
        bail!(
            "no C++ compiler `{}`: install one (Debian, Ubuntu: apt-get install g++)",
            compiler.display()
        );
    }
    Ok(())
}
