//! Files that travel with sweeps: they are fetched once and kept, and each attempt
//! gets a copy of its own.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::User;
use crate::out::remove_tree;
use swath_agent::{CommandLine, End};
use swath_model::id::InputDigest;
use swath_model::needs::Lack;
use swath_model::program::{Shipped, input_digest, is_below};
use tokio::sync::Mutex;

use crate::client::Client;

/// How much is kept of files that were fetched; beyond that, those go first that
/// were not used for the longest time.
const KEPT_BYTES: u64 = 1 << 30;

/// How long an attempt may wait for its files.
const WAIT: Duration = Duration::from_mins(5);

/// How often a copy is begun anew, because a file went while others came.
const ROUNDS: u32 = 3;

/// The files that were fetched, and the copies. Clones share both.
#[derive(Clone, Debug)]
pub struct Shelf {
    files: PathBuf,
    copies: PathBuf,
    client: Client,
    /// Whoever fetches: one file at a time, so that no more than one is in memory.
    turn: Arc<Mutex<()>>,
}

/// The copy of an attempt, which goes with it.
#[derive(Debug)]
pub(super) struct OwnCopy {
    root: PathBuf,
}

impl OwnCopy {
    /// Gives it to the user as whom the program runs.
    ///
    /// # Errors
    ///
    /// The system's.
    pub(super) fn give(&self, user: &User) -> io::Result<()> {
        if let Some(copies) = self.root.parent() {
            fs::set_permissions(copies, fs::Permissions::from_mode(0o711))?;
        }
        user.give_all(&self.root)
    }
}

impl Drop for OwnCopy {
    fn drop(&mut self) {
        if let Err(error) = remove_tree(&self.root) {
            tracing::warn!(%error, path = %self.root.display(), "the copy of an attempt stays");
        }
    }
}

/// A file of a copy.
#[derive(Clone, Debug)]
struct Place {
    /// How the sweep names it.
    name: String,
    digest: InputDigest,
    to: PathBuf,
    mode: u32,
}

/// Why there is no copy.
#[derive(Debug, PartialEq, Eq)]
struct Trouble {
    name: String,
    why: String,
}

impl Shelf {
    /// The files below this state directory. Copies that another worker left are
    /// removed.
    pub fn new(state: &Path, client: Client) -> Self {
        let copies = state.join("copies");
        // There may be none.
        let _none = remove_tree(&copies);
        Self {
            files: state.join("inputs"),
            copies,
            client,
            turn: Arc::default(),
        }
    }

    /// Makes the copy of an attempt, and returns it with the directory in it in
    /// which the program is started.
    pub(super) async fn copy(
        &self,
        name: &str,
        line: &CommandLine,
        shipped: &Shipped,
    ) -> Result<(OwnCopy, String), End> {
        let root = self.copies.join(name);
        let directory = root.join(&shipped.directory);
        let places = places(&directory, line, shipped).map_err(End::NotStarted)?;
        let filled = tokio::time::timeout(WAIT, self.fill(&root, &directory, places)).await;
        let filled = filled.unwrap_or_else(|_| {
            Err(Trouble {
                name: line.inputs.keys().next().cloned().unwrap_or_default(),
                why: format!("not all files came within {} s", WAIT.as_secs()),
            })
        });
        match filled {
            Ok(copy) => Ok((copy, directory.to_string_lossy().into_owned())),
            Err(Trouble { name: path, why }) => {
                tracing::warn!(path, why, "a file that travels with its sweep is missing");
                Err(End::Lacks(Lack::Shipment { path, why }))
            }
        }
    }

    async fn fill(
        &self,
        root: &Path,
        directory: &Path,
        mut places: Vec<Place>,
    ) -> Result<OwnCopy, Trouble> {
        let mut copy = begin(root.to_owned(), directory.to_owned()).await?;
        for _ in 0..ROUNDS {
            let files = self.files.clone();
            // Whoever gives up does not wait for it; then the copy goes at its end.
            let placing = tokio::task::spawn_blocking(move || {
                let missing = place_all(&files, places);
                (copy, missing)
            });
            let missing;
            (copy, missing) = placing.await.map_err(|error| Trouble {
                name: String::new(),
                why: error.to_string(),
            })?;
            places = missing?;
            if places.is_empty() {
                return Ok(copy);
            }
            for place in &places {
                self.fetch(place).await?;
            }
        }
        let name = places
            .first()
            .map_or_else(String::new, |it| it.name.clone());
        let why = "there is no room to keep it".to_owned();
        Err(Trouble { name, why })
    }

