//! Files that a verb writes.

use std::io::{BufWriter, Write};
use std::path::Path;

use super::failure::{Failure, Outcome};

/// Writes a file as a whole or not at all: a reader never sees half of it.
pub(crate) fn into_file(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<&mut std::fs::File>) -> Outcome<()>,
) -> Outcome<()> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::error(format!("cannot write {}: {error}", path.display()))
    };
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".swath-")
        .permissions(readable())
        .tempfile_in(directory)
        .map_err(|error| failed(&error))?;
    let mut out = BufWriter::new(file.as_file_mut());
    fill(&mut out)?;
    out.flush().map_err(|error| failed(&error))?;
    drop(out);
    file.persist(path).map_err(|error| failed(&error.error))?;
    Ok(())
}

/// The permissions of any file that a person makes; the umask takes away from
/// them.
fn readable() -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    std::fs::Permissions::from_mode(0o666)
}
