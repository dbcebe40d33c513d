//! Whether files are still the same, without reading them.

use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// A digest of the names, lengths and times of files, in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    digest: String,
    /// When the youngest of them was changed, in seconds since 1970.
    youngest: i64,
}

impl Stamp {
    /// When the youngest of the files was changed, in seconds since 1970.
    pub(super) fn youngest(&self) -> i64 {
        self.youngest
    }

    /// The stamp of `files`.
    pub(super) fn of<'a>(files: impl IntoIterator<Item = (&'a Path, &'a Metadata)>) -> Self {
        let mut hasher = blake3::Hasher::new();
        let mut youngest = 0;
        for (path, metadata) in files {
            let name = path.as_os_str().as_bytes();
            hasher.update(&(name.len() as u64).to_le_bytes());
            hasher.update(name);
            hasher.update(&metadata.len().to_le_bytes());
            // The inode's change time (ctime) alone may come from a mere chmod.
            hasher.update(&metadata.mtime().to_le_bytes());
            hasher.update(&metadata.mtime_nsec().to_le_bytes());
            youngest = youngest.max(metadata.mtime());
        }
        Self {
            digest: hasher.finalize().to_hex().to_string(),
            youngest,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::time::{Duration, SystemTime};

    use super::*;

    fn of(paths: &[&Path]) -> Stamp {
        let metadata: Vec<Metadata> = paths
            .iter()
            .map(|path| fs::metadata(path).unwrap())
            .collect();
        Stamp::of(paths.iter().copied().zip(&metadata))
    }

    #[test]
    fn names_lengths_and_times_make_it() {
        let root = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| root.path().join(name));
        fs::write(&one, "12").unwrap();
        fs::write(&two, "12").unwrap();
        let before = SystemTime::now() - Duration::from_secs(1000);
        for path in [&one, &two] {
            File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_modified(before)
                .unwrap();
        }
        let first = of(&[&one]);
        assert_eq!(first, of(&[&one]));
        assert_ne!(first, of(&[&two]));
        assert_ne!(first, of(&[&one, &two]));
        let after = before + Duration::from_micros(2);
        File::options()
            .write(true)
            .open(&one)
            .unwrap()
            .set_modified(after)
            .unwrap();
        assert_ne!(first, of(&[&one]));
        fs::write(&one, "123").unwrap();
        File::options()
            .write(true)
            .open(&one)
            .unwrap()
            .set_modified(before)
            .unwrap();
        assert_ne!(first, of(&[&one]));
    }
}
