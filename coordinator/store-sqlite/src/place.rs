//! Where a store lies: one file that this process alone has open, as long as it
//! stays where it is.

use std::fs::{self, File, Metadata, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use swath_store::{Result, StoreError};

use crate::error::{failed, refused, unwritable};
use crate::lock::{self, FileId, Lock};
use crate::note::{self, Holder, Note};

/// The file of an open store.
#[derive(Debug)]
pub(crate) struct Place {
    /// Absolute and without symbolic links: SQLite's journal lies beside the
    /// file itself, whichever link leads to it.
    path: PathBuf,
    note: Note,
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
        let note = Note::write(&resolved, Holder::this());
        let note = note.map_err(|error| unwritable(&note::path(&resolved), error))?;
        Ok(Self {
            path: resolved,
            note,
            lock,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Notes that the store is open.
    pub(crate) fn opened(&mut self) -> Result<()> {
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