    /// Fetches a file, unless another attempt has done so meanwhile.
    async fn fetch(&self, place: &Place) -> Result<(), Trouble> {
        let _turn = self.turn.lock().await;
        let path = kept_at(&self.files, place.digest);
        if path.is_file() {
            return Ok(());
        }
        let trouble = |why: String| Trouble {
            name: place.name.clone(),
            why,
        };
        let content = self.client.fetch(place.digest).await.map_err(trouble)?;
        let files = self.files.clone();
        let keeping = tokio::task::spawn_blocking(move || {
            keep(&path, &content)?;
            make_room(&files, KEPT_BYTES, &path)
        });
        let kept = keeping.await.map_err(|error| trouble(error.to_string()))?;
        kept.map_err(|error| trouble(format!("it cannot be kept: {error}")))
    }
}

/// The files of a copy, none of which may lie outside of it.
fn places(directory: &Path, line: &CommandLine, shipped: &Shipped) -> Result<Vec<Place>, String> {
    let outside = |path: &&String| !is_below(path);
    let own = Some(&shipped.directory).filter(|it| !it.is_empty());
    if let Some(path) = line.inputs.keys().chain(own).find(outside) {
        return Err(format!("`{path}` would be outside of its copy"));
    }
    let inputs = line.inputs.iter().map(|(name, digest)| Place {
        name: name.clone(),
        digest: *digest,
        to: directory.join(name),
        mode: if shipped.is_executable(name) {
            0o777
        } else {
            0o666
        },
    });
    Ok(inputs.collect())
}

async fn begin(root: PathBuf, directory: PathBuf) -> Result<OwnCopy, Trouble> {
    let begun = tokio::task::spawn_blocking(move || {
        fs::create_dir_all(&directory)?;
        Ok::<_, io::Error>(OwnCopy { root })
    });
    let begun = begun
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)));
    begun.map_err(|error| Trouble {
        name: ".".to_owned(),
        why: format!("its copy cannot be made: {error}"),
    })
}

/// Writes those files that are kept to their places; returns the others.
fn place_all(files: &Path, places: Vec<Place>) -> Result<Vec<Place>, Trouble> {
    let mut missing = Vec::new();
    for place in places {
        match read(files, place.digest) {
            None => missing.push(place),
            Some(content) => put(&place, &content).map_err(|error| Trouble {
                name: place.name.clone(),
                why: format!("its copy cannot be written: {error}"),
            })?,
        }
    }
    Ok(missing)
}

fn put(place: &Place, content: &[u8]) -> io::Result<()> {
    if let Some(parent) = place.to.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut options = OpenOptions::new();
    let options = options.write(true).create_new(true).mode(place.mode);
    options.open(&place.to)?.write_all(content)
}

fn kept_at(files: &Path, digest: InputDigest) -> PathBuf {
    files.join(digest.to_string())
}

/// A file that is kept. One that is not what it should be goes.
fn read(files: &Path, digest: InputDigest) -> Option<Vec<u8>> {
    let path = kept_at(files, digest);
    let content = fs::read(&path).ok()?;
    if input_digest(&content) != digest {
        tracing::warn!(path = %path.display(), "a kept file is damaged; it is fetched again");
        // If it cannot be removed, its copy will say so.
        let _gone = fs::remove_file(&path);
        return None;
    }
    // By this the files are known that were not used for long.
    let _touched = File::open(&path).and_then(|it| it.set_modified(SystemTime::now()));
    Some(content)
}

/// Keeps a file, whole or not at all.
fn keep(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let unfinished = path.with_extension("part");
    fs::write(&unfinished, content)?;
    fs::rename(&unfinished, path)
}

