//! Where the checkout is, and the cargo that runs in it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

#[derive(Clone, Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
}

impl Workspace {
    pub(crate) fn find() -> Result<Self> {
        // cargo's own answer comes first, because a target directory shared between checkouts may hold another
        // checkout's xtask.
        let manifest = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        let root = manifest
            .ancestors()
            .nth(2)
            .context("xtask does not lie in crates/xtask of a checkout")?;
        Ok(Self {
            root: root.to_path_buf(),
        })
    }

    pub(crate) fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.root.join(relative)
    }

    /// A cargo command that never needs a database: the checked-in query cache stands in for it.
    pub(crate) fn cargo(&self, verb: &str) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command
            .arg(verb)
            .current_dir(&self.root)
            .env("SQLX_OFFLINE", "true");
        command
    }

    pub(crate) fn metadata(&self, extra: &[&str]) -> Result<serde_json::Value> {
        let text = process::output(
            self.cargo("metadata")
                .args(["--format-version", "1"])
                .args(extra),
        )?;
        serde_json::from_str(&text).context("cargo metadata did not print JSON")
    }

    pub(crate) fn target_dir(&self) -> Result<PathBuf> {
        let metadata = self.metadata(&["--no-deps"])?;
        let directory = metadata["target_directory"]
            .as_str()
            .context("cargo metadata names no target directory")?;
        Ok(directory.into())
    }
}
