//! The fetched libtorch: one directory per version and digest, shared by all checkouts of a user.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::fetch;
use super::pins::{WHEELS, directory_name};
use crate::lock::lock;
use crate::process::say;

/// The cached libtorch, if there is one. It is moved into place as a whole, so if it is there
/// it is complete.
pub(crate) fn present() -> Option<PathBuf> {
    base().ok()?.join(directory_name()).canonicalize().ok()
}

/// The cached libtorch; fetches it first if necessary.
pub(crate) fn ensure() -> Result<PathBuf> {
    if let Some(directory) = present() {
        return Ok(directory);
    }
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        bail!(
            "libtorch is fetched for Linux on x86-64 only: set SWATH_LIBTORCH to a libtorch 2.13 of this machine"
        );
    }
    let base = base()?;
    fs::create_dir_all(&base)
        .with_context(|| format!("cannot make the cache directory {}", base.display()))?;
    let _held = lock(&base.join("lock"), "another process is fetching libtorch")?;
    // Another process may have fetched it while this one waited.
    if let Some(directory) = present() {
        return Ok(directory);
    }
    let megabytes = WHEELS.iter().map(|wheel| wheel.bytes).sum::<u64>() / 1_000_000;
    say(format!(
        "fetching libtorch ({megabytes} MB, once) into {}",
        base.display()
    ));
    let directory = base.join(directory_name());
    fill(&base, &directory)?;
    Ok(directory)
}

/// Does everything beside the final directory, which then appears in one step.
fn fill(base: &Path, directory: &Path) -> Result<()> {
    let downloads = base.join(format!("{}.downloads", directory_name()));
    let unpacked = base.join(format!("{}.unpacked", directory_name()));
    fs::create_dir_all(&downloads)?;
    let wheels = fetch::wheels(&downloads)?;
    if unpacked.exists() {
        fs::remove_dir_all(&unpacked)?; // left by a process that was killed
    }
    fs::create_dir_all(&unpacked)?;
    say("unpacking");
    for (wheel, file) in WHEELS.iter().zip(&wheels) {
        fetch::unpack(file, wheel.members, &unpacked)
            .with_context(|| format!("cannot unpack {}", wheel.requirement()))?;
    }
    fs::rename(&unpacked, directory)
        .with_context(|| format!("cannot move to {}", directory.display()))?;
    // The wheels hold twice what was taken from them and are not needed again.
    fs::remove_dir_all(&downloads).with_context(|| format!("cannot remove {}", downloads.display()))
}

fn base() -> Result<PathBuf> {
    let variable = |name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    cache_home(variable("XDG_CACHE_HOME"), variable("HOME")).map(|home| home.join("swath/libtorch"))
}

fn cache_home(xdg: Option<PathBuf>, home: Option<PathBuf>) -> Result<PathBuf> {
    // The XDG specification says to ignore a relative path.
    xdg.filter(|path| path.is_absolute())
        .or_else(|| home.map(|home| home.join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME is set: set XDG_CACHE_HOME to where libtorch (440 MB) may be kept")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_follows_xdg() {
        let home = Some(PathBuf::from("/home/u"));
        assert_eq!(
            cache_home(Some("/c".into()), home.clone()).unwrap(),
            Path::new("/c")
        );
        assert_eq!(
            cache_home(Some("c".into()), home.clone()).unwrap(),
            Path::new("/home/u/.cache")
        );
        assert_eq!(cache_home(None, home).unwrap(), Path::new("/home/u/.cache"));
        assert!(cache_home(None, None).is_err());
    }
}
