//! The files of an identity: written whole or not at all, and secrets for their
//! owner alone.

use std::fs::{DirBuilder, File};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use super::{IdentityError, Result};

/// The longest file that is read, in bytes.
const BYTES_MAX: u64 = 1 << 20;

/// Makes a directory for its owner alone. One that is there must be that already.
pub(super) fn make(directory: &Path) -> Result<()> {
    let mut builder = DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(directory);
    made.map_err(|error| IdentityError::at(directory, format!("cannot be made: {error}")))?;
    check_private(directory)
}

fn check_private(path: &Path) -> Result<()> {
    let about = path.metadata();
    let about = about.map_err(|error| IdentityError::at(path, error))?;
    if about.mode() & 0o077 != 0 {
        let mode = if about.is_dir() { "700" } else { "600" };
        let shown = path.display();
        return Err(IdentityError(format!(
            "{shown} can be read by others; `chmod {mode} {shown}` keeps it to you"
        )));
    }
    Ok(())
}

/// The files of a directory that others can read, but for those with these names.
pub(super) fn exposed(directory: &Path, public: &[&str]) -> std::io::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in directory.read_dir()? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_open = entry.metadata()?.mode() & 0o077 != 0;
        if is_open && !public.contains(&name.as_str()) {
            found.push(entry.path().display().to_string());
        }
    }
    found.sort();
    Ok(found)
}

/// Writes a file beside its place, then puts it there.
pub(super) fn write(path: &Path, text: &str, secret: bool) -> Result<()> {
    let written = || {
        let directory = path.parent().unwrap_or(Path::new("."));
        // Only its owner can read it from the beginning.
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(text.trim_end().as_bytes())?;
        file.write_all(b"\n")?;
        if !secret {
            let mode = std::fs::Permissions::from_mode(0o644);
            file.as_file().set_permissions(mode)?;
        }
        file.as_file().sync_all()?;
        file.persist(path)?;
        File::open(directory)?.sync_all()
    };
    written().map_err(|error| IdentityError::at(path, format!("cannot be written: {error}")))
}

/// Reads a file; a secret that others can read is none any more.
pub(super) fn read(path: &Path, secret: bool) -> Result<String> {
    let unread = |error| IdentityError::at(path, format!("cannot be read: {error}"));
    let file = File::open(path).map_err(unread)?;
    if secret {
        check_private(path)?;
    }
    let mut text = String::new();
    file.take(BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(unread)?;
    Ok(text)
}
