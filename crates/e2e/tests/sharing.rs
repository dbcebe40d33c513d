//! What people are told who share a coordinator: of each other's sweeps, and of
//! workers that have left.

use std::time::Duration;

use swath_e2e::{Site, wait_until};

const PATIENCE: Duration = Duration::from_mins(2);

/// A sweep over `x` of the script beside it.
fn sweep(name: &str, xs: &str, more: &str) -> String {
    format!(
        "[sweep]\nname = \"{name}\"\nreplicates = 1\n[program]\nmetric = \"acc\"\n\
         command = [\"sh\", \"t.sh\", \"{{x}}\"]\nread = {{ stdout = 'acc=(.*)' }}\n\
         {more}\n[[grid]]\nx = {xs}\n"
    )
}

#[test]
fn files_that_say_otherwise_of_shared_jobs_are_told() {
    let mut site = Site::new();
    let _coordinator = site.serve();
    site.write("t.sh", "echo acc=$1\n");
    site.write("one.toml", &sweep("one", "[1, 2, 3]", "timeout = \"1h\""));
    site.write("two.toml", &sweep("two", "[2, 3, 4]", "timeout = \"2h\""));
    let told = |words: &[&str]| {
        let output = site.run(words);
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        output.stderr
    };
    let shared = "2 open jobs shared with one, whose file differs in `timeout`";
    assert!(!told(&["submit", "one.toml"]).contains("shared with"));
    let plan = told(&["plan", "two.toml"]);
    assert!(plan.contains(shared), "{plan}");
    let submit = told(&["submit", "two.toml"]);
    assert!(submit.contains(shared), "{submit}");
    assert!(submit.contains("what this file says counts"), "{submit}");
    // The same again changes nothing; the first one would.
    assert!(!told(&["submit", "two.toml"]).contains("shared with"));
    let receipt = site.json(&["submit", "one.toml"]);
    assert_eq!(receipt["overlaps"][0]["sweep"], "two", "{receipt}");
    assert_eq!(receipt["overlaps"][0]["differs"][0]["key"], "timeout");
}

#[test]
fn a_worker_that_has_ended_hides_no_reason() {
    let mut site = Site::new();
    let _coordinator = site.serve();
    site.write("t.sh", "echo acc=$1\n");
    site.write("first.toml", &sweep("first", "[1]", ""));
    site.write("next.toml", &sweep("next", "[2]", ""));
    let mut able = site.worker("able", 1, &["sh"]);
    site.ok(&["submit", "first.toml", "--wait"]);
    let _unable = site.worker("unable", 1, &[]);
    wait_until("both are there", PATIENCE, || {
        let workers = site.json(&["workers"]);
        (workers["workers"].as_array()?.len() == 2).then_some(())
    });
    able.signal(libc::SIGTERM);
    assert_eq!(able.wait(PATIENCE), 0);
    // At once, and not when it has been silent for the life of a lease.
    let output = site.run(&["submit", "next.toml"]);
    assert!(
        output.stderr.contains("no active worker may run `sh`"),
        "{}",
        output.stderr
    );
    let status = site.ok(&["status"]);
    assert!(status.contains("1 worker not connected"), "{status}");
    let workers = site.ok(&["workers"]);
    let line = workers.lines().find(|line| line.starts_with("able "));
    let line = line.expect("the worker is listed");
    assert!(line.contains("not connected"), "{workers}");
    // Its name is free for another one, which knows nothing of it.
    let state = site.path().join("state-able");
    std::fs::remove_dir_all(state).expect("the state of the first one goes");
    let _other = site.worker("able", 1, &["sh"]);
    wait_until("the other one trains", PATIENCE, || {
        (site.count("next", "succeeded") == 1).then_some(())
    });
}

#[test]
fn what_nobody_can_run_has_no_estimate() {
    let mut site = Site::new();
    let _coordinator = site.serve();
    site.write("t.sh", "echo acc=$1\n");
    site.write("s.toml", &sweep("s", "[1]", ""));
    site.write("more.toml", &sweep("more", "[1, 2]", ""));
    let mut able = site.worker("able", 1, &["sh"]);
    site.ok(&["submit", "s.toml", "--wait"]);
    let job = site.json(&["jobs", "s"])["jobs"][0]["digest"].clone();
    let explained = site.ok(&["explain", job.as_str().expect("a job")]);
    // It wrote nothing to its directory.
    assert!(!explained.contains("leaves its files"), "{explained}");
    let _unable = site.worker("unable", 1, &[]);
    wait_until("both are there", PATIENCE, || {
        let workers = site.json(&["workers"]);
        (workers["workers"].as_array()?.len() == 2).then_some(())
    });
    able.signal(libc::SIGTERM);
    assert_eq!(able.wait(PATIENCE), 0);
    let plan = site.ok(&["plan", "more.toml"]);
    assert!(plan.contains("no active worker may run `sh`"), "{plan}");
    site.ok(&["submit", "more.toml"]);
    // A job of it is measured, so there would be an estimate.
    let status = site.ok(&["status", "more"]);
    assert!(status.contains("no ETA"), "{status}");
    assert!(!status.contains("ETA 0"), "{status}");
    let _able = site.worker("able", 1, &["sh"]);
    wait_until("what waited is trained", PATIENCE, || {
        (site.count("more", "succeeded") == 2).then_some(())
    });
}
