//! The worker's settings from its command line and its environment.

mod allowed;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::Resettable;
use clap::{CommandFactory, FromArgMatches, Parser};
use rustix::process::Pid;
use swath_model::device::Device;
use swath_model::id::{StateId, WorkerName};
use swath_model::offer::Offer;
use swath_model::program::{JOB_VARIABLE, JOB_VARIABLES};
use swath_model::text::read_bytes;
use swath_model::view::WorkerAbout;
use swath_proto::PROTOCOL_VERSION;
use swath_proto::address::{COORDINATOR_DEFAULT, url_of};
use swath_service::LogFormat;

pub use self::allowed::Words;
use self::allowed::{Asked, other_user, words};
use crate::admission::Admission;
use crate::child::{Confinement, Limits, Rights};
use crate::devices::Devices;
use crate::hardware::{self, Hardware};
use swath_agent::Backoff;
use swath_agent::quota::Quota;

/// The longest pause between two calls that find no leading coordinator, where
/// there are several.
const TAKEOVER_WAIT_MAX: Duration = Duration::from_secs(3);

const AFTER_HELP: &str = "\
Examples:
  worker --coordinator http://localhost:7070 --device cuda:0=4,cuda:1=4
  worker --device cpu:2 --allow-command python3 --exit-when-idle 60
  worker --coordinator https://head.lab:7070 --token-file gpu1.token
  worker --coordinator https://head-1:7070,https://head-2:7070

The worker asks the coordinator for jobs, runs each in a trainer process on one of its slots, and
reports the outcome. Several slots per GPU are normal: small models leave a GPU mostly idle.
While the coordinator is away, trainings continue; outcomes are kept in the state directory and
delivered when it is back. If several coordinators share one database, one of them leads, and the
others tell the worker which. When the leader is away, the worker tries all until one has taken over.

Programs of sweep files run only if they are allowed by name, or by how their calls begin. Under a
coordinator on another host they run only where and as the --allow- options say. Those of [program] are started in the
directory that the sweep file names, those of `trainer.command` in that of the worker. They get the
job spec as JSON in the file SWATH_SPEC, and SWATH_SEED, SWATH_OUT (a directory of their own below
--out, which `coordinator files` shows), SWATH_JOB, SWATH_ATTEMPT, SWATH_SWEEP, SWATH_REPLICATE,
SWATH_DEVICE, SWATH_DEVICES, SWATH_THREADS, and CUDA_VISIBLE_DEVICES for the GPUs of their slots. A
job that needs two GPUs takes a slot on each of two.

SIGTERM or Ctrl-C: takes no more jobs, stops and gives back what it runs, delivers outcomes, exits.
A second one ends it at once. Then only the work since the last checkpoint of each training is lost.
The built-in trainer writes checkpoints to the state directory every few minutes and when it is
stopped, and continues from there when the job comes back to this worker.

A name is one worker's: a second worker that comes with the name of one that is alive is refused and
exits with 3. A worker is recognized by its state directory, so one that starts again has its name
at once. One that has ended has given its name up. If it was killed and its state directory is lost,
the name is free when it was silent for the life of a lease (60 s), or at once with --take-name.

Exit codes: 0 drained, or idle for --exit-when-idle; 1 error; 2 usage; 3 another worker has its
name; 130 second signal.";

