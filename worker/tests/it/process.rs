//! The worker as a process: signals, crashes, and what stays behind.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;

use rustix::process::{Pid, Signal, kill_process};
use swath_model::job::StateName;
use swath_model::policy::Policy;

use crate::coordinator::Coordinator;
use crate::support::{Bench, command, lives, null, pid_in, training, until};

/// A worker process that does not outlive its test.
pub(crate) struct Worker(pub(crate) Child);

impl Worker {
    pub(crate) fn start(bench: &Bench, more: &[&str]) -> Self {
        Self(Self::command(bench, more).spawn().unwrap())
    }

    /// The same with these variables.
    pub(crate) fn start_with(bench: &Bench, more: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Self::command(bench, more);
        Self(command.envs(variables.iter().copied()).spawn().unwrap())
    }

    fn command(bench: &Bench, more: &[&str]) -> Command {
        let settings = &bench.settings;
        let mut worker = Command::new(env!("CARGO_BIN_EXE_worker"));
        worker
            .args(["--coordinator", &settings.coordinators.join(",")])
            .args(["--name", "w"])
            .arg("--state-dir")
            .arg(&settings.state_dir)
            .arg("--trainer")
            .arg(&settings.trainer)
            .args(["--allow-command", "sh"])
            .args(more)
            .stdin(Stdio::null());
        worker
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.0.id() as i32).unwrap(), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) async fn code(&mut self) -> Option<i32> {
        let mut status = None;
        until("the worker ends", async || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap().code()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended already.
        let _killed = self.0.kill();
        let _reaped = self.0.wait();
    }
}

async fn hanging(coordinator: &Coordinator, bench: &Bench, deed: &str) -> (PathBuf, u32) {
    let file = bench.path("pid");
    let spec = training(&format!("{deed} {}", file.display()));
    coordinator.submit(&[spec], 1).await;
    let pid = pid_in(&file).await;
    (file, pid)
}

#[tokio::test]
async fn sigterm_gives_the_job_back_uncharged() {
    let coordinator = Coordinator::start();
    let bench = Bench::new(&coordinator, 1);
    let mut worker = Worker::start(&bench, &[]);
    let (_, pid) = hanging(&coordinator, &bench, "polite").await;
    worker.signal(Signal::TERM);
    assert_eq!(worker.code().await, Some(0));
    assert!(!lives(pid));
    let job = coordinator.detail().await.job;
    assert_eq!((job.state, job.charged), (StateName::Queued, 0));
    assert_eq!(coordinator.gone().await, [true]);
}

/// Long before the life of a lease is over.
#[tokio::test]
async fn the_name_of_a_worker_that_has_ended_is_free() {
    let coordinator = Coordinator::start();
    let first = Bench::new(&coordinator, 1);
    let mut worker = Worker::start(&first, &[]);
    coordinator.submit(&[null()], 1).await;
    coordinator.all_are(StateName::Succeeded).await;
    worker.signal(Signal::TERM);
    assert_eq!(worker.code().await, Some(0));
    assert_eq!(coordinator.gone().await, [true]);
    let second = Bench::new(&coordinator, 1);
    let _second = Worker::start(&second, &[]);
    until("the other one has the name", async || {
        coordinator.gone().await == [false]
    })
    .await;
}

#[tokio::test]
async fn a_coordinator_that_knows_no_goodbye_delays_no_end() {
    let coordinator = Coordinator::start();
    let none = &coordinator.shared.knows_no_goodbye;
    none.store(true, Ordering::SeqCst);
    let bench = Bench::new(&coordinator, 1);
    let mut worker = Worker::start(&bench, &[]);
    coordinator.submit(&[null()], 1).await;
    coordinator.all_are(StateName::Succeeded).await;
    worker.signal(Signal::TERM);
    assert_eq!(worker.code().await, Some(0));
    assert_eq!(coordinator.gone().await, [false]);
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let coordinator = Coordinator::start();
    let bench = Bench::new(&coordinator, 1);
    let mut worker = Worker::start(&bench, &[]);
    let (_, pid) = hanging(&coordinator, &bench, "stubborn").await;
    worker.signal(Signal::INT);
    worker.signal(Signal::TERM);
    assert_eq!(worker.code().await, Some(130));
    until("its trainer is gone", async || !lives(pid)).await;
    // What it trained waits again at once.
    assert_eq!(coordinator.gone().await, [true]);
    assert_eq!(coordinator.detail().await.job.state, StateName::Queued);
}

#[tokio::test]
async fn kill_takes_trainers_along_and_a_restart_starts_over() {
    let coordinator = Coordinator::start();
    let bench = Bench::new(&coordinator, 1);
    let mut worker = Worker::start(&bench, &[]);
    let (file, pid) = hanging(&coordinator, &bench, "hang").await;
    worker.signal(Signal::KILL);
    assert_eq!(worker.code().await, None);
    until("its trainer is gone", async || !lives(pid)).await;
    std::fs::remove_file(&file).unwrap();
    let _worker = Worker::start(&bench, &[]);
    // The job was not named at the hello, so it is granted again at once.
    let again = pid_in(&file).await;
    assert_ne!(again, pid);
}

