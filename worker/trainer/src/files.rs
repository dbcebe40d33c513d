//! Files that are either complete or absent.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use crate::failure::Failure;

/// Writes `bytes` to `path`: to a temporary file beside it, synced, renamed.
///
/// # Errors
///
/// [`Failure::Crashed`] with the path if any of this fails.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    write_parts_atomically(path, &[bytes])
}

/// Like [`write_atomically`], for bytes in several places.
///
/// # Errors
///
/// The same as [`write_atomically`].
pub(crate) fn write_parts_atomically(path: &Path, parts: &[&[u8]]) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::Crashed(format!("cannot write {}: {error}", path.display()))
    };
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(directory).map_err(failed)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = directory.join(format!(".{name}.{}.tmp", std::process::id()));
    let written = File::create(&temporary)
        .and_then(|mut file| {
            parts.iter().try_for_each(|part| file.write_all(part))?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&temporary, path))
        // The rename itself must also survive a crash.
        .and_then(|()| File::open(directory)?.sync_all());
    written.map_err(|error| {
        let _ = fs::remove_file(&temporary);
        failed(error)
    })
}

/// Appends `bytes` to `path`, synced.
///
/// # Errors
///
/// [`Failure::Crashed`] with the path; part of `bytes` may then be in the file.
pub(crate) fn append(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    File::options()
        .append(true)
        .open(path)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_data()
        })
        .map_err(|error| Failure::Crashed(format!("cannot write {}: {error}", path.display())))
}

/// Removes what an interrupted [`write_atomically`] left in `directory`. No
/// other process may be writing there.
pub(crate) fn remove_temporaries(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if is_temporary(&name.to_string_lossy()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether a file name is one that [`write_atomically`] makes:
/// `.<name>.<process>.tmp`.
fn is_temporary(name: &str) -> bool {
    name.strip_prefix('.')
        .and_then(|name| name.strip_suffix(".tmp"))
        .and_then(|name| name.rsplit_once('.'))
        .is_some_and(|(_, process)| process.parse::<u32>().is_ok())
}

/// Gives a complete, synced file its name.
///
/// # Errors
///
/// [`Failure::Crashed`] with the path where that fails.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::rename(from, to)
        .map_err(|error| Failure::Crashed(format!("cannot write {}: {error}", to.display())))
}

/// Reads a whole file of at most `limit` bytes.
///
/// # Errors
///
/// [`Failure::Invalid`] with the path: every file that is read is one that the
/// user named or must provide.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    swath_files::read(path, limit)
        .map_err(|why| Failure::Invalid(format!("cannot read {}: {why}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_a_file_and_leaves_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/file");
        write_atomically(&path, b"one").unwrap();
        write_atomically(&path, b"two").unwrap();
        assert_eq!(read(&path, 100).unwrap(), b"two");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn appends_and_removes_what_was_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        assert!(append(&path, b"one").is_err(), "there is no file yet");
        write_atomically(&path, b"one").unwrap();
        append(&path, b"two").unwrap();
        for name in [".file.12.tmp", ".file.x.tmp", "file.12.tmp"] {
            fs::write(directory.path().join(name), "half").unwrap();
        }
        remove_temporaries(directory.path());
        assert_eq!(read(&path, 100).unwrap(), b"onetwo");
        assert!(!directory.path().join(".file.12.tmp").exists());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read(Path::new("/nowhere/spec.json"), 100).unwrap_err();
        assert!(error.to_string().contains("/nowhere/spec.json"));
    }
}
