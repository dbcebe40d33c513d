//! A worker on this machine, for `run` and `extend --run`.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use swath_model::spec::{JobSpec, Work};
use tokio::process::{Child, Command};

use super::failure::{Failure, Outcome};
use crate::settings::LocalSettings;

/// How long the worker may take to stop its trainers.
const STOP_WAIT: Duration = Duration::from_secs(40);
/// How much of the worker's log a failure shows.
const TAIL_LINES: usize = 8;

/// The name of the worker that `run` starts.
pub(crate) const NAME: &str = "local";

/// What the jobs of a sweep need on this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// The built-in training core.
    pub(crate) trainer: bool,
    /// Programs that the sweep names.
    pub(crate) programs: BTreeSet<String>,
    /// Files and directories that the sweep names as data.
    pub(crate) data: BTreeSet<String>,
}

impl Needs {
    /// Adds what a job with this spec needs.
    pub(crate) fn add(&mut self, spec: &JobSpec) {
        match spec.work() {
            Work::Training(training) => {
                self.trainer = true;
                self.data.extend(training.data_paths());
            }
            Work::Command(command) => self.programs.extend(command.argv.first().cloned()),
            Work::Null => {}
        }
    }
}

/// A worker that this command started.
#[derive(Debug)]
pub(crate) struct LocalWorker {
    child: Child,
    log: PathBuf,
}

impl LocalWorker {
    /// Makes sure that a worker can start, before anything is stored that only
    /// this worker would train. Returns the worker's program.
    pub(crate) fn prepare(settings: &LocalSettings, needs: &Needs) -> Outcome<PathBuf> {
        let worker = sibling("worker")?;
        if needs.trainer {
            find_trainer()?;
        }
        let directory = &settings.state_dir;
        fs::create_dir_all(directory).map_err(|error| cannot_write(directory, &error))?;
        Ok(worker)
    }

    /// Starts the worker that was built beside this program.
    pub(crate) fn start(
        settings: &LocalSettings,
        coordinator: &str,
        needs: &Needs,
    ) -> Outcome<Self> {
        let worker = Self::prepare(settings, needs)?;
        let log = settings.state_dir.join("worker.log");
        let file = File::create(&log).map_err(|error| cannot_write(&log, &error))?;
        let mut command = Command::new(&worker);
        command
            .args(arguments(settings, coordinator, needs))
            // No worker is left behind when this command is killed.
            .arg("--parent")
            .arg(std::process::id().to_string())
            // Only what the sweep names may run, and only this command ends the
            // worker.
            .env_remove("SWATH_ALLOW_COMMAND")
            .env_remove("SWATH_EXIT_WHEN_IDLE")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            // Ctrl-C in a terminal goes to a whole group; this command decides
            // when the worker stops.
            .process_group(0)
            .kill_on_drop(true);
        let child = command.spawn().map_err(|error| {
            Failure::error(format!("cannot start {}: {error}", worker.display()))
        })?;
        Ok(Self { child, log })
    }

    /// Resolves when the worker has ended by itself, which it should not.
    pub(crate) async fn ended(&mut self) -> Failure {
        let how = match self.child.wait().await {
            Ok(status) => describe(status),
            Err(error) => error.to_string(),
        };
        let mut failure = Failure::error(format!("the worker ended: {how}"));
        for line in tail(&self.log) {
            failure = failure.hint(format!("| {line}"));
        }
        failure.hint(format!("its log is {}", self.log.display()))
    }

    /// Asks the worker to give back what it trains and to stop, and waits for it.
    pub(crate) async fn stop(mut self) {
        let pid = self.child.id().and_then(|id| Pid::from_raw(id as i32));
        if let Some(pid) = pid {
            // It may have ended in this moment, which is what we want.
            let _ = kill_process(pid, Signal::TERM);
        }
        if tokio::time::timeout(STOP_WAIT, self.child.wait())
            .await
            .is_err()
        {
            // Its trainers end with it: they notice that their input is closed.
            let _ = self.child.kill().await;
        }
    }
}

fn cannot_write(what: &Path, error: &io::Error) -> Failure {
    Failure::error(format!("cannot write {}: {error}", what.display()))
        .hint("choose another place with `--state-dir DIR`")
}

fn arguments(settings: &LocalSettings, coordinator: &str, needs: &Needs) -> Vec<String> {
    let mut arguments = vec![
        "--coordinator".to_owned(),
        coordinator.to_owned(),
        "--name".to_owned(),
        NAME.to_owned(),
        // Nobody else can have a worker at this coordinator.
        "--take-name".to_owned(),
        "--device".to_owned(),
        format!("cpu:{}", settings.slots),
        "--state-dir".to_owned(),
        settings.state_dir.to_string_lossy().into_owned(),
    ];
    for program in &needs.programs {
        arguments.extend(["--allow-command".to_owned(), program.clone()]);
    }
    for path in &needs.data {
        arguments.push(format!("--allow-data={path}"));
    }
    arguments
}

/// Makes sure that the worker will find a trainer, the way it looks for it.
fn find_trainer() -> Outcome<()> {
    match std::env::var_os("SWATH_TRAINER").filter(|named| !named.is_empty()) {
        Some(named) if Path::new(&named).is_file() => Ok(()),
        Some(named) => {
            let named = named.to_string_lossy();
            Err(Failure::error(format!(
                "SWATH_TRAINER names `{named}`, which is not a file"
            )))
        }
        None if on_path("trainer") => Ok(()),
        None => sibling("trainer").map(drop),
    }
}

/// Whether a shell would find the program `name`.
fn on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(name).is_file())
}

/// The program `name` beside this one.
fn sibling(name: &str) -> Outcome<PathBuf> {
    let own = std::env::current_exe()
        .map_err(|error| Failure::error(format!("cannot find this program: {error}")))?;
    let path = own.with_file_name(name);
    if path.is_file() {
        return Ok(path);
    }
    let built_as = |profile| own.parent().is_some_and(|folder| folder.ends_with(profile));
    let profile = if built_as("release") {
        " --release"
    } else if built_as("quickstart") {
        " --profile quickstart"
    } else {
        ""
    };
    let failure = Failure::error(format!("there is no `{name}` beside {}", own.display()));
    Err(if name == "trainer" {
        failure
            .hint("the trainer needs libtorch: `cargo xtask setup` fetches it")
            .hint(format!(
                "then `cargo build{profile} -p swath-trainer` builds the trainer"
            ))
    } else {
        failure.hint(format!("`cargo build{profile} -p swath-{name}` builds it"))
    })
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "for no known reason".to_owned(),
    }
}

/// The last lines of a log.
fn tail(log: &Path) -> Vec<String> {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(TAIL_LINES);
    lines[from..]
        .iter()
        .map(|line| (*line).to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_may_run_and_read_what_the_sweep_names_and_nothing_else() {
        let settings = LocalSettings {
            slots: 2,
            state_dir: "swath.db.worker".into(),
        };
        let needs = Needs {
            trainer: false,
            programs: BTreeSet::from(["python3".to_owned()]),
            data: BTreeSet::from(["images".to_owned()]),
        };
        let arguments = arguments(&settings, "http://127.0.0.1:4", &needs);
        assert_eq!(
            arguments.join(" "),
            "--coordinator http://127.0.0.1:4 --name local --take-name --device cpu:2 \
             --state-dir swath.db.worker --allow-command python3 --allow-data=images"
        );
    }
}
