//! What programs start ends with them, whatever they do to get away, and also when their worker
//! is killed.

use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use swath_model::job::StateName;

use crate::coordinator::Coordinator;
use crate::process::Worker;
use crate::support::{Bench, command, lives, pid_in, until};

const FINISHED: &str = r#"echo '{"event":"finished","accuracy_error":1}'"#;

/// Ways to get away from a program. Each writes to `$FILE` who got away.
const ESCAPES: [(&str, &str); 5] = [
    ("orphan", "sleep 1000 & echo $! > $FILE.new"),
    (
        "setsid",
        "setsid sh -c 'echo $$ > $FILE.new; exec sleep 1000' > /dev/null 2>&1 < /dev/null &",
    ),
    (
        "clean environment",
        "setsid env -i sh -c \"echo \\$\\$ > $FILE.new; exec sleep 1000\" > /dev/null 2>&1 < /dev/null &",
    ),
    (
        "twice",
        "(setsid env -i sh -c \"setsid sh -c 'echo \\$\\$ > $FILE.new; exec sleep 1000' &\" &)",
    ),
    (
        "ignored signals",
        "(trap '' TERM INT HUP; setsid env -i sh -c \"echo \\$\\$ > $FILE.new; sleep 1000; sleep 1000\" &)",
    ),
];

/// A program that lets something get away, and then goes on like this.
fn program(escape: &str, file: &Path, then: &str) -> serde_json::Value {
    let script = format!(
        "FILE={0}; export FILE; {escape}
         while [ ! -s $FILE.new ]; do sleep 0.01; done; mv $FILE.new $FILE
         {then}",
        file.display()
    );
    command(&["sh", "-c", &script], &json!({ "file": file }))
}

#[tokio::test]
async fn nothing_outlives_its_program() {
    let coordinator = Coordinator::start();
    let bench = Bench::new(&coordinator, 1);
    let mut specs = Vec::new();
    let mut files: Vec<PathBuf> = Vec::new();
    for (index, (_, escape)) in ESCAPES.into_iter().enumerate() {
        let file = bench.path(&index.to_string());
        specs.push(program(escape, &file, FINISHED));
        files.push(file);
    }
    coordinator.submit(&specs, 1).await;
    let _worker = Worker::start(&bench, &[]);
    coordinator.all_are(StateName::Succeeded).await;
    for (file, (name, _)) in files.iter().zip(ESCAPES) {
        // It was gone before the outcome was reported.
        assert!(!lives(pid_in(file).await), "{name}");
    }
}

#[tokio::test]
async fn nothing_outlives_a_worker_that_is_killed() {
    for (name, escape) in ESCAPES {
        let coordinator = Coordinator::start();
        let bench = Bench::new(&coordinator, 1);
        let file = bench.path("pid");
        let own = bench.path("own");
        let then = format!(
            "echo $$ > {0}.new; mv {0}.new {0}; sleep 1000",
            own.display()
        );
        coordinator
            .submit(&[program(escape, &file, &then)], 1)
            .await;
        let mut worker = Worker::start(&bench, &[]);
        let (escaped, own) = (pid_in(&file).await, pid_in(&own).await);
        worker.signal(Signal::KILL);
        worker.code().await;
        until(&format!("{name}: all are gone"), async || {
            !lives(escaped) && !lives(own)
        })
        .await;
    }
}

/// Each keeps the pipes of its program open, and the worker hears of none of them.
#[tokio::test]
async fn hundreds_that_hold_the_pipes_do_not_hold_up_the_outcome() {
    let coordinator = Coordinator::start();
    let bench = Bench::new(&coordinator, 1);
    let file = bench.path("pid");
    let many = "i=0; while [ $i -lt 400 ]; do setsid env -i sleep 1000 & i=$((i+1)); done
                setsid env -i sleep 1001 & echo $! > $FILE.new";
    coordinator
        .submit(&[program(many, &file, FINISHED)], 1)
        .await;
    let worker = Worker::start(&bench, &[]);
    coordinator.all_are(StateName::Succeeded).await;
    assert!(!lives(pid_in(&file).await));
    assert_eq!(below(worker.0.id()), 1, "only its guard is there");
}

/// How many running processes a worker has started or adopted.
fn below(parent: u32) -> usize {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let children = std::fs::read_to_string(path).unwrap();
    let pids = children
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok());
    pids.filter(|pid| lives(*pid)).count()
}

