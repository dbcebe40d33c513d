//! A Postgres server of our own, which can be killed and started again.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use swath_e2e::{free_address, wait_until};
use tempfile::TempDir;

use crate::text::{Checked, SKIPPED, say};

/// Where Debian's package has its programs, by version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// Who runs the server where we are root.
const USER: &str = "postgres";
const START: Duration = Duration::from_mins(2);

/// A server, and its directory.
#[derive(Debug)]
pub(crate) struct Server {
    programs: PathBuf,
    user: Option<(u32, u32)>,
    password: String,
    port: u16,
    process: Option<Child>,
    /// Its data, its log and its socket.
    home: PathBuf,
    _own: Option<TempDir>,
}

impl Server {
    /// A new one, in a directory of its own.
    pub(crate) fn start() -> Checked<Self> {
        let directory = tempfile::Builder::new().prefix("swath-bench-").tempdir();
        let directory = directory.map_err(|error| error.to_string())?;
        let home = directory.path().to_owned();
        Self::begin(&home, Some(directory), &[])
    }

    /// A new one in this directory, with these settings.
    pub(crate) fn start_in(home: &Path, settings: &[&str]) -> Checked<Self> {
        Self::begin(home, None, settings)
    }

    fn begin(home: &Path, own: Option<TempDir>, settings: &[&str]) -> Checked<Self> {
        let programs = programs()
            .ok_or_else(|| format!("{SKIPPED}no Postgres server (`apt-get install postgresql`)"))?;
        let user = user()?;
        let port = free_address();
        let port = port.rsplit(':').next().and_then(|port| port.parse().ok());
        let mut random = [0; 16];
        let mut source = fs::File::open("/dev/urandom").map_err(|error| error.to_string())?;
        std::io::Read::read_exact(&mut source, &mut random).map_err(|error| error.to_string())?;
        let mut server = Self {
            programs,
            user,
            password: u128::from_ne_bytes(random).to_string(),
            port: port.ok_or("no free port")?,
            process: None,
            home: home.to_owned(),
            _own: own,
        };
        server.init(settings).map_err(|error| error.to_string())?;
        server.serve()?;
        Ok(server)
    }

    fn init(&self, settings: &[&str]) -> std::io::Result<()> {
        let password = self.home.join("password");
        fs::write(&password, &self.password)?;
        if let Some((uid, gid)) = self.user {
            chown(&self.home, Some(uid), Some(gid))?;
            chown(&password, Some(uid), Some(gid))?;
        }
        let mut init = self.command("initdb");
        init.args(["--username", "swath", "--auth-local", "trust"])
            .args(["--auth-host", "scram-sha-256", "--pwfile"])
            .arg(&password)
            .args(["--encoding", "UTF8", "--locale", "C", "--pgdata"])
            .arg(self.home.join("data"));
        let output = init.stdin(Stdio::null()).output()?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(std::io::Error::other(why));
        }
        let path = self.home.join("data/postgresql.conf");
        let mut text = fs::read_to_string(&path)?;
        for setting in settings {
            text.push_str(setting);
            text.push('\n');
        }
        fs::write(path, text)
    }

    fn command(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "QUIT"]).arg(program);
        command.current_dir(&self.home);
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Starts the server on what is there, and waits until it takes statements.
    pub(crate) fn serve(&mut self) -> Checked {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.home.join("log"))
            .map_err(|error| error.to_string())?;
        let mut command = self.command("postgres");
        command
            .arg("-D")
            .arg(self.home.join("data"))
            .arg("-k")
            .arg(&self.home)
            .args(["-p", &self.port.to_string()])
            .args(["-c", "listen_addresses=127.0.0.1"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        self.process = Some(command.spawn().map_err(|error| error.to_string())?);
        wait_until("the Postgres server takes statements", START, || {
            self.sql("postgres", "SELECT 1").is_ok().then_some(())
        });
        Ok(())
    }

    /// Kills all its processes, as a power cut would.
    pub(crate) fn kill(&mut self) -> usize {
        let Some(mut process) = self.process.take() else {
            return 0;
        };
        // Stopped first: a process that is stopped makes no more of them.
        signal(process.id(), Signal::STOP);
        let mut all = vec![process.id()];
        let children = format!("/proc/{0}/task/{0}/children", process.id());
        let children = fs::read_to_string(children).unwrap_or_default();
        all.extend(
            children
                .split_whitespace()
                .filter_map(|pid| pid.parse::<u32>().ok()),
        );
        for pid in &all {
            signal(*pid, Signal::KILL);
        }
        let _ = process.wait();
        wait_until("the killed server is gone", START, || {
            let gone = |pid: &u32| {
                let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                stat.is_empty() || stat.contains(") Z ")
            };
            all.iter().all(gone).then_some(())
        });
        all.len()
    }

    /// Whether it goes on by itself.
    pub(crate) fn is_alive(&mut self) -> bool {
        let process = self.process.as_mut();
        process.is_some_and(|process| matches!(process.try_wait(), Ok(None)))
    }

    /// Runs a statement; what it returns.
    pub(crate) fn sql(&self, database: &str, statement: &str) -> Checked<String> {
        let output = Command::new(self.programs.join("psql"))
            .args(["--no-psqlrc", "-qAt", "-U", "swath", "-d", database, "-h"])
            .arg(&self.home)
            .args(["-p", &self.port.to_string(), "-c", statement])
            .stdin(Stdio::null())
            .output()
            .map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// A new database; its address, by this port of this machine, or the server's.
    pub(crate) fn database(&self, name: &str, port: Option<u16>) -> Checked<String> {
        self.sql("postgres", &format!("CREATE DATABASE {name}"))?;
        let port = port.unwrap_or(self.port);
        Ok(format!("postgres://swath@127.0.0.1:{port}/{name}"))
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What a coordinator must know beside the address.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        vec![("PGPASSWORD", self.password.clone())]
    }

    /// Its log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.home.join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let last = self.log();
        let last: Vec<_> = last.lines().rev().take(5).collect();
        if std::thread::panicking() {
            say(&format!("the Postgres server said last: {last:?}"));
        }
        self.kill();
    }
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
        let _gone = kill_process(pid, signal);
    }
}

fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir(DEBIAN).ok()?.flatten();
    let newest = versions.filter_map(|entry| {
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        let programs = entry.path().join("bin");
        programs
            .join("initdb")
            .is_file()
            .then_some((version, programs))
    });
    newest.max().map(|(_, programs)| programs)
}

/// Whom to run the server as: nobody else where we are not root.
fn user() -> Checked<Option<(u32, u32)>> {
    let id = |arguments: &[&str]| -> Checked<u32> {
        let output = Command::new("id").args(arguments).output();
        let output = output.map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        text.parse()
            .map_err(|_| format!("there is no user {USER} to run Postgres as"))
    };
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    Ok(Some((id(&["-u", USER])?, id(&["-g", USER])?)))
}
