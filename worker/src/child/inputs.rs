//! Whether this host has what a program needs to be started.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use swath_agent::CommandLine;
use swath_files::Named;
use swath_model::id::InputDigest;
use swath_model::needs::Lack;
use swath_model::program::{INPUTS_BYTES_MAX, input_digest};

/// What tells one state of a file from another without reading it: device,
/// inode, length, and times of the last changes.
type Stamp = (u64, u64, u64, (i64, i64), (i64, i64));

/// The digests of files that were read before.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    known: HashMap<PathBuf, (Stamp, InputDigest)>,
}

impl Inputs {
    /// What this host lacks of a program: its directory, or a file that it is
    /// made of.
    pub(super) fn lacking(&mut self, line: &CommandLine) -> Option<Lack> {
        let directory = line.directory.as_deref().map(Path::new);
        if let Some(path) = directory.filter(|path| !path.is_dir()) {
            let path = path.display().to_string();
            return Some(Lack::Directory { path });
        }
        let directory = directory.unwrap_or(Path::new(""));
        line.inputs.iter().find_map(|(path, wanted)| {
            let found = self.digest(&directory.join(path));
            let differs = found.is_some();
            (found != Some(*wanted)).then(|| Lack::Input {
                path: path.clone(),
                differs,
            })
        })
    }

    fn digest(&mut self, path: &Path) -> Option<InputDigest> {
        let named = Named::open_within(path, INPUTS_BYTES_MAX).ok()?;
        let about = named.file.metadata().ok()?;
        let stamp = (
            about.dev(),
            about.ino(),
            about.len(),
            (about.mtime(), about.mtime_nsec()),
            (about.ctime(), about.ctime_nsec()),
        );
        if let Some((known, digest)) = self.known.get(path)
            && *known == stamp
        {
            return Some(*digest);
        }
        let digest = input_digest(&named.rest(Vec::new()).ok()?);
        self.known.insert(path.to_owned(), (stamp, digest));
        Some(digest)
    }
}

/// What an error at the start of a program says that this host lacks. Its
/// directory is there.
pub(super) fn lack_of(line: &CommandLine, error: &std::io::Error) -> Option<Lack> {
    is_missing(error).then(|| Lack::Executable {
        program: line.argv[0].clone(),
    })
}

/// Whether an error at the start of a program says that it is not there.
pub(super) fn is_missing(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::PermissionDenied
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changes_is_another_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("train.py");
        let mut inputs = Inputs::default();
        let mut line = CommandLine {
            directory: Some(directory.path().display().to_string()),
            ..CommandLine::default()
        };
        assert_eq!(inputs.lacking(&line), None);
        line.inputs = [("train.py".to_owned(), input_digest(b"1"))].into();
        let lack = |differs| {
            let path = "train.py".to_owned();
            Some(Lack::Input { path, differs })
        };
        assert_eq!(inputs.lacking(&line), lack(false));
        std::fs::write(&path, "1").unwrap();
        assert_eq!(inputs.lacking(&line), None);
        assert_eq!(inputs.lacking(&line), None);
        std::fs::write(&path, "2").unwrap();
        assert_eq!(inputs.lacking(&line), lack(true));
        line.directory = Some("/nowhere".to_owned());
        let path = "/nowhere".to_owned();
        assert_eq!(inputs.lacking(&line), Some(Lack::Directory { path }));
    }
}
