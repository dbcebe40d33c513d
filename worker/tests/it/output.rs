//! What programs write, with real ones: no line of theirs costs a training, and
//! what they wrote can be read.

use serde_json::json;
use swath_model::job::StateName;
use swath_model::outcome::Fault;
use swath_model::policy::Policy;
use swath_store_conformance::subject::Subject;

use crate::coordinator::Coordinator;
use crate::support::{Bench, command, until};

/// Ways to print a measurement, as the end of a Python program that has `w`,
/// which writes bytes to stdout, and `done`, the event.
const WAYS: [&str; 17] = [
    r#"w(b"epoch 1 loss=0.3 " + done + b"\n")"#,
    r#"w(b"".join(b"\r%3d%%|###" % i for i in range(101)) + done + b"\n")"#,
    "w(done)",
    r#"w(bytes(range(256)) * 40 + b"\n" + done + b"\r\n")"#,
    r#"w(b"[" + b"0.123456, " * 150000 + b"]\n" + done + b"\n")"#,
    r#"w(b"0.123456, " * 150000 + done + b"\n")"#,
    r#"w(b'{"event": "finished", "level": "info"}\n' + done + b"\n")"#,
    r#"w(b'{"event": "started", "total_epochs": "ten"}\n' + done + b"\n")"#,
    r#"w(b'{"event": "failed", "what": "to download"}\n' + done + b"\n")"#,
    r#"w(b"\xef\xbb\xbf" + done + b"\n")"#,
    r#"w(b"2024-01-01 10:00:00 INFO " + done + b"\n")"#,
    r#"w(done + b"\n"); sys.exit(1)"#,
    r#"w(done + b"\n"); os.abort()"#,
    r#"w(done + b"\n"); os.close(1); os.close(2)"#,
    r#"w(b'{"event": "epoch", "epoch": 1.0, "step": -1, "lr": [0.1]}\n' + done + b"\n")"#,
    r#"w(b'{"event": "epoch", "epoch": 1, "lr": NaN}' + done + b"\n")"#,
    r#"w(b'{"event": "epoch", "x": ' + b"[" * 5000 + b"]" * 5000 + b"}\n" + done + b"\n")"#,
];

fn python(script: &str) -> serde_json::Value {
    let script = format!(
        r#"
import os, sys
def w(text): sys.stdout.buffer.write(text); sys.stdout.buffer.flush()
done = b'{{"event": "finished", "accuracy_error": 5.0}}'
{script}
"#
    );
    command(&["python3", "-c", &script], &json!({}))
}

async fn log_of(coordinator: &Coordinator) -> String {
    let job = coordinator.jobs().await[0].digest;
    let logs = coordinator.shared.store.logs(job, 0).await.unwrap();
    logs.into_iter().map(|chunk| chunk.text).collect()
}

#[tokio::test]
async fn no_way_to_print_costs_a_training() {
    let coordinator = Coordinator::start();
    coordinator.submit(&WAYS.map(python), 1).await;
    let bench = Bench::new(&coordinator, 2);
    let worker = bench.start();
    coordinator.all_are(StateName::Succeeded).await;
    worker.abort();
    coordinator.assert_first_attempts().await;
    for job in coordinator.jobs().await {
        assert_eq!(job.measured(), Some(5.0), "{}", job.digest);
    }
}

#[tokio::test]
async fn a_program_that_fails_after_its_measurement_says_so_in_its_log() {
    let coordinator = Coordinator::start();
    let spec = python(r#"w(done + b"\n"); raise RuntimeError("too late")"#);
    coordinator.submit(&[spec], 1).await;
    let bench = Bench::new(&coordinator, 1);
    let worker = bench.start();
    coordinator.all_are(StateName::Succeeded).await;
    worker.abort();
    let log = log_of(&coordinator).await;
    assert!(log.contains("RuntimeError: too late\n"), "{log}");
    assert!(log.ends_with("which counts: exit code 1\n"), "{log}");
}

#[tokio::test]
async fn the_end_of_a_burst_is_in_the_log_and_in_the_message() {
    let coordinator = Coordinator::with(Policy {
        attempts_max: 1,
        ..Policy::default()
    });
    let lines = r#"sys.stderr.write("first\n" + ("c" * 1023 + "\n") * 1000)"#;
    let spec = python(&format!("{lines}\nraise RuntimeError('interesting')"));
    coordinator.submit(&[spec], 1).await;
    let bench = Bench::new(&coordinator, 1);
    let worker = bench.start();
    coordinator.all_are(StateName::Failed).await;
    worker.abort();
    let attempt = coordinator.detail().await.attempts.remove(0);
    let begins = "exit code 1: RuntimeError: interesting\n";
    assert_eq!(Fault::from_name(&attempt.ended), Some(Fault::Crashed));
    assert!(attempt.message.starts_with(begins), "{}", attempt.message);
    let log = log_of(&coordinator).await;
    assert!(log.starts_with("first\n"));
    assert!(log.ends_with("RuntimeError: interesting\n"));
    assert!(log.len() < 200 << 10);
    let job = coordinator.jobs().await[0].digest;
    let chunks = coordinator.shared.store.logs(job, 0).await.unwrap();
    let gaps = chunks.windows(2).map(|pair| pair[1].begin - pair[0].end());
    let traceback = log.rsplit("c\n").next().unwrap_or_default();
    let written = "first\n".len() + (1024 * 1000) + traceback.len();
    assert_eq!(gaps.sum::<u64>() + log.len() as u64, written as u64);
}

#[tokio::test]
async fn a_bar_shows_while_it_runs() {
    let coordinator = Coordinator::start();
    let bench = Bench::new(&coordinator, 2);
    let go = bench.path("go");
    let specs = ["stdout", "stderr"].map(|stream| {
        python(&format!(
            r#"
import time
sys.{stream}.write("\r 1%|    \r 50%|##  "); sys.{stream}.flush()
while not os.path.exists("{}"): time.sleep(0.005)
w(b"\n" + done + b"\n")
"#,
            go.display()
        ))
    });
    coordinator.submit(&specs, 1).await;
    let worker = bench.start();
    until("both bars show", async || {
        let mut shown = 0;
        for job in coordinator.jobs().await {
            let logs = coordinator.shared.store.logs(job.digest, 0).await.unwrap();
            shown += logs.iter().filter(|it| it.text == " 50%|##  \n").count();
        }
        shown == 2
    })
    .await;
    std::fs::write(&go, "").unwrap();
    coordinator.all_are(StateName::Succeeded).await;
    worker.abort();
}

#[tokio::test]
async fn what_a_cancelled_program_writes_at_last_is_in_its_log() {
    let coordinator = Coordinator::start();
    let bench = Bench::new(&coordinator, 1);
    let up = bench.path("up");
    let script = format!(
        "trap 'echo interrupted; exit 1' TERM; touch {}; while :; do sleep 0.01; done",
        up.display()
    );
    let spec = command(&["sh", "-c", &script], &json!({}));
    coordinator.submit(&[spec], 1).await;
    let worker = bench.start();
    until("it runs", async || up.exists()).await;
    let job = coordinator.jobs().await[0].digest;
    let now = coordinator.shared.now();
    let cancelled = coordinator.shared.store.cancel_jobs(now, vec![job]).await;
    assert_eq!(cancelled.unwrap(), 1);
    coordinator.all_are(StateName::Cancelled).await;
    worker.abort();
    // The shell may tell of what else it ended.
    let log = log_of(&coordinator).await;
    assert!(log.ends_with("interrupted\n"), "{log}");
}
