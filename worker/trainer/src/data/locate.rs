//! Where data sets are, and how they are fetched.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use swath_files::Named;

use super::checksum::{self, SUMS};
use super::download::{self, Client, Patience, Trouble};
use super::lock::Lock;
use super::reach::Reach;
use crate::failure::Failure;
use crate::files;
use crate::output;

/// The directories and the mirror from which data sets come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    /// Has a directory per data set; fetched files are put here.
    pub(crate) data: PathBuf,
    /// Data sets of the operating system; never written.
    pub(crate) system: PathBuf,
    /// A directory or a `file://` or `http(s)://` URL with the same
    /// directories; [`PUBLIC`] for the publishers; none: nothing is fetched.
    pub(crate) mirror: Option<String>,
    /// What specs may name beside these data sets.
    pub(crate) reach: Reach,
}

/// The mirror if none is set: each data set comes from its publisher.
const PUBLIC: &str = "public";

/// Where a data set is published.
#[derive(Clone, Copy, Debug)]
pub(super) struct Public {
    /// The URL below which its files are.
    pub(super) base: &'static str,
    /// A page about it, for people.
    pub(super) page: &'static str,
}

/// Files of a data set that are needed, each under one of several names.
pub(super) type Wanted<'a> = &'a [Vec<String>];