/// Runs training jobs for a Swath coordinator
#[derive(Debug, Parser)]
#[command(name = "worker", version, after_long_help = AFTER_HELP, max_term_width = 100)]
pub struct Cli {
    /// URL of the coordinator, or several separated by commas; the one that leads is asked
    #[arg(
        long,
        env = "SWATH_COORDINATOR",
        value_name = "URL,…",
        default_value = COORDINATOR_DEFAULT,
        value_delimiter = ',',
        value_parser = url_of
    )]
    pub coordinator: Vec<String>,

    /// A file with a token that is good for a worker, for coordinators at https:// addresses;
    /// needed until this worker has its certificate, and again when that has expired
    #[arg(long, env = "SWATH_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,

    /// Name of this worker, unique at its coordinator [default: the host's name]
    #[arg(long, env = "SWATH_WORKER_NAME", value_name = "NAME")]
    pub name: Option<WorkerName>,

    /// Take the name from a worker that has it and is alive; that one ends
    #[arg(long, env = "SWATH_TAKE_NAME")]
    pub take_name: bool,

    /// Devices, and how many slots each offers: `cpu:SLOTS`,
    /// `cuda:0=SLOTS,cuda:1=SLOTS`
    #[arg(
        long,
        env = "SWATH_DEVICE",
        value_name = "DEVICES",
        default_value = "cpu:1"
    )]
    pub device: Devices,

    /// Threads of each trainer [default: cores divided by slots]
    #[arg(long, env = "SWATH_THREADS_PER_SLOT", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub threads_per_slot: Option<u32>,

    /// Where data sets are kept [default: ~/.cache/swath/data]
    #[arg(long, env = "SWATH_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// Directories and files that specs may name as data of their own, beside what is in
    /// --data-dir; several are separated by colons. Links that lead out of them are not followed
    #[arg(
        long,
        env = "SWATH_ALLOW_DATA",
        value_name = "PATH",
        value_delimiter = ':',
        num_args = 1..
    )]
    pub allow_data: Vec<PathBuf>,

    /// Refuse files of data that are larger than this, or unpack to more, such as `50GiB`
    /// [default: half of the memory]
    #[arg(long, env = "SWATH_DATA_BYTES", value_name = "SIZE", value_parser = size)]
    pub data_bytes: Option<u64>,

    /// Where outcomes are kept until they are delivered, and checkpoints of running trainings
    /// [default: ~/.local/state/swath/NAME]
    #[arg(long, env = "SWATH_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// Where attempts of programs get their directories, below one of this worker's own; may be
    /// on a disk that workers share [default: `out` in the state directory, without that one]
    #[arg(long, env = "SWATH_OUT_DIR", value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Remove the oldest directories of attempts that have ended when all of this worker's are
    /// larger than this together, such as `50GiB`; 0: never
    #[arg(long, env = "SWATH_KEEP_BYTES", value_name = "SIZE", default_value = "0", value_parser = size)]
    pub keep_bytes: u64,

    /// Remove them also when less than this is free on their disk; 0: never
    #[arg(long, env = "SWATH_KEEP_FREE", value_name = "SIZE", default_value = "0", value_parser = size)]
    pub keep_free: u64,

    /// End after this time without a job
    #[arg(long, env = "SWATH_EXIT_WHEN_IDLE", value_name = "SECONDS", value_parser = seconds)]
    pub exit_when_idle: Option<Duration>,

    /// Programs that sweep files may run, named exactly as in the file. With further words in
    /// the same quotes, such as `"python3 train.py"`, only calls that begin so
    #[arg(
        long,
        env = "SWATH_ALLOW_COMMAND",
        value_name = "COMMAND",
        value_delimiter = ',',
        num_args = 1..,
        value_parser = words
    )]
    pub allow_command: Vec<Words>,

    /// Directories in which, and below which, programs may be started and their files lie;
    /// several are separated by colons [default: any, if all coordinators are on this host; else
    /// that in which the worker is started]
    #[arg(
        long,
        env = "SWATH_ALLOW_DIRECTORY",
        value_name = "DIR",
        value_delimiter = ':',
        num_args = 1..
    )]
    pub allow_directory: Option<Vec<PathBuf>>,

    /// Variables that sweeps may set for their programs: names, or their beginnings, such as
    /// `NCCL_*` [default: all, if all coordinators are on this host; else none]
    #[arg(
        long,
        env = "SWATH_ALLOW_ENVIRONMENT",
        value_name = "NAME",
        value_delimiter = ',',
        num_args = 1..
    )]
    pub allow_environment: Option<Vec<String>>,

    /// Run programs from files that travel with a sweep: whoever submits sweeps runs their own
    /// code here [default: only if all coordinators are on this host, and --allow-directory is
    /// not given]
    #[arg(long, env = "SWATH_ALLOW_SHIPPED")]
    pub allow_shipped: bool,

    /// Run programs as this user, with their groups and without any way to more rights; the
    /// worker has to be root. The built-in trainer runs as the worker
    #[arg(long, env = "SWATH_RUN_AS", value_name = "USER")]
    pub run_as: Option<String>,

    /// The most memory of its own of each process of a program or a trainer, such as `64GiB`. Address space that
    /// CUDA only reserves does not count [default: as for the worker]
    #[arg(long, env = "SWATH_LIMIT_MEMORY", value_name = "SIZE", value_parser = limit)]
    pub limit_memory: Option<u64>,

    /// The largest file that a program or a trainer may write [default: as for the worker]
    #[arg(long, env = "SWATH_LIMIT_FILE", value_name = "SIZE", value_parser = limit)]
    pub limit_file: Option<u64>,

    /// How many processes and threads the user of --run-as may have on this host [default: as for the worker]
    #[arg(long, env = "SWATH_LIMIT_PROCESSES", value_name = "N", requires = "run_as", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit_processes: Option<u64>,

    /// How many files each process of a program or a trainer may have open [default: as for the worker]
    #[arg(long, env = "SWATH_LIMIT_OPEN_FILES", value_name = "N", value_parser = clap::value_parser!(u64).range(16..))]
    pub limit_open_files: Option<u64>,

    /// The trainer binary [default: `trainer` next to this binary, then on PATH]
    #[arg(long, env = "SWATH_TRAINER", value_name = "FILE")]
    pub trainer: Option<PathBuf>,

    /// End a trainer that has written no line for this time. Once epochs are known to take
    /// long, 20 times their median counts instead; before the first epoch has ended, 12 times
    /// this value
    #[arg(long, env = "SWATH_HANG_TIMEOUT", value_name = "SECONDS", default_value = "600", value_parser = seconds)]
    pub hang_timeout: Duration,

    /// The process that started this worker; the worker is killed when that
    /// process ends
    #[arg(long, value_name = "PID", hide = true, value_parser = process)]
    pub parent: Option<Pid>,

    /// What to log to stderr: error, warn, info, debug, trace, or directives
    /// such as `swath_worker=debug` [default: RUST_LOG, or info]
    #[arg(long, env = "SWATH_LOG", value_name = "LEVEL")]
    pub log: Option<String>,

    /// How to log
    #[arg(
        long,
        env = "SWATH_LOG_FORMAT",
        value_enum,
        value_name = "FORMAT",
        default_value_t
    )]
    pub log_format: LogFormat,
}

