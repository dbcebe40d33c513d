//! A process that ends what a worker runs when the worker itself was killed.
//!
//! A program is the child subreaper of what it starts, so while it is there, everything that it
//! has started is below it. When the worker dies, the kernel stops the program, which keeps it
//! there, and the guard, which has the list of the programs, kills what is below them and then
//! them. So nothing can get away, whatever its session or environment.
//!
//! The guard is the worker's own binary under another name, and sleeps until its stdin ends,
//! which the kernel sees to when the worker is no more. Its stdout is the list: a file in memory
//! that both have.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, getppid, setsid};
use tokio::process::ChildStdin;
use tokio::signal::unix::{SignalKind, signal};

use super::{Pids, family, tree};

/// The name under which the worker's binary is a guard.
const NAME: &str = "swath-guard";

/// How long the guard goes on killing.
const LIMIT: Duration = Duration::from_secs(10);

/// How long to wait before a guard that has ended is replaced, so that a host
/// on which it cannot live is not kept busy.
const PAUSE: Duration = Duration::from_secs(1);

/// The bytes of a process's number in the list.
const NUMBER_BYTES: usize = size_of::<i32>();

/// Whether this process was started to be a guard.
pub fn is_meant() -> bool {
    std::env::args_os().next().as_deref() == Some(OsStr::new(NAME))
}

/// The list of programs that run, for the guard.
#[derive(Debug)]
pub(super) struct List {
    file: File,
    /// Which places are taken.
    taken: Mutex<Vec<bool>>,
}

impl List {
    fn new() -> io::Result<Self> {
        let flags = rustix::fs::MemfdFlags::CLOEXEC;
        Ok(Self {
            file: rustix::fs::memfd_create(NAME, flags)?.into(),
            taken: Mutex::default(),
        })
    }

    /// A place for a process that is going to be started. It is given back when that is dropped.
    pub(super) fn place(list: &Arc<Self>) -> Place {
        let mut taken = list.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let free = taken.iter().position(|taken| !taken);
        let at = free.unwrap_or_else(|| {
            taken.push(false);
            taken.len() - 1
        });
        taken[at] = true;
        drop(taken);
        Place {
            list: Arc::clone(list),
            at,
        }
    }
}

/// A place in the list.
#[derive(Debug)]
pub(super) struct Place {
    list: Arc<List>,
    at: usize,
}

impl Place {
    fn offset(&self) -> u64 {
        (self.at * NUMBER_BYTES) as u64
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let none = 0_i32.to_ne_bytes();
        // At worst the guard looks for a process that is not there.
        let _written = self.list.file.write_all_at(&none, self.offset());
        let mut taken = self
            .list
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        taken[self.at] = false;
    }
}

/// What a new process does before it becomes a program: it leads a session of its own, adopts
/// the orphans of what it starts, and ends when the worker does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entrance {
    worker: Pid,
    /// The list and the place in it; none where no guard is.
    place: Option<(RawFd, u64)>,
    /// How it ends when the worker does, once it has entered.
    end: Signal,
}

impl Entrance {
    /// For a child of this process. The place must be there until it has entered.
    pub(super) fn new(place: Option<&Place>) -> Self {
        Self {
            worker: rustix::process::getpid(),
            place: place.map(|place| (place.list.file.as_raw_fd(), place.offset())),
            end: Signal::KILL,
        }
    }

    /// To be called in the new process. It makes system calls and allocates nothing.
    ///
    /// # Errors
    ///
    /// When the kernel refuses, or the worker is gone already.
    pub(super) fn enter(&mut self) -> io::Result<()> {
        let itself = rustix::process::getpid();
        // A session, too, so that the worker's end leaves no orphaned process group: the kernel
        // would let it go on.
        setsid()?;
        rustix::process::set_child_subreaper(Some(itself))?;
        self.end = if self.is_listed(itself) {
            Signal::STOP
        } else {
            Signal::KILL
        };
        self.stay()
    }

    /// Ends this process when the worker does. To be repeated when it has become another user,
    /// which the kernel takes for a reason to forget it.
    ///
    /// # Errors
    ///
    /// As [`Self::enter`].
    pub(super) fn stay(&self) -> io::Result<()> {
        rustix::process::set_parent_process_death_signal(Some(self.end))?;
        // The worker may have died before that took effect.
        if getppid() != Some(self.worker) {
            return Err(Errno::SRCH.into());
        }
        Ok(())
    }

    #[expect(
        unsafe_code,
        reason = "the descriptor is that of the list, which its place keeps open"
    )]
    fn is_listed(self, itself: Pid) -> bool {
        self.place.is_some_and(|(list, at)| {
            let list = unsafe { BorrowedFd::borrow_raw(list) };
            let number = itself.as_raw_nonzero().get().to_ne_bytes();
            rustix::io::pwrite(list, &number, at) == Ok(NUMBER_BYTES)
        })
    }
}

