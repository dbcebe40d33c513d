//! Files that somebody names: a person on a command line, a spec, a program.
//!
//! Such a name may lead to a pipe that nobody writes to, to a device without an
//! end, or to more than fits the memory. So a file is looked at before a byte of
//! it is read: only a regular one is opened, and only up to a limit.

use std::fmt;
use std::fs::{File, FileType};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use swath_model::text;

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    /// It is something else than a regular file.
    #[error("it is {0}, not a regular file; name a file that holds the content")]
    NotRegular(Kind),
    /// It is larger than what is read.
    #[error("it has {} ({bytes} bytes), and at most {} are read", text::bytes(*bytes), text::bytes(*limit))]
    TooLarge {
        /// Bytes of the file.
        bytes: u64,
        /// The most bytes that are read.
        limit: u64,
    },
    /// It was written to, or cut, in the meantime.
    #[error("it changed while it was read; repeat when it is whole")]
    Changed,
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Unread {
    /// Whether there is no such file.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

/// What is no regular file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A named pipe.
    Pipe,
    /// A socket.
    Socket,
    /// A device.
    Device,
    /// Something else.
    Other,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Directory => "a directory",
            Self::Pipe => "a pipe",
            Self::Socket => "a socket",
            Self::Device => "a device",
            Self::Other => "something else",
        })
    }
}

impl From<FileType> for Kind {
    fn from(kind: FileType) -> Self {
        if kind.is_dir() {
            Self::Directory
        } else if kind.is_fifo() {
            Self::Pipe
        } else if kind.is_socket() {
            Self::Socket
        } else if kind.is_char_device() || kind.is_block_device() {
            Self::Device
        } else {
            Self::Other
        }
    }
}

/// An open regular file.
#[derive(Debug)]
pub struct Named {
    /// The file, at its beginning.
    pub file: File,
    /// Its bytes when it was opened.
    pub length: u64,
}

impl Named {
    /// Opens a regular file for reading. Links are followed.
    ///
    /// # Errors
    ///
    /// Why it cannot be read.
    pub fn open(path: &Path) -> Result<Self, Unread> {
        // To open some devices is to do something already.
        regular(std::fs::metadata(path)?.file_type())?;
        // What is there by now may be a pipe without a writer, or a terminal.
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = File::options()
            .read(true)
            .custom_flags(flags.bits() as i32)
            .open(path)?;
        let about = file.metadata()?;
        regular(about.file_type())?;
        let length = about.len();
        Ok(Self { file, length })
    }

    /// Opens a regular file of at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// As [`Named::open`], and where it is larger.
    pub fn open_within(path: &Path, limit: u64) -> Result<Self, Unread> {
        let named = Self::open(path)?;
        named.at_most(limit)?;
        Ok(named)
    }

    /// Checks that it has at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// [`Unread::TooLarge`] where it has more.
    pub fn at_most(&self, limit: u64) -> Result<(), Unread> {
        let bytes = self.length;
        if bytes > limit {
            return Err(Unread::TooLarge { bytes, limit });
        }
        Ok(())
    }

    /// Reads the rest of it after its first `from` bytes, which were read already.
    ///
    /// # Errors
    ///
    /// Where it no longer has the length that it had, or does not fit the memory.
    pub fn rest(self, mut from: Vec<u8>) -> Result<Vec<u8>, Unread> {
        let more = self.length.saturating_sub(from.len() as u64);
        let room = usize::try_from(more).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory));
        from.try_reserve_exact(room?.saturating_add(1))
            .map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        let read = self.file.take(more + 1).read_to_end(&mut from)?;
        if read as u64 == more {
            Ok(from)
        } else {
            Err(Unread::Changed)
        }
    }

    /// Where it is, without links: where the open file is, not what has its name by
    /// now.
    ///
    /// # Errors
    ///
    /// When the operating system does not tell.
    pub fn real_path(&self) -> io::Result<PathBuf> {
        use std::os::fd::AsRawFd;
        std::fs::read_link(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }
}

/// Reads a whole regular file of at most `limit` bytes.
///
/// # Errors
///
/// Why it is not read.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Unread> {
    Named::open_within(path, limit)?.rest(Vec::new())
}

/// Reads a whole regular file of at most `limit` bytes of UTF-8.
///
/// # Errors
///
/// Why it is not read.
pub fn read_text(path: &Path, limit: u64) -> Result<String, Unread> {
    let bytes = read(path, limit)?;
    let no_text = |_| io::Error::new(io::ErrorKind::InvalidData, "it is not text in UTF-8");
    Ok(String::from_utf8(bytes).map_err(no_text)?)
}

fn regular(kind: FileType) -> Result<(), Unread> {
    if kind.is_file() {
        Ok(())
    } else {
        Err(Unread::NotRegular(Kind::from(kind)))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::*;

    fn refused(path: &Path) -> String {
        read(path, 100).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_regular_file_is_told_at_once() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        mkfifoat(CWD, at("pipe"), Mode::from_raw_mode(0o600)).unwrap();
        let _listener = UnixListener::bind(at("socket")).unwrap();
        symlink("/dev/zero", at("zero")).unwrap();
        symlink("loop", at("loop")).unwrap();
        for (path, why) in [
            (at("pipe"), "it is a pipe, not a regular file"),
            (at("socket"), "it is a socket, not"),
            (at("zero"), "it is a device, not"),
            ("/dev/zero".into(), "it is a device, not"),
            ("/dev/null".into(), "it is a device, not"),
            (at(""), "it is a directory, not"),
            (at("none"), "No such file"),
            (at("loop"), "symbolic links"),
        ] {
            let told = refused(&path);
            assert!(told.contains(why), "{}: {told}", path.display());
        }
        assert!(read(&at("none"), 1).unwrap_err().is_absent());
    }

    #[test]
    fn a_file_is_looked_at_before_it_is_read() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("sparse");
        let file = File::create(&path).unwrap();
        file.set_len(1 << 40).unwrap();
        let told = refused(&path);
        assert!(told.contains("1 TiB") && told.contains("100 B"), "{told}");
        file.set_len(100).unwrap();
        assert_eq!(read(&path, 100).unwrap().len(), 100);
        assert_eq!(read_text(&path, 100).unwrap().len(), 100);
        fs::write(&path, [0xff]).unwrap();
        let told = read_text(&path, 100).unwrap_err().to_string();
        assert_eq!(told, "it is not text in UTF-8");
    }

    #[test]
    fn a_file_that_grows_or_shrinks_is_not_read() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("file");
        fs::write(&path, "1234").unwrap();
        let open = || Named::open_within(&path, 4).unwrap();
        let named = open();
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(b"5").unwrap();
        assert!(matches!(named.rest(Vec::new()), Err(Unread::Changed)));
        file.set_len(4).unwrap();
        let named = open();
        file.set_len(3).unwrap();
        assert!(matches!(named.rest(Vec::new()), Err(Unread::Changed)));
        // Such a file tells no length.
        let told = read(Path::new("/proc/self/status"), 1 << 20);
        assert!(matches!(told, Err(Unread::Changed)));
    }

    #[test]
    fn the_open_file_tells_where_it_is() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().canonicalize().unwrap();
        fs::write(root.join("file"), "").unwrap();
        symlink("file", root.join("link")).unwrap();
        fs::hard_link(root.join("file"), root.join("hard")).unwrap();
        let real = |name: &str| {
            let named = Named::open(&root.join(name)).unwrap();
            named.real_path().unwrap()
        };
        assert_eq!(real("link"), root.join("file"));
        assert_eq!(real("hard"), root.join("hard"));
    }
}