#[tokio::test]
async fn a_worker_dies_with_the_parent_that_it_is_told() {
    let coordinator = Coordinator::start();
    let bench = Bench::new(&coordinator, 1);
    let mut stranger = Worker::start(&bench, &["--parent", "1"]);
    assert_eq!(stranger.code().await, Some(1));
    let file = bench.path("worker");
    let worker = Worker::command(&bench, &[]);
    let mut parent = Command::new("sh");
    parent
        .arg("-c")
        .arg("\"$@\" --parent $$ & echo $! > $PID_FILE; exec sleep 1000")
        .arg("sh")
        .arg(worker.get_program())
        .args(worker.get_args())
        .env("PID_FILE", &file);
    let mut parent = Worker(parent.spawn().unwrap());
    let (_, trainer) = hanging(&coordinator, &bench, "hang").await;
    let worker = pid_in(&file).await;
    assert!(lives(worker));
    parent.signal(Signal::KILL);
    assert_eq!(parent.code().await, None);
    until("the worker is gone", async || !lives(worker)).await;
    until("its trainer is gone", async || !lives(trainer)).await;
}

#[tokio::test]
async fn adopted_processes_leave_no_zombies() {
    let coordinator = Coordinator::start();
    let bench = Bench::new(&coordinator, 1);
    // One process stays in the group, one leaves it, one ends by itself.
    let script = "sleep 1000 & setsid sleep 1000 & (true &)
                  echo '{\"event\":\"finished\",\"accuracy_error\":1}'";
    let spec = command(&["sh", "-c", script], &serde_json::json!({}));
    coordinator.submit(&[spec], 1).await;
    let worker = Worker::start(&bench, &[]);
    coordinator.all_are(StateName::Succeeded).await;
    until("they are reaped", async || zombies(worker.0.id()) == 0).await;
}

/// A process that is no worker adopts no orphans, and may overlook one that is just being
/// started.
#[tokio::test]
async fn what_a_trainer_leaves_is_killed() {
    // Another attempt would leave another process.
    let coordinator = Coordinator::with(Policy {
        heartbeat_ms: 100,
        charged_max: 1,
        attempts_max: 1,
        ..Policy::default()
    });
    let bench = Bench::new(&coordinator, 1);
    let _worker = Worker::start(&bench, &[]);
    let (_, pid) = hanging(&coordinator, &bench, "leave").await;
    coordinator.all_are(StateName::Failed).await;
    // The process left the group, and was gone before the outcome was reported.
    assert!(!lives(pid));
}

#[tokio::test]
async fn a_cancelled_program_leaves_no_zombies() {
    let coordinator = Coordinator::start();
    let bench = Bench::new(&coordinator, 1);
    let file = bench.path("pid");
    let script = format!(
        "sleep 1000 & echo $! > {0}.new; mv {0}.new {0}; wait",
        file.display()
    );
    let spec = command(&["sh", "-c", &script], &serde_json::json!({}));
    coordinator.submit(&[spec], 1).await;
    let worker = Worker::start(&bench, &[]);
    let pid = pid_in(&file).await;
    let job = coordinator.jobs().await[0].digest;
    let shared = &coordinator.shared;
    let cancelled = swath_store_conformance::subject::Subject::cancel_jobs(
        &shared.store,
        shared.now(),
        vec![job],
    );
    cancelled.await.unwrap();
    coordinator.all_are(StateName::Cancelled).await;
    until("they are reaped", async || zombies(worker.0.id()) == 0).await;
    assert!(!lives(pid));
}

/// How many zombies a process has as children.
fn zombies(parent: u32) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let stats = processes.filter_map(|it| std::fs::read_to_string(it.path().join("stat")).ok());
    let zombie = format!(" Z {parent} ");
    stats
        .filter(|stat| {
            let after_name = stat.rsplit(')').next();
            after_name.is_some_and(|rest| rest.starts_with(&zombie))
        })
        .count()
}

#[tokio::test]
async fn an_outcome_survives_kill() {
    let mut coordinator = Coordinator::start();
    let bench = Bench::new(&coordinator, 1);
    let go = bench.path("go");
    let spec = training(&format!("wait {}", go.display()));
    coordinator.submit(&[spec], 1).await;
    let mut worker = Worker::start(&bench, &[]);
    until("it is under way", async || {
        go.with_extension("pid").exists()
    })
    .await;
    coordinator.stop();
    std::fs::write(&go, "").unwrap();
    let state = bench.settings.state_dir.clone();
    until("the outcome is in the spool", async || {
        spool(&state).contains("measured")
    })
    .await;
    worker.signal(Signal::KILL);
    worker.code().await;
    // The next record is cut off in the middle.
    let segment = state.join("outcomes-00000001.jsonl");
    let torn = std::fs::read_to_string(&segment).unwrap() + "0123456789abcdef {\"rec";
    std::fs::write(&segment, torn).unwrap();
    std::fs::remove_file(&go).unwrap();
    coordinator.start_again().await;
    let mut worker = Worker::start(&bench, &["--exit-when-idle", "0.2"]);
    assert_eq!(worker.code().await, Some(0));
    assert_eq!(coordinator.count(StateName::Succeeded).await, 1);
    coordinator.assert_first_attempts().await;
    let curve = swath_store_conformance::subject::Subject::curves(
        &coordinator.shared.store,
        coordinator.jobs().await[0].digest,
    );
    assert_eq!(curve.await.unwrap().len(), 2);
}

