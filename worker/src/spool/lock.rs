//! One worker per state directory.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::SpoolError;

const NAME: &str = "lock";

/// Holds the directory as long as it lives. The kernel releases it when the
/// process dies, however that happens.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    /// Locked too, where the file system can: who removes the files in it does not unlock it.
    directory: File,
    /// Holds the number of the process.
    file: File,
}

impl Lock {
    pub(super) fn take(path: &Path) -> Result<Self, SpoolError> {
        let directory = File::open(path).map_err(SpoolError::io(path, "read"))?;
        let name = path.join(NAME);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&name)
            .map_err(SpoolError::io(&name, "written"))?;
        let taken = |file| flock(file, FlockOperation::NonBlockingLockExclusive);
        if taken(&directory) == Err(Errno::WOULDBLOCK) || taken(&file).is_err() {
            let mut pid = String::new();
            let _unread = file.read_to_string(&mut pid);
            let pid = pid.trim();
            return Err(SpoolError::InUse {
                path: path.to_owned(),
                pid: if pid.is_empty() { "unknown" } else { pid }.to_owned(),
            });
        }
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(SpoolError::io(&name, "written"))?;
        let lock = Self {
            path: path.to_owned(),
            directory,
            file,
        };
        // Somebody may have removed it meanwhile.
        if lock.is_in_place() {
            Ok(lock)
        } else {
            let path = path.to_owned();
            Err(SpoolError::Gone { path })
        }
    }

    /// Whether the path still leads to what was locked.
    pub(super) fn is_in_place(&self) -> bool {
        let same = |path: &Path, file: &File| -> io::Result<bool> {
            let inode = |it: &Metadata| (it.dev(), it.ino());
            Ok(inode(&path.metadata()?) == inode(&file.metadata()?))
        };
        let directory = same(&self.path, &self.directory);
        let file = same(&self.path.join(NAME), &self.file);
        directory.unwrap_or(false) && file.unwrap_or(false)
    }
}
