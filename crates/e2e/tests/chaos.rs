//! Kills at any moment: every job ends once, with the right number.

use std::time::Duration;

use serde_json::Value;
use swath_e2e::{Process, Random, Site, SweepText, wait_until};

const JOBS: u64 = 6000;
const ROUNDS: u32 = 12;

fn succeeded(site: &Site) -> u64 {
    site.count("null", "succeeded")
}

/// Waits until `more` jobs beyond `before` are done, so that each kill hits work
/// in progress.
fn progress(site: &Site, before: u64, more: u64) -> u64 {
    wait_until("work goes on", Duration::from_mins(1), || {
        let now = succeeded(site);
        (now >= JOBS || now >= before + more).then_some(now)
    })
}

#[test]
fn kills_at_any_moment_lose_nothing_and_double_nothing() {
    let mut random = Random::new(20_261_124);
    let mut site = Site::new();
    let mut coordinator = site.serve();
    let mut workers: Vec<Process> = ["a", "b"]
        .iter()
        .map(|name| site.worker(name, 2, &[]))
        .collect();
    let text = SweepText::null("null", 1).replicates(3).grid(&format!(
        "\"params.x\" = {:?}\n\"params.y\" = {:?}\n",
        (0..JOBS / 3 / 10).collect::<Vec<_>>(),
        (0..10).collect::<Vec<_>>()
    ));
    site.write("null.toml", &text.to_string());
    site.ok(&["submit", "null.toml"]);
    let mut done = 0;
    for _ in 0..ROUNDS {
        done = progress(&site, done, 20 + random.below(300));
        match random.below(3) {
            0 => {
                coordinator.kill();
                coordinator = site.serve();
            }
            index => {
                let index = index as usize - 1;
                workers[index].kill();
                workers[index] = site.worker(["a", "b"][index], 2, &[]);
            }
        }
    }
    wait_until("every job is done", Duration::from_mins(3), || {
        (succeeded(&site) == JOBS).then_some(())
    });
    check(&site);
    drop(coordinator);
}

/// Each job has one measurement, the one for its seed, and its attempts have no
/// gaps.
fn check(site: &Site) {
    let jobs = site.json(&["jobs", "null"]);
    let jobs = jobs["jobs"].as_array().expect("jobs");
    assert_eq!(jobs.len() as u64, JOBS);
    for job in jobs {
        let seed = job["seed"].as_u64().expect("a seed");
        let expected = (seed % 1000) as f64 / 10.0;
        assert_eq!(
            job["measurement"]["test_error"].as_f64(),
            Some(expected),
            "{job}"
        );
        assert_eq!(job["charged"], 0, "{job}");
    }
    let table = site.json(&["table", "null"]);
    let rows = table["rows"].as_array().expect("rows");
    assert!(rows.iter().all(|row| row["n"] == 3 && row["of"] == 3));
    let busiest = jobs
        .iter()
        .max_by_key(|job| job["attempt"].as_u64())
        .expect("a job");
    let explained = site.json(&["explain", busiest["digest"].as_str().expect("a digest")]);
    let attempts = explained["detail"]["attempts"]
        .as_array()
        .expect("attempts");
    let numbers: Vec<_> = attempts
        .iter()
        .map(|attempt| attempt["attempt"].clone())
        .collect();
    let expected: Vec<Value> = (1..=attempts.len()).map(Value::from).collect();
    assert_eq!(numbers, expected);
}
