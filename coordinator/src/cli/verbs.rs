//! One struct per verb; their comments are the help.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use clap::builder::FalseyValueParser;
use clap_complete::Shell;
use swath_model::id::WorkerName;

use super::environment;

/// Trains a sweep on this machine and prints its table
///
/// Needs no server: keeps a database beside you, starts a worker with one slot
/// per core, shows how it goes, and prints the table of results. Ctrl-C stops
/// it without losing a job that is done; the same command trains the rest.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator run sweeps/quickstart.toml
  coordinator run sweeps/quickstart.toml --slots 2 -o md > table.md
  coordinator run quickstart          what is open of a sweep that the database knows")]
pub(crate) struct Run {
    /// A sweep file, or the name of a sweep in the database
    #[arg(value_name = "FILE|SWEEP")]
    pub(crate) sweep: String,
    #[command(flatten)]
    pub(crate) local: Local,
    /// Give up waiting after so many seconds; what is done is kept
    #[arg(long, value_name = "SECONDS", env = environment::TIMEOUT, hide_env_values = true)]
    pub(crate) timeout: Option<u64>,
}

/// How a verb trains on this machine.
#[derive(Args, Clone, Debug)]
pub(crate) struct Local {
    /// How many jobs train at once [default: one per core]
    #[arg(long, value_name = "N", env = environment::SLOTS, hide_env_values = true)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) slots: Option<u32>,
    /// Where the worker keeps its log and unreported outcomes
    /// [default: beside the database, with `.worker` after its name]
    #[arg(long, value_name = "DIR", env = environment::STATE_DIR, hide_env_values = true)]
    pub(crate) state_dir: Option<PathBuf>,
}

