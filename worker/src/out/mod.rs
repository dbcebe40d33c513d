//! The directories of attempts, and what their worker does for them: it makes
//! them, shows them to the coordinator, and removes those that nobody wants or
//! that there is no room for.
//!
//! They lie in one directory, which is the worker's own. Each attempt has a seat
//! there while it runs, and a note in the state directory if it leaves anything:
//! one file, named by the attempt. A note stays when its directory was removed, to
//! say why. Every step can be repeated after a crash.

mod keeper;
mod lines;
mod note;
mod place;
mod removal;
mod seats;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use swath_agent::quota::{Ended, Quota};
use swath_files::{Directory, Sink};
use swath_model::files::{Absent, FileOrder, Part, Remover, directory_name, is_directory_name};
use swath_model::id::{StateId, WorkerName};
use swath_model::message::Held;
use tokio::sync::Notify;

pub use self::keeper::{keep, keep_last};
pub use self::lines::start;
use self::note::Notes;
use self::place::Place;
pub(crate) use self::removal::remove_tree;
use self::removal::{Aside, is_attempts, is_gone, remove_all, set_aside};
use self::seats::Seats;

/// The directories of this worker's attempts. Clones share what they know.
#[derive(Clone, Debug)]
pub struct Outs(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    place: Place,
    seats: Seats,
    quota: Quota,
    notes: Notes,
    /// While it is locked, no directory gets or loses its name.
    kept: Mutex<BTreeMap<Held, Kept>>,
    /// The sizes of directories without an attempt of this store, by their names.
    others: Mutex<BTreeMap<String, u64>>,
    /// Counts the attempts that have ended.
    count: AtomicU64,
    /// Attempts have ended, or their outcomes have been delivered.
    changed: Notify,
    /// Attempts have ended that left something.
    grown: Notify,
}

/// A directory of this worker's.
#[derive(Clone, Copy, Debug)]
enum Kept {
    /// Its attempt may still write there.
    Open,
    /// Its attempt has ended.
    Ended {
        /// Which of those that had its name: a job that was deleted and submitted again
        /// has the same attempts.
        number: u64,
        at_ms: u64,
        /// How large it is, once that was looked at.
        bytes: Option<u64>,
    },
}

impl Kept {
    /// Notes how large it is, if it is still the one that was looked at.
    fn looked_at(&mut self, was: Self, size: u64) {
        if let (Self::Ended { number, bytes, .. }, Self::Ended { number: of, .. }) = (self, was)
            && *number == of
        {
            *bytes = Some(size);
        }
    }
}

/// A directory whose attempt has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Left {
    held: Held,
    number: u64,
}

impl Outs {
    /// Opens the directories below `out` of the worker with this name and this state
    /// directory, whose id is `id`; what is not there is made.
    ///
    /// # Errors
    ///
    /// When one of them cannot be used.
    pub fn open(
        out: &Path,
        state: &Path,
        (worker, id): (&WorkerName, StateId),
        quota: Quota,
    ) -> io::Result<Self> {
        let place = Place::find(out, state, worker, id)?;
        let notes = Notes::open(&state.join("attempts"))?;
        let seats = seated(&place.own, state, &notes)?;
        let mut kept = BTreeMap::new();
        for (number, (held, removed)) in (0..).zip(notes.all()?) {
            let name = directory_name(&held);
            let path = place.own.join(&name);
            if let Some(shared) = &place.shared
                && !removed
                && !path.exists()
            {
                // Older versions had the directories of all workers in one.
                let _moved = std::fs::rename(shared.join(&name), &path);
            }
            match (std::fs::symlink_metadata(&path), removed) {
                // The last life ended in between.
                (Ok(_), true) => remove_all(&path),
                (Ok(about), false) => {
                    let at_ms = note::modified_ms(&about);
                    let bytes = None;
                    let ended = Kept::Ended {
                        number,
                        at_ms,
                        bytes,
                    };
                    kept.insert(held, ended);
                }
                (Err(_), true) => {}
                // A disk that is not there has not lost anything.
                (Err(error), false) if error.kind() == io::ErrorKind::NotFound && !place.is_new => {
                    notes.forget(held);
                }
                (Err(_), false) => {}
            }
        }
        Ok(Self(Arc::new(Inner {
            place,
            seats,
            quota,
            notes,
            count: AtomicU64::new(kept.len() as u64),
            kept: Mutex::new(kept),
            others: Mutex::default(),
            changed: Notify::new(),
            grown: Notify::new(),
        })))
    }

    /// The directory that those of attempts are in.
    pub fn root(&self) -> &Path {
        &self.0.place.own
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<Held, Kept>> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn others(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.0.others.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, held: Held) -> PathBuf {
        self.root().join(directory_name(&held))
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
        let seats = &self.0.seats;
        let mut kept = self.kept();
        match seats.begin(held, &path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let aside = set_aside(&path, Aside::Replaced)?;
                tracing::info!(path = %path.display(), aside = %aside.display(), "a directory of another store's attempt is set aside");
                seats.begin(held, &path)
            }
            made => made,
        }?;
        kept.insert(held, Kept::Open);
        Ok(())
    }

    /// The attempt has ended. Its directory goes, if it is empty.
    pub fn ended(&self, held: Held, now_ms: u64) {
        let path = self.path(held);
        let mut kept = self.kept();
        if self.0.seats.end(held, &path) {
            kept.remove(&held);
            self.0.notes.forget(held);
            return;
        }
        if let Err(error) = self.0.notes.write(held) {
            tracing::warn!(%error, path = %path.display(), "it cannot be noted whose a directory is");
        }
        let ended = Kept::Ended {
            number: self.0.count.fetch_add(1, Ordering::Relaxed),
            at_ms: now_ms,
            bytes: None,
        };
        kept.insert(held, ended);
        drop(kept);
        self.0.changed.notify_one();
        self.0.grown.notify_one();
    }

