//! The Python wheel: the programs coordinator, worker and trainer, and the module `swath`.

mod interpreters;
mod testing;

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::check::{Install, Source, Tool};
use crate::lock::lock;
use crate::process::{run as run_command, say};
use crate::workspace::Workspace;

pub(crate) use testing::test;

/// Packs wheels; pinned, because it decides what is in them.
const MATURIN: Tool = Tool {
    name: "maturin",
    version: "1.16.0",
    source: Source::Pip {
        module: "maturin",
        arguments: &["maturin==1.16.0"],
    },
    by_hand: "pip install maturin",
};

/// The folder that pyproject.toml calls `data`.
const STAGED: &str = "python/.wheel";

/// Cargo's profile for tests.
pub(crate) const DEV: &str = "dev";

/// `cargo xtask wheel`: builds it, and tests it if `tested` says so.
pub(crate) fn run(workspace: &Workspace, profile: &str, tested: bool) -> Result<()> {
    let wheel = build(workspace, profile)?;
    let path = wheel.path.display();
    say(format!("wrote {path}"));
    say(format!(
        "`pip install {path}` installs coordinator, worker, trainer and the module swath"
    ));
    if tested {
        test(workspace, &wheel)?;
    }
    Ok(())
}

/// A wheel. As long as it lives, no other process builds one in this checkout: all put programs where pyproject.toml
/// says, and remove what was built before.
pub(crate) struct Wheel {
    path: PathBuf,
    _held: File,
}

/// Builds the wheel in a profile of Cargo's.
pub(crate) fn build(workspace: &Workspace, profile: &str) -> Result<Wheel> {
    let mut maturin = MATURIN.command(Install::Yes)?;
    let target = workspace.target_dir()?;
    let staged = workspace.path(STAGED);
    fs::create_dir_all(&staged).with_context(|| format!("cannot make {}", staged.display()))?;
    let held = lock(
        &staged.with_extension("lock"),
        "another process is building a wheel here",
    )?;
    // maturin builds the programs of one crate, which is the coordinator's, and adds what is in the folder that
    // pyproject.toml calls `data`. So the others are built first, in the same profile, and linked there.
    let directory = if profile == DEV { "debug" } else { profile };
    for program in ["worker", "trainer"] {
        let mut cargo = workspace.cargo("build");
        let package = format!("swath-{program}");
        cargo.args(["--locked", "-p", &package, "--bin", program]);
        cargo.args(["--profile", profile]);
        if profile != DEV {
            // It is for other machines.
            cargo.env("SWATH_TRAINER_ELSEWHERE", "1");
        }
        run_command(&mut cargo)?;
        stage(workspace, &target.join(directory).join(program))?;
    }
    let out = target.join("wheels").join(directory);
    // Of an older version.
    if out.exists() {
        fs::remove_dir_all(&out).with_context(|| format!("cannot remove {}", out.display()))?;
    }
    maturin.args(["build", "--quiet", "--profile", profile, "--out"]);
    maturin.arg(&out);
    if profile == DEV {
        // To compress symbols takes longer than to test the wheel.
        maturin.args(["--compression-method", "stored"]);
    }
    run_command(maturin.current_dir(workspace.path("python")))?;
    Ok(Wheel {
        path: the_wheel(&out)?,
        _held: held,
    })
}

/// Puts a program where pyproject.toml says that programs are.
fn stage(workspace: &Workspace, program: &Path) -> Result<()> {
    let scripts = workspace.path(STAGED).join("scripts");
    let link = scripts.join(program.file_name().unwrap_or_default());
    fs::create_dir_all(&scripts).with_context(|| format!("cannot make {}", scripts.display()))?;
    if link.symlink_metadata().is_ok() {
        fs::remove_file(&link).with_context(|| format!("cannot remove {}", link.display()))?;
    }
    symlink(program, &link).with_context(|| format!("cannot link {}", link.display()))
}

fn the_wheel(directory: &Path) -> Result<PathBuf> {
    let mut found = Vec::new();
    for entry in
        fs::read_dir(directory).with_context(|| format!("no folder {}", directory.display()))?
    {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "whl") {
            found.push(path);
        }
    }
    match <[PathBuf; 1]>::try_from(found) {
        Ok([wheel]) => Ok(wheel),
        Err(found) => bail!(
            "maturin left {} wheels in {}, not one",
            found.len(),
            directory.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wheel_is_found_and_another_number_is_an_error() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path();
        let none = the_wheel(path).unwrap_err().to_string();
        assert!(none.starts_with("maturin left 0 wheels in "), "{none}");
        fs::write(path.join("notes.txt"), "").unwrap();
        fs::write(path.join("a.whl"), "").unwrap();
        assert_eq!(the_wheel(path).unwrap(), path.join("a.whl"));
        fs::write(path.join("b.whl"), "").unwrap();
        assert!(the_wheel(path).is_err());
    }
}
