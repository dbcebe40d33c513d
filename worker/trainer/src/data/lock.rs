//! One process at a time, by a lock on a file that the system releases when its
//! holder dies.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::parallel::LOOK;
use crate::failure::Failure;
use crate::{output, process};

/// Holds the lock until it is dropped, or holds none where locks are not
/// possible: locks only avoid doing work twice, and nothing breaks without
/// them.
pub(super) struct Lock {
    file: Option<File>,
}

impl Lock {
    /// Takes the lock at `path` as soon as its holder is done. Prints `waiting`
    /// once if that takes a while, and goes on without the lock after
    /// `patience`.
    ///
    /// # Errors
    ///
    /// [`Failure::Stopped`] where SIGTERM comes.
    pub(super) fn take(path: &Path, waiting: &str, patience: Duration) -> Result<Self, Failure> {
        let none = || Self { file: None };
        let made = path.parent().map_or(Ok(()), fs::create_dir_all);
        let opened = made.and_then(|()| {
            let mut options = File::options();
            options.create(true).truncate(false).write(true).open(path)
        });
        let Ok(file) = opened else { return Ok(none()) };
        let mut told = false;
        let started = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { file: Some(file) }),
                Err(TryLockError::WouldBlock) if started.elapsed() < patience => {}
                // Some network file systems have no locks.
                Err(_) => return Ok(none()),
            }
            if process::stop_requested() {
                return Err(Failure::Stopped);
            }
            if !told {
                output::message(&format!("{waiting} (lock: {})", path.display()));
                told = true;
            }
            thread::sleep(LOOK);
        }
    }

    /// Whether it is certain that nobody else holds it.
    pub(super) fn is_held(&self) -> bool {
        self.file.is_some()
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            // The system would do it anyway when the file is closed.
            let _ = file.unlock();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn the_second_waits_until_the_first_lets_go() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("new/lock");
        let first = Lock::take(&path, "", LONG).unwrap();
        assert!(first.is_held());
        assert!(!Lock::take(&path, "", Duration::ZERO).unwrap().is_held());
        thread::scope(|scope| {
            let second = scope.spawn(|| Lock::take(&path, "waiting", LONG).unwrap().is_held());
            drop(first);
            assert!(second.join().unwrap());
        });
    }

    #[test]
    fn where_nofile_can_be_there_is_no_lock() {
        let lock = Lock::take(Path::new("/proc/no/lock"), "", LONG).unwrap();
        assert!(!lock.is_held());
    }
}
