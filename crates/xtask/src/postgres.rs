//! A Postgres server for tests and for the query cache: one that the environment names, or one of our own that lives
//! as long as this process.

use std::env;
use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::check::Missing;
use crate::process::{answers, is_installed, output, say};

/// The variable that names a server to use instead of one of our own. It also tells the tests
/// which server is used.
pub(crate) const SERVER: &str = "SWATH_TEST_POSTGRES";
/// The Debian package of the server.
pub(crate) const PACKAGE: &str = "postgresql";
/// Where Debian's package puts its programs, by version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// The user that runs the server when we are root, because Postgres refuses to run as root. Debian's package
/// creates this user.
const USER: &str = "postgres";
/// How long a server may take to start.
const START: Duration = Duration::from_mins(1);

/// A server.
pub(crate) struct Server {
    url: String,
    _own: Option<Cluster>,
}

impl Server {
    /// The server that is named, or a new one; else [`Missing`], which says how to
    /// get one.
    pub(crate) fn find() -> Result<Self> {
        if let Some(url) = env::var(SERVER).ok().filter(|url| !url.is_empty()) {
            return Ok(Self { url, _own: None });
        }
        let Some(programs) = programs() else {
            let text = format!(
                "no Postgres server (`apt-get install {PACKAGE}`, or name one that is there in {SERVER} as \
                 `postgres://USER@HOST:PORT/postgres`)"
            );
            return Err(Missing(text).into());
        };
        let cluster = Cluster::start(&programs)?;
        Ok(Self {
            url: cluster.url.clone(),
            _own: Some(cluster),
        })
    }

    /// The address of the server, with its first database.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A new database of this server.
    pub(crate) fn database(&self, name: &str) -> Result<Database<'_>> {
        let database = Database {
            url: with_database(&self.url, name),
            server: &self.url,
            name: name.to_owned(),
        };
        psql(&self.url, &["-c", &format!("CREATE DATABASE {name}")])?;
        Ok(database)
    }
}

/// A database that is dropped together with this value.
pub(crate) struct Database<'a> {
    server: &'a str,
    name: String,
    pub(crate) url: String,
}

impl Database<'_> {
    /// Runs files of statements, each in one transaction.
    pub(crate) fn run(&self, files: &[PathBuf]) -> Result<()> {
        for file in files {
            let file = file.to_string_lossy();
            psql(&self.url, &["--single-transaction", "-f", &file])?;
        }
        Ok(())
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        if let Err(error) = psql(self.server, &["-c", &drop]) {
            say(format!("a database was left behind: {error:#}"));
        }
    }
}

fn psql(url: &str, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(programs().unwrap_or_default().join("psql"));
    command.args([
        "--no-psqlrc",
        "--quiet",
        "-v",
        "ON_ERROR_STOP=1",
        "-v",
        "VERBOSITY=terse",
        "-d",
        url,
    ]);
    output(command.args(arguments).stdin(Stdio::null()))
        .map(drop)
        .map_err(|error| anyhow::anyhow!(without_password(&format!("{error:#}"), url)))
}

/// The command's name contains the address, with its password.
fn without_password(text: &str, url: &str) -> String {
    text.replace(url, "the server")
}

/// The same server's address with another database.
fn with_database(url: &str, name: &str) -> String {
    let (base, query) = match url.split_once('?') {
        Some((base, query)) => (base, format!("?{query}")),
        None => (url, String::new()),
    };
    let host = base.find("://").map_or(0, |at| at + 3);
    let end = base[host..].find('/').map_or(base.len(), |at| host + at);
    format!("{}/{name}{query}", &base[..end])
}

/// Whether we can start a server of our own.
pub(crate) fn is_there() -> bool {
    programs().is_some()
}

/// The directory with the server's programs; empty where they are on PATH.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir(DEBIAN).ok().into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|entry| {
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            let programs = entry.path().join("bin");
            let whole = ["initdb", "postgres", "psql"]
                .iter()
                .all(|name| programs.join(name).is_file());
            whole.then_some((version, programs))
        })
        .max();
    if let Some((_, programs)) = newest {
        return Some(programs);
    }
    let on_path = ["initdb", "postgres", "psql"]
        .iter()
        .all(|name| answers(Command::new(name).arg("--version")));
    on_path.then(PathBuf::new)
}

/// A server in its own directory; both are removed when this is dropped.
struct Cluster {
    /// Its address, a socket in its directory, which only its user and root can
    /// reach.
    url: String,
    process: Child,
    programs: PathBuf,
    user: Option<(u32, u32)>,
    directory: TempDir,
}