/// Removes the files that were not used for the longest time, until no more than
/// so many bytes are kept; `but` stays.
fn make_room(files: &Path, bytes: u64, but: &Path) -> io::Result<()> {
    let mut kept = BTreeMap::new();
    let mut sum = 0;
    for entry in fs::read_dir(files)? {
        let entry = entry?;
        let about = entry.metadata()?;
        sum += about.len();
        kept.insert((about.modified()?, entry.path()), about.len());
    }
    for ((_, path), length) in kept {
        if sum <= bytes {
            break;
        }
        if path != but {
            fs::remove_file(&path)?;
            sum -= length;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use swath_proto::secure::Caller;

    use crate::leases::Leases;

    use super::*;

    fn nobody(state: &Path) -> Shelf {
        Shelf::new(
            state,
            Client::new(
                &["http://127.0.0.1:9".to_owned()],
                Caller::default(),
                Leases::default(),
            )
            .unwrap(),
        )
    }

    fn line(files: &[(&str, &[u8])]) -> CommandLine {
        let inputs = files.iter();
        CommandLine {
            inputs: inputs
                .map(|(name, content)| ((*name).to_owned(), input_digest(content)))
                .collect(),
            ..CommandLine::default()
        }
    }

    fn keep_all(shelf: &Shelf, files: &[(&str, &[u8])]) {
        for (_, content) in files {
            keep(&kept_at(&shelf.files, input_digest(content)), content).unwrap();
        }
    }

    #[tokio::test]
    async fn each_attempt_has_a_copy_that_goes_with_it() {
        let state = tempfile::tempdir().unwrap();
        let shelf = nobody(state.path());
        let files: [(&str, &[u8]); 3] = [
            ("train.py", b"1"),
            ("lib/run.sh", b"#!/bin/sh"),
            ("lib/empty", b""),
        ];
        keep_all(&shelf, &files);
        let shipped = Shipped {
            directory: "a/b".to_owned(),
            executable: ["lib/run.sh".to_owned()].into(),
            ..Shipped::default()
        };
        let copy = shelf.copy("7", &line(&files), &shipped).await;
        let (copy, directory) = copy.unwrap();
        let directory = Path::new(&directory);
        assert!(directory.ends_with("copies/7/a/b"), "{directory:?}");
        for (name, content) in files {
            use std::os::unix::fs::PermissionsExt as _;
            let path = directory.join(name);
            assert_eq!(fs::read(&path).unwrap(), content);
            let mode = path.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o100 != 0, name == "lib/run.sh", "{name}");
        }
        // What is written there changes nothing of what is kept.
        fs::write(directory.join("train.py"), "2").unwrap();
        let other = shelf.copy("8", &line(&files), &shipped).await.unwrap();
        let content = fs::read(Path::new(&other.1).join("train.py")).unwrap();
        assert_eq!(content, b"1");
        drop((copy, other));
        assert_eq!(fs::read_dir(&shelf.copies).unwrap().count(), 0);
        // A worker that was killed leaves copies, which the next one removes.
        fs::create_dir_all(shelf.copies.join("9")).unwrap();
        assert!(!nobody(state.path()).copies.exists());
    }

    #[tokio::test]
    async fn what_cannot_be_had_is_lacking() {
        let state = tempfile::tempdir().unwrap();
        let shelf = nobody(state.path());
        let files: [(&str, &[u8]); 2] = [("a.py", b"1"), ("b.py", b"2")];
        keep_all(&shelf, &files[..1]);
        let copy = shelf.copy("1", &line(&files), &Shipped::default()).await;
        let Err(End::Lacks(Lack::Shipment { path, .. })) = copy else {
            panic!("{copy:?}");
        };
        assert_eq!(path, "b.py");
        // What is damaged counts as missing.
        let damaged = kept_at(&shelf.files, input_digest(b"1"));
        fs::write(&damaged, "x").unwrap();
        let copy = shelf
            .copy("2", &line(&files[..1]), &Shipped::default())
            .await;
        assert!(matches!(copy, Err(End::Lacks(_))));
        assert!(!damaged.exists());
        assert_eq!(fs::read_dir(&shelf.copies).unwrap().count(), 0);
        for outside in ["../x", "/x", "a/../../x", ""] {
            let line = line(&[(outside, b"1")]);
            let copy = shelf.copy("3", &line, &Shipped::default()).await;
            assert!(matches!(copy, Err(End::NotStarted(_))), "{outside}");
        }
    }

    #[test]
    fn files_that_were_not_used_for_long_go_first() {
        let state = tempfile::tempdir().unwrap();
        let path = |name: &str| state.path().join(name);
        for (name, age) in [("old", 9), ("older", 10), ("new", 1)] {
            fs::write(path(name), "1234").unwrap();
            let at = SystemTime::now() - Duration::from_secs(age);
            File::open(path(name)).unwrap().set_modified(at).unwrap();
        }
        make_room(state.path(), 12, &path("new")).unwrap();
        assert!(path("older").exists());
        make_room(state.path(), 8, &path("new")).unwrap();
        assert!(!path("older").exists() && path("old").exists());
        make_room(state.path(), 0, &path("new")).unwrap();
        assert!(!path("old").exists() && path("new").exists());
    }
}
