//! Which CPythons this machine has.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::process::output;

/// A version of Python, as 3.9 is (3, 9).
pub(super) type Version = (u32, u32);

/// The oldest that the module is written for; `requires-python` of pyproject.toml says so too.
pub(super) const OLDEST: Version = (3, 9);

/// The newest that is looked for on PATH.
const NEWEST_ON_PATH: u32 = 20;

/// Prints nothing for an interpreter that is no finished CPython, or has no `venv`, as Debian's may.
const ASK: &str = "\
import sys, venv
if sys.implementation.name == 'cpython' and sys.version_info.releaselevel == 'final':
    print(*sys.version_info[:2])";

/// The CPythons of this machine from [`OLDEST`] on, one of each version.
pub(super) fn all() -> BTreeMap<Version, PathBuf> {
    let mut found = BTreeMap::new();
    for program in candidates() {
        let said = output(Command::new(&program).args(["-c", ASK])).unwrap_or_default();
        if let Some(version) = read(&said).filter(|version| *version >= OLDEST) {
            found.entry(version).or_insert(program);
        }
    }
    found
}

/// Where interpreters may be: on PATH, and where pyenv and uv keep theirs.
fn candidates() -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("python3")];
    found.extend((OLDEST.1..=NEWEST_ON_PATH).map(|minor| format!("python3.{minor}").into()));
    let set = |name| {
        env::var_os(name)
            .filter(|it| !it.is_empty())
            .map(PathBuf::from)
    };
    let home = |below: &str| set("HOME").map(|home| home.join(below));
    let pyenv = set("PYENV_ROOT").or_else(|| home(".pyenv"));
    let pyenv = pyenv.map(|root| root.join("versions"));
    let uv = set("UV_PYTHON_INSTALL_DIR").or_else(|| home(".local/share/uv/python"));
    for folder in [pyenv, uv].into_iter().flatten() {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        found.extend(entries.map(|entry| entry.path().join("bin/python3")));
    }
    found
}

fn read(said: &str) -> Option<Version> {
    let (major, minor) = said.trim().split_once(' ')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_two_numbers() {
        assert_eq!(read("3 9\n"), Some((3, 9)));
        assert!(read("3 13\n") > read("3 9\n"));
        assert_eq!(read(""), None);
        assert_eq!(read("pypy\n"), None);
    }

    #[test]
    fn the_package_says_the_same_of_its_oldest_python() {
        let about = include_str!("../../../../python/pyproject.toml");
        let (major, minor) = OLDEST;
        let said = format!("requires-python = \">={major}.{minor}\"");
        assert!(about.contains(&said), "{said}");
    }
}
