//! What tells a state directory from every other one.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use swath_model::id::StateId;

use super::SpoolError;

const NAME: &str = "state-id";

/// The name of a state directory; a directory without one, or with one that
/// cannot be read, gets a new one. To be called by whoever has the lock.
pub(super) fn of(directory: &Path) -> Result<StateId, SpoolError> {
    let path = directory.join(NAME);
    let known = std::fs::read_to_string(&path).ok();
    if let Some(id) = known.and_then(|text| text.trim().parse().ok()) {
        return Ok(id);
    }
    let id = new().map_err(SpoolError::io(Path::new(RANDOM), "read"))?;
    write(directory, id).map_err(SpoolError::io(&path, "written"))?;
    Ok(id)
}

/// Gives a directory that was begun again the name that it had.
pub(super) fn restore(directory: &Path, id: StateId) -> Result<(), SpoolError> {
    let path = directory.join(NAME);
    let known = std::fs::read_to_string(&path).ok();
    match known.and_then(|text| text.trim().parse::<StateId>().ok()) {
        Some(known) if known == id => Ok(()),
        Some(_) => Err(SpoolError::Replaced {
            path: directory.to_owned(),
        }),
        None => write(directory, id).map_err(SpoolError::io(&path, "written")),
    }
}

const RANDOM: &str = "/dev/urandom";

fn new() -> std::io::Result<StateId> {
    let mut bytes = [0; 16];
    File::open(RANDOM)?.read_exact(&mut bytes)?;
    Ok(StateId(u128::from_ne_bytes(bytes)))
}

/// A worker that has said hello must find the same name after a crash.
fn write(directory: &Path, id: StateId) -> std::io::Result<()> {
    let draft = directory.join(format!("{NAME}.new"));
    let mut file = File::create(&draft)?;
    writeln!(file, "{id}")?;
    file.sync_all()?;
    std::fs::rename(&draft, directory.join(NAME))?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_keeps_its_name_and_has_it_alone() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let id = of(one.path()).unwrap();
        assert_eq!(of(one.path()).unwrap(), id);
        assert_ne!(of(other.path()).unwrap(), id);
        std::fs::write(one.path().join(NAME), "torn").unwrap();
        let anew = of(one.path()).unwrap();
        assert_ne!(anew, id);
        assert_eq!(of(one.path()).unwrap(), anew);
    }
}
