//! Served trainings that are killed and resumed when their spec comes again.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};

use serde_json::{Value, json};
use support::stand::{Stand, last, names, stderr};
use support::{lines, succeed, trainer};

/// Starts `trainer serve` with `directory` and gives it one spec.
fn serve(stand: &Stand, directory: &str, flags: &[&str]) -> Child {
    let spec = &stand.spec;
    let mut child = trainer(stand.root.path())
        .arg("serve")
        .arg(directory)
        .arg(stand.path("served"))
        .args(flags)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Its stdin closes at the end of this function: one spec, then the end.
    writeln!(child.stdin.take().unwrap(), "{spec}").unwrap();
    child
}

/// Waits for the first checkpoint of a served training and kills it.
fn kill_served(stand: &Stand, directory: &str) {
    let mut child = serve(stand, directory, &["--checkpoint-steps", "1"]);
    let reader = BufReader::new(child.stdout.as_mut().unwrap());
    let seen = reader
        .lines()
        .map_while(Result::ok)
        .any(|line| line.contains("\"checkpoint\""));
    assert!(seen);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_served_training_goes_on_where_it_was_killed() {
    let stand = Stand::new(&json!({"steps": 200}));
    let whole = stand.whole();
    kill_served(&stand, "--out");
    let job = names(&stand.path("served")).remove(0);
    let output = serve(&stand, "--out", &[]).wait_with_output().unwrap();
    assert!(
        stderr(&output).contains("going on from"),
        "{}",
        stderr(&output)
    );
    assert_eq!(last(&output)["event"], "finished");
    assert!(stand.bytes(&format!("served/{job}")) == whole);
}

#[test]
fn a_served_training_moves_a_foreign_checkpoint_aside() {
    let stand = Stand::new(&json!({"steps": 200}));
    let whole = stand.whole();
    kill_served(&stand, "--out");
    let job = names(&stand.path("served")).remove(0);
    // Another number of threads gives other bytes, so it starts from step 0.
    let flags = ["--threads", "2"];
    let output = serve(&stand, "--out", &flags).wait_with_output().unwrap();
    let text = stderr(&output);
    assert!(text.contains("threads is 1 there and 2 here"), "{text}");
    assert!(text.contains("starting from step 0"), "{text}");
    assert_eq!(last(&output)["event"], "finished");
    let aside = stand.path(&format!("served/{job}/checkpoint.aside"));
    assert!(!names(&aside).is_empty());
    let lines = |bytes: &[u8]| bytes.split(|byte| *byte == b'\n').count();
    let found = stand.bytes(&format!("served/{job}"));
    assert_eq!(lines(&found[1]), lines(&whole[1]));
}

#[test]
fn checkpoints_alone_go_with_their_training() {
    let stand = Stand::new(&json!({"steps": 200}));
    let whole = lines(&succeed(&mut stand.train("whole", &[])));
    kill_served(&stand, "--checkpoints");
    let job = names(&stand.path("served")).remove(0);
    let directory = stand.path(&format!("served/{job}"));
    assert!(
        names(&directory)
            .iter()
            .all(|name| name.contains("checkpoint"))
    );
    let output = serve(&stand, "--checkpoints", &[])
        .wait_with_output()
        .unwrap();
    assert!(
        stderr(&output).contains("going on from"),
        "{}",
        stderr(&output)
    );
    let events = lines(&output);
    assert!(events[1]["step"].as_u64() > Some(0), "{}", events[1]);
    // The attempt reports the whole history, including what was before its
    // beginning.
    let losses = |events: &[Value]| -> Vec<Value> {
        let epochs = events.iter().filter(|event| event["event"] == "epoch");
        epochs.map(|epoch| epoch["train_loss"].clone()).collect()
    };
    assert_eq!(losses(&events), losses(&whole));
    assert_eq!(
        last(&output)["test_loss"],
        whole.last().unwrap()["test_loss"]
    );
    assert!(names(&stand.path("served")).is_empty());
}

#[test]
fn a_training_that_cannot_begin_leaves_no_directory() {
    let stand = Stand::new(&json!({"extra_test_sets": ["cifar10.1"]}));
    let output = serve(&stand, "--checkpoints", &[])
        .wait_with_output()
        .unwrap();
    assert_eq!(last(&output)["event"], "failed", "{}", stderr(&output));
    assert!(names(&stand.path("served")).is_empty());
}