impl Places {
    /// The places named by the environment: `SWATH_DATA_DIR` (default
    /// `~/.cache/swath/data`), Debian's `/usr/share/datasets`,
    /// `SWATH_DATA_MIRROR` (default [`PUBLIC`]; `none`: nothing is fetched), and
    /// those of [`Reach`].
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
        let data =
            named("SWATH_DATA_DIR").map_or_else(|| cache().join("swath/data"), PathBuf::from);
        let system = PathBuf::from("/usr/share/datasets");
        Self {
            reach: Reach::from_environment(&[&data, &system]),
            data,
            system,
            mirror: match named("SWATH_DATA_MIRROR") {
                None => Some(PUBLIC.to_owned()),
                Some(value) if value == "none" => None,
                Some(value) => Some(value.to_string_lossy().trim_end_matches('/').to_owned()),
            },
        }
    }

    /// The files of `dataset`, one per entry of `wanted`, all from one
    /// directory. If they are nowhere, they are fetched from the mirror, by one
    /// process at a time.
    ///
    /// # Errors
    ///
    /// [`Failure::Lacks`] with the directories that were searched and the
    /// remedy.
    pub(super) fn find(
        &self,
        dataset: &str,
        wanted: Wanted<'_>,
        public: Public,
    ) -> Result<Vec<PathBuf>, Failure> {
        let own = self.data.join(dataset);
        let system = self.system.join(dataset.replace('_', "-"));
        for directory in [&own, &system] {
            if let Some(files) = all_in(directory, wanted) {
                return Ok(files);
            }
        }
        let base = match self.mirror.as_deref() {
            None => return Err(self.absent(dataset, wanted, public, "")),
            Some(PUBLIC) => public.base.to_owned(),
            Some(mirror) => format!("{mirror}/{dataset}"),
        };
        let waiting = format!("another trainer fetches `{dataset}`; waiting for it");
        let _lock = Lock::take(&own.join(".lock"), &waiting, Duration::MAX)?;
        if let Some(files) = all_in(&own, wanted) {
            return Ok(files);
        }
        let client = Client::new(Patience::USUAL);
        fetch(&client, &base, dataset, &own, wanted).map_err(|error| match error {
            Failure::Lacks(what) => {
                let what = format!("; fetching it from {base} failed: {what}");
                self.absent(dataset, wanted, public, &what)
            }
            other => other,
        })
    }

    fn absent(&self, dataset: &str, wanted: Wanted<'_>, public: Public, tried: &str) -> Failure {
        let names: Vec<&str> = wanted.iter().map(|names| names[0].as_str()).collect();
        Failure::Lacks(format!(
            "the data set `{dataset}` is not on this machine: neither {} nor {} holds {}{tried}; \
             put the files there, or set SWATH_DATA_MIRROR to a directory or URL with a directory \
             {dataset} of them (they are published at {})",
            self.data.join(dataset).display(),
            self.system.join(dataset.replace('_', "-")).display(),
            names.join(", "),
            public.page,
        ))
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

/// Copies the wanted files from `base`, a directory or a URL, to `own`.
fn fetch(
    client: &Client,
    base: &str,
    dataset: &str,
    own: &Path,
    wanted: Wanted<'_>,
) -> Result<Vec<PathBuf>, Failure> {
    std::fs::create_dir_all(own).map_err(|error| {
        Failure::Lacks(format!(
            "cannot make the directory {}: {error}",
            own.display()
        ))
    })?;
    // The mirror's own sums come first, because its files are checked against
    // them.
    match get(client, base, SUMS, own) {
        Ok(part) => {
            files::rename(&part, &own.join(SUMS))?;
            download::forget(&part);
        }
        Err(Trouble::Absent(_)) => {}
        Err(trouble) => return Err(of(trouble)),
    }
    let mut found = Vec::new();
    for names in wanted {
        let mut absent = Vec::new();
        let path = names.iter().find_map(|name| {
            match checked_file(client, base, dataset, &own.join(name)) {
                Ok(path) => Some(Ok(path)),
                Err(Either::Trouble(Trouble::Absent(what))) => {
                    absent.push(what);
                    None
                }
                Err(Either::Trouble(trouble)) => Some(Err(of(trouble))),
                Err(Either::Failure(failure)) => Some(Err(failure)),
            }
        });
        match path {
            Some(path) => found.push(path?),
            None => return Err(Failure::Lacks(absent.join("; "))),
        }
    }
    Ok(found)
}

enum Either {
    Trouble(Trouble),
    Failure(Failure),
}

/// Fetches one file; it gets its name only if its sum is right.
fn checked_file(
    client: &Client,
    base: &str,
    dataset: &str,
    path: &Path,
) -> Result<PathBuf, Either> {
    let own = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let resumed = part_of(own, &name).exists();
    let mut tries = 1 + u32::from(resumed);
    loop {
        let part = get(client, base, &name, own).map_err(Either::Trouble)?;
        let bytes = files::read(&part, client.bytes_max()).map_err(Either::Failure)?;
        match checksum::check_file(dataset, path, &bytes) {
            Ok(_) => {
                files::rename(&part, path).map_err(Either::Failure)?;
                download::forget(&part);
                output::message(&format!("fetched {} from {base}", path.display()));
                return Ok(path.to_owned());
            }
            Err(failure) => {
                download::forget(&part);
                tries -= 1;
                if tries == 0 {
                    return Err(Either::Failure(failure));
                }
                output::message(&format!("{failure}; fetching it again"));
            }
        }
    }
}

/// Copies `base/name` to a temporary file and returns that.
fn get(client: &Client, base: &str, name: &str, own: &Path) -> Result<PathBuf, Trouble> {
    let part = part_of(own, name);
    if base.starts_with("http://") || base.starts_with("https://") {
        client.fetch(&format!("{base}/{name}"), &part)?;
        return Ok(part);
    }
    let path = Path::new(base.strip_prefix("file://").unwrap_or(base)).join(name);
    let copied = Named::open_within(&path, client.bytes_max()).and_then(|named| {
        let mut to = File::create(&part)?;
        Ok(io::copy(&mut named.file.take(named.length), &mut to)?)
    });
    match copied {
        Ok(_) => Ok(part),
        Err(why) if why.is_absent() => Err(Trouble::Absent(format!("{}: {why}", path.display()))),
        Err(why) => Err(Trouble::Failed(format!("{}: {why}", path.display()))),
    }
}

fn part_of(own: &Path, name: &str) -> PathBuf {
    own.join(format!("{name}.part"))
}

fn of(trouble: Trouble) -> Failure {
    match trouble {
        Trouble::Absent(what) | Trouble::Failed(what) => Failure::Lacks(what),
        Trouble::Stopped => Failure::Stopped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOWHERE: Public = Public {
        base: "http://localhost:1",
        page: "https://example.org/",
    };

    fn places(root: &Path, mirror: Option<String>) -> Places {
        Places {
            data: root.join("data"),
            system: root.join("system"),
            mirror,
            reach: Reach::default(),
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
            .find("fashion_mnist", &wanted(), NOWHERE)
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
        assert!(places.find("set", &wanted(), NOWHERE).is_err());
        files::write_atomically(&root.path().join("system/set/b"), b"").unwrap();
        let found = places.find("set", &wanted(), NOWHERE).unwrap();
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
        let found = places.find("set", &wanted(), NOWHERE).unwrap();
        assert!(found[1].ends_with("data/set/b"));
        assert_eq!(files::read(&found[0], 100).unwrap(), b"one");
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
        let error = places
            .find("set", &wanted(), NOWHERE)
            .unwrap_err()
            .to_string();
        assert!(error.contains(&checksum::sha256(b"tow")), "{error}");
        assert!(!root.path().join("data/set/b").exists());
    }

    #[test]
    fn a_file_from_a_server_is_checked_before_it_gets_its_name() {
        let root = tempfile::tempdir().unwrap();
        let own = root.path().join("set");
        let sums = format!("{}  a.gz\n", checksum::sha256(b"right"));
        let wanted = [vec!["a.gz".to_owned()]];
        let fetch_from = |bodies: Vec<Option<&'static str>>| {
            let (base, _) = download::tests::files_server(bodies);
            let client = Client::new(Patience::USUAL);
            fetch(&client, &base, "set", &own, &wanted)
        };
        let sums: &'static str = sums.leak();
        let error = fetch_from(vec![Some(sums), Some("wrong")]).unwrap_err();
        assert!(
            error.to_string().contains(&checksum::sha256(b"wrong")),
            "{error}"
        );
        assert!(!own.join("a.gz").exists() && !own.join("a.gz.part").exists());
        // Sums that are no longer on the server stay valid.
        std::fs::write(own.join("a.gz.part"), "left by a killed trainer").unwrap();
        let found = fetch_from(vec![None, Some("wrong"), Some("right")]).unwrap();
        assert_eq!(files::read(&found[0], 100).unwrap(), b"right");
        let left: Vec<_> = std::fs::read_dir(&own).unwrap().flatten().collect();
        assert_eq!(left.len(), 2, "{left:?}");
    }

    #[test]
    fn a_server_that_denies_what_it_has_not_may_have_the_rest() {
        for refusal in ["401 Unauthorized", "403 Forbidden", "404 Not Found"] {
            let root = tempfile::tempdir().unwrap();
            let own = root.path().join("set");
            let client = Client::new(Patience::USUAL);
            // No sums, no `a.gz`, but `a` and `b`.
            let bodies = vec![None, None, Some("one"), Some("two")];
            let (base, heads) = download::tests::refusing_server(refusal, bodies);
            let found = fetch(&client, &base, "set", &own, &wanted()).unwrap();
            assert!(heads.recv().unwrap().contains("sha256sums"));
            assert!(found[0].ends_with("a"), "{refusal}: {found:?}");
            assert_eq!(files::read(&found[1], 100).unwrap(), b"two");
            // The error for a missing file includes the server's reason.
            let (base, _) = download::tests::refusing_server(refusal, vec![None; 3]);
            let error = fetch(&client, &base, "set", &own, &wanted()).unwrap_err();
            assert!(error.to_string().contains(refusal), "{error}");
        }
    }

    #[test]
    fn the_one_who_waited_finds_what_the_other_fetched() {
        let root = tempfile::tempdir().unwrap();
        let mirror = root.path().join("mirror");
        for name in ["a", "b"] {
            files::write_atomically(&mirror.join("set").join(name), b"x").unwrap();
        }
        let places = places(root.path(), Some(mirror.display().to_string()));
        let find = || places.find("set", &wanted(), NOWHERE).unwrap();
        std::thread::scope(|scope| {
            let others: Vec<_> = (0..4).map(|_| scope.spawn(find)).collect();
            for other in others {
                assert!(other.join().unwrap()[1].ends_with("data/set/b"));
            }
        });
    }
}
