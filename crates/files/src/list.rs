//! What is in a directory and below it.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, Dir, FileType, Stat};
use swath_model::files::{FileKind, FileView, LISTED_BYTES_MAX, LISTED_MAX, Listing};
use swath_model::time::Timestamp;

use super::{Directory, kind};

/// Directories are not looked at below this depth.
const DEPTH_MAX: usize = 64;

impl Directory {
    /// Everything in it that is no directory, in the order of the paths; of very
    /// much, the first, and how many more there are. What vanishes meanwhile, or
    /// cannot be read, is left out.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn list(&self) -> io::Result<Listing> {
        let mut walk = Walk::default();
        walk.enter(self, "", 0)?;
        Ok(walk.listing)
    }

    /// The bytes of all files in it.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn bytes(&self) -> io::Result<u64> {
        Ok(self.list()?.bytes)
    }
}

#[derive(Default)]
struct Walk {
    listing: Listing,
    path_bytes: usize,
}

impl Walk {
    fn enter(&mut self, directory: &Directory, prefix: &str, depth: usize) -> io::Result<()> {
        let mut names: Vec<CString> = Vec::new();
        for entry in Dir::read_from(&directory.0)? {
            let name = entry?.file_name().to_owned();
            if !matches!(name.as_bytes(), b"." | b"..") {
                names.push(name);
            }
        }
        names.sort_unstable();
        for name in names {
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            let Ok(about) = rustix::fs::statat(&directory.0, &name, flags) else {
                continue;
            };
            let shown = OsStr::from_bytes(name.as_bytes()).to_string_lossy();
            let path = format!("{prefix}{shown}");
            let text = name.to_str().ok();
            match (kind(about.st_mode), text) {
                (FileType::Directory, Some(text)) if depth < DEPTH_MAX => {
                    if let Ok(inner) = directory.inner(text) {
                        // One that cannot be read has nothing to show.
                        let _read = self.enter(&inner, &format!("{path}/"), depth + 1);
                    }
                }
                (FileType::Directory, _) => {}
                (FileType::RegularFile, Some(_)) => self.add(path, &about, FileKind::File),
                (FileType::RegularFile, None) => self.add(path, &about, FileKind::Unnamed),
                (FileType::Symlink, _) => {
                    let target = rustix::fs::readlinkat(&directory.0, &name, Vec::new());
                    let target = target.map(|it| it.to_string_lossy().into_owned());
                    let target = target.unwrap_or_default();
                    self.add(path, &about, FileKind::Link { target });
                }
                _ => self.add(path, &about, FileKind::Special),
            }
        }
        Ok(())
    }

    fn add(&mut self, path: String, about: &Stat, kind: FileKind) {
        let bytes = match kind {
            FileKind::File | FileKind::Unnamed => about.st_size.max(0) as u64,
            FileKind::Link { .. } | FileKind::Special => 0,
        };
        let listing = &mut self.listing;
        listing.bytes += bytes;
        let target = match &kind {
            FileKind::Link { target } => target.len(),
            _ => 0,
        };
        self.path_bytes += path.len() + target;
        let fits = self.path_bytes <= LISTED_BYTES_MAX && listing.more == 0;
        if listing.files.len() >= LISTED_MAX || !fits {
            listing.more += 1;
            return;
        }
        let nanoseconds = about.st_mtime_nsec as i64;
        let modified_ms = about.st_mtime * 1000 + nanoseconds / 1_000_000;
        listing.files.push(FileView {
            path,
            bytes,
            modified_at: Timestamp::from_ms(modified_ms),
            kind,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn files_come_in_order_and_links_are_told() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path();
        fs::create_dir_all(root.join("b/empty")).unwrap();
        for (name, text) in [("b/2", "22"), ("b/1", "1"), ("a", "aaa"), ("b.txt", "")] {
            fs::write(root.join(name), text).unwrap();
        }
        symlink("/etc", root.join("link")).unwrap();
        fs::write(root.join(OsStr::from_bytes(b"\xff")), "odd").unwrap();
        let listing = Directory::open(root).unwrap().list().unwrap();
        let found: Vec<_> = listing
            .files
            .iter()
            .map(|it| (&*it.path, it.bytes))
            .collect();
        let wanted = [
            ("a", 3),
            ("b/1", 1),
            ("b/2", 2),
            ("b.txt", 0),
            ("link", 0),
            ("\u{fffd}", 3),
        ];
        assert_eq!(found, wanted);
        let target = "/etc".to_owned();
        assert_eq!(listing.files[4].kind, FileKind::Link { target });
        assert_eq!(listing.files[5].kind, FileKind::Unnamed);
        assert_eq!((listing.more, listing.bytes), (0, 9));
    }

    #[test]
    fn of_very_much_the_rest_is_counted() {
        let place = tempfile::tempdir().unwrap();
        for number in 0..LISTED_MAX + 7 {
            fs::write(place.path().join(format!("{number:06}")), "x").unwrap();
        }
        let listing = Directory::open(place.path()).unwrap().list().unwrap();
        assert_eq!(listing.files.len(), LISTED_MAX);
        assert_eq!(listing.files.last().unwrap().path, "009999");
        assert_eq!((listing.more, listing.bytes), (7, LISTED_MAX as u64 + 7));
    }
}
