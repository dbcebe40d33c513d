//! The link `.libtorch` in the workspace root, which LIBTORCH points to by
//! `.cargo/config.toml`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::process::say;
use crate::workspace::Workspace;

pub(crate) fn path(workspace: &Workspace) -> PathBuf {
    workspace.path(".libtorch")
}

/// The directory behind the link, if there is one.
pub(crate) fn target(workspace: &Workspace) -> Option<PathBuf> {
    path(workspace).canonicalize().ok()
}

/// Puts the link in place in one step, and drops whatever was built against another
/// libtorch.
pub(crate) fn point_to(workspace: &Workspace, directory: &Path) -> Result<()> {
    let link = path(workspace);
    let before = fs::read_link(&link).ok();
    if before.as_deref() == Some(directory) {
        return Ok(());
    }
    if before.is_none() && link.exists() {
        bail!(
            "{} is not a link: move it away, or export LIBTORCH to build against it",
            link.display()
        );
    }
    let fresh = workspace.path(format!(".libtorch.{}", std::process::id()));
    std::os::unix::fs::symlink(directory, &fresh)
        .and_then(|()| fs::rename(&fresh, &link))
        .with_context(|| format!("cannot make the link {}", link.display()))?;
    if before.is_some() {
        forget_builds(workspace);
    }
    Ok(())
}

/// cargo sees the same path in LIBTORCH as before, so it would keep what was linked against the old
/// directory.
fn forget_builds(workspace: &Workspace) {
    say("libtorch has changed: the trainer will be rebuilt");
    for profile in ["dev", "quickstart", "release"] {
        let mut clean = workspace.cargo("clean");
        clean.args([
            "--quiet",
            "--profile",
            profile,
            "-p",
            "torch-sys",
            "-p",
            "swath-trainer",
        ]);
        // Fails if neither was ever built, which is just as good.
        let _ = clean.stderr(Stdio::null()).status();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_is_made_moved_and_never_put_over_a_directory() {
        let root = tempfile::tempdir().unwrap();
        let workspace = Workspace {
            root: root.path().canonicalize().unwrap(),
        };
        let [first, second] = ["first", "second"].map(|name| workspace.path(name));
        fs::create_dir(&first).unwrap();
        fs::create_dir(&second).unwrap();

        point_to(&workspace, &first).unwrap();
        assert_eq!(target(&workspace), Some(first));
        fs::remove_file(path(&workspace)).unwrap();
        assert_eq!(target(&workspace), None);

        fs::create_dir(path(&workspace)).unwrap();
        let error = point_to(&workspace, &second).unwrap_err().to_string();
        assert!(error.contains("is not a link"), "{error}");
    }
}
