//! Where a store lies: one file that this process alone has open, as long as it
//! stays where it is.

use std::fs::{self, File, Metadata, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use swath_store::{Result, StoreError};

use crate::error::{NOT_SQLITE, failed, refused, unwritable};
use crate::lock::{self, FileId, Lock};
use crate::note::{self, Holder, Note};

/// How a SQLite database begins.
const MAGIC: &[u8] = b"SQLite format 3\0";
/// The size of the smallest page.
const FIRST_PAGE_BYTES_MIN: usize = 512;

/// The ending of the name of SQLite's journal.
const JOURNAL: &str = "-wal";

/// The file of an open store.
#[derive(Debug)]
pub(crate) struct Place {
    /// Absolute and without symbolic links: SQLite's journal lies beside the
    /// file itself, whichever link leads to it.
    path: PathBuf,
    note: Note,
    is_new: bool,
    /// The journal, once the store is open.
    journal: Option<FileId>,
    /// Last, as it is the last thing to go.
    lock: Lock,
}

impl Place {
    /// Takes the file, which is made if there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`] naming the holder when another process has it;
    /// [`StoreError::Failed`] when no store can be there.
    pub(crate) fn take(path: &Path) -> Result<Self> {
        check_place(path)?;
        if fs::metadata(path).is_ok_and(|found| FileId::of(&found).is_ours()) {
            return Err(in_use(path));
        }
        let was_there = path.exists();
        if !was_there {
            check_leftovers(path, "there is no such file")?;
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|error| unwritable(path, error))?;
        let resolved = resolve(path);
        let lock = Lock::take(file).map_err(|error| {
            let message = format!("cannot open {}: it cannot be locked", path.display());
            failed(message, error)
        })?;
        let lock = lock.ok_or_else(|| in_use(path))?;
        let found = lock.file().metadata();
        let found = found.map_err(|error| unwritable(path, error))?;
        check_names(path, &found)?;
        let is_new = found.len() == 0;
        if was_there && is_new {
            check_emptied(&resolved)?;
        } else if !is_new {
            check_beginning(path, lock.file())?;
        }
        let note = Note::write(&resolved, Holder::this());
        let note = note.map_err(|error| unwritable(&note::path(&resolved), error))?;
        Ok(Self {
            path: resolved,
            note,
            is_new,
            journal: None,
            lock,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there was no store.
    pub(crate) const fn is_new(&self) -> bool {
        self.is_new
    }

    /// Notes that the store is open, with its journal.
    pub(crate) fn opened(&mut self) -> Result<()> {
        let journal = fs::symlink_metadata(beside(&self.path, JOURNAL));
        self.journal = journal.ok().map(|found| FileId::of(&found));
        let noted = self.note.opened();
        noted.map_err(|error| unwritable(self.note.path(), error))
    }

    /// Notes by which URL the store's coordinator is reached.
    pub(crate) fn listens(&mut self, address: &str) -> Result<()> {
        let noted = self.note.listens(address);
        noted.map_err(|error| unwritable(self.note.path(), error))
    }

    /// Makes sure that the note is there.
    pub(crate) fn tend(&self) {
        self.note.restore();
    }
}

impl Place {
    /// What became of the files since they were opened, if they are not where
    /// they were. A look costs a microsecond or two.
    pub(crate) fn moved(&self) -> Option<Moved> {
        match fs::symlink_metadata(&self.path) {
            Ok(found) if FileId::of(&found) == self.lock.id() && found.len() > 0 => {}
            Ok(found) if FileId::of(&found) == self.lock.id() => return Some(Moved::Emptied),
            _ => return Some(Moved::Database),
        }
        let journal = self.journal?;
        match fs::symlink_metadata(beside(&self.path, JOURNAL)) {
            Ok(found) if FileId::of(&found) == journal => None,
            Ok(found) => Some(Moved::Journal {
                is_free: found.len() == 0,
            }),
            Err(_) => Some(Moved::Journal { is_free: true }),
        }
    }

    /// Why the store stopped, and what to do. `saved`: what was in the journal
    /// is in the database.
    pub(crate) fn explain(&self, moved: Moved, saved: bool) -> String {
        let path = self.path.display();
        let what = match moved {
            Moved::Database => format!("{path} was removed or replaced while it was in use"),
            Moved::Emptied => format!("{path} was emptied while it was in use"),
            Moved::Journal { .. } => {
                format!("{path}{JOURNAL} was removed or replaced while it was in use")
            }
        };
        let remedy = if saved {
            format!("what it held was saved to {path}; start the coordinator again")
        } else {
            "what was stored in it is not there any more. Put it back, or restore a backup, then              start the coordinator again and restart the workers: they hand in once more what they              measured in the last 7 days"
                .to_owned()
        };
        format!("stopped, as {what}: {remedy}")
    }
}

/// What became of the files of an open store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    /// The path leads to another database, or to none.
    Database,
    /// The database has no contents.
    Emptied,
    /// The journal is another one, or there is none.
    Journal {
        /// Whether nothing is in its place, so that nothing is mixed up when what
        /// it held is moved into the database.
        is_free: bool,
    },
}

/// The URL of the coordinator that has the database `path` open, or had it last,
/// as it noted it.
#[must_use]
pub fn holder(path: &Path) -> Option<String> {
    let holder = Holder::of(&resolve(path))?;
    Some(holder.address()?.to_owned())
}

/// Whether a process has the database `path` open to write to it.
#[must_use]
pub fn is_held(path: &Path) -> bool {
    let ours = |found: Metadata| FileId::of(&found).is_ours();
    fs::metadata(path).is_ok_and(ours)
        || File::open(path).is_ok_and(|file| lock::is_locked(&file).unwrap_or(false))
}

/// The path without symbolic links, if it leads to a file.
pub(crate) fn resolve(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// The path of a companion: the database's own with `ending` added to its name.
pub(crate) fn beside(database: &Path, ending: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

/// Checks whether a file can exist there at all.
fn check_place(path: &Path) -> Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let problem = if !directory.is_dir() {
        format!("there is no directory {}; make it", directory.display())
    } else if path.is_dir() {
        "it is a directory; name a file".to_owned()
    } else {
        return Ok(());
    };
    Err(refused(path, &problem))
}

/// Refuses to begin anew where commits of an older file lie: SQLite would throw
/// them away.
fn check_leftovers(path: &Path, what: &str) -> Result<()> {
    let journal = beside(&resolve(path), JOURNAL);
    if fs::metadata(&journal).map_or(0, |found| found.len()) == 0 {
        return Ok(());
    }
    let journal = journal.display();
    let problem = format!(
        "{what}, but {journal} holds commits of one; put the file back or restore a backup, or \
         remove {journal} to begin with a new store"
    );
    Err(refused(path, &problem))
}

/// Refuses to begin anew in an empty file that was a store.
fn check_emptied(path: &Path) -> Result<()> {
    check_leftovers(path, "it is empty")?;
    if !Holder::of(path).is_some_and(|holder| holder.opened) {
        return Ok(());
    }
    let note = note::path(path);
    let problem = format!(
        "it is empty, and it was a store, as {} says; restore it from a backup, or remove it to \
         begin with a new store",
        note.display()
    );
    Err(refused(path, &problem))
}

/// Refuses a file that is not SQLite's, or too short for its first page: SQLite
/// takes a file of one byte for an empty one.
fn check_beginning(path: &Path, file: &File) -> Result<()> {
    let mut beginning = [0; FIRST_PAGE_BYTES_MIN];
    if file.read_exact_at(&mut beginning, 0).is_ok() && beginning.starts_with(MAGIC) {
        return Ok(());
    }
    Err(refused(path, NOT_SQLITE))
}

/// Refuses a file with several names. Commits wait in a journal that is named
/// after the file: who opens it by another name does not see them, and would
/// write over them.
pub(crate) fn check_names(path: &Path, found: &Metadata) -> Result<()> {
    let names = found.nlink();
    if names <= 1 {
        return Ok(());
    }
    let problem = format!(
        "it has {names} names (hard links), and what is written under one of them is damaged by \
         whoever opens another; keep one name (`find DIRECTORY -inum {}` lists them), or make a \
         copy of its own with `cp`",
        found.ino()
    );
    Err(refused(path, &problem))
}

fn in_use(path: &Path) -> StoreError {
    let id = fs::metadata(path).map(|found| FileId::of(&found));
    // The note may lie beside another name of the file, or be gone.
    let found = id.ok().and_then(lock::holder);
    let noted = found.as_ref().map_or(path, |(_, name)| name);
    let who = match (Holder::of(&resolve(noted)), found) {
        (Some(holder), _) => holder.to_string(),
        (None, Some((pid, _))) => format!("process {pid} on this machine"),
        (None, None) => "another process".to_owned(),
    };
    StoreError::InUse(format!(
        "{} is in use by {who}; end that coordinator first, or name another database",
        path.display()
    ))
}
