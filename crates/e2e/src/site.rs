//! A place with a coordinator's database, sweep files and workers' state.

use std::fmt::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Output, Process, binary, finish};

/// Lease times with which a test sees in seconds what otherwise takes minutes.
const POLICY: &str = "\
heartbeat_ms = 300
ttl_ms = 1500
grace_min_ms = 1000
grace_max_ms = 1000
sweeper_ms = 200
backoff_base_ms = 100
backoff_max_ms = 400
drain_ms = 5000
";

/// A temporary directory for everything that a cluster leaves behind.
#[derive(Debug)]
pub struct Site {
    dir: TempDir,
    url: Option<String>,
    /// Whether its coordinator asks everybody who they are.
    secured: bool,
}

/// The files with the tokens of a secured site.
const ADMIN_TOKEN: &str = "swath.db.identity/admin.token";
const WORKER_TOKEN: &str = "worker.token";

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

impl Site {
    /// An empty site.
    ///
    /// # Panics
    ///
    /// When the directory cannot be made.
    pub fn new() -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        std::fs::write(dir.path().join("policy.toml"), POLICY).expect("policy.toml");
        Self {
            dir,
            url: None,
            secured: false,
        }
    }

    /// An empty site whose coordinator speaks TLS. Commands are an admin's, and any
    /// number of workers are let in.
    ///
    /// # Panics
    ///
    /// When the commands that make its identity fail.
    pub fn secured() -> Self {
        let site = Self {
            secured: true,
            ..Self::new()
        };
        site.ok(&["init", "--host", "localhost"]);
        let token = "token create --role worker --uses 0 --expires never --into";
        let token: Vec<&str> = token.split(' ').chain([WORKER_TOKEN]).collect();
        site.ok(&token);
        site
    }

    /// Whether its coordinator speaks TLS.
    pub const fn is_secured(&self) -> bool {
        self.secured
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file into it.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).expect("a directory");
        }
        std::fs::write(&path, text).expect("a file");
        path
    }

    /// The coordinator's URL, once one has been started.
    ///
    /// # Panics
    ///
    /// If none has been started.
    pub fn url(&self) -> &str {
        self.url.as_deref().expect("a coordinator was started")
    }

    /// A `coordinator` command in the site's directory, without the caller's
    /// settings.
    pub fn coordinator(&self) -> Command {
        let mut command = Command::new(binary("coordinator"));
        command.current_dir(self.path());
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("SWATH_") && name != "SWATH_LIBTORCH" {
                command.env_remove(name);
            }
        }
        command
            .env("HOME", self.path())
            .env("NO_COLOR", "1")
            // Tests fetch nothing.
            .env("SWATH_DATA_MIRROR", "none");
        command
    }

    /// Starts `coordinator serve` with short lease times. The first start takes
    /// any port; later starts take the same port, as a restarted daemon would.
    pub fn serve(&mut self) -> Process {
        self.serve_with("sqlite:swath.db", &[])
    }

    /// The same on this database, with these variables.
    pub fn serve_with(&mut self, database: &str, variables: &[(&str, String)]) -> Process {
        let listen = match &self.url {
            Some(url) => url
                .trim_start_matches("https://")
                .trim_start_matches("http://")
                .to_owned(),
            None => "127.0.0.1:0".to_owned(),
        };
        let mut process = self.serve_on(&listen, database, variables);
        let rest = process.wait_for_line("listening on ");
        let url = rest.split([',', ' ']).next().unwrap_or("").to_owned();
        self.url = Some(url);
        process
    }

    /// Starts `coordinator serve` at this address, on this database, with the
    /// site's policy and these variables. It may not listen yet.
    pub fn serve_on(&self, listen: &str, database: &str, variables: &[(&str, String)]) -> Process {
        let mut command = self.coordinator();
        command.args(["serve", "--listen", listen, "--database", database]);
        command.args(["--policy", "policy.toml"]);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        Process::start("coordinator", &mut command)
    }

    /// Commands and workers ask the coordinators at these URLs from now on,
    /// separated by commas.
    pub fn reach(&mut self, urls: &str) {
        self.url = Some(urls.to_owned());
    }

    /// A `worker` command for this site's coordinator. Its state is in a
    /// directory with its name.
    pub fn worker_command(&self, name: &str, slots: u32) -> Command {
        let mut command = Command::new(binary("worker"));
        command.current_dir(self.path());
        command
            .env("HOME", self.path())
            .env("SWATH_DATA_MIRROR", "none")
            .env_remove("SWATH_COORDINATOR");
        command.args(["--coordinator", self.url(), "--name", name]);
        command.args([
            "--device",
            &format!("cpu:{slots}"),
            "--threads-per-slot",
            "1",
        ]);
        command
            .arg("--state-dir")
            .arg(self.path().join(format!("state-{name}")));
        if self.secured {
            command.args(["--token-file", WORKER_TOKEN]);
        }
        command
    }

    /// Starts a worker that may run these programs.
    pub fn worker(&self, name: &str, slots: u32, programs: &[&str]) -> Process {
        let mut command = self.worker_command(name, slots);
        for program in programs {
            command.args(["--allow-command", program]);
        }
        Process::start(name, &mut command)
    }

    /// Runs one coordinator command against this site's coordinator to its
    /// end.
    pub fn run(&self, args: &[&str]) -> Output {
        self.run_within(Duration::from_mins(4), args)
    }

    /// The same with another limit to its time.
    pub fn run_within(&self, limit: Duration, args: &[&str]) -> Output {
        self.finish("", limit, args)
    }

    /// The same as this user.
    pub fn run_as(&self, user: &str, args: &[&str]) -> Output {
        self.finish(user, Duration::from_mins(4), args)
    }

    fn finish(&self, user: &str, limit: Duration, args: &[&str]) -> Output {
        let mut command = self.coordinator();
        if let Some(url) = &self.url {
            command.env("SWATH_COORDINATOR", url);
            if self.secured {
                command.env("SWATH_TOKEN_FILE", ADMIN_TOKEN);
            }
        }
        command.env("SWATH_USER", user).args(args);
        finish(
            &format!("coordinator {}", args.join(" ")),
            &mut command,
            limit,
        )
    }

    /// Runs a command that must succeed. Returns its stdout.
    ///
    /// # Panics
    ///
    /// When it does not exit 0.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(
            output.code,
            Some(0),
            "coordinator {}:\n{}",
            args.join(" "),
            output.stderr
        );
        output.stdout
    }

    /// Runs a command that must succeed with `-o json`. Returns its document.
    ///
    /// # Panics
    ///
    /// If it does not succeed, or does not print JSON.
    pub fn json(&self, args: &[&str]) -> Value {
        let mut args = args.to_vec();
        args.extend(["-o", "json"]);
        let text = self.ok(&args);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// The counts of a sweep's jobs by state.
    pub fn count(&self, sweep: &str, state: &str) -> u64 {
        let status = self.json(&["status", sweep]);
        status["sweeps"]
            .as_array()
            .and_then(|sweeps| sweeps.last()?["counts"][state].as_u64())
            .unwrap_or(0)
    }
}