/// The options whose variables jobs may have: whom to ask, and where data is.
const OF_JOBS_TOO: [&str; 2] = ["SWATH_COORDINATOR", "SWATH_DATA_DIR"];

impl Cli {
    /// Reads the command line of this process, and takes from the environment what
    /// it does not set; exits where it is wrong. What a job was told about itself is
    /// no option of a worker that the job starts.
    ///
    /// # Errors
    ///
    /// What is wrong with the command line, or the help that it asks for.
    pub fn read() -> Result<Self, clap::Error> {
        let mut command = Self::command();
        if std::env::var_os(JOB_VARIABLE).is_some() {
            command = in_a_job(command);
        }
        let matches = command.try_get_matches_from_mut(std::env::args_os())?;
        let read = Self::from_arg_matches(&matches);
        read.map_err(|error| error.format(&mut command))
    }

    /// The variables that are this worker's and that its jobs must not get: those of its
    /// options, because a job may start a worker, which is not this one, and those by which
    /// its supervisor hears of it, because a job does not speak for it.
    pub fn variables() -> Vec<String> {
        let command = Self::command();
        let names = command
            .get_arguments()
            .filter_map(|it| it.get_env()?.to_str());
        let own = names.filter(|name| !OF_JOBS_TOO.contains(name));
        own.chain(swath_service::VARIABLES)
            .map(str::to_owned)
            .collect()
    }
}

fn in_a_job(command: clap::Command) -> clap::Command {
    command.mut_args(|argument| {
        let name = argument.get_env().and_then(|name| name.to_str());
        if name.is_some_and(|name| JOB_VARIABLES.contains(&name)) {
            argument.env(Resettable::Reset)
        } else {
            argument
        }
    })
}

fn process(text: &str) -> Result<Pid, String> {
    let pid = text.parse().ok().filter(|pid| *pid > 0);
    pid.and_then(Pid::from_raw)
        .ok_or_else(|| "not the id of a process".to_owned())
}