    /// The coordinator has the outcomes of attempts.
    pub fn reported(&self) {
        self.0.changed.notify_one();
    }

    /// The directories here whose attempts have ended.
    fn all_ended(&self) -> Vec<Left> {
        let kept = self.kept();
        let ended = kept.iter().filter_map(|(held, it)| match it {
            Kept::Ended { number, .. } => Some(Left {
                held: *held,
                number: *number,
            }),
            Kept::Open => None,
        });
        ended.collect()
    }

    /// Removes a directory, if it is still the one that its attempt left.
    fn remove(&self, left: Left, by: Remover, now_ms: u64) {
        let kept = self.kept();
        let found = kept.get(&left.held);
        if matches!(found, Some(Kept::Ended { number, .. }) if *number == left.number) {
            let name = directory_name(&left.held);
            self.take_away(kept, &name, Some(left.held), (by, now_ms));
        }
    }

    /// This worker's directories without a running attempt, with their sizes, each
    /// looked at once. Besides those of ended attempts, these are what was set aside,
    /// and what has no note.
    fn sizes(&self) -> io::Result<Vec<Ended>> {
        let root = Directory::open(self.root())?;
        let bytes_of = |name: &str| root.inner(name).and_then(|it| it.bytes()).unwrap_or(0);
        let named = |held: &Held| (directory_name(held), *held);
        let named: BTreeMap<String, Held> = self.kept().keys().map(named).collect();
        let mut sizes = Vec::new();
        for entry in std::fs::read_dir(self.root())? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            // Nothing else that lies there is touched.
            if !is_attempts(&name) || !entry.file_type()?.is_dir() {
                continue;
            }
            let held = named.get(&name).copied();
            let found = held.and_then(|held| Some((held, *self.kept().get(&held)?)));
            let (at_ms, bytes) = match found {
                Some((_, Kept::Open)) => continue,
                Some((held, ended @ Kept::Ended { at_ms, bytes, .. })) => {
                    let looked = bytes.unwrap_or_else(|| bytes_of(&name));
                    if let Some(kept) = self.kept().get_mut(&held) {
                        kept.looked_at(ended, looked);
                    }
                    (at_ms, looked)
                }
                None => {
                    let Ok(about) = entry.metadata() else {
                        continue;
                    };
                    let known = self.others().get(&name).copied();
                    let bytes = known.unwrap_or_else(|| bytes_of(&name));
                    self.others().insert(name.clone(), bytes);
                    (note::modified_ms(&about), bytes)
                }
            };
            sizes.push(Ended { name, at_ms, bytes });
        }
        Ok(sizes)
    }

    /// Removes a directory for which there is no room.
    fn give_up(&self, name: &str, now_ms: u64) {
        let kept = self.kept();
        let found = kept.iter().find(|(held, _)| directory_name(held) == name);
        let held = match found {
            // It has begun since.
            Some((_, Kept::Open)) => return,
            Some((held, Kept::Ended { .. })) => Some(*held),
            None => None,
        };
        self.take_away(kept, name, held, (Remover::Quota, now_ms));
    }

    /// Removes a directory, and notes why. It loses its name at once: an attempt of the
    /// same name may begin while what was in it is removed.
    fn take_away(
        &self,
        mut kept: MutexGuard<'_, BTreeMap<Held, Kept>>,
        name: &str,
        held: Option<Held>,
        (by, now_ms): (Remover, u64),
    ) {
        let path = self.root().join(name);
        if let Some(held) = held {
            if let Err(error) = self.0.notes.removed(held, by, now_ms) {
                tracing::warn!(%error, path = %path.display(), "it cannot be noted why a directory goes");
            }
            kept.remove(&held);
        }
        self.others().remove(name);
        let aside = set_aside(&path, Aside::Removed);
        drop(kept);
        match aside {
            Ok(aside) => remove_all(&aside),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "a directory cannot be removed");
            }
        }
    }

    /// Answers an order of the coordinator.
    fn answer(&self, order: &FileOrder, send: &mut Sink<'_>) {
        let place = &self.0.place;
        if let Some(out) = order
            .out
            .as_deref()
            .filter(|out| Path::new(out) != place.own)
        {
            match place.of_other(out) {
                Some(root) => swath_files::answer(root, order, send),
                None => {
                    send(Part::Absent(Absent::Nothing));
                }
            }
            return;
        }
        if self.0.seats.is_spare(&self.path(order.held)) {
            send(Part::Absent(self.0.notes.why(order.held)));
            return;
        }
        swath_files::answer(&place.own, order, &mut |part| {
            send(match part {
                Part::Absent(Absent::Nothing) => Part::Absent(self.0.notes.why(order.held)),
                part => part,
            })
        });
    }
}

/// Opens the seats of a worker, and ends what a crash has cut off: what attempts have
/// left that ran then is noted, and what was being removed goes.
fn seated(root: &Path, state: &Path, notes: &Notes) -> io::Result<Seats> {
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        match entry.file_name().to_str() {
            Some(name) if is_directory_name(name) => {
                // Only an empty one can be removed so.
                let _removed = std::fs::remove_dir(entry.path());
            }
            Some(name) if is_gone(name) => remove_all(&entry.path()),
            _ => {}
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

#[cfg(test)]
mod tests;
