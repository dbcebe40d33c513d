//! Which files a spec may name, and how much of them is read.
//!
//! A worker trains what anybody submits. So a path of a spec must lead to a file
//! below one of the worker's data directories, wherever its links go; whoever
//! starts a trainer by hand names their own files, which may be anywhere.

use std::env;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use swath_files::{Named, Unread};
use swath_model::text;

use crate::failure::Failure;
use crate::{output, process};

/// Names the directories and files that specs may name, separated by colons. A
/// worker sets it for its trainers, also to nothing.
const ALLOW: &str = "SWATH_ALLOW_DATA";

/// Names the most bytes of a file, and of what it unpacks to.
const BYTES: &str = "SWATH_DATA_BYTES";

/// What may be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Directories with all that is below them, and files; none: anything.
    roots: Option<Vec<PathBuf>>,
    /// The most bytes of a file, and of what it unpacks to.
    bytes: u64,
}

/// Anything that fits into half of the memory: while it is moved, data lie there
/// twice.
impl Default for Reach {
    fn default() -> Self {
        Self {
            roots: None,
            bytes: process::memory() / 2,
        }
    }
}

impl Reach {
    /// What this process may read for specs, as the environment says; `own` are
    /// the directories in which it looks for data sets.
    pub(super) fn from_environment(own: &[&Path]) -> Self {
        let mut reach = Self::of_person();
        reach.roots = env::var_os(ALLOW).map(|allowed| {
            let named = env::split_paths(&allowed).filter(|path| !path.as_os_str().is_empty());
            own.iter()
                .map(|path| path.to_path_buf())
                .chain(named)
                .collect()
        });
        reach
    }

    /// What this process may read for the person who started it.
    pub(crate) fn of_person() -> Self {
        let mut reach = Self::default();
        if let Some(size) = env::var(BYTES).ok().filter(|size| !size.is_empty()) {
            match text::read_bytes(&size) {
                Some(bytes) => reach.bytes = bytes,
                None => output::message(&format!(
                    "warning: {BYTES}={size} is not a size, such as 50GiB; the limit is {}",
                    text::bytes(reach.bytes)
                )),
            }
        }
        reach
    }

    /// Reach that ends at these roots.
    #[cfg(test)]
    pub(super) fn within(roots: &[&Path], bytes: u64) -> Self {
        Self {
            roots: Some(roots.iter().map(|root| root.to_path_buf()).collect()),
            bytes,
        }
    }

    /// Opens a regular file that a spec names.
    ///
    /// # Errors
    ///
    /// [`Failure::Lacks`] with the path and the remedy.
    pub(crate) fn open(&self, path: &Path) -> Result<Named, Failure> {
        let named = Named::open(path).map_err(|why| unread(path, &why))?;
        // What was opened counts, not what its name leads to by now.
        let real = named.real_path();
        let real = real.map_err(|why| unread(path, &Unread::Io(why)))?;
        self.check(path, &real)?;
        named
            .at_most(self.bytes)
            .map_err(|why| unread(path, &why))?;
        Ok(named)
    }

    /// Checks a directory that a spec names, before it is listed.
    ///
    /// # Errors
    ///
    /// As [`Reach::open`].
    pub(super) fn directory(&self, path: &Path) -> Result<(), Failure> {
        let real = path.canonicalize();
        let real = real.map_err(|why| unread(path, &Unread::Io(why)))?;
        self.check(path, &real)
    }

    /// Reads a file that this machine has for everybody.
    ///
    /// # Errors
    ///
    /// [`Failure::Lacks`] where it is no regular file, or too large.
    pub(super) fn read(&self, path: &Path) -> Result<Vec<u8>, Failure> {
        swath_files::read(path, self.bytes).map_err(|why| unread(path, &why))
    }

