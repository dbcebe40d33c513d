//! The directories of attempts, and what their worker does for them: it makes
//! them, shows them to the coordinator, and removes those that nobody wants or
//! that there is no room for.
//!
//! Several workers may have their directories in one place. So each notes which
//! are its own: one file per attempt in its state directory, named by the
//! attempt. There the note is written before the directory is made. Where all are
//! its own, that would take longer than a short program does, so the directory
//! has a seat first, and a note if the attempt leaves anything. A note stays when
//! its directory was removed, to say why. Every step can be repeated after a
//! crash.

mod keeper;
mod lines;
mod note;
mod seats;

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use swath_agent::quota::{Ended, Quota};
use swath_files::{Directory, Sink};
use swath_model::files::{Absent, FileOrder, Part, Remover, directory_name, is_directory_name};
use swath_model::message::Held;
use tokio::sync::Notify;

pub use self::keeper::{keep, keep_last};
pub use self::lines::start;
use self::note::Notes;
use self::seats::Seats;

/// The directories of this worker's attempts. Clones share what they know.
#[derive(Clone, Debug)]
pub struct Outs(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Where the directories are.
    root: PathBuf,
    /// The seats of attempts; none where other workers may have directories too.
    seats: Option<Seats>,
    quota: Quota,
    notes: Notes,
    kept: Mutex<BTreeMap<Held, Kept>>,
    /// The sizes of directories without an attempt of this store, by their names.
    others: Mutex<BTreeMap<String, u64>>,
    /// Attempts have ended, or their outcomes have been delivered.
    changed: Notify,
    /// Attempts have ended that left something.
    grown: Notify,
}

/// Which directory it is, whatever has its name by now: where workers share a place,
/// another one makes it anew for a job that was deleted and submitted again. None
/// where that cannot be.
type Inode = Option<u64>;

/// A directory of this worker's.
#[derive(Clone, Copy, Debug)]
enum Kept {
    /// Its attempt may still write there.
    Open(Inode),
    /// Its attempt has ended.
    Ended {
        inode: Inode,
        at_ms: u64,
        /// How large it is, once that was looked at.
        bytes: Option<u64>,
    },
}

