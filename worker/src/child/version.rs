//! Which version of the code a program's directory has, as Git knows it.
//!
//! Git looks at every file that it knows to see what has changed, and nothing less would
//! be right. That takes 5 ms of a processor for a thousand files, and 30 ms for twenty
//! thousand, so attempts that begin together share a look.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::Pid;
use tokio::process::Command;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Pids;
use swath_agent::ChildId;

/// A directory with so many files that Git takes longer has no version.
const WAIT: Duration = Duration::from_secs(5);

/// How long is waited for other attempts that begin. A program that has just been started
/// has not read much more of its code meanwhile than when it is looked at once.
const GATHER: Duration = Duration::from_millis(100);

/// How many directories are remembered.
const DIRECTORIES_MAX: usize = 64;

/// What Git appends to the name of a commit if files differ from it.
const DIRTY: &str = "-dirty";

/// What was seen last.
#[derive(Clone, Debug)]
struct Look {
    began: Instant,
    version: Option<String>,
}

/// One directory. Who looks holds the lock, so the others wait for what it sees.
type Place = Arc<tokio::sync::Mutex<Option<Look>>>;

/// The directories of programs. Clones share what they know.
#[derive(Clone, Debug, Default)]
pub(super) struct Versions(Arc<Mutex<HashMap<String, Place>>>);

/// A look that was begun.
#[derive(Debug)]
pub(super) struct Looking {
    over: oneshot::Sender<()>,
    version: JoinHandle<Option<String>>,
}

impl Looking {
    /// What was seen; nobody else is waited for any more.
    pub(super) async fn end(self) -> Option<String> {
        drop(self.over);
        self.version.await.ok().flatten()
    }
}

impl Versions {
    fn place(&self, directory: &str) -> Place {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() >= DIRECTORIES_MAX {
            places.clear();
        }
        Arc::clone(places.entry(directory.to_owned()).or_default())
    }

    /// Begins to look, beside the program that has just been started there; none
    /// where no Git repository is. `id` is free for the process.
    ///
    /// To be called on the main thread, as for all children.
    pub(super) fn look(&self, directory: &str, id: ChildId, pids: &Pids) -> Option<Looking> {
        let within = Path::new(directory).ancestors();
        within.map(|it| it.join(".git")).find(|it| it.exists())?;
        let (over, is_over) = oneshot::channel();
        let (place, pids) = (self.place(directory), pids.clone());
        let (directory, started) = (directory.to_owned(), Instant::now());
        let version = tokio::spawn(async move {
            // It is over when the sender is gone.
            let _over = tokio::time::timeout(GATHER, is_over).await;
            let mut last = place.lock().await;
            let since = last.as_ref().filter(|look| look.began >= started);
            if let Some(look) = since {
                return look.version.clone();
            }
            let began = Instant::now();
            let version = describe(&directory, id, &pids).await;
            let look = last.insert(Look { began, version });
            look.version.clone()
        });
        Some(Looking { over, version })
    }
}

/// Asks Git.
async fn describe(directory: &str, id: ChildId, pids: &Pids) -> Option<String> {
    let mut command = Command::new("git");
    command
        // The first commit's name is enough; tags may change.
        .args(["describe", "--always", "--exclude=*", "--abbrev=12"])
        .arg(format!("--dirty={DIRTY}"))
        .current_dir(directory)
        // It must neither wait for others nor keep them waiting.
        .env("GIT_OPTIONAL_LOCKS", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let child = {
        let mut pids = pids.lock();
        let child = command.spawn().ok()?;
        if let Some(pid) = child.id().and_then(|id| Pid::from_raw(id as i32)) {
            pids.started(id, pid);
        }
        child
    };
    let output = tokio::time::timeout(WAIT, child.wait_with_output()).await;
    pids.lock().ended(id);
    let output = output.ok()?.ok().filter(|it| it.status.success())?;
    told(&String::from_utf8_lossy(&output.stdout))
}

/// The version, for people: `git 1a2b3c4d5e6f`, or `git 1a2b3c4d5e6f with changes`.
fn told(described: &str) -> Option<String> {
    let described = described.trim();
    let (commit, changes) = match described.strip_suffix(DIRTY) {
        Some(commit) => (commit, " with changes"),
        None => (described, ""),
    };
    let is_name = !commit.is_empty() && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_name.then(|| format!("git {commit}{changes}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(directory: &Path, words: &[&str]) {
        let mut command = std::process::Command::new("git");
        let command = command.current_dir(directory).args(words);
        let command = command.envs([
            ("GIT_AUTHOR_NAME", "a"),
            ("GIT_AUTHOR_EMAIL", "a@b"),
            ("GIT_COMMITTER_NAME", "a"),
            ("GIT_COMMITTER_EMAIL", "a@b"),
        ]);
        let output = command.output().expect("git");
        assert!(output.status.success(), "{words:?}: {output:?}");
    }

    async fn version(directory: &Path) -> Option<String> {
        let pids = Pids::default();
        let looking = Versions::default().look(&directory.to_string_lossy(), ChildId(7), &pids)?;
        let version = looking.end().await;
        assert!(pids.lock().children.is_empty());
        version
    }

    #[tokio::test]
    async fn attempts_share_a_look_that_was_begun_after_they_were() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::write(root.join("t.py"), "1").unwrap();
        for words in [
            &["init", "--quiet"][..],
            &["add", "."],
            &["commit", "--quiet", "-m", "1"],
        ] {
            git(root, words);
        }
        let (versions, pids) = (Versions::default(), Pids::default());
        let path = root.to_string_lossy().into_owned();
        let look = |id| versions.look(&path, ChildId(id), &pids).unwrap();
        let seen = || async { versions.place(&path).lock().await.clone().unwrap().began };
        let (first, second) = (look(1), look(2));
        let version = first.end().await;
        let began = seen().await;
        assert_eq!(second.end().await, version);
        assert_eq!(seen().await, began);
        // What is begun after an edit is never told of what was before.
        std::fs::write(root.join("t.py"), "2").unwrap();
        let changed = look(3).end().await;
        assert_eq!(
            changed.unwrap(),
            format!("{} with changes", version.unwrap())
        );
        assert!(seen().await > began);
    }

    #[tokio::test]
    async fn a_commit_and_whether_files_differ_from_it_are_told() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let below = root.join("code");
        std::fs::create_dir(&below).unwrap();
        std::fs::write(below.join("t.py"), "1").unwrap();
        assert_eq!(version(&below).await, None);
        git(root, &["init", "--quiet"]);
        // There is no commit yet.
        assert_eq!(version(&below).await, None);
        git(root, &["add", "."]);
        git(root, &["commit", "--quiet", "-m", "first"]);
        git(root, &["tag", "-a", "v1", "-m", "a tag is no part of it"]);
        let first = version(&below).await.unwrap();
        assert_eq!(first.len(), "git 1a2b3c4d5e6f".len(), "{first}");
        std::fs::write(below.join("t.py"), "2").unwrap();
        let changed = version(&below).await.unwrap();
        assert_eq!(changed, format!("{first} with changes"));
    }

    #[test]
    fn other_words_are_no_version() {
        assert_eq!(told("abc123\n").as_deref(), Some("git abc123"));
        for text in ["", "-dirty", "fatal: no", "v1-2-gabc"] {
            assert_eq!(told(text), None, "{text}");
        }
    }
}
