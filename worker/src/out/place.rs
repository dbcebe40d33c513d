//! Where the attempts of a worker have their directories: in its state directory,
//! or below a directory that workers share, where each has one of its own. So
//! nothing that lies beside those of attempts belongs to somebody else.

use std::io;
use std::path::{Path, PathBuf};

use swath_model::id::{StateId, WorkerName};

/// How many characters of the name of a state directory tell it from others.
const ID_LENGTH: usize = 12;

/// Where a worker's attempts have their directories.
#[derive(Debug)]
pub(super) struct Place {
    /// The directory that holds those of this worker's attempts, and no others.
    pub(super) own: PathBuf,
    /// The directory in which other workers may have theirs beside it.
    pub(super) shared: Option<PathBuf>,
    /// Whether it was made just now.
    pub(super) is_new: bool,
}

impl Place {
    /// Finds the place of a worker below `out`, or makes it. If that is in the state
    /// directory, wherever links lead, it is the worker's own already. Else it is one
    /// that is named by the worker and its state directory, which a worker keeps under
    /// another name, too.
    pub(super) fn find(
        out: &Path,
        state: &Path,
        worker: &WorkerName,
        id: StateId,
    ) -> io::Result<Self> {
        let was_there = out.exists();
        std::fs::create_dir_all(out)?;
        std::fs::create_dir_all(state)?;
        let (place, state) = (out.canonicalize()?, state.canonicalize()?);
        if state.starts_with(&place) {
            let why = "the state directory is in it, or is it";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        if place.starts_with(&state) {
            return Ok(Self {
                own: out.to_owned(),
                shared: None,
                is_new: !was_there,
            });
        }
        let ending = format!(".{}", &id.to_string()[..ID_LENGTH]);
        let known = known(out, &ending)?;
        let is_new = known.is_none();
        let own = known.unwrap_or_else(|| out.join(format!("{worker}{ending}")));
        std::fs::create_dir_all(&own)?;
        Ok(Self {
            own,
            shared: Some(out.to_owned()),
            is_new,
        })
    }

    /// The directory of another worker, or the one in which older versions had those of
    /// all workers, if it is one of those that this worker may show.
    pub(super) fn of_other<'a>(&self, out: &'a str) -> Option<&'a Path> {
        let (shared, out) = (self.shared.as_deref()?, Path::new(out));
        let is_beside = out.parent() == Some(shared) && out.file_name().is_some();
        (is_beside || out == shared).then_some(out)
    }
}

/// The directory in `out` with this ending of its name.
fn known(out: &Path, ending: &str) -> io::Result<Option<PathBuf>> {
    for entry in std::fs::read_dir(out)? {
        let entry = entry?;
        let is_it = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.ends_with(ending));
        if is_it && entry.file_type()?.is_dir() {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}
