//! How the process of a child is started: as `std::process::Command` would, and
//! so that it ends with this process ([`Entrance`]).
//!
//! The standard library runs code of one's own between fork and exec only after
//! a real fork, which copies the page tables of the whole worker and then every
//! page that either process writes to: a quarter of what a short job costs. Here
//! the new process borrows the memory until it becomes the program, and this
//! thread waits for that, as in glibc's `posix_spawn`.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString, c_char, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::ptr;

use rustix::process::{Pid, Signal, WaitOptions, waitpid};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::signal::unix::{SignalKind, signal};

use super::guard::Entrance;
use super::rights::Rights;

/// The stack of the new process until it becomes the program. It makes system
/// calls there, and nothing else.
const STACK_BYTES: usize = 64 << 10;

/// The status of a process that did not become the program. Nobody sees it.
const NO_PROGRAM: c_int = 127;

/// Runs a script that does not say what runs it.
const SHELL: &std::ffi::CStr = c"/bin/sh";

/// A running process. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Child {
    pid: Pid,
    status: Option<ExitStatus>,
    /// Tells that some child of this process has ended.
    ends: tokio::signal::unix::Signal,
    pub(super) stdin: Option<Sender>,
    pub(super) stdout: Option<Receiver>,
    pub(super) stderr: Option<Receiver>,
}

impl Child {
    /// Starts a program with pipes for its input, its output and its errors. Of
    /// the command, only the program, the arguments, changes of variables and the
    /// directory count.
    ///
    /// To be called on a thread that lives as long as this process: the child dies
    /// with it.
    ///
    /// # Errors
    ///
    /// When a pipe cannot be made, or the program cannot be started.
    pub(super) fn spawn(
        command: &Command,
        rights: &Rights,
        entrance: Entrance,
    ) -> io::Result<Self> {
        // Before the start, so that no end is missed.
        let ends = signal(SignalKind::child())?;
        let (its_stdin, stdin) = io::pipe()?;
        let (stdout, its_stdout) = io::pipe()?;
        let (stderr, its_stderr) = io::pipe()?;
        let pipes = [
            its_stdin.as_raw_fd(),
            its_stdout.as_raw_fd(),
            its_stderr.as_raw_fd(),
        ];
        let stdin = Sender::from_owned_fd(OwnedFd::from(stdin))?;
        let stdout = Receiver::from_owned_fd(OwnedFd::from(stdout))?;
        let stderr = Receiver::from_owned_fd(OwnedFd::from(stderr))?;
        let pid = start(command, pipes, rights, entrance)?;
        Ok(Self {
            pid,
            status: None,
            ends,
            stdin: Some(stdin),
            stdout: Some(stdout),
            stderr: Some(stderr),
        })
    }

    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// Waits for the end. May be cancelled.
    ///
    /// # Errors
    ///
    /// When the process is no child of this one any more.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.status {
                return Ok(status);
            }
            match waitpid(Some(self.pid), WaitOptions::NOHANG)? {
                Some((_pid, status)) => {
                    self.status = Some(ExitStatus::from_raw(status.as_raw()));
                }
                None => {
                    // It never ends as long as the runtime is there.
                    self.ends.recv().await;
                }
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.status.is_none() {
            // It may have ended already.
            let _sent = rustix::process::kill_process(self.pid, Signal::KILL);
        }
    }
}

/// Everything that the new process needs. It is made before, because the new
/// process must not allocate.
struct Plan<'a> {
    /// Where the program may be, in this order.
    paths: Vec<CString>,
    /// A free place for the shell, then the program's name and its arguments, then
    /// null.
    arguments: Vec<*const c_char>,
    /// The variables, then null.
    variables: Vec<*const c_char>,
    directory: *const c_char,
    /// What becomes stdin, stdout and stderr. None of them is one of these now: the
    /// standard library keeps those open.
    pipes: [RawFd; 3],
    rights: &'a Rights,
    entrance: Entrance,
    /// Why it did not become the program; 0 if it did.
    error: c_int,
}

fn start(
    command: &Command,
    pipes: [RawFd; 3],
    rights: &Rights,
    entrance: Entrance,
) -> io::Result<Pid> {
    let variables = variables_of(command);
    let paths = paths_of(command.get_program(), variables.get(OsStr::new("PATH")))?;
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let arguments = words
        .map(|word| text(word.as_bytes()))
        .collect::<io::Result<Vec<_>>>()?;
    let settings = variables
        .iter()
        .map(|(name, value)| text(&[name.as_bytes(), b"=", value.as_bytes()].concat()))
        .collect::<io::Result<Vec<_>>>()?;
    let directory = match command.get_current_dir() {
        Some(directory) => Some(text(directory.as_os_str().as_bytes())?),
        None => None,
    };
    let pointers = |texts: &[CString], first: usize| {
        let nulls = |count| std::iter::repeat_n(ptr::null(), count);
        let texts = texts.iter().map(|text| text.as_ptr());
        nulls(first).chain(texts).chain(nulls(1)).collect()
    };
    let mut plan = Plan {
        paths,
        arguments: pointers(&arguments, 1),
        variables: pointers(&settings, 0),
        directory: directory.as_ref().map_or(ptr::null(), |it| it.as_ptr()),
        pipes,
        rights,
        entrance,
        error: 0,
    };
    carry_out(&mut plan)
}

