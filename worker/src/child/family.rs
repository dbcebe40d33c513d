//! Processes that children started and left behind.
//!
//! Every child adopts the orphans of what it has started ([`super::guard::Entrance`]), so all of
//! that is below it, and comes to the worker only when the child has ended: what the worker has
//! adopted belongs to no child that is still there, and is killed. A process may have left its
//! group, and have an environment of its own.
//!
//! A process that is no worker does not adopt, and a worker that was killed has adopted nothing:
//! there, a tag in the environment of every child tells what it has started.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, getppid, set_parent_process_death_signal};

use super::{Pids, tree};

/// How long to go on killing processes that keep forking.
const LIMIT: Duration = Duration::from_secs(2);

/// The most processes that are named.
const NAMED_MAX: usize = 5;

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

pub(super) fn adopts_orphans() -> bool {
    matches!(rustix::process::child_subreaper(), Ok(Some(_)))
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

/// Processes that were killed and do not end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Remaining(Vec<Pid>);

impl Remaining {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What they are, for people.
    pub(super) fn told(&self) -> String {
        let named = self.0.iter().take(NAMED_MAX);
        let named = named.map(|pid| format!("{pid} ({})", tree::name_of(*pid)));
        let named: Vec<String> = named.collect();
        let more = self.0.len().saturating_sub(NAMED_MAX);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        named.join(", ") + &more
    }
}

/// Kills all children of a worker and what they started, for its end.
pub(super) fn kill_all(pids: &Pids, family: &str) {
    if !adopts_orphans() {
        kill(&format!("{family}."));
        return;
    }
    let guard = pids.lock().guard;
    let _remaining = sweep(|| {
        let orphans = orphans(|pid| Some(pid) == guard);
        (orphans, guard.into_iter().collect())
    });
}

/// Kills what an earlier worker with the same tag left behind because it was
/// killed itself.
pub fn kill_leftovers(family: &str) {
    let killed = kill_all_tagged(family);
    if killed > 0 {
        tracing::warn!(
            processes = killed,
            "killed what an earlier process of this worker had left running"
        );
    }
}

/// Kills all processes with a worker's tag. Returns how many it killed.
pub(super) fn kill_all_tagged(family: &str) -> usize {
    kill(&format!("{family}."))
}

/// Whether children that have ended may have left something behind.
///
/// Mostly they have not, and that is found out in a moment.
pub(super) fn may_have_left(pids: &Pids) -> bool {
    let left = || !left_to(pids).0.is_empty();
    // The kernel may skip one of a list that becomes shorter meanwhile.
    !adopts_orphans() || left() || left()
}

/// Kills what children left behind that have ended; `tag` is that of the one
/// that this is for. Returns what does not end.
pub(super) fn end_leftovers(pids: &Pids, tag: &str) -> Remaining {
    if adopts_orphans() {
        let remaining = sweep(|| left_to(pids));
        pids.lock().remaining.extend(&remaining.0);
        return remaining;
    }
    kill(tag);
    Remaining::default()
}

/// Those of the processes that are still there. Nobody else was blamed for them
/// so far; those that are gone are forgotten.
pub(super) fn still_there(pids: &Pids, remaining: &Remaining) -> Remaining {
    let (alive, gone) = remaining.0.iter().partition(|pid| !tree::is_dead(**pid));
    let gone: Vec<Pid> = gone;
    pids.lock().remaining.retain(|pid| !gone.contains(pid));
    tree::kill(&alive, &[]);
    Remaining(alive)
}

/// What ended children have left, and the groups of those that are there.
fn left_to(pids: &Pids) -> (Vec<Pid>, Vec<Pid>) {
    // A child that is just being started is no orphan.
    let known = pids.lock();
    let mut orphans = orphans(|pid| known.has(pid));
    orphans.retain(|pid| !known.remaining.contains(pid));
    (orphans, known.leaders().collect())
}

/// The running children of this process that are not its own, and all that is below them.
fn orphans(is_own: impl Fn(Pid) -> bool) -> Vec<Pid> {
    let adopted = tree::children_of_main()
        .into_iter()
        .filter(|pid| !is_own(*pid));
    let mut found: Vec<Pid> = adopted.filter(|pid| !tree::is_dead(*pid)).collect();
    found.extend(tree::below(&found));
    found
}

/// Kills what `find` finds, until it finds nothing. `find` also says which groups are
/// let alone.
fn sweep(find: impl Fn() -> (Vec<Pid>, Vec<Pid>)) -> Remaining {
    let end = Instant::now() + LIMIT;
    let mut empty = 0;
    let mut known = HashSet::new();
    loop {
        let (found, spared) = find();
        if found.is_empty() {
            empty += 1;
            if empty == 2 {
                return Remaining::default();
            }
            continue;
        }
        empty = 0;
        tree::kill(&found, &spared);
        if Instant::now() > end {
            return Remaining(found);
        }
        let before = known.len();
        known.extend(found);
        // What forks gets no rest.
        if known.len() == before {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Kills every process whose tag is `tag` (or begins with it, if it ends with a
/// dot) until none is left. Returns how many it killed.
fn kill(tag: &str) -> usize {
    let end = Instant::now() + LIMIT;
    let mut killed = HashSet::new();
    loop {
        let itself = rustix::process::getpid();
        let starting = || tree::children_of(itself).into_iter().any(is_starting);
        let before = starting();
        let found = tagged(tag);
        // One that is ending has no environment any more, and may still have its files
        // and devices.
        let ended = killed.iter().all(|pid| tree::is_dead(*pid));
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

/// Reaps ended processes that this worker has adopted. Its own children are left
/// to those who wait for them. Where the process adopts none, every other child
/// belongs to another part of it, which waits for it too.
pub(super) fn reap(pids: &Pids) {
    if !adopts_orphans() {
        return;
    }
    let known = pids.lock();
    let children = tree::children_of_main().into_iter();
    for pid in children.filter(|pid| !known.has(*pid)) {
        // It may still be running.
        let _reaped = rustix::process::waitpid(Some(pid), WaitOptions::NOHANG);
    }
}

/// Running processes with this tag.
fn tagged(tag: &str) -> Vec<Pid> {
    let itself = rustix::process::getpid();
    let others = tree::all().filter(|pid| *pid != itself);
    others.filter(|pid| carries(*pid, tag)).collect()
}

/// Whether a process is in the middle of an exec, which takes a while on a busy
/// machine: its new environment, and with it the tag, is not there yet.
fn is_starting(pid: Pid) -> bool {
    let read = |name: &str| std::fs::read(format!("/proc/{pid}/{name}"));
    let empty = |name: &str| read(name).is_ok_and(|bytes| bytes.is_empty());
    // A dead process never gets either.
    !tree::is_dead(pid) && empty("environ") && empty("cmdline")
}

fn carries(pid: Pid, tag: &str) -> bool {
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
