//! The worker's settings from its command line and its environment.

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
use swath_proto::address::{COORDINATOR_DEFAULT, is_near, url_of};
use swath_service::LogFormat;

use crate::admission::Admission;
use crate::child::{Confinement, Limits, Rights, User};
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

/// The words with which calls of a program may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words(pub Vec<String>);

fn words(text: &str) -> Result<Words, String> {
    let words = shlex::split(text).ok_or("a quote in it is not closed")?;
    if words.first().is_none_or(String::is_empty) {
        return Err("it names no program".to_owned());
    }
    Ok(Words(words))
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

    /// What whoever starts this worker should know of what its jobs may do.
    pub fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        if self.coordinators.iter().all(|url| is_of_this_host(url)) {
            return doubts;
        }
        if rustix::process::geteuid().is_root()
            && self.rights.user.is_none()
            && !self.confinement.commands.is_empty()
        {
            let root = "programs run as root here, and so does whatever the coordinator can make \
                        them do; name a user without rights by --run-as";
            doubts.push(root.to_owned());
        }
        let open = |words: &&Vec<String>| words.len() == 1 && runs_anything(&words[0]);
        if let Some(program) = self.confinement.commands.iter().find(open) {
            let program = &program[0];
            doubts.push(format!(
                "`--allow-command {program}` runs whatever the coordinator sends, such as \
                 `{program} -c …`; allow `--allow-command \"{program} train.py\"` only, and no more \
                 than that can be run here"
            ));
        }
        if self.confinement.shipped {
            let files = "`--allow-shipped` runs whatever files the coordinator sends";
            doubts.push(files.to_owned());
        }
        doubts
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

/// What the command line says of what jobs may do.
struct Asked {
    commands: Vec<Words>,
    directories: Option<Vec<PathBuf>>,
    variables: Option<Vec<String>>,
    shipped: bool,
}

impl Asked {
    /// Whoever has this host's coordinator has this host's account already. One elsewhere may
    /// be somebody else's by now, and gets no more than the command line says.
    fn confinement(self, coordinators: &[String], written: [PathBuf; 2]) -> Confinement {
        let are_here = coordinators.iter().all(|url| is_of_this_host(url));
        let directories = self.directories.map(|named| {
            let named = named.into_iter().filter(|it| *it != Path::new(""));
            named
                .map(|it| std::path::absolute(&it).unwrap_or(it))
                .collect()
        });
        let shipped = self.shipped || (are_here && directories.is_none());
        // A place that cannot be resolved yet is made by this worker, without links.
        let written = written.map(|it| it.canonicalize().unwrap_or(it));
        // A service may be started in the root of everything, or where this worker keeps what
        // the coordinator sends.
        let is_fit =
            |it: &PathBuf| it.parent().is_some() && !written.iter().any(|at| it.starts_with(at));
        let own = || std::env::current_dir().into_iter().filter(is_fit).collect();
        let variables = self.variables.map(|mut named| {
            named.retain(|it| !it.is_empty());
            named
        });
        Confinement {
            commands: self.commands.into_iter().map(|words| words.0).collect(),
            directories: directories.or_else(|| (!are_here).then(own)),
            variables: variables.or_else(|| (!are_here).then(Vec::new)),
            shipped,
            written: written.clone().into(),
        }
    }
}

/// The user as whom programs run.
fn other_user(name: &str) -> Result<User, SettingsError> {
    if !rustix::process::geteuid().is_root() {
        let why = "only a worker that is root can run programs as somebody else";
        return Err(SettingsError(format!("--run-as {name}: {why}")));
    }
    User::named(name).map_err(|why| SettingsError(format!("--run-as: {why}")))
}

/// Whether a program does anything that its arguments say.
fn runs_anything(program: &str) -> bool {
    const INTERPRETERS: [&str; 17] = [
        "python",
        "pypy",
        "sh",
        "bash",
        "dash",
        "zsh",
        "fish",
        "ksh",
        "perl",
        "ruby",
        "node",
        "julia",
        "env",
        "Rscript",
        "torchrun",
        "accelerate",
        "uv",
    ];
    let name = Path::new(program).file_name().unwrap_or_default();
    let name = name.to_string_lossy();
    // As in `python3.12`.
    let name = name.trim_end_matches(|it: char| it.is_ascii_digit() || it == '.');
    INTERPRETERS.contains(&name)
}

/// Whether a coordinator is on this host, and asks nobody who they are.
fn is_of_this_host(url: &str) -> bool {
    url.starts_with("http://") && is_near(url)
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
mod tests {
    use super::*;

    #[test]
    fn what_a_job_is_told_is_no_option() {
        let names = |command: clap::Command| {
            let arguments = command.get_arguments();
            let names = arguments.filter_map(|it| Some(it.get_env()?.to_str()?.to_owned()));
            names.collect::<Vec<String>>()
        };
        let left = names(in_a_job(Cli::command()));
        assert!(names(Cli::command()).contains(&"SWATH_DEVICE".to_owned()));
        assert!(!left.contains(&"SWATH_DEVICE".to_owned()));
        assert!(left.contains(&"SWATH_COORDINATOR".to_owned()));
        let kept_back = Cli::variables();
        assert!(kept_back.contains(&"SWATH_STATE_DIR".to_owned()));
        assert!(!kept_back.contains(&"SWATH_COORDINATOR".to_owned()));
    }

    #[test]
    fn every_flag_has_an_environment_variable() {
        let command = Cli::command();
        command.clone().debug_assert();
        for argument in command.get_arguments() {
            let id = argument.get_id().as_str();
            let own = !["help", "version", "parent"].contains(&id);
            assert!(!own || argument.get_env().is_some(), "{id}");
        }
    }

    #[test]
    fn urls_may_lack_their_scheme_and_be_several() {
        let of = |url: &str| Cli::try_parse_from(["worker", "--coordinator", url]);
        assert_eq!(of("h:7070/").unwrap().coordinator, ["http://h:7070"]);
        assert_eq!(of("http://h:1").unwrap().coordinator, ["http://h:1"]);
        for wrong in ["", "ftp://h", "http://a b", "h:1,"] {
            assert_eq!(of(wrong).unwrap_err().exit_code(), 2, "{wrong}");
        }
        let resolved = |url| Settings::resolve(of(url).unwrap()).unwrap();
        let several = resolved("h:1, g:2,http://h:1");
        assert_eq!(several.coordinators, ["http://h:1", "http://g:2"]);
        assert_eq!(several.backoff.max, TAKEOVER_WAIT_MAX);
        assert_eq!(resolved("h:1").backoff, Backoff::default());
    }

    #[test]
    fn a_hosts_name_becomes_a_workers() {
        for (host, name) in [
            ("gpu-01.lab", "gpu-01.lab"),
            ("-a b/c", "a-b-c"),
            ("", "worker"),
        ] {
            assert_eq!(
                name_of(host).map(|name| name.to_string()),
                Ok(name.to_owned())
            );
        }
        assert!(name_of(&"x".repeat(300)).is_ok());
    }

    #[test]
    fn threads_share_the_cores() {
        let cli = |arguments: &[&str]| {
            Cli::parse_from([&["worker", "--state-dir", "s"], arguments].concat())
        };
        let settings = Settings::resolve(cli(&["--device", "cpu:1000"])).unwrap();
        assert_eq!((settings.threads, settings.slots.len()), (1, 1000));
        let settings = Settings::resolve(cli(&["--threads-per-slot", "3"])).unwrap();
        assert_eq!((settings.threads, settings.slots), (3, vec![Device::Cpu]));
        assert!(settings.state_dir.is_absolute());
    }

    #[test]
    fn who_coordinates_from_elsewhere_gets_what_is_named() {
        let of = |arguments: &[&str]| {
            let words = [&["worker", "--state-dir", "/s"], arguments].concat();
            Settings::resolve(Cli::parse_from(words)).unwrap()
        };
        let here = of(&["--allow-command", "python3"]);
        let open = Confinement {
            commands: vec![vec!["python3".to_owned()]],
            shipped: true,
            written: vec!["/s".into(), "/s/out".into()],
            ..Confinement::default()
        };
        assert_eq!(here.confinement, open);
        assert!(here.doubts().is_empty());
        let own = std::env::current_dir().unwrap();
        let far = [
            "https://h:1",
            "https://localhost:1",
            "http://h:1",
            "localhost:1,https://h:1",
        ];
        for url in far {
            let far = of(&["--coordinator", url, "--allow-command", "python3.12"]);
            assert_eq!(
                far.confinement.directories,
                Some(vec![own.clone()]),
                "{url}"
            );
            assert_eq!(far.confinement.variables, Some(Vec::new()), "{url}");
            assert!(!far.confinement.shipped, "{url}");
            let told = far.doubts().join("\n");
            assert!(told.contains("\"python3.12 train.py\""), "{url}: {told}");
        }
        let narrow = of(&[
            "--coordinator",
            "https://h:1",
            "--allow-command",
            "python3 'a b.py'",
        ]);
        let words = vec!["python3".to_owned(), "a b.py".to_owned()];
        assert_eq!(narrow.confinement.commands, [words]);
        assert_eq!(
            narrow.about(StateId(1), Path::new("/")).offer.programs,
            ["python3"]
        );
        let told = narrow.doubts().join("\n");
        assert!(!told.contains("--allow-command"), "{told}");
        let named = of(&["--allow-directory", "/a:/b", "--allow-environment", "A,B*"]);
        let directories = Some(vec!["/a".into(), "/b".into()]);
        assert_eq!(named.confinement.directories, directories);
        let variables = Some(vec!["A".to_owned(), "B*".to_owned()]);
        assert_eq!(named.confinement.variables, variables);
        assert!(!named.confinement.shipped);
        for wrong in ["", "'a"] {
            let wrong = Cli::try_parse_from(["worker", "--allow-command", wrong]);
            assert_eq!(wrong.unwrap_err().exit_code(), 2);
        }
    }

    #[test]
    fn directories_of_attempts_are_where_and_as_large_as_asked() {
        let settings = |arguments: &[&str]| {
            let words = [&["worker", "--state-dir", "/s"], arguments].concat();
            Settings::resolve(Cli::parse_from(words)).unwrap()
        };
        let usual = settings(&[]);
        assert_eq!(
            (usual.out, usual.quota),
            ("/s/out".into(), Quota::default())
        );
        let words = [
            "--out",
            "/nfs/out",
            "--keep-bytes",
            "50GiB",
            "--keep-free",
            "0",
        ];
        let asked = settings(&words);
        assert_eq!(asked.out, PathBuf::from("/nfs/out"));
        assert_eq!(asked.quota.keep_bytes, 50 << 30);
        assert!(settings(&["--out", "here"]).out.is_absolute());
        let wrong = Cli::try_parse_from(["worker", "--keep-bytes", "50"]);
        assert_eq!(wrong.unwrap_err().exit_code(), 2);
    }
}
