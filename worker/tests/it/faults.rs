//! Every way in which a trainer can end, and the fault that it leads to.

use std::path::{Path, PathBuf};

use swath_model::job::StateName;
use swath_model::outcome::Fault;
use swath_model::policy::Policy;

use crate::coordinator::Coordinator;
use crate::support::{Bench, command, training, until};

/// The fault and the message that a spec leads to.
async fn fault_of(spec: serde_json::Value) -> (Fault, String) {
    let coordinator = Coordinator::with(Policy {
        heartbeat_ms: 100,
        charged_max: 1,
        attempts_max: 1,
        cordon_after: 1000,
        pause_after: 1000,
        ..Policy::default()
    });
    coordinator.submit(&[spec], 1).await;
    let bench = Bench::new(&coordinator, 1);
    let worker = bench.start();
    coordinator.all_are(StateName::Failed).await;
    worker.abort();
    let attempt = coordinator.detail().await.attempts.remove(0);
    (Fault::from_name(&attempt.ended).unwrap(), attempt.message)
}

async fn assert_fault(spec: serde_json::Value, fault: Fault, begins: &str) {
    let (found, message) = fault_of(spec.clone()).await;
    assert_eq!(found, fault, "{spec}: {message}");
    assert!(message.starts_with(begins), "{spec}: {message}");
}

#[tokio::test]
async fn a_failed_line_names_its_fault() {
    let cases = [
        ("diverged", Fault::Diverged),
        ("invalid", Fault::Invalid),
        ("out_of_memory", Fault::OutOfMemory),
        ("crashed", Fault::Crashed),
    ];
    for (name, fault) in cases {
        let deed = training(&format!("fail {name}"));
        assert_fault(deed, fault, &format!("asked to be {name}")).await;
    }
}

#[tokio::test]
async fn an_exit_code_is_a_fault() {
    let cases = [
        (
            0,
            Fault::Crashed,
            "ended without a `finished` line: ValueError: no luck",
        ),
        (1, Fault::Crashed, "exit code 1: ValueError: no luck\n"),
        (10, Fault::Diverged, "diverged: ValueError"),
        (11, Fault::Invalid, "invalid spec: ValueError"),
        (12, Fault::OutOfMemory, "out of memory: ValueError"),
        (75, Fault::Lost, "stopped by SIGTERM from outside"),
    ];
    for (code, fault, begins) in cases {
        assert_fault(training(&format!("exit {code}")), fault, begins).await;
    }
}

#[tokio::test]
async fn a_signal_is_a_fault() {
    let cases = [
        (
            9,
            Fault::Crashed,
            "killed by signal 9 (SIGKILL), not by the worker",
        ),
        (11, Fault::Crashed, "killed by signal 11 (SIGSEGV)"),
        (15, Fault::Lost, "stopped by SIGTERM from outside"),
    ];
    for (signal, fault, begins) in cases {
        assert_fault(training(&format!("signal {signal}")), fault, begins).await;
    }
    // This is in the same test because the kernel counts for the whole host: a
    // SIGKILL in another test at the same time would be taken for a lack of
    // memory.
    if let Some(group) = MemoryGroup::new() {
        let deed = format!("eat {}", group.0.display());
        assert_fault(training(&deed), Fault::OutOfMemory, "killed by the kernel").await;
    }
}

/// A control group with little memory.
struct MemoryGroup(PathBuf);

impl MemoryGroup {
    /// `None` if the test may not make one.
    fn new() -> Option<Self> {
        let name = format!("swath-worker-test-{}", std::process::id());
        let group = Self(Path::new("/sys/fs/cgroup/memory").join(name));
        let limit = group.0.join("memory.limit_in_bytes");
        let made = std::fs::create_dir(&group.0);
        let made = made.and_then(|()| std::fs::write(limit, (48 << 20).to_string()));
        if let Err(error) = made {
            skip(&format!("no control group can be made: {error}"));
            return None;
        }
        Some(group)
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // If it is left behind, it is empty and harmless.
        let _removed = std::fs::remove_dir(&self.0);
    }
}

