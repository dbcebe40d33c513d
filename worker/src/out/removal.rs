//! How directories of attempts go: first out of the way, so that their names are
//! free at once, and then with all that is in them.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use swath_model::files::is_directory_name;

/// What the name of a directory ends with, before a number, that another one of its
/// name has replaced. No attempt's has.
const BEFORE: &str = ".before.";

/// The same of a directory that is being removed.
const GONE: &str = ".gone.";

/// Why a directory is to have another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aside {
    /// Another one gets its name. It stays as long as there is room.
    Replaced,
    /// It is removed.
    Removed,
}

/// Whether a directory is that of an attempt, or was before it was replaced.
pub(super) fn is_attempts(name: &str) -> bool {
    is_directory_name(name.split_once(BEFORE).map_or(name, |(base, _)| base))
}

/// Whether a directory was to be removed, by its name.
pub(super) fn is_gone(name: &str) -> bool {
    name.split_once(GONE)
        .is_some_and(|(base, _)| is_attempts(base))
}

/// Gives a directory a name that no attempt has. Returns its new path.
pub(super) fn set_aside(path: &Path, why: Aside) -> io::Result<PathBuf> {
    let ending = match why {
        Aside::Replaced => BEFORE,
        Aside::Removed => GONE,
    };
    let mut number = 1;
    loop {
        let mut aside = path.as_os_str().to_owned();
        aside.push(format!("{ending}{number}"));
        let aside = PathBuf::from(aside);
        if aside.symlink_metadata().is_err() {
            std::fs::rename(path, &aside)?;
            return Ok(aside);
        }
        number += 1;
    }
}

/// Removes a directory as far as that can be.
pub(super) fn remove_all(path: &Path) {
    if let Err(error) = remove_tree(path) {
        tracing::warn!(%error, path = %path.display(), "a directory cannot be removed");
    }
}

/// Removes what a program left, also where it took the right to from everybody, or
/// put a file in place of its directory.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    let removed = std::fs::remove_dir_all(path).or_else(|error| match error.kind() {
        io::ErrorKind::NotADirectory => std::fs::remove_file(path),
        io::ErrorKind::PermissionDenied => {
            unlock(path);
            std::fs::remove_dir_all(path)
        }
        _ => Err(error),
    });
    removed.or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })
}

/// Gives the owner every right to a directory and to those in it, as far as that
/// can be. Links are not followed.
fn unlock(path: &Path) {
    let is_directory = std::fs::symlink_metadata(path).is_ok_and(|about| about.is_dir());
    if !is_directory {
        return;
    }
    let _unlocked = std::fs::set_permissions(path, Permissions::from_mode(0o700));
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        unlock(&entry.path());
    }
}
