//! Sweeps, workers and waiting, for all tests.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use swath_agent::{Backoff, Exit};
use swath_model::device::Device;
use swath_model::id::{Attempt, SweepDigest};
use swath_model::job::StateName;
use swath_model::message::{Files, JobQuery, Sources, Submission, SubmittedCell};
use swath_model::program::Launch;
use swath_model::spec::{JobSpec, Work};
use swath_model::view::{JobDetail, JobView};
use swath_store_conformance::subject::Subject;
use swath_worker::child::Confinement;
use swath_worker::daemon::{self, StartError};
use swath_worker::settings::Settings;
use tempfile::TempDir;

use crate::coordinator::Coordinator;

/// Longer than any condition takes, however busy the machine is.
const PATIENCE: Duration = Duration::from_mins(1);

/// Waits for a condition.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < end, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A spec for the built-in trainer that tells the fake one what to do.
pub(crate) fn training(deed: &str) -> Value {
    json!({
        "dataset": { "name": "tensors", "path": deed },
        "model": { "name": "vgg" },
        "batch_size": 8,
        "epochs": 2,
        "optimizer": { "lr": 0.1 },
    })
}

/// A spec that runs a program.
pub(crate) fn command(argv: &[&str], params: &Value) -> Value {
    json!({ "trainer": { "command": argv, "metric": "accuracy_error" }, "params": params })
}

/// A spec that does nothing.
pub(crate) fn null() -> Value {
    json!({ "trainer": { "null": true }, "params": { "a": 1 } })
}

impl Coordinator {
    /// Submits one sweep with these specs as cells.
    pub(crate) async fn submit(&self, specs: &[Value], replicates: u32) {
        self.submit_cells(specs.iter().map(cell).collect(), replicates)
            .await;
    }

    /// Submits these programs, each with how it is to be launched.
    pub(crate) async fn submit_launched(&self, specs: Vec<(Value, Launch)>) {
        let cells = specs.into_iter().map(|(spec, launch)| {
            let mut cell = cell(&spec);
            cell.needs.launch = launch;
            cell
        });
        self.submit_cells(cells.collect(), 1).await;
    }

    async fn submit_cells(&self, cells: Vec<SubmittedCell>, replicates: u32) {
        let names: Vec<_> = cells.iter().map(|cell| cell.spec.clone()).collect();
        let submission = Submission {
            digest: SweepDigest::from_bytes(*blake3::hash(names.concat().as_bytes()).as_bytes()),
            name: "sweep".to_owned(),
            title: String::new(),
            replicates,
            replicates_max: None,
            kind: swath_model::view::SweepKind::Training,
            priority: 0,
            sources: Sources::Files(Files::default()),
            definition: Value::Null,
            cells,
            owner: String::new(),
            tags: Vec::new(),
            ships: Vec::new(),
        };
        let now = self.shared.now();
        self.shared.store.submit(now, submission).await.unwrap();
    }

    pub(crate) async fn jobs(&self) -> Vec<JobView> {
        self.shared.store.jobs(JobQuery::default()).await.unwrap()
    }

    /// The only job.
    pub(crate) async fn detail(&self) -> JobDetail {
        let digest = self.jobs().await[0].digest;
        self.shared.store.job(digest).await.unwrap().unwrap()
    }

    pub(crate) async fn count(&self, state: StateName) -> usize {
        self.jobs()
            .await
            .iter()
            .filter(|job| job.state == state)
            .count()
    }

    pub(crate) async fn all_are(&self, state: StateName) {
        until(&format!("all jobs are {}", state.name()), async || {
            let jobs = self.jobs().await;
            jobs.iter().all(|job| job.state == state)
        })
        .await;
    }

    /// Which workers are gone, in the order of their names.
    pub(crate) async fn gone(&self) -> Vec<bool> {
        let workers = self.shared.store.workers().await.unwrap();
        workers.iter().map(|worker| worker.silent).collect()
    }

    /// Whether every job was granted once only.
    pub(crate) async fn assert_first_attempts(&self) {
        for job in self.jobs().await {
            assert_eq!(job.attempt, Attempt(1), "{}", job.digest);
        }
    }
}

fn cell(spec: &Value) -> SubmittedCell {
    let spec = JobSpec::from_value(spec).unwrap();
    let program = match spec.work() {
        Work::Command(command) => Some(command.argv[0].clone()),
        _ => None,
    };
    SubmittedCell {
        digest: spec.cell_digest(),
        axes: Vec::new(),
        spec: spec.cell_text(),
        needs: swath_model::needs::Needs {
            program,
            ..Default::default()
        },
    }
}

/// A worker in this process, or the settings for one.
pub(crate) struct Bench {
    pub(crate) settings: Settings,
    pub(crate) directory: TempDir,
}

impl Bench {
    pub(crate) fn new(coordinator: &Coordinator, slots: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings {
            token_file: None,
            coordinators: vec![coordinator.url()],
            name: "w".parse().unwrap(),
            take_name: false,
            host: "host".to_owned(),
            hardware: swath_worker::hardware::Hardware::default(),
            slots: vec![Device::Cpu; slots],
            threads: 1,
            data_dir: directory.path().join("data"),
            allow_data: Vec::new(),
            data_bytes: None,
            state_dir: directory.path().join("state"),
            out: directory.path().join("out"),
            quota: swath_agent::quota::Quota::default(),
            exit_when_idle: None,
            confinement: Confinement {
                commands: vec![vec!["python3".to_owned()], vec!["sh".to_owned()]],
                shipped: true,
                ..Confinement::default()
            },
            rights: swath_worker::child::Rights::default(),
            trainer: fake_trainer(directory.path()),
            hang_timeout: Duration::from_mins(1),
            backoff: Backoff {
                base: Duration::from_millis(20),
                max: Duration::from_millis(100),
            },
        };
        Self {
            settings,
            directory,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts the worker as a task.
    pub(crate) fn start(&self) -> tokio::task::JoinHandle<Result<Exit, StartError>> {
        tokio::spawn(daemon::run(self.settings.clone()))
    }
}

/// Writes a fake trainer that does what the path of its data set says.
fn fake_trainer(directory: &Path) -> PathBuf {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let path = directory.join("trainer");
    let script = include_str!("trainer.py");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o755)
        .open(&path)
        .unwrap();
    file.write_all(script.as_bytes()).unwrap();
    path
}

/// Whether a process is alive; a zombie is not.
pub(crate) fn lives(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    let state = stat
        .rsplit(')')
        .next()
        .and_then(|rest| rest.trim().chars().next());
    state.is_some_and(|state| !"ZX".contains(state))
}

/// A process id that a test program wrote to a file.
pub(crate) async fn pid_in(path: &Path) -> u32 {
    let mut pid = None;
    until("a process writes its id", async || {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        pid = text.strip_suffix('\n').and_then(|text| text.parse().ok());
        pid.is_some()
    })
    .await;
    pid.unwrap()
}