impl Cluster {
    fn start(programs: &Path) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("swath-postgres-")
            .tempdir()
            .context("cannot make a temporary directory")?;
        let user = user()?;
        if let Some((uid, gid)) = user {
            chown(directory.path(), Some(uid), Some(gid))
                .with_context(|| format!("cannot give a directory to the user {USER}"))?;
        }
        let data = directory.path().join("data");
        let mut init = as_user(programs.join("initdb"), user, directory.path());
        // The server also accepts connections from this machine over the network, but they need this
        // password, which nobody knows.
        let password = directory.path().join("password");
        fs::write(&password, random()?).context("cannot write a password")?;
        if let Some((uid, gid)) = user {
            chown(&password, Some(uid), Some(gid))?;
        }
        init.args(["--username", "swath", "--auth-local", "trust"])
            .args(["--auth-host", "scram-sha-256", "--pwfile"])
            .arg(&password)
            .args(["--encoding", "UTF8", "--locale", "C", "--pgdata"])
            .arg(&data);
        output(&mut init).context("no directory for a Postgres server can be made")?;
        let port = free_port()?;
        let process = serve(programs, user, directory.path(), port)?;
        let socket = directory.path().to_string_lossy().replace('/', "%2F");
        let mut cluster = Self {
            url: format!("postgres://swath@{socket}:{port}/postgres"),
            process,
            programs: programs.to_owned(),
            user,
            directory,
        };
        cluster.wait(port)?;
        Ok(cluster)
    }

    /// Waits until the server answers.
    fn wait(&mut self, port: u16) -> Result<()> {
        let started = Instant::now();
        loop {
            let mut ready = Command::new(self.programs.join("pg_isready"));
            ready.arg("-q").arg("-h").arg(self.directory.path());
            if answers(ready.args(["-p", &port.to_string()])) {
                return Ok(());
            }
            let ended = self.process.try_wait()?;
            if ended.is_some() || started.elapsed() > START {
                let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
                bail!(
                    "the Postgres server does not start: {}",
                    crate::process::last_line(&log)
                );
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Stops it at once without writing anything, since all of it is
        // removed.
        let mut stop = as_user(
            self.programs.join("pg_ctl"),
            self.user,
            self.directory.path(),
        );
        stop.args(["stop", "--mode", "immediate", "--pgdata"])
            .arg(self.directory.path().join("data"));
        if !answers(&mut stop) {
            // It has ended, or it hangs.
            let _gone = self.process.kill();
        }
        let _status = self.process.wait();
    }
}

/// Starts the server. It ends when this process does, however this process
/// ends.
fn serve(programs: &Path, user: Option<(u32, u32)>, directory: &Path, port: u16) -> Result<Child> {
    let postgres = programs.join("postgres");
    let mut command = if is_installed(Command::new("setpriv").arg("--version")) {
        let mut command = as_user("setpriv".into(), user, directory);
        command.args(["--pdeathsig", "QUIT"]).arg(postgres);
        command
    } else {
        as_user(postgres, user, directory)
    };
    let log = fs::File::create(directory.join("log"))?;
    command
        .arg("-D")
        .arg(directory.join("data"))
        .arg("-k")
        .arg(directory)
        .args(["-p", &port.to_string()])
        .args(["-c", "listen_addresses=127.0.0.1"])
        // Several tests run at a time, each with several connections.
        .args(["-c", "max_connections=300"])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    command
        .spawn()
        .context("the Postgres server cannot be started")
}

fn as_user(program: PathBuf, user: Option<(u32, u32)>, directory: &Path) -> Command {
    let mut command = Command::new(program);
    // The current directory may be one that this user may not enter.
    command.current_dir(directory);
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command
}

/// The user to run the server as: `None`, the current one, unless we are root.
fn user() -> Result<Option<(u32, u32)>> {
    let id = |arguments: &[&str]| -> Result<u32> {
        let id = output(Command::new("id").args(arguments))?;
        id.trim().parse().context("`id` did not print a number")
    };
    if id(&["-u"])? != 0 {
        return Ok(None);
    }
    let why = format!(
        "root may not run a Postgres server, and there is no user {USER} to do so; name one in {SERVER}"
    );
    let uid = id(&["-u", USER]).context(why)?;
    Ok(Some((uid, id(&["-g", USER])?)))
}

/// A port that is free right now.
fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).context("no port is free")?;
    Ok(listener.local_addr()?.port())
}

fn random() -> Result<String> {
    use std::io::Read;
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u128::from_ne_bytes(bytes).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_database_of_the_same_server() {
        let cases = [
            ("postgres://me@h:1/a", "postgres://me@h:1/b"),
            ("postgres://me@h:1", "postgres://me@h:1/b"),
            (
                "postgres://%2Ftmp%2Fx:1/a?sslmode=disable",
                "postgres://%2Ftmp%2Fx:1/b?sslmode=disable",
            ),
        ];
        for (url, other) in cases {
            assert_eq!(with_database(url, "b"), other);
        }
    }

    #[test]
    fn a_failure_does_not_show_the_address() {
        let url = "postgres://me:secret@h/a";
        let text = format!("`psql -d {url}` failed");
        assert_eq!(without_password(&text, url), "`psql -d the server` failed");
    }

    #[test]
    fn a_server_of_our_own_takes_statements_and_goes() {
        let Some(programs) = programs() else {
            eprintln!("SKIP a_server_of_our_own_takes_statements_and_goes: no Postgres");
            return;
        };
        let cluster = Cluster::start(&programs).unwrap();
        let directory = cluster.directory.path().to_owned();
        let server = Server {
            url: cluster.url.clone(),
            _own: Some(cluster),
        };
        let database = server.database("swath_xtask_test").unwrap();
        psql(&database.url, &["-c", "CREATE TABLE a (x int)"]).unwrap();
        let error = psql(&database.url, &["-c", "CREATE TABLE a (x int)"]).unwrap_err();
        assert!(format!("{error:#}").contains("already exists"), "{error:#}");
        drop(database);
        drop(server);
        assert!(!directory.exists());
    }
}
