//! One struct per verb; their comments are the help.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Args, Subcommand};
use clap_complete::Shell;
use swath_coordinator::server::CONNECTIONS_PER_ADDRESS;
use swath_model::id::WorkerName;
use swath_service::LogFormat;

use super::{Output, OutputParser, environment};

/// Trains a sweep on this machine and prints its table
///
/// Needs no server: it keeps a database in the current directory, starts a
/// worker with one slot per core, shows progress, and prints the table of
/// results. Ctrl-C stops it without losing a finished job; the same command
/// trains the rest.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator run sweeps/quickstart.toml
  coordinator run sweeps/quickstart.toml --slots 2 -o md > table.md
  coordinator run quickstart          the open jobs of a sweep in the database")]
pub(crate) struct Run {
    /// A sweep file, or the name of a sweep in the database
    #[arg(value_name = "FILE|SWEEP")]
    pub(crate) sweep: String,
    #[command(flatten)]
    pub(crate) local: Local,
    /// Give up waiting after so many seconds; finished jobs are kept
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
    /// Where the worker keeps its log and unreported outcomes [default: beside
    /// the database, named after it with `.worker` added]
    #[arg(long, value_name = "DIR", env = environment::STATE_DIR, hide_env_values = true)]
    pub(crate) state_dir: Option<PathBuf>,
}

/// Shows what sweep files would train, without training
///
/// Works offline. Shows every cell and its jobs and, if a coordinator or a
/// database can be asked, how many of them are known already. Several files are
/// one plan: a job that two of them need counts once.
///
/// Jobs that are not measured yet are priced by similar jobs trained here, else
/// by probes, else by published times. --probe measures what has no price: it
/// times 20 steps of each kind, in jobs that only take idle slots, or on this
/// machine if no coordinator answers. The measured time and memory are kept for
/// later plans.
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
    /// Measure the time and memory of steps that have not been measured yet
    #[arg(long, env = environment::PROBE, hide_env_values = true)]
    pub(crate) probe: bool,
    /// With --probe: give up waiting after so many seconds
    #[arg(long, value_name = "SECONDS", env = environment::TIMEOUT, hide_env_values = true)]
    pub(crate) timeout: Option<u64>,
    #[command(flatten)]
    pub(crate) local: Local,
}

/// Queues a sweep file
///
/// Submitting the same file twice changes nothing; a grown file queues only
/// what is new. Jobs that another sweep has trained are not trained again. A
/// changed file under a known name is the next version under it, and the name
/// means that one from then on; what is open of the version before goes on.
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
    /// Sweeps with a greater priority go first [default: 0, or what a known
    /// sweep has]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    #[arg(env = environment::PRIORITY, hide_env_values = true)]
    pub(crate) priority: Option<i32>,
    /// A word by which to find the sweep; may be given several times
    #[arg(long, value_name = "TAG", env = environment::TAG, hide_env_values = true)]
    #[arg(value_delimiter = ',')]
    pub(crate) tag: Vec<String>,
    /// Wait until the sweep is finished, then print its table
    #[arg(long, env = environment::WAIT, hide_env_values = true)]
    #[arg(value_parser = FalseyValueParser::new())]
    pub(crate) wait: bool,
    /// With `--wait`: give up after so many seconds; the work goes on
    #[arg(long, value_name = "SECONDS", env = environment::TIMEOUT, hide_env_values = true)]
    pub(crate) timeout: Option<u64>,
}

/// Waits for a sweep that was submitted, then prints its table
///
/// Ends as `submit --wait` does, with the same exit codes; a sweep that is finished is not waited for. Ctrl-C ends the
/// waiting, and the work goes on.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator wait quickstart
  coordinator wait last --timeout 3600 -o csv > last.csv")]
