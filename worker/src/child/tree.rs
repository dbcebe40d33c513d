//! Processes below others, as the kernel lists them.

use std::collections::HashSet;
use std::fs;

use rustix::process::{Pid, Signal};

/// The children of a process, in all of its threads. One that has ended counts until it is
/// reaped.
pub(super) fn children_of(parent: Pid) -> Vec<Pid> {
    let threads = fs::read_dir(format!("/proc/{parent}/task"));
    let mut children = Vec::new();
    for thread in threads.into_iter().flatten().flatten() {
        match fs::read_to_string(thread.path().join("children")) {
            Ok(list) => children.extend(pids(&list)),
            // A kernel need not have such lists. Or the thread has just ended.
            Err(_) if !has_lists() => return children_of_all(parent),
            Err(_) => {}
        }
    }
    children
}

/// The children of this process's main thread: those that it started, and all adopted ones.
pub(super) fn children_of_main() -> Vec<Pid> {
    let itself = rustix::process::getpid();
    match fs::read_to_string(format!("/proc/self/task/{itself}/children")) {
        Ok(list) => pids(&list).collect(),
        Err(_) => children_of_all(itself),
    }
}

fn pids(list: &str) -> impl Iterator<Item = Pid> {
    let pids = list.split_whitespace().filter_map(|pid| pid.parse().ok());
    pids.filter_map(Pid::from_raw)
}

fn has_lists() -> bool {
    fs::exists("/proc/thread-self/children").unwrap_or(false)
}

/// The children of a process, found among all processes of the host.
fn children_of_all(parent: Pid) -> Vec<Pid> {
    let its = |pid: &Pid| Some(parent) == stat(*pid).and_then(|stat| stat.parent);
    all().filter(its).collect()
}

/// All processes of the host.
pub(super) fn all() -> impl Iterator<Item = Pid> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    numbers.filter_map(Pid::from_raw)
}

/// The running processes below these, but not these.
pub(super) fn below(roots: &[Pid]) -> Vec<Pid> {
    let mut seen: HashSet<Pid> = roots.iter().copied().collect();
    let mut found = Vec::new();
    let mut open = roots.to_vec();
    while let Some(parent) = open.pop() {
        for child in children_of(parent) {
            if seen.insert(child) && !is_dead(child) {
                found.push(child);
                open.push(child);
            }
        }
    }
    found
}

/// What the kernel says of a process in one line.
struct Stat {
    state: u8,
    parent: Option<Pid>,
}

fn stat(pid: Pid) -> Option<Stat> {
    let line = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name before may have spaces and parentheses.
    let name_ends = line.iter().rposition(|byte| *byte == b')')?;
    let rest = String::from_utf8_lossy(&line[name_ends + 1..]).into_owned();
    let mut words = rest.split_whitespace();
    let state = *words.next()?.as_bytes().first()?;
    let parent = words.next()?.parse().ok().and_then(Pid::from_raw);
    Some(Stat { state, parent })
}

/// Whether a process has ended, though it may wait to be reaped.
pub(super) fn is_dead(pid: Pid) -> bool {
    stat(pid).is_none_or(|stat| matches!(stat.state, b'Z' | b'X'))
}

/// The name of a process's program, for people.
pub(super) fn name_of(pid: Pid) -> String {
    let name = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    String::from_utf8_lossy(&name).trim_end().to_owned()
}

/// Kills these processes, and those in their process groups. A group is killed at once: none of
/// it can fork in time. `spared` are leaders of groups that are let alone.
pub(super) fn kill(found: &[Pid], spared: &[Pid]) {
    let own = rustix::process::getpgid(None).ok();
    let groups = found
        .iter()
        .filter_map(|pid| rustix::process::getpgid(Some(*pid)).ok());
    let groups: HashSet<Pid> = groups
        .filter(|group| Some(*group) != own && !spared.contains(group))
        .collect();
    for group in groups {
        // It may have ended meanwhile.
        let _sent = rustix::process::kill_process_group(group, Signal::KILL);
    }
    for pid in found {
        // It may have ended meanwhile.
        let _sent = rustix::process::kill_process(*pid, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn all_below_are_found_and_killed_with_their_groups() {
        let script = "setsid sh -c 'sleep 1000 & echo $!; exec sleep 1000' & read none";
        let mut command = Command::new("sh");
        command
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut root = command.spawn().unwrap();
        let mut line = String::new();
        let mut lines = BufReader::new(root.stdout.take().unwrap());
        lines.read_line(&mut line).unwrap();
        let deepest = Pid::from_raw(line.trim().parse().unwrap()).unwrap();
        let pid = Pid::from_raw(root.id() as i32).unwrap();
        let found = below(&[pid]);
        assert!(found.len() >= 2 && found.contains(&deepest), "{found:?}");
        assert_eq!(children_of(pid), children_of_all(pid));
        assert!(children_of(rustix::process::getpid()).contains(&pid));
        assert_eq!(name_of(pid), "sh");
        kill(&found, &[]);
        drop(root.stdin.take());
        root.wait().unwrap();
        // The pipe ends with the last of them.
        line.clear();
        while lines.read_line(&mut line).unwrap() > 0 {}
        assert!(is_dead(pid));
        assert_eq!(below(&[pid]), []);
    }
}