/// A worker's guard.
#[derive(Debug)]
pub(super) struct Guard {
    pub(super) pid: Pid,
    child: tokio::process::Child,
    /// When this ends, so does the worker, for its guard.
    _worker_lives: Option<ChildStdin>,
}

/// Starts a guard, with an empty list.
///
/// # Errors
///
/// When it cannot be started.
pub(super) fn start(family: &str) -> io::Result<(Arc<List>, Guard)> {
    let list = Arc::new(List::new()?);
    let guard = Guard::start(&list, family)?;
    Ok((list, guard))
}

impl Guard {
    fn start(list: &List, family: &str) -> io::Result<Self> {
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0(NAME)
            .arg(family)
            .current_dir("/")
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(list.file.try_clone()?)
            // A signal to the worker's group is none to its guard.
            .process_group(0);
        let mut child = tokio::process::Command::from(command).spawn()?;
        let pid = child.id().and_then(|pid| Pid::from_raw(pid as i32));
        Ok(Self {
            pid: pid.ok_or(Errno::SRCH)?,
            // Whoever waits for a child closes its stdin first.
            _worker_lives: child.stdin.take(),
            child,
        })
    }

    /// Replaces the guard whenever it ends.
    pub(super) async fn keep(mut self, list: Arc<List>, family: String, pids: Pids) {
        loop {
            let since = Instant::now();
            let ended = self.child.wait().await;
            tracing::warn!(
                ?ended,
                "the guard of this worker's programs ended; starting another"
            );
            let mut pause = PAUSE.saturating_sub(since.elapsed());
            self = loop {
                tokio::time::sleep(pause).await;
                pause = PAUSE;
                let mut known = pids.lock();
                match Self::start(&list, &family) {
                    Ok(guard) => {
                        known.guard = Some(guard.pid);
                        break guard;
                    }
                    Err(error) => tracing::warn!(%error, "no guard can be started; trying again"),
                }
            };
        }
    }
}

/// What a guard does: it waits for the end of its worker, and ends what that has left running.
///
/// # Errors
///
/// When it cannot wait.
pub fn run() -> io::Result<()> {
    // For people, who see "exe" otherwise.
    let _named = std::fs::write("/proc/self/comm", NAME);
    // What ends a worker, and all of its control group, in an orderly way must not end the guard
    // before it. A signal that is taken does nothing.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let entered = runtime.enter();
    for kind in [
        SignalKind::terminate(),
        SignalKind::interrupt(),
        SignalKind::hangup(),
    ] {
        let _taken = signal(kind)?;
    }
    drop(entered);
    io::copy(&mut io::stdin(), &mut io::sink())?;
    let mut list = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let mut numbers = Vec::new();
    list.rewind()?;
    list.read_to_end(&mut numbers)?;
    let numbers = numbers.chunks_exact(NUMBER_BYTES);
    let numbers = numbers.filter_map(|bytes| bytes.try_into().ok().map(i32::from_ne_bytes));
    end(&numbers.filter_map(Pid::from_raw).collect::<Vec<_>>());
    if let Some(family) = std::env::args().nth(1) {
        family::kill_all_tagged(&family);
    }
    Ok(())
}

/// Ends programs and all that is below them.
fn end(programs: &[Pid]) {
    // A program keeps what is below it together until it ends itself. The kernel has stopped it,
    // unless it runs as another user.
    for program in programs {
        let _sent = rustix::process::kill_process(*program, Signal::STOP);
    }
    let until = Instant::now() + LIMIT;
    // A list that becomes shorter may lack one.
    let mut empty = 0;
    while empty < 2 && Instant::now() < until {
        let found = tree::below(programs);
        empty = if found.is_empty() { empty + 1 } else { 0 };
        if !found.is_empty() {
            tree::kill(&found, programs);
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    for program in programs {
        let _sent = rustix::process::kill_process_group(*program, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_used_again_and_the_list_has_who_entered() {
        let list = Arc::new(List::new().unwrap());
        let (first, second) = (List::place(&list), List::place(&list));
        assert_eq!((first.at, second.at), (0, 1));
        let itself = rustix::process::getpid();
        assert!(Entrance::new(Some(&second)).is_listed(itself));
        assert!(!Entrance::new(None).is_listed(itself));
        let written = || {
            let mut numbers = [0; 2 * NUMBER_BYTES];
            list.file.read_exact_at(&mut numbers, 0).unwrap();
            numbers.map(|byte| byte)[NUMBER_BYTES..].to_vec()
        };
        assert_eq!(written(), itself.as_raw_nonzero().get().to_ne_bytes());
        drop(first);
        assert_eq!(List::place(&list).at, 0);
        drop(second);
        assert_eq!(written(), [0; NUMBER_BYTES]);
    }
}