impl Outs {
    /// Opens the directories below `root` of the worker with this state directory;
    /// it is made if necessary.
    ///
    /// # Errors
    ///
    /// When one of them cannot be used.
    pub fn open(root: &Path, state: &Path, quota: Quota) -> io::Result<Self> {
        let is_new = !root.exists();
        std::fs::create_dir_all(root)?;
        std::fs::create_dir_all(state)?;
        let is_shared = !claimed(root, state)?;
        let notes = Notes::open(&state.join("attempts"))?;
        let seats = (!is_shared).then(|| seated(root, state, &notes));
        let seats = seats.transpose()?;
        let mut kept = BTreeMap::new();
        for (held, removed) in notes.all()? {
            let path = root.join(directory_name(&held));
            let about = std::fs::symlink_metadata(&path);
            match (about, removed) {
                // The last life ended in between.
                (Ok(_), true) => remove_all(&path),
                (Ok(about), false) => {
                    let at_ms = note::modified_ms(&about);
                    let inode = is_shared.then(|| about.ino());
                    let bytes = None;
                    kept.insert(
                        held,
                        Kept::Ended {
                            inode,
                            at_ms,
                            bytes,
                        },
                    );
                }
                (Err(_), true) => {}
                // A disk that is not there has not lost anything.
                (Err(error), false) if error.kind() == io::ErrorKind::NotFound && !is_new => {
                    notes.forget(held);
                }
                (Err(_), false) => {}
            }
        }
        Ok(Self(Arc::new(Inner {
            root: root.to_owned(),
            seats,
            quota,
            notes,
            kept: Mutex::new(kept),
            others: Mutex::default(),
            changed: Notify::new(),
            grown: Notify::new(),
        })))
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<Held, Kept>> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn others(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.0.others.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, held: Held) -> PathBuf {
        self.0.root.join(directory_name(&held))
    }

    /// Makes the directory of an attempt that begins. What another store's
    /// attempt of the same name has left is set aside: nothing of it may be read
    /// as this attempt's.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn begin(&self, held: Held) -> io::Result<()> {
        let path = self.path(held);
        match self.make(held, &path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                set_aside(&path)?;
                self.make(held, &path)
            }
            made => made,
        }?;
        let inode = if self.0.seats.is_none() {
            Some(std::fs::symlink_metadata(&path)?.ino())
        } else {
            None
        };
        self.kept().insert(held, Kept::Open(inode));
        Ok(())
    }

    fn make(&self, held: Held, path: &Path) -> io::Result<()> {
        if let Some(seats) = &self.0.seats {
            return seats.begin(held, path);
        }
        self.0.notes.write(held)?;
        std::fs::create_dir(path)
    }

    /// The attempt has ended. Its directory goes, if it is empty.
    pub fn ended(&self, held: Held, now_ms: u64) {
        let path = self.path(held);
        let inode = match self.kept().get(&held) {
            Some(Kept::Open(inode)) => *inode,
            _ => None,
        };
        let gone = match &self.0.seats {
            Some(seats) => seats.end(held, &path),
            None => !is_it(&path, inode) || is_gone(std::fs::remove_dir(&path)),
        };
        if gone {
            self.kept().remove(&held);
            self.0.notes.forget(held);
        } else {
            if self.0.seats.is_some()
                && let Err(error) = self.0.notes.write(held)
            {
                tracing::warn!(%error, path = %path.display(), "it cannot be noted whose a directory is");
            }
            let ended = Kept::Ended {
                inode,
                at_ms: now_ms,
                bytes: None,
            };
            self.kept().insert(held, ended);
            self.0.changed.notify_one();
            self.0.grown.notify_one();
        }
    }

    /// The coordinator has the outcomes of attempts.
    pub fn reported(&self) {
        self.0.changed.notify_one();
    }

    /// The ended attempts whose directories are here.
    fn all_ended(&self) -> Vec<Held> {
        let kept = self.kept();
        let ended = kept
            .iter()
            .filter(|(_, it)| matches!(it, Kept::Ended { .. }));
        ended.map(|(held, _)| *held).collect()
    }

    /// Removes the directory of an attempt, if the attempt has ended.
    fn remove(&self, held: Held, by: Remover, now_ms: u64) {
        let inode = {
            let mut kept = self.kept();
            let Some(Kept::Ended { inode, .. }) = kept.get(&held).copied() else {
                return;
            };
            kept.remove(&held);
            inode
        };
        let path = self.path(held);
        if !is_it(&path, inode) {
            self.0.notes.forget(held);
            return;
        }
        if let Err(error) = self.0.notes.removed(held, by, now_ms) {
            tracing::warn!(%error, path = %path.display(), "it cannot be noted why a directory goes");
        }
        remove_all(&path);
    }

    /// This worker's directories without a running attempt, with their sizes, each
    /// looked at once. Besides those of ended attempts, these are what was set
    /// aside, and what the worker left before it noted what it makes.
    fn sizes(&self) -> io::Result<Vec<Ended>> {
        let root = Directory::open(&self.0.root)?;
        let bytes_of = |name: &str| root.inner(name).and_then(|it| it.bytes()).unwrap_or(0);
        let mut noted = self.0.notes.names()?;
        // An attempt with a seat has no note while it runs.
        noted.extend(self.kept().keys().map(|held| (directory_name(held), *held)));
        let mut sizes = Vec::new();
        for entry in std::fs::read_dir(&self.0.root)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let held = noted.get(base(&name)).copied();
            // Nothing else that lies there is touched.
            let is_attempt = is_directory_name(base(&name));
            let is_own = held.is_some() || (is_attempt && self.0.seats.is_some());
            if !is_own || !entry.file_type()?.is_dir() {
                continue;
            }
            let kept = held.filter(|_| base(&name) == name);
            let kept = kept.and_then(|held| Some((held, *self.kept().get(&held)?)));
            let (at_ms, bytes) = match kept {
                Some((_, Kept::Open(_))) => continue,
                Some((
                    held,
                    Kept::Ended {
                        inode,
                        at_ms,
                        bytes,
                    },
                )) => {
                    let bytes = bytes.unwrap_or_else(|| bytes_of(&name));
                    let looked = Kept::Ended {
                        inode,
                        at_ms,
                        bytes: Some(bytes),
                    };
                    self.kept().entry(held).and_modify(|it| *it = looked);
                    (at_ms, bytes)
                }
                None => {
                    let known = self.others().get(&name).copied();
                    let bytes = known.unwrap_or_else(|| bytes_of(&name));
                    self.others().insert(name.clone(), bytes);
                    (note::modified_ms(&entry.metadata()?), bytes)
                }
            };
            sizes.push(Ended { name, at_ms, bytes });
        }
        Ok(sizes)
    }

    /// Removes a directory for which there is no room.
    fn give_up(&self, name: &str, now_ms: u64) {
        let kept = self.kept();
        let held = kept.keys().find(|held| directory_name(held) == name);
        let held = held.copied();
        drop(kept);
        if let Some(held) = held {
            self.remove(held, Remover::Quota, now_ms);
        } else {
            self.others().remove(name);
            remove_all(&self.0.root.join(name));
        }
    }

    /// Answers an order of the coordinator.
    fn answer(&self, order: &FileOrder, send: &mut Sink<'_>) {
        let seats = self.0.seats.as_ref();
        if seats.is_some_and(|seats| seats.is_spare(&self.path(order.held))) {
            send(Part::Absent(self.0.notes.why(order.held)));
            return;
        }
        swath_files::answer(&self.0.root, order, &mut |part| {
            send(match part {
                Part::Absent(Absent::Nothing) => Part::Absent(self.0.notes.why(order.held)),
                part => part,
            })
        });
    }
}