fn text(bytes: &[u8]) -> io::Result<CString> {
    Ok(CString::new(bytes)?)
}

/// The variables of the new process: this one's, with the command's changes.
fn variables_of(command: &Command) -> BTreeMap<OsString, OsString> {
    let mut variables: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => variables.insert(name.to_owned(), value.to_owned()),
            None => variables.remove(name),
        };
    }
    variables
}

/// Where a program may be: as `execvp` looks for it, in the new process's `PATH`.
fn paths_of(program: &OsStr, path: Option<&OsString>) -> io::Result<Vec<CString>> {
    let name = program.as_bytes();
    if name.is_empty() || name.contains(&b'/') {
        return Ok(vec![text(name)?]);
    }
    let path = path.map_or(&b"/bin:/usr/bin"[..], |path| path.as_bytes());
    path.split(|byte| *byte == b':')
        .map(|directory| {
            let directory = if directory.is_empty() {
                b"."
            } else {
                directory
            };
            text(&[directory, b"/", name].concat())
        })
        .collect()
}

/// Starts the process, and returns when it has become the program.
#[expect(
    unsafe_code,
    reason = "no safe interface starts a process without a copy of this one's memory; the new \
              process has a stack of its own and this thread sleeps until it is done with what \
              it borrows, so that `plan` has one user at a time"
)]
fn carry_out(plan: &mut Plan<'_>) -> io::Result<Pid> {
    let mut stack = Vec::<u128>::with_capacity(STACK_BYTES / size_of::<u128>());
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    let (pid, error) = unsafe {
        let top = stack.as_mut_ptr().add(stack.capacity());
        // A handler that runs in the new process would change this one's memory.
        let mut all = std::mem::zeroed();
        let mut before = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        let argument = ptr::from_mut(plan).cast::<c_void>();
        let pid = libc::clone(in_new_process, top.cast(), flags, argument);
        let error = io::Error::last_os_error();
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut());
        (pid, error)
    };
    if pid <= 0 {
        return Err(error);
    }
    let pid = Pid::from_raw(pid).ok_or(error)?;
    if plan.error == 0 {
        return Ok(pid);
    }
    // It has ended, and nobody else may see it.
    waitpid(Some(pid), WaitOptions::empty())?;
    Err(io::Error::from_raw_os_error(plan.error))
}

#[expect(
    unsafe_code,
    reason = "the kernel hands over the plan as a bare pointer"
)]
extern "C" fn in_new_process(plan: *mut c_void) -> c_int {
    let plan = unsafe { &mut *plan.cast::<Plan<'_>>() };
    plan.error = become_program(plan);
    NO_PROGRAM
}

/// Becomes the program. Returns only when it cannot, with the system's error.
///
/// This runs in the memory of a process with other threads, so it makes system
/// calls only.
#[expect(
    unsafe_code,
    reason = "system calls on pointers that the plan keeps alive"
)]
fn become_program(plan: &mut Plan<'_>) -> c_int {
    let failed = || {
        io::Error::last_os_error()
            .raw_os_error()
            .unwrap_or(libc::EIO)
    };
    if let Err(error) = plan.entrance.enter() {
        return error.raw_os_error().unwrap_or(libc::EIO);
    }
    unsafe {
        for (target, pipe) in (0..).zip(plan.pipes) {
            if libc::dup2(pipe, target) < 0 {
                return failed();
            }
        }
        // As another user it may be refused what the worker may do, such as this directory.
        let given_up = plan.rights.give_up().and_then(|()| plan.entrance.stay());
        if let Err(error) = given_up {
            return error.raw_os_error().unwrap_or(libc::EIO);
        }
        if !plan.directory.is_null() && libc::chdir(plan.directory) != 0 {
            return failed();
        }
        receive_signals();
        let mut error = libc::ENOENT;
        for path in &plan.paths {
            let variables = plan.variables.as_ptr();
            libc::execve(path.as_ptr(), plan.arguments.as_ptr().add(1), variables);
            match failed() {
                libc::ENOENT | libc::ENOTDIR => {}
                // One that may be run can come later; if none does, this is why.
                libc::EACCES => error = libc::EACCES,
                libc::ENOEXEC => {
                    plan.arguments[0] = SHELL.as_ptr();
                    plan.arguments[1] = path.as_ptr();
                    libc::execve(SHELL.as_ptr(), plan.arguments.as_ptr(), variables);
                    return failed();
                }
                other => return other,
            }
        }
        error
    }
}

