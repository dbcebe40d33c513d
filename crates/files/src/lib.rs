//! Files below one directory, read and written without leaving it: no link is
//! followed on the way, and only regular files count.
//!
//! A file travels as pieces. Both ends digest it, and what the reader already
//! has of its beginning is not sent again.
//!
//! Files that somebody names may be anywhere, and have limits ([`Named`]).

mod list;
mod named;
mod pieces;

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use swath_model::files::{Absent, FilePath};

pub use self::named::{Kind, Named, Unread, read, read_text};
pub use self::pieces::{Sink, Sum, answer};

/// An open directory.
#[derive(Debug)]
pub struct Directory(OwnedFd);

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

impl Directory {
    /// Opens a directory. The path is the caller's own and may lead over links.
    ///
    /// # Errors
    ///
    /// When there is none, or it cannot be read.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(rustix::fs::openat(
            CWD,
            path,
            DIRECTORY,
            Mode::empty(),
        )?))
    }

    /// Opens a directory in this one, which is no link.
    ///
    /// # Errors
    ///
    /// When there is none, or it cannot be read.
    pub fn inner(&self, name: &str) -> io::Result<Self> {
        let flags = DIRECTORY | OFlags::NOFOLLOW;
        Ok(Self(rustix::fs::openat(
            &self.0,
            name,
            flags,
            Mode::empty(),
        )?))
    }

    /// The directory of a file below this one.
    fn parent<'a>(&self, path: &'a FilePath, makes: bool) -> io::Result<(Self, &'a str)> {
        let (directories, name) = path.parts();
        let mut at = Self(self.0.try_clone()?);
        for directory in directories {
            if makes {
                match rustix::fs::mkdirat(&at.0, directory, Mode::from_raw_mode(0o777)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            at = at.inner(directory)?;
        }
        Ok((at, name))
    }

    /// Opens a regular file below this directory for reading.
    ///
    /// # Errors
    ///
    /// Why it cannot be had.
    pub fn read(&self, path: &FilePath) -> Result<File, Absent> {
        // A pipe without a writer must not be waited for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = self.parent(path, false).and_then(|(parent, name)| {
            Ok(rustix::fs::openat(&parent.0, name, flags, Mode::empty())?)
        });
        let file = File::from(opened.map_err(|error| absent(&error))?);
        let about = file.metadata().map_err(|error| absent(&error))?;
        if about.is_file() {
            Ok(file)
        } else {
            Err(Absent::NotRegular)
        }
    }

    /// Opens a regular file below this directory for writing, after its end; it is
    /// made if necessary, with the directories on the way.
    ///
    /// # Errors
    ///
    /// When the operating system refuses, or something else is there.
    pub fn append(&self, path: &FilePath) -> io::Result<File> {
        let flags = OFlags::RDWR
            | OFlags::APPEND
            | OFlags::CREATE
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::CLOEXEC;
        let (parent, name) = self.parent(path, true)?;
        let file = rustix::fs::openat(&parent.0, name, flags, Mode::from_raw_mode(0o666))?;
        let file = File::from(file);
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("something else than a file is there"));
        }
        Ok(file)
    }

    /// Gives a file another name in its directory; a file that has the name goes.
    ///
    /// # Errors
    ///
    /// When the operating system refuses, as where a directory has the name.
    pub fn rename(&self, from: &FilePath, to: &FilePath) -> io::Result<()> {
        let (old, old_name) = self.parent(from, false)?;
        let (new, new_name) = self.parent(to, false)?;
        Ok(rustix::fs::renameat(&old.0, old_name, &new.0, new_name)?)
    }

    /// Removes a file.
    ///
    /// # Errors
    ///
    /// When the operating system refuses.
    pub fn remove(&self, path: &FilePath) -> io::Result<()> {
        let (parent, name) = self.parent(path, false)?;
        Ok(rustix::fs::unlinkat(&parent.0, name, AtFlags::empty())?)
    }
}

/// What an error says of a file.
pub fn absent(error: &io::Error) -> Absent {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    match errno {
        Some(Errno::NOENT) => Absent::NoFile,
        // A link, or a file where a directory should be; a socket.
        Some(Errno::LOOP | Errno::NOTDIR | Errno::NXIO) => Absent::NotRegular,
        _ => Absent::Unreadable {
            message: error.to_string(),
        },
    }
}

/// What the mode of a file says that it is.
const fn kind(mode: u32) -> FileType {
    FileType::from_raw_mode(mode)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{Read, Write};
    use std::os::unix::fs::symlink;

    use super::*;

    fn path(text: &str) -> FilePath {
        text.parse().unwrap()
    }

    #[test]
    fn files_are_read_and_links_are_not_followed() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("root");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/c"), "inside").unwrap();
        fs::write(place.path().join("secret"), "outside").unwrap();
        symlink("../secret", root.join("link")).unwrap();
        symlink("..", root.join("up")).unwrap();
        symlink("a", root.join("same")).unwrap();
        let directory = Directory::open(&root).unwrap();
        let read = |name: &str| {
            directory.read(&path(name)).map(|mut file| {
                let mut text = String::new();
                file.read_to_string(&mut text).unwrap();
                text
            })
        };
        assert_eq!(read("a/b/c"), Ok("inside".to_owned()));
        for (name, why) in [
            ("link", Absent::NotRegular),
            ("up/secret", Absent::NotRegular),
            ("same/b/c", Absent::NotRegular),
            ("a", Absent::NotRegular),
            ("a/b/c/d", Absent::NotRegular),
            ("a/x", Absent::NoFile),
            ("x/y", Absent::NoFile),
        ] {
            assert_eq!(read(name), Err(why), "{name}");
        }
        rustix::fs::mkfifoat(CWD, root.join("pipe"), Mode::from_raw_mode(0o600)).unwrap();
        assert_eq!(read("pipe"), Err(Absent::NotRegular));
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let place = tempfile::tempdir().unwrap();
        let (root, other) = (place.path().join("root"), place.path().join("other"));
        fs::create_dir(&root).unwrap();
        fs::create_dir(&other).unwrap();
        fs::write(other.join("kept"), "kept").unwrap();
        symlink(&other, root.join("out")).unwrap();
        symlink(other.join("kept"), root.join("file")).unwrap();
        let directory = Directory::open(&root).unwrap();
        assert!(directory.append(&path("out/new")).is_err());
        assert!(directory.append(&path("file")).is_err());
        assert!(!other.join("new").exists());
        assert_eq!(fs::read_to_string(other.join("kept")).unwrap(), "kept");
        // A name that a link has is replaced, not what the link leads to.
        let mut file = directory.append(&path("deep/part")).unwrap();
        file.write_all(b"new").unwrap();
        directory.rename(&path("deep/part"), &path("file")).unwrap();
        assert_eq!(fs::read_to_string(root.join("file")).unwrap(), "new");
        assert_eq!(fs::read_to_string(other.join("kept")).unwrap(), "kept");
    }
}