/// In a directory that is one worker's own, for others to find.
const OWN: &str = ".own";

/// Claims `root` if it lies in the state directory, wherever links lead: then it is
/// the worker's own, with all attempts in it. Returns whether it is.
fn claimed(root: &Path, state: &Path) -> io::Result<bool> {
    let wrong = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    let (place, state) = (root.canonicalize()?, state.canonicalize()?);
    if state.starts_with(&place) {
        return wrong("the state directory is in it, or is it");
    }
    let is_own = place.starts_with(&state);
    if is_own {
        std::fs::write(root.join(OWN), "")?;
    } else if root.join(OWN).exists() {
        return wrong("it is the own one of another worker, which may remove what is in it");
    }
    Ok(is_own)
}

/// Opens the seats of a worker whose directories below `root` are all its own. What
/// attempts have left that ran when it was killed is noted.
fn seated(root: &Path, state: &Path, notes: &Notes) -> io::Result<Seats> {
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(is_directory_name) {
            // Only an empty one can be removed so.
            let _removed = std::fs::remove_dir(entry.path());
        }
    }
    let (seats, ran) = Seats::open(&state.join("seats"))?;
    for held in ran {
        // In place of a note of why an earlier one of its name was removed.
        if root.join(directory_name(&held)).is_dir() {
            notes.write(held)?;
        }
    }
    seats.forget()?;
    Ok(seats)
}

/// Whether this directory has its name still.
fn is_it(path: &Path, inode: Inode) -> bool {
    let found = || {
        std::fs::symlink_metadata(path)
            .ok()
            .map(|about| about.ino())
    };
    inode.is_none() || found() == inode
}

/// Whether nothing is there after this attempt to remove an empty directory.
fn is_gone(removed: io::Result<()>) -> bool {
    removed.map_or_else(|error| error.kind() == io::ErrorKind::NotFound, |()| true)
}

/// What a name ends with that no attempt's directory has.
const ASIDE: &str = ".before.";

/// The name that a directory had before it was set aside.
fn base(name: &str) -> &str {
    name.split_once(ASIDE).map_or(name, |(base, _)| base)
}

/// Gives a directory a name that no attempt has.
fn set_aside(path: &Path) -> io::Result<()> {
    let mut number = 1;
    loop {
        let mut aside = path.as_os_str().to_owned();
        aside.push(format!("{ASIDE}{number}"));
        let aside = PathBuf::from(aside);
        if !aside.try_exists()? {
            tracing::info!(path = %path.display(), aside = %aside.display(), "a directory of another store's attempt is set aside");
            return std::fs::rename(path, aside);
        }
        number += 1;
    }
}

fn remove_all(path: &Path) {
    if let Err(error) = remove_tree(path) {
        tracing::warn!(%error, path = %path.display(), "a directory cannot be removed");
    }
}

/// Removes what a program left, also where it took the right to from everybody, or
/// put a file in place of its directory.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    let removed = std::fs::remove_dir_all(path).or_else(|error| match error.kind() {
        io::ErrorKind::NotADirectory => std::fs::remove_file(path),
        io::ErrorKind::PermissionDenied => {
            unlock(path);
            std::fs::remove_dir_all(path)
        }
        _ => Err(error),
    });
    removed.or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })
}

/// Gives the owner every right to a directory and to those in it, as far as that
/// can be. Links are not followed.
fn unlock(path: &Path) {
    let is_directory = std::fs::symlink_metadata(path).is_ok_and(|about| about.is_dir());
    if !is_directory {
        return;
    }
    let _unlocked = std::fs::set_permissions(path, Permissions::from_mode(0o700));
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        unlock(&entry.path());
    }
}

#[cfg(test)]
mod tests;
