//! Which version of the code a program's directory has, as Git knows it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::task::JoinHandle;

use super::{Pids, pid_of};
use swath_agent::ChildId;

/// A directory with so many files that Git takes longer has no version.
const WAIT: Duration = Duration::from_secs(5);

/// What Git appends to the name of a commit if files differ from it.
const DIRTY: &str = "-dirty";

/// Begins to look, beside the program that has just been started there; none
/// where no Git repository is. `id` is free for the process.
///
/// To be called on the main thread, as for all children.
pub(super) fn look(
    directory: &str,
    id: ChildId,
    pids: &Pids,
) -> Option<JoinHandle<Option<String>>> {
    let within = Path::new(directory).ancestors();
    within.map(|it| it.join(".git")).find(|it| it.exists())?;
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
    let child = command.spawn().ok()?;
    if let Some(pid) = pid_of(&child) {
        pids.lock().insert(id, pid);
    }
    let pids = pids.clone();
    Some(tokio::spawn(async move {
        let output = tokio::time::timeout(WAIT, child.wait_with_output()).await;
        pids.lock().remove(&id);
        let output = output.ok()?.ok().filter(|it| it.status.success())?;
        told(&String::from_utf8_lossy(&output.stdout))
    }))
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
        let looking = look(&directory.to_string_lossy(), ChildId(7), &pids)?;
        let version = looking.await.unwrap();
        assert!(pids.lock().is_empty());
        version
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
