//! Coordinator and workers as separate processes, undisturbed and disturbed:
//! the table must be the same.

use std::time::Duration;

use serde_json::Value;
use swath_e2e::{Output, Process, Site, SweepText, rows, wait_until};

const PATIENCE: Duration = Duration::from_mins(4);

/// A sweep of real trainings on the shipped digits, long enough to be
/// disturbed.
fn digits() -> String {
    SweepText::digits("digits")
        .replicates(3)
        .grid("batch_size = [32, 128]\n")
        .to_string()
}

fn wait_for(site: &Site, sweep: &str, state: &str, jobs: u64) {
    let what = format!("{jobs} jobs of {sweep} are {state}");
    wait_until(&what, PATIENCE, || {
        (site.count(sweep, state) >= jobs).then_some(())
    });
}

/// How many attempts each of a sweep's jobs had.
fn attempts(site: &Site, sweep: &str) -> Vec<u64> {
    let jobs = site.json(&["jobs", sweep]);
    let jobs = jobs["jobs"].as_array().cloned().unwrap_or_default();
    jobs.iter()
        .filter_map(|job| job["attempt"].as_u64())
        .collect()
}

fn trainers_of(worker: &Process) -> Vec<u32> {
    let children = format!("/proc/{0}/task/{0}/children", worker.pid());
    let text = std::fs::read_to_string(children).unwrap_or_default();
    let pids = text.split_whitespace().filter_map(|pid| pid.parse().ok());
    // The guard is a child too, as long as the worker is there.
    pids.filter(|pid: &u32| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
        name.is_ok_and(|name| name.trim_end() != "swath-guard")
    })
    .collect()
}

fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

