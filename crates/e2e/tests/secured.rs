//! A coordinator that speaks TLS, with real workers: what holds in the open holds there
//! too.

use std::time::Duration;

use swath_e2e::{Site, SweepText, wait_until};

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_mins(2);
const JOBS: u64 = 300;

fn submitted() -> Site {
    let site = Site::secured();
    let sweep = SweepText::null_grid("nothing", 0, JOBS as u32 / 3).replicates(3);
    site.write("nothing.toml", &sweep.to_string());
    site
}

fn wait_for_all(site: &Site) {
    wait_until("every job is done", LIMIT, || {
        (site.count("nothing", "succeeded") == JOBS).then_some(())
    });
}

#[test]
fn workers_and_coordinator_may_be_killed() {
    let mut site = submitted();
    let mut coordinator = site.serve();
    assert!(site.url().starts_with("https://"), "{}", site.url());
    site.ok(&["submit", "nothing.toml"]);
    let mut worker = site.worker("gpu1", 2, &[]);
    worker.wait_for_line("in session");
    coordinator.kill();
    worker.kill();
    // The worker has the certificate of its earlier life.
    std::fs::remove_file(site.path().join("worker.token")).expect("a token");
    let _coordinator = site.serve();
    let mut worker = site.worker("gpu1", 2, &[]);
    worker.wait_for_line("in session");
    wait_for_all(&site);
    let told = site.json(&["token", "list"]);
    let kinds = told["credentials"].as_array().expect("credentials");
    assert_eq!(kinds.len(), 3, "{told}");
}

/// While nobody answers, a worker waits; then it is let in.
#[test]
fn a_worker_may_come_first() {
    let mut site = submitted();
    let coordinator = site.serve();
    site.ok(&["submit", "nothing.toml"]);
    drop(coordinator);
    let mut worker = site.worker("gpu1", 2, &[]);
    worker.wait_for_line("no coordinator answers yet");
    let _coordinator = site.serve();
    worker.wait_for_line("in session");
    wait_for_all(&site);
}