    /// Checks that so many bytes may be held of what `what` says.
    ///
    /// # Errors
    ///
    /// [`Failure::Lacks`] with the limit and the remedy.
    pub(crate) fn room(&self, what: impl Display, bytes: Option<u64>) -> Result<(), Failure> {
        if bytes.is_some_and(|bytes| bytes <= self.bytes) {
            return Ok(());
        }
        let size = bytes.map_or_else(|| "more than any memory".to_owned(), text::bytes);
        let most = text::bytes(self.bytes);
        Err(Failure::Lacks(format!(
            "{what}: they unpack to {size}, and at most {most} are held; {RAISE}"
        )))
    }

    fn check(&self, path: &Path, real: &Path) -> Result<(), Failure> {
        let Some(roots) = &self.roots else {
            return Ok(());
        };
        // A root that is not there holds nothing.
        let mut known = roots.iter().filter_map(|root| root.canonicalize().ok());
        if known.any(|root| real.starts_with(root)) {
            return Ok(());
        }
        let leads = if real == path {
            String::new()
        } else {
            format!(" leads to {}, which", real.display())
        };
        let roots: Vec<String> = roots.iter().map(|it| it.display().to_string()).collect();
        Err(Failure::Lacks(format!(
            "{}{leads} is not below what specs may name on this machine ({}); put it there, or \
             start the worker with `--allow-data DIR` ({ALLOW})",
            path.display(),
            roots.join(", ")
        )))
    }
}

const RAISE: &str = "start the worker with a greater `--data-bytes SIZE`, or the trainer with SWATH_DATA_BYTES=SIZE";

/// The failure for a file that is not read.
pub(crate) fn unread(path: &Path, why: &Unread) -> Failure {
    let remedy = match why {
        Unread::TooLarge { .. } => format!("; {RAISE}"),
        _ => String::new(),
    };
    Failure::Lacks(format!("cannot read {}: {why}{remedy}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn told(reach: &Reach, path: &Path) -> String {
        match reach.open(path) {
            Ok(_) => String::new(),
            Err(Failure::Lacks(what)) => what,
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn nothing_outside_of_the_roots_is_opened() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("data");
        fs::create_dir_all(root.join("sub")).unwrap();
        for name in ["data/in", "out", "data-2", "alone"] {
            fs::write(place.path().join(name), "x").unwrap();
        }
        symlink("../out", root.join("link")).unwrap();
        symlink("in", root.join("same")).unwrap();
        symlink("..", root.join("up")).unwrap();
        fs::hard_link(place.path().join("out"), root.join("hard")).unwrap();
        let alone = place.path().join("alone");
        let reach = Reach::within(&[&root, &alone, Path::new("/no/such")], 10);
        for name in ["in", "same", "hard", "sub/../in", "../alone"] {
            assert_eq!(told(&reach, &root.join(name)), "", "{name}");
        }
        for name in ["link", "up/out", "../out", "../data-2"] {
            let told = told(&reach, &root.join(name));
            assert!(told.contains("--allow-data"), "{name}: {told}");
        }
        let outside = fs::File::open(place.path().join("out")).unwrap();
        let through = {
            use std::os::fd::AsRawFd;
            format!("/proc/self/fd/{}", outside.as_raw_fd())
        };
        let through = told(&reach, Path::new(&through));
        assert!(through.contains("--allow-data"), "{through}");
        assert!(reach.directory(&root.join("sub")).is_ok());
        assert!(reach.directory(&root.join("up")).is_err());
        assert!(Reach::default().directory(&root.join("up")).is_ok());
    }

    #[test]
    fn sizes_are_told_with_their_limit() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("large");
        fs::File::create(&path).unwrap().set_len(11).unwrap();
        let reach = Reach::within(&[place.path()], 10);
        let told = told(&reach, &path);
        for part in ["large", "11 B", "10 B", "--data-bytes"] {
            assert!(told.contains(part), "{told}");
        }
        assert!(reach.read(&path).is_err());
        assert!(reach.room("x", Some(10)).is_ok());
        for bytes in [Some(11), None] {
            let told = reach.room("x", bytes).unwrap_err().to_string();
            assert!(told.contains("SWATH_DATA_BYTES"), "{told}");
        }
    }
}
