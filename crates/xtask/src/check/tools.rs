//! Programs that some checks need and a Rust toolchain does not include. They are found, or installed if that was
//! asked for.

use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process::{answers, output, run_within, say};

/// Compiling cargo-deny takes two to six minutes on two cores, depending on what
/// else they do.
const CARGO_LIMIT: Duration = Duration::from_mins(20);
const PIP_LIMIT: Duration = Duration::from_mins(5);

/// Something that a check needs and this machine does not have. Such a check was skipped;
/// it did not pass.
#[derive(Debug)]
pub(crate) struct Missing(pub(crate) String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Missing {}

/// Whether a missing program may be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Install {
    /// In CI, or because somebody asked for it.
    Yes,
    No,
}

/// A program, with the version that is installed if it is missing. If a copy on PATH answers, it is
/// used whatever its version.
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) source: Source,
    /// The command with which a user would install it for general use.
    pub(crate) by_hand: &'static str,
}

pub(crate) enum Source {
    /// `cargo install`
    Cargo,
    /// `pip install` of these, into their own environment; then `python -m MODULE`.
    Pip {
        module: &'static str,
        arguments: &'static [&'static str],
    },
}

impl Tool {
    /// A command that runs the program, without arguments yet; else [`Missing`], which says how
    /// to get it.
    pub(crate) fn command(&self, install: Install) -> Result<Command> {
        self.command_if(install, |command| answers(command.arg("--version")))
    }

    /// Like `command`, for a program of which not every version on PATH will
    /// do.
    pub(crate) fn command_if(
        &self,
        install: Install,
        fits: fn(&mut Command) -> bool,
    ) -> Result<Command> {
        let home = self.home()?;
        if answers(self.kept(&home).arg("--version")) {
            return Ok(self.kept(&home));
        }
        if fits(&mut Command::new(self.name)) {
            return Ok(Command::new(self.name));
        }
        if install == Install::No {
            return Err(Missing(self.advice()).into());
        }
        let (name, version) = (self.name, self.version);
        let minutes = self.limit().as_secs() / 60;
        say(format!(
            "installing {name} {version} (at most {minutes} minutes, kept in {})",
            home.display()
        ));
        self.install(&home)
            .map_err(|error| Missing(format!("{name} {version} does not install: {error:#}")))?;
        Ok(self.kept(&home))
    }

    fn advice(&self) -> String {
        let (name, version, by_hand) = (self.name, self.version, self.by_hand);
        format!(
            "{name} (as {version}) is not installed; `cargo xtask check --install` installs it for Swath alone, \
             `{by_hand}` for everything"
        )
    }

    fn limit(&self) -> Duration {
        match self.source {
            Source::Cargo => CARGO_LIMIT,
            Source::Pip { .. } => PIP_LIMIT,
        }
    }

    /// The directory where the program is kept between calls, apart from what the user has installed. Another version
    /// has another directory.
    fn home(&self) -> Result<PathBuf> {
        let name = format!("{}-{}", self.name, self.version);
        Ok(cargo_home()?.join("swath-xtask").join(name))
    }

    /// The program that was installed into `home`, if one was.
    fn kept(&self, home: &Path) -> Command {
        match self.source {
            Source::Cargo => Command::new(home.join("bin").join(self.name)),
            Source::Pip { module, .. } => {
                let mut command = Command::new(home.join("bin/python"));
                command.args(["-m", module]);
                command
            }
        }
    }

    fn install(&self, home: &Path) -> Result<()> {
        fs::create_dir_all(home).with_context(|| format!("cannot make {}", home.display()))?;
        match self.source {
            Source::Cargo => self.install_by_cargo(home),
            Source::Pip { arguments, .. } => install_by_pip(home, arguments, self.limit()),
        }
    }

    fn install_by_cargo(&self, home: &Path) -> Result<()> {
        // Kept after a timeout, so that the next call continues from there.
        let build = home.join("build");
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(["install", self.name, "--version", self.version]);
        command.args(["--locked", "--quiet", "--root"]).arg(home);
        // Run from there, so that the settings of this workspace do not apply.
        command.current_dir(home).env("CARGO_TARGET_DIR", &build);
        // A program that runs for a second need not be optimized for minutes.
        let profile = [("OPT_LEVEL", "1"), ("LTO", "off"), ("CODEGEN_UNITS", "16")];
        command.envs(profile.map(|(key, value)| (format!("CARGO_PROFILE_RELEASE_{key}"), value)));
        run_within(command.stdin(Stdio::null()), self.limit())?;
        fs::remove_dir_all(&build).with_context(|| format!("cannot remove {}", build.display()))
    }
}

/// The environment has no pip inside, because Debian's python3 alone cannot provide one: the pip of the
/// system installs into it.
fn install_by_pip(home: &Path, arguments: &[&str], limit: Duration) -> Result<()> {
    let python = home.join("bin/python");
    let mut environment = Command::new("python3");
    environment.args(["-m", "venv", "--clear", "--without-pip"]);
    output(environment.arg(home))?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "--python"]).arg(&python);
    pip.args(["--disable-pip-version-check", "--no-input", "--quiet"]);
    pip.arg("install").args(arguments);
    run_within(pip.stdin(Stdio::null()), limit)
}

fn cargo_home() -> Result<PathBuf> {
    let variable = |name| env::var_os(name).filter(|value| !value.is_empty());
    variable("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".cargo")))
        .context("neither CARGO_HOME nor HOME is set")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABSENT: Tool = Tool {
        name: "swath-no-such-tool",
        version: "1.2.3",
        source: Source::Cargo,
        by_hand: "cargo install swath-no-such-tool",
    };

    #[test]
    fn a_tool_that_is_not_there_is_missing_and_says_how_to_come_by_it() {
        let error = ABSENT.command(Install::No).unwrap_err();
        assert!(error.is::<Missing>());
        let text = error.to_string();
        assert!(text.contains("`cargo xtask check --install`"), "{text}");
        assert!(
            text.contains("`cargo install swath-no-such-tool`"),
            "{text}"
        );
    }

    #[test]
    fn what_was_kept_goes_before_what_is_on_the_path() {
        let home = Path::new("/h");
        assert_eq!(ABSENT.kept(home).get_program(), "/h/bin/swath-no-such-tool");
        let tool = Tool {
            source: Source::Pip {
                module: "m",
                arguments: &[],
            },
            ..ABSENT
        };
        let command = tool.kept(home);
        assert_eq!(command.get_program(), "/h/bin/python");
        assert!(command.get_args().eq(["-m", "m"]));
    }
}
