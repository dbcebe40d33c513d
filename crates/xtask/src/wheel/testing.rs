//! The tests of the package, with the wheel installed into fresh environments.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::Wheel;
use super::interpreters::{self, OLDEST, Version};
use crate::check::Missing;
use crate::process::{output, run_within, say};
use crate::tally::Tally;
use crate::workspace::Workspace;

const INSTALL_LIMIT: Duration = Duration::from_mins(5);
const TEST_LIMIT: Duration = Duration::from_mins(10);

/// Runs the tests under the oldest and the newest CPython that this machine has.
pub(crate) fn test(workspace: &Workspace, wheel: &Wheel) -> Result<()> {
    let all = interpreters::all();
    let mut ends = all.first_key_value().into_iter().collect::<Vec<_>>();
    ends.extend(all.last_key_value().filter(|_| all.len() > 1));
    let mut tally = Tally::default();
    for (index, (version, python)) in ends.iter().enumerate() {
        let is_newest = index + 1 == ends.len();
        let name = format!("Python {}.{}", version.0, version.1);
        say(format!("python: {name} ({})", python.display()));
        let done = tested(workspace, &wheel.path, python, is_newest);
        let told = tally.add(&name, done);
        say(format!("python: {name}: {told}"));
    }
    if let Some(lacking) = lacking(ends.iter().map(|(version, _)| **version)) {
        let name = lacking.0;
        let told = tally.add(name, Err(Missing(lacking.1).into()));
        say(format!("python: {name}: {told}"));
    }
    say(format!("python: {tally}"));
    tally.result("tests of the Python package")
}

/// What was not tested because there are too few interpreters.
fn lacking(mut tested: impl Iterator<Item = Version>) -> Option<(&'static str, String)> {
    let (major, minor) = OLDEST;
    let how = "install another, as a package of the system, with pyenv or with uv";
    match (tested.next(), tested.next()) {
        (None, _) => Some((
            "Python",
            format!("no CPython from {major}.{minor} on has the module venv; {how}"),
        )),
        (Some(only), None) => Some((
            "a second Python",
            format!("{}.{} is the only CPython here; {how}", only.0, only.1),
        )),
        (Some(_), Some(_)) => None,
    }
}

fn tested(workspace: &Workspace, wheel: &Path, python: &Path, with_types: bool) -> Result<()> {
    let environment = Environment::new(python)?;
    let requirements = workspace.path("python/tests/requirements.txt");
    let from_registry = ["--only-binary", ":all:", "-r"].map(OsStr::new);
    environment
        .install(from_registry.into_iter().chain([requirements.as_os_str()]))
        .map_err(|error| Missing(format!("pip cannot install what the tests use: {error:#}")))?;
    // Nothing but the wheel: what it needs at run time would be missing here too.
    let from_here = ["--no-index", "--no-deps"].map(OsStr::new);
    environment.install(from_here.into_iter().chain([wheel.as_os_str()]))?;
    let mut commands = vec![environment.module("pytest", &["-p", "no:cacheprovider"])];
    if with_types {
        commands.push(environment.module("mypy", &[]));
    }
    let mut failed = Vec::new();
    for mut command in commands {
        command.current_dir(workspace.path("python"));
        if let Err(error) = run_within(&mut command, TEST_LIMIT) {
            failed.push(error.to_string());
        }
    }
    if !failed.is_empty() {
        bail!("{}", failed.join("; "));
    }
    Ok(())
}

/// A virtual environment that is removed when it is dropped. As it has no pip inside, the pip of the system
/// installs into it.
struct Environment {
    directory: TempDir,
    python: PathBuf,
}

impl Environment {
    fn new(python: &Path) -> Result<Self> {
        let directory = TempDir::new().context("cannot make a temporary folder")?;
        let venv = directory.path().join("venv");
        let mut command = Command::new(python);
        command.args(["-m", "venv", "--without-pip"]).arg(&venv);
        output(&mut command)?;
        let python = venv.join("bin/python");
        Ok(Self { directory, python })
    }

    fn install<'a>(&self, arguments: impl IntoIterator<Item = &'a OsStr>) -> Result<()> {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "--python"]).arg(&self.python);
        pip.args(["--disable-pip-version-check", "--no-input", "--quiet"]);
        // Python compiles what it imports, which is little of what is installed.
        pip.args(["install", "--no-compile"]).args(arguments);
        pip.stdin(Stdio::null());
        run_within(&mut pip, INSTALL_LIMIT)
    }

    /// `python -m MODULE`; it leaves nothing in the checkout.
    fn module(&self, module: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.python);
        command.args(["-m", module]).args(arguments);
        let kept = self.directory.path();
        command.env("PYTHONPYCACHEPREFIX", kept.join("bytecode"));
        command.env("HYPOTHESIS_STORAGE_DIRECTORY", kept.join("hypothesis"));
        command.env("MYPY_CACHE_DIR", kept.join("mypy"));
        command.stdin(Stdio::null());
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_tested_is_told() {
        let none = lacking([].into_iter()).unwrap().1;
        assert!(none.starts_with("no CPython from 3.9 on"), "{none}");
        let one = lacking([(3, 11)].into_iter()).unwrap();
        assert_eq!(one.0, "a second Python");
        assert!(
            one.1.starts_with("3.11 is the only CPython here; "),
            "{}",
            one.1
        );
        assert_eq!(lacking([(3, 9), (3, 13)].into_iter()), None);
    }
}
