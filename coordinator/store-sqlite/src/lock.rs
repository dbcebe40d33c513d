//! One process per file: an operating-system lock on the database file itself,
//! so that every path to it meets the same lock. The system releases it when the
//! process ends, however that happens.
//!
//! SQLite locks bytes of the same file, and the system drops those locks when a
//! process closes *any* descriptor of the file. So the file is opened before
//! SQLite opens it and closed after, and never a second time in one process.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata, TryLockError};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Which file it is, whatever it is called: its device and its inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileId(u64, u64);

impl FileId {
    pub(crate) fn of(file: &Metadata) -> Self {
        Self(file.dev(), file.ino())
    }

    /// Whether this process holds the lock of the file.
    pub(crate) fn is_ours(self) -> bool {
        ours(|held| held.contains(&self))
    }
}

/// The files that this process holds.
fn ours<T>(look: impl FnOnce(&mut BTreeSet<FileId>) -> T) -> T {
    static OURS: Mutex<BTreeSet<FileId>> = Mutex::new(BTreeSet::new());
    look(&mut OURS.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The lock of a file, held as long as this value lives.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    id: FileId,
}

impl Lock {
    /// Takes the lock of a file that is open for writing; nothing if somebody
    /// else has it.
    pub(crate) fn take(file: File) -> io::Result<Option<Self>> {
        let id = FileId::of(&file.metadata()?);
        if !ours(|held| held.insert(id)) {
            return Ok(None);
        }
        let lock = Self { file, id };
        Ok(try_lock(&lock.file, Kind::Exclusive)?.then_some(lock))
    }

    pub(crate) const fn id(&self) -> FileId {
        self.id
    }

    pub(crate) const fn file(&self) -> &File {
        &self.file
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        ours(|held| held.remove(&self.id));
    }
}

/// Whether somebody holds the lock of a file that is open for reading.
pub(crate) fn is_locked(file: &File) -> io::Result<bool> {
    Ok(!try_lock(file, Kind::Shared)?)
}

/// The process that holds the lock of a file, and under which name it opened the
/// file, as far as this user may see that.
pub(crate) fn holder(id: FileId) -> Option<(u32, PathBuf)> {
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes.into_iter().find_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        let mut files = fs::read_dir(process.path().join("fd")).ok()?.flatten();
        let file = files.find(|file| {
            let is_it = fs::metadata(file.path()).is_ok_and(|it| FileId::of(&it) == id);
            let facts = process.path().join("fdinfo").join(file.file_name());
            let locks = |facts: String| facts.contains("OFDLCK") || facts.contains("FLOCK");
            is_it && fs::read_to_string(facts).is_ok_and(locks)
        })?;
        Some((pid, fs::read_link(file.path()).ok()?))
    })
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Shared,
    Exclusive,
}

/// The byte that is locked: far behind those that SQLite locks, so that neither
/// is in the way of the other.
const BYTE: i64 = 1 << 62;

/// Locks the byte for this open file, until that is closed; returns whether it
/// could. Not a lock of the whole file: on NFS that is one of every byte, and
/// SQLite would wait for it.
#[expect(
    unsafe_code,
    reason = "locks that belong to an open file have no safe call"
)]
fn try_lock(file: &File, kind: Kind) -> io::Result<bool> {
    let wanted = libc::flock {
        l_type: match kind {
            Kind::Shared => libc::F_RDLCK as _,
            Kind::Exclusive => libc::F_WRLCK as _,
        },
        l_whence: libc::SEEK_SET as _,
        l_start: BYTE,
        l_len: 1,
        l_pid: 0,
    };
    // SAFETY: the descriptor is open, and the system only reads the structure.
    let done = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const wanted) };
    if done == 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EACCES) => Ok(false),
        // Sandboxes that imitate Linux know only whole files.
        Some(libc::EINVAL | libc::ENOSYS) => try_lock_whole(file, kind),
        _ => Err(error),
    }
}

fn try_lock_whole(file: &File, kind: Kind) -> io::Result<bool> {
    let done = match kind {
        Kind::Shared => file.try_lock_shared(),
        Kind::Exclusive => file.try_lock(),
    };
    match done {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
