//! Child processes in groups of their own.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The binary with this name: from `SWATH_BIN_DIR`, or beside the running test.
///
/// # Panics
///
/// When it is not built, with the command that builds it.
pub fn binary(name: &str) -> PathBuf {
    let beside = || {
        let exe = std::env::current_exe().ok()?;
        // This is target/<profile>/deps/test or target/<profile>/bench.
        exe.ancestors()
            .skip(1)
            .take(2)
            .map(|dir| dir.join(name))
            .find(|path| path.is_file())
    };
    let named = std::env::var_os("SWATH_BIN_DIR").map(|dir| PathBuf::from(dir).join(name));
    let found = named.filter(|path| path.is_file()).or_else(beside);
    found.unwrap_or_else(|| {
        panic!("`{name}` is not built; `cargo xtask test` builds it, or `cargo build --workspace`")
    })
}

/// Waits for a condition, checking often. Panics with `what` if it does not
/// come true within `limit`.
///
/// # Panics
///
/// If the time is over.
pub fn wait_until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(
            Instant::now() < deadline,
            "after {limit:?} still not: {what}"
        );
        // A pause between two checks. The condition decides, not the length of
        // the pause.
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A daemon under test. Killed with its group when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    stderr: Arc<Mutex<String>>,
}

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its exit code; absent when a signal ended it.
    pub code: Option<i32>,
    /// Its stdout.
    pub stdout: String,
    /// Its stderr.
    pub stderr: String,
}

impl Process {
    /// Starts `command` in a group of its own; stderr is kept.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn start(name: &str, command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let stderr = Arc::new(Mutex::new(String::new()));
        let pipe = child.stderr.take().expect("stderr is piped");
        let kept = Arc::clone(&stderr);
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        Self {
            child,
            name: name.to_owned(),
            stderr,
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to stderr.
    pub fn stderr(&self) -> String {
        self.stderr
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The rest of the first stderr line that holds `marker`, once there is
    /// one.
    ///
    /// # Panics
    ///
    /// If the process ends first, or writes no such line in time.
    pub fn wait_for_line(&mut self, marker: &str) -> String {
        let name = self.name.clone();
        let what = format!("{name} says `{marker}`");
        wait_until(&what, Duration::from_mins(1), || {
            let text = self.stderr();
            let found = text.lines().find_map(|line| line.split_once(marker));
            if let Some((_, rest)) = found {
                return Some(rest.to_owned());
            }
            let ended = self.child.try_wait().ok().flatten();
            assert!(
                ended.is_none(),
                "{name} ended ({ended:?}) before `{marker}`:\n{text}"
            );
            None
        })
    }

    /// Sends a signal to the process itself.
    #[expect(unsafe_code, reason = "kill(2) on a child that is not reaped yet")]
    pub fn signal(&self, signal: libc::c_int) {
        unsafe {
            libc::kill(self.pid().cast_signed(), signal);
        }
    }

    /// Kills it as a power cut would, and reaps it.
    pub fn kill(&mut self) {
        self.signal(libc::SIGKILL);
        let _ = self.child.wait();
    }

    /// Waits for its end. Returns its exit code, or minus the signal.
    ///
    /// # Panics
    ///
    /// If it runs longer than `limit`.
    pub fn wait(&mut self, limit: Duration) -> i32 {
        let what = format!("{} ends", self.name);
        let status = wait_until(&what, limit, || self.child.try_wait().ok().flatten());
        status
            .code()
            .unwrap_or_else(|| -status.signal().unwrap_or(0))
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    #[expect(unsafe_code, reason = "kill(2) on the child's own group")]
    fn drop(&mut self) {
        // Kills the whole group, because what the daemon started must not
        // outlive the test.
        unsafe {
            libc::kill(-self.pid().cast_signed(), libc::SIGKILL);
        }
        let _ = self.child.wait();
        if std::thread::panicking() {
            show(&self.name, &self.stderr());
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "a failed test shows what its processes said"
)]
fn show(name: &str, text: &str) {
    eprintln!("--- {name} ---\n{text}");
}

/// Runs a command to its end, at most `limit`.
///
/// # Panics
///
/// If it cannot be started or runs too long.
pub(crate) fn finish(name: &str, command: &mut Command, limit: Duration) -> Output {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let stdout = reader(child.stdout.take().expect("stdout is piped"));
    let stderr = reader(child.stderr.take().expect("stderr is piped"));
    let deadline = Instant::now() + limit;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(5));
            }
            other => {
                let _ = child.kill();
                let text = stderr.join().unwrap_or_default();
                panic!("{name} did not end in {limit:?} ({other:?}):\n{text}");
            }
        }
    };
    Output {
        code: status.code(),
        stdout: stdout.join().unwrap_or_default(),
        stderr: stderr.join().unwrap_or_default(),
    }
}

fn reader(mut pipe: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
