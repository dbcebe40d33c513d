//! A small disk that can be filled up.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::text::{Checked, SKIPPED};

/// A file system of its own, in memory; as root only.
#[derive(Debug)]
pub(crate) struct Volume {
    directory: TempDir,
}

impl Volume {
    pub(crate) fn mount(megabytes: u32) -> Checked<Self> {
        let directory = TempDir::new().map_err(|error| error.to_string())?;
        let size = format!("size={megabytes}m,mode=755");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &size, "tmpfs"]);
        let output = command.arg(directory.path()).output();
        let output = output.map_err(|error| error.to_string())?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(format!(
                "{SKIPPED}no small disk can be mounted: {}",
                why.trim()
            ));
        }
        Ok(Self { directory })
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    /// Fills it to the last byte.
    pub(crate) fn fill(&self) -> Checked {
        let file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.ballast());
        let mut file = file.map_err(|error| error.to_string())?;
        for size in [1 << 20, 4096] {
            let block = vec![7; size];
            while file.write_all(&block).is_ok() {}
        }
        Ok(())
    }

    /// Gives the room back.
    pub(crate) fn relieve(&self) -> Checked {
        fs::remove_file(self.ballast()).map_err(|error| error.to_string())
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Lazily: whoever was killed a moment ago may still be ending there.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