fn undisturbed() -> Vec<Value> {
    let mut site = Site::new();
    let _coordinator = site.serve();
    let _worker = site.worker("steady", 2, &[]);
    site.write("digits.toml", &digits());
    let output = site.run(&["submit", "digits.toml", "--wait"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(
        output.stdout.contains("32") && output.stdout.contains("128"),
        "{}",
        output.stdout
    );
    rows(&site.json(&["table", "digits"]))
}

#[test]
fn a_disturbed_cluster_prints_the_undisturbed_table() {
    let expected = undisturbed();
    assert_eq!(expected.len(), 2);

    let mut site = Site::new();
    let mut coordinator = site.serve();
    let mut doomed = site.worker("doomed", 1, &[]);
    let _steady = site.worker("steady", 1, &[]);
    site.write("digits.toml", &digits());
    site.ok(&["submit", "digits.toml"]);
    wait_for(&site, "digits", "succeeded", 3);

    let trainers = trainers_of(&doomed);
    doomed.kill();
    wait_until("the killed worker's trainers are gone", PATIENCE, || {
        trainers.iter().all(|pid| !is_running(*pid)).then_some(())
    });
    coordinator.kill();
    coordinator = site.serve();

    let output = site.run(&["submit", "digits.toml", "--wait"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(rows(&site.json(&["table", "digits"])), expected);
    drop(coordinator);
}

#[test]
fn a_killed_trainer_costs_its_attempt_and_no_number() {
    let expected = undisturbed();
    let mut site = Site::new();
    let _coordinator = site.serve();
    let worker = site.worker("w", 1, &[]);
    site.write("digits.toml", &digits());
    site.ok(&["submit", "digits.toml"]);
    wait_for(&site, "digits", "succeeded", 1);
    let trainers = trainers_of(&worker);
    assert!(!trainers.is_empty(), "a warm trainer stays between jobs");
    kill_group(&trainers);
    let output = site.run(&["submit", "digits.toml", "--wait"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(rows(&site.json(&["table", "digits"])), expected);
    assert!(
        attempts(&site, "digits")
            .iter()
            .all(|attempt| *attempt <= 2)
    );
}

#[test]
fn a_killed_trainer_goes_on_from_its_checkpoint() {
    let text = SweepText::digits("long")
        .replicates(1)
        .grid("batch_size = [32]\n")
        .to_string()
        .replace("epochs = 2", "epochs = 12");
    let mut undisturbed = Site::new();
    let _coordinator = undisturbed.serve();
    let _worker = undisturbed.worker("w", 1, &[]);
    undisturbed.write("long.toml", &text);
    undisturbed.ok(&["submit", "long.toml", "--wait"]);

    let mut site = Site::new();
    let _coordinator = site.serve();
    let mut command = site.worker_command("w", 1);
    command.env("SWATH_TRAINER_CHECKPOINT_STEPS", "10");
    let worker = Process::start("w", &mut command);
    site.write("long.toml", &text);
    site.ok(&["submit", "long.toml"]);
    let checkpoints = site.path().join("state-w/checkpoints");
    wait_until("a checkpoint", PATIENCE, || {
        let jobs = std::fs::read_dir(&checkpoints).ok()?.flatten();
        let files = jobs.flat_map(|job| std::fs::read_dir(job.path())).flatten();
        let mut names = files.flatten().map(|file| file.file_name());
        names.find(|name| name.to_string_lossy().ends_with(".json"))
    });
    kill_group(&trainers_of(&worker));
    site.ok(&["submit", "long.toml", "--wait"]);

    assert_eq!(attempts(&site, "long"), [2]);
    let logs = site.ok(&["logs", "long"]);
    assert!(
        logs.contains("going on from the checkpoint of step"),
        "{logs}"
    );
    let table = |site: &Site| rows(&site.json(&["table", "long"]));
    assert_eq!(table(&site), table(&undisturbed));
    let left = std::fs::read_dir(&checkpoints).unwrap().count();
    assert_eq!(left, 0, "checkpoints go with their training");
}

#[test]
fn growing_a_sweep_trains_only_what_is_missing() {
    let mut site = Site::new();
    let _coordinator = site.serve();
    let _worker = site.worker("w", 2, &[]);
    site.write(
        "null.toml",
        &SweepText::null("null", 3).replicates(2).to_string(),
    );
    site.ok(&["submit", "null.toml", "--wait"]);
    let before = rows(&site.json(&["table", "null"]));

    let Output {
        code,
        stdout,
        stderr,
    } = site.run(&["submit", "null.toml"]);
    assert_eq!(code, Some(0));
    assert!(
        format!("{stdout}{stderr}").contains("nothing new"),
        "{stdout}{stderr}"
    );

    site.ok(&["extend", "null", "--replicates", "4"]);
    wait_for(&site, "null", "succeeded", 12);
    let after = rows(&site.json(&["table", "null"]));
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before["cell"], after["cell"]);
        let old = before["values"].as_array().unwrap();
        assert_eq!(
            old[..],
            after["values"].as_array().unwrap()[..2],
            "the first seeds stay"
        );
    }
    assert!(attempts(&site, "null").iter().all(|attempt| *attempt == 1));

    // A grown file shares the cells that are known.
    site.write(
        "null.toml",
        &SweepText::null("null", 4).replicates(4).to_string(),
    );
    let output = site.run(&["submit", "null.toml", "--wait"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(attempts(&site, "null").iter().all(|attempt| *attempt == 1));
}

/// A program that waits for a file before it finishes. Its error is a function
/// of its seed.
const GATED: &str = "\
read -r spec
seed=${spec##*\\\"seed\\\":}
seed=${seed%%[,\\}]*}
echo \"{\\\"event\\\":\\\"started\\\"}\"
touch \"started-$seed\"
while [ ! -e go ]; do sleep 0.02; done
echo \"{\\\"event\\\":\\\"finished\\\",\\\"test_error\\\":$((seed % 1000)),\\\"train_seconds\\\":1}\"
";

fn gated(site: &Site, cells: u32) -> String {
    let script = site.write("gated.sh", GATED);
    SweepText::command("gated", &["sh", &script.display().to_string()], cells).to_string()
}

fn wait_for_starts(site: &Site, count: usize) {
    wait_until("the programs have started", PATIENCE, || {
        let entries = std::fs::read_dir(site.path()).ok()?;
        let started = entries
            .filter_map(Result::ok)
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("started-"));
        (started.count() >= count).then_some(())
    });
}

#[test]
fn training_goes_on_while_the_coordinator_is_away() {
    let mut site = Site::new();
    let mut coordinator = site.serve();
    let mut worker = site.worker("w", 1, &["sh"]);
    site.write("gated.toml", &gated(&site, 1));
    site.ok(&["submit", "gated.toml"]);
    wait_for_starts(&site, 1);
    coordinator.kill();
    site.write("go", "");
    // The program ends while no coordinator can be told.
    wait_until("the program has ended", PATIENCE, || {
        trainers_of(&worker).is_empty().then_some(())
    });
    assert!(worker.is_alive(), "{}", worker.stderr());
    let _coordinator = site.serve();
    wait_for(&site, "gated", "succeeded", 1);
    assert_eq!(attempts(&site, "gated"), [1], "it was not trained twice");
}

#[test]
fn a_killed_program_is_tried_again() {
    let mut site = Site::new();
    let _coordinator = site.serve();
    let worker = site.worker("w", 1, &["sh"]);
    site.write("gated.toml", &gated(&site, 1));
    site.ok(&["submit", "gated.toml"]);
    wait_for_starts(&site, 1);
    let trainers = trainers_of(&worker);
    assert!(!trainers.is_empty());
    kill_group(&trainers);
    site.write("go", "");
    wait_for(&site, "gated", "succeeded", 1);
    assert_eq!(attempts(&site, "gated"), [2]);
    let explained = site.json(&["explain", "gated"]);
    let first = &explained["detail"]["attempts"][0];
    assert_eq!(first["ended"], "crashed", "{explained}");
    assert!(
        first["message"].as_str().unwrap().contains("signal"),
        "{first}"
    );
}

#[expect(unsafe_code, reason = "kill(2) on the groups of a worker's trainers")]
fn kill_group(pids: &[u32]) {
    for pid in pids {
        unsafe {
            libc::kill(-pid.cast_signed(), libc::SIGKILL);
        }
    }
}

#[test]
fn a_drained_worker_gives_back_and_nothing_is_charged() {
    let mut site = Site::new();
    let _coordinator = site.serve();
    let mut worker = site.worker("w", 1, &["sh"]);
    site.write("gated.toml", &gated(&site, 2));
    site.ok(&["submit", "gated.toml"]);
    wait_for_starts(&site, 1);
    worker.signal(libc::SIGTERM);
    assert_eq!(
        worker.wait(Duration::from_secs(30)),
        0,
        "{}",
        worker.stderr()
    );
    assert_eq!(site.count("gated", "queued"), 2);
    site.write("go", "");
    let _next = site.worker("next", 2, &["sh"]);
    wait_for(&site, "gated", "succeeded", 2);
    let jobs = site.json(&["jobs", "gated"]);
    let charged = |job: &Value| job["charged"].as_u64();
    let jobs = jobs["jobs"].as_array().unwrap();
    assert!(jobs.iter().all(|job| charged(job) == Some(0)), "{jobs:?}");
}

#[test]
fn cancelling_stops_what_trains() {
    let mut site = Site::new();
    let _coordinator = site.serve();
    let worker = site.worker("w", 1, &["sh"]);
    site.write("gated.toml", &gated(&site, 3));
    site.ok(&["submit", "gated.toml"]);
    wait_for_starts(&site, 1);
    site.ok(&["cancel", "gated"]);
    wait_for(&site, "gated", "cancelled", 3);
    let programs = trainers_of(&worker);
    wait_until("the program is gone", PATIENCE, || {
        programs.iter().all(|pid| !is_running(*pid)).then_some(())
    });
    let output = site.run(&["submit", "gated.toml"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    site.write("go", "");
    wait_for(&site, "gated", "succeeded", 3);
}

#[test]
fn programs_run_only_where_they_are_allowed() {
    let mut site = Site::new();
    let _coordinator = site.serve();
    let _worker = site.worker("strict", 1, &[]);
    site.write("go", "");
    site.write("gated.toml", &gated(&site, 1));
    site.ok(&["submit", "gated.toml"]);
    wait_until("the worker is connected", PATIENCE, || {
        let workers = site.json(&["workers"]);
        (workers["workers"].as_array()?.len() == 1).then_some(())
    });
    let explained = site.json(&["explain", "gated"]);
    assert!(
        explained["reasons"]
            .to_string()
            .contains("--allow-command sh"),
        "{explained}"
    );
    assert_eq!(site.count("gated", "queued"), 1);
    let _open = site.worker("open", 1, &["sh"]);
    wait_for(&site, "gated", "succeeded", 1);
}

#[test]
fn missing_data_are_told_with_the_remedy_and_fail_no_job() {
    let mut site = Site::new();
    let _coordinator = site.serve();
    let _worker = site.worker("w", 2, &[]);
    let sweep = SweepText::digits("cifar")
        .replicates(3)
        .grid("batch_size = [64, 128, 256, 512]\n")
        .to_string()
        .replace("\"digits\"", "\"cifar10\"");
    site.write("cifar.toml", &sweep);
    site.ok(&["submit", "cifar.toml"]);
    let job = site.json(&["jobs", "cifar"])["jobs"][0]["digest"].clone();
    let job = job.as_str().expect("a job");
    let said = wait_until("the lack is told", PATIENCE, || {
        let said = site.ok(&["explain", job]);
        said.contains("no active worker has the data")
            .then_some(said)
    });
    assert!(
        said.contains("cifar-10-binary.tar.gz") && said.contains("SWATH_DATA_MIRROR"),
        "{said}"
    );
    assert_eq!(site.count("cifar", "failed"), 0);
    // Its own worker is the only one of `run`, so nobody will bring the data.
    let output = site.run(&["run", "cifar.toml", "--database", "here.db"]);
    assert_eq!(output.code, Some(10), "{}", output.stderr);
    assert!(
        output.stderr.contains("SWATH_DATA_MIRROR"),
        "{}",
        output.stderr
    );
}

#[test]
fn a_training_that_diverges_is_shown() {
    let mut site = Site::new();
    let _coordinator = site.serve();
    let _worker = site.worker("w", 2, &[]);
    let sweep = SweepText::digits("wild")
        .replicates(2)
        // The weights grow a thousandfold in each step.
        .grid("\"optimizer.lr\" = [0.001, 1000]\n\"optimizer.weight_decay\" = [1.0]\nbatch_size = [64]\n");
    site.write("wild.toml", &sweep.to_string());
    let output = site.run(&["submit", "wild.toml", "--wait"]);
    assert!(
        output.stdout.contains("diverged"),
        "{}\n{}",
        output.stdout,
        output.stderr
    );
    let table = site.json(&["table", "wild"]);
    assert_eq!(table["rows"][1]["diverged"], 2);
    assert_eq!(table["rows"][1]["n"], 0);
    assert_eq!(table["rows"][1]["median"], Value::Null);
    assert!(
        attempts(&site, "wild").iter().all(|attempt| *attempt == 1),
        "no retry"
    );
}
