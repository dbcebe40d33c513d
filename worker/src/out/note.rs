//! Notes of which attempts have, or had, a directory of this worker's.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};
use swath_model::files::{Absent, Remover};
use swath_model::id::Attempt;
use swath_model::message::Held;
use swath_model::time::Timestamp;

/// How many notes of removed directories are kept.
const REMOVED_MAX: usize = 10_000;

/// A directory of notes: one empty file for each directory, which says once that
/// is removed when it was and why.
#[derive(Debug)]
pub(super) struct Notes {
    directory: PathBuf,
    /// How many of removed directories are kept, or up to a tenth more.
    most: usize,
    /// How many directories were removed since the oldest notes were forgotten.
    since: AtomicUsize,
}

#[derive(Serialize, Deserialize)]
struct Removed {
    at: Timestamp,
    by: Remover,
}

impl Notes {
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        Ok(Self {
            directory: directory.to_owned(),
            most: REMOVED_MAX,
            since: AtomicUsize::new(0),
        })
    }

    /// Every noted attempt, and whether its directory was removed. Of the removed
    /// ones, the oldest are forgotten if there are many.
    pub(super) fn all(&self) -> io::Result<Vec<(Held, bool)>> {
        self.since.store(0, Ordering::Relaxed);
        let mut all = Vec::new();
        let mut removed = Vec::new();
        for entry in std::fs::read_dir(&self.directory)? {
            let entry = entry?;
            let Some(held) = entry.file_name().to_str().and_then(read_name) else {
                continue;
            };
            let about = entry.metadata()?;
            if about.len() > 0 {
                removed.push((modified_ms(&about), held));
            }
            all.push((held, about.len() > 0));
        }
        removed.sort_unstable();
        let excess = removed.len().saturating_sub(self.most);
        for (_, held) in &removed[..excess] {
            self.forget(*held);
        }
        Ok(all)
    }

    /// Notes that an attempt has a directory.
    pub(super) fn write(&self, held: Held) -> io::Result<()> {
        std::fs::write(self.path(held), "")
    }

    /// Notes that the directory of an attempt is removed. Now and then, the oldest
    /// of such notes are forgotten.
    pub(super) fn removed(&self, held: Held, by: Remover, at_ms: u64) -> io::Result<()> {
        let at = Timestamp::from_ms(at_ms as i64);
        let text = serde_json::to_string(&Removed { at, by })?;
        std::fs::write(self.path(held), text)?;
        if self.since.fetch_add(1, Ordering::Relaxed) >= self.most / 10 {
            self.all()?;
        }
        Ok(())
    }

    /// Why an attempt has no directory.
    pub(super) fn why(&self, held: Held) -> Absent {
        let text = std::fs::read_to_string(self.path(held)).unwrap_or_default();
        match serde_json::from_str(&text) {
            Ok(Removed { at, by }) => Absent::Removed { at, by },
            Err(_) => Absent::Nothing,
        }
    }

    pub(super) fn forget(&self, held: Held) {
        if let Err(error) = std::fs::remove_file(self.path(held))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(%error, "a note of a directory cannot be removed");
        }
    }

    fn path(&self, held: Held) -> PathBuf {
        self.directory.join(name_of(held))
    }
}

/// The name of an attempt with its job's whole digest.
pub(super) fn name_of(held: Held) -> String {
    format!("{}-{}", held.job, held.attempt)
}

/// The attempt of such a name.
pub(super) fn read_name(name: &str) -> Option<Held> {
    let (job, attempt) = name.split_once('-')?;
    Some(Held {
        job: job.parse().ok()?,
        attempt: Attempt(attempt.parse().ok()?),
    })
}

/// When a file or directory was last changed.
pub(super) fn modified_ms(about: &std::fs::Metadata) -> u64 {
    let ms = about.mtime() * 1000 + about.mtime_nsec() / 1_000_000;
    ms.max(0) as u64
}

#[cfg(test)]
mod tests {
    use swath_model::id::JobDigest;

    use super::*;

    #[test]
    fn the_oldest_notes_of_what_was_removed_are_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let notes = Notes {
            most: 20,
            ..Notes::open(directory.path()).unwrap()
        };
        let held = |attempt| Held {
            job: JobDigest::from_bytes([1; 32]),
            attempt: Attempt(attempt),
        };
        notes.write(held(1)).unwrap();
        for attempt in 2..=100 {
            notes.removed(held(attempt), Remover::Quota, 7).unwrap();
            let left = std::fs::read_dir(directory.path()).unwrap().count();
            assert!(left <= 1 + 20 + 2, "{left} after {attempt}");
        }
        // What is there is never forgotten, nor what was removed just now.
        let why = notes.why(held(100));
        assert!(matches!(why, Absent::Removed { .. }), "{why:?}");
        assert!(notes.all().unwrap().contains(&(held(1), false)));
    }
}