fn size(text: &str) -> Result<u64, String> {
    if text.trim() == "0" {
        return Ok(0);
    }
    read_bytes(text).ok_or_else(|| "not a size, such as 50GiB, 500MiB or 0".to_owned())
}

fn limit(text: &str) -> Result<u64, String> {
    let bytes = read_bytes(text).filter(|bytes| *bytes > 0);
    bytes.ok_or_else(|| "not a size, such as 64GiB or 500MiB".to_owned())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "not a number of seconds".to_owned())?;
    if !(0.0..=1e9).contains(&seconds) {
        return Err("must be between 0 and 1e9 seconds".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// A setting that has no default here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SettingsError(String);

/// The settings with all defaults filled in.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The coordinators' URLs, in the order in which they are tried.
    pub coordinators: Vec<String>,
    /// A file with a token for coordinators that others reach over a network.
    pub token_file: Option<PathBuf>,
    /// The worker's name.
    pub name: WorkerName,
    /// Whether to take the name from a worker that has it.
    pub take_name: bool,
    /// The host's name.
    pub host: String,
    /// The device of each slot.
    pub slots: Vec<Device>,
    /// What is known of these devices.
    pub hardware: Hardware,
    /// Threads of each trainer.
    pub threads: u32,
    /// Where data sets are.
    pub data_dir: PathBuf,
    /// What specs may name as data beside what is in it.
    pub allow_data: Vec<PathBuf>,
    /// The most bytes of a file of data, and of what it unpacks to; none: as much as
    /// the trainer takes.
    pub data_bytes: Option<u64>,
    /// Where outcomes and checkpoints are kept.
    pub state_dir: PathBuf,
    /// Where workers have the directories of their attempts.
    pub out: PathBuf,
    /// How much room these may take.
    pub quota: Quota,
    /// After how long without a job to end.
    pub exit_when_idle: Option<Duration>,
    /// What jobs may make this worker do.
    pub confinement: Confinement,
    /// What programs have of the machine.
    pub rights: Rights,
    /// The trainer binary.
    pub trainer: PathBuf,
    /// How long a trainer may be silent.
    pub hang_timeout: Duration,
    /// Pauses after failed calls.
    pub backoff: Backoff,
}

impl Settings {
    /// Fills in the settings that the command line leaves out.
    ///
    /// # Errors
    ///
    /// When a directory has no default because there is no home.
    pub fn resolve(cli: Cli) -> Result<Self, SettingsError> {
        let host = hostname::get().map_or_else(
            |_| "host".to_owned(),
            |name| name.to_string_lossy().into_owned(),
        );
        let name = cli.name.map_or_else(|| name_of(&host), Ok)?;
        let slots = cli.device.slots();
        let hardware = hardware::look(&slots).map_err(SettingsError)?;
        let threads = cli
            .threads_per_slot
            .unwrap_or_else(|| (cores() / slots.len()).max(1) as u32);
        let below_home = |variable: &str, middle: &str, flag: &str, rest: &Path| {
            let base = std::env::var_os(variable)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from);
            let home = || std::env::home_dir().map(|home| home.join(middle));
            let base = base.or_else(home);
            let missing = || SettingsError(format!("there is no home directory; give {flag}"));
            base.map(|base| base.join(rest)).ok_or_else(missing)
        };
        let data_dir = match cli.data_dir {
            Some(directory) => directory,
            None => below_home(
                "XDG_CACHE_HOME",
                ".cache",
                "--data-dir",
                Path::new("swath/data"),
            )?,
        };
        let state = Path::new("swath").join(name.as_str());
        let state_dir = match cli.state_dir {
            Some(directory) => directory,
            None => below_home("XDG_STATE_HOME", ".local/state", "--state-dir", &state)?,
        };
        let whole = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        let allow_data = cli.allow_data.into_iter().filter(|it| *it != Path::new(""));
        let data_bytes = cli.data_bytes.filter(|bytes| *bytes > 0);
        let state_dir = whole(state_dir);
        let coordinators = each_once(cli.coordinator);
        let out = cli.out.map_or_else(|| state_dir.join("out"), whole);
        let rights = Rights {
            limits: Limits {
                memory: cli.limit_memory,
                file: cli.limit_file,
                processes: cli.limit_processes,
                open_files: cli.limit_open_files,
            },
            user: cli.run_as.as_deref().map(other_user).transpose()?,
        };
        let asked = Asked {
            commands: cli.allow_command,
            directories: cli.allow_directory,
            variables: cli.allow_environment,
            shipped: cli.allow_shipped,
        };
        let confinement = asked.confinement(&coordinators, [state_dir.clone(), out.clone()]);
        Ok(Self {
            backoff: backoff(coordinators.len()),
            coordinators,
            token_file: cli.token_file,
            name,
            take_name: cli.take_name,
            host,
            slots,
            hardware,
            threads,
            data_dir,
            allow_data: allow_data.map(whole).collect(),
            data_bytes: data_bytes.or_else(|| Some(hardware::memory()? / 2)),
            out,
            quota: Quota {
                keep_bytes: cli.keep_bytes,
                keep_free: cli.keep_free,
            },
            state_dir,
            exit_when_idle: cli.exit_when_idle,
            confinement,
            rights,
            trainer: cli.trainer.unwrap_or_else(default_trainer),
            hang_timeout: cli.hang_timeout.max(Duration::from_millis(100)),
        })
    }

    /// What it needs to be let in by its coordinators.
    pub fn admission(&self) -> Admission {
        Admission {
            coordinators: self.coordinators.clone(),
            state_dir: self.state_dir.clone(),
            token_file: self.token_file.clone(),
            worker: self.name.clone(),
        }
    }

    /// What the worker says about itself, whose state directory has this name, and
    /// whose attempts have their directories in `out`.
    pub fn about(&self, state_id: StateId, out: &Path) -> WorkerAbout {
        WorkerAbout {
            host: self.host.clone(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state_id: Some(state_id),
            out: Some(out.to_string_lossy().into_owned()),
            protocol: Some(PROTOCOL_VERSION),
            offer: Offer {
                slots: self.slots.clone(),
                programs: self.confinement.programs(),
                devices: self.hardware.devices.clone(),
                cpus: Some(cores() as u32),
            },
        }
    }

    /// A tag for this worker's children among all processes of the host, the
    /// same in this worker's next life. It is another one where another worker's
    /// state directory, with another name, has taken the place of this one's.
    pub fn family(&self, state_id: StateId) -> String {
        let mut hash = blake3::Hasher::new();
        hash.update(self.state_dir.as_os_str().as_encoded_bytes());
        hash.update(&state_id.0.to_le_bytes());
        format!("worker-{}", &hash.finalize().to_hex().as_str()[..16])
    }
}

/// The processors that this process may use.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn each_once(all: Vec<String>) -> Vec<String> {
    let mut once = Vec::new();
    for one in all {
        if !once.contains(&one) {
            once.push(one);
        }
    }
    once
}

/// Where another coordinator may take over, it is found soon after it has.
fn backoff(coordinators: usize) -> Backoff {
    let usual = Backoff::default();
    Backoff {
        max: if coordinators > 1 {
            usual.max.min(TAKEOVER_WAIT_MAX)
        } else {
            usual.max
        },
        ..usual
    }
}

/// The host's name, with every character replaced that a worker's name may not
/// contain.
fn name_of(host: &str) -> Result<WorkerName, SettingsError> {
    let mut name: String = host
        .chars()
        .map(|char| match char {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-' => char,
            _ => '-',
        })
        .collect();
    name.truncate(64);
    let name = name.trim_start_matches(['.', '_', '-']);
    let name = if name.is_empty() { "worker" } else { name };
    name.parse()
        .map_err(|error| SettingsError(format!("{error}; give --name")))
}

/// The `trainer` next to this binary; if there is none, the one on PATH.
fn default_trainer() -> PathBuf {
    let sibling = std::env::current_exe()
        .ok()
        .map(|path| path.with_file_name("trainer"));
    sibling
        .filter(|path| path.is_file())
        .unwrap_or_else(|| PathBuf::from("trainer"))
}

#[cfg(test)]
mod tests;