/// Shows what sweep files would train, without training
///
/// Works offline. Every cell, its jobs and how many of them are known already,
/// if a coordinator or a database is there to ask. Several files are one plan:
/// a job that two of them need counts once.
///
/// The price of what is not measured comes from jobs alike that were trained
/// here, else from probes, else from published times. --probe measures what has
/// no price: 20 steps for each different cost of a step, as jobs that only take
/// idle slots, or on this machine where no coordinator answers. Their time and
/// memory are kept and serve later plans.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator plan sweeps/quickstart.toml
  coordinator plan sweeps/quickstart.toml --probe     measures what it will cost
  coordinator plan sweeps/*.toml -o json | jq .totals
  coordinator plan sweeps/quickstart.toml -o csv      one line per job")]
pub(crate) struct Plan {
    /// Sweep files
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Measure the time and memory of steps that were not measured yet
    #[arg(long, env = environment::PROBE, hide_env_values = true)]
    pub(crate) probe: bool,
    /// With --probe: give up waiting after so long
    #[arg(long, value_name = "SECONDS", env = environment::TIMEOUT, hide_env_values = true)]
    pub(crate) timeout: Option<u64>,
    #[command(flatten)]
    pub(crate) local: Local,
}

/// Queues a sweep file
///
/// The same file twice is a no-op; a grown file queues only what is new. Jobs
/// that another sweep has trained are not trained again.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator submit sweeps/linear_scaling.toml
  coordinator submit sweeps/linear_scaling.toml --priority 10
  coordinator submit sweeps/quickstart.toml --wait -o csv > quickstart.csv")]
pub(crate) struct Submit {
    /// The sweep file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The greatest goes first [default: 0, or what a known sweep has]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    #[arg(env = environment::PRIORITY, hide_env_values = true)]
    pub(crate) priority: Option<i32>,
    /// Wait until it is finished, then print its table
    #[arg(long, env = environment::WAIT, hide_env_values = true)]
    #[arg(value_parser = FalseyValueParser::new())]
    pub(crate) wait: bool,
    /// With `--wait`: give up after so many seconds; the work goes on
    #[arg(long, value_name = "SECONDS", env = environment::TIMEOUT, hide_env_values = true)]
    pub(crate) timeout: Option<u64>,
}

/// Shows how sweeps and workers are doing
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator status
  coordinator status quickstart --watch")]
pub(crate) struct Status {
    /// Which sweeps [default: all]
    #[arg(value_name = "SWEEP")]
    pub(crate) selector: Vec<String>,
    /// Stay and show every change; Ctrl-C ends it
    #[arg(short, long, env = environment::WATCH, hide_env_values = true)]
    #[arg(value_parser = FalseyValueParser::new())]
    pub(crate) watch: bool,
}

/// Lists every sweep
#[derive(Args, Debug)]
pub(crate) struct Sweeps {}

/// Lists jobs
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator jobs last state=failed
  coordinator jobs quickstart batch_size=128 'optimizer.lr>0.1'
  coordinator jobs state=failed -o ids | xargs -n1 coordinator logs")]
pub(crate) struct Jobs {
    /// Which jobs [default: all]
    #[arg(value_name = "SELECTOR")]
    pub(crate) selector: Vec<String>,
    /// At most so many
    #[arg(long, value_name = "N", env = environment::LIMIT, hide_env_values = true)]
    pub(crate) limit: Option<u32>,
}

/// Says why cells of a sweep got more replicates than others
///
/// For sweeps with `replicates = { min, max, until = "ranked" }`: each replicate
/// beyond `min`, with the two neighbouring cells whose order was not decided,
/// their medians, and the p of the exact U test against its level; then the pairs
/// that stay undecided.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator decisions python_ranked
  coordinator decisions python_ranked -o csv > why.csv")]
pub(crate) struct Decisions {
    /// Which sweep
    #[arg(value_name = "SWEEP", required = true)]
    pub(crate) selector: Vec<String>,
}

/// Lists every worker
#[derive(Args, Debug)]
pub(crate) struct Workers {}

/// Says why a job is where it is, and what can be done
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  coordinator explain 3fa9c1")]
pub(crate) struct Explain {
    /// Which job
    #[arg(value_name = "JOB", required = true)]
    pub(crate) selector: Vec<String>,
}

/// Prints what a job's trainer wrote
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  coordinator logs 3fa9c1 --follow")]
pub(crate) struct Logs {
    /// Which job
    #[arg(value_name = "JOB", required = true)]
    pub(crate) selector: Vec<String>,
    /// Stay and print what comes, until the job ends
    #[arg(short, long, env = environment::FOLLOW, hide_env_values = true)]
    #[arg(value_parser = FalseyValueParser::new())]
    pub(crate) follow: bool,
}

/// Cancels sweeps or jobs
///
/// Cancelling a sweep cancels only the jobs that no other sweep needs. What is
/// measured stays measured.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator cancel quickstart
  coordinator cancel last batch_size=1024")]
pub(crate) struct Cancel {
    /// Which sweeps or jobs
    #[arg(value_name = "SELECTOR", required = true)]
    pub(crate) selector: Vec<String>,
}

/// Pauses sweeps: what trains goes on, nothing new starts
#[derive(Args, Debug)]
pub(crate) struct Pause {
    /// Which sweeps
    #[arg(value_name = "SELECTOR", required = true)]
    pub(crate) selector: Vec<String>,
}

/// Resumes paused sweeps
#[derive(Args, Debug)]
pub(crate) struct Resume {
    /// Which sweeps
    #[arg(value_name = "SELECTOR", required = true)]
    pub(crate) selector: Vec<String>,
}

/// Queues failed and cancelled jobs again
///
/// The same seed is trained once more, and every attempt stays on record
/// (`coordinator explain JOB` lists them). What diverged is never replaced
/// without being asked for.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator retry quickstart
  coordinator retry quickstart --diverged
  coordinator retry last batch_size=1024 state=failed")]
pub(crate) struct Retry {
    /// Which sweeps or jobs
    #[arg(value_name = "SELECTOR", required = true)]
    pub(crate) selector: Vec<String>,
    /// Only those that failed [default: these and those that are missing]
    #[arg(long, env = environment::FAILED, hide_env_values = true)]
    #[arg(value_parser = FalseyValueParser::new())]
    pub(crate) failed: bool,
    /// Only those that are missing because they were cancelled
    #[arg(long, env = environment::MISSING, hide_env_values = true)]
    #[arg(value_parser = FalseyValueParser::new())]
    pub(crate) missing: bool,
    /// Only those that diverged; the same seed most likely diverges again
    #[arg(long, env = environment::DIVERGED, hide_env_values = true)]
    #[arg(value_parser = FalseyValueParser::new())]
    pub(crate) diverged: bool,
}

/// Trains more replicates of each cell of a sweep
///
/// The replicates that are there stay as they are; only the new ones train. Where
/// results decide how many a cell gets, it is their `max` that is raised.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator extend quickstart --replicates 5
  coordinator extend quickstart --replicates 5 --run     trains them on this machine")]
pub(crate) struct Extend {
    /// Which sweep
    #[arg(value_name = "SWEEP", required = true)]
    pub(crate) selector: Vec<String>,
    /// Replicates per cell; more than it has
    #[arg(long, value_name = "N", env = environment::REPLICATES, hide_env_values = true)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) replicates: u32,
    /// Train them on this machine like `run`, then print the table
    #[arg(long, env = environment::RUN, hide_env_values = true)]
    #[arg(value_parser = FalseyValueParser::new())]
    pub(crate) run: bool,
    #[command(flatten)]
    pub(crate) local: Local,
}

/// Trains one job again on this machine and compares it, bit by bit
///
/// Nothing of it is kept. Every number that the training reports is compared,
/// epoch by epoch; the distance of the weights from where they started is among
/// them. What differs is told with what may be why: another device, version or
/// number of threads. Exit code 10: it differs.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator replay 3fa9c1
  coordinator replay quickstart replicate=1 batch_size=16 optimizer.lr=0.05 -o json")]
pub(crate) struct Replay {
    /// Which job
    #[arg(value_name = "JOB", required = true)]
    pub(crate) selector: Vec<String>,
    /// Give up after so many seconds
    #[arg(long, value_name = "SECONDS", env = environment::TIMEOUT, hide_env_values = true)]
    pub(crate) timeout: Option<u64>,
}

/// Lets numbers from elsewhere count in a sweep's table
///
/// A CSV file: its first line names columns, each further line is a number. The
/// columns are parameters (`batch_size`, `optimizer.lr`, …) and `test_error`,
/// and if wanted `n` (the runs that it is the median of), `runs` (each of them),
/// `replicate`, `seed`, `seconds` or `minutes`, `source`, `sweep`, `table`. A
/// line belongs to the one cell that has its parameters; an empty field is any
/// value. Nothing is stored when a line is wrong, and the same file twice is a
/// no-op.
///
/// Imported numbers count among the replicates of a cell, whose figure has the
/// mark of a footnote that says whose they are; exports have a column `imported`.
/// A median of several runs counts as often in n and in the median, and in no
/// other statistic: it is no run. They lie beside the jobs, which can still be
/// trained: a measurement takes its place back.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator import sweeps/reference/initial_lr.csv     into the sweep that names it as its reference
  coordinator import old_runs.csv --sweep quickstart --source 'before Swath'
  coordinator import sweeps/reference/precision.csv --table 45 --replace")]
pub(crate) struct Import {
    /// The CSV file
    #[arg(value_name = "FILE.csv")]
    pub(crate) file: PathBuf,
    /// The sweep, or several [default: those that name the file as their reference, else the only one]
    #[arg(long, value_name = "SWEEP", env = environment::SWEEP, hide_env_values = true)]
    pub(crate) sweep: Option<String>,
    /// Who says so, where the file does not [default: the file's name]
    #[arg(long, value_name = "TEXT", env = environment::SOURCE, hide_env_values = true)]
    pub(crate) source: Option<String>,
    /// Only lines whose column `table` says this
    #[arg(long, value_name = "TABLE", env = environment::TABLE, hide_env_values = true)]
    pub(crate) table: Option<String>,
    /// Forget first what the same sources had said of these sweeps
    #[arg(long, env = environment::REPLACE, hide_env_values = true)]
    #[arg(value_parser = FalseyValueParser::new())]
    pub(crate) replace: bool,
}

/// Keeps sweeps and hands out jobs to workers
///
/// One coordinator leads a database. Others may stand by over Postgres: they
/// answer readers, and one of them takes over within seconds. SIGTERM or Ctrl-C
/// stop it gracefully; workers train on meanwhile and report when it, or another
/// one that they know, is back.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator serve
  coordinator serve --listen 0.0.0.0:7070 --database sqlite:/srv/swath/swath.db
  coordinator serve --listen 0.0.0.0:7070 --advertise http://head.lab:7070
  coordinator serve --policy policy.toml --log debug")]
pub(crate) struct Serve {
    /// Where to listen; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7070")]
    #[arg(env = environment::LISTEN, hide_env_values = true)]
    pub(crate) listen: SocketAddr,
    /// The URL by which workers and other coordinators reach this one
    /// [default: where it listens; with the name of this host, where that is
    /// every address]
    #[arg(long, value_name = "URL", env = environment::ADVERTISE, hide_env_values = true)]
    pub(crate) advertise: Option<String>,
    /// What to log on stderr: a level, or filters as in RUST_LOG [default: info]
    #[arg(long, value_name = "FILTER", env = environment::LOG, hide_env_values = true)]
    pub(crate) log: Option<String>,
}

/// Gives a worker no more jobs; it keeps what it has
#[derive(Args, Debug)]
pub(crate) struct Cordon {
    /// Its name
    #[arg(value_name = "WORKER")]
    pub(crate) worker: WorkerName,
}

/// Gives a cordoned or drained worker jobs again
#[derive(Args, Debug)]
pub(crate) struct Activate {
    /// Its name
    #[arg(value_name = "WORKER")]
    pub(crate) worker: WorkerName,
}

/// Asks a worker to give back what it has and to leave
#[derive(Args, Debug)]
pub(crate) struct Drain {
    /// Its name
    #[arg(value_name = "WORKER")]
    pub(crate) worker: WorkerName,
}

/// Prints a completion script for a shell
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator completions bash > ~/.local/share/bash-completion/completions/coordinator
  coordinator completions fish > ~/.config/fish/completions/coordinator.fish")]
pub(crate) struct Completions {
    /// Which shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}
