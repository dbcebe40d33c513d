//! Where data sets lie, and how they get there.

use std::env;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::checksum::{self, SUMS};
use crate::failure::Failure;
use crate::files;
use crate::output;

/// The directories and the mirror that data sets come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    /// Holds a directory per data set; fetched files go here.
    pub(crate) data: PathBuf,
    /// Data sets of the operating system, never written.
    pub(crate) system: PathBuf,
    /// A directory, `file://` or `http(s)://` URL that holds the same
    /// directories.
    pub(crate) mirror: Option<String>,
}

/// Files of a data set that must be there: each under one of several names.
pub(super) type Wanted<'a> = &'a [Vec<String>];

impl Places {
    /// The places that the environment names: `SWATH_DATA_DIR` (default
    /// `~/.cache/swath/data`), Debian's `/usr/share/datasets`, and
    /// `SWATH_DATA_MIRROR`.
    pub(crate) fn from_environment() -> Self {
        let named = |variable: &str| env::var_os(variable).filter(|value| !value.is_empty());
        let cache = || {
            named("XDG_CACHE_HOME").map_or_else(
                || {
                    PathBuf::from(named("HOME").unwrap_or_else(|| OsString::from(".")))
                        .join(".cache")
                },
                PathBuf::from,
            )
        };
        Self {
            data: named("SWATH_DATA_DIR").map_or_else(|| cache().join("swath/data"), PathBuf::from),
            system: PathBuf::from("/usr/share/datasets"),
            mirror: named("SWATH_DATA_MIRROR")
                .map(|value| value.to_string_lossy().trim_end_matches('/').to_owned()),
        }
    }

    /// The files of `dataset`, one per entry of `wanted`, all from one
    /// directory; fetched from the mirror where they lie nowhere.
    ///
    /// # Errors
    ///
    /// [`Failure::Invalid`] with the directories looked at and the remedy.
    pub(super) fn find(
        &self,
        dataset: &str,
        wanted: Wanted<'_>,
        public: &str,
    ) -> Result<Vec<PathBuf>, Failure> {
        let own = self.data.join(dataset);
        let system = self.system.join(dataset.replace('_', "-"));
        for directory in [&own, &system] {
            if let Some(files) = all_in(directory, wanted) {
                return Ok(files);
            }
        }
        if let Some(mirror) = &self.mirror {
            return fetch(mirror, dataset, &own, wanted);
        }
        let names: Vec<&str> = wanted.iter().map(|names| names[0].as_str()).collect();
        Err(Failure::Invalid(format!(
            "the data set `{dataset}` is not on this machine: neither {} nor {} holds {}; put the \
             files there, or set SWATH_DATA_MIRROR to a directory or URL with a directory \
             {dataset} of them (they are published at {public})",
            own.display(),
            system.display(),
            names.join(", "),
        )))
    }
}

/// One file per entry of `wanted` in `directory`, if all are there.
fn all_in(directory: &Path, wanted: Wanted<'_>) -> Option<Vec<PathBuf>> {
    wanted
        .iter()
        .map(|names| {
            names
                .iter()
                .map(|name| directory.join(name))
                .find(|path| path.is_file())
        })
        .collect()
}

/// Copies what is wanted from the mirror to `own`.
fn fetch(
    mirror: &str,
    dataset: &str,
    own: &Path,
    wanted: Wanted<'_>,
) -> Result<Vec<PathBuf>, Failure> {
    let remote = mirror.starts_with("http://") || mirror.starts_with("https://");
    let get = |name: &str| -> Result<Vec<u8>, String> {
        if remote {
            download(&format!("{mirror}/{dataset}/{name}"))
        } else {
            let root = Path::new(mirror.strip_prefix("file://").unwrap_or(mirror));
            let path = root.join(dataset).join(name);
            std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))
        }
    };
    // The mirror's own sums come first: its files are checked against them.
    if let Ok(sums) = get(SUMS) {
        files::write_atomically(&own.join(SUMS), &sums)?;
    }
    let mut found = Vec::new();
    for names in wanted {
        let mut errors = Vec::new();
        let got = names.iter().find_map(|name| match get(name) {
            Ok(bytes) => Some((own.join(name), bytes)),
            Err(error) => {
                errors.push(error);
                None
            }
        });
        let Some((path, bytes)) = got else {
            return Err(Failure::Invalid(format!(
                "the data set `{dataset}` is neither in {} nor on the mirror {mirror} \
                 (SWATH_DATA_MIRROR): {}",
                own.display(),
                errors.join("; ")
            )));
        };
        checksum::check_file(dataset, &path, &bytes)
            .map_err(|error| Failure::Invalid(format!("from the mirror {mirror}: {error}")))?;
        files::write_atomically(&path, &bytes)?;
        output::message(&format!("fetched {} from {mirror}", path.display()));
        found.push(path);
    }
    Ok(found)
}

