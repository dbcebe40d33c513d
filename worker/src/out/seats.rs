//! Where attempts run that leave nothing, which short ones mostly do: what is made
//! for one of them is taken over by the next, because to make and to remove a
//! directory costs as much as to start a small program.
//!
//! A seat has a line in a file, which says whose it is, and maybe an empty
//! directory of its last attempt. A line is written before the directory has its
//! name, so that after a crash every directory is known by a line, or is empty.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use swath_model::message::Held;

use super::note::{name_of, read_name};

/// The bytes of a line: a job's digest, an attempt, what is between them, and
/// blanks.
const LINE: usize = 80;

/// The seats of a worker.
#[derive(Debug)]
pub(super) struct Seats {
    lines: File,
    all: Mutex<All>,
}

#[derive(Debug, Default)]
struct All {
    free: Vec<Seat>,
    taken: Vec<(Held, Seat)>,
}

#[derive(Debug, Default)]
struct Seat {
    line: usize,
    /// The empty directory that its last attempt has left.
    spare: Option<PathBuf>,
    /// The owner and the mode of a new directory.
    made: Option<(u32, u32)>,
}

impl Seats {
    /// Opens the file of lines. Returns the attempts that are named there too:
    /// those that ran when the worker was killed.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Vec<Held>)> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut lines = options.open(path)?;
        let mut text = String::new();
        lines.read_to_string(&mut text)?;
        let named = text.split_ascii_whitespace().filter_map(read_name);
        let named = named.collect();
        let all = Mutex::default();
        Ok((Self { lines, all }, named))
    }

    /// Forgets the attempts that were named when it was opened.
    pub(super) fn forget(&self) -> io::Result<()> {
        self.lines.set_len(0)
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the directory of an attempt that begins.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`] if there is something of its name; and when
    /// it cannot be made.
    pub(super) fn begin(&self, held: Held, path: &Path) -> io::Result<()> {
        let mut all = self.all();
        let line = all.taken.len();
        // A deleted job that is submitted again has the name that it had before:
        // no other seat may hand that directory on.
        let own = all.free.iter().rposition(|seat| seat.has(path));
        let own = own.map(|at| all.free.swap_remove(at));
        let free = own.or_else(|| all.free.pop());
        let mut seat = free.unwrap_or(Seat {
            line,
            ..Seat::default()
        });
        let written = self.write(seat.line, &name_of(held));
        match written.and_then(|()| seat.make(path)) {
            Ok(()) => {
                all.taken.push((held, seat));
                Ok(())
            }
            Err(error) => {
                all.free.push(seat);
                Err(error)
            }
        }
    }

    fn write(&self, line: usize, name: &str) -> io::Result<()> {
        let text = format!("{name:<width$}\n", width = LINE - 1);
        self.lines
            .write_all_at(text.as_bytes(), (line * LINE) as u64)
    }

    /// An attempt has ended. Returns whether it has left nothing; then its directory
    /// is as good as gone.
    pub(super) fn end(&self, held: Held, path: &Path) -> bool {
        let mut all = self.all();
        let at = all.taken.iter().position(|(other, _)| *other == held);
        let Some(at) = at else {
            return fs::remove_dir(path).is_ok();
        };
        let (_, mut seat) = all.taken.swap_remove(at);
        let is_left = !seat.clear(path);
        if is_left && let Err(error) = self.write(seat.line, "") {
            // After a crash it is taken for one that still ran.
            tracing::debug!(%error, "a seat keeps the name of an attempt that has ended");
        }
        all.free.push(seat);
        !is_left
    }

    /// Whether a directory is there for the next attempt only.
    pub(super) fn is_spare(&self, path: &Path) -> bool {
        let all = self.all();
        all.free.iter().any(|seat| seat.has(path))
    }
}

impl Seat {
    /// Whether this is the empty directory that it has.
    fn has(&self, path: &Path) -> bool {
        self.spare.as_deref() == Some(path)
    }

    fn make(&mut self, path: &Path) -> io::Result<()> {
        if let Some(spare) = self.spare.take() {
            // What is not empty there cannot be replaced.
            match fs::rename(&spare, path) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let _removed = fs::remove_dir(&spare);
                    let is_there = error.kind() == io::ErrorKind::DirectoryNotEmpty;
                    let there = || io::ErrorKind::AlreadyExists.into();
                    return Err(if is_there { there() } else { error });
                }
            }
        }
        fs::create_dir(path)?;
        self.made = fs::metadata(path).ok().map(|about| looks(&about));
        Ok(())
    }

    /// Keeps a directory for the next attempt if it is empty and as it was made, or
    /// removes it. Returns whether nothing is left.
    fn clear(&mut self, path: &Path) -> bool {
        let is_empty = fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
        let about = fs::symlink_metadata(path);
        let is_as_made =
            about.is_ok_and(|about| about.is_dir() && Some(looks(&about)) == self.made);
        if is_empty && is_as_made {
            self.spare = Some(path.to_owned());
            return true;
        }
        match fs::remove_dir(path) {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }
}

fn looks(about: &fs::Metadata) -> (u32, u32) {
    (about.uid(), about.mode())
}
