//! The note beside a database: who has it open, for others who find it in use.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Who has a database open, or had it last.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Holder {
    pid: u32,
    host: String,
    /// The holder's URL; empty until it listens.
    #[serde(default)]
    address: String,
    /// Whether there was a store by then.
    #[serde(default = "yes")]
    pub(crate) opened: bool,
}

const fn yes() -> bool {
    true
}

impl Holder {
    /// This process, which opens the file just now.
    pub(crate) fn this() -> Self {
        let host = hostname::get().unwrap_or_default();
        Self {
            pid: std::process::id(),
            host: host.to_string_lossy().into_owned(),
            address: String::new(),
            opened: false,
        }
    }

    /// Whoever the note of `database` names; nobody where there is none.
    pub(crate) fn of(database: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path(database)).ok()?).ok()
    }

    pub(crate) fn address(&self) -> Option<&str> {
        Some(self.address.as_str()).filter(|address| !address.is_empty())
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} on {}", self.pid, self.host)?;
        match self.address() {
            Some(address) => write!(f, ", which listens on {address}"),
            None => Ok(()),
        }
    }
}

/// The note of the process that holds the database.
#[derive(Debug)]
pub(crate) struct Note {
    path: PathBuf,
    holder: Holder,
}

impl Note {
    /// Writes the note of `holder` beside `database`.
    pub(crate) fn write(database: &Path, holder: Holder) -> io::Result<Self> {
        let note = Self {
            path: path(database),
            holder,
        };
        note.store()?;
        Ok(note)
    }

    /// Notes that there is a store.
    pub(crate) fn opened(&mut self) -> io::Result<()> {
        self.holder.opened = true;
        self.store()
    }

    /// Notes the URL by which the holder is reached.
    pub(crate) fn listens(&mut self, address: &str) -> io::Result<()> {
        address.clone_into(&mut self.holder.address);
        self.store()
    }

    /// Writes the note again if somebody removed it: it says whom to ask, and
    /// nothing else depends on it.
    pub(crate) fn restore(&self) {
        if !self.path.exists()
            && let Err(error) = self.store()
        {
            tracing::warn!(%error, path = %self.path.display(), "cannot be written again");
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn store(&self) -> io::Result<()> {
        let mut text = serde_json::to_string(&self.holder)?;
        text.push('\n');
        // In place: the room that it has is there on a full disk, too.
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.path)?;
        file.write_all(text.as_bytes())?;
        file.set_len(text.len() as u64)
    }
}

/// The note's path.
pub(crate) fn path(database: &Path) -> PathBuf {
    crate::place::beside(database, ".lock")
}