pub(crate) struct Wait {
    /// Which sweep; of several that a pattern names, the newest
    #[arg(value_name = "SWEEP")]
    pub(crate) sweep: String,
    /// Give up after so many seconds; the work goes on
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
    /// Also archived sweeps, and every one that is over
    #[arg(short, long, env = environment::ALL, hide_env_values = true)]
    #[arg(value_parser = FalseyValueParser::new())]
    pub(crate) all: bool,
    /// Stay and show every change; Ctrl-C ends it
    #[arg(short, long, env = environment::WATCH, hide_env_values = true)]
    #[arg(value_parser = FalseyValueParser::new())]
    pub(crate) watch: bool,
}

/// Lists sweeps
///
/// `NAME@VERSION` tells sweeps of one name apart; the name alone means the one
/// that was submitted last.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator sweeps --mine
  coordinator sweeps --tag iclr -o wide")]
pub(crate) struct Sweeps {
    /// Also archived sweeps
    #[arg(short, long, env = environment::ALL, hide_env_values = true)]
    #[arg(value_parser = FalseyValueParser::new())]
    pub(crate) all: bool,
    /// Only those that you submitted (see SWATH_USER)
    #[arg(long, env = environment::MINE, hide_env_values = true)]
    #[arg(value_parser = FalseyValueParser::new(), conflicts_with = "owner")]
    pub(crate) mine: bool,
    /// Only those that this person submitted
    #[arg(long, value_name = "NAME", env = environment::OWNER, hide_env_values = true)]
    pub(crate) owner: Option<String>,
    /// Only those with this tag; with several, those that have all
    #[arg(long, value_name = "TAG", env = environment::TAG, hide_env_values = true)]
    #[arg(value_delimiter = ',')]
    pub(crate) tag: Vec<String>,
}

/// Whether a verb asks before it touches more than one named thing.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Ask {
    /// Do it without a question
    #[arg(short, long, env = environment::YES, hide_env_values = true)]
    #[arg(value_parser = FalseyValueParser::new())]
    pub(crate) yes: bool,
}

