//! One trainer at a time in a directory.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::Mode;
use crate::failure::Failure;
use crate::{output, process};

/// Time between two checks whether the directory is still held.
const LOOK: Duration = Duration::from_millis(20);

/// After this time a message says what is waited for.
const TELL: Duration = Duration::from_secs(1);

/// How long to wait for a trainer that is being stopped and still holds the
/// directory. A worker may start the next attempt of a job while it still gives
/// the last one 10 seconds to write its checkpoint. A person who starts a
/// second trainer has more likely mistaken the directory.
fn patience(mode: Mode) -> Duration {
    match mode {
        Mode::Adopt => Duration::from_secs(15),
        Mode::Anew | Mode::Resume => Duration::from_secs(5),
    }
}

/// Takes the lock of the directory at `path` as soon as its holder is done. The
/// kernel releases it when the process ends.
///
/// # Errors
///
/// [`Failure::Crashed`] where the directory cannot be opened or stays held,
/// [`Failure::Stopped`] where SIGTERM comes before.
pub(super) fn hold(path: &Path, mode: Mode) -> Result<File, Failure> {
    hold_within(path, patience(mode))
}

fn hold_within(path: &Path, patience: Duration) -> Result<File, Failure> {
    let lock = File::open(path).map_err(|error| unusable(path, &error))?;
    let begun = Instant::now();
    let mut told = false;
    loop {
        match lock.try_lock() {
            // Without locks in the file system, a second trainer is no more
            // likely than with them.
            Ok(()) | Err(TryLockError::Error(_)) => return Ok(lock),
            Err(TryLockError::WouldBlock) => {}
        }
        let waited = begun.elapsed();
        if waited > patience {
            return Err(Failure::Crashed(format!(
                "another trainer is writing to {}; give this one another --out",
                path.display()
            )));
        }
        if process::stop_requested() {
            return Err(Failure::Stopped);
        }
        if waited > TELL && !told {
            output::message(&format!(
                "waiting up to {} s for another trainer to be done with {}",
                patience.as_secs(),
                path.display()
            ));
            told = true;
        }
        thread::sleep(LOOK);
    }
}

/// Why a directory cannot be written to.
pub(super) fn unusable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Crashed(format!("cannot write to {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_waits_longer_than_the_grace_of_the_attempt_before() {
        assert!(patience(Mode::Adopt) > Duration::from_secs(10));
        assert!(patience(Mode::Resume) < patience(Mode::Adopt));
    }

    #[test]
    fn the_second_waits_for_the_first_or_gives_up() {
        let root = tempfile::tempdir().unwrap();
        let first = hold_within(root.path(), Duration::ZERO).unwrap();
        let refused = hold_within(root.path(), Duration::ZERO).unwrap_err();
        assert!(refused.to_string().contains("another --out"), "{refused}");
        thread::scope(|scope| {
            let second = scope.spawn(|| hold_within(root.path(), Duration::from_mins(1)));
            drop(first);
            assert!(second.join().unwrap().is_ok());
        });
    }
}
