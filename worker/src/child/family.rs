//! Processes that children started and left behind.
//!
//! A process can leave its group, but not the environment that it was started
//! with: every child gets a tag there, and whatever still carries the tag after
//! the child has ended is killed.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, getppid, set_parent_process_death_signal};

/// How long to go on killing processes that keep forking.
const LIMIT: Duration = Duration::from_secs(2);

/// Makes this process adopt the orphans of its children, so that it can reap
/// them. Only for a process that is nothing but a worker.
///
/// # Errors
///
/// When the kernel refuses.
pub fn adopt_orphans() -> std::io::Result<()> {
    let itself = Pid::from_raw(std::process::id() as i32);
    rustix::process::set_child_subreaper(itself)?;
    Ok(())
}

/// Makes the kernel kill this process when the thread of `parent` that started
/// it ends, for whatever reason.
///
/// # Errors
///
/// When `parent` is gone already, or did not start this process.
pub fn die_with(parent: Pid) -> std::io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // The parent may have died before that took effect.
    if getppid() != Some(parent) {
        return Err(Errno::SRCH.into());
    }
    Ok(())
}

/// Kills all children of a worker and what they started, for its end.
pub(super) fn kill_all(family: &str) {
    kill(&format!("{family}."));
}

/// Kills what an earlier worker with the same tag left behind because it was
/// killed itself.
pub fn kill_leftovers(family: &str) {
    let killed = kill(&format!("{family}."));
    if killed > 0 {
        tracing::warn!(
            processes = killed,
            "killed what an earlier process of this worker had left running"
        );
    }
}

/// Whether a child may have left something behind. `is_own` says which
/// processes are children that somebody waits for.
///
/// To look for a tag takes a look at every process of the host, which costs
/// more than to run a short program. Mostly nothing is left: whatever a child
/// has started is by now an adopted child of this process, or below one.
pub(super) fn may_have_left(is_own: impl Fn(Pid) -> bool) -> bool {
    let left = || {
        let mut others = adopted().into_iter().filter(|pid| !is_own(*pid));
        others.any(|pid| !is_dead(pid))
    };
    // The kernel may skip one of a list that becomes shorter meanwhile.
    !adopts_orphans() || left() || left()
}

fn adopts_orphans() -> bool {
    matches!(rustix::process::child_subreaper(), Ok(Some(_)))
}

/// Kills every process whose tag is `tag` (or begins with it, if it ends with a
/// dot) until none is left. Returns how many it killed.
pub(super) fn kill(tag: &str) -> usize {
    let end = Instant::now() + LIMIT;
    let mut killed = HashSet::new();
    loop {
        let starting = || children().into_iter().any(is_starting);
        let before = starting();
        let found = tagged(tag);
        // One that is ending has no environment any more, and may still have its files
        // and devices.
        let ended = killed.iter().all(|pid| is_dead(*pid));
        let none = found.is_empty() && ended && !before && !starting();
        if none || Instant::now() > end {
            return killed.len();
        }
        for pid in found {
            // It may have ended meanwhile.
            if rustix::process::kill_process(pid, Signal::KILL).is_ok() {
                killed.insert(pid);
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Reaps ended processes that this worker has adopted. Its own children, for
/// which `is_own` says true, are left to those who wait for them. Where the
/// process adopts none, every other child belongs to another part of it, which
/// waits for it too.
pub(super) fn reap(is_own: impl Fn(Pid) -> bool) {
    if !adopts_orphans() {
        return;
    }
    for pid in adopted().into_iter().filter(|pid| !is_own(*pid)) {
        // It may still be running.
        let _reaped = rustix::process::waitpid(Some(pid), WaitOptions::NOHANG);
    }
}

/// The children of the main thread: those that it started, and all adopted ones.
fn adopted() -> Vec<Pid> {
    let itself = std::process::id();
    let path = format!("/proc/self/task/{itself}/children");
    pids(&std::fs::read_to_string(path).unwrap_or_default()).collect()
}

fn pids(list: &str) -> impl Iterator<Item = Pid> {
    let pids = list.split_whitespace().filter_map(|pid| pid.parse().ok());
    pids.filter_map(Pid::from_raw)
}

/// The children of this process, including adopted ones. Each belongs to one of
/// its threads.
fn children() -> Vec<Pid> {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    let mut children = Vec::new();
    for thread in threads.flatten() {
        // A thread may just have ended.
        let list = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        children.extend(pids(&list));
    }
    children
}

/// Running processes with this tag.
fn tagged(tag: &str) -> Vec<Pid> {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let itself = std::process::id();
    processes
        .flatten()
        .filter_map(|process| process.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != itself && carries(*pid, tag))
        .filter_map(|pid| Pid::from_raw(pid as i32))
        .collect()
}

/// Whether a process is in the middle of an exec, which takes a while on a busy
/// machine: its new environment, and with it the tag, is not there yet.
fn is_starting(pid: Pid) -> bool {
    let read = |name: &str| std::fs::read(format!("/proc/{}/{name}", pid.as_raw_nonzero()));
    let empty = |name: &str| read(name).is_ok_and(|bytes| bytes.is_empty());
    // A dead process never gets either.
    !is_dead(pid) && empty("environ") && empty("cmdline")
}

/// Whether a process has ended, though it may wait to be reaped.
fn is_dead(pid: Pid) -> bool {
    let stat = std::fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    stat.map_or(true, |stat| {
        let stat = String::from_utf8_lossy(&stat).into_owned();
        let state = stat.rsplit(')').next().map(str::trim_start);
        state.is_none_or(|state| state.starts_with(['Z', 'X']))
    })
}

fn carries(pid: u32, tag: &str) -> bool {
    // Not readable for other users' processes, and empty for dead ones.
    let Ok(environment) = std::fs::read(format!("/proc/{pid}/environ")) else {
        return false;
    };
    let name = [super::FAMILY.as_bytes(), b"="].concat();
    environment
        .split(|byte| *byte == 0)
        .filter_map(|variable| variable.strip_prefix(name.as_slice()))
        .any(|value| {
            value == tag.as_bytes() || (tag.ends_with('.') && value.starts_with(tag.as_bytes()))
        })
}