fn spool(state: &Path) -> String {
    let files = std::fs::read_dir(state).into_iter().flatten().flatten();
    let texts = files.map(|file| std::fs::read_to_string(file.path()).unwrap_or_default());
    texts.collect()
}

#[tokio::test]
async fn a_state_directory_has_one_worker() {
    let coordinator = Coordinator::start();
    let bench = Bench::new(&coordinator, 1);
    let first = Worker::start(&bench, &[]);
    let lock = bench.settings.state_dir.join("lock");
    let pid = pid_in(&lock).await;
    assert_eq!(pid, first.0.id());
    let output = Worker::command(&bench, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains(&format!("process {pid}")), "{error}");
}

#[tokio::test]
async fn a_state_directory_that_is_removed_costs_no_outcome() {
    let coordinator = Coordinator::with(Policy {
        heartbeat_ms: 100,
        ..Policy::default()
    });
    let bench = Bench::new(&coordinator, 1);
    let go = bench.path("go");
    let spec = training(&format!("wait {}", go.display()));
    coordinator.submit(&[spec], 1).await;
    let log = bench.path("log");
    let mut worker = Worker::command(&bench, &[]);
    worker.stderr(std::fs::File::create(&log).unwrap());
    let _worker = Worker(worker.spawn().unwrap());
    until("it is under way", async || {
        go.with_extension("pid").exists()
    })
    .await;
    std::fs::remove_dir_all(&bench.settings.state_dir).unwrap();
    until("it is told", async || {
        let log = std::fs::read_to_string(&log).unwrap();
        log.contains("was removed or replaced")
    })
    .await;
    std::fs::write(&go, "").unwrap();
    coordinator.all_are(StateName::Succeeded).await;
    // The directory is begun again, and then jobs are taken.
    coordinator.submit(&[null()], 1).await;
    coordinator.all_are(StateName::Succeeded).await;
    assert!(spool(&bench.settings.state_dir).contains("measured"));
}

/// Its log is on a full disk.
#[tokio::test]
async fn a_log_that_cannot_be_written_ends_no_worker() {
    let coordinator = Coordinator::start();
    let bench = Bench::new(&coordinator, 1);
    coordinator.submit(&[null()], 1).await;
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
    let mut worker = Worker::command(&bench, &[]);
    worker.stderr(full.unwrap());
    let mut worker = Worker(worker.spawn().unwrap());
    coordinator.all_are(StateName::Succeeded).await;
    worker.signal(Signal::TERM);
    assert_eq!(worker.code().await, Some(0));
}

/// Files may not become larger than this allows.
#[tokio::test]
async fn a_limit_of_file_sizes_ends_no_worker() {
    let coordinator = Coordinator::start();
    let bench = Bench::new(&coordinator, 1);
    coordinator.submit(&[null()], 50).await;
    let worker = Worker::command(&bench, &[]);
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "ulimit -f 4; exec \"$@\"", "sh"])
        .arg(worker.get_program())
        .args(worker.get_args())
        .stdin(Stdio::null());
    let mut worker = Worker(limited.spawn().unwrap());
    coordinator.all_are(StateName::Succeeded).await;
    worker.signal(Signal::TERM);
    assert_eq!(worker.code().await, Some(0));
}

#[tokio::test]
async fn a_state_directory_that_cannot_be_is_named() {
    let coordinator = Coordinator::start();
    let mut bench = Bench::new(&coordinator, 1);
    bench.settings.state_dir = bench.settings.trainer.join("state");
    let output = Worker::command(&bench, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        error.contains("trainer/state") && error.contains("--state-dir"),
        "{error}"
    );
}

#[tokio::test]
async fn a_coordinator_that_is_not_there_is_named() {
    let mut coordinator = Coordinator::start();
    let bench = Bench::new(&coordinator, 1);
    coordinator.stop();
    let output = Worker::command(&bench, &["--exit-when-idle", "1"]).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    let name = format!("cannot reach the coordinator at {}: ", coordinator.url());
    assert_eq!(log.matches(&name).count(), 2, "{log}");
    assert!(log.contains("WARN") && log.contains("; trying again; is `coordinator serve`"));
}

#[tokio::test]
async fn the_daemon_is_small() {
    let coordinator = Coordinator::start();
    coordinator.submit(&[null()], 2_000).await;
    let bench = Bench::new(&coordinator, 2);
    let worker = Worker::start(&bench, &["--device", "cpu:2"]);
    coordinator.all_are(StateName::Succeeded).await;
    let status = std::fs::read_to_string(format!("/proc/{}/status", worker.0.id())).unwrap();
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let kib: u64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 50 << 10, "{kib} KiB");
}
