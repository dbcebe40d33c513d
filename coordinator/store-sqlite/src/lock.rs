//! One coordinator per file: an operating-system lock beside the database,
//! which is released when its process ends, however that happens.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use swath_store::{Result, StoreError};

use crate::error::failed;

/// Who holds a file, for others who find it held.
#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    pid: u32,
    host: String,
    /// The holder's URL; empty until it listens.
    #[serde(default)]
    address: String,
}

/// The lock, held as long as this value lives.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock of `database`, or reports who holds it.
    pub(crate) fn take(database: &Path) -> Result<Self> {
        let path = lock_path(database);
        let unusable = |error| {
            let message = format!(
                "cannot use {}: its directory must be writable for this user",
                path.display()
            );
            failed(message, error)
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            // If the lock cannot be had, what the holder wrote is read.
            .truncate(false)
            .open(&path)
            .map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(database, &mut file)),
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        let lock = Self { file, path };
        lock.write("")?;
        Ok(lock)
    }

    /// Writes the holder's URL into the lock file.
    pub(crate) fn write(&self, address: &str) -> Result<()> {
        let host = hostname::get().unwrap_or_default();
        let holder = Holder {
            pid: std::process::id(),
            host: host.to_string_lossy().into_owned(),
            address: address.to_owned(),
        };
        let text = serde_json::to_string(&holder).unwrap_or_default();
        let mut file = &self.file;
        let written = file
            .rewind()
            .and_then(|()| file.set_len(0))
            .and_then(|()| writeln!(file, "{text}"));
        written.map_err(|error| failed(format!("cannot write {}", self.path.display()), error))
    }
}

fn lock_path(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(".lock");
    path.into()
}

fn in_use(database: &Path, file: &mut File) -> StoreError {
    let mut text = String::new();
    // If the holder is just writing, there may be nothing to read.
    let _read = file.read_to_string(&mut text);
    let holder: Option<Holder> = serde_json::from_str(&text).ok();
    let who = match holder {
        Some(Holder { pid, host, address }) if address.is_empty() => {
            format!("process {pid} on {host}")
        }
        Some(Holder { pid, host, address }) => {
            format!("process {pid} on {host}, which listens on {address}")
        }
        None => "another process".to_owned(),
    };
    StoreError::InUse(format!(
        "{} is in use by {who}; end that coordinator first, or name another database",
        database.display()
    ))
}