/// A mirror must answer a connection within so many seconds.
const CONNECT_SECONDS: u32 = 20;
/// A download below [`STALL_BYTES_PER_SECOND`] for so many seconds has stalled.
const STALL_SECONDS: u32 = 30;
const STALL_BYTES_PER_SECOND: u32 = 1024;

/// Downloads with curl, which nearly every machine with certificates has.
fn download(url: &str) -> Result<Vec<u8>, String> {
    download_by("curl", STALL_SECONDS, url)
}

fn download_by(curl: &str, stall_seconds: u32, url: &str) -> Result<Vec<u8>, String> {
    let done = Command::new(curl)
        .args(["--fail", "--silent", "--show-error", "--location"])
        .args(["--connect-timeout", &CONNECT_SECONDS.to_string()])
        .args(["--speed-limit", &STALL_BYTES_PER_SECOND.to_string()])
        .args(["--speed-time", &stall_seconds.to_string()])
        .args(["--", url])
        .output()
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => format!(
                "{url}: `{curl}` is not installed; install it (on Debian: apt-get install curl), \
                 or put the files there yourself"
            ),
            _ => format!("{url}: {curl} does not start: {error}"),
        })?;
    if done.status.success() {
        Ok(done.stdout)
    } else {
        let text = String::from_utf8_lossy(&done.stderr);
        Err(format!("{url}: {}", text.trim()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(root: &Path, mirror: Option<String>) -> Places {
        Places {
            data: root.join("data"),
            system: root.join("system"),
            mirror,
        }
    }

    fn wanted() -> Vec<Vec<String>> {
        vec![
            vec!["a.gz".to_owned(), "a".to_owned()],
            vec!["b".to_owned()],
        ]
    }

    #[test]
    fn a_missing_set_names_directories_and_remedy() {
        let root = tempfile::tempdir().unwrap();
        let places = places(root.path(), None);
        let error = places
            .find("fashion_mnist", &wanted(), "https://example.org/")
            .unwrap_err()
            .to_string();
        for part in [
            "data/fashion_mnist",
            "system/fashion-mnist",
            "a.gz",
            "SWATH_DATA_MIRROR",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn an_incomplete_directory_does_not_count() {
        let root = tempfile::tempdir().unwrap();
        let places = places(root.path(), None);
        files::write_atomically(&root.path().join("data/set/b"), b"").unwrap();
        files::write_atomically(&root.path().join("system/set/a"), b"").unwrap();
        assert!(places.find("set", &wanted(), "").is_err());
        files::write_atomically(&root.path().join("system/set/b"), b"").unwrap();
        let found = places.find("set", &wanted(), "").unwrap();
        assert!(found[0].ends_with("system/set/a"));
    }

    #[test]
    fn a_mirror_directory_is_copied_with_its_sums() {
        let root = tempfile::tempdir().unwrap();
        let mirror = root.path().join("mirror");
        let sums = format!("{}  b\n", checksum::sha256(b"two"));
        for (name, bytes) in [("a", &b"one"[..]), ("b", b"two"), (SUMS, sums.as_bytes())] {
            files::write_atomically(&mirror.join("set").join(name), bytes).unwrap();
        }
        let places = places(root.path(), Some(format!("file://{}", mirror.display())));
        let found = places.find("set", &wanted(), "").unwrap();
        assert!(found[1].ends_with("data/set/b"));
        assert_eq!(files::read(&found[0]).unwrap(), b"one");
    }

    #[test]
    fn a_mirror_with_a_damaged_file_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let mirror = root.path().join("mirror");
        let sums = format!("{}  b\n", checksum::sha256(b"two"));
        for (name, bytes) in [("a", &b"one"[..]), ("b", b"tow"), (SUMS, sums.as_bytes())] {
            files::write_atomically(&mirror.join("set").join(name), bytes).unwrap();
        }
        let places = places(root.path(), Some(mirror.display().to_string()));
        let error = places.find("set", &wanted(), "").unwrap_err().to_string();
        assert!(error.contains(&checksum::sha256(b"tow")), "{error}");
        assert!(!root.path().join("data/set/b").exists());
    }

    #[test]
    fn a_mirror_that_falls_silent_is_given_up() {
        // Takes connections, as the system does for it, and never answers.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/set/a", silent.local_addr().unwrap());
        let error = download_by("curl", 1, &url).unwrap_err();
        assert!(
            error.starts_with(&url) && error.contains("too slow"),
            "{error}"
        );
    }

    #[test]
    fn a_missing_curl_is_named_with_the_remedy() {
        let error = download_by("no-such-curl", 1, "http://localhost/a").unwrap_err();
        for part in ["http://localhost/a", "no-such-curl", "install"] {
            assert!(error.contains(part), "{error}");
        }
    }
}