/// Gives a sweep another name
///
/// No other sweep may have that name. Numbers imported for the sweep follow it;
/// the name of its file stays what it is.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator rename baseline@2 bobs_baseline")]
pub(crate) struct Rename {
    /// Which sweep
    #[arg(value_name = "SWEEP")]
    pub(crate) sweep: String,
    /// Its new name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

/// Adds tags to sweeps, or removes them
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator tag quickstart iclr camera-ready
  coordinator tag quickstart --remove iclr")]
pub(crate) struct Tag {
    /// Which sweeps
    #[arg(value_name = "SWEEP")]
    pub(crate) sweep: String,
    /// Tags to add
    #[arg(value_name = "TAG", required_unless_present = "remove")]
    pub(crate) add: Vec<String>,
    /// A tag to remove; may be given several times
    #[arg(long, value_name = "TAG", env = environment::REMOVE, hide_env_values = true)]
    #[arg(value_delimiter = ',')]
    pub(crate) remove: Vec<String>,
}

/// Notes something about a sweep; an empty text removes the note
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator note quickstart 'wrong crop, see version 2'")]
pub(crate) struct Note {
    /// Which sweep
    #[arg(value_name = "SWEEP")]
    pub(crate) sweep: String,
    /// One line
    #[arg(value_name = "TEXT")]
    pub(crate) note: String,
}

/// Leaves sweeps out of `sweeps` and `status`; nothing else changes
///
/// `--all` shows them there, and by name they are found everywhere. For a
/// pattern or several sweeps it shows what it would touch, and asks.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator archive 'pilot_*'
  coordinator archive pilot_1 --undo")]
pub(crate) struct Archive {
    /// Which sweeps
    #[arg(value_name = "SELECTOR", required = true)]
    pub(crate) selector: Vec<String>,
    /// Show them in lists again
    #[arg(long, env = environment::UNDO, hide_env_values = true)]
    #[arg(value_parser = FalseyValueParser::new())]
    pub(crate) undo: bool,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

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
    /// Show at most so many
    #[arg(long, value_name = "N", env = environment::LIMIT, hide_env_values = true)]
    pub(crate) limit: Option<u32>,
}

/// Says why cells of a sweep got more replicates than others
///
/// For sweeps with `replicates = { min, max, until = "ranked" }`. Lists each
/// replicate beyond `min` with the two neighbouring cells whose order was not
/// decided, their medians, and the p of the exact U test with the level it is
/// held against; then the pairs that stay undecided.
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

/// Lists workers, forgets one that is gone, or takes one its access
#[derive(Args, Debug)]
pub(crate) struct Workers {
    #[command(subcommand)]
    pub(crate) action: Option<WorkersVerb>,
}

/// What can be done to the list of workers.
#[derive(Debug, Subcommand)]
pub(crate) enum WorkersVerb {
    Forget(ForgetWorker),
    Revoke(RevokeWorker),
}

/// Takes a worker's certificates no more
///
/// Its connections are closed within seconds, and what it holds waits again. Only a
/// token that is made for its name brings it back.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  coordinator workers revoke gpu7")]
pub(crate) struct RevokeWorker {
    /// The worker's name
    #[arg(value_name = "WORKER")]
    pub(crate) worker: WorkerName,
}

/// Leaves a worker that is gone out of the list
///
/// Refused while it is alive. What it still holds waits again at once, its name
/// is free, and a cordon is lifted. A worker that comes back is listed again.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  coordinator workers forget gpu7")]
pub(crate) struct ForgetWorker {
    /// The worker's name
    #[arg(value_name = "WORKER")]
    pub(crate) worker: WorkerName,
}

/// Says why a job is in its state, and what can be done
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
///
/// Characters that act on a terminal, such as those of colours, are written out.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  coordinator logs 3fa9c1 --follow")]
pub(crate) struct Logs {
    /// Which job
    #[arg(value_name = "JOB", required = true)]
    pub(crate) selector: Vec<String>,
    /// Keep printing what comes, until the job ends
    #[arg(short, long, env = environment::FOLLOW, hide_env_values = true)]
    #[arg(value_parser = FalseyValueParser::new())]
    pub(crate) follow: bool,
    /// Print it as it is, also what acts on a terminal
    #[arg(long, env = environment::RAW, hide_env_values = true)]
    #[arg(value_parser = FalseyValueParser::new())]
    pub(crate) raw: bool,
}

/// Lists what an attempt of a job left in its directory, or fetches it
///
/// With `-o DIR` the files are copied there, all of them or those that are
/// named; what is there already is not fetched again, what was cut off goes on,
/// and a file there that is another one stays. Each file is checked by its
/// digest. Links are told, not followed.
///
/// The files stay with the worker that ran the attempt, which must be connected.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator files 3fa9c1
  coordinator files 3fa9c1 -o results
  coordinator files 3fa9c1 -o results model.pt 'figures/*.png'
  coordinator files 'digits_mlp lr=0.1 replicate=1' --attempt 1 -o json")]
pub(crate) struct Files {
    /// Which job
    #[arg(value_name = "JOB")]
    pub(crate) job: String,
    /// Which files: paths and patterns [default: all]
    #[arg(value_name = "FILE")]
    pub(crate) named: Vec<String>,
    /// Which attempt [default: the one whose result counts, or else the last]
    #[arg(long, value_name = "N", env = environment::FILES_ATTEMPT, hide_env_values = true)]
    pub(crate) attempt: Option<u32>,
    /// Put the attempt's files in place of others that are in the directory
    #[arg(long, env = environment::REPLACE, hide_env_values = true)]
    #[arg(value_parser = FalseyValueParser::new())]
    pub(crate) replace: bool,
    /// How to print the list; or the directory to fetch the files into
    // The same as the global option, but any word that is no format is a
    // directory.
    #[arg(short, long, value_parser = OutputParser::directory(), value_name = "FORMAT|DIR")]
    #[arg(default_value = "table", env = environment::OUTPUT, hide_env_values = true)]
    pub(crate) output: Output,
}

/// Cancels sweeps or jobs
///
/// Cancelling a sweep cancels only the jobs that no other sweep needs. Finished
/// measurements are kept. For a pattern, or more than one sweep, it shows what
/// it would touch, and asks.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator cancel quickstart
  coordinator cancel last batch_size=1024")]
pub(crate) struct Cancel {
    /// Which sweeps or jobs
    #[arg(value_name = "SELECTOR", required = true)]
    pub(crate) selector: Vec<String>,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// Deletes sweeps, with the jobs that no other sweep holds
///
/// Their attempts, results, curves and logs go too, and cannot be brought back.
/// It shows what it would touch, and asks. Another sweep keeps the jobs that it
/// has in common with a deleted one. `archive` only hides a sweep.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator delete pilot@1
  coordinator delete 'pilot_*' --cancel")]
pub(crate) struct Delete {
    /// Which sweeps
    #[arg(value_name = "SELECTOR", required = true)]
    pub(crate) selector: Vec<String>,
    /// Also with open jobs: those that no other sweep needs are cancelled
    #[arg(long, env = environment::CANCEL, hide_env_values = true)]
    #[arg(value_parser = FalseyValueParser::new())]
    pub(crate) cancel: bool,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// Pauses sweeps: running jobs go on, no new ones start
///
/// For a pattern, or more than one sweep, it shows what it would touch, and
/// asks.
#[derive(Args, Debug)]
pub(crate) struct Pause {
    /// Which sweeps
    #[arg(value_name = "SELECTOR", required = true)]
    pub(crate) selector: Vec<String>,
    #[command(flatten)]
    pub(crate) ask: Ask,
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
/// (`coordinator explain JOB` lists them). Diverged jobs are trained again only
/// with --diverged.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator retry quickstart
  coordinator retry quickstart --diverged
  coordinator retry digits_mlp --stale
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
    /// The jobs of a sweep whose program has changed since, with the program as it
    /// is now; they are those of the next version of the sweep
    #[arg(long, env = environment::STALE, hide_env_values = true)]
    #[arg(value_parser = FalseyValueParser::new())]
    #[arg(conflicts_with_all = ["failed", "missing", "diverged"])]
    pub(crate) stale: bool,
}

/// Throws results away that turned out to be wrong, and trains their jobs anew
///
/// For what the name of a job does not tell: data that were wrong, a file that
/// `inputs` does not list, another working directory. The results of the jobs, be
/// it a number or a divergence, count no more in any sweep that has them, and the
/// jobs are queued again. Their attempts stay on record as forgotten, with their
/// curves and logs (`coordinator explain JOB`). It shows what tables lose, and
/// asks.
///
/// Jobs that failed otherwise or were cancelled are for `retry`. A changed script
/// needs nothing of this: its jobs are others (`retry --stale`). A program that goes
/// on from checkpoints of its own must be told not to use the old ones.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator forget digits_mlp
  coordinator forget last optimizer.lr=0.1 state=diverged
  coordinator forget 3fa9c1 --yes")]
pub(crate) struct Forget {
    /// Which sweeps or jobs
    #[arg(value_name = "SELECTOR", required = true)]
    pub(crate) selector: Vec<String>,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// Trains more replicates of each cell of a sweep
///
/// Existing replicates stay as they are; only the new ones train. Where results
/// decide how many replicates a cell gets, this raises their `max`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator extend quickstart --replicates 5
  coordinator extend quickstart --replicates 5 --run     trains them on this machine")]
pub(crate) struct Extend {
    /// Which sweep
    #[arg(value_name = "SWEEP", required = true)]
    pub(crate) selector: Vec<String>,
    /// Replicates per cell; must be more than it has
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

/// Trains one job again on this machine and compares the results bit by bit
///
/// The new results are not kept. Every number that the training reports is
/// compared, epoch by epoch, among them the distance of the weights from where
/// they started. Each difference is shown with its possible reasons: another
/// device, version or number of threads. Exit code 10: the results differ.
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

/// Adds numbers from elsewhere to a sweep's table
///
/// Takes a CSV file: its first line names the columns, and each further line is
/// one number. The columns are parameters (`batch_size`, `optimizer.lr`, …) and
/// `test_error`, and optionally `n` (how many runs it is the median of), `runs`
/// (the value of each), `replicate`, `seed`, `seconds` or `minutes`, `source`,
/// `sweep`, `table`. A line belongs to the one cell that has its parameters; an
/// empty field matches any value. If any line is wrong, nothing is stored.
/// Importing the same file twice changes nothing.
///
/// Imported numbers count among the replicates of their cell. A footnote at its
/// figure says whose they are; exports have a column `imported`. A median of
/// several runs counts as that many runs in n and in the median, and in no
/// other statistic, because it is not a run. Jobs are not changed: they can
/// still be trained. Once a replicate is measured, an imported number that stood
/// in its place counts as a further run.
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
    /// The sweep or sweeps [default: those that name the file as their
    /// reference, else the only one]
    #[arg(long, value_name = "SWEEP", env = environment::SWEEP, hide_env_values = true)]
    pub(crate) sweep: Option<String>,
    /// Who published the numbers, where the file does not say [default: the
    /// file's name]
    #[arg(long, value_name = "TEXT", env = environment::SOURCE, hide_env_values = true)]
    pub(crate) source: Option<String>,
    /// Only lines with this value in the column `table`
    #[arg(long, value_name = "TABLE", env = environment::TABLE, hide_env_values = true)]
    pub(crate) table: Option<String>,
    /// First remove the earlier numbers of the same sources in these sweeps
    #[arg(long, env = environment::REPLACE, hide_env_values = true)]
    #[arg(value_parser = FalseyValueParser::new())]
    pub(crate) replace: bool,
}

/// Serves sweeps and hands out jobs to workers
///
/// One coordinator leads a database. Over Postgres, others may stand by: they
/// answer readers, and one of them takes over within seconds. SIGTERM or Ctrl-C
/// stops it gracefully; workers keep training and report when a coordinator that
/// they know is back.
///
/// Any other address than a loopback one needs TLS and tokens: `coordinator init`
/// makes what is needed, and then `serve` uses it.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator serve
  coordinator serve --listen 0.0.0.0:7070 --database sqlite:/srv/swath/swath.db
  coordinator serve --listen 0.0.0.0:7070 --advertise https://head.lab:7070
  coordinator serve --policy policy.toml --log debug")]
pub(crate) struct Serve {
    /// The address to listen on; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7070")]
    #[arg(env = environment::LISTEN, hide_env_values = true)]
    pub(crate) listen: SocketAddr,
    /// The URL by which workers and other coordinators reach this one
    /// [default: the address it listens on; if that is every address, the name
    /// of this host]
    #[arg(long, value_name = "URL", env = environment::ADVERTISE, hide_env_values = true)]
    pub(crate) advertise: Option<String>,
    /// The most connections from one address: a worker has a few, and all behind
    /// one router come from the same
    #[arg(long, value_name = "COUNT", default_value_t = CONNECTIONS_PER_ADDRESS)]
    #[arg(env = environment::CONNECTIONS, hide_env_values = true)]
    pub(crate) connections_per_address: NonZeroUsize,
    /// What to log on stderr: a level, or filters as in RUST_LOG [default: info]
    #[arg(long, value_name = "FILTER", env = environment::LOG, hide_env_values = true)]
    pub(crate) log: Option<String>,
    /// How to log
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t, env = environment::LOG_FORMAT)]
    #[arg(hide_env_values = true)]
    pub(crate) log_format: LogFormat,
}

/// Gives a worker no more jobs; it keeps what it has
#[derive(Args, Debug)]
pub(crate) struct Cordon {
    /// The worker's name
    #[arg(value_name = "WORKER")]
    pub(crate) worker: WorkerName,
}

/// Gives a cordoned or drained worker jobs again
#[derive(Args, Debug)]
pub(crate) struct Activate {
    /// The worker's name
    #[arg(value_name = "WORKER")]
    pub(crate) worker: WorkerName,
}

/// Asks a worker to give back its jobs and to leave
#[derive(Args, Debug)]
pub(crate) struct Drain {
    /// The worker's name
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
