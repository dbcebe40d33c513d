//! The libtorch that the user asked for or already has, and the check that a directory contains a
//! suitable one.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{link, pins};
use crate::process::{output, say};
use crate::workspace::Workspace;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// LIBTORCH, set by the user: cargo passes it on unchanged, so there is nothing to
    /// link.
    Exported(PathBuf),
    Directory(PathBuf),
    Fetched,
}

impl Source {
    pub(crate) fn asked_for(workspace: &Workspace) -> Result<Option<Self>> {
        let asked = choose(
            env::var_os("LIBTORCH"),
            env::var_os("SWATH_LIBTORCH"),
            &link::path(workspace),
        );
        if let Some(Self::Exported(directory) | Self::Directory(directory)) = &asked {
            check(directory)?;
        }
        Ok(asked)
    }
}

/// For xtask, cargo itself sets LIBTORCH to the link, so only another value is the
/// user's.
fn choose(
    libtorch: Option<OsString>,
    swath_libtorch: Option<OsString>,
    link: &Path,
) -> Option<Source> {
    let set = |value: Option<OsString>| value.filter(|value| !value.is_empty());
    if let Some(directory) = set(libtorch).filter(|directory| Path::new(directory) != link) {
        return Some(Source::Exported(directory.into()));
    }
    match set(swath_libtorch)? {
        value if value == "cpu" => Some(Source::Fetched),
        value => Some(Source::Directory(value.into())),
    }
}

/// The version of a libtorch directory, or an error that says what it lacks.
pub(crate) fn check(directory: &Path) -> Result<String> {
    let remedy = "set SWATH_LIBTORCH to a directory with lib/ and include/ of libtorch 2.13, or unset it to fetch one";
    if !directory.join("lib/libtorch_cpu.so").is_file() {
        bail!(
            "no lib/libtorch_cpu.so in {}: {remedy}",
            directory.display()
        );
    }
    let header = directory.join("include/torch/headeronly/version.h");
    let text = fs::read_to_string(&header)
        .with_context(|| format!("cannot read {}: {remedy}", header.display()))?;
    let version = version_of(&text)
        .with_context(|| format!("no version in {}: {remedy}", header.display()))?;
    if !version.starts_with(pins::SERIES) {
        bail!(
            "libtorch {version} in {}, but 2.13 is needed: {remedy}",
            directory.display()
        );
    }
    Ok(version)
}

fn version_of(header: &str) -> Option<String> {
    let number = |name: &str| {
        let mut words = header.lines().map(str::split_whitespace);
        words.find_map(|mut line| {
            (line.next() == Some("#define") && line.next() == Some(name)).then(|| line.next())?
        })
    };
    let [major, minor, patch] = [
        "TORCH_VERSION_MAJOR",
        "TORCH_VERSION_MINOR",
        "TORCH_VERSION_PATCH",
    ]
    .map(number);
    Some(format!("{}.{}.{}", major?, minor?, patch?))
}

/// The torch directory of the PyTorch that python3 would import, if it is a suitable GPU build.
///
/// Found without importing it, which takes seconds.
pub(crate) fn gpu_pytorch(workspace: &Workspace) -> Option<PathBuf> {
    let program = "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '')";
    let found = output(
        Command::new("python3")
            .args(["-c", program])
            .current_dir(&workspace.root),
    )
    .ok()?;
    let directory = PathBuf::from(found.trim());
    let version = fs::read_to_string(directory.join("version.py")).ok()?;
    if !directory.join("lib/libtorch_cuda.so").is_file() || !names_cuda(&version) {
        return None;
    }
    match check(&directory) {
        Ok(_) => Some(directory),
        Err(error) => {
            say(format!("the installed GPU PyTorch is not used: {error:#}"));
            None
        }
    }
}

/// `cuda: Optional[str] = '13.0'` in a build for GPUs, `= None` in any other.
fn names_cuda(version_py: &str) -> bool {
    let value = version_py
        .lines()
        .filter(|line| line.starts_with("cuda"))
        .find_map(|line| line.split_once('='));
    value.is_some_and(|(_, value)| value.trim().starts_with(['\'', '"']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(libtorch: &str, swath_libtorch: &str) -> Option<Source> {
        choose(
            Some(libtorch.into()),
            Some(swath_libtorch.into()),
            Path::new("/repo/.libtorch"),
        )
    }

    #[test]
    fn an_exported_libtorch_wins() {
        assert_eq!(
            chosen("/opt/a", "/opt/b"),
            Some(Source::Exported("/opt/a".into()))
        );
    }

    #[test]
    fn the_value_cargo_sets_is_nobodys_wish() {
        assert_eq!(chosen("/repo/.libtorch", ""), None);
        assert_eq!(
            chosen("/repo/.libtorch", "/opt/b"),
            Some(Source::Directory("/opt/b".into()))
        );
        assert_eq!(chosen("", "cpu"), Some(Source::Fetched));
    }

    #[test]
    fn the_version_is_read_from_the_header() {
        let header = "#pragma once\n#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 13\n#define TORCH_VERSION_PATCH 0\n";
        assert_eq!(version_of(header).as_deref(), Some("2.13.0"));
        assert_eq!(version_of("#define TORCH_VERSION_MAJOR 2\n"), None);
    }

    #[test]
    fn only_a_gpu_build_names_cuda() {
        assert!(names_cuda(
            "__version__ = '2.13.0+cu130'\ncuda: Optional[str] = '13.0'\n"
        ));
        assert!(!names_cuda(
            "__version__ = '2.13.0+cpu'\ncuda: Optional[str] = None\n"
        ));
        assert!(!names_cuda(""));
    }

    #[test]
    fn a_directory_without_libtorch_is_named_with_the_remedy() {
        let empty = tempfile::tempdir().unwrap();
        let error = check(empty.path()).unwrap_err().to_string();
        assert!(
            error.contains("libtorch_cpu.so") && error.contains("SWATH_LIBTORCH"),
            "{error}"
        );
    }
}