/// Lets this process have every signal, and each do what it does by default,
/// except those that were ignored when the worker was started.
#[expect(unsafe_code, reason = "system calls about signals")]
unsafe fn receive_signals() {
    unsafe {
        let mut default: libc::sigaction = std::mem::zeroed();
        default.sa_sigaction = libc::SIG_DFL;
        for signal in 1..=libc::SIGRTMAX() {
            let mut now: libc::sigaction = std::mem::zeroed();
            // Some belong to the C library.
            let known = libc::sigaction(signal, ptr::null(), &raw mut now) == 0;
            // The standard library ignores this one itself.
            let ignored = now.sa_sigaction == libc::SIG_IGN && signal != libc::SIGPIPE;
            if known && !ignored && now.sa_sigaction != libc::SIG_DFL {
                libc::sigaction(signal, &raw const default, ptr::null_mut());
            }
        }
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::io::ErrorKind;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn spawn(command: &Command) -> io::Result<Child> {
        Child::spawn(command, &Rights::default(), Entrance::new(None))
    }

    /// What a child prints, and how it ends, when it gets this input.
    async fn told(command: &Command, input: &str) -> (String, ExitStatus) {
        let mut child = spawn(command).unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        let mut text = String::new();
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_to_string(&mut text).await.unwrap();
        (text, child.wait().await.unwrap())
    }

    fn script(path: &Path, text: &str, mode: u32) {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[tokio::test]
    async fn words_variables_directory_and_pipes_arrive() {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        let print = r#"cat; pwd -P; echo "$0|$1|$NEW|${HOME-none}"; exit 3"#;
        command.args(["-c", print, "zero", "a b"]);
        command.env("NEW", "x=y").env_remove("HOME");
        command.current_dir(directory.path());
        let (text, status) = told(&command, "input\n").await;
        let place = directory.path().canonicalize().unwrap();
        let expected = format!("input\n{}\nzero|a b|x=y|none\n", place.display());
        assert_eq!((text, status.code()), (expected, Some(3)));
    }

    #[tokio::test]
    async fn it_leads_a_group_and_has_every_signal() {
        let mut command = Command::new("sh");
        let own =
            "cut -d' ' -f5 /proc/$$/stat; echo $$; exec grep -E 'Sig(Blk|Ign)' /proc/$$/status";
        command.args(["-c", own]);
        let (text, _status) = told(&command, "").await;
        let lines: Vec<&str> = text.split_whitespace().collect();
        assert_eq!(lines[0], lines[1], "its group is its own number");
        for (name, mask) in [(lines[2], lines[3]), (lines[4], lines[5])] {
            let mask = u64::from_str_radix(mask, 16).unwrap();
            assert_eq!(mask & 1 << (libc::SIGPIPE - 1), 0, "{name}");
            assert!(name == "SigIgn:" || mask == 0, "{name} {mask:x}");
        }
    }

    #[tokio::test]
    async fn a_program_is_looked_for_in_its_own_path() {
        let (none, hidden, found) = (
            tempfile::tempdir().unwrap(),
            tempfile::tempdir().unwrap(),
            tempfile::tempdir().unwrap(),
        );
        script(
            &hidden.path().join("program"),
            "#!/bin/sh\necho hidden",
            0o644,
        );
        // Without a line that says what runs it.
        script(&found.path().join("program"), "echo found $1", 0o755);
        let path = |places: &[&Path]| std::env::join_paths(places).unwrap();
        let mut command = Command::new("program");
        command.arg("it");
        command.env("PATH", path(&[none.path(), hidden.path(), found.path()]));
        assert_eq!(told(&command, "").await.0, "found it\n");
        command.env("PATH", path(&[none.path(), hidden.path()]));
        let error = spawn(&command).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    }

    #[tokio::test]
    async fn what_cannot_be_started_says_why() {
        let none = tempfile::tempdir().unwrap();
        let mut command = Command::new("./program");
        command.current_dir(none.path());
        assert_eq!(spawn(&command).unwrap_err().kind(), ErrorKind::NotFound);
        command = Command::new("sh");
        command.current_dir(none.path().join("gone"));
        assert_eq!(spawn(&command).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn one_that_nobody_waits_for_is_killed() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo ready; read never"]);
        let mut child = spawn(&command).unwrap();
        let (pid, _stdin) = (child.pid(), child.stdin.take());
        let mut stdout = child.stdout.take().unwrap();
        let mut ready = [0; 6];
        stdout.read_exact(&mut ready).await.unwrap();
        drop(child);
        let (_pid, status) = waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap();
        assert_eq!(status.terminating_signal(), Some(Signal::KILL.as_raw()));
    }
}