#[expect(
    clippy::print_stderr,
    reason = "whoever reads the log must know what was not tested"
)]
fn skip(why: &str) {
    eprintln!("SKIP out of memory: {why}");
}

#[tokio::test]
async fn a_broken_protocol_is_a_crash() {
    let cases = [
        ("text", "broke the protocol: a line is not JSON: loss: 3"),
        ("endless", "broke the protocol: a line is too long"),
        ("nothing", "`test_error` of its `finished` line is null"),
    ];
    for (deed, begins) in cases {
        assert_fault(training(deed), Fault::Crashed, begins).await;
    }
}

#[tokio::test]
async fn a_program_that_measures_nothing_has_crashed() {
    let none = serde_json::json!({});
    let sh = |script: &str| command(&["sh", "-c", script], &none);
    let cases = [
        (
            sh(r#"echo '{"event":"finished","test_error":1}'"#),
            Fault::Crashed,
            "its `finished` line has no `accuracy_error`",
        ),
        (
            sh(r#"echo '{"event":"finished","accuracy_error":NaN}'"#),
            Fault::Diverged,
            "its metric `accuracy_error` is NaN",
        ),
        (
            sh(r#"echo '{"event":"finished","accuracy_error":null}'"#),
            Fault::Crashed,
            "`accuracy_error` of its `finished` line is null",
        ),
        (
            sh("echo hello"),
            Fault::Crashed,
            "ended without a `finished` line",
        ),
        (
            sh("echo why >&2; exit 3"),
            Fault::Crashed,
            "exit code 3: why",
        ),
        (sh("exit 11"), Fault::Crashed, "exit code 11"),
        (
            sh(r#"echo '{"event":"epoch","epoch":1}'; exit 12"#),
            Fault::OutOfMemory,
            "out of memory",
        ),
        (
            sh(r#"echo '{"event":"failed","fault":"diverged","message":"up"}'"#),
            Fault::Diverged,
            "up",
        ),
        (
            command(&["sh", "/no/such/file"], &none),
            Fault::Crashed,
            "exit code ",
        ),
    ];
    for (spec, fault, begins) in cases {
        assert_fault(spec, fault, begins).await;
    }
}

#[tokio::test]
async fn a_trainer_that_is_not_there_costs_no_attempt() {
    let coordinator = Coordinator::start();
    coordinator.submit(&[training("ok")], 1).await;
    let mut bench = Bench::new(&coordinator, 1);
    bench.settings.trainer = bench.path("nowhere");
    let worker = bench.start();
    crate::support::until("it goes elsewhere", async || {
        let attempts = coordinator.detail().await.attempts;
        attempts.first().is_some_and(|it| it.ended == "released")
    })
    .await;
    assert_eq!(coordinator.count(StateName::Failed).await, 0);
    worker.abort();
}

#[tokio::test]
async fn an_attempt_that_gets_no_directory_leaves_no_spec_file() {
    let coordinator = Coordinator::with(Policy {
        heartbeat_ms: 100,
        charged_max: 1,
        attempts_max: 1,
        ..Policy::default()
    });
    let bench = Bench::new(&coordinator, 1);
    let worker = bench.start();
    let own = || std::fs::read_dir(&bench.settings.out).ok()?.next()?.ok();
    until("the worker has its place", async || own().is_some()).await;
    let place = own().unwrap().path();
    std::fs::remove_dir(&place).unwrap();
    std::fs::write(&place, "no directory").unwrap();
    let spec = command(&["sh", "-c", "echo 1"], &serde_json::json!({}));
    coordinator.submit(&[spec], 1).await;
    until("the attempt ends", async || {
        let attempts = coordinator.detail().await.attempts;
        attempts
            .iter()
            .any(|it| it.message.contains("its directory"))
    })
    .await;
    let specs = std::fs::read_dir(bench.settings.state_dir.join("specs"));
    assert_eq!(specs.map_or(0, Iterator::count), 0);
    worker.abort();
}