/// The rows of a table document without what depends on when and where it was
/// trained: cells, numbers and counts remain.
pub fn rows(table: &Value) -> Vec<Value> {
    let numbers = |row: &Value| {
        let keys = [
            "cell", "axes", "n", "of", "median", "min", "max", "values", "diverged",
        ];
        keys.iter()
            .map(|key| ((*key).to_owned(), row[*key].clone()))
            .collect()
    };
    table["rows"]
        .as_array()
        .map(|rows| rows.iter().map(numbers).collect())
        .unwrap_or_default()
}

/// An address that is free just now.
///
/// # Panics
///
/// When there is none.
pub fn free_address() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("its address").to_string()
}

/// The text of a small sweep file.
#[derive(Clone, Debug)]
pub struct SweepText {
    name: String,
    replicates: u32,
    fixed: String,
    grid: String,
}

impl SweepText {
    /// A sweep of the built-in trainer over the shipped digits that takes
    /// seconds.
    pub fn digits(name: &str) -> Self {
        let fixed = "\
dataset.name = \"digits\"
model = { name = \"resnet_preact\", depth = 8, initial_channels = 4 }
epochs = 2
optimizer = { lr = 0.1, momentum = 0.9 }
schedule.name = \"cosine\"
";
        Self {
            name: name.to_owned(),
            replicates: 2,
            fixed: fixed.to_owned(),
            grid: "batch_size = [64, 128]\n".to_owned(),
        }
    }

    /// A sweep of jobs that do nothing.
    pub fn null(name: &str, cells: u32) -> Self {
        Self {
            name: name.to_owned(),
            replicates: 1,
            fixed: "trainer = { null = true }\n".to_owned(),
            grid: format!("\"params.x\" = {:?}\n", (0..cells).collect::<Vec<_>>()),
        }
    }

    /// A sweep of so many cells, a multiple of 20, of jobs that do nothing and
    /// that no such sweep of another number has.
    pub fn null_grid(name: &str, number: u32, cells: u32) -> Self {
        let list = |count: u32| (0..count).collect::<Vec<_>>();
        Self::null(name, 1)
            .fixed(&format!("\"params.sweep\" = {number}"))
            .grid(&format!(
                "\"params.x\" = {:?}\n\"params.y\" = {:?}\n",
                list(cells / 20),
                list(20)
            ))
    }

    /// A sweep that runs a program; `params.x` takes `cells` values.
    pub fn command(name: &str, argv: &[&str], cells: u32) -> Self {
        Self {
            fixed: format!("trainer = {{ command = {argv:?} }}\n"),
            ..Self::null(name, cells)
        }
    }

    /// The sweep with this many replicates.
    #[must_use]
    pub fn replicates(mut self, replicates: u32) -> Self {
        self.replicates = replicates;
        self
    }

    /// The sweep with another grid.
    #[must_use]
    pub fn grid(mut self, grid: &str) -> Self {
        grid.clone_into(&mut self.grid);
        self
    }

    /// The sweep with another line in `[fixed]`.
    #[must_use]
    pub fn fixed(mut self, line: &str) -> Self {
        let _ = writeln!(self.fixed, "{line}");
        self
    }
}

impl std::fmt::Display for SweepText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            name,
            replicates,
            fixed,
            grid,
        } = self;
        write!(
            f,
            "[sweep]\nname = \"{name}\"\nreplicates = {replicates}\n\n[fixed]\n{fixed}\n[[grid]]\n{grid}"
        )
    }
}