#[tokio::test]
async fn a_program_keeps_what_it_has_while_another_ends() {
    let coordinator = Coordinator::start();
    let bench = Bench::new(&coordinator, 2);
    let (file, other) = (bench.path("pid"), bench.path("other"));
    let go = bench.path("go");
    let (_, escape) = ESCAPES[3];
    let wait = format!(
        "while [ ! -e {} ]; do sleep 0.01; done; {FINISHED}",
        go.display()
    );
    let specs = [
        program(escape, &file, &wait),
        program(escape, &other, FINISHED),
    ];
    coordinator.submit(&specs, 1).await;
    let _worker = Worker::start(&bench, &["--device", "cpu:2"]);
    until("one has ended", async || {
        coordinator.count(StateName::Succeeded).await == 1
    })
    .await;
    assert!(!lives(pid_in(&other).await));
    let kept = pid_in(&file).await;
    assert!(lives(kept), "it belongs to a program that goes on");
    std::fs::write(&go, "").unwrap();
    coordinator.all_are(StateName::Succeeded).await;
    assert!(!lives(kept));
}

/// Each of them is gone before it can be killed, and has left the next one behind.
#[tokio::test]
async fn what_keeps_forking_is_caught() {
    let coordinator = Coordinator::start();
    let bench = Bench::new(&coordinator, 1);
    let file = bench.path("pid");
    let script = bench.path("hop");
    std::fs::write(&script, "setsid sh $0 &\n").unwrap();
    let hop = format!(
        "setsid env -i PATH=$PATH sh {} & echo 1 > $FILE.new",
        script.display()
    );
    coordinator
        .submit(&[program(&hop, &file, FINISHED)], 1)
        .await;
    let worker = Worker::start(&bench, &[]);
    coordinator.all_are(StateName::Succeeded).await;
    until("none is left", async || below(worker.0.id()) == 1).await;
}

#[tokio::test]
async fn a_guard_that_is_killed_is_replaced() {
    let coordinator = Coordinator::start();
    let bench = Bench::new(&coordinator, 1);
    let (file, own) = (bench.path("pid"), bench.path("own"));
    let then = format!(
        "echo $$ > {0}.new; mv {0}.new {0}; sleep 1000",
        own.display()
    );
    let mut worker = Worker::start(&bench, &[]);
    let mut guard = 0;
    until("it has a guard", async || {
        guard = guard_of(worker.0.id()).unwrap_or(0);
        guard != 0
    })
    .await;
    let pid = Pid::from_raw(guard as i32).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    until("it has another", async || {
        guard_of(worker.0.id()).is_some_and(|it| it != guard)
    })
    .await;
    let (_, escape) = ESCAPES[2];
    coordinator
        .submit(&[program(escape, &file, &then)], 1)
        .await;
    let (escaped, own) = (pid_in(&file).await, pid_in(&own).await);
    worker.signal(Signal::KILL);
    worker.code().await;
    until("all are gone", async || !lives(escaped) && !lives(own)).await;
}

#[tokio::test]
async fn what_a_worker_without_a_guard_left_running_is_killed_at_the_next_start() {
    let coordinator = Coordinator::start();
    let bench = Bench::new(&coordinator, 1);
    let file = bench.path("pid");
    let script = format!(
        "setsid sleep 1000 & echo $! > {0}.new; mv {0}.new {0}; wait",
        file.display()
    );
    let spec = command(&["sh", "-c", &script], &json!({}));
    coordinator.submit(&[spec], 1).await;
    let mut worker = Worker::start(&bench, &[]);
    let pid = pid_in(&file).await;
    // It gets no other guard in time.
    worker.signal(Signal::STOP);
    let guard = guard_of(worker.0.id()).and_then(|guard| Pid::from_raw(guard as i32));
    kill_process(guard.unwrap(), Signal::KILL).unwrap();
    worker.signal(Signal::KILL);
    worker.code().await;
    assert!(lives(pid));
    let mut next = Worker::start(&bench, &[]);
    until("the leftover is gone", async || !lives(pid)).await;
    next.signal(Signal::TERM);
    assert_eq!(next.code().await, Some(0));
}

fn guard_of(worker: u32) -> Option<u32> {
    let path = format!("/proc/{worker}/task/{worker}/children");
    let children = std::fs::read_to_string(path).ok()?;
    let mut pids = children
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok());
    pids.find(|pid| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
        name.is_ok_and(|name| name.trim() == "swath-guard")
    })
}
